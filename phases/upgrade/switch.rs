//! The old pods end. The kubelet, which does not run then, starts the new ones at once when it starts: it has no back-off,
//! and nothing that it waits for.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    etcd::EtcdAccess,
    host::{Actuator, ServiceVerb},
    manifest::Component,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{init::KUBELET, restore::stop_pods_of};

/// Name of the action in journals: never renamed.
pub const SWITCH_ACTION: &str = "switch-control-plane-pods";
/// etcd's servers look every four seconds whether the version of their data is to change: a minute is plenty.
const LOWER_TRIES: u32 = 240;
/// Servers look every five seconds whether all of them are newer.
const RAISE_TRIES: u32 = 60;
/// One that was just started answers within so many tries, or not at all.
const ANSWER_TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// The etcd that was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdBefore {
    /// How this node's member is reached.
    pub access: EtcdAccess,
    /// Its minor, `3.6`: its server opens no data of a newer one.
    pub minor: String,
}

impl EtcdBefore {
    /// Name of the recorded output.
    pub const OUTPUT: &'static str = "etcd before";
}

/// Ends the old pods.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    /// The runtime's socket URL.
    pub socket: String,
    /// Whose pods.
    #[serde(with = "names")]
    pub components: BTreeSet<Component>,
    /// Where etcd is among them.
    pub etcd: Option<EtcdBefore>,
}

/// Components by their names.
mod names {
    use std::collections::BTreeSet;

    use rkadm_core::manifest::Component;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(all: &BTreeSet<Component>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(|component| component.name()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<Component>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        let named = |component: &Component| names.iter().any(|name| name == component.name());
        Ok(Component::ALL.into_iter().filter(named).collect())
    }
}

#[async_trait]
impl Action for Switch {
    fn name(&self) -> &'static str {
        SWITCH_ACTION
    }

    fn describe(&self) -> String {
        let names: Vec<_> = self.components.iter().map(|component| component.name()).collect();
        format!("end the old {}", names.join(", "))
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        serde_json::to_value(self).map_err(|error| StepError::Content(error.to_string()))
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        // One that a rollback has begun would hold etcd's data at the old minor.
        if let Some(etcd) = &self.etcd
            && let Some(endpoint) = etcd.access.endpoints.first()
            && let Ok(status) = cx.host.etcd_status(&etcd.access, endpoint).await
            && status.downgrading_to.is_some()
        {
            cx.host.etcd_end_downgrade(&etcd.access).await?;
        }
        stop_pods_of(cx.host, &self.socket, &self.components).await
    }
}

/// Ends the new pods, once etcd's data can be opened by the server that was there before. Older steps bring the manifests
/// back and start the kubelet.
pub struct UndoSwitch;

#[async_trait]
impl UndoAction for UndoSwitch {
    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let switch: Switch =
            serde_json::from_value(data.clone()).map_err(|error| StepError::Content(error.to_string()))?;
        if let Some(etcd) = &switch.etcd {
            lower(host, etcd, &switch.socket).await?;
        }
        host.control_service(KUBELET, ServiceVerb::Stop).await?;
        stop_pods_of(host, &switch.socket, &switch.components).await
    }

    fn by_hand(&self, data: &Value) -> Vec<String> {
        let switch: Switch = serde_json::from_value(data.clone()).unwrap_or_default();
        let mut commands = vec![];
        if let Some(etcd) = &switch.etcd {
            let minor = &etcd.minor;
            commands.push(format!(
                "where etcd's data is newer than {minor}: `etcdctl downgrade enable {minor}`, and wait until `etcdctl endpoint \
                 status -w json` shows storageVersion {minor}.0; or `rkadm restore etcd latest` at the end"
            ));
        }
        let names: Vec<_> = switch.components.iter().map(|component| component.name()).collect();
        commands.push("systemctl stop kubelet".into());
        commands.push(format!("crictl stop $(crictl ps -q --name '^({})$')", names.join("|")));
        commands
    }
}

