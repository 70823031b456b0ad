//! `rkadm token`.

mod create;
mod delete;
mod list;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rkadm_core::{
    engine::{
        event::Outcome,
        plan::{PlannedPhase, PlannedStep},
    },
    kube::ObjectRef,
    pki::bootstrap_token::BootstrapToken,
};
use serde::Serialize;

use super::{Session, exit::CommandError};

/// `rkadm token`. As with kubeadm, its flags may stand before the subcommand, too.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct TokenArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: TokenCommand,
}

/// What `rkadm token` can do.
#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Create bootstrap tokens on the server
    ///
    /// Nodes join with them. The token is printed, or with --print-join-command the whole command.
    Create(create::CreateArgs),
    /// Delete bootstrap tokens on the server
    ///
    /// Nodes that joined with them stay; no other node joins with them.
    Delete(delete::DeleteArgs),
    /// Generate and print a bootstrap token, but do not create it on the server
    ///
    /// `rkadm init --token` takes it, and a `bootstrapTokens` entry of the configuration.
    Generate,
    /// List bootstrap tokens on the server
    List,
}

/// Flags of the commands that ask the server.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Kubeconfig of an administrator [default: KUBECONFIG, ~/.kube/config or /etc/kubernetes/admin.conf]
    #[arg(long, value_name = "FILE", global = true)]
    kubeconfig: Option<PathBuf>,
    /// Print what would be done; change nothing
    #[arg(long, global = true)]
    dry_run: bool,
}

/// A token for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_command: Option<String>,
}

/// Several of them.
#[derive(Debug, Serialize)]
struct List<'a, T> {
    items: &'a [T],
}

/// Runs it.
pub async fn run(session: &Session, args: &TokenArgs) -> Result<(), CommandError> {
    let server = &args.server;
    match &args.command {
        TokenCommand::Create(args) => create::run(session, args, server).await,
        TokenCommand::Delete(args) => delete::run(session, args, server).await,
        TokenCommand::List => list::run(session, server).await,
        TokenCommand::Generate => {
            let token = BootstrapToken::generate().map_err(CommandError::failed)?.expose();
            let body = Created { token: &token, expires: None, join_command: None };
            session.printer.result("BootstrapToken", &body, || format!("{}\n", *token));
            Ok(())
        }
    }
}

/// The Secret of a token.
fn secret_of(id: &str) -> Result<ObjectRef, CommandError> {
    ObjectRef::new("Secret", Some("kube-system"), &format!("bootstrap-token-{id}"))
        .map_err(CommandError::failed)
}

/// A dry run's plan.
fn plan(command: &str, title: &str, steps: Vec<PlannedStep>) -> Vec<PlannedPhase> {
    vec![PlannedPhase {
        phase: command.into(),
        title: title.into(),
        outcome: Outcome::Done,
        why: None,
        steps,
    }]
}
