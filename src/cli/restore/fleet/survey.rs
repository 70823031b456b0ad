//! What one of several machines says of itself before anything is done: `rkadm restore survey`, which no person types.

use rkadm_core::{
    engine::{journal::JournalDir, phase::Finding},
    host::Probe as _,
    text::sha256_hex,
};
use rkadm_phases::{
    restore::{self, NodeEtcd, Restore, Source, WORKFLOW},
    static_pods,
};
use serde::{Deserialize, Serialize};

use super::super::{DEFAULT_SOCKET, unusable};
use crate::cli::{API_TIMEOUT, Session, exit::CommandError};

/// What it is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The backup, as the machine that leads has read it.
    pub source: Source,
    /// Go on where keys differ.
    pub force: bool,
}

/// What it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Name of its member.
    pub name: String,
    /// SHA-256 of the authority of etcd, which is one for all members.
    pub authority: Option<String>,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// The revision that its etcd has.
    pub revision: Option<i64>,
    /// Names of the members that its etcd knows, and what they are called in messages.
    pub members: Vec<(String, String)>,
    /// What speaks against it.
    pub findings: Vec<Finding>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// An operation that has to end first.
    pub unfinished: Option<Unfinished>,
}

/// An operation that was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfinished {
    /// Its id.
    pub id: String,
    /// Its command.
    pub workflow: String,
    /// It is a restore of several machines, and can be taken back without a question.
    pub together: bool,
}

/// Answers.
pub async fn run(session: &Session) -> Result<(), CommandError> {
    Session::require_root("restore survey")?;
    let question: Question =
        serde_json::from_reader(std::io::stdin().lock()).map_err(CommandError::failed)?;
    let host = session.host(API_TIMEOUT);
    let unfinished = unfinished(session)?;
    // What it says of itself in the middle of a restore is not the whole truth; it is asked again afterwards.
    let node = match NodeEtcd::read(&host).await {
        Err(_) if unfinished.as_ref().is_some_and(|it| it.together) => {
            return say(&Answer { unfinished, ..Answer::default() });
        }
        read => read.map_err(|error| unusable(&error))?,
    };
    let restore = Restore {
        source: question.source,
        node,
        force: question.force,
        cri_socket: static_pods::cri_socket(&host).await.unwrap_or_else(|| DEFAULT_SOCKET.into()),
        ..Restore::default()
    };
    let survey = restore::survey_one_of_several(&host, &restore).await.map_err(|error| unusable(&error))?;
    let authority = host.read(&restore.node.access.ca).await.ok().flatten().map(|ca| sha256_hex(&ca));
    let answer = Answer {
        authority,
        name: restore.node.name.clone(),
        peer_urls: restore.node.peer_urls.clone(),
        revision: survey.revision,
        members: survey.members.iter().map(|member| (member.name.clone(), member.describe())).collect(),
        findings: survey.against(question.force),
        warnings: survey.told(question.force),
        unfinished,
    };
    say(&answer)
}

fn say(answer: &Answer) -> Result<(), CommandError> {
    crate::output::plain(&serde_json::to_string(answer).map_err(CommandError::failed)?);
    Ok(())
}

fn unfinished(session: &Session) -> Result<Option<Unfinished>, CommandError> {
    let Some(operation) = JournalDir::below(&session.root).unfinished()? else { return Ok(None) };
    let others = operation.begun().map(|begun| begun.config["others"].clone()).unwrap_or_default();
    let together =
        operation.workflow() == WORKFLOW && others.as_array().is_some_and(|others| !others.is_empty());
    Ok(Some(Unfinished { workflow: operation.workflow().to_owned(), id: operation.id, together }))
}
