//! Flags and feature gates in the configuration that the new version does not take: a component would not start with them.

use rkadm_core::{
    config::types::Arg,
    host::Probe,
    kubelet::FLAGS_ENV_FILE,
    manifest::Component,
    version::removed::{Program, deprecated_flags, flag, gate, removed_apis},
};

use crate::{
    preflight::{Found, error, warning},
    upgrade::Upgrading,
};

const CHECK: &str = "RemovedFlag";

/// Looks at the extra arguments of every component, and at the kubelets' gates.
pub fn look(upgrading: &Upgrading) -> Vec<Found> {
    let config = &upgrading.cluster.config;
    let minor = upgrading.version().minor();
    let cluster = &config.cluster;
    let mut all: Vec<(Component, &str, &[Arg])> = vec![
        (Component::ApiServer, "apiServer", &cluster.api_server.extra_args),
        (Component::ControllerManager, "controllerManager", &cluster.controller_manager.extra_args),
        (Component::Scheduler, "scheduler", &cluster.scheduler.extra_args),
    ];
    if let Some(etcd) = cluster.etcd.local.as_ref().filter(|_| upgrading.request.etcd_upgrade) {
        all.push((Component::Etcd, "etcd.local", &etcd.extra_args));
    }
    let old = all
        .iter()
        .flat_map(|(component, _, args)| args.iter().filter_map(|arg| deprecated(*component, arg, minor)));
    let old: Vec<_> = old.collect();
    let mut found: Vec<_> = all
        .into_iter()
        .flat_map(|(component, section, args)| {
            let why = args.iter().flat_map(move |arg| of_arg(component, arg, minor));
            why.map(move |why| {
                let hint = format!(
                    "take it out of {section}.extraArgs: kubectl -n kube-system edit configmap kubeadm-config"
                );
                error(CHECK, format!("{component}: {why}"), &hint)
            })
        })
        .collect();
    let gates = config.kubelet["featureGates"].as_object();
    found.extend(gates.into_iter().flatten().filter_map(|(name, on)| {
        let why = gate(name, on.as_bool()?, minor)?;
        let hint = "take it out of featureGates: kubectl -n kube-system edit configmap kubelet-config";
        Some(error(CHECK, format!("kubelet: {why}"), hint))
    }));
    found.extend(old);
    found
}

/// Flags of this node's kubelet, which would not start with them. Those that the upgrade takes out by itself are left out.
pub async fn of_kubelet(host: &dyn Probe, upgrading: &Upgrading) -> Vec<Found> {
    let text = host.read(FLAGS_ENV_FILE.as_ref()).await.ok().flatten().unwrap_or_default();
    let minor = upgrading.version().minor();
    let names = kubelet_flags(&String::from_utf8_lossy(&text));
    let gone = names.into_iter().filter(|name| name != "pod-infra-container-image");
    gone.filter_map(|name| {
        let why = flag(Program::Kubelet, &name, minor)?;
        let hint = format!("take it out of {FLAGS_ENV_FILE} before the kubelet is upgraded");
        Some(warning(CHECK, format!("kubelet: {why}"), &hint))
    })
    .collect()
}

fn kubelet_flags(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| letter.is_whitespace() || letter == '"');
    let name = |word: &str| Some(word.strip_prefix("--")?.split('=').next()?.to_owned());
    words.filter_map(name).collect()
}

/// What still works and will not for ever.
fn deprecated(component: Component, arg: &Arg, minor: u64) -> Option<Found> {
    let program = Program::from(component);
    let old = deprecated_flags(program, program.minor_with(minor)?).find(|old| old.name == arg.name)?;
    let instead = old.instead.unwrap_or("take it out of the configuration");
    Some(warning("DeprecatedFlag", format!("{component}: --{} will go", arg.name), instead))
}

/// API versions that were switched on by hand and that the new API server does not know.
fn of_runtime_config(arg: &Arg, minor: u64) -> Vec<String> {
    let wanted =
        arg.value.split(',').filter_map(|item| item.split_once('=')).filter(|(_, on)| *on != "false");
    wanted
        .filter(|(name, _)| {
            removed_apis(0, minor).any(|api| format!("{}/{}", api.group, api.version) == *name)
        })
        .map(|(name, _)| format!("the API {name} of --runtime-config is gone"))
        .collect()
}

fn of_arg(component: Component, arg: &Arg, minor: u64) -> Vec<String> {
    if component == Component::ApiServer && arg.name == "runtime-config" {
        return of_runtime_config(arg, minor);
    }
    if arg.name == "feature-gates" {
        let gates = arg.value.split(',').filter_map(|gate| gate.split_once('='));
        return gates.filter_map(|(name, on)| gate(name, on.eq_ignore_ascii_case("true"), minor)).collect();
    }
    flag(component, &arg.name, minor).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use rkadm_core::config::ResolvedInit;
    use serde_json::{Value, json};

    use super::*;
    use crate::upgrade::Upgrade;

    #[test]
    fn flags_and_gates_are_looked_up() {
        let arg = |name: &str, value: &str| Arg::new(name, value);
        let of = |component, name: &str, value: &str| of_arg(component, &arg(name, value), 37).len();
        assert_eq!(
            of(Component::ApiServer, "feature-gates", "GangScheduling=true,NodeLogQuery=false,X=true"),
            2
        );
        assert_eq!(of(Component::Etcd, "experimental-memory-mlock", "true"), 1);
        assert_eq!(of(Component::Etcd, "memory-mlock", "true"), 0);
        assert_eq!(
            of(Component::ApiServer, "runtime-config", "scheduling.k8s.io/v1alpha1=true,api/all=true"),
            1
        );
        let flags = kubelet_flags("KUBELET_KUBEADM_ARGS=\"--boot-id-file=/x --v=2\"\n");
        assert_eq!(flags, ["boot-id-file", "v"]);
        assert!(deprecated(Component::ApiServer, &arg("v", "2"), 37).is_none());
    }

    #[test]
    fn gates_of_kubelets_that_the_new_version_does_not_take_are_told() {
        let gates = |gates: Value| {
            let config = ResolvedInit {
                kubernetes_version: "v1.37.2".parse().unwrap(),
                kubelet: json!({"featureGates": gates}),
                ..ResolvedInit::default()
            };
            let upgrading = Upgrading::new(Upgrade { config, ..Upgrade::default() });
            look(&upgrading).into_iter().map(|(_, finding)| finding.message).collect::<Vec<_>>()
        };
        assert_eq!(
            gates(json!({"GangScheduling": true, "NodeLogQuery": false, "Mine": true})),
            [
                "kubelet: the feature gate GangScheduling is unknown from 1.37 on",
                "kubelet: the feature gate NodeLogQuery cannot be switched off from 1.36 on"
            ]
        );
        assert_eq!(gates(json!({"NodeLogQuery": true})), Vec::<String>::new());
        assert_eq!(gates(Value::Null), Vec::<String>::new());
    }
}
