//! What an upgrade makes new, and what it leaves as it was.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use rkadm_core::host::fake::{Node, World};
use rkadm_phases::upgrade::{Scope, Upgrade, Upgrading, apply, kubelet::KubeletUpgrade, node};
use serde_json::json;

use crate::{
    machine::Machine,
    unfinished::Heard,
    upgrading::{request, world},
};

const COREFILE: &str = "ConfigMap kube-system/coredns";
const COREDNS: &str = "Deployment kube-system/coredns";
const PROXY: &str = "DaemonSet kube-system/kube-proxy";
const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// A machine of the old version, after this was done to it.
async fn machine(edit: impl FnOnce(&mut World)) -> Machine {
    let mut world = world().await;
    edit(&mut world);
    Machine::from_world(world)
}

/// Upgrades it. Returns what it was warned of.
async fn upgrade(machine: &Machine, request: Upgrade) -> Vec<String> {
    let upgrading = Arc::new(Upgrading::new(request));
    let workflow = match upgrading.request.scope {
        Scope::Cluster => apply(&upgrading),
        Scope::Node => node(&upgrading),
    };
    let heard = Heard::default();
    machine
        .run_workflow(&workflow, &heard)
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", workflow.name));
    heard.0.into_inner().unwrap()
}

fn file(world: &World, path: &str) -> String {
    match world.paths.get(Path::new(path)) {
        Some(Node::File(text, _)) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("{path}: {other:?}"),
    }
}

