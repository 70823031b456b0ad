//! `rkadm token`.

use clap::Subcommand;
use rkadm_core::pki::bootstrap_token::BootstrapToken;
use serde::Serialize;

use super::{Session, exit::CommandError};

/// What `rkadm token` can do.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Generate and print a bootstrap token, but do not create it on the server
    ///
    /// `rkadm init --token` takes it, and a `bootstrapTokens` entry of the configuration.
    Generate,
}

/// The result of `rkadm token generate`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Generated<'a> {
    token: &'a str,
}

/// Runs it.
pub fn run(session: &Session, command: &TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::Generate => {
            let token = BootstrapToken::generate().map_err(CommandError::failed)?.expose();
            session
                .printer
                .result("BootstrapToken", &Generated { token: &token }, || format!("{}\n", *token));
            Ok(())
        }
    }
}
