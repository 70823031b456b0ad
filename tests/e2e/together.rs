//! Several control planes that are restored at the same time.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rkadm_core::manifest::Component;
use rkadm_nodes::{Lab, Node, NodeSpec, run};

use crate::support::{
    Informer, Load, NEWEST, Random, Running, Ticket, binary, expect, fresh, init, json, kubectl, machine,
    members, members_agree, rkadm, wait,
};

const POINTS: [&str; 3] = ["together/restored", "together/replaced", "together/started"];

#[test]
fn control_planes_that_are_restored_together_are_one_cluster() {
    run("restore together", |lab| {
        let [cp1, cp2] = control_planes(lab, ["cp1", "cp2"])?;
        let file = backed_up(&cp1)?;
        copy(&cp1, &cp2, &file)?;
        kubectl(&cp1, "delete configmap lost")?;
        kubectl(&cp1, "create configmap late --from-literal=a=1")?;

        // One alone is refused, with the command for all.
        let output = rkadm(&cp1, &["restore", "etcd", &file, "--yes"])?;
        expect(&output, 3, &["[EtcdMembers]", "--initial-cluster cp"])?;
        let shown = output.stderr.split('`').find(|part| part.contains("--initial-cluster"));
        let shown = shown.context("no command")?;
        let flags: Vec<_> =
            shown[shown.find("--initial-cluster").unwrap_or(0)..].split_whitespace().collect();
        let args = [&["restore", "etcd", &file, "--yes"][..], &flags].concat();

        // Where one goes back before anything was stopped, the other does too, and nothing has happened.
        let (mut one, mut other) = (Running::attended(&cp1, &args)?, Running::attended(&cp2, &args)?);
        one.until_waiting(POINTS[0])?;
        other.until_waiting(POINTS[0])?;
        one.say("abort cp2 is not ready")?;
        other.say("abort")?;
        expect(&one.end()?, 1, &["cp2 is not ready"])?;
        expect(&other.end()?, 1, &["it was asked to go back"])?;
        kubectl(&cp2, "get configmap late")?;

        let (mut one, mut other) = (Running::attended(&cp1, &args)?, Running::attended(&cp2, &args)?);
        for point in POINTS {
            one.until_waiting(point)?;
            other.until_waiting(point)?;
            one.say("go")?;
            other.say("go")?;
        }
        expect(&one.end()?, 0, &[])?;
        expect(&other.end()?, 0, &[])?;
        ensure!(members(&cp1)? == (2, 0));
        members_agree(&cp1)?;
        for cp in [&cp1, &cp2] {
            wait(cp, "kubectl get configmap lost")?;
            ensure!(
                !kubectl(cp, "get configmap -o name")?.contains("late"),
                "what came later is still there"
            );
        }
        Ok(())
    });
}

