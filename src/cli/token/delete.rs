//! `rkadm token delete`.

use clap::Args;
use rkadm_core::{
    config::validate::names::{is_token, is_token_id},
    engine::plan::PlannedStep,
};
use serde::Serialize;

use super::{ServerArgs, plan, secret_of};
use crate::cli::{
    Session,
    cluster::Cluster,
    exit::{CommandError, ExitKind},
    plan as planned,
};

/// Flags of `token delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Whole tokens, or their ids: the six characters before the dot
    #[arg(value_name = "TOKEN|ID")]
    tokens: Vec<String>,
}

/// The result of `rkadm token delete`.
#[derive(Debug, Serialize)]
struct Deleted<'a> {
    deleted: &'a [String],
}

/// Runs it. All words are checked, and all tokens looked for, before the first is deleted.
pub async fn run(session: &Session, args: &DeleteArgs, server: &ServerArgs) -> Result<(), CommandError> {
    let ids = ids(&args.tokens)?;
    let cluster = Cluster::open(session, server.kubeconfig.as_deref())?;
    let mut missing = vec![];
    for id in &ids {
        let found = cluster.client.get(&secret_of(id)?).await;
        match found.map_err(|error| cluster.explain(&error, "No token was deleted."))? {
            Some(_) => {}
            None => missing.push(format!("{id:?}")),
        }
    }
    if !missing.is_empty() {
        let message = format!("there is no token with the id {}", missing.join(", "));
        return Err(CommandError::failed(message)
            .detail("No token was deleted.")
            .hint("`rkadm token list` shows those that are there"));
    }
    if server.dry_run {
        let step = |id: &String| PlannedStep {
            action: "delete",
            targets: vec![format!("Secret kube-system/bootstrap-token-{id}")],
            description: format!("delete Secret kube-system/bootstrap-token-{id}"),
            diff: None,
        };
        let steps = ids.iter().map(step).collect();
        planned::print(session, plan("token/delete", "Delete bootstrap tokens on the server", steps));
        return Ok(());
    }
    for (done, id) in ids.iter().enumerate() {
        // One that somebody else deleted meanwhile is as gone as it was to be.
        if let Err(error) = cluster.client.delete(&secret_of(id)?).await {
            let left = match &ids[..done] {
                [] => "No token was deleted.".to_owned(),
                before => format!("Deleted before: {}.", before.join(", ")),
            };
            return Err(cluster.explain(&error, &left));
        }
    }
    session.printer.result("DeletedTokens", &Deleted { deleted: &ids }, || {
        let lines: Vec<_> = ids.iter().map(|id| format!("bootstrap token {id:?} deleted")).collect();
        lines.join("\n") + "\n"
    });
    Ok(())
}

/// The ids, each once. What is of another form is not repeated: it may be a mistyped secret.
fn ids(words: &[String]) -> Result<Vec<String>, CommandError> {
    let form = "a token has the form [a-z0-9]{6}.[a-z0-9]{16}, its id the form [a-z0-9]{6}";
    if words.is_empty() {
        return Err(CommandError::new(ExitKind::Usage, "no token was given").hint(form));
    }
    let mut ids: Vec<String> = vec![];
    for (index, word) in words.iter().enumerate() {
        if !is_token(word) && !is_token_id(word) {
            let message = format!("word {} is neither a bootstrap token nor the id of one", index + 1);
            return Err(CommandError::new(ExitKind::Usage, message)
                .detail("No token was deleted.")
                .hint(form));
        }
        let id = word.split_once('.').map_or(word.as_str(), |(id, _)| id);
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}
