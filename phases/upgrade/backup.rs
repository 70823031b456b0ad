//! `backup`: before anything changes, etcd with the keys as they are, proven.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
    },
    host::Actuator,
};
use serde_json::Value;

use super::{Upgrading, WORKER, control_plane::ControlPlane};

/// Name of the action in journals: never renamed.
pub const BACKUP_ACTION: &str = "backup-etcd";

pub struct Backup {
    upgrading: Arc<Upgrading>,
}

impl Backup {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self { upgrading: Arc::clone(upgrading) }
    }
}

#[async_trait]
impl Phase for Backup {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("backup", "Back up etcd and the keys of this control plane")
            .help(
                "Take a backup as `rkadm backup etcd` does and prove it. It stays, however the upgrade ends; `rkadm restore \
                 etcd` brings it back. --skip-phases=backup leaves it out.",
            )
            .once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let request = &self.upgrading.request;
        if !request.control_plane {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        if !ControlPlane::new(&self.upgrading).changes(cx).await? {
            return Ok(Verdict::NotApplicable("the control plane does not change".into()));
        }
        let dir = request.backup_dir.clone();
        Ok(Verdict::Apply(vec![Step::Action(Arc::new(Take { dir }))]))
    }
}

struct Take {
    dir: PathBuf,
}

#[async_trait]
impl Action for Take {
    fn name(&self) -> &'static str {
        BACKUP_ACTION
    }

    fn describe(&self) -> String {
        format!("back up etcd and the keys to {}, and verify the backup", self.dir.display())
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        // What is not complete is removed by the next one.
        cx.unless_cancelled(async { Ok(cx.host.backup_etcd(&self.dir).await.map(drop)?) }).await
    }
}
