//! A kubelet must not be newer than any API server: all of them go first.

use rkadm_core::{
    engine::PhaseError,
    host::{ApiAccess, Probe},
    manifest::{self, pod::kubernetes_version},
    version::{KubeVersion, skew::Component},
};

use crate::{health::versions::component, static_pods, upgrade::state};

/// Refuses a kubelet of this version on node `own` where an API server is older.
///
/// # Errors
/// One of them is, or this node cannot ask.
pub async fn first(
    host: &dyn Probe,
    access: &ApiAccess,
    own: &str,
    wanted: &KubeVersion,
    only_look: bool,
) -> Result<(), PhaseError> {
    let Ok(servers) = state::api_servers(host, access).await else {
        // A worker may not look at pods of others.
        return as_worker(host, access, own, wanted).await;
    };
    let others = servers.into_iter().filter(|server| server.node != own);
    // What the API server says of this node's own may be of before an upgrade that has just been.
    // A dry run sees the manifest of before it.
    let manifest =
        if only_look { None } else { static_pods::read(host, manifest::Component::ApiServer).await? };
    let here = manifest.as_ref().and_then(kubernetes_version).map(|version| (version, own.to_owned()));
    let older = others
        .map(|server| (server.version, server.node))
        .chain(here)
        .filter(|(version, _)| version.minor() < wanted.minor())
        .map(|(version, node)| format!("{version} on {node}"));
    refuse(&older.collect::<Vec<_>>(), wanted)
}

/// kube-proxy, which may be on this node, comes after all API servers. Where another does its work, or it says nothing against it,
/// the API servers say themselves what they are.
async fn as_worker(
    host: &dyn Probe,
    access: &ApiAccess,
    own: &str,
    wanted: &KubeVersion,
) -> Result<(), PhaseError> {
    let pods = host.pods_on(access, own).await?;
    let mut proxies = pods.iter().filter_map(component).filter(|it| it.component == Component::KubeProxy);
    if let Some(proxy) = proxies.find(|proxy| proxy.version.minor() < wanted.minor()) {
        return Err(PhaseError::Unusable {
            message: format!(
                "kube-proxy here is still {}: not every API server of the cluster is of {wanted}, and a kubelet must not be newer",
                proxy.version
            ),
            hint: "`rkadm upgrade node` on every control plane first".into(),
        });
    }
    let servers = state::served_versions(host, access).await;
    let older = servers.into_iter().filter(|(_, version)| version.minor() < wanted.minor());
    let older = older.map(|(server, version)| format!("{version} at {server}"));
    refuse(&older.collect::<Vec<_>>(), wanted)
}

fn refuse(older: &[String], wanted: &KubeVersion) -> Result<(), PhaseError> {
    if older.is_empty() {
        return Ok(());
    }
    Err(PhaseError::Unusable {
        message: format!("a kubelet of {wanted} would be newer than API servers: {}", older.join(", ")),
        hint: "`rkadm upgrade node` on these control planes first".into(),
    })
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};
    use serde_json::json;

    use super::*;

    /// What a worker hears whose cluster has API servers of these versions, at 10.0.0.1, 10.0.0.2 and so on.
    async fn heard(versions: &[&str], proxy: Option<&str>, names_servers: bool) -> Result<(), String> {
        let mut world = World::ready();
        world.others_serve = true;
        for (index, version) in versions.iter().enumerate() {
            let answer = json!({"major": "1", "gitVersion": version}).to_string();
            world = world.with_answer(&format!("GET https://10.0.0.{}:6443/version", index + 1), &answer);
        }
        // Whichever is behind the kubelet's own address.
        world = world.with_answer("GET /version", &json!({"gitVersion": versions[0]}).to_string());
        if names_servers {
            let addresses: Vec<_> =
                (1..=versions.len() + 1).map(|n| json!({"ip": format!("10.0.0.{n}")})).collect();
            let endpoints =
                json!({"subsets": [{"addresses": addresses, "ports": [{"name": "https", "port": 6443}]}]});
            world.objects.insert("Endpoints default/kubernetes".into(), endpoints);
        }
        if let Some(version) = proxy {
            let image = format!("registry.k8s.io/kube-proxy:{version}");
            let pod = json!({"kind": "Pod", "spec": {"nodeName": "w1", "containers": [{"name": "kube-proxy", "image": image}]}});
            world.objects.insert("pod".into(), pod);
        }
        let access = crate::join::by_kubelet();
        let heard = as_worker(&FakeHost::new(world), &access, "w1", &KubeVersion::new(1, 37, 2)).await;
        heard.map_err(|error| error.to_string())
    }

    /// A control plane whose own API server is still the old one: what the others say does not count for it.
    #[tokio::test]
    async fn the_api_server_of_this_machine_goes_first_too() {
        let heard = async |version: &str, only_look: bool| {
            let manifest = format!(
                "spec: {{containers: [{{name: kube-apiserver, image: 'r/kube-apiserver:{version}'}}]}}"
            );
            let mut world =
                World::ready().with_file("/etc/kubernetes/manifests/kube-apiserver.yaml", &manifest);
            world.others_serve = true;
            let access = crate::join::by_kubelet();
            first(&FakeHost::new(world), &access, "cp2", &KubeVersion::new(1, 37, 2), only_look).await
        };
        heard("v1.36.4", true).await.unwrap();
        let error = heard("v1.36.4", false).await.unwrap_err().to_string();
        assert!(error.contains("v1.36.4 on cp2"), "{error}");
        heard("v1.37.2", false).await.unwrap();
    }

    #[tokio::test]
    async fn without_kube_proxy_every_api_server_is_asked() {
        assert_eq!(heard(&["v1.37.2", "v1.37.0"], None, true).await, Ok(()), "one of three does not answer");
        assert_eq!(
            heard(&["v1.37.2", "v1.36.4"], None, true).await,
            Err("a kubelet of v1.37.2 would be newer than API servers: v1.36.4 at https://10.0.0.2:6443"
                .into())
        );
    }

    #[tokio::test]
    async fn where_they_are_not_named_the_kubelets_own_is_asked() {
        assert_eq!(heard(&["v1.37.2"], None, false).await, Ok(()));
        assert_eq!(
            heard(&["v1.36.4"], None, false).await,
            Err("a kubelet of v1.37.2 would be newer than API servers: v1.36.4 at the server of /etc/kubernetes/kubelet.conf".into())
        );
    }

    #[tokio::test]
    async fn an_older_kube_proxy_says_enough() {
        let said = heard(&["v1.37.2"], Some("v1.36.4"), true).await.unwrap_err();
        assert!(said.starts_with("kube-proxy here is still v1.36.4"), "{said}");
        // kubeadm of old moved it before all API servers had followed.
        let said = heard(&["v1.37.2", "v1.36.4"], Some("v1.37.2"), true).await.unwrap_err();
        assert!(said.ends_with("v1.36.4 at https://10.0.0.2:6443"), "{said}");
    }
}
