//! API objects, as they were before.

use std::path::PathBuf;

use serde_json::Value;

use super::{Saver, Undo};
use crate::{
    engine::{act::StepError, step::ObjectSource},
    host::{Actuator, ApiAccess},
    kube::ObjectRef,
};

/// Removes those that were not there, and brings back the others.
pub(super) async fn take_back(
    host: &dyn Actuator,
    saver: &dyn Saver,
    access: &ApiAccess,
    created: &[ObjectRef],
    saved: &[String],
) -> Result<(), StepError> {
    let access = &answering(host, access).await;
    for target in created {
        host.delete(access, target).await?;
    }
    for name in saved {
        let bytes = saver.saved(name).map_err(|error| StepError::saved(name, error))?;
        let object = serde_json::from_slice(&bytes).map_err(|error| StepError::saved(name, error.into()))?;
        host.apply(access, &object).await?;
    }
    Ok(())
}

/// Takes a change of one back.
pub(super) async fn patch_back(
    host: &dyn Actuator,
    access: &ApiAccess,
    target: &ObjectRef,
    patch: &Value,
) -> Result<(), StepError> {
    Ok(host.patch(&answering(host, access).await, target, patch).await?)
}

/// What was there before an apply.
pub(super) async fn before_apply(
    host: &dyn Actuator,
    saver: &dyn Saver,
    access: &ApiAccess,
    objects: &[ObjectSource],
    dies_with: Option<PathBuf>,
) -> Result<Undo, StepError> {
    let targets: Vec<_> = objects.iter().filter_map(ObjectSource::reference).collect();
    let live =
        futures::future::try_join_all(targets.iter().map(|target| host.object(access, target))).await?;
    let (mut created, mut saved) = (vec![], vec![]);
    for (target, live) in targets.into_iter().zip(live) {
        match live {
            None => created.push(target),
            Some(object) => {
                let bytes = serde_json::to_vec(&without_server_fields(object)).unwrap_or_default();
                saved.push(saver.save(&bytes).map_err(|error| StepError::saved(&target.to_string(), error))?);
            }
        }
    }
    Ok(Undo::Objects { access: access.clone(), created, saved, dies_with })
}

/// What was there before it goes.
pub(super) async fn before_delete(
    host: &dyn Actuator,
    saver: &dyn Saver,
    access: &ApiAccess,
    target: &ObjectRef,
    dies_with: Option<PathBuf>,
) -> Result<Undo, StepError> {
    let Some(object) = host.object(access, target).await? else { return Ok(Undo::Nothing) };
    let bytes = serde_json::to_vec(&without_server_fields(object)).unwrap_or_default();
    let saved = saver.save(&bytes).map_err(|error| StepError::saved(&target.to_string(), error))?;
    Ok(Undo::Objects { access: access.clone(), created: vec![], saved: vec![saved], dies_with })
}

/// Server-set metadata cannot be applied back.
fn without_server_fields(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in
            ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"]
        {
            metadata.remove(field);
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    object
}

/// The machine's own API server, by which the step was done, may be gone by now, or not there yet after a reboot: the one that the
/// kubeconfig names knows the same objects.
async fn answering(host: &dyn Actuator, access: &ApiAccess) -> ApiAccess {
    let elsewhere = ApiAccess { kubeconfig: access.kubeconfig.clone(), server: None };
    let silent = access.server.is_some() && host.api_health(access, "/readyz").await.is_err();
    if silent { elsewhere } else { access.clone() }
}
