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
    if given.find("ClusterConfiguration").is_some() && args.control_plane_endpoint.is_some() {
        let message = "--control-plane-endpoint cannot be used with a ClusterConfiguration in --config";
        return Err(nothing(
            CommandError::new(ExitKind::Usage, message).hint("set controlPlaneEndpoint there"),
        ));
    }
    let settings = &lost.settings;
    let mut unreadable = vec![];
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
            Ok(text) if kind == "ClusterConfiguration" => match with_endpoint(text, args) {
                Ok(text) => sources.push(Source::new(place, text)),
                Err(why) => unreadable.push((kind, place, why)),
            },
            Ok(text) => sources.push(Source::new(place, text.as_bytes())),
            // A cluster may do without: another proxy, or settings that are the defaults.
            Err(NoSetting::Absent) if kind != "ClusterConfiguration" => {}
            Err(why) => unreadable.push((kind, place, why.to_string())),
        }
    }
    if !unreadable.is_empty() {
        return Err(nothing(told(&unreadable)));
    }
    if given.find("InitConfiguration").is_none() {
        let mut endpoint = json!({});
        if let Some(address) = args.apiserver_advertise_address {
            endpoint["advertiseAddress"] = address.to_string().into();
        }
        // No ConfigMap has it, and an endpoint leads to it.
        if let Some(port) = lost.secure_port {
            endpoint["bindPort"] = port.into();
        }
        let init =
            json!({"apiVersion": API_VERSION, "kind": "InitConfiguration", "localAPIEndpoint": endpoint});
        let place = "--apiserver-advertise-address and the API server's port in the backup";
        sources.push(Source::new(place, yaml::to_string(&init)));
    }
    let documents = Documents::load(&sources).map_err(|errors| nothing(documents::invalid(&errors)))?;
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
    lost_endpoint(&config, lost).map_err(nothing)?;
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

/// All of them at once, with what to give in their place.
fn told(unreadable: &[(&str, String, String)]) -> CommandError {
    let kinds: Vec<_> = unreadable.iter().map(|(kind, ..)| *kind).collect();
    let mut error =
        CommandError::new(ExitKind::Failed, "settings of the cluster cannot be read from the backup");
    error.details = unreadable.iter().map(|(_, place, why)| format!("{place}: {why}")).collect();
    error.hint(format!("give them with --config FILE: {}", kinds.join(", "))).hint(
        "what the API server was started with, encryption at rest too, is in its manifest in the archive",
    )
}

/// Everything would lead to a machine that is no more, on this one too.
fn lost_endpoint(config: &ResolvedInit, lost: &Lost) -> Result<(), CommandError> {
    let host = |url: &str| {
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']').to_owned()
    };
    let endpoint = config.control_plane_endpoint();
    let of_lost = lost.client_urls.iter().any(|url| host(url) == host(&endpoint));
    if !of_lost || host(&endpoint) == config.local_api_endpoint.advertise_address {
        return Ok(());
    }
    let message = format!("the cluster's endpoint {endpoint} is the address of a machine that is lost");
    Err(CommandError::new(ExitKind::Failed, message)
        .hint("give another one: --control-plane-endpoint HOST[:PORT], best a name; or give this machine that address"))
}
