//! Several control planes that are restored at the same time.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, NodeSpec, run};

use crate::support::{
    NEWEST, Running, Ticket, expect, fresh, init, json, kubectl, machine, members, members_agree, rkadm, wait,
};

const POINTS: [&str; 3] = ["together/restored", "together/replaced", "together/started"];

#[test]
fn control_planes_that_are_restored_together_are_one_cluster() {
    run("restore together", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        expect(&init(&cp1)?, 0, &[])?;
        let cp2 = machine(lab, "cp2", NodeSpec::new(NEWEST))?;
        expect(&Ticket::of(&cp1)?.join(&cp2, true)?, 0, &[])?;
        kubectl(&cp1, "create configmap lost --from-literal=a=1")?;
        let output = rkadm(&cp1, &["backup", "etcd", "--dir", "/srv/backups", "-o", "json"])?;
        expect(&output, 0, &[])?;
        let file = json(&output)?["file"].as_str().context("no file")?.to_owned();
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

fn copy(from: &Node, to: &Node, file: &str) -> Result<()> {
    let bytes = from.sh_ok(&format!("base64 -w0 {file}"))?;
    to.sh_ok("mkdir -p -m 700 /srv/backups")?;
    to.write("/root/copied", bytes, 0o600)?;
    to.sh_ok(&format!("base64 -d /root/copied > {file}")).map(drop)
}
