//! A failure in each phase, by a cause that machines know: exit code 1, and the machine is as it was before.
//!
//! All of them happen on one machine, one after the other: that each finds it as the first did is part of the test.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, run};

use crate::support::{CONFIG, Config, Snapshot, expect, fresh, healthy, init, nothing_half_written, rkadm};

const AUTHORIZERS: &str = "/etc/kubernetes-authorizers";

#[test]
fn a_failure_before_the_kubelet_starts_leaves_the_machine_as_it_was() {
    run("fail early", |lab| {
        let node = prepared(&fresh(lab, "cp1")?)?;
        unwritable(&node, "certs/etcd-peer", "/etc/kubernetes/pki/etcd/peer.crt")?;
        unwritable(&node, "certs/sa", "/etc/kubernetes/pki/sa.pub")?;
        kubeconfig_of_another_cluster(&node)?;
        bad_patch(&node, "etcd/local", "etcd")?;
        bad_patch(&node, "control-plane/apiserver", "kube-apiserver")?;
        bad_patch(&node, "control-plane/controller-manager", "kube-controller-manager")?;
        bad_patch(&node, "control-plane/scheduler", "kube-scheduler")?;
        unwritable(&node, "kubelet-start", "/var/lib/kubelet/config.yaml")?;
        kubelet_unit_fails(&node, "kubelet-start", "true")
    });
}

#[test]
fn a_failure_after_the_kubelet_started_leaves_the_machine_as_it_was() {
    run("fail late", |lab| {
        let node = prepared(&fresh(lab, "cp1")?)?;
        kubelet_ends_with_an_error(&node)?;
        control_plane_crashes(&node)?;
        somebody_who_says_no(&node)?;
        forbidden(&node, "upload-config/kubeadm", "kubeadm-config")?;
        forbidden(&node, "upload-config/kubelet", "kubelet-config")?;
        forbidden(&node, "upload-certs", "kubeadm-certs")?;
        forbidden(&node, "mark-control-plane", "cp1")?;
        forbidden(&node, "bootstrap-token", "cluster-info")?;
        // The kubelet starts once, and not again when it has to take its rotating certificate.
        kubelet_unit_fails(
            &node,
            "kubelet-finalize/enable-client-cert-rotation",
            "test -e /var/lib/kubelet/pki/kubelet-client-current.pem",
        )?;
        forbidden(&node, "addon/coredns", "kube-dns")?;
        forbidden(&node, "addon/kube-proxy", "kube-proxy")?;
        // And with nothing in the way it works.
        Config::new("1.37").install(&node)?;
        expect(&init(&node)?, 0, &[])?;
        healthy(&node)
    });
}

/// With things on it that are none of rkadm's.
fn prepared(node: &Node) -> Result<Node> {
    node.sh_ok(
        "mkdir -p -m 750 /etc/kubernetes/mine /var/lib/kubelet/mine && mkdir -m 711 /var/lib/etcd &&
         echo mine > /etc/kubernetes/mine/file && ln -s file /etc/kubernetes/mine/link &&
         echo 'KUBELET_KUBEADM_ARGS=\"--v=1\"' > /var/lib/kubelet/kubeadm-flags.env && chmod 640 /var/lib/kubelet/kubeadm-flags.env",
    )?;
    Ok(node.clone())
}

/// A kubelet that is stopped while it starts may do so; here it always does.
fn kubelet_ends_with_an_error(node: &Node) -> Result<()> {
    node.sh_ok(
        "mkdir -p /etc/systemd/system/kubelet.service.d &&
         printf '[Service]\\nExecStopPost=/bin/false\\n' > /etc/systemd/system/kubelet.service.d/90-ends.conf &&
         systemctl daemon-reload && systemctl stop kubelet && systemctl reset-failed kubelet",
    )
    .map(drop)
}

/// Runs init, which must fail in this phase and take everything back.
fn fails(node: &Node, phase: &str, why: &[&str]) -> Result<()> {
    let before = Snapshot::of(node)?;
    let check = || {
        let output = rkadm(node, &["init", "--config", CONFIG, "--upload-certs"])?;
        let said = format!("Error: phase {phase}: ");
        expect(&output, 1, &[&[said.as_str()], why].concat())?;
        let undone = ["this machine is as it was before", "Nothing was changed on this machine"];
        ensure!(undone.iter().any(|said| output.stderr.contains(said)), "{}", output.stderr);
        before.unchanged(node)?;
        nothing_half_written(node)?;
        let list = expect(&rkadm(node, &["op", "list"])?, 0, &[])?;
        ensure!(list.trim_end().lines().last().is_some_and(|last| last.contains("rolled-back")), "{list}");
        Ok(())
    };
    check().with_context(|| format!("a failure in {phase}"))
}

/// A directory lies where a file must come.
fn unwritable(node: &Node, phase: &str, path: &str) -> Result<()> {
    node.sh_ok(&format!("mkdir -p {path}"))?;
    Config::new("1.37").install(node)?;
    fails(node, phase, &[path])?;
    node.sh_ok(&format!("rmdir -p {path} 2>/dev/null; test ! -e {path}")).map(drop)
}

