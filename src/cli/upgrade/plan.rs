//! `rkadm upgrade plan`: what runs where, what may come next, and what an upgrade would meet.

mod human;

use clap::Args;
use rkadm_core::{
    config::Image,
    host::{ApiAccess, LocalHost},
    version::{KubeVersion, skew::Component},
};
use rkadm_phases::{
    preflight::{Severity, is_ignored},
    upgrade::{
        Scope, Upgrading, findings, kubelet_config,
        state::{self, Seen},
    },
};
use serde::Serialize;

use super::{
    args::Settings,
    hops,
    offers::{Offers, offered, reachable},
    request,
    run::{ahead, configuration, wanted},
};
use crate::{
    cli::{
        Session,
        exit::{CommandError, ExitKind},
    },
    output::text,
};

/// Somebody sits and waits.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Flags of `upgrade plan`: kubeadm's.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Version to look at [default: kubernetesVersion of --config, else the newest within reach that this rkadm knows]
    #[arg(value_name = "VERSION")]
    version: Option<String>,
    /// Where newer patches than this rkadm knows are listed: a file with a version on each line, or the URL of a mirror below which
    /// stable-1.37.txt and the like are. A mirror that does not answer within three seconds holds nothing up
    #[arg(long, value_name = "FILE|URL")]
    versions: Option<Offers>,
    /// Allow alphas, betas and release candidates
    #[arg(long)]
    allow_experimental_upgrades: bool,
    /// Allow release candidates
    #[arg(long)]
    allow_release_candidate_upgrades: bool,
    /// Configuration file (kubeadm.k8s.io/v1beta4, UpgradeConfiguration); may be given several times, `-` reads stdin
    #[arg(long, value_name = "FILE")]
    config: Vec<std::path::PathBuf>,
    /// Look at etcd too [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    etcd_upgrade: Option<bool>,
    /// Checks whose errors become warnings; `all` for every one
    #[arg(long, value_name = "CHECK,…", value_delimiter = ',')]
    ignore_preflight_errors: Vec<String>,
    /// Kubeconfig to reach the API server with [default: /etc/kubernetes/admin.conf]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<std::path::PathBuf>,
    /// Directory of patches for static pods, the kubelet's configuration and addons
    #[arg(long, value_name = "DIR")]
    patches: Option<std::path::PathBuf>,
    /// Show the cluster's configuration
    #[arg(long)]
    print_config: bool,
}

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    /// Of the cluster's configuration.
    cluster: KubeVersion,
    /// What is looked at.
    target: KubeVersion,
    /// What this rkadm knows to be within reach: patches of this minor and of the next.
    reachable: Vec<KubeVersion>,
    /// The versions to go through.
    steps: Vec<KubeVersion>,
    components: Vec<Line>,
    kubelets: Vec<Line>,
    /// Images of the target that this machine does not hold yet.
    images_to_pull: Vec<String>,
    findings: Vec<Told>,
    /// What to do, in this order.
    order: Vec<Command>,
}

/// A component on a node, or of the cluster.
#[derive(Debug, Serialize)]
struct Line {
    component: String,
    node: String,
    current: String,
    target: String,
}

