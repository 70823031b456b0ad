//! `preflight`: whether the upgrade may begin, and the images that it needs.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict};

use super::{
    Upgrading, findings,
    state::{self, Seen},
};
use crate::preflight::{Found, Severity, images, is_ignored, judge};

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
        found.extend(self.look(cx, seen.as_ref()).await);
        let steps = judge(cx, &upgrading.cluster, found, missing)?;
        Ok(Verdict::from_steps(steps, "all checks passed and all images are here"))
    }
}

/// What is not ready in one moment may be in the next: a machine with much to do, pods that have just started. The startup probe of a
/// static pod asks after ten seconds and then every ten, so a control plane that has just joined needs up to twenty and more.
pub const LOOKS: u32 = 16;
/// Between two looks.
pub const PAUSE: Duration = Duration::from_secs(2);

impl Preflight {
    async fn look(&self, cx: &PlanCx<'_>, seen: Option<&Seen>) -> Vec<Found> {
        let upgrading = &self.upgrading;
        let ignored = &upgrading.request.config.ignore_preflight_errors;
        let health_is_ignored = is_ignored(ignored, findings::HEALTH);
        let passes = |(severity, finding): &Found| {
            *severity != Severity::Error || finding.check != findings::HEALTH || health_is_ignored
        };
        for _ in 1..LOOKS {
            let found = findings::look(cx.host, upgrading, upgrading.version(), seen).await;
            if cx.is_dry_run() || found.iter().all(passes) {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
        findings::look(cx.host, upgrading, upgrading.version(), seen).await
    }
}
