//! `rkadm upgrade apply --nodes`: a whole cluster by one command, over ssh.

use anyhow::ensure;
use rkadm_nodes::run;

use crate::{
    support::{Running, Ticket, expect, install_network, kubectl, machine, members_agree, rkadm, wait},
    upgrade::{FROM, NEW, TO, cluster, kubelets, spec, versions},
};

#[test]
fn one_command_upgrades_a_whole_cluster_and_goes_on_where_it_stopped() {
    run("upgrade fleet", |lab| {
        let cp1 = cluster(lab)?;
        let ticket = Ticket::of(&cp1)?;
        let [cp2, w1] = ["cp2", "w1"].map(|name| machine(lab, name, spec()));
        let (cp2, w1) = (cp2?, w1?);
        expect(&ticket.join(&cp2, true)?, 0, &[])?;
        expect(&ticket.join(&w1, false)?, 0, &[])?;
        install_network(&cp1, &[&cp1, &cp2, &w1])?;
        wait(&cp1, "rkadm health -q")?;
        // The new kubelet is a file of the machine that leads.
        cp2.sh_ok("cp /usr/bin/kubelet /root/old")?;
        cp2.install_programs(NEW, &["kubelet"])?;
        cp2.sh_ok("mv /usr/bin/kubelet /root/kubelet && cp /root/old /usr/bin/kubelet")?;
        w1.sh_ok("rm $(command -v rkadm)")?;

        let from = |flags: &[&str]| {
            rkadm(
                &cp2,
                &[&["upgrade", "apply", TO, "--kubelet-binary", "/root/kubelet", "--nodes"][..], flags]
                    .concat(),
            )
        };
        expect(
            &from(&["cp2,w1", "--yes"])?,
            3,
            &["[Nodes] control planes that were not named: cp1", "Nothing was changed."],
        )?;
        expect(&from(&["w1", "--yes"])?, 3, &["none of the machines is a control plane"])?;
        let plan = expect(&from(&["w1,cp1,cp2", "--dry-run"])?, 0, &[])?;
        ensure!(
            plan.contains("on w1: rkadm upgrade node --kubelet") && plan.contains("Nothing was changed."),
            "{plan}"
        );
        ensure!(versions(&cp1)?[0] == FROM);

        // A pod that may not go holds up the last machine; the others are done.
        kubectl(&cp1, "create deployment web --image registry.k8s.io/pause:3.10.2")?;
        kubectl(&cp1, "create poddisruptionbudget web --selector app=web --max-unavailable 0")?;
        wait(&cp1, "kubectl rollout status deployment/web --timeout 60s")?;
        let output = from(&["w1,cp1,cp2", "--yes", "--drain-timeout", "20"])?;
        expect(&output, 1, &["steps were done"])?;
        ensure!(
            output.stdout.contains("failed     w1") && output.stdout.contains("it is as it was before"),
            "{}",
            output.stdout
        );
        for cp in [&cp1, &cp2] {
            ensure!(versions(cp)? == [TO; 3], "{}: {:?}", cp.name(), versions(cp)?);
        }
        kubelets(&cp1, &[("cp1", TO), ("cp2", TO), ("w1", FROM)])?;
        kubectl(&cp1, "delete poddisruptionbudget web")?;
        // It goes on there. Cut off when the kubelet is new already and the node still cordoned, it is not forgotten.
        let args =
            ["upgrade", "apply", TO, "--kubelet-binary", "/root/kubelet", "--nodes", "w1,cp1,cp2", "--yes"];
        let mut running = Running::start(&cp2, &args)?;
        running.until_step_on("w1", "kubelet/start")?;
        w1.sh_ok("pkill -KILL -x rkadm")?;
        expect(&running.end()?, 5, &["steps were done"])?;
        let output = from(&["w1,cp1,cp2", "--yes"])?;
        expect(&output, 0, &["w1:", "resuming operation"])?;
        ensure!(output.stdout.starts_with("Nothing to do"), "{}", output.stdout);
        kubelets(&cp1, &[("cp1", TO), ("cp2", TO), ("w1", TO)])?;
        members_agree(&cp1)?;
        for node in [&cp1, &cp2, &w1] {
            wait(node, "test ! -e /var/lib/rkadm/fleet")?;
        }
        wait(&cp1, "rkadm health -q").map(drop)
    });
}
