//! Reads and writes API objects as JSON values.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::error::KubeError;
use super::reference::{ObjectRef, encode};
use super::retry::{Call, Failure};
use super::transport::{Reply, Transport};

/// The name under which this tool owns fields in server-side apply.
pub const FIELD_MANAGER: &str = "rkadm";

/// How long one call is retried unless told otherwise: `timeouts.kubernetesAPICall` of kubeadm's v1beta4.
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_mins(1);

pub(super) const JSON: &str = "application/json";
// JSON is YAML; the API server knows an apply by this media type alone.
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// How to talk to the API server.
#[derive(Debug, Clone)]
pub struct Options {
    /// URL to use in place of the kubeconfig's, such as `https://10.0.0.1:6443` to reach one server of several.
    pub server: Option<String>,
    /// How long one call may take, retries included.
    pub call_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { server: None, call_timeout: DEFAULT_CALL_TIMEOUT }
    }
}

/// A client of one API server. Share it by reference: all calls go through one pool of connections.
pub struct KubeClient {
    transport: Transport,
    call_timeout: Duration,
}

impl KubeClient {
    /// Makes a client from a kubeconfig's current context. Connects on first use. Needs a running tokio runtime.
    ///
    /// # Errors
    /// [`KubeError::Kubeconfig`].
    pub fn from_kubeconfig(yaml: &[u8]) -> Result<Self, KubeError> {
        Self::with_options(yaml, &Options::default())
    }

    /// Like [`Self::from_kubeconfig`], with another server or deadline.
    ///
    /// # Errors
    /// [`KubeError::Kubeconfig`].
    pub fn with_options(yaml: &[u8], options: &Options) -> Result<Self, KubeError> {
        let transport = Transport::new(yaml, options.server.as_deref())?;
        Ok(Self { transport, call_timeout: options.call_timeout })
    }

    /// The URL of the API server.
    pub fn server(&self) -> &str {
        &self.transport.server
    }

    /// Reads one object; `None` if there is none of this name.
    pub async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, KubeError> {
        let call = Call {
            method: Method::GET,
            path: object.path()?,
            action: format!("get {object}"),
            body: None,
            repeatable: true,
            accept: JSON,
        };
        absent_is_none(self.value(&call).await)
    }

