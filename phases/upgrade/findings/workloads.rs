//! What of the cluster's own objects an upgrade would meet: APIs that go, webhooks and budgets that stand in the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::{join, join_all};
use rkadm_core::{
    host::{ApiAccess, Probe},
    kube::Selector,
    version::KubeVersion,
};
use serde_json::{Value, json};

use crate::{
    preflight::{Found, error, warning},
    upgrade::state,
};

/// Each API server counts by itself what it was asked for, since it was started.
const METRIC: &str = "apiserver_requested_deprecated_apis";
const REMOVED: &str = "RemovedAPI";
const WHO_ASKS: &str = "who asks says the audit log (annotation k8s.io/deprecated); bring these clients and manifests to a newer version first";
/// One that does not answer is told elsewhere, and is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const WEBHOOKS: [&str; 2] = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];
/// The schema of a definition may take a mebibyte.
const DEFINITIONS: u32 = 20;

/// Looks at all of them at once. What cannot be asked is not judged: what else is wrong is told elsewhere.
pub async fn look(host: &dyn Probe, access: &ApiAccess, to: &KubeVersion, last: &KubeVersion) -> Vec<Found> {
    let apis = requested(host, access);
    let few = Selector { page: DEFINITIONS, ..Selector::default() };
    let definitions =
        host.gather(access, "CustomResourceDefinition", None, &few, &|it| Some(without_schemas(&it)));
    let all = Selector::default();
    let bad = |budget: Value| of_budget(&budget).is_some().then_some(budget);
    let budgets = host.gather(access, "PodDisruptionBudget", None, &all, &bad);
    let (apis, definitions, budgets, hooks) =
        futures::join!(apis, definitions, budgets, webhooks(host, access));
    let mut found = of_apis(&apis, to, last);
    found.extend(definitions.unwrap_or_default().iter().filter_map(of_definition));
    found.extend(budgets.unwrap_or_default().iter().filter_map(of_budget));
    found.extend(hooks);
    found
}

/// What any API server of the cluster was asked for: clients may know one of them alone.
async fn requested(host: &dyn Probe, access: &ApiAccess) -> BTreeSet<String> {
    let each = state::each_api_server(host, access).await;
    let asked = each.iter().map(|access| tokio::time::timeout(PATIENCE, host.api_metric(access, METRIC)));
    let lines = join_all(asked).await.into_iter().flatten().flatten().flatten();
    // How often does not matter, and differs.
    lines.filter_map(|line| Some(line.rsplit_once('}')?.0.to_owned() + "}")).collect()
}

/// Only of the Services that webhooks ask is it known who serves them: there may be thousands of others.
async fn webhooks(host: &dyn Probe, access: &ApiAccess) -> Vec<Found> {
    let (validating, mutating) =
        join(host.objects(access, WEBHOOKS[0]), host.objects(access, WEBHOOKS[1])).await;
    let configurations = [validating, mutating].into_iter().flat_map(Result::unwrap_or_default);
    let configurations: Vec<_> = configurations.collect();
    let asked: BTreeSet<_> = configurations.iter().flat_map(asked).map(|(_, service)| service).collect();
    let unserved = asked.into_iter().map(async |service: Service| {
        let label = format!("kubernetes.io/service-name={}", service.1);
        let slices = host.select(access, "EndpointSlice", &service.0, &label).await.ok()?;
        (!slices.iter().any(is_ready)).then_some(service)
    });
    let unserved: BTreeSet<_> = join_all(unserved).await.into_iter().flatten().collect();
    configurations.iter().flat_map(|configuration| of_webhooks(configuration, &unserved)).collect()
}

