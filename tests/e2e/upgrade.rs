//! `rkadm upgrade`: real clusters that go from one minor to the next, and back.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Lab, Node, NodeSpec, run};

use crate::support::{
    Load, Ticket, expect, fresh_of, get, init, install_network, json, kubectl, machine, members_agree, rkadm,
    wait,
};

pub const OLD: &str = "1.36";
pub const NEW: &str = "1.37";
pub const FROM: &str = "v1.36.4";
pub const TO: &str = "v1.37.2";

pub fn spec() -> NodeSpec {
    NodeSpec::new(OLD).images_of(&[OLD, NEW])
}

pub fn cluster(lab: &Lab) -> Result<Node> {
    let cp1 = fresh_of(lab, "cp1", spec())?;
    expect(&init(&cp1)?, 0, &[])?;
    install_network(&cp1, &[&cp1])?;
    Ok(cp1)
}

/// Versions as the cluster sees them: API server, the configuration, kube-proxy.
pub fn versions(node: &Node) -> Result<[String; 3]> {
    let server = kubectl(node, "version -o json")?;
    let server: serde_json::Value = serde_json::from_str(&server)?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let config = text(&get(node, "-n kube-system configmap/kubeadm-config")?["data"]["ClusterConfiguration"]);
    let stored = config
        .lines()
        .find_map(|line| line.strip_prefix("kubernetesVersion: "))
        .unwrap_or_default()
        .to_owned();
    let proxy = get(node, "-n kube-system daemonset/kube-proxy")?;
    let image = text(&proxy["spec"]["template"]["spec"]["containers"][0]["image"]);
    let proxy = image.rsplit(':').next().unwrap_or_default().to_owned();
    Ok([text(&server["serverVersion"]["gitVersion"]), stored, proxy])
}

/// A new leader is elected once the old one's lease is over.
pub fn healthy(node: &Node) -> Result<()> {
    wait(node, "rkadm health -q").map(drop)
}

#[test]
fn a_cluster_of_kubeadm_goes_to_the_next_minor_and_back_and_loses_nothing() {
    run("upgrade", |lab| {
        let cp1 = fresh_of(lab, "cp1", spec())?;
        cp1.sh_ok(&format!("kubeadm init --config {}", crate::support::CONFIG))?;
        install_network(&cp1, &[&cp1])?;
        a_dry_run_writes_nothing(&cp1)?;
        let before = files(&cp1)?;

        let load = Load::start(&cp1, &[&cp1])?;
        let output = rkadm(&cp1, &["upgrade", "apply", TO, "--yes", "-o", "json"])?;
        expect(&output, 0, &[])?;
        let result = json(&output)?;
        ensure!(result["from"] == FROM && result["to"] == TO && result["changed"] == true, "{result}");
        // An answer within a fifth of what kubeadm takes (about 89 s); most of it is the API server's own start.
        let silent = result["api"]["noAnswerMs"].as_u64().context("no downtime")?;
        ensure!(silent < 17_000, "the API did not answer for {silent} ms");
        ensure!(versions(&cp1)? == [TO; 3], "{:?}", versions(&cp1)?);
        healthy(&cp1)?;
        taken_over_by_kubeadm(&cp1)?;

        let operation = result["operation"].as_str().context("no operation")?;
        expect(&rkadm(&cp1, &["op", "rollback", operation])?, 0, &[])?;
        ensure!(versions(&cp1)? == [FROM; 3], "{:?}", versions(&cp1)?);
        healthy(&cp1)?;
        let after = files(&cp1)?;
        ensure!(before == after, "the files are not as they were:\n{before}\n\n{after}");
        what_is_not_well_afterwards_is_told(&cp1)?;
        // All that was written, before, between and after.
        load.nothing_is_lost()?;
        let backups = cp1.sh_ok("rkadm backup list -o json")?;
        ensure!(backups.contains("etcd"), "no backup was kept: {backups}");
        cp1.sh_ok("rkadm backup verify latest").map(drop)
    });
}

