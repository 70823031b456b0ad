//! The operator's patches of the addons, as `--print-manifest` shows them, and patches that no target takes.

use serde_json::Value;

use crate::machine::{CONFIG, Machine, Ran};

/// The objects of an addon, with the patches of the machine.
fn addon(machine: &Machine, addon: &str) -> Ran {
    let config = CONFIG.replacen("nodeRegistration:", "patches: {directory: /patches}\nnodeRegistration:", 1);
    machine.with_config(&format!("init phase addon {addon} --print-manifest"), config)
}

fn objects(ran: &Ran) -> Vec<Value> {
    let text = ran.succeeds().stdout();
    rkadm_core::yaml::documents(&text).unwrap()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap()
}

#[test]
fn addons_are_patched_like_static_pods() {
    let machine = Machine::new();
    machine.write(
        "/patches/kubeproxydaemonset0+merge.yaml",
        "spec: {template: {spec: {priorityClassName: mine}}}\n",
    );
    machine.write(
        "/patches/kubeproxydaemonset1.json",
        r#"{"spec": {"template": {"spec": {"containers": [{"name": "kube-proxy", "resources": {"limits": {"memory": "64Mi"}}}]}}}}"#,
    );
    machine
        .write("/patches/corednsdeployment+json.yaml", "- {op: replace, path: /spec/replicas, value: 5}\n");
    let proxy = objects(&addon(&machine, "kube-proxy"));
    let pod = &of_kind(&proxy, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(pod["priorityClassName"], "mine");
    assert_eq!(pod["containers"][0]["resources"]["limits"]["memory"], "64Mi");
    assert!(pod["containers"][0]["command"].is_array(), "a list of named things is merged: {pod}");
    let dns = objects(&addon(&machine, "coredns"));
    assert_eq!(of_kind(&dns, "Deployment")["spec"]["replicas"], 5);

    // Each of them takes its own only.
    machine.write("/patches/corednsdeployment+json.yaml", "[]\n");
    let unpatched = objects(&addon(&machine, "coredns"));
    assert_ne!(of_kind(&unpatched, "Deployment")["spec"]["replicas"], 5);
    assert_eq!(unpatched.len(), dns.len());
}

#[test]
fn patches_for_no_target_are_told_of_and_those_that_do_not_apply_are_refused() {
    let machine = Machine::new();
    machine.write("/patches/kubeproxy.yaml", "spec: {}\n");
    machine.write("/patches/README.md", "ours\n");
    let ran = addon(&machine, "kube-proxy");
    let told = ran.succeeds().stderr();
    assert!(
        told.contains(
            "/patches/kubeproxy.yaml: ignored: the name must begin with one of [etcd kube-apiserver \
             kube-controller-manager kube-scheduler kubeletconfiguration corednsdeployment kubeproxydaemonset]"
        ),
        "{told}"
    );
    assert!(
        told.contains("/patches/README.md: ignored: the file extension must be one of [json yaml]"),
        "{told}"
    );
    for (file, text, words) in [
        (
            "kubeproxydaemonset+json.yaml",
            "- {op: remove, path: /spec/none}\n",
            "operation 0: there is no \"/spec/none\"",
        ),
        ("kubeproxydaemonset+json.yaml", "spec: {}\n", "not a list of JSON patch operations"),
        (
            "kubeproxydaemonset.yaml",
            "spec: {template: {spec: {containers: [{image: a}]}}}\n",
            "does not apply: ",
        ),
        (
            "kubeproxydaemonset+yaml.yaml",
            "spec: {}\n",
            "patch type \"yaml\" must be one of [strategic merge json]",
        ),
        (
            "kubeproxydaemonset+merge.yaml",
            "metadata: {name: mine}\n",
            "changes metadata.name from \"kube-proxy\" to \"mine\"",
        ),
        ("kubeproxydaemonset.yaml", "spec: {a: b", "cannot be read"),
    ] {
        machine.write(&format!("/patches/{file}"), text);
        let told = addon(&machine, "kube-proxy").exits(1).stderr();
        for words in [words, &format!("patch {file}"), "correct the patch, or move it out of the directory"] {
            assert!(told.contains(words), "{words:?} is not in {told}");
        }
        std::fs::remove_file(machine.path(&format!("/patches/{file}"))).unwrap();
    }
}
