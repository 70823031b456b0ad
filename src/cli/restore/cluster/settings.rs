//! The cluster's own settings from the backup, with those of this machine.

use rkadm_core::{
    backup::lost::{Lost, NoSetting},
    config::{Documents, InitFlags, ResolvedInit, Source, resolve_init},
    engine::Event,
    yaml,
};
use serde_json::{Value, json};

use super::ClusterArgs;
use crate::cli::{
    API_TIMEOUT, Session, documents,
    exit::{CommandError, ExitKind},
    facts,
};

const API_VERSION: &str = "kubeadm.k8s.io/v1beta4";

/// Resolved as for `init`.
///
/// # Errors
/// The backup has no settings that can be used, or what was given with it cannot.
pub async fn of(session: &Session, args: &ClusterArgs, lost: &Lost) -> Result<ResolvedInit, CommandError> {
    let nothing = |error: CommandError| error.detail("Nothing was changed.");
    let mut sources =
        args.config.iter().map(|path| documents::source("--config", path)).collect::<Result<Vec<_>, _>>()?;
    let given = if sources.is_empty() {
        Documents::none()
    } else {
        Documents::load(&sources).map_err(|errors| documents::invalid(&errors))?
    };
    let settings = &lost.settings;
    let stored = [
        ("ClusterConfiguration", "kubeadm-config", &settings.cluster),
        ("KubeletConfiguration", "kubelet-config", &settings.kubelet),
        ("KubeProxyConfiguration", "kube-proxy", &settings.kube_proxy),
    ];
    for (kind, name, text) in stored {
        if given.find(kind).is_some() {
            continue;
        }
        let place = format!("ConfigMap kube-system/{name} of the backup");
        match text {
            Ok(text) if kind == "ClusterConfiguration" => {
                let text = with_endpoint(text, args).map_err(|why| nothing(unreadable(&place, &why)))?;
                sources.push(Source::new(place, text));
            }
            Ok(text) => sources.push(Source::new(place, text.as_bytes())),
            // A cluster may do without: another proxy, or settings that are the defaults.
            Err(NoSetting::Absent) if kind != "ClusterConfiguration" => {}
            Err(why) => return Err(nothing(unreadable(&place, &why.to_string()))),
        }
    }
    if let (None, Some(address)) = (given.find("InitConfiguration"), args.apiserver_advertise_address) {
        let init = json!({"apiVersion": API_VERSION, "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": address}});
        sources.push(Source::new("--apiserver-advertise-address", yaml::to_string(&init)));
    }
    let documents = Documents::load(&sources).map_err(|errors| documents::invalid(&errors))?;
    let flags = InitFlags {
        node_name: args.node_name.clone(),
        upload_certs: args.upload_certs,
        ignore_preflight_errors: args.ignore_preflight_errors.clone(),
        dry_run: args.dry_run,
        ..InitFlags::default()
    };
    let facts = facts::gather(&session.host(API_TIMEOUT), false).await.map_err(CommandError::failed)?;
    let config =
        resolve_init(&documents, &flags, &facts).map_err(|errors| nothing(documents::invalid(&errors)))?;
    if config.cluster.etcd.external.is_some() {
        return Err(nothing(
            CommandError::new(ExitKind::Failed, "the etcd of this cluster was no static pod of its control planes")
                .hint("restore it where it ran; then `rkadm init` with the cluster's keys and configuration, which are in the archive"),
        ));
    }
    for warning in &config.warnings {
        session.reporter.report(Event::Warning { message: warning.to_string() });
    }
    Ok(config)
}

fn with_endpoint(text: &str, args: &ClusterArgs) -> Result<String, String> {
    let Some(endpoint) = &args.control_plane_endpoint else { return Ok(text.to_owned()) };
    let mut cluster: Value = yaml::from_str(text).map_err(|error| error.to_string())?;
    if !cluster.is_object() {
        return Err("it is no ClusterConfiguration".into());
    }
    cluster["controlPlaneEndpoint"] = endpoint.as_str().into();
    Ok(yaml::to_string(&cluster))
}

fn unreadable(place: &str, why: &str) -> CommandError {
    CommandError::new(ExitKind::Failed, format!("{place} cannot be used: {why}"))
        .hint("give the cluster's configuration with --config FILE (a ClusterConfiguration)")
}
