//! Flags and feature gates in the configuration that the new version does not take: a component would not start with them.

use rkadm_core::{
    config::types::Arg,
    manifest::Component,
    version::removed::{flag, gate},
};

use crate::{
    preflight::{Found, error},
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
    found
}

fn of_arg(component: Component, arg: &Arg, minor: u64) -> Vec<String> {
    if arg.name == "feature-gates" {
        let gates = arg.value.split(',').filter_map(|gate| gate.split_once('='));
        return gates.filter_map(|(name, on)| gate(name, on.eq_ignore_ascii_case("true"), minor)).collect();
    }
    flag(component, &arg.name, minor).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