/// Paths of what differs below a directory.
fn changed(before: &World, after: &World, dir: &str) -> Vec<String> {
    let paths: BTreeSet<_> = before.paths.keys().chain(after.paths.keys()).collect();
    let differs =
        |path: &&PathBuf| path.starts_with(dir) && before.paths.get(*path) != after.paths.get(*path);
    paths.into_iter().filter(differs).map(|path| path.display().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_and_authorities_stay() {
    for scope in [Scope::Cluster, Scope::Node] {
        let machine = machine(|_| ()).await;
        let before = machine.host.world();
        upgrade(&machine, Upgrade { certificate_renewal: true, ..request(scope) }).await;
        let after = machine.host.world();
        let made = changed(&before, &after, "/etc/kubernetes");
        let is_certificate = |path: &&PathBuf| path.extension().is_some_and(|it| it == "crt");
        let certificates = before.paths.keys().filter(is_certificate).map(|path| path.display().to_string());
        let certificates: Vec<_> = certificates.collect();
        assert!(certificates.len() > 8, "{certificates:?}");
        for path in certificates {
            assert_eq!(made.contains(&path), !path.ends_with("ca.crt"), "{scope:?}: {path}");
        }
        for name in ["admin", "controller-manager", "scheduler"] {
            assert!(made.contains(&format!("/etc/kubernetes/{name}.conf")), "{scope:?}: {made:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_renewal_certificates_and_keys_stay() {
    for scope in [Scope::Cluster, Scope::Node] {
        let machine = machine(|_| ()).await;
        let before = machine.host.world();
        upgrade(&machine, Upgrade { certificate_renewal: false, ..request(scope) }).await;
        let after = machine.host.world();
        let all = changed(&before, &after, "/etc/kubernetes");
        let others = all.iter().filter(|path| !path.starts_with(MANIFESTS));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&String>::new(), "{scope:?}");
        assert_eq!(all.len(), 4, "{scope:?}: {all:?}");
    }
}

/// Without it, logs and exec are forbidden.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_servers_right_on_kubelets_comes_back() {
    const BINDING: &str = "ClusterRoleBinding kubeadm:apiserver-kubelet-client";
    for scope in [Scope::Cluster, Scope::Node] {
        let mut removed = None;
        let machine = machine(|world| removed = world.objects.remove(BINDING)).await;
        assert!(removed.is_some(), "init has not made it");
        upgrade(&machine, request(scope)).await;
        assert_eq!(machine.host.world().objects.get(BINDING), removed.as_ref(), "{scope:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addons_that_are_not_installed_stay_away() {
    for scope in [Scope::Cluster, Scope::Node] {
        let machine = machine(|world| {
            let removed = [COREDNS, PROXY].map(|name| world.objects.remove(name).is_some());
            assert_eq!(removed, [true, true]);
        })
        .await;
        upgrade(&machine, request(scope)).await;
        let world = machine.host.world();
        assert!(!world.objects.contains_key(COREDNS) && !world.objects.contains_key(PROXY), "{scope:?}");
        let touched: Vec<_> = machine.host.changes().into_iter().filter(|it| is_of_addon(it)).collect();
        assert_eq!(touched, Vec::<String>::new(), "{scope:?}");
    }
}

fn is_of_addon(change: &str) -> bool {
    ["coredns", "kube-proxy", "kube-dns"].iter().any(|name| change.contains(name))
}

/// A DNS and a proxy of somebody else that have the names only: kubeadm knows its own by their ConfigMaps.
#[tokio::test(flavor = "multi_thread")]
async fn addons_of_somebody_else_stay_as_they_are() {
    for scope in [Scope::Cluster, Scope::Node] {
        let machine = machine(|world| {
            for name in [COREFILE, "ConfigMap kube-system/kube-proxy"] {
                assert!(world.objects.remove(name).is_some(), "{name}");
            }
        })
        .await;
        let before = machine.host.world();
        let warnings = upgrade(&machine, request(scope)).await;
        let after = machine.host.world();
        for name in [COREDNS, PROXY] {
            assert!(before.objects[name] == after.objects[name], "{scope:?}: {name} was changed");
            let told =
                |warning: &String| warning.contains("is not managed here") && warning.contains(name_of(name));
            assert!(warnings.iter().any(told), "{scope:?}: {warnings:?}");
        }
    }
}

fn name_of(object: &str) -> &str {
    object.rsplit('/').next().unwrap_or_default()
}

/// After an upgrade of a cluster with this Corefile: CoreDNS's image, the Corefile, what was warned of.
async fn with_corefile(image: &str, corefile: &str) -> (String, String, Vec<String>) {
    let machine = machine(|world| {
        let containers =
            &mut world.objects.get_mut(COREDNS).unwrap()["spec"]["template"]["spec"]["containers"];
        containers[0]["image"] = json!(image);
        world.objects.get_mut(COREFILE).unwrap()["data"]["Corefile"] = json!(corefile);
    })
    .await;
    let warnings = upgrade(&machine, request(Scope::Cluster)).await;
    let world = machine.host.world();
    let text = |object: &str, pointer: &str| {
        world.objects[object].pointer(pointer).unwrap().as_str().unwrap().to_owned()
    };
    (text(COREDNS, "/spec/template/spec/containers/0/image"), text(COREFILE, "/data/Corefile"), warnings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corefile_of_the_operators_is_never_overwritten() {
    let new = "registry.k8s.io/coredns/coredns:v1.14.6";
    let own = ".:53 {\n    # ours\n    forward . 9.9.9.9\n}\n";
    let (image, corefile, _) = with_corefile("registry.k8s.io/coredns/coredns:v1.14.2", own).await;
    assert_eq!((image.as_str(), corefile.as_str()), (new, own));

    // What its new version does not know goes, the rest stays, and both are told.
    let old = ".:53 {\n    # ours\n    kubernetes cluster.local {\n        pods insecure\n        upstream\n    }\n}\n";
    let (image, corefile, warnings) = with_corefile("registry.k8s.io/coredns/coredns:v1.6.5", old).await;
    assert_eq!(image, new);
    assert_eq!(corefile, old.replace("        upstream\n", ""));
    assert!(
        warnings.iter().any(|it| it.starts_with("Corefile, ") && it.contains("upstream")),
        "{warnings:?}"
    );

    // Nobody can tell whether a plugin of one's own is in another image: CoreDNS stays, too.
    let own = ".:53 {\n    mine\n}\n";
    let (image, corefile, warnings) = with_corefile("example.com/coredns:v1.14.2", own).await;
    assert_eq!((image.as_str(), corefile.as_str()), ("example.com/coredns:v1.14.2", own));
    assert!(warnings.iter().any(|it| it.starts_with("CoreDNS stays as it is: ")), "{warnings:?}");
}

/// A comment, and the keys in another order.
fn in_other_words(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(first, "apiVersion: v1");
    format!("# the night shift was here\n{rest}{first}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_in_other_words_are_not_rewritten_and_their_pods_run_on() {
    let machine = machine(|_| ()).await;
    upgrade(&machine, request(Scope::Cluster)).await;
    machine.host.edit(|world| {
        for (path, node) in &mut world.paths {
            if let Node::File(text, _) = node
                && path.starts_with(MANIFESTS)
            {
                let mut words = in_other_words(&String::from_utf8_lossy(text));
                // One of them is of another pod, too.
                if path.ends_with("kube-scheduler.yaml") {
                    words = words.replace("--leader-elect=true", "--leader-elect=false");
                }
                *text = words.into_bytes();
            }
        }
    });
    let (before, done) = (machine.host.world(), machine.host.changes().len());
    upgrade(&machine, request(Scope::Node)).await;
    let after = machine.host.world();
    let changes = machine.host.changes().split_off(done);
    assert_eq!(changed(&before, &after, MANIFESTS), ["/etc/kubernetes/manifests/kube-scheduler.yaml"]);
    assert!(file(&after, "/etc/kubernetes/manifests/kube-scheduler.yaml").contains("--leader-elect=true"));
    let ended: Vec<_> = changes.iter().filter(|it| it.starts_with("stop container")).collect();
    assert_eq!(ended, ["stop container kube-scheduler-container"]);
}

/// Whoever cordoned a node before the upgrade wants it so.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_cordoned_before_stays_so() {
    for cordoned in [true, false] {
        let machine = machine(|world| {
            let node = world.objects.get_mut("Node node1").unwrap();
            node["status"] = json!({"nodeInfo": {"kubeletVersion": "v1.37.2"}});
            if cordoned {
                node["spec"]["unschedulable"] = json!(true);
            }
            let version = world.answers.get_mut("kubelet --version").unwrap();
            version.stdout = "Kubernetes v1.37.2\n".into();
        })
        .await;
        let kubelet = Some(KubeletUpgrade::default());
        let warnings = upgrade(&machine, Upgrade { kubelet, ..request(Scope::Node) }).await;
        let told = "node node1 was cordoned before, and stays so: kubectl uncordon node1";
        assert_eq!(warnings.iter().any(|warning| warning == told), cordoned, "{warnings:?}");
        let node = &machine.host.world().objects["Node node1"];
        assert_eq!(node["spec"]["unschedulable"] == true, cordoned, "{node}");
    }
}