fn kubeconfig_of_another_cluster(node: &Node) -> Result<()> {
    let file = "/etc/kubernetes/controller-manager.conf";
    node.sh_ok("kubeadm init phase certs ca --cert-dir /root/other-pki && kubeadm init phase kubeconfig controller-manager --cert-dir /root/other-pki --kubeconfig-dir /root/other --kubernetes-version v1.37.2 && install -m 600 /root/other/controller-manager.conf /etc/kubernetes/")?;
    fails(node, "kubeconfig/controller-manager", &[file, "cannot be used", "move"])?;
    node.sh_ok(&format!("cmp {file} /root/other/controller-manager.conf && rm {file}")).map(drop)
}

fn bad_patch(node: &Node, phase: &str, component: &str) -> Result<()> {
    let file = format!("{component}+json.yaml");
    node.sh_ok(&format!("rm -rf /root/patches && mkdir /root/patches && echo '[{{op: replace, path: /spec/nothing/here, value: 1}}]' > /root/patches/{file}"))?;
    let config = Config { init: "patches: {directory: /root/patches}\n".to_owned(), ..Config::new("1.37") };
    config.install(node)?;
    fails(node, phase, &[&file])?;
    Config::new("1.37").install(node)
}

/// The kubelet's unit does not start once this command succeeds.
fn kubelet_unit_fails(node: &Node, phase: &str, command: &str) -> Result<()> {
    let dropin = "/etc/systemd/system/kubelet.service.d/fails.conf";
    let text = format!("[Service]\nExecStartPre=/bin/sh -c '! {command}'\n");
    node.write(dropin, text, 0o644)?;
    node.sh_ok("systemctl daemon-reload")?;
    Config::new("1.37").install(node)?;
    fails(node, phase, &["kubelet"])?;
    node.sh_ok(&format!("rm {dropin} && systemctl daemon-reload")).map(drop)
}

/// The API server ends at once, over and over.
fn control_plane_crashes(node: &Node) -> Result<()> {
    let config = Config {
        cluster: "apiServer:\n  extraArgs:\n  - {name: no-such-flag, value: \"1\"}\n".to_owned(),
        init: "timeouts: {controlPlaneComponentHealthCheck: 10s}\n".to_owned(),
        ..Config::new("1.37")
    };
    config.install(node)?;
    fails(
        node,
        "wait-control-plane",
        &[
            // Time is up, or it has crashed often enough before that.
            "container kube-apiserver",
            "unknown flag: --no-such-flag",
        ],
    )
}

/// An authorizer for every request that is put before it.
fn somebody_who_says_no(node: &Node) -> Result<()> {
    let body = r#"{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": {"allowed": false, "denied": true, "reason": "the test says no"}}"#;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    node.write(&format!("{AUTHORIZERS}/answer"), answer, 0o600)?;
    node.sh_ok(&format!(
        "systemd-run --unit says-no socat TCP-LISTEN:9999,bind=127.0.0.1,fork,reuseaddr SYSTEM:'cat {AUTHORIZERS}/answer'"
    ))
    .map(drop)
}

/// The API server lets the administrator write no objects of this name. Nothing can be forbidden to super-admin.conf, so
/// init does without; its group would get its rights only later, so everything else is allowed to all.
fn forbidden(node: &Node, phase: &str, name: &str) -> Result<()> {
    let authorizers = format!(
        "
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: nobody
  webhook:
    timeout: 1s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    authorizedTTL: 1s
    unauthorizedTTL: 1s
    connectionInfo: {{type: KubeConfigFile, kubeConfigFile: {AUTHORIZERS}/nobody.conf}}
    matchConditions:
    - expression: \"request.user == 'kubernetes-admin' && has(request.resourceAttributes) && request.resourceAttributes.name == '{name}' && request.resourceAttributes.verb in ['create', 'patch', 'update']\"
- {{type: Node, name: node}}
- {{type: RBAC, name: rbac}}
- {{type: AlwaysAllow, name: alwaysallow}}
"
    );
    let nobody = "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c}}], clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9999/'}}]}";
    node.write(&format!("{AUTHORIZERS}/authorizers.yaml"), authorizers, 0o600)?;
    node.write(&format!("{AUTHORIZERS}/nobody.conf"), nobody, 0o600)?;
    let config = Config {
        cluster: format!(
            "apiServer:
  extraArgs:
  - {{name: authorization-config, value: {AUTHORIZERS}/authorizers.yaml}}
  extraVolumes:
  - {{name: authorizers, hostPath: {AUTHORIZERS}, mountPath: {AUTHORIZERS}, readOnly: true}}
"
        ),
        init: "skipPhases: [kubeconfig/super-admin]\ntimeouts: {controlPlaneComponentHealthCheck: 40s}\n"
            .to_owned(),
        ..Config::new("1.37")
    };
    config.install(node)?;
    fails(node, phase, &[name, "the test says no"])
}