/// What breaks while it is upgraded takes nothing back, and nobody goes on from there.
fn what_is_not_well_afterwards_is_told(cp1: &Node) -> Result<()> {
    let again = ["upgrade", "apply", FROM, "--yes", "--skip-phases=preflight,backup"];
    cp1.sh_ok("pkill -STOP -x kube-scheduler")?;
    let output = rkadm(cp1, &again);
    cp1.sh_ok("pkill -CONT -x kube-scheduler")?;
    let words =
        ["the upgrade is done, but not everything is well: kube-scheduler", "the same command looks again"];
    expect(&output?, 5, &words)?;
    healthy(cp1)?;
    expect(&rkadm(cp1, &again)?, 0, &[]).map(drop)
}

fn a_dry_run_writes_nothing(cp1: &Node) -> Result<()> {
    let before = files(cp1)?;
    let (server, config) =
        ("+ image: registry.k8s.io/kube-apiserver:v1.37.2", "+ kubernetesVersion: v1.37.2");
    let looks: [(&[&str], &[&str]); 2] = [
        (&["upgrade", "apply", TO, "--dry-run"], &[server, "end the old etcd", config]),
        (&["upgrade", "diff", TO], &[server, config, "image: registry.k8s.io/kube-proxy:v1.37.2"]),
    ];
    for (command, all) in looks {
        let told = expect(&rkadm(cp1, command)?, 0, &[])?;
        let squeezed = told.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in all {
            ensure!(squeezed.contains(words), "{words:?} is not in the answer of {command:?}:\n{told}");
        }
        ensure!(!told.contains("PRIVATE KEY"), "secrets in the answer of {command:?}:\n{told}");
    }
    ensure!(files(cp1)? == before, "a dry run wrote something");
    Ok(())
}

/// All that is configured, which etcd's data and the pods of a living cluster are not.
pub fn files(node: &Node) -> Result<String> {
    node.sh_ok(
        "find /etc/kubernetes -type f ! -path '*/tmp/*' -exec sha256sum {} + | sort; sha256sum /var/lib/kubelet/*.yaml /var/lib/kubelet/*.env",
    )
}

fn taken_over_by_kubeadm(cp1: &Node) -> Result<()> {
    cp1.install_programs(NEW, &["kubeadm"])?;
    let plan = cp1.sh_ok(&format!("kubeadm upgrade plan {TO} --ignore-preflight-errors=all"))?;
    ensure!(!plan.contains(FROM) || plan.contains("kubelet"), "{plan}");
    cp1.sh_ok(&format!("kubeadm upgrade diff {TO} 2>&1 | grep -E '^[-+] ' && exit 1 || true"))?;
    cp1.install_programs(OLD, &["kubeadm"])
}

#[test]
fn three_control_planes_are_upgraded_under_load() {
    run("upgrade of three", |lab| {
        let cp1 = cluster(lab)?;
        let ticket = Ticket::of(&cp1)?;
        let [cp2, cp3, w1] = ["cp2", "cp3", "w1"].map(|name| machine(lab, name, spec()));
        let (cp2, cp3, w1) = (cp2?, cp3?, w1?);
        for (node, control_plane) in [(&cp2, true), (&cp3, true), (&w1, false)] {
            expect(&ticket.join(node, control_plane)?, 0, &[])?;
        }
        let nodes = [&cp1, &cp2, &cp3, &w1];
        install_network(&cp1, &nodes)?;
        wait(&cp1, "rkadm health -q")?;
        let load = Load::start(&w1, &[&cp1, &cp2, &cp3])?;

        // Nobody begins with a worker, and a worker is no place to begin.
        expect(&rkadm(&w1, &["upgrade", "apply", TO, "--yes"])?, 3, &["it is no control plane"])?;
        let said = expect(
            &rkadm(&cp1, &["upgrade", "apply", TO, "--yes"])?,
            0,
            &["not before all API servers are of v1.37.2"],
        )?;
        ensure!(said.contains("cp2, cp3"), "{said}");
        ensure!(versions(&cp1)?[2] == FROM, "kube-proxy went first");
        for node in [&cp2, &cp3] {
            wait(node, "rkadm health -q")?;
            expect(&rkadm(node, &["upgrade", "node"])?, 0, &[])?;
        }
        for node in [&cp1, &cp2, &cp3] {
            ensure!(versions(node)? == [TO; 3], "{}: {:?}", node.name(), versions(node)?);
        }
        members_agree(&cp1)?;
        // What the whole cluster stands on does not go back first.
        let first = cp1.sh_ok(
            "rkadm op list -o json | jq -r '.items[] | select(.command == \"upgrade apply\") | .id'",
        )?;
        expect(
            &rkadm(&cp1, &["op", "rollback", first.trim()])?,
            1,
            &["the API server on cp2 is v1.37.2", "there first"],
        )?;
        // The way back of one of them, when etcd as a whole is of the new minor already.
        wait(&cp1, "rkadm health -q")?;
        let elsewhere = format!(
            "kubectl create -f - <<<'{}'",
            serde_json::json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "rkadm-upgrade", "namespace": "kube-system"},
                "spec": {"holderIdentity": "cp2", "leaseDurationSeconds": 60,
                    "renewTime": cp1.sh_ok("date -u +%FT%T.%6NZ")?.trim()}})
        );
        wait(&cp1, &elsewhere)?;
        let way_back = ["op", "rollback", &newest(&cp3)?];
        let words = ["cannot be taken back", "another upgrade of this cluster is under way, on cp2"];
        expect(&rkadm(&cp3, &way_back)?, 1, &words)?;
        kubectl(&cp1, "-n kube-system delete lease rkadm-upgrade")?;
        expect(&rkadm(&cp3, &way_back)?, 0, &[])?;
        ensure!(
            kubectl(&cp1, "-n kube-system get lease -o name")?.lines().all(|name| !name.contains("rkadm")),
            "the lease of the rollback is left"
        );
        expect(&rkadm(&cp3, &["upgrade", "node"])?, 0, &["etcd is on its way back to 3.6"])?;
        load.nothing_is_lost()
    });
}

