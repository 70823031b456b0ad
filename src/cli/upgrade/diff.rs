//! `rkadm upgrade diff`: what an upgrade would change, as text.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use clap::Args;
use rkadm_core::engine::{event::Silent, plan};
use rkadm_phases::upgrade::{self, Scope, Upgrade, Upgrading};
use serde::Serialize;

use super::{
    args::Settings,
    request,
    run::{configuration, not_here, wanted},
};
use crate::{
    cli::{API_TIMEOUT, Session, exit::CommandError, plan as planned},
    output::{stdout_is_terminal, text},
};

/// Phases that change nothing that is looked at, and nothing that stays but a backup.
pub const QUIET: [&str; 5] = ["preflight", "take-lease", "backup", "post-upgrade", "give-lease-back"];

/// Flags of `upgrade diff`: kubeadm's.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Version to compare with [default: kubernetesVersion of --config, else the newest within reach]
    #[arg(value_name = "VERSION")]
    version: Option<String>,
    /// Configuration file (kubeadm.k8s.io/v1beta4, UpgradeConfiguration); may be given several times, `-` reads stdin
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Lines around a change
    #[arg(short, long, value_name = "N")]
    context_lines: Option<usize>,
    /// Kubeconfig to reach the API server with [default: /etc/kubernetes/admin.conf]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Directory of patches for static pods, the kubelet's configuration and addons
    #[arg(long, value_name = "DIR")]
    patches: Option<PathBuf>,
}

/// The result.
#[derive(Debug, Serialize)]
struct Diff {
    changes: Vec<Change>,
}

/// What one phase would change.
#[derive(Debug, Serialize)]
struct Change {
    phase: String,
    diff: String,
}

/// Runs it.
pub async fn run(session: &Session, args: &DiffArgs) -> Result<(), CommandError> {
    let config = configuration(session, &args.config)?;
    let of_file = usize::try_from(config.diff.context_lines).ok().filter(|lines| *lines > 0);
    let context = args.context_lines.or(of_file).unwrap_or(plan::CONTEXT);
    let given = wanted(args.version.as_deref(), &config.diff.kubernetes_version)?;
    let settings = Settings {
        kubeconfig: args.kubeconfig.as_ref().map(crate::cli::args::absolute),
        // What `apply` would take.
        patches_dir: super::args::patches(args.patches.as_deref(), config.apply.patches.as_ref()),
        dry_run: true,
        ..Settings::default_of(Scope::Cluster)
    };
    let host = session.host(API_TIMEOUT);
    let found = request::find(&host, &settings).await?;
    let Some(own) = found.own.clone() else { return Err(not_here()) };
    let next = rkadm_core::version::row(own.minor() + 1).or_else(|| rkadm_core::version::row(own.minor()));
    let target = given.or_else(|| next.map(rkadm_core::version::MinorRow::newest)).unwrap_or(own);
    let request = request::request(&found, &settings, &target, None)?;
    let upgrading = Arc::new(Upgrading::new(Upgrade { looks_ahead: true, ..request }));
    let workflow = upgrade::apply(&upgrading);
    let phases = plan::dry_run_with(&workflow, &host, &BTreeSet::from(QUIET), &Silent, context).await;
    let phases = phases.map_err(|(phase, error)| planned::failed(&phase, error))?;
    let diffs = phases.into_iter().flat_map(|phase| {
        let name = phase.phase;
        phase.steps.into_iter().filter_map(move |step| Some(Change { phase: name.clone(), diff: step.diff? }))
    });
    let result = Diff { changes: diffs.filter(|change| !change.diff.is_empty()).collect() };
    let colour = stdout_is_terminal() && std::env::var_os("NO_COLOR").is_none();
    session.printer.result("UpgradeDiff", &result, || human(&result, colour));
    Ok(())
}

fn human(diff: &Diff, colour: bool) -> String {
    let lines = diff.changes.iter().flat_map(|change| change.diff.lines());
    lines.map(|line| if colour { text::coloured(line) + "\n" } else { format!("{line}\n") }).collect()
}