#[derive(Debug, Serialize)]
struct Told {
    severity: &'static str,
    check: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
struct Command {
    node: String,
    command: String,
}

/// Runs it.
pub async fn run(session: &Session, args: &PlanArgs) -> Result<(), CommandError> {
    let config = configuration(session, &args.config)?;
    let given = wanted(args.version.as_deref(), &config.plan.kubernetes_version)?;
    let settings = Settings {
        version: None,
        allow_prereleases: args.allow_experimental_upgrades
            || args.allow_release_candidate_upgrades
            || config.plan.allow_experimental_upgrades.unwrap_or(false)
            || config.plan.allow_rc_upgrades.unwrap_or(false),
        etcd_upgrade: args.etcd_upgrade.or(config.plan.etcd_upgrade).unwrap_or(true),
        ignore_preflight_errors: [&config.plan.ignore_preflight_errors[..], &args.ignore_preflight_errors]
            .concat(),
        kubeconfig: args.kubeconfig.as_ref().map(crate::cli::args::absolute),
        // What `apply` would take.
        patches_dir: super::args::patches(args.patches.as_deref(), config.apply.patches.as_ref()),
        pull: (config.apply.image_pull_policy, config.apply.image_pull_serial),
        ..Settings::default_of(Scope::Cluster)
    };
    let host = session.host(PATIENCE);
    let found = request::find(&host, &settings).await?;
    let Some(own) = found.own.clone() else { return Err(super::run::not_here()) };
    if args.print_config || config.plan.print_config.unwrap_or(false) {
        crate::output::note(&found.stored.cluster);
    }
    let here = Upgrading::new(request::request(&found, &settings, &own, None)?);
    let access = here.cluster.admin(&host).await.map_err(CommandError::failed)?;
    let seen = state::look(&host, &access).await.map_err(CommandError::failed)?;
    // What is furthest behind, on whichever control plane: each step is taken by all before the next.
    let servers = seen.of(Component::ApiServer).map(|server| server.version.clone());
    let from = servers.fold(own.min(found.cluster.clone()), KubeVersion::min);
    let reachable = reachable(&from, &offered(session, args.versions.as_ref(), &from).await?);
    let target = given.or_else(|| reachable.last().cloned()).unwrap_or_else(|| from.clone());
    let steps = hops::between(&from, &target);
    // All of it can be told of the first step alone; of later ones, what follows from versions and the configuration.
    let first = steps.first().unwrap_or(&target);
    let upgrading = Upgrading::new(request::request(&found, &settings, first, None)?);
    let last = Upgrading::new(request::request(&found, &settings, &target, None)?);
    let (mut all, (images_to_pull, of_images), leader, addons) = tokio::join!(
        findings::look(&host, &upgrading, &target, Some(&seen)),
        findings::missing_images(&host, &last),
        state::etcd_leader(&host),
        addons(&host, &access, &last),
    );
    all.extend(of_images);
    all.extend(kubelet_config::changed(&host, &last).await);
    all.extend(ahead(&found, &settings, &steps, &seen)?);
    let own_name = upgrading.cluster.config.node_name().to_owned();
    let mut components = components(&seen, &last);
    components.extend(addons);
    let plan = Plan {
        cluster: found.cluster.clone(),
        kubelets: kubelets(&seen, &target),
        order: order(&own_name, &found.cluster, &seen, leader.as_deref(), &steps),
        findings: told(all, &settings.ignore_preflight_errors),
        target,
        reachable,
        steps,
        components,
        images_to_pull,
    };
    session.printer.result("UpgradePlan", &plan, || human::text(&plan));
    let errors = plan.findings.iter().filter(|told| told.severity == "error").count();
    if errors == 0 {
        return Ok(());
    }
    let message = format!("{} speak against the upgrade", text::count(errors, "finding"));
    Err(CommandError::new(ExitKind::Preflight, message).after_result())
}

fn components(seen: &Seen, last: &Upgrading) -> Vec<Line> {
    let config = &last.cluster.config;
    let of_name = |name: &str| match name {
        "etcd" => Some(Image::Etcd),
        "kube-apiserver" => Some(Image::ApiServer),
        "kube-controller-manager" => Some(Image::ControllerManager),
        "kube-scheduler" => Some(Image::Scheduler),
        _ => None,
    };
    let mut lines: Vec<_> = seen
        .images
        .iter()
        .filter_map(|(node, name, image)| {
            let target = config.image(of_name(name)?);
            let keeps = name == "etcd" && !last.request.etcd_upgrade;
            let current = tag(image);
            let target = if keeps { current.clone() } else { tag(&target) };
            Some(Line { component: name.clone(), node: node.clone(), current, target })
        })
        .collect();
    lines.sort_by(|one, other| (&one.component, &one.node).cmp(&(&other.component, &other.node)));
    lines
}

async fn addons(host: &LocalHost, access: &ApiAccess, last: &Upgrading) -> Vec<Line> {
    let config = &last.cluster.config;
    let mut lines = vec![];
    for (name, kind, workload, image) in [
        ("kube-proxy", "DaemonSet", "kube-proxy", Image::Proxy),
        ("CoreDNS", "Deployment", "coredns", Image::CoreDns),
    ] {
        if let Ok(Some(current)) = state::addon_image(host, access, kind, workload).await {
            let (current, target) = (tag(&current), tag(&config.image(image)));
            lines.push(Line { component: name.into(), node: String::new(), current, target });
        }
    }
    lines
}

fn tag(image: &str) -> String {
    let image = image.split('@').next().unwrap_or_default();
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    name.rsplit_once(':').map_or_else(|| image.to_owned(), |(_, tag)| tag.to_owned())
}

fn kubelets(seen: &Seen, target: &KubeVersion) -> Vec<Line> {
    let line = |running: &rkadm_core::version::skew::Running| Line {
        component: "kubelet".into(),
        node: running.node.clone(),
        current: running.version.to_string(),
        target: target.to_string(),
    };
    seen.of(Component::Kubelet).filter(|running| running.version < *target).map(line).collect()
}

/// This control plane first, that of etcd's leader last, then kubelets.
fn order(
    own: &str,
    cluster: &KubeVersion,
    seen: &Seen,
    leader: Option<&str>,
    steps: &[KubeVersion],
) -> Vec<Command> {
    let mut others: Vec<_> = seen.control_planes.iter().filter(|name| *name != own).collect();
    others.sort_by_key(|name| (leader == Some(name.as_str()), (*name).clone()));
    let alone = others.is_empty();
    let mut all = vec![];
    let whole: &[KubeVersion] =
        if alone { steps.last().map(std::slice::from_ref).unwrap_or_default() } else { steps };
    // An upgrade by kubeadm that was cut off may have moved the API servers and nothing else.
    let moved = [Component::ApiServer, Component::ControllerManager, Component::Scheduler];
    let is_there = |step: &KubeVersion| {
        cluster >= step && moved.iter().all(|part| seen.of(*part).all(|running| running.version >= *step))
    };
    for step in whole.iter().filter(|step| !is_there(step)) {
        all.push(Command { node: own.to_owned(), command: format!("rkadm upgrade apply {step}") });
        for node in &others {
            all.push(Command { node: (*node).clone(), command: "rkadm upgrade node".into() });
        }
    }
    if let Some(last) = steps.last() {
        let behind = seen.of(Component::Kubelet).filter(|running| running.version < *last);
        for running in behind {
            let node = running.node.clone();
            let command = "rkadm upgrade node --kubelet".to_owned();
            all.push(Command { node, command });
        }
    }
    all
}

fn told(found: Vec<rkadm_phases::preflight::Found>, ignored: &[String]) -> Vec<Told> {
    let mut told: Vec<_> = found
        .into_iter()
        .map(|(severity, finding)| {
            let is_error = severity == Severity::Error && !is_ignored(ignored, &finding.check);
            let severity = if is_error { "error" } else { "warning" };
            Told { severity, check: finding.check, message: finding.message, hint: finding.hint }
        })
        .collect();
    told.sort_by_key(|told| told.severity);
    told
}

#[cfg(test)]
mod tests {
    use rkadm_core::version::skew::Running;