#[test]
fn a_worker_drains_itself_and_gets_its_kubelet_from_a_package_or_a_file() {
    run("kubelet", |lab| {
        let cp1 = fresh_of(lab, "cp1", NodeSpec::new(NEW))?;
        expect(&init(&cp1)?, 0, &[])?;
        let w1 = machine(lab, "w1", spec())?;
        expect(&Ticket::of(&cp1)?.join(&w1, false)?, 0, &[])?;
        install_network(&cp1, &[&cp1, &w1])?;
        kubelet_by_package(&cp1, &w1)?;
        kubelet_by_file(&cp1, &w1)?;
        healthy(&cp1)?;
        healthy(&w1)
    });
}

/// From a real repository of apt, with a drain that a budget holds up first.
fn kubelet_by_package(cp1: &Node, w1: &Node) -> Result<()> {
    apt_repository(w1, &[(OLD, "1.36.4-1.1"), (NEW, "1.37.2-1.1")])?;
    w1.sh_ok("apt-get update -q && apt-get install -y -q kubelet=1.36.4-1.1 && apt-mark hold kubelet")?;
    let objects = "kubectl create deployment web --image registry.k8s.io/pause:3.10.2 --replicas 2 && \
                   kubectl create poddisruptionbudget web --selector app=web --max-unavailable 0 && \
                   kubectl rollout status deployment/web --timeout 60s";
    wait(cp1, objects)?;
    let output = rkadm(w1, &["upgrade", "node", "--kubelet", "--drain-timeout", "3"])?;
    expect(
        &output,
        1,
        &["node w1 is not empty", "pod default/web-", "disruption budget", "Rolled back: all"],
    )?;
    kubelets(cp1, &[("w1", FROM)])?;
    kubectl(cp1, "delete poddisruptionbudget web")?;
    kubectl(cp1, "run alone --image registry.k8s.io/pause:3.10.2")?;
    wait(cp1, "kubectl wait --for=condition=Ready pod/alone --timeout=30s")?;
    let output = rkadm(w1, &["upgrade", "node", "--kubelet"])?;
    expect(&output, 1, &["default/alone is managed by nobody", "--drain-unmanaged"])?;
    // As a power loss in the middle of an installation leaves it: apt refuses all work.
    w1.sh_ok("echo > /var/lib/dpkg/updates/0001; ! apt-get check")?;
    expect(&rkadm(w1, &["upgrade", "node", "--kubelet", "--drain-unmanaged"])?, 0, &[])?;
    kubelets(cp1, &[("w1", TO)])?;
    ensure!(w1.sh_ok("dpkg-query -Wf '${Version}' kubelet; apt-mark showhold")?.starts_with("1.37.2-1.1"));
    wait(cp1, "kubectl rollout status deployment/web --timeout 60s")?;
    expect(
        &rkadm(w1, &["upgrade", "node", "--kubelet"])?,
        0,
        &["the kubelet is v1.37.2 or a newer patch of it"],
    )?;
    // The way back is the package that was there. What did nothing since is no reason against it.
    let upgrades = w1.sh_ok("rkadm op list -o json | jq -r '.items[] | select(.command == \"upgrade node phase kubelet\" and .status == \"finished\") | .id'")?;
    let first = upgrades.lines().next().context("no upgrade")?;
    w1.sh_ok("echo > /var/lib/dpkg/updates/0001; ! apt-get check")?;
    expect(&rkadm(w1, &["op", "rollback", first])?, 0, &[])?;
    wait(cp1, "kubectl get node w1 -o jsonpath='{.status.nodeInfo.kubeletVersion}' | grep v1.36.4")?;
    kubelets(cp1, &[("w1", FROM)])?;
    let package = w1.sh_ok("apt-get -qq check && dpkg-query -Wf '${Version} ${Status}' kubelet")?;
    ensure!(package.starts_with("1.36.4-1.1 ") && package.ends_with(" ok installed"), "{package}");
    kubelet_by_its_package_over_itself(cp1, w1)
}

