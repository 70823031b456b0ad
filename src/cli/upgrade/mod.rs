//! `rkadm upgrade`.

mod args;
mod confirm;
mod diff;
mod downtime;
mod fleet;
mod gate;
mod hops;
mod offers;
mod plan;
mod report;
mod request;
mod rollback;
mod run;
mod unfinished;

use clap::{ArgMatches, Args, Command};
use rkadm_phases::upgrade::{self, Scope};

use self::{
    args::{ApplyArgs, NodeArgs},
    diff::DiffArgs,
    plan::PlanArgs,
};
use super::{
    Session,
    exit::{CommandError, ExitKind},
    phase_tree, typed,
};
pub use rollback::may_roll_back;
pub use run::resume;

/// The subcommand.
pub fn command() -> Command {
    Command::new("upgrade")
        .about("Upgrade a cluster to another version of Kubernetes, a node at a time")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            PlanArgs::augment_args(Command::new("plan"))
                .about("Show what runs where, which versions are within reach, and what an upgrade would meet")
                .long_about(
                    "Show every component on every node with its version, the versions within reach, everything that would stop or \
                     hurt an upgrade, and the commands in their order. Nothing is changed, and nothing but the cluster is asked. The \
                     exit code is 3 when something speaks against the upgrade; warnings alone leave it 0.",
                ),
        )
        .subcommand(
            DiffArgs::augment_args(Command::new("diff"))
                .about("Show what an upgrade would change: manifests, ConfigMaps, roles, addons, kubelet settings"),
        )
        .subcommand(phase_tree::with_phases(
            ApplyArgs::augment_args(Command::new("apply"))
                .about("Upgrade this control plane, and what all nodes of the cluster share")
                .long_about(
                    "Upgrade this control plane and the cluster's configuration, roles and addons to another version. A backup is taken \
                     and proven first, images are pulled and everything is checked before anything is touched; then etcd, the API \
                     server, the controller manager and the scheduler change in one short outage. When anything fails, all of it is \
                     taken back, etcd's data included, and nothing that was written is lost; `rkadm op rollback` does the same later. \
                     The first control plane of the cluster takes this command, all other nodes take `rkadm upgrade node`.",
                ),
            &upgrade::metas(Scope::Cluster),
            |_, command| ApplyArgs::augment_args(command),
        ))
        .subcommand(phase_tree::with_phases(
            NodeArgs::augment_args(Command::new("node"))
                .about("Upgrade this node to the version that `upgrade apply` gave the cluster")
                .long_about(
                    "On a control plane, its static pods change in one short outage, as in `upgrade apply`; on every node, the \
                     kubelet's configuration is written anew.",
                ),
            &upgrade::metas(Scope::Node),
            |_, command| NodeArgs::augment_args(command),
        ))
        .subcommand(
            Command::new("survey")
                .hide(true)
                .about("What this machine says before it is upgraded with others; read by rkadm itself"),
        )
}

/// Runs it.
pub async fn run(session: &Session, matches: &ArgMatches) -> Result<(), CommandError> {
    match matches.subcommand() {
        Some(("plan", matches)) => plan::run(session, &typed(matches)?).await,
        Some(("diff", matches)) => diff::run(session, &typed(matches)?).await,
        Some(("apply", matches)) => Box::pin(run::apply(session, matches)).await,
        Some(("node", matches)) => run::node(session, matches).await,
        Some(("survey", _)) => fleet::survey(session).await,
        _ => Err(CommandError::new(ExitKind::Usage, "no command given").hint("rkadm upgrade --help")),
    }
}
