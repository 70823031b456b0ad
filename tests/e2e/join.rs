//! `rkadm join`: clusters of several nodes, beside kubeadm's.

use anyhow::{Result, ensure};
use rkadm_nodes::{Lab, Node, NodeSpec, run};

use crate::support::{
    Config, NEWEST, Ticket, expect, fresh, fresh_of, get, init, install_network, joined, json, kubectl,
    machine, members, members_agree, rkadm, wait,
};

#[test]
fn three_control_planes_and_two_workers_by_rkadm_and_kubeadm_in_turn() {
    run("mixed", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        expect(&init(&cp1)?, 0, &[])?;
        let ticket = Ticket::of(&cp1)?;
        let [cp2, cp3] = ["cp2", "cp3"].map(|name| machine(lab, name, NodeSpec::new(NEWEST)));
        let [w1, w2] = ["w1", "w2"].map(|name| machine(lab, name, NodeSpec::new(NEWEST)));
        let (cp2, cp3, w1, w2) = (cp2?, cp3?, w1?, w2?);

        a_dry_run_writes_nothing(&ticket, &cp2)?;
        ticket.kubeadm(&cp2, true)?;
        let said =
            expect(&ticket.join(&cp3, true)?, 0, &["etcd-join", "2 of 2 voting members of etcd are up"])?;
        ensure!(said.contains("the control plane cp3"), "{said}");
        ticket.kubeadm(&w1, false)?;
        expect(&ticket.join(&w2, false)?, 0, &["not applicable: this node becomes a worker"])?;

        for (name, control_plane) in [("cp2", true), ("cp3", true), ("w1", false), ("w2", false)] {
            joined(&cp1, name, control_plane)?;
        }
        ensure!(members(&cp1)? == (3, 0), "members: {:?}", members(&cp1)?);
        members_agree(&cp3)?;
        same_files(&cp2, &cp3)?;
        same_files(&w1, &w2)?;
        twice(&ticket, &cp3, &w2)?;

        let nodes = [&cp1, &cp2, &cp3, &w1, &w2];
        install_network(&cp1, &nodes)?;
        wait(&w2, "curl -skf --max-time 2 https://10.96.0.1/healthz")?;
        // kubeadm goes on with what rkadm made.
        cp3.sh_ok("kubeadm certs check-expiration && kubeadm certs renew all")?;
        cp3.sh_ok("kubeadm upgrade node --dry-run --ignore-preflight-errors=all >/dev/null")?;
        cp3.sh_ok("kubeadm reset -f")?;
        kubectl(&cp1, "delete node cp3")?;
        ensure!(members(&cp1)? == (2, 0), "members: {:?}", members(&cp1)?);
        Ok(())
    });
}

/// The plan names what is known, and nothing of it is done.
fn a_dry_run_writes_nothing(ticket: &Ticket, node: &Node) -> Result<()> {
    let before = crate::support::Snapshot::of(node)?;
    let plan = expect(&ticket.join_with(node, true, &["--dry-run"])?, 0, &[])?;
    for words in ["write /etc/kubernetes/pki/ca.key", "to etcd as a learner", "start service kubelet"] {
        ensure!(plan.contains(words), "{words:?} is not in the plan:\n{plan}");
    }
    ensure!(!plan.contains("PRIVATE KEY") && !plan.contains(&ticket.token), "secrets in the plan:\n{plan}");
    before.unchanged(node)
}

/// Names, modes and owners of all files are the same, and so are the static pods but for names and addresses.
fn same_files(theirs: &Node, ours: &Node) -> Result<()> {
    let list = |node: &Node| {
        node.sh_ok(&format!(
            "find /etc/kubernetes /var/lib/kubelet -maxdepth 3 -xdev ! -path '*/pods/*' -printf '%p %M %u:%g\\n' | sort | \
             sed 's/kubelet-client-2[-0-9]*/kubelet-client-DATE/; s/kubelet_internal_checkpoint//'; \
             cat /etc/kubernetes/manifests/*.yaml /var/lib/kubelet/kubeadm-flags.env /var/lib/kubelet/instance-config.yaml 2>/dev/null | \
             sed 's/initial-cluster=.*/initial-cluster=/; s/{}/NODE/g; s/{}/ADDRESS/g'",
            node.name(),
            node.ip()
        ))
    };
    let (theirs, ours) = (list(theirs)?, list(ours)?);
    ensure!(theirs == ours, "kubeadm's:\n{theirs}\nrkadm's:\n{ours}");
    Ok(())
}

