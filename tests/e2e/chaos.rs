//! Joins under faults: whatever happens, a resume or a rollback ends in a healthy cluster or an untouched machine, and
//! nothing that was in the cluster is lost.
//!
//! A few rounds belong to every run; `make chaos` goes on for as many as `$RKADM_ROUNDS` says, with `$RKADM_FAULT` alone
//! where that is set. `$RKADM_SEED` replays.

use std::{collections::BTreeMap, env, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Lab, Node, NodeSpec, Output, run};

use crate::support::{
    NEWEST, Random, Running, Snapshot, Ticket, expect, fill, joined, kubectl, machine, make_room, members,
    members_agree, overload, relieve, rkadm, small_disk, wait,
};

/// Rounds of every run: one for each fault.
const FAULTS: [Fault; 9] = [
    Fault::Kill,
    Fault::PowerLoss,
    Fault::OtherPowerLoss,
    Fault::Cut,
    Fault::Containerd,
    Fault::Kubelet,
    Fault::ApiServer,
    Fault::Overload,
    Fault::DiskFull,
];

/// What goes wrong in the middle of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// kill -9 of rkadm.
    Kill,
    /// The machine loses power.
    PowerLoss,
    /// Another control plane loses power, and comes back.
    OtherPowerLoss,
    /// The machine is cut off from the first control plane for some seconds: its API server and its etcd.
    Cut,
    /// The container runtime restarts.
    Containerd,
    /// The kubelet restarts.
    Kubelet,
    /// The API server that the cluster's endpoint leads to is killed, and answers nothing for some seconds.
    ApiServer,
    /// That API server answers this machine with 429 and 500 for some seconds, at the beginning and again later.
    Overload,
    /// The disk under rkadm's journal is full, until rkadm has ended.
    DiskFull,
}

