//! `check`: nothing speaks against it.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict};

use super::{Restore, survey};

pub struct Check(pub Arc<Restore>);

#[async_trait]
impl Phase for Check {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("check", "Compare the backup with this machine").once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let found = survey(cx.host, &self.0).await?;
        let against = found.against(self.0.force);
        if against.is_empty() {
            return Ok(Verdict::AlreadyDone("the backup fits this machine".into()));
        }
        let join = |texts: Vec<String>| texts.join("; ");
        Err(PhaseError::Unusable {
            message: join(against.iter().map(|finding| finding.message.clone()).collect()),
            hint: join(against.into_iter().filter_map(|finding| finding.hint).collect()),
        })
    }
}
