//! Phases of `init` that a joining control plane goes through, too.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict};

use super::joining::{Joining, WORKER};

/// A phase of `init` under its name in `join`, where this node becomes a control plane.
pub struct Borrowed {
    id: &'static str,
    inner: Box<dyn Phase>,
    joining: Arc<Joining>,
}

impl Borrowed {
    pub fn new(id: &'static str, inner: Box<dyn Phase>, joining: &Arc<Joining>) -> Self {
        Self { id, inner, joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for Borrowed {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta { id: self.id, ..self.inner.meta() }
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.joining.is_control_plane() {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        self.inner.plan(cx).await
    }
}