/// Three members, on one command, with all their data destroyed; and before it, what makes such a command go back.
#[test]
fn one_command_restores_all_control_planes_over_ssh() {
    run("restore fleet", |lab| {
        let [cp1, cp2, cp3] = control_planes(lab, ["cp1", "cp2", "cp3"])?;
        // This one has to be brought it.
        cp3.sh_ok("rm $(command -v rkadm)")?;
        let file = backed_up(&cp1)?;
        kubectl(&cp1, "create configmap late --from-literal=a=1")?;
        let all = ["restore", "etcd", &file, "--control-planes", "cp1,cp2,cp3"];

        // Only a look: nothing happens, and nothing is left.
        let plan = expect(&rkadm(&cp1, &[&all[..], &["--dry-run"]].concat())?, 0, &[])?;
        ensure!(plan.contains("cp3       etcd is at") && plan.contains("Nothing was changed."), "{plan}");
        nothing_left(&[&cp1, &cp2, &cp3])?;
        // A member that was not named would go on with the old data.
        let two = ["restore", "etcd", &file, "--control-planes", "cp1,cp2", "--yes"];
        expect(
            &rkadm(&cp1, &two)?,
            3,
            &["[EtcdMembers] etcd has members that were not named: cp3", "Nothing was changed."],
        )?;
        // A machine that is no control plane, or that nobody knows.
        let stranger = ["restore", "etcd", &file, "--control-planes", "cp1,nobody", "--yes"];
        expect(&rkadm(&cp1, &stranger)?, 3, &["nobody cannot be reached by ssh: ", "Nothing was changed."])?;

        // One that is not able holds up the others before anything is stopped.
        cp3.sh_ok(
            "systemctl mask --runtime --now containerd.service 2>/dev/null; systemctl stop containerd",
        )?;
        let output = rkadm(&cp1, &[&all[..], &["--yes"]].concat())?;
        expect(&output, 3, &["[ContainerRuntime] cp3: the container runtime cannot be asked"])?;
        cp3.sh_ok("systemctl unmask --runtime containerd.service; systemctl start containerd")?;
        kubectl(&cp2, "get configmap late")?;

        // While a client watches, and another one writes.
        let informer = Informer::start(&cp1)?;
        let load = Load::start(&cp3, &[&cp1, &cp2, &cp3])?;
        wait(&cp1, "kubectl get configmap load-3")?;
        informer.knows_what_there_is()?;
        for cp in [&cp1, &cp2, &cp3] {
            cp.sh_ok("rm -rf /var/lib/etcd/member")?;
        }
        let start = Instant::now();
        let output = rkadm(&cp1, &[&all[..], &["--yes", "-o", "json"]].concat())?;
        expect(&output, 0, &["cp2:", "together/"])?;
        println!("three control planes were restored in {:.1} s", start.elapsed().as_secs_f64());
        let result = json(&output)?;
        ensure!(result["machines"].as_array().is_some_and(|all| all.len() == 3), "{result}");
        ensure!(members(&cp1)? == (3, 0));
        members_agree(&cp1)?;
        for cp in [&cp1, &cp2, &cp3] {
            wait(cp, "kubectl get configmap lost")?;
            ensure!(!kubectl(cp, "get configmap -o name")?.contains("late"), "what came later is there");
        }
        kubectl(&cp2, "create configmap after --from-literal=a=1")?;
        load.stop()?;
        informer.knows_what_there_is()?;
        ensure!(cp1.sh_ok("cat /run/informer")?.contains("after a=1"), "the informer does not go on");
        nothing_left(&[&cp1, &cp2, &cp3])?;
        a_majority_goes_on([&cp1, &cp2, &cp3], &all)
    });
}

/// One loses its power when all have replaced their data: the others do not wait for it, and it comes after them.
fn a_majority_goes_on([cp1, cp2, cp3]: [&Node; 3], all: &[&str]) -> Result<()> {
    let args = [all, &["--yes", "--when-one-fails", "go-on"]].concat();
    let mut running = Running::start(cp1, &args)?;
    running.until_step_on("cp3", "start")?;
    cp3.power_loss()?;
    expect(&running.end()?, 5, &["2 of 3 machines were restored"])?;
    for cp in [cp1, cp2] {
        wait(cp, "kubectl get configmap lost")?;
        ensure!(!kubectl(cp, "get configmap -o name")?.contains("after"), "what came later is there");
    }
    kubectl(cp2, "create configmap without-cp3 --from-literal=a=1")?;
    cp3.boot()?;
    cp3.copy_in(&binary(), "/usr/local/bin/rkadm")?;
    let mut late = Running::attended(cp3, &["op", "resume"])?;
    late.until_waiting(POINTS[2])?;
    late.say("go")?;
    expect(&late.end()?, 0, &[])?;
    ensure!(members(cp1)? == (3, 0));
    members_agree(cp1)?;
    wait(cp3, "kubectl get configmap without-cp3").map(drop)
}

