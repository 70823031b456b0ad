//! Steps for API objects, only where the cluster differs from what is wanted.

use rkadm_core::{
    engine::{PhaseError, PlanCx, Step, step::ObjectSource},
    kube::ObjectRef,
    yaml,
};
use serde_json::Value;

use crate::init::Cluster;

/// An object of a kind that the table has.
pub fn named(kind: &str, namespace: Option<&str>, name: &str) -> Result<ObjectRef, PhaseError> {
    ObjectRef::new(kind, namespace, name).map_err(|error| PhaseError::Config { message: error.to_string() })
}

/// Applies, as the administrator, those of the objects that are not there as wanted.
pub async fn wanted(
    cx: &PlanCx<'_>,
    cluster: &Cluster,
    objects: Vec<Value>,
) -> Result<Vec<Step>, PhaseError> {
    let access = cluster.admin(cx.host).await?;
    let lives = objects.iter().map(|object| async {
        match ObjectRef::of(object) {
            Ok(target) => cx.host.object(&access, &target).await,
            Err(_) => Ok(None),
        }
    });
    let lives = futures::future::try_join_all(lives).await?;
    let objects: Vec<_> = objects
        .into_iter()
        .zip(lives)
        .map(|(object, live)| (with_texts_of(object, live.as_ref()), live))
        .filter(|(object, live)| live.as_ref().is_none_or(|live| !holds(live, object)))
        .map(|(object, _)| ObjectSource::Plain(Box::new(object)))
        .collect();
    if objects.is_empty() {
        return Ok(vec![]);
    }
    Ok(vec![Step::Apply { access, objects, dies_with: cluster.dies_with() }])
}

/// A text of a ConfigMap that says the same in YAML stays as its author wrote it, comments and all.
fn with_texts_of(mut object: Value, live: Option<&Value>) -> Value {
    let (Some(live), true) = (live, object["kind"] == "ConfigMap") else { return object };
    for (key, text) in object["data"].as_object_mut().into_iter().flatten() {
        let Some(there) = live["data"].get(key) else { continue };
        let parsed = |text: &Value| text.as_str().and_then(|text| yaml::from_str::<Value>(text).ok());
        if matches!((parsed(text), parsed(there)), (Some(one), Some(other)) if one == other) {
            *text = there.clone();
        }
    }
    object
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