/// `apiserver_requested_deprecated_apis{group="g",removed_release="1.37",resource="r",subresource="",version="v1beta1"} 1`
fn of_apis(lines: &BTreeSet<String>, to: &KubeVersion, last: &KubeVersion) -> Vec<Found> {
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
                REMOVED,
                format!("{name} is still asked for, and {to} does not serve it any more"),
                WHO_ASKS,
            )),
            Some(minor) if minor <= last.minor() => found.push(warning(
                REMOVED,
                format!("the step to v1.{minor}: {name} is still asked for, and v1.{minor} does not serve it any more"),
                WHO_ASKS,
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

fn without_schemas(definition: &Value) -> Value {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let versions: Vec<_> = versions.map(|version| json!({"name": version["name"].clone()})).collect();
    json!({
        "metadata": {"name": definition["metadata"]["name"].clone()},
        "spec": {"versions": versions},
        "status": {"storedVersions": definition["status"]["storedVersions"].clone()},
    })
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

/// Namespace and name.
type Service = (String, String);

fn is_ready(slice: &Value) -> bool {
    let endpoints = slice["endpoints"].as_array();
    endpoints.into_iter().flatten().any(|endpoint| endpoint["conditions"]["ready"] != false)
}

/// The webhooks of a configuration that must agree, each with the Service that it asks.
fn asked(configuration: &Value) -> impl Iterator<Item = (&Value, Service)> {
    let hooks = configuration["webhooks"].as_array().into_iter().flatten();
    hooks.filter(|hook| hook["failurePolicy"] != "Ignore").filter_map(|hook| {
        let service = &hook["clientConfig"]["service"];
        Some((hook, (service["namespace"].as_str()?.to_owned(), service["name"].as_str()?.to_owned())))
    })
}

/// A webhook that must agree and that nobody serves refuses all that it is asked about.
fn of_webhooks(configuration: &Value, unserved: &BTreeSet<Service>) -> Vec<Found> {
    let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
    let kind = configuration["kind"].as_str().unwrap_or("webhook");
    let told = asked(configuration).filter(|(_, service)| unserved.contains(service));
    told.map(|(_, (namespace, service))| {
        let message =
            format!("{kind} {name} asks Service {namespace}/{service}, which has no endpoint that is ready");
        let hint = "what it is asked about is refused meanwhile: bring its pods up, or remove it";
        warning("WebhookEndpoints", message, hint)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};

    use super::*;
    use crate::preflight::Severity;

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
        let lines = BTreeSet::from([line("1.37"), line("1.38"), line("")]);
        let first = KubeVersion::new(1, 36, 4);
        let ahead = of_apis(&lines, &first, &to).into_iter().map(|(severity, _)| severity);
        assert!(ahead.eq([Severity::Warning; 2]), "a later step");
        assert_eq!(
            messages(of_apis(&lines, &first, &to))[0],
            "RemovedAPI: the step to v1.37: g/v1beta1 things is still asked for, and v1.37 does not serve it any more"
        );
        assert_eq!(
            messages(of_apis(&lines, &to, &to)),
            [
                "RemovedAPI: g/v1beta1 things is still asked for, and v1.37.2 does not serve it any more",
                "DeprecatedAPI: g/v1beta1 things is still asked for, and v1.38 will not serve it any more"
            ]
        );
    }

    #[tokio::test]
    async fn every_api_server_says_what_it_was_asked_for() {
        let line = |resource: &str| {
            format!(
                "{METRIC}{{group=\"g\",removed_release=\"1.37\",resource=\"{resource}\",subresource=\"\",version=\"v1\"}}"
            )
        };
        let mut world = World::ready();
        world.others_serve = true;
        let addresses: Vec<_> = (1..=3).map(|n| json!({"ip": format!("10.0.0.{n}")})).collect();
        let endpoints = json!({"subsets": [{"addresses": addresses, "ports": [{"port": 6443}]}]});
        world.objects.insert("Endpoints default/kubernetes".into(), endpoints);
        let world = world
            .with_answer("GET https://10.0.0.1:6443/metrics", &format!("{} 1\n", line("a")))
            .with_answer(
                "GET https://10.0.0.2:6443/metrics",
                &format!("{} 3\n{} 1\nother 1\n", line("a"), line("b")),
            );
        let own = Some("https://10.0.0.1:6443".to_owned());
        let access = ApiAccess { kubeconfig: "/etc/kubernetes/admin.conf".into(), server: own };
        let found = requested(&FakeHost::new(world), &access).await;
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [line("a"), line("b")]);
    }

    #[test]
    fn budgets_and_stored_versions_are_told() {
        let budget = json!({"metadata": {"namespace": "a", "name": "b"}, "status": {"expectedPods": 2, "currentHealthy": 1, "disruptionsAllowed": 0}});
        assert_eq!(messages(of_budget(&budget)).len(), 1);
        let definition = json!({"metadata": {"name": "x.y"}, "spec": {"versions": [{"name": "v1"}]}, "status": {"storedVersions": ["v1beta1", "v1"]}});
        assert_eq!(
            messages(of_definition(&definition)),
            [
                "StoredVersions: CustomResourceDefinition x.y has objects stored as v1beta1, which it does not have"
            ]
        );
    }

    #[test]
    fn definitions_are_judged_without_their_schemas() {
        let definition = json!({"metadata": {"name": "x.y", "annotations": {"a": "much"}}, "spec": {"versions": [
            {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object"}}}]}, "status": {"storedVersions": ["v1beta1"]}});
        let kept = without_schemas(&definition);
        assert!(!kept.to_string().contains("object"), "{kept}");
        assert_eq!(messages(of_definition(&kept)), messages(of_definition(&definition)));
        assert_eq!(messages(of_definition(&kept)).len(), 1);
    }

    #[tokio::test]
    async fn webhooks_that_nobody_serves_are_told() {
        let hook = json!({"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "h"}, "webhooks": [
            {"clientConfig": {"service": {"namespace": "a", "name": "s"}}},
            {"clientConfig": {"url": "https://elsewhere"}},
            {"failurePolicy": "Ignore", "clientConfig": {"service": {"namespace": "a", "name": "none"}}}]});
        let found = async |ready: bool| {
            let slice = json!({"kind": "EndpointSlice", "metadata": {"namespace": "a",
                "labels": {"kubernetes.io/service-name": "s"}}, "endpoints": [{"conditions": {"ready": ready}}]});
            let mut world = World::ready();
            world.others_serve = true;
            world.objects.extend([("hook".to_owned(), hook.clone()), ("slice".to_owned(), slice)]);
            let access = ApiAccess { kubeconfig: "/etc/kubernetes/admin.conf".into(), server: None };
            messages(webhooks(&FakeHost::new(world), &access).await)
        };
        assert!(found(true).await.is_empty());
        assert_eq!(
            found(false).await,
            [
                "WebhookEndpoints: ValidatingWebhookConfiguration h asks Service a/s, which has no endpoint that is ready"
            ]
        );
    }
}