/// A way back where the repository had the new minor alone leaves the program of before under the name of the new package, for
/// which a package manager has nothing to install.
fn kubelet_by_its_package_over_itself(cp1: &Node, w1: &Node) -> Result<()> {
    w1.sh_ok("cp /usr/bin/kubelet /root/before; apt-get install -y -q --allow-change-held-packages kubelet=1.37.2-1.1")?;
    w1.sh_ok("rm /srv/repo/kubelet_1.36*; sed -i '1,/^$/d' /srv/repo/Packages; apt-get update -q")?;
    w1.sh_ok(
        "cp --remove-destination /root/before /usr/bin/kubelet; ! apt-cache madison kubelet | grep 1.36",
    )?;
    expect(&rkadm(w1, &["upgrade", "node", "--kubelet", "--drain-unmanaged"])?, 0, &[])?;
    kubelets(cp1, &[("w1", TO)])?;
    let newest = "rkadm op list -o json | jq -r '[.items[] | select(.command == \"upgrade node phase kubelet\")] | .[-1].id'";
    let id = w1.sh_ok(newest)?;
    expect(&rkadm(w1, &["op", "rollback", id.trim()])?, 0, &[])?;
    wait(cp1, "kubectl get node w1 -o jsonpath='{.status.nodeInfo.kubeletVersion}' | grep v1.36.4")?;
    kubelets(cp1, &[("w1", FROM)])
}

/// The kubelets of these nodes, all of which take pods.
pub fn kubelets(cp1: &Node, wanted: &[(&str, &str)]) -> Result<()> {
    for (name, version) in wanted {
        let node = get(cp1, &format!("node {name}"))?;
        let running = &node["status"]["nodeInfo"]["kubeletVersion"];
        ensure!(running == version, "{name}: {running}");
        ensure!(node["spec"]["unschedulable"].is_null(), "{name} is cordoned");
    }
    Ok(())
}

fn kubelet_by_file(cp1: &Node, w1: &Node) -> Result<()> {
    w1.sh_ok("cp /usr/bin/kubelet /root/old")?;
    let output = rkadm(w1, &["upgrade", "node", "--kubelet-binary", "/root/old"])?;
    expect(&output, 1, &["/root/old is a kubelet of v1.36.4, and v1.37.2 is needed"])?;
    w1.install_programs(NEW, &["kubelet"])?;
    w1.sh_ok("mv /usr/bin/kubelet /root/new && cp /root/old /usr/bin/kubelet")?;
    let args = ["upgrade", "node", "--kubelet-binary", "/root/new", "--drain-unmanaged"];
    expect(&rkadm(w1, &args)?, 0, &[])?;
    kubelets(cp1, &[("w1", TO)])
}

