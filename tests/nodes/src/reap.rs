//! Clearing labs away: one's own, and those whose owner is gone.

use std::fs::File;

use anyhow::{Context as _, Result};

use crate::cgroup::Hierarchy;
use crate::state::{self, LabDir, LabState, NodeState};
use crate::{Cache, boot, cache, files, net, progress};

/// What was cleared away.
#[derive(Debug, Default)]
pub struct Reaped {
    pub labs: Vec<String>,
}

/// Held while labs are registered or reaped, so that nobody takes a lab that is just being made for a dead
/// one.
pub(crate) fn lock(cache: &Cache) -> Result<File> {
    cache::lock(&cache.root().join("locks/labs"))
}

/// Removes the labs of owners that have ended.
pub(crate) fn dead(cache: &Cache, _lock: &File) -> Result<Reaped> {
    remove(cache, |lab| match lab.state() {
        Ok(LabState { owner: Some(owner), .. }) => !owner.alive(),
        Ok(LabState { owner: None, .. }) => false,
        // Its making or its removal was cut off.
        Err(_) => true,
    })
}

/// Removes the labs of owners that have ended, and those that belong to nobody: all, or only the one named.
/// Labs of running tests stay.
pub fn clean(only: Option<&str>) -> Result<Reaped> {
    let cache = Cache::open()?;
    let lock = lock(&cache)?;
    let mut reaped = dead(&cache, &lock)?;
    let chosen = |lab: &LabDir| only.is_none_or(|name| name == lab.id);
    let persistent =
        remove(&cache, |lab| chosen(lab) && lab.state().is_ok_and(|state| state.owner.is_none()))?;
    reaped.labs.extend(persistent.labs);
    Ok(reaped)
}

/// All labs with their nodes.
pub fn list() -> Result<Vec<(LabState, Vec<NodeState>)>> {
    let cache = Cache::open()?;
    Ok(labs(&cache).iter().filter_map(|lab| Some((lab.state().ok()?, lab.node_states()))).collect())
}

fn labs(cache: &Cache) -> Vec<LabDir> {
    let dirs = files::entries(&state::all(cache));
    dirs.iter()
        .filter_map(|dir| dir.file_name())
        .map(|id| LabDir::new(cache, &id.to_string_lossy()))
        .collect()
}

fn remove(cache: &Cache, unwanted: impl Fn(&LabDir) -> bool) -> Result<Reaped> {
    let mut reaped = Reaped::default();
    for lab in labs(cache).into_iter().filter(unwanted) {
        destroy(&lab).with_context(|| format!("cannot clear away lab {}", lab.id))?;
        progress::say(&format!("cleared away lab {}", lab.id));
        reaped.labs.push(lab.id);
    }
    Ok(reaped)
}

/// Processes, network, cgroups, mounts, files: in this order each is free when its turn comes. Can be
/// repeated after it was cut off anywhere.
pub(crate) fn destroy(lab: &LabDir) -> Result<()> {
    net::kill_processes(lab)?;
    let hierarchy = Hierarchy::detect()?;
    for dir in files::entries(&lab.nodes()) {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let machine = lab.node_namespace(&name);
        hierarchy.remove(&machine)?;
        boot::forget_propagation(&machine)?;
    }
    net::remove_lab(lab)?;
    files::remove_tree(&lab.path)
}
