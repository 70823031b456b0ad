//! What of the cluster's own objects an upgrade would meet: APIs that go, webhooks and budgets that stand in the way.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join;
use rkadm_core::{
    host::{ApiAccess, Probe},
    version::KubeVersion,
};
use serde_json::Value;

use crate::preflight::{Found, error, warning};

/// Asks the API server, which counts since it was started.
const METRIC: &str = "apiserver_requested_deprecated_apis";
const WEBHOOKS: [&str; 2] = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];

/// Looks at all of them at once. What cannot be asked is not judged: what else is wrong is told elsewhere.
pub async fn look(host: &dyn Probe, access: &ApiAccess, to: &KubeVersion) -> Vec<Found> {
    let apis = host.api_metric(access, METRIC);
    let definitions = host.objects(access, "CustomResourceDefinition");
    let budgets = host.objects(access, "PodDisruptionBudget");
    let slices = host.objects(access, "EndpointSlice");
    let hooks = join(host.objects(access, WEBHOOKS[0]), host.objects(access, WEBHOOKS[1]));
    let (apis, definitions, budgets, slices, (validating, mutating)) =
        futures::join!(apis, definitions, budgets, slices, hooks);
    let mut found = of_apis(&apis.unwrap_or_default(), to);
    found.extend(definitions.unwrap_or_default().iter().filter_map(of_definition));
    found.extend(budgets.unwrap_or_default().iter().filter_map(of_budget));
    if let Ok(slices) = slices {
        let served = served(&slices);
        let hooks = validating.unwrap_or_default().into_iter().chain(mutating.unwrap_or_default());
        found.extend(hooks.flat_map(|hook| of_webhooks(&hook, &served)));
    }
    found
}

/// `apiserver_requested_deprecated_apis{group="g",removed_release="1.37",resource="r",subresource="",version="v1beta1"} 1`
fn of_apis(lines: &[String], to: &KubeVersion) -> Vec<Found> {
    let mut found = vec![];
    for line in lines {
        let labels = labels(line);
        let label = |name: &str| labels.get(name).map_or("", String::as_str);
        let name = format!("{}/{} {}", label("group"), label("version"), label("resource"));
        let name = name.trim_start_matches('/').to_owned();
        let removed =
            label("removed_release").split_once('.').and_then(|(_, minor)| minor.parse::<u64>().ok());
        match removed {
            Some(minor) if minor <= to.minor() => found.push(error(
                "RemovedAPI",
                format!("{name} is still asked for, and {to} does not serve it any more"),
                "who asks says the audit log (annotation k8s.io/deprecated); bring these clients and manifests to a newer version first",
            )),
            Some(minor) => found.push(warning(
                "DeprecatedAPI",
                format!("{name} is still asked for, and v1.{minor} will not serve it any more"),
                "bring these clients and manifests to a newer version",
            )),
            None => {}
        }
    }
    found
}

fn labels(line: &str) -> BTreeMap<String, String> {
    let inner =
        line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inner, _)| inner);
    let pairs = inner.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

/// Objects may still be stored in a version that the definition does not have: they could not be read any more.
fn of_definition(definition: &Value) -> Option<Found> {
    let name = definition["metadata"]["name"].as_str()?;
    let served: BTreeSet<_> = definition["spec"]["versions"]
        .as_array()?
        .iter()
        .filter_map(|version| version["name"].as_str())
        .collect();
    let stored = definition["status"]["storedVersions"].as_array()?;
    let gone: Vec<_> =
        stored.iter().filter_map(Value::as_str).filter(|version| !served.contains(version)).collect();
    if gone.is_empty() {
        return None;
    }
    let message = format!(
        "CustomResourceDefinition {name} has objects stored as {}, which it does not have",
        gone.join(", ")
    );
    Some(error(
        "StoredVersions",
        message,
        "bring the version back, rewrite all objects, then remove it from status.storedVersions",
    ))
}