/// The same again is nothing to do; something else is refused.
fn twice(ticket: &Ticket, cp: &Node, worker: &Node) -> Result<()> {
    let said = expect(&ticket.join(cp, true)?, 0, &[])?;
    ensure!(said.contains("Nothing to do"), "{said}");
    let said = expect(&ticket.join(worker, false)?, 0, &[])?;
    ensure!(said.contains("Nothing to do"), "{said}");
    let other = Ticket { token: Ticket::of_token(cp)?, ..ticket.clone() };
    let output = other.join_with(worker, false, &["-o", "json"])?;
    ensure!(output.status == 3, "{output:?}");
    let text = output.stderr + &output.stdout;
    for words in ["FileAvailable--etc-kubernetes-kubelet.conf", "NodeName", "Port-10250"] {
        ensure!(text.contains(words), "{words}: {text}");
    }
    Ok(())
}

#[test]
fn three_control_planes_that_join_at_once_wait_for_each_other() {
    run("at once", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        expect(&init(&cp1)?, 0, &[])?;
        let ticket = Ticket::of(&cp1)?;
        let nodes = ["cp2", "cp3", "cp4"].map(|name| machine(lab, name, NodeSpec::new(NEWEST)));
        let nodes = nodes.into_iter().collect::<Result<Vec<_>>>()?;
        let outputs = std::thread::scope(|scope| {
            let joins: Vec<_> = nodes.iter().map(|node| scope.spawn(|| ticket.join(node, true))).collect();
            joins
                .into_iter()
                .map(|join| join.join().unwrap_or_else(|_| anyhow::bail!("panicked")))
                .collect::<Vec<_>>()
        });
        for output in outputs {
            expect(&output?, 0, &[])?;
        }
        for node in &nodes {
            joined(&cp1, node.name(), true)?;
        }
        ensure!(members(&cp1)? == (4, 0), "members: {:?}", members(&cp1)?);
        members_agree(&cp1)
    });
}

#[test]
fn a_control_plane_whose_machine_is_gone_is_replaced() {
    run("replaced", |lab| {
        let (cp1, ticket, cp2) = two_control_planes(lab, NEWEST)?;
        let cp3 = machine(lab, "cp3", NodeSpec::new(NEWEST))?;
        expect(&ticket.join(&cp3, true)?, 0, &[])?;
        cp2.power_loss()?;
        // A machine with the same name and address, and an empty disk.
        forget(&cp2)?;
        let words = [
            "phase check-etcd: etcd has a member already in this node's place",
            "cp2",
            "does not answer",
            "--replace-member",
            "as it was before",
        ];
        wait(&cp1, "kubectl get node cp2 | grep -q NotReady")?;
        expect(&ticket.join(&cp2, true)?, 1, &words)?;
        expect(&ticket.join_with(&cp2, true, &["--replace-member"])?, 0, &["which is not ready"])?;
        joined(&cp1, "cp2", true)?;
        ensure!(members(&cp1)? == (3, 0), "members: {:?}", members(&cp1)?);
        members_agree(&cp2)?;
        // Another machine for the next one that is lost: etcd itself would never let it in beside the dead one.
        cp3.power_loss()?;
        let cp4 = machine(lab, "cp4", NodeSpec::new(NEWEST))?;
        let words = ["2 of 3 voting members of etcd are up", "3 with one more", "--replace-member=NAME"];
        expect(&ticket.join(&cp4, true)?, 1, &words)?;
        let words = ["--replace-member: etcd has no member cp9", "cp3"];
        expect(&ticket.join_with(&cp4, true, &["--replace-member=cp9"])?, 1, &words)?;
        let words = ["it is alive"];
        expect(&ticket.join_with(&cp4, true, &["--replace-member=cp2"])?, 1, &words)?;
        expect(&ticket.join_with(&cp4, true, &["--replace-member=cp3"])?, 0, &[])?;
        joined(&cp1, "cp4", true)?;
        ensure!(members(&cp1)? == (3, 0), "members: {:?}", members(&cp1)?);
        members_agree(&cp4)
    });
}

/// Two control planes by rkadm.
pub fn two_control_planes(lab: &Lab, minor: &str) -> Result<(Node, Ticket, Node)> {
    let cp1 = fresh_of(lab, "cp1", NodeSpec::new(minor))?;
    expect(&init(&cp1)?, 0, &[])?;
    let ticket = Ticket::of(&cp1)?;
    let cp2 = machine(lab, "cp2", NodeSpec::new(minor))?;
    expect(&ticket.join(&cp2, true)?, 0, &[])?;
    Ok((cp1, ticket, cp2))
}

