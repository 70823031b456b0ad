//! `preflight`: whether the upgrade may begin, and the images that it needs.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict};

use super::{Upgrading, findings, state};
use crate::preflight::{images, judge};

pub struct Preflight {
    upgrading: Arc<Upgrading>,
}

impl Preflight {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self { upgrading: Arc::clone(upgrading) }
    }
}

#[async_trait]
impl Phase for Preflight {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("preflight", "Run preflight checks before upgrade")
            .help(
                "Check versions, health, manifests and etcd, and pull the images. All checks run, then all that failed are \
                 shown; `rkadm upgrade plan` shows the same. --ignore-preflight-errors=NAME turns one into a warning.",
            )
            .once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let upgrading = &self.upgrading;
        let (mut seen, mut missing, mut found) = (None, vec![], vec![]);
        if upgrading.request.control_plane {
            let access = upgrading.cluster.admin(cx.host).await?;
            seen = state::look(cx.host, &access).await.ok();
            (missing, found) = images::missing(cx.host, &upgrading.cluster).await;
        }
        found.extend(findings::look(cx.host, upgrading, seen.as_ref()).await);
        let steps = judge(cx, &upgrading.cluster, found, missing)?;
        Ok(Verdict::from_steps(steps, "all checks passed and all images are here"))
    }
}
