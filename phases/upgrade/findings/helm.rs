//! Objects in releases of Helm whose API goes: the cluster moves them to another version by itself, and Helm does not know.
//! From then on `helm upgrade` stumbles over what it has stored.

use std::collections::BTreeMap;

use futures::future::join;
use rkadm_core::{
    helm::{DEPLOYED, Head, Release, SECRET_TYPE},
    host::{ApiAccess, Probe},
    kube::Selector,
    version::{
        KubeVersion,
        removed::{OldApi, has_gone_apis, old_api},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::preflight::{Found, error, warning};

/// Name of the check.
pub const CHECK: &str = "HelmRelease";
/// A release may take a mebibyte, and this many are in memory at a time.
const PAGE: u32 = 8;
/// More names of objects than this help nobody.
const NAMES: usize = 5;

/// What is left of a revision once it was read.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    namespace: String,
    /// Of the release; where it cannot be read, of what holds it.
    name: String,
    revision: u64,
    /// Each API that goes, or is gone, with the names of its objects: `apiVersion`, kind, names.
    old: Vec<(String, String, Vec<String>)>,
    /// Why it cannot be read, and the kind of what holds it.
    broken: Option<(String, String)>,
}

/// Looks at the newest deployed revision of each. Where Helm keeps none, or they cannot be asked for, nothing is found.
pub async fn look(host: &dyn Probe, access: &ApiAccess, from: &KubeVersion, to: &KubeVersion) -> Vec<Found> {
    let selector = Selector { labels: DEPLOYED.into(), page: PAGE, ..Selector::default() };
    let keep = |object: Value| serde_json::to_value(stored(&object)?).ok();
    let (secrets, maps) = join(
        host.gather(access, "Secret", None, &selector, &keep),
        host.gather(access, "ConfigMap", None, &selector, &keep),
    )
    .await;
    let all = [secrets, maps].into_iter().flat_map(Result::unwrap_or_default);
    let mut newest: BTreeMap<(String, String), Stored> = BTreeMap::new();
    for one in all.filter_map(|value| serde_json::from_value::<Stored>(value).ok()) {
        let key = (one.namespace.clone(), one.name.clone());
        if newest.get(&key).is_none_or(|known| known.revision < one.revision) {
            newest.insert(key, one);
        }
    }
    newest.values().flat_map(|one| judged(one, from, to)).collect()
}

fn stored(object: &Value) -> Option<Stored> {
    let kind = object["kind"].as_str()?;
    if kind == "Secret" && object["type"] != SECRET_TYPE {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = text(&object["metadata"]["namespace"]);
    let read = Release::read(object).and_then(|release| Ok((release.objects(has_gone_apis)?, release)));
    Some(match read {
        Ok((heads, release)) => {
            let namespace = if release.namespace.is_empty() { namespace } else { release.namespace };
            Stored { namespace, name: release.name, revision: release.version, old: old(heads), broken: None }
        }
        Err(error) => Stored {
            namespace,
            name: text(&object["metadata"]["name"]),
            revision: 0,
            old: vec![],
            broken: Some((error.to_string(), kind.to_owned())),
        },
    })
}

fn old(heads: Vec<Head>) -> Vec<(String, String, Vec<String>)> {
    let mut old: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let goes = |head: &Head| old_api(&head.api_version, &head.kind).is_some_and(|api| api.gone_in.is_some());
    for head in heads.into_iter().filter(goes) {
        old.entry((head.api_version, head.kind)).or_default().push(head.metadata.name);
    }
    old.into_iter().map(|((api, kind), names)| (api, kind, names)).collect()
}

fn judged(one: &Stored, from: &KubeVersion, to: &KubeVersion) -> Vec<Found> {
    let Stored { namespace, name, revision, old, broken } = one;
    if let Some((why, kind)) = broken {
        let message = format!("the Helm release in {kind} {namespace}/{name} cannot be read: {why}");
        let hint = format!(
            "what is in it was not judged; `helm list --namespace {namespace}` shows what Helm makes of it"
        );
        return vec![warning(CHECK, message, &hint)];
    }
    let of_api = |(api_version, kind, names): &(String, String, Vec<String>)| {
        let api = old_api(api_version, kind)?;
        let gone_in = api.gone_in?;
        let has = format!(
            "Helm release {namespace}/{name} (revision {revision}) has {kind} {} of {api_version}",
            some_of(names)
        );
        let hint = hint(one, api);
        Some(if gone_in <= from.minor() {
            let message = format!("{has}, which is gone since v1.{gone_in}: `helm upgrade` fails already");
            warning(CHECK, message, &hint)
        } else if gone_in <= to.minor() {
            error(CHECK, format!("{has}, and {to} does not serve it any more"), &hint)
        } else {
            warning(CHECK, format!("{has}, and v1.{gone_in} will not serve it any more"), &hint)
        })
    };
    old.iter().filter_map(of_api).collect()
}

fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMES);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn hint(one: &Stored, api: &OldApi) -> String {
    let Stored { namespace, name, .. } = one;
    let (chart, stored) = match api.instead {
        Some(instead) => (
            format!("upgrade it first to a version of its chart that uses {instead}"),
            format!("or change what Helm has stored: helm mapkubeapis {name} --namespace {namespace}"),
        ),
        None => (
            "nothing takes its place: upgrade it first to a version of its chart without it".to_owned(),
            format!(
                "or take it out of what Helm has stored: helm mapkubeapis {name} --namespace {namespace}"
            ),
        ),
    };
    format!(
        "`helm upgrade` fails while what Helm has stored names an API that is not served: {chart}, {stored}"
    )
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use rkadm_core::host::fake::{FakeHost, World};
    use serde_json::json;

    use super::*;
    use crate::preflight::Severity;

    const CIDR: &str = "apiVersion: networking.k8s.io/v1beta1\nkind: ServiceCIDR\nmetadata: {name: extra}\n";

    fn packed(name: &str, revision: u64, manifest: &str) -> String {
        let release =
            json!({"name": name, "namespace": "shop", "version": revision, "manifest": manifest}).to_string();
        STANDARD.encode(release)
    }

    fn object(kind: &str, name: &str, status: &str, release: &str) -> (String, Value) {
        let object = json!({"apiVersion": "v1", "kind": kind, "type": SECRET_TYPE,
            "metadata": {"namespace": "shop", "name": name, "labels": {"owner": "helm", "status": status}},
            "data": {"release": release}});
        (format!("{kind} shop/{name}"), object)
    }

    fn secret(name: &str, revision: u64, status: &str, manifest: &str) -> (String, Value) {
        let release = STANDARD.encode(packed(name, revision, manifest));
        object("Secret", &format!("sh.helm.release.v1.{name}.v{revision}"), status, &release)
    }

    async fn found(objects: Vec<(String, Value)>) -> Vec<(Severity, String, String)> {
        let mut world = World::ready();
        world.others_serve = true;
        world.objects.extend(objects);
        let host = FakeHost::new(world);
        let access = ApiAccess { kubeconfig: "/etc/kubernetes/admin.conf".into(), server: None };
        let (from, to) = (KubeVersion::new(1, 36, 4), KubeVersion::new(1, 37, 2));
        let found = look(&host, &access, &from, &to).await;
        let text = |(severity, finding): Found| (severity, finding.message, finding.hint.unwrap_or_default());
        found.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn what_goes_is_an_error_with_what_to_do() {
        let found = found(vec![secret("web", 7, "deployed", CIDR)]).await;
        assert_eq!(
            found,
            [(
                Severity::Error,
                "Helm release shop/web (revision 7) has ServiceCIDR extra of networking.k8s.io/v1beta1, and v1.37.2 does not serve it \
                 any more"
                    .to_owned(),
                "`helm upgrade` fails while what Helm has stored names an API that is not served: upgrade it first to a version of its \
                 chart that uses networking.k8s.io/v1, or change what Helm has stored: helm mapkubeapis web --namespace shop"
                    .to_owned()
            )]
        );
    }

    #[tokio::test]
    async fn what_is_gone_already_and_what_will_go_are_warnings() {
        let many = (1..=7).fold(String::new(), |text, n| {
            text + &format!(
                "---\napiVersion: resource.k8s.io/v1beta1\nkind: DeviceClass\nmetadata: {{name: c{n}}}\n"
            )
        });
        let budget = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: web}\n---\n\
            apiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: web}\n";
        let found = found(vec![secret("a", 1, "deployed", budget), secret("b", 2, "deployed", &many)]).await;
        let messages: Vec<_> =
            found.iter().map(|(severity, message, _)| (*severity, message.as_str())).collect();
        assert_eq!(
            messages,
            [
                (
                    Severity::Warning,
                    "Helm release shop/a (revision 1) has PodDisruptionBudget web of policy/v1beta1, which is gone since v1.25: `helm \
                     upgrade` fails already"
                ),
                (
                    Severity::Warning,
                    "Helm release shop/a (revision 1) has PodSecurityPolicy web of policy/v1beta1, which is gone since v1.25: `helm \
                     upgrade` fails already"
                ),
                (
                    Severity::Warning,
                    "Helm release shop/b (revision 2) has DeviceClass c1, c2, c3, c4, c5 and 2 more of resource.k8s.io/v1beta1, and \
                     v1.38 will not serve it any more"
                ),
            ]
        );
        assert!(found[1].2.contains("nothing takes its place"), "{}", found[1].2);
    }

    #[tokio::test]
    async fn only_the_newest_deployed_revision_of_a_release_counts() {
        let other = ("Secret shop/x".to_owned(), {
            let (_, mut other) = secret("x", 1, "deployed", CIDR);
            other["type"] = "Opaque".into();
            other
        });
        let map = object("ConfigMap", "sh.helm.release.v1.maps.v3", "deployed", &packed("maps", 3, CIDR));
        let found = found(vec![
            secret("web", 6, "deployed", CIDR),
            secret("web", 7, "deployed", "apiVersion: v1\nkind: ConfigMap\n"),
            secret("old", 1, "superseded", CIDR),
            other,
            map,
        ])
        .await;
        let messages: Vec<_> = found.into_iter().map(|(_, message, _)| message).collect();
        assert!(
            messages.len() == 1 && messages[0].starts_with("Helm release shop/maps (revision 3)"),
            "{messages:?}"
        );
    }

    #[tokio::test]
    async fn a_broken_release_is_told_and_hides_no_other() {
        let broken = object("Secret", "sh.helm.release.v1.bad.v1", "deployed", "c2VzYW1l");
        let found = found(vec![broken, secret("web", 7, "deployed", CIDR)]).await;
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].0, Severity::Warning);
        assert_eq!(
            found[0].1,
            "the Helm release in Secret shop/sh.helm.release.v1.bad.v1 cannot be read: it holds no release in base64"
        );
        assert_eq!(found[1].0, Severity::Error);
    }
}