    /// Creates or changes an object by server-side apply, and returns it as stored.
    ///
    /// Fields that another manager owns are taken over: objects made by kubeadm become ours, which is the point.
    /// Fields that the object does not mention stay as they are, unless we alone owned them.
    pub async fn apply(&self, object: &Value) -> Result<Value, KubeError> {
        let name = ObjectRef::of(object)?;
        let mut object = object.clone();
        // An object that was read and changed carries these; the API server refuses them in an apply.
        if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("managedFields");
        }
        let call = Call {
            method: Method::PATCH,
            path: format!("{}?fieldManager={FIELD_MANAGER}&force=true", name.path()?),
            action: format!("apply {name}"),
            body: Some((APPLY, object.to_string().into_bytes())),
            repeatable: true,
            accept: JSON,
        };
        self.value(&call).await
    }

    /// Creates an object, and returns it as stored.
    ///
    /// # Errors
    /// [`KubeError::Conflict`] with `exists` if the name is taken by an object that we did not make in this call.
    pub async fn create(&self, object: &Value) -> Result<Value, KubeError> {
        let name = ObjectRef::of(object)?;
        let call = Call {
            method: Method::POST,
            path: format!("{}?fieldManager={FIELD_MANAGER}", name.collection()?),
            action: format!("create {name}"),
            body: Some((JSON, object.to_string().into_bytes())),
            repeatable: true,
            accept: JSON,
        };
        match call.run(&self.transport, self.call_timeout).await {
            Ok(reply) => parse(&call.action, &reply),
            // An earlier attempt may have made it, and its answer got lost. If what is there holds all that
            // we sent, it is ours; a Lease made by somebody else differs in its holder.
            Err(Failure { error, maybe_done: true }) if error.is_already_exists() => {
                match self.get(&name).await? {
                    Some(live) if holds(&live, object) => Ok(live),
                    _ => Err(error),
                }
            }
            Err(failure) => Err(failure.error),
        }
    }

    /// Deletes an object. Returns whether it was there; finalizers may keep it for a while.
    pub async fn delete(&self, object: &ObjectRef) -> Result<bool, KubeError> {
        let call = Call {
            method: Method::DELETE,
            path: object.path()?,
            action: format!("delete {object}"),
            body: None,
            repeatable: true,
            accept: JSON,
        };
        Ok(absent_is_none(self.value(&call).await)?.is_some())
    }

    /// Changes an object by a JSON merge patch (RFC 7396): `null` removes a field. Returns it as stored.
    pub async fn patch_merge(&self, object: &ObjectRef, patch: Value) -> Result<Value, KubeError> {
        self.merge(object, "", &patch).await
    }

    /// Like [`Self::patch_merge`] on a subresource such as `status` or `approval`.
    pub async fn patch_subresource(
        &self,
        object: &ObjectRef,
        subresource: &str,
        patch: Value,
    ) -> Result<Value, KubeError> {
        self.merge(object, &format!("/{}", encode(subresource)), &patch).await
    }

    /// Changes the status of a built-in object by a strategic merge patch, which merges a list such as the conditions by
    /// its key: what others write into it at the same time is neither lost nor in the way.
    pub async fn patch_status(&self, object: &ObjectRef, patch: &Value) -> Result<Value, KubeError> {
        let call = Call {
            method: Method::PATCH,
            path: format!("{}/status?fieldManager={FIELD_MANAGER}", object.path()?),
            action: format!("patch the status of {object}"),
            body: Some((STRATEGIC, patch.to_string().into_bytes())),
            repeatable: true,
            accept: JSON,
        };
        self.value(&call).await
    }

    /// Asks for the eviction of a pod, once.
    ///
    /// # Errors
    /// [`KubeError::Throttled`] while a `PodDisruptionBudget` forbids it; its message says which.
    pub async fn evict(&self, namespace: &str, name: &str) -> Result<(), KubeError> {
        let pod = ObjectRef::new("Pod", Some(namespace), name)?;
        let action = format!("evict {pod}");
        let body = serde_json::json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace},
        });
        let call = Call {
            method: Method::POST,
            path: format!("{}/eviction", pod.path()?),
            action: action.clone(),
            body: Some((JSON, body.to_string().into_bytes())),
            repeatable: true,
            accept: JSON,
        };
        let reply = call.once(&self.transport, self.call_timeout).await.map_err(|failure| failure.error)?;
        match reply.status.as_u16() {
            // Gone already is as good.
            200..=299 | 404 => Ok(()),
            status => Err(KubeError::of_reply(&action, status, reply.retry_after, &reply.body)),
        }
    }

    async fn merge(&self, object: &ObjectRef, suffix: &str, patch: &Value) -> Result<Value, KubeError> {
        let call = Call {
            method: Method::PATCH,
            path: format!("{}{suffix}?fieldManager={FIELD_MANAGER}", object.path()?),
            action: format!("patch {object}"),
            body: Some((MERGE, patch.to_string().into_bytes())),
            // With a resourceVersion in it, a second try after a lost answer would report a conflict with ourselves.
            repeatable: patch.pointer("/metadata/resourceVersion").is_none(),
            accept: JSON,
        };
        self.value(&call).await
    }

    /// Gets a path such as `/readyz?verbose` once, without retries, and returns status and body whatever they are.
    ///
    /// # Errors
    /// Only if there is no answer: [`KubeError::Unreachable`] or [`KubeError::Untrusted`].
    pub async fn raw_get(&self, path: &str) -> Result<(u16, String), KubeError> {
        let call = Call {
            method: Method::GET,
            path: path.to_owned(),
            action: format!("get {path}"),
            body: None,
            repeatable: true,
            accept: JSON,
        };
        let reply = call.once(&self.transport, self.call_timeout).await.map_err(|failure| failure.error)?;
        Ok((reply.status.as_u16(), String::from_utf8_lossy(&reply.body).into_owned()))
    }

    /// Reads what a path answers, as JSON of that form.
    pub(super) async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, KubeError> {
        let action = format!("get {}", path.split('?').next().unwrap_or(path));
        let call = Call {
            method: Method::GET,
            path: path.to_owned(),
            action,
            accept: JSON,
            body: None,
            repeatable: true,
        };
        let reply = call.run(&self.transport, self.call_timeout).await.map_err(|failure| failure.error)?;
        serde_json::from_slice(&reply.body)
            .map_err(|source| KubeError::Answer { action: call.action, source })
    }

    pub(super) async fn value(&self, call: &Call<'_>) -> Result<Value, KubeError> {
        let reply = call.run(&self.transport, self.call_timeout).await.map_err(|failure| failure.error)?;
        parse(&call.action, &reply)
    }
}

fn parse(action: &str, reply: &Reply) -> Result<Value, KubeError> {
    serde_json::from_slice(&reply.body)
        .map_err(|source| KubeError::Answer { action: action.to_owned(), source })
}

fn absent_is_none(result: Result<Value, KubeError>) -> Result<Option<Value>, KubeError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(KubeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether `live` holds everything that `sent` does; the server only adds defaults.
fn holds(live: &Value, sent: &Value) -> bool {
    match (live, sent) {
        (Value::Object(live), Value::Object(sent)) => sent.iter().all(|(key, value)| {
            // `stringData` of a Secret is write-only: it comes back as `data`.
            value.is_null() || key == "stringData" || live.get(key).is_some_and(|found| holds(found, value))
        }),
        (Value::Array(live), Value::Array(sent)) => {
            live.len() == sent.len() && live.iter().zip(sent).all(|(live, sent)| holds(live, sent))
        }
        _ => live == sent,
    }
}