    use super::*;

    #[test]
    fn the_leader_goes_last_and_each_step_is_taken_by_all() {
        let kubelet = |node: &str| Running {
            component: Component::Kubelet,
            node: node.into(),
            version: "v1.36.4".parse().unwrap(),
        };
        let server = Running { component: Component::ApiServer, ..kubelet("cp1") };
        let seen = Seen {
            control_planes: ["cp1", "cp2", "cp3"].map(str::to_owned).into(),
            running: vec![kubelet("cp1"), kubelet("w1"), server],
            ..Seen::default()
        };
        let steps = [KubeVersion::new(1, 37, 2)];
        let order = |cluster: &str, seen: &Seen| -> Vec<_> {
            order("cp1", &cluster.parse().unwrap(), seen, Some("cp2"), &steps)
                .into_iter()
                .map(|command| format!("{}: {}", command.node, command.command))
                .collect()
        };
        let lines = order("v1.36.4", &seen);
        assert_eq!(
            lines,
            [
                "cp1: rkadm upgrade apply v1.37.2",
                "cp3: rkadm upgrade node",
                "cp2: rkadm upgrade node",
                "cp1: rkadm upgrade node --kubelet",
                "w1: rkadm upgrade node --kubelet"
            ]
        );
        // Cut off by kubeadm after the API servers: what is left is an upgrade all the same.
        let mut half = seen;
        half.running.iter_mut().for_each(|running| running.version = steps[0].clone());
        assert_eq!(order("v1.36.4", &half), lines[..3]);
        let manager = Running {
            component: Component::ControllerManager,
            version: "v1.36.4".parse().unwrap(),
            ..half.running[0].clone()
        };
        assert!(order("v1.37.2", &half).is_empty());
        half.running.push(manager);
        assert_eq!(order("v1.37.2", &half), lines[..3]);
    }

    #[test]
    fn tags_are_told_apart_from_ports_and_digests() {
        assert_eq!(tag("mirror:5000/etcd:3.7.0-0@sha256:00"), "3.7.0-0");
        assert_eq!(tag("mirror:5000/etcd"), "mirror:5000/etcd");
    }
}
