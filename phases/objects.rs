//! Steps for API objects, only where the cluster differs from what is wanted.

use std::path::PathBuf;

use rkadm_core::{
    engine::{PhaseError, PlanCx, Step, step::ObjectSource},
    host::ApiAccess,
    kube::ObjectRef,
};
use serde_json::Value;

use crate::init::Cluster;

/// How objects are applied.
pub struct Access {
    /// Whose rights, which server.
    pub via: ApiAccess,
    /// The data directory that takes the objects with it on rollback.
    pub dies_with: Option<PathBuf>,
}

/// Applies, as the administrator, those of the objects that are not there as wanted.
///
/// `blind`: the administrator may have no rights yet while this is planned, so nothing can be compared.
pub async fn wanted(
    cx: &PlanCx<'_>,
    cluster: &Cluster,
    objects: Vec<Value>,
    blind: bool,
) -> Result<Vec<Step>, PhaseError> {
    let access = Access { via: cluster.admin(), dies_with: cluster.etcd_data_dir() };
    if blind {
        return Ok(steps(&access, objects));
    }
    apply(cx, &access, objects).await
}

/// Applies those of the objects that are not there as wanted.
pub async fn apply(cx: &PlanCx<'_>, access: &Access, objects: Vec<Value>) -> Result<Vec<Step>, PhaseError> {
    let lives = objects.iter().map(|object| async {
        match ObjectRef::of(object) {
            Ok(target) => cx.host.object(&access.via, &target).await,
            Err(_) => Ok(None),
        }
    });
    let lives = futures::future::try_join_all(lives).await?;
    let differing = objects
        .into_iter()
        .zip(lives)
        .filter(|(object, live)| live.as_ref().is_none_or(|live| !holds(live, object)))
        .map(|(object, _)| object)
        .collect();
    Ok(steps(access, differing))
}

fn steps(access: &Access, objects: Vec<Value>) -> Vec<Step> {
    if objects.is_empty() {
        return vec![];
    }
    vec![Step::Apply {
        access: access.via.clone(),
        objects: objects.into_iter().map(|object| ObjectSource::Plain(Box::new(object))).collect(),
        dies_with: access.dies_with.clone(),
    }]
}

/// Whether the live object has everything that is wanted. What the server filled in beside it is no difference.
pub fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| match live.get(name) {
                Some(live) => holds(live, wanted),
                None => is_empty(wanted),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| holds(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

/// The server drops fields that are empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let live = json!({"a": [{"x": 1, "default": true}], "status": {}});
        assert!(holds(&live, &json!({"a": [{"x": 1}], "resources": {}})));
        assert!(!holds(&live, &json!({"a": [{"x": 2}]})));
        assert!(!holds(&live, &json!({"a": [{"x": 1}, {"x": 2}]})));
        assert!(!holds(&live, &json!({"b": 1})));
    }
}
