//! `cleanup-network`: rules of the packet filter that Kubernetes made, and only those; interfaces where that was asked for.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action, Event, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
    },
    host::{Actuator, Probe},
    netfilter,
};
use serde_json::Value;

use super::Reset;

/// The two kinds of iptables are asked both: what is in the one is not seen by the other.
const FAMILIES: [(&str, [&str; 2]); 2] =
    [("iptables", ["iptables-nft", "iptables-legacy"]), ("ip6tables", ["ip6tables-nft", "ip6tables-legacy"])];

pub struct CleanupNetwork {
    reset: Arc<Reset>,
}

impl CleanupNetwork {
    pub fn new(reset: &Arc<Reset>) -> Self {
        Self { reset: Arc::clone(reset) }
    }
}

#[async_trait]
impl Phase for CleanupNetwork {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("cleanup-network", "Remove network rules that Kubernetes made").help(
            "Remove chains, rules, tables, sets and virtual services of the kubelet, of kube-proxy and of network plugins for \
             Kubernetes. Rules of others are not touched, nor their order. With --remove-interfaces, the interfaces of known \
             plugins go as well. There is nothing to take back: kube-proxy and the plugins make all of it when they start.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let mut steps = vec![];
        for (plain, kinds) in FAMILIES {
            for program in programs(cx.host, plain, kinds).await {
                steps.extend(self.rules(cx, &program).await);
            }
        }
        let owners = self.reset.owners();
        if let Some(listing) = output(cx.host, &["nft", "list", "tables"]).await {
            for (family, name) in netfilter::nft_tables(&listing, owners) {
                steps.push(run(&["nft", "delete", "table", &family, &name]));
            }
        }
        steps.extend(virtual_services(cx.host).await);
        // After the rules that use them.
        if let Some(listing) = output(cx.host, &["ipset", "list", "-n"]).await {
            steps.extend(netfilter::ip_sets(&listing).iter().map(|name| run(&["ipset", "destroy", name])));
        }
        if self.reset.interfaces
            && let Some(listing) = output(cx.host, &["ip", "-o", "link", "show"]).await
        {
            let names = netfilter::interfaces(&listing);
            steps.extend(names.iter().map(|name| run(&["ip", "link", "delete", name])));
        }
        Ok(Verdict::from_steps(steps, "no rule of Kubernetes is here"))
    }
}

impl CleanupNetwork {
    async fn rules(&self, cx: &PlanCx<'_>, program: &str) -> Option<Step> {
        let save = output(cx.host, &[&format!("{program}-save")]).await?;
        let cleanup = netfilter::iptables(&save, self.reset.owners())?;
        let argv = [format!("{program}-restore"), "--noflush".into(), "--wait=10".into()];
        let what = format!(
            "remove {} chains of Kubernetes, and {} rules that lead to them",
            cleanup.chains, cleanup.rules
        );
        Some(Step::Action(Arc::new(Tidy { argv: argv.into(), input: Some(cleanup.restore), what })))
    }
}

async fn programs(host: &dyn Probe, plain: &str, kinds: [&str; 2]) -> Vec<String> {
    let mut found = vec![];
    for kind in kinds {
        if host.find_program(&format!("{kind}-save")).await.is_some() {
            found.push(kind.to_owned());
        }
    }
    if found.is_empty() && host.find_program(&format!("{plain}-save")).await.is_some() {
        found.push(plain.to_owned());
    }
    found
}

/// What a program prints that only reads; `None` where it is not there or cannot.
async fn output(host: &dyn Probe, argv: &[&str]) -> Option<String> {
    host.find_program(argv.first()?).await?;
    host.query(argv).await.ok().filter(rkadm_core::host::CommandOutput::success).map(|output| output.stdout)
}

async fn virtual_services(host: &dyn Probe) -> Vec<Step> {
    let Some(addresses) = output(host, &["ip", "-o", "addr", "show", "dev", "kube-ipvs0"]).await else {
        return vec![];
    };
    let Some(save) = output(host, &["ipvsadm", "-Sn"]).await else { return vec![] };
    let services = netfilter::ipvs_services(&save, &addresses);
    services.iter().map(|(protocol, address)| run(&["ipvsadm", "-D", protocol, address])).collect()
}

fn run(argv: &[&str]) -> Step {
    let what = format!("run `{}`", argv.join(" "));
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    Step::Action(Arc::new(Tidy { argv, input: None, what }))
}

/// Name of the action in journals: never renamed.
pub const TIDY_ACTION: &str = "tidy-network";
/// The kernel lets go of what a rule used a moment after the rule is gone.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// A command that takes rules away. A rule that stays harms nobody as much as a node that is brought back for it: its member may have
/// left etcd by now.
struct Tidy {
    argv: Vec<String>,
    input: Option<String>,
    what: String,
}

#[async_trait]
impl Action for Tidy {
    fn name(&self) -> &'static str {
        TIDY_ACTION
    }

    fn describe(&self) -> String {
        self.what.clone()
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        for tries in 1.. {
            let done = match &self.input {
                Some(input) => cx.host.feed(&self.argv, input).await,
                None => cx.host.run(&self.argv).await,
            };
            match done {
                Err(error) if error.is_injected() => return Err(error.into()),
                Err(_) if tries < TRIES => cx.host.pause(PAUSE).await,
                Err(error) => {
                    let message = format!("this stays: {}: {error}", self.what);
                    cx.reporter.report(Event::Warning { message });
                    break;
                }
                Ok(()) => break,
            }
        }
        Ok(())
    }
}