/// A repository of this machine with packages of the kubelet.
fn apt_repository(node: &Node, packages: &[(&str, &str)]) -> Result<()> {
    let mut index = String::new();
    node.sh_ok("cp /usr/bin/kubelet /root/kubelet.now; mkdir -p /srv/repo")?;
    for (minor, version) in packages {
        node.install_programs(minor, &["kubelet"])?;
        let control = format!(
            "Package: kubelet\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <nobody@example.com>\nDescription: the kubelet\n"
        );
        node.write("/root/deb/DEBIAN/control", &control, 0o644)?;
        node.sh_ok(&format!(
            "mkdir -p /root/deb/usr/bin && cp /usr/bin/kubelet /root/deb/usr/bin/ && dpkg-deb -Znone --build /root/deb /srv/repo/kubelet_{version}.deb >/dev/null"
        ))?;
        let sum = node.sh_ok(&format!(
            "cd /srv/repo && stat -c %s kubelet_{version}.deb && sha256sum kubelet_{version}.deb"
        ))?;
        let (size, rest) = sum.split_once('\n').context("no size")?;
        let hash = rest.split_whitespace().next().context("no hash")?;
        index += &format!("{control}Filename: ./kubelet_{version}.deb\nSize: {size}\nSHA256: {hash}\n\n");
    }
    node.write("/srv/repo/Packages", index, 0o644)?;
    node.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/repo ./\n", 0o644)?;
    node.sh_ok("rm -rf /etc/apt/sources.list.d/* /root/deb; mv /root/kubelet.now /usr/bin/kubelet").map(drop)
}

/// Over every supported minor in one command. Takes the programs of all of them, which are not built unless they are asked
/// for: `make older-minors`.
#[test]
#[ignore = "needs Kubernetes 1.34 and 1.35: make older-minors"]
fn chain_of_all_minors() {
    run("chain", |lab| {
        let all = ["1.34", "1.35", OLD, NEW];
        let cp1 = fresh_of(lab, "cp1", NodeSpec::new(all[0]).images_of(&all))?;
        cp1.sh_ok(&format!("kubeadm init --config {}", crate::support::CONFIG))?;
        install_network(&cp1, &[&cp1])?;
        wait(&cp1, "rkadm health -q")?;
        let flags = cp1.sh_ok("cat /var/lib/kubelet/kubeadm-flags.env")?;
        ensure!(flags.contains("--pod-infra-container-image"), "{flags}");
        let load = Load::start(&cp1, &[&cp1])?;
        let plan = rkadm(&cp1, &["upgrade", "plan", TO])?;
        expect(&plan, 0, &[])?;
        ensure!(plan.stdout.contains("The way goes over v1.35.8, v1.36.4, v1.37.2"), "{}", plan.stdout);
        let said = expect(&rkadm(&cp1, &["upgrade", "apply", TO, "--yes"])?, 0, &[])?;
        for step in ["from v1.34.4 to v1.35.8", "from v1.35.8 to v1.36.4", "from v1.36.4 to v1.37.2"] {
            ensure!(said.contains(step), "{step:?} is not in\n{said}");
        }
        let next = said.matches("Next, on each node, its kubelet of v1.37.2").count();
        ensure!(
            next == 1 && said.matches("Next, ").count() == 1 && said.contains("Now on to v1.36.4"),
            "{said}"
        );
        println!("{said}");
        ensure!(versions(&cp1)? == [TO; 3], "{:?}", versions(&cp1)?);
        load.nothing_is_lost()?;
        // The kubelet, three minors behind, still works; then it follows.
        wait(&cp1, "rkadm health -q")?;
        cp1.install_programs(NEW, &["kubelet"])?;
        let flags = cp1.sh_ok("systemctl restart kubelet; cat /var/lib/kubelet/kubeadm-flags.env")?;
        ensure!(!flags.contains("--pod-infra-container-image"), "{flags}");
        wait(&cp1, "kubectl get node cp1 -o jsonpath='{.status.nodeInfo.kubeletVersion}' | grep v1.37.2")?;
        wait(&cp1, "rkadm health -q")?;
        Ok(())
    });
}

fn newest(node: &Node) -> Result<String> {
    let list: serde_json::Value = serde_json::from_str(&node.sh_ok("rkadm op list -o json")?)?;
    let operations = list["items"].as_array().context("no list")?;
    let upgrades = operations.iter().rev().find(|one| one["command"] == "upgrade node");
    upgrades.and_then(|one| one["id"].as_str()).map(str::to_owned).context("no upgrade")
}