/// Whatever happens to the command or to a machine in the middle, all go back; and the same command again restores all.
#[test]
fn a_restore_over_ssh_that_is_cut_off_goes_back_and_begins_anew() {
    let mut random = Random::seeded();
    run("restore fleet cut", |lab| {
        let [cp1, cp2] = control_planes(lab, ["cp1", "cp2"])?;
        let key = "/root/backup-key";
        cp1.sh_ok(&format!("ssh-keygen -q -t ed25519 -N '' -f {key}"))?;
        let file = backed_up_with(&cp1, &["--recipients-file", &format!("{key}.pub")])?;
        ensure!(file.contains(".tar.gz.age"), "{file}");
        kubectl(&cp1, "create configmap late --from-literal=a=1")?;
        let all = ["restore", "etcd", &file, "--control-planes", "cp1,cp2", "--identity", key, "--yes"];

        // Ctrl-C: nothing of it is left when the command has ended.
        let mut running = Running::start(&cp1, &all)?;
        let phase = random.of(&["trial", "stop", "swap", "start"]);
        println!("SIGINT in {phase} of cp2");
        running.until_on("cp2", phase)?;
        cp1.sh_ok("pkill -INT -o -x rkadm")?;
        expect(&running.end()?, 1, &["0 of 2 machines were restored", "as it was before"])?;
        for cp in [&cp1, &cp2] {
            wait(cp, "kubectl get configmap late")?;
        }
        // kill -9 of the command, and of what it runs on its own machine.
        let phase = random.of(&["trial", "stop", "swap", "start"]);
        println!("SIGKILL in {phase} of cp1");
        let mut running = Running::start(&cp1, &all)?;
        running.until_on("cp1", phase)?;
        running.signal("KILL")?;
        running.end()?;
        // Power loss of the other one.
        let phase = random.of(&["trial", "stop", "swap", "start"]);
        println!("power loss in {phase} of cp2");
        let mut running = Running::start(&cp1, &all)?;
        running.until_on("cp2", phase)?;
        cp2.power_loss()?;
        let output = running.end()?;
        ensure!(
            output.status != 0 && output.stderr.contains("0 of 2 machines were restored"),
            "{}",
            output.stderr
        );
        cp2.boot()?;

        let said =
            expect(&rkadm(&cp1, &all)?, 0, &["cp2: operation ", "was cut off and is taken back first"])?;
        ensure!(!said.contains("Not as many as in the backup"), "{said}");
        // The private key stayed where the command ran.
        cp2.sh_ok("! grep -rqs 'OPENSSH PRIVATE KEY' /root/backup-key /srv /var/lib/rkadm")?;
        ensure!(members(&cp1)? == (2, 0));
        members_agree(&cp1)?;
        for cp in [&cp1, &cp2] {
            wait(cp, "kubectl get configmap lost")?;
            ensure!(!kubectl(cp, "get configmap -o name")?.contains("late"), "what came later is there");
        }
        Ok(())
    });
}

/// A backup of the cluster, with a ConfigMap `lost` in it. Its file.
fn backed_up(cp1: &Node) -> Result<String> {
    backed_up_with(cp1, &[])
}

fn backed_up_with(cp1: &Node, flags: &[&str]) -> Result<String> {
    kubectl(cp1, "create configmap lost --from-literal=a=1")?;
    let args = [&["backup", "etcd", "--dir", "/srv/backups", "-o", "json"][..], flags].concat();
    let output = rkadm(cp1, &args)?;
    expect(&output, 0, &[])?;
    Ok(json(&output)?["file"].as_str().context("no file")?.to_owned())
}

/// A cluster of so many control planes.
fn control_planes<const N: usize>(lab: &Lab, names: [&str; N]) -> Result<[Node; N]> {
    let mut nodes: Vec<Node> = vec![];
    for name in names {
        nodes.push(match nodes.first() {
            None => {
                let first = fresh(lab, name)?;
                expect(&init(&first)?, 0, &[])?;
                first
            }
            Some(first) => {
                let node = machine(lab, name, NodeSpec::new(NEWEST))?;
                expect(&Ticket::of(first)?.join(&node, true)?, 0, &[])?;
                node
            }
        });
    }
    // A kubelet tells the API server of its static pods when it comes to it: a backup from before knows fewer pods than there are.
    for name in names {
        let pods: Vec<_> =
            Component::ALL.iter().map(|component| format!("{}-{name}", component.name())).collect();
        wait(&nodes[0], &format!("kubectl -n kube-system get pods {}", pods.join(" ")))?;
    }
    nodes.try_into().map_err(|_| anyhow::anyhow!("not all of {names:?}"))
}

fn nothing_left(nodes: &[&Node]) -> Result<()> {
    for node in nodes {
        node.sh_ok("test ! -e /var/lib/rkadm/fleet")?;
    }
    Ok(())
}

fn copy(from: &Node, to: &Node, file: &str) -> Result<()> {
    let bytes = from.sh_ok(&format!("base64 -w0 {file}"))?;
    to.sh_ok("mkdir -p -m 700 /srv/backups")?;
    to.write("/root/copied", bytes, 0o600)?;
    to.sh_ok(&format!("base64 -d /root/copied > {file}")).map(drop)
}
