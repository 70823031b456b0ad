//! A workflow: a flat, ordered list of phases.

use std::collections::BTreeSet;

use super::phase::{Phase, PhaseMeta};

/// What a command does, as a list.
pub struct Workflow {
    /// The command's name, for example `init`.
    pub name: String,
    /// In order.
    pub phases: Vec<Box<dyn Phase>>,
}

/// A phase name that the workflow does not have, or a skip that breaks a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No such phase.
    #[error("{workflow} has no phase {name:?}")]
    Unknown {
        /// The workflow.
        workflow: String,
        /// What was asked for.
        name: String,
        /// The nearest existing id.
        nearest: Option<String>,
    },
    /// A skipped phase is required by one that runs.
    #[error("phase {phase} needs phase {required}, which is skipped")]
    Required {
        /// The phase that would run.
        phase: &'static str,
        /// The one it needs.
        required: &'static str,
    },
}

/// Whether `name` selects the phase `id`: the id itself or a parent of it.
pub fn selects(name: &str, id: &str) -> bool {
    let name = name.trim_end_matches('/');
    id == name || id.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
}

impl Workflow {
    /// The declarations, in order.
    pub fn metas(&self) -> Vec<PhaseMeta> {
        self.phases.iter().map(|phase| phase.meta()).collect()
    }

    /// Keeps only the phases that one of the names selects. `all` is not a phase: `certs` means all of them.
    ///
    /// # Errors
    /// A name that selects nothing.
    pub fn only(mut self, names: &[String]) -> Result<Self, SelectionError> {
        self.check_names(names)?;
        self.phases.retain(|phase| names.iter().any(|name| selects(name, phase.meta().id)));
        Ok(self)
    }

    /// The ids to skip for these names.
    ///
    /// # Errors
    /// A name that selects nothing, or a phase that runs and requires a skipped one.
    pub fn skips(&self, names: &[String]) -> Result<BTreeSet<&'static str>, SelectionError> {
        self.check_names(names)?;
        let metas = self.metas();
        let skipped: BTreeSet<_> = metas
            .iter()
            .map(|meta| meta.id)
            .filter(|id| names.iter().any(|name| selects(name, id)))
            .collect();
        for meta in metas.iter().filter(|meta| !skipped.contains(meta.id)) {
            if let Some(required) = meta.requires.iter().find(|required| skipped.contains(*required)) {
                return Err(SelectionError::Required { phase: meta.id, required });
            }
        }
        Ok(skipped)
    }

    fn check_names(&self, names: &[String]) -> Result<(), SelectionError> {
        let ids: Vec<_> = self.metas().iter().map(|meta| meta.id).collect();
        for name in names {
            if !ids.iter().any(|id| selects(name, id)) {
                let parents = ids.iter().filter_map(|id| id.split_once('/').map(|(parent, _)| parent));
                let nearest = crate::text::nearest(name, ids.iter().copied().chain(parents));
                return Err(SelectionError::Unknown {
                    workflow: self.name.clone(),
                    name: name.clone(),
                    nearest,
                });
            }
        }
        Ok(())
    }
}
