//! etcd without a quorum: one member's data becomes a cluster that the others join again.

use anyhow::ensure;
use rkadm_nodes::{NodeSpec, run};

use crate::support::{
    NEWEST, Ticket, expect, fresh, init, kubectl, machine, members, members_agree, rkadm, wait,
};

#[test]
fn what_is_left_of_two_control_planes_becomes_a_cluster() {
    run("restore survivor", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        expect(&init(&cp1)?, 0, &[])?;
        let cp2 = machine(lab, "cp2", NodeSpec::new(NEWEST))?;
        expect(&Ticket::of(&cp1)?.join(&cp2, true)?, 0, &[])?;
        kubectl(&cp1, "create configmap kept --from-literal=a=1")?;
        let survivor = ["restore", "etcd", "--from-survivor", "--yes"];
        expect(&rkadm(&cp1, &survivor)?, 3, &["[EtcdQuorum] etcd has its quorum: nothing is lost"])?;

        cp2.power_loss()?;
        let words = ["Warning", "cp2", "cannot be reached from here", "rkadm reset --force"];
        let said = expect(&rkadm(&cp1, &survivor)?, 0, &words[..3])?;
        ensure!(said.contains(words[3]), "{said}");
        wait(&cp1, "kubectl get configmap kept")?;
        ensure!(members(&cp1)? == (1, 0));
        kubectl(&cp1, "create configmap later --from-literal=a=1")?;
        let left = cp1.sh_ok("ls -d /var/lib/etcd.*")?;
        ensure!(left.lines().count() == 1 && left.contains("before-"), "{left}");

        // The other one comes back with data of a cluster that is no more.
        cp2.boot()?;
        expect(&rkadm(&cp2, &["reset", "--force"])?, 0, &[])?;
        kubectl(&cp1, "delete node cp2")?;
        expect(&Ticket::of(&cp1)?.join(&cp2, true)?, 0, &[])?;
        ensure!(members(&cp1)? == (2, 0));
        members_agree(&cp1)?;
        kubectl(&cp2, "get configmap kept later").map(drop)
    });
}