/// Everything of Kubernetes goes from a machine, as with a new disk.
fn forget(node: &Node) -> Result<()> {
    node.boot()?;
    node.sh_ok(
        "systemctl stop kubelet; ctr -n k8s.io tasks ls -q | xargs -r -n1 ctr -n k8s.io tasks kill -s KILL; sleep 1; \
         ctr -n k8s.io tasks ls -q | xargs -r -n1 ctr -n k8s.io tasks rm -f; ctr -n k8s.io containers ls -q | xargs -r -n1 ctr -n k8s.io containers rm; \
         systemctl restart containerd; \
         awk '$2 ~ \"^/var/lib/kubelet/\" {print $2}' /proc/mounts | xargs -r umount; \
         rm -rf /etc/kubernetes/* /var/lib/etcd /var/lib/rkadm; find /var/lib/kubelet -xdev -mindepth 1 -delete",
    )
    .map(drop)
}

#[test]
fn rkadm_joins_a_cluster_of_kubeadm_on_an_older_minor() {
    run("older", |lab| {
        let minor = "1.36";
        let cp1 = fresh_of(lab, "cp1", NodeSpec::new(minor))?;
        Config::new(minor).install(&cp1)?;
        cp1.sh_ok(&format!("kubeadm init --config {} --upload-certs", crate::support::CONFIG))?;
        let ticket = Ticket::of(&cp1)?;
        let cp2 = machine(lab, "cp2", NodeSpec::new(minor))?;
        let w1 = machine(lab, "w1", NodeSpec::new(minor))?;
        let output = ticket.join_with(&cp2, true, &["-o", "json"])?;
        expect(&output, 0, &[])?;
        let result = json(&output)?;
        ensure!(result["controlPlane"] == true && result["kubernetesVersion"] == "v1.36.4", "{result}");
        by_file(&cp1, &w1)?;
        joined(&cp1, "cp2", true)?;
        joined(&cp1, "w1", false)?;
        ensure!(members(&cp2)? == (2, 0), "members: {:?}", members(&cp2)?);
        let version = get(&cp1, "node w1")?["status"]["nodeInfo"]["kubeletVersion"].clone();
        ensure!(version == "v1.36.4", "{version}");
        Ok(())
    });
}

/// By the cluster's public information in a file, and a token.
fn by_file(cp1: &Node, worker: &Node) -> Result<()> {
    let info = kubectl(cp1, "-n kube-public get configmap cluster-info -o jsonpath={.data.kubeconfig}")?;
    worker.write("/root/discovery.conf", info, 0o600)?;
    let token = Ticket::of_token(cp1)?;
    let args = ["join", "--discovery-file", "/root/discovery.conf", crate::support::IGNORE];
    let output = rkadm(worker, &args)?;
    expect(&output, 1, &["there are no credentials to join with", "--tls-bootstrap-token"])?;
    // The same behind a URL: the worker trusts the server by the authorities of its system.
    let ca = String::from_utf8(cp1.read("/etc/kubernetes/pki/ca.crt")?)?;
    cp1.sh_ok(
        "mkdir -p /srv/web && \
         kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-public get configmap cluster-info -o jsonpath={.data.kubeconfig} > /srv/web/discovery.conf && \
         systemd-run --unit web --working-directory /srv/web openssl s_server -accept 8443 -WWW -quiet \
           -cert /etc/kubernetes/pki/apiserver.crt -key /etc/kubernetes/pki/apiserver.key && \
         for i in $(seq 100); do ss -ltn | grep -q :8443 && exit; sleep 0.05; done; exit 1",
    )?;
    let url = ["join", "--discovery-file", "https://cp1:8443/discovery.conf", crate::support::IGNORE];
    let url = [&url[..], &["--tls-bootstrap-token", &token]].concat();
    expect(&rkadm(worker, &url)?, 1, &["https://cp1:8443/discovery.conf", "invalid peer certificate"])?;
    worker.write("/root/ca.crt", ca, 0o644)?;
    worker.sh_ok("cat /root/ca.crt >> /etc/ssl/certs/ca-certificates.crt")?;
    expect(&rkadm(worker, &url)?, 0, &[]).map(drop)
}
