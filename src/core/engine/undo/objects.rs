//! API objects, as they were before.

use std::path::PathBuf;

use serde_json::Value;

use super::{Saver, Undo};
use crate::{
    engine::{
        act::StepError,
        foreign::{Foreign, says},
        step::ObjectSource,
    },
    host::{Actuator, ApiAccess},
    kube::ObjectRef,
};

/// Removes those that were not there, and brings back the others. What another hand changed since is kept first.
pub(super) async fn take_back(
    host: &dyn Actuator,
    saver: &dyn Saver,
    undo: &Undo,
) -> Result<Vec<Foreign>, StepError> {
    let Undo::Objects { access, created, saved, wrote, .. } = undo else { return Ok(vec![]) };
    let access = &answering(host, access).await;
    let wrote: Vec<Value> = match wrote {
        Some(name) => kept(saver, name)?,
        None => vec![],
    };
    let mut found = vec![];
    for target in created {
        found.extend(changed(host, saver, access, target, &wrote, None).await?);
        host.delete(access, target).await?;
    }
    for name in saved {
        let object: Value = kept(saver, name)?;
        if let Ok(target) = ObjectRef::of(&object) {
            found.extend(changed(host, saver, access, &target, &wrote, Some(&object)).await?);
        }
        host.apply(access, &object).await?;
    }
    Ok(found)
}

fn kept<T: serde::de::DeserializeOwned>(saver: &dyn Saver, name: &str) -> Result<T, StepError> {
    let bytes = saver.saved(name).map_err(|error| StepError::saved(name, error))?;
    serde_json::from_slice(&bytes).map_err(|error| StepError::saved(name, error.into()))
}

/// Keeps an object that is neither what the operation wrote nor what was there before.
async fn changed(
    host: &dyn Actuator,
    saver: &dyn Saver,
    access: &ApiAccess,
    target: &ObjectRef,
    wrote: &[Value],
    before: Option<&Value>,
) -> Result<Option<Foreign>, StepError> {
    let Some(wrote) = wrote.iter().find(|object| ObjectRef::of(object).is_ok_and(|it| it == *target)) else {
        return Ok(None);
    };
    let Some(live) = host.object(access, target).await? else { return Ok(None) };
    if says(&live, wrote) || before.is_some_and(|before| says(&live, before)) {
        return Ok(None);
    }
    let copy = saver.save(&serde_json::to_vec_pretty(&without_server_fields(live)).unwrap_or_default());
    let copy = copy.map_err(|error| StepError::saved(&target.to_string(), error))?;
    Ok(Some(Foreign { what: target.to_string(), copy: Some(copy) }))
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
    // What dies with its etcd is not taken back one by one.
    let wrote = if dies_with.is_none() { keep_written(saver, objects)? } else { None };
    Ok(Undo::Objects { access: access.clone(), created, saved, wrote, dies_with })
}

/// What a rollback compares with. Copies outlive the operation: a token that is in none of them by now must not come into one.
fn keep_written(saver: &dyn Saver, objects: &[ObjectSource]) -> Result<Option<String>, StepError> {
    let plain = |object: &ObjectSource| match object {
        ObjectSource::Plain(object) => (object["kind"] != "Secret").then(|| object.clone()),
        ObjectSource::Made(_) => None,
    };
    let wrote: Vec<_> = objects.iter().filter_map(plain).collect();
    if wrote.is_empty() {
        return Ok(None);
    }
    let name = saver.save(&serde_json::to_vec(&wrote).unwrap_or_default());
    name.map(Some).map_err(|error| StepError::saved("what is applied", error))
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
    Ok(Undo::Objects { access: access.clone(), created: vec![], saved: vec![saved], wrote: None, dies_with })
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
    let is_well = async || host.api_health(access, "/readyz").await.is_ok_and(|health| health.status == 200);
    // One that answers but is not ready, such as without its etcd, takes no change.
    let silent = access.server.is_some() && !is_well().await;
    if silent { elsewhere } else { access.clone() }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use serde_json::json;

    use super::*;
    use crate::host::{
        Probe as _,
        fake::{FakeHost, World},
    };

    #[derive(Default)]
    struct Copies(Mutex<Vec<Vec<u8>>>);

    impl Saver for Copies {
        fn save(&self, bytes: &[u8]) -> io::Result<String> {
            let mut copies = self.0.lock().unwrap();
            copies.push(bytes.to_vec());
            Ok((copies.len() - 1).to_string())
        }

        fn saved(&self, name: &str) -> io::Result<Vec<u8>> {
            Ok(self.0.lock().unwrap()[name.parse::<usize>().unwrap()].clone())
        }
    }

    fn map(value: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}, "data": {"x": value}})
    }

    /// What a rollback says, where `edit` is what somebody made of the object meanwhile.
    async fn told(before: Option<&str>, edit: Option<&str>) -> (Vec<String>, Option<Value>) {
        let mut world = World::ready();
        world.others_serve = true;
        let (host, copies, access) =
            (FakeHost::new(world), Copies::default(), ApiAccess { kubeconfig: "/a".into(), server: None });
        let target = ObjectRef::of(&map("")).unwrap();
        if let Some(value) = before {
            host.apply(&access, &map(value)).await.unwrap();
        }
        let objects = [ObjectSource::Plain(Box::new(map("new")))];
        let undo = before_apply(&host, &copies, &access, &objects, None).await.unwrap();
        host.apply(&access, &map(edit.unwrap_or("new"))).await.unwrap();
        let found = take_back(&host, &copies, &undo).await.unwrap();
        let now = host.object(&access, &target).await.unwrap().map(|object| object["data"]["x"].clone());
        (found.iter().map(ToString::to_string).collect(), now)
    }

    #[tokio::test]
    async fn what_another_hand_made_of_an_object_is_kept_before_it_goes() {
        assert_eq!(told(Some("old"), None).await, (vec![], Some("old".into())));
        assert_eq!(told(None, None).await, (vec![], None));
        // It never acted, or somebody was there before.
        assert_eq!(told(Some("old"), Some("old")).await, (vec![], Some("old".into())));
        let (words, now) = told(Some("old"), Some("edited")).await;
        assert!(words[0].contains("ConfigMap b/a was changed after rkadm wrote it"), "{words:?}");
        assert_eq!(now, Some("old".into()));
        let (words, now) = told(None, Some("edited")).await;
        assert_eq!((words.len(), now), (1, None));
    }

    #[test]
    fn no_secret_is_kept() {
        let copies = Copies::default();
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"token": "x"}});
        let source = |object: &Value| ObjectSource::Plain(Box::new(object.clone()));
        assert_eq!(keep_written(&copies, &[source(&secret)]).unwrap(), None);
        keep_written(&copies, &[source(&secret), source(&map("new"))]).unwrap();
        let kept = copies.0.lock().unwrap().concat();
        assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), json!([map("new")]));
    }
}
