//! Subnets, the DNS domain and the endpoint of the control plane.

use super::names::{is_dns_name, split_host_port};
use crate::config::cidr::Cidr;
use crate::config::error::Problems;
use crate::config::types::{Arg, ClusterConfiguration};

/// Addresses that the cluster itself needs from the service subnet. Source: kubeadm.
const MIN_SERVICE_ADDRESSES: u64 = 10;
/// Most host bits of the service subnet, a limit of kube-apiserver.
const MAX_SERVICE_BITS: u32 = 20;
/// Most bits between the pod subnet's and a node's mask, a limit of kube-controller-manager.
const MAX_NODE_BITS: u32 = 16;

/// The one or two ranges of a subnet field. Problems are reported and `None` is returned.
pub(crate) fn parse_subnets(problems: &mut Problems, path: &str, text: &str) -> Option<Vec<Cidr>> {
    let mut subnets = Vec::new();
    for part in text.split(',') {
        match part.parse::<Cidr>() {
            Ok(cidr) => subnets.push(cidr),
            // The components of the control plane get the text as it is, and do not take the blank.
            Err(error) if part.trim() != part => {
                problems.error_hint(path, error.to_string(), "leave the blank out");
            }
            Err(error) => problems.error(path, error.to_string()),
        }
    }
    if subnets.len() != text.split(',').count() {
        return None;
    }
    let dual_stack = subnets.len() == 2 && subnets[0].is_ipv6() != subnets[1].is_ipv6();
    if subnets.len() > 1 && !dual_stack {
        problems.error_hint(
            path,
            format!("{text:?} is not one range, nor one IPv4 and one IPv6 range"),
            "dual stack needs exactly one range of each family",
        );
        return None;
    }
    Some(subnets)
}

/// Checks the networking section and the endpoint.
pub(crate) fn check(problems: &mut Problems, cluster: &ClusterConfiguration) {
    let networking = &cluster.networking;
    if !is_dns_name(&networking.dns_domain) {
        problems.error("networking.dnsDomain", format!("{:?} is not a DNS name", networking.dns_domain));
    }
    let services = parse_subnets(problems, "networking.serviceSubnet", &networking.service_subnet);
    for subnet in services.iter().flatten() {
        check_service_subnet(problems, *subnet);
    }
    let pods = if networking.pod_subnet.is_empty() {
        None
    } else {
        parse_subnets(problems, "networking.podSubnet", &networking.pod_subnet)
    };
    for subnet in pods.iter().flatten() {
        check_pod_subnet(problems, *subnet, &cluster.controller_manager.extra_args);
        for service in services.iter().flatten().filter(|service| service.overlaps(*subnet)) {
            problems.error("networking.podSubnet", format!("{subnet} overlaps the service subnet {service}"));
        }
    }
    if let (Some(services), Some(pods)) = (&services, &pods) {
        // A dual-stack Service needs Pods of both families; the reverse works.
        if services.len() > pods.len() {
            problems.warn("networking.podSubnet", "services have two address families, pods only one");
        }
    }
    check_endpoint(problems, &cluster.control_plane_endpoint);
}

fn check_endpoint(problems: &mut Problems, endpoint: &str) {
    if endpoint.is_empty() {
        return;
    }
    let (message, hint) = match split_host_port(endpoint) {
        Err(message) => (message, "write HOST or HOST:PORT, without https://"),
        Ok((_, None)) if endpoint.starts_with('[') => {
            (format!("{endpoint:?} has brackets and no port"), "write [ADDRESS]:PORT, or the address alone")
        }
        Ok(_) => return,
    };
    problems.error_hint("controlPlaneEndpoint", message, hint);
}

fn check_service_subnet(problems: &mut Problems, subnet: Cidr) {
    let path = "networking.serviceSubnet";
    if subnet.nth(MIN_SERVICE_ADDRESSES - 1).is_none() {
        problems.error(path, format!("{subnet} holds fewer than {MIN_SERVICE_ADDRESSES} addresses"));
    }
    if subnet.host_bits() > MAX_SERVICE_BITS {
        let least = subnet.address_bits() - MAX_SERVICE_BITS;
        problems.error(path, format!("{subnet} is too large: its mask must be at least /{least}"));
    }
}

fn check_pod_subnet(problems: &mut Problems, subnet: Cidr, controller_manager_args: &[Arg]) {
    let path = "networking.podSubnet";
    let (flag, default) =
        if subnet.is_ipv6() { ("node-cidr-mask-size-ipv6", 64) } else { ("node-cidr-mask-size-ipv4", 24) };
    let wanted = |name: &str| controller_manager_args.iter().rev().find(|arg| arg.name == name);
    // Somebody else, such as the network plugin, gives nodes their part then, and of any size.
    if wanted("allocate-node-cidrs").is_some_and(|arg| arg.value == "false") {
        return;
    }
    let given = wanted(flag).or_else(|| wanted("node-cidr-mask-size"));
    let node_mask = match given.map(|arg| arg.value.parse::<u32>()) {
        None => default,
        Some(Ok(mask)) => mask,
        Some(Err(_)) => {
            problems.error("controllerManager.extraArgs", format!("the value of {flag} is not a number"));
            return;
        }
    };
    if wanted(flag).is_none() && given.is_some() && subnet.prefix() > default {
        // kubeadm, which must be able to read this later, looks at the flag of the family only.
        let message = format!("{subnet} is smaller than a node's usual /{default}, and {flag} is not set");
        problems.error_hint(path, message, format!("write {flag} in place of node-cidr-mask-size"));
    } else if subnet.prefix() > node_mask {
        problems.error(path, format!("{subnet} is smaller than the /{node_mask} that each node gets of it"));
    } else if node_mask - subnet.prefix() > MAX_NODE_BITS {
        problems.error_hint(
            path,
            format!("{subnet} is too large: its mask may be at most {MAX_NODE_BITS} bits shorter than a node's /{node_mask}"),
            format!("set {flag} in controllerManager.extraArgs, or a smaller subnet"),
        );
    }
}