fn of_budget(budget: &Value) -> Option<Found> {
    let status = &budget["status"];
    let expected = status["expectedPods"].as_i64().unwrap_or(0);
    if expected == 0 || status["disruptionsAllowed"].as_i64().unwrap_or(0) > 0 {
        return None;
    }
    let name = format!(
        "{}/{}",
        budget["metadata"]["namespace"].as_str().unwrap_or_default(),
        budget["metadata"]["name"].as_str().unwrap_or_default()
    );
    let message = format!(
        "PodDisruptionBudget {name} allows no eviction now ({} of {expected} pods are healthy): a drain of their nodes would wait",
        status["currentHealthy"].as_i64().unwrap_or(0)
    );
    Some(warning(
        "PodDisruptionBudget",
        message,
        "see that more of its pods are ready, or talk to their owner, before kubelets are upgraded",
    ))
}

/// Services with an endpoint that is ready.
fn served(slices: &[Value]) -> BTreeSet<(String, String)> {
    let ready = |slice: &&Value| {
        let endpoints = slice["endpoints"].as_array();
        endpoints.into_iter().flatten().any(|endpoint| endpoint["conditions"]["ready"] != false)
    };
    slices
        .iter()
        .filter(ready)
        .filter_map(|slice| {
            let namespace = slice["metadata"]["namespace"].as_str()?;
            let service = slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str()?;
            Some((namespace.to_owned(), service.to_owned()))
        })
        .collect()
}

/// A webhook that must agree and that nobody serves refuses all that it is asked about.
fn of_webhooks(configuration: &Value, served: &BTreeSet<(String, String)>) -> Vec<Found> {
    let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
    let kind = configuration["kind"].as_str().unwrap_or("webhook");
    let hooks = configuration["webhooks"].as_array().into_iter().flatten();
    hooks
        .filter(|hook| hook["failurePolicy"] != "Ignore")
        .filter_map(|hook| {
            let service = &hook["clientConfig"]["service"];
            let (namespace, service) = (service["namespace"].as_str()?, service["name"].as_str()?);
            if served.contains(&(namespace.to_owned(), service.to_owned())) {
                return None;
            }
            let message = format!(
                "{kind} {name} asks Service {namespace}/{service}, which has no endpoint that is ready"
            );
            Some(warning(
                "WebhookEndpoints",
                message,
                "what it is asked about is refused meanwhile: bring its pods up, or remove it",
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(found: impl IntoIterator<Item = Found>) -> Vec<String> {
        found.into_iter().map(|(_, finding)| format!("{}: {}", finding.check, finding.message)).collect()
    }

    #[test]
    fn apis_that_go_are_told_apart_from_those_that_will() {
        let line = |removed: &str| {
            format!(
                "{METRIC}{{group=\"g\",removed_release=\"{removed}\",resource=\"things\",subresource=\"\",version=\"v1beta1\"}} 1"
            )
        };
        let to = KubeVersion::new(1, 37, 2);
        assert_eq!(
            messages(of_apis(&[line("1.37"), line("1.38"), line("")], &to)),
            [
                "RemovedAPI: g/v1beta1 things is still asked for, and v1.37.2 does not serve it any more",
                "DeprecatedAPI: g/v1beta1 things is still asked for, and v1.38 will not serve it any more"
            ]
        );
    }

    #[test]
    fn budgets_stored_versions_and_webhooks_are_told() {
        let budget = json!({"metadata": {"namespace": "a", "name": "b"}, "status": {"expectedPods": 2, "currentHealthy": 1, "disruptionsAllowed": 0}});
        assert_eq!(messages(of_budget(&budget)).len(), 1);
        let definition = json!({"metadata": {"name": "x.y"}, "spec": {"versions": [{"name": "v1"}]}, "status": {"storedVersions": ["v1beta1", "v1"]}});
        assert_eq!(
            messages(of_definition(&definition)),
            [
                "StoredVersions: CustomResourceDefinition x.y has objects stored as v1beta1, which it does not have"
            ]
        );
        let slice = |ready: bool| json!({"metadata": {"namespace": "a", "labels": {"kubernetes.io/service-name": "s"}}, "endpoints": [{"conditions": {"ready": ready}}]});
        let hook = json!({"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "h"}, "webhooks": [
            {"clientConfig": {"service": {"namespace": "a", "name": "s"}}},
            {"failurePolicy": "Ignore", "clientConfig": {"service": {"namespace": "a", "name": "none"}}}]});
        assert!(of_webhooks(&hook, &served(&[slice(true)])).is_empty());
        assert_eq!(of_webhooks(&hook, &served(&[slice(false)])).len(), 1);
    }
}