/// Gives etcd's data the version of the server that was there before, where newer servers have raised it or are about to. Nothing
/// that was written is lost. A server that does not answer is ended as it is: where it never served, it has not raised anything.
pub(super) async fn lower(host: &dyn Actuator, etcd: &EtcdBefore, socket: &str) -> Result<(), StepError> {
    let Some(endpoint) = etcd.access.endpoints.first() else { return Ok(()) };
    let (mut silent, mut asked, mut waited) = (0, false, 0);
    for _ in 0..LOWER_TRIES {
        match host.etcd_status(&etcd.access, endpoint).await {
            Ok(status) if is_newer(&status.storage_version, &etcd.minor) => {
                if !std::mem::replace(&mut asked, true) && status.downgrading_to.is_none() {
                    host.etcd_downgrade(&etcd.access, &etcd.minor).await?;
                    continue;
                }
            }
            // Data that is about to be raised must not be so between this look and the end of the server.
            Ok(status) if !asked && status.downgrading_to.is_none() => {
                let raises = is_newer(&status.version, &etcd.minor) && all_newer(host, etcd).await;
                if !raises || waited >= RAISE_TRIES {
                    return Ok(());
                }
                waited += 1;
            }
            Ok(_) => return Ok(()),
            // One that runs and says nothing may have served before.
            Err(_) if silent >= ANSWER_TRIES && !is_kept_running(host, socket).await? => return Ok(()),
            Err(_) => silent += 1,
        }
        host.pause(PAUSE).await;
    }
    let seconds = (PAUSE * LOWER_TRIES).as_secs();
    let text = format!("within {seconds} s etcd did not say that its data is of {}", etcd.minor);
    Err(StepError::Content(text))
}

/// Whether the kubelet keeps it running.
async fn is_kept_running(host: &dyn Actuator, socket: &str) -> Result<bool, StepError> {
    Ok(host.service(KUBELET).await?.is_up() && etcd_runs(host, socket).await?)
}

/// Whether a container of etcd runs on this machine.
pub(super) async fn etcd_runs(host: &dyn Actuator, socket: &str) -> Result<bool, StepError> {
    let containers = host.containers(socket, "kube-system").await?;
    Ok(containers.iter().any(|container| container.running && container.name == Component::Etcd.name()))
}

/// Whether every member runs a newer server: only then, and while all answer, do they raise the version of the data.
async fn all_newer(host: &dyn Actuator, etcd: &EtcdBefore) -> bool {
    let Ok(members) = host.etcd_members(&etcd.access).await else { return false };
    for member in members {
        let Some(endpoint) = member.client_urls.first() else { return false };
        let access = etcd.access.at(member.client_urls.clone());
        match host.etcd_status(&access, endpoint).await {
            Ok(status) if is_newer(&status.version, &etcd.minor) => {}
            _ => return false,
        }
    }
    true
}

/// Whether data of this version (`3.7.0`, empty before 3.6) is newer than servers of the minor (`3.6`) can open.
fn is_newer(storage: &str, minor: &str) -> bool {
    let numbers = |text: &str| -> Option<(u64, u64)> {
        let mut numbers = text.split('.').map_while(|number| number.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    matches!((numbers(storage), numbers(minor)), (Some(storage), Some(minor)) if storage > minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_lowered_only_where_it_is_newer() {
        assert!(is_newer("3.7.0", "3.6"));
        assert!(!is_newer("3.6.0", "3.6"));
        assert!(!is_newer("", "3.5"));
        assert!(is_newer("3.10.0", "3.9"));
    }

    #[test]
    fn what_a_journal_holds_can_be_read_back() {
        let components = [Component::Etcd, Component::Scheduler].into();
        let switch = Switch { socket: "unix:///s".into(), components, etcd: Some(EtcdBefore::default()) };
        let text = serde_json::to_string(&switch).unwrap();
        let back: Switch = serde_json::from_str(&text).unwrap();
        assert_eq!((back.components, back.etcd), (switch.components, switch.etcd));
    }
}