#[test]
fn joins_survive_each_fault_once() {
    let mut random = Random::seeded();
    run("chaos", |lab| {
        let mut campaign = Campaign::new(lab)?;
        for (number, fault) in FAULTS.into_iter().enumerate() {
            // The worker has less to lose: control planes more often.
            campaign.round(&mut random, fault, number % 3 != 2)?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "takes as long as it is told to: `make chaos`"]
fn chaos() {
    let mut random = Random::seeded();
    let only = env::var("RKADM_FAULT").unwrap_or_default();
    let wanted = |fault: &Fault| only.is_empty() || format!("{fault:?}") == only;
    let faults: Vec<_> = FAULTS.into_iter().filter(wanted).collect();
    assert!(!faults.is_empty(), "no fault is called {only}; there are {FAULTS:?}");
    let rounds = env::var("RKADM_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(30);
    run("chaos", |lab| {
        let mut campaign = Campaign::new(lab)?;
        for _ in 0..rounds {
            let fault = random.of(&faults);
            let control_plane = random.below(3) != 0;
            campaign.round(&mut random, fault, control_plane)?;
        }
        Ok(())
    });
}

/// A cluster of two control planes, and two machines that join and leave.
struct Campaign<'a> {
    lab: &'a Lab,
    cp1: Node,
    cp2: Node,
    cp3: Node,
    w1: Node,
    round: u32,
    /// Events of an undisturbed join, of a worker and of a control plane.
    events: [u32; 2],
}

impl<'a> Campaign<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let (cp1, _, cp2) = crate::join::two_control_planes(lab, NEWEST)?;
        let cp3 = machine(lab, "cp3", NodeSpec::new(NEWEST))?;
        let w1 = machine(lab, "w1", NodeSpec::new(NEWEST))?;
        let mut campaign = Self { lab, cp1, cp2, cp3, w1, round: 0, events: [0, 0] };
        for control_plane in [false, true] {
            let mut running = campaign.begin(&Ticket::of(&campaign.cp1)?, control_plane)?;
            while running.next()?.is_some() {
                campaign.events[usize::from(control_plane)] += 1;
            }
            expect(&running.end()?, 0, &[])?;
            campaign.leave(control_plane)?;
        }
        Ok(campaign)
    }

    fn node(&self, control_plane: bool) -> &Node {
        if control_plane { &self.cp3 } else { &self.w1 }
    }

    fn begin(&self, ticket: &Ticket, control_plane: bool) -> Result<Running> {
        let args = ticket.args(control_plane);
        let args: Vec<&str> = ["join"].into_iter().chain(args.iter().map(String::as_str)).collect();
        Running::start(self.node(control_plane), &args)
    }

    /// Begins it while the API server answers nothing but 429 and 500, from the first question on.
    fn begin_overloaded(&self, ticket: &Ticket, control_plane: bool) -> Result<Running> {
        overload(&self.cp1, self.node(control_plane))?;
        let running = self.begin(ticket, control_plane)?;
        thread::sleep(Duration::from_secs(3));
        let met = relieve(&self.cp1)?;
        ensure!(met > 1, "{met} calls were answered with 429 and 500");
        Ok(running)
    }

    fn round(&mut self, random: &mut Random, fault: Fault, control_plane: bool) -> Result<()> {
        self.round += 1;
        let at = random.below(self.events[usize::from(control_plane)]);
        let back = random.below(2) == 0;
        let what = format!(
            "round {}: {fault:?} at event {at} of a join of a {}, then {}",
            self.round,
            if control_plane { "control plane" } else { "worker" },
            if back { "rollback" } else { "resume" }
        );
        println!("{what}");
        self.disturbed(fault, at, control_plane, back).with_context(|| what)
    }

    fn disturbed(&self, fault: Fault, at: u32, control_plane: bool, back: bool) -> Result<()> {
        kubectl(&self.cp1, &format!("create configmap chaos-{} --from-literal=a=b", self.round))?;
        let objects = objects(&self.cp1)?;
        let node = self.node(control_plane);
        let before = Snapshot::of(node)?;
        let ticket = Ticket::of(&self.cp1)?;
        if fault == Fault::DiskFull {
            small_disk(node)?;
        }
        let mut running = if fault == Fault::Overload {
            self.begin_overloaded(&ticket, control_plane)?
        } else {
            self.begin(&ticket, control_plane)?
        };
        for _ in 0..at {
            running.next()?;
        }
        let output = self.strike(fault, node, running)?;
        wait(&self.cp1, "kubectl get --raw /readyz && kubectl get nodes")?;
        let there = conclude(&ticket, node, control_plane, back, &output)?;
        wait(&self.cp1, "kubectl get --raw /readyz && kubectl -n kube-system get lease")?;
        if there {
            joined(&self.cp1, node.name(), control_plane)?;
        } else {
            if fault == Fault::PowerLoss {
                // The unit is enabled: the boot has started it, and not rkadm.
                node.sh_ok("test -e /var/lib/kubelet/config.yaml || systemctl stop kubelet")?;
            }
            before.unchanged(node)?;
        }
        let voters = if there && control_plane { 3 } else { 2 };
        ensure!(members(&self.cp1)? == (voters, 0), "members: {:?}", members(&self.cp1)?);
        members_agree(&self.cp1)?;
        nothing_lost(&objects, &self.cp1)?;
        if there {
            self.leave(control_plane)?;
        } else {
            self.left_behind(control_plane)?;
        }
        if fault == Fault::DiskFull {
            node.sh_ok("umount -l /var/lib/rkadm")?;
        }
        Ok(())
    }

    /// Lets the fault happen, and rkadm end, whichever way.
    fn strike(&self, fault: Fault, node: &Node, running: Running) -> Result<Output> {
        match fault {
            Fault::Kill => running.signal("KILL")?,
            Fault::PowerLoss => {
                node.power_loss()?;
                let output = running.end()?;
                node.boot()?;
                return Ok(output);
            }
            Fault::OtherPowerLoss => {
                self.cp2.power_loss()?;
                thread::sleep(Duration::from_secs(2));
                self.cp2.boot()?;
            }
            Fault::Cut => {
                self.lab.cut(node, &self.cp1)?;
                thread::sleep(Duration::from_secs(4));
                self.lab.heal(node, &self.cp1)?;
            }
            Fault::Containerd => node.sh_ok("systemctl restart containerd").map(drop)?,
            Fault::Kubelet => node.sh_ok("systemctl try-restart kubelet").map(drop)?,
            Fault::Overload => {
                overload(&self.cp1, node)?;
                thread::sleep(Duration::from_secs(4));
                relieve(&self.cp1)?;
            }
            Fault::DiskFull => {
                fill(node)?;
                let output = running.end()?;
                make_room(node)?;
                return Ok(output);
            }
            Fault::ApiServer => self.cp1.sh_ok("pkill -KILL -x kube-apiserver || true").map(drop)?,
        }
        running.end()
    }

    /// What a join that was taken back leaves in the cluster: nothing of a control plane; of a worker its Node, where it had
    /// registered, which says so.
    fn left_behind(&self, control_plane: bool) -> Result<()> {
        let name = self.node(control_plane).name();
        let text = kubectl(&self.cp1, &format!("get node {name} --ignore-not-found -o json"))?;
        if text.trim().is_empty() {
            return Ok(());
        }
        ensure!(!control_plane, "the Node of a control plane that was taken back is there: {text}");
        let node: serde_json::Value = serde_json::from_str(&text)?;
        let told = rkadm_core::kube::objects::unfinished_join_of(&node);
        ensure!(told.is_some_and(|told| told["reason"] == "RolledBack"), "the Node does not say so: {text}");
        let list = expect(&rkadm(&self.cp1, &["op", "list", "--cluster"])?, 0, &[])?;
        ensure!(list.contains(&format!("kubectl delete node {name}")), "{list}");
        kubectl(&self.cp1, &format!("delete node {name}")).map(drop)
    }

    /// Takes the node out of the cluster again.
    fn leave(&self, control_plane: bool) -> Result<()> {
        let node = self.node(control_plane);
        expect(&rkadm(node, &["reset", "--force", "--no-archive"])?, 0, &[])?;
        kubectl(&self.cp1, &format!("delete node {} --ignore-not-found", node.name())).map(drop)
    }
}

/// Finishes what is not finished, or takes it back. Whether the node has joined after all.
fn conclude(ticket: &Ticket, node: &Node, control_plane: bool, back: bool, output: &Output) -> Result<bool> {
    if output.status == 0 {
        return Ok(true);
    }
    let list = expect(&rkadm(node, &["op", "list"])?, 0, &[])?;
    let last = list.lines().last().unwrap_or_default();
    if last.contains("rolled-back") || last.contains("ID") || list.contains("No operation") {
        return Ok(false);
    }
    if last.contains("finished") && !last.contains("reset") {
        return Ok(true);
    }
    if last.contains("finished") {
        // It was cut off before it began.
        return Ok(false);
    }
    if back || last.contains("rolling-back") || last.contains("stuck") {
        expect(&rkadm(node, &["op", "rollback"])?, 0, &[])?;
        return Ok(false);
    }
    expect(&ticket.join(node, control_plane)?, 0, &[])?;
    Ok(true)
}

/// Every object with its uid, but for those that come and go by themselves.
fn objects(cp: &Node) -> Result<BTreeMap<String, String>> {
    let text = cp.sh_ok(
        "export KUBECONFIG=/etc/kubernetes/admin.conf
         kinds=$(kubectl api-resources --verbs=list -o name | grep -Ev '^(events|leases|certificatesigningrequests|endpointslices|endpoints|pods|nodes|csinodes|componentstatuses|controllerrevisions)([.]|$)' | paste -sd,)
         kubectl get $kinds -A --ignore-not-found -o jsonpath='{range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name} {.metadata.uid}{\"\\n\"}{end}'",
    )?;
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    // Tokens expire, and the uploaded certificates are made anew for each join.
    let lasting =
        pairs.filter(|(name, _)| !name.contains("bootstrap-token-") && !name.contains("kubeadm-certs"));
    let objects: BTreeMap<_, _> = lasting.map(|(name, uid)| (name.to_owned(), uid.to_owned())).collect();
    ensure!(objects.len() > 50, "only {} objects: {text}", objects.len());
    Ok(objects)
}

fn nothing_lost(before: &BTreeMap<String, String>, cp: &Node) -> Result<()> {
    let now = objects(cp)?;
    let lost: Vec<_> = before.iter().filter(|(name, uid)| now.get(*name) != Some(uid)).collect();
    ensure!(lost.is_empty(), "objects are lost: {lost:?}");
    Ok(())
}
