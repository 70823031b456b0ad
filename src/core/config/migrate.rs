//! From `kubeadm.k8s.io/v1beta3` to v1beta4.
//!
//! Documents are converted as trees that keep the place of everything, so what is wrong with a value is told with the line
//! of the old file.

use super::document::{Document, Documents, Entry, Node, Source, Spanned};
use super::error::{ConfigErrors, Warning};
use super::resolve::{Completed, HostFacts, complete_documents};
use super::schema::v1beta3::API_VERSION as OLD;
use super::types::KUBEADM_API_VERSION;

const INIT: &str = "InitConfiguration";
/// Where a control plane's patience is given, now and before.
const HEALTH_CHECK: &str = "controlPlaneComponentHealthCheck";
const OLD_HEALTH_CHECK: &str = "timeoutForControlPlane";

/// Files of v1beta3 and v1beta4, read and converted; nothing is filled in yet.
///
/// # Errors
/// Every mistake in the files at once.
pub fn load(sources: &[Source]) -> Result<Documents, ConfigErrors> {
    let mut documents = Documents::load_old(sources)?;
    let mut health_check = None;
    for document in documents.list.iter_mut().filter(|document| document.api_version == OLD) {
        convert(document);
        if let Some(found) = child(&mut document.root, "apiServer").and_then(|it| take(it, OLD_HEALTH_CHECK))
        {
            health_check = Some((document.file.clone(), found));
        }
    }
    if let Some((file, entry)) = health_check {
        move_health_check(&mut documents, &file, entry);
    }
    Ok(documents)
}

/// The documents as v1beta4 with every default written out.
///
/// # Errors
/// Every problem at once.
pub fn complete(documents: &Documents, facts: &HostFacts) -> Result<Completed, ConfigErrors> {
    // What runs here says nothing of the machine that the file is for: kubeadm does not look for a runtime either.
    complete_documents(documents, &HostFacts { cri_sockets: Vec::new(), ..facts.clone() })
}

/// Converts what stays within the document.
fn convert(document: &mut Document) {
    KUBEADM_API_VERSION.clone_into(&mut document.api_version);
    let root = &mut document.root;
    if let Some(version) = child(root, "apiVersion") {
        version.node = Node::Str(KUBEADM_API_VERSION.to_owned());
    }
    for path in [
        &["nodeRegistration", "kubeletExtraArgs"][..],
        &["apiServer", "extraArgs"],
        &["controllerManager", "extraArgs"],
        &["scheduler", "extraArgs"],
        &["etcd", "local", "extraArgs"],
    ] {
        let arguments = path.iter().try_fold(&mut *root, |here, step| child(here, step));
        if let Some(arguments) = arguments {
            list_arguments(arguments);
        }
    }
    if let Some(timeout) = child(root, "discovery").and_then(|discovery| take(discovery, "timeout")) {
        set_timeout(root, "discovery", timeout);
    }
}

/// A map of arguments as a list, by name, which is the order that they had on the command line.
fn list_arguments(arguments: &mut Spanned) {
    let Node::Map(entries) = &mut arguments.node else { return };
    let mut entries = std::mem::take(entries);
    entries.sort_by(|left, right| left.key.cmp(&right.key));
    let argument = |entry: Entry| {
        let text = |key: &str, at, node| Entry { key: key.to_owned(), at, value: Spanned { at, node } };
        // An argument without a value is one with an empty value.
        let value = if entry.value.node == Node::Null { Node::Str(String::new()) } else { entry.value.node };
        let parts = vec![text("name", entry.at, Node::Str(entry.key)), text("value", entry.value.at, value)];
        Spanned { at: entry.at, node: Node::Map(parts) }
    };
    arguments.node = Node::List(entries.into_iter().map(argument).collect());
}

/// The time that a control plane gets is a matter of the node now. One that was given in the new form stays.
fn move_health_check(documents: &mut Documents, file: &str, entry: Entry) {
    let at = entry.at;
    if !documents.list.iter().any(|document| document.kind == INIT) {
        let of = |key: &str, text: &str| Entry {
            key: key.to_owned(),
            at,
            value: Spanned { at, node: Node::Str(text.to_owned()) },
        };
        let root =
            Spanned { at, node: Node::Map(vec![of("apiVersion", KUBEADM_API_VERSION), of("kind", INIT)]) };
        documents.list.push(Document {
            file: file.to_owned(),
            api_version: KUBEADM_API_VERSION.to_owned(),
            kind: INIT.to_owned(),
            root,
        });
    }
    let Some(init) = documents.list.iter_mut().find(|document| document.kind == INIT) else { return };
    if init.root.get("timeouts").and_then(|timeouts| timeouts.get(HEALTH_CHECK)).is_some() {
        let path = format!("apiServer.{OLD_HEALTH_CHECK}");
        let message = format!("not used: {INIT} has timeouts.{HEALTH_CHECK}");
        let warning = Warning::new(path, message);
        documents.warnings.push(Warning(warning.0.at(file, at)));
    } else {
        set_timeout(&mut init.root, HEALTH_CHECK, entry);
    }
}

fn set_timeout(root: &mut Spanned, name: &str, entry: Entry) {
    let at = entry.at;
    if child(root, "timeouts").is_none()
        && let Node::Map(entries) = &mut root.node
    {
        entries.retain(|entry| entry.key != "timeouts");
        let value = Spanned { at, node: Node::Map(Vec::new()) };
        entries.push(Entry { key: "timeouts".to_owned(), at, value });
    }
    if let Some(Spanned { node: Node::Map(timeouts), .. }) = child(root, "timeouts") {
        timeouts.push(Entry { key: name.to_owned(), ..entry });
    }
}

/// The value of a key, unless it is null.
fn child<'a>(here: &'a mut Spanned, key: &str) -> Option<&'a mut Spanned> {
    let Node::Map(entries) = &mut here.node else { return None };
    entries
        .iter_mut()
        .find(|entry| entry.key == key && entry.value.node != Node::Null)
        .map(|entry| &mut entry.value)
}

/// Takes a key out, unless it is null.
fn take(here: &mut Spanned, key: &str) -> Option<Entry> {
    let Node::Map(entries) = &mut here.node else { return None };
    let index = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(index)).filter(|entry| entry.value.node != Node::Null)
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
