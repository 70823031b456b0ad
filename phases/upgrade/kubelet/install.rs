//! `kubelet/fetch` and `kubelet/install`: the new kubelet comes to the machine while the node works, and into its place once
//! its pods are gone.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict},
    host::ServiceVerb,
    preflight::parse,
    version::KubeVersion,
};

use super::{INSTALLED, NOT_ASKED, package::Manager};
use crate::{
    init::KUBELET,
    upgrade::{Upgrading, state},
};

/// The output that says that another kubelet is needed.
pub const NEEDED: &str = "kubelet needed";
/// Where a program that is replaced is kept, for the way back: behind it comes its version.
const BEFORE: &str = "/var/lib/rkadm/kubelet-";

pub struct Fetch(Arc<Upgrading>);

impl Fetch {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self(Arc::clone(upgrading))
    }
}

#[async_trait]
impl Phase for Fetch {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet/fetch", "Bring the new kubelet to this machine").help(
            "With --kubelet: read the lists of the package repositories and download the package, or look at the given program.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let Some(kubelet) = &self.0.request.kubelet else {
            return Ok(Verdict::NotApplicable(NOT_ASKED.into()));
        };
        let wanted = &self.0.cluster.config.kubernetes_version;
        if installed_version(cx).await.as_ref() == Some(wanted) && cx.store.output(NEEDED).is_none() {
            return Ok(Verdict::AlreadyDone(format!("the kubelet is {wanted}")));
        }
        self.api_servers_first(cx, wanted).await?;
        let needed = Step::Record { name: NEEDED.into(), value: true.into() };
        if let Some(binary) = &kubelet.binary {
            check_binary(cx, binary, wanted).await?;
            return Ok(Verdict::Apply(vec![needed]));
        }
        let Some(manager) = Manager::of_kubelet(cx.host).await else {
            return Err(PhaseError::Unusable {
                message: "the kubelet of this machine was installed by no package manager that is known here (apt, dnf, zypper)".into(),
                hint: "give the program: --kubelet-binary FILE; or install it yourself, as the guide says".into(),
            });
        };
        let mut steps = vec![Step::Run { argv: manager.refresh(), undo: None }];
        // What the lists say is known once they have been read; those of before mostly have it.
        if let Some(version) = manager.available(cx.host, wanted).await {
            steps.push(Step::Run { argv: manager.download(&version), undo: None });
        }
        steps.push(needed);
        Ok(Verdict::Apply(steps))
    }
}

impl Fetch {
    /// A kubelet must not be newer than any API server.
    async fn api_servers_first(&self, cx: &PlanCx<'_>, wanted: &KubeVersion) -> Result<(), PhaseError> {
        let access = self.0.node_access(cx).await?;
        // A worker may not look at pods of others; the cluster's configuration, which gave the version, comes after its API
        // servers.
        let Ok(servers) = state::api_servers(cx.host, &access).await else { return Ok(()) };
        let own = self.0.cluster.config.node_name();
        let older: Vec<_> = servers
            .into_iter()
            .filter(|server| server.version.minor() < wanted.minor() && server.node != own)
            .map(|server| format!("{} on {}", server.version, server.node))
            .collect();
        if older.is_empty() {
            return Ok(());
        }
        Err(PhaseError::Unusable {
            message: format!("a kubelet of {wanted} would be newer than API servers: {}", older.join(", ")),
            hint: "`rkadm upgrade node` on these control planes first".into(),
        })
    }
}

pub struct Install(Arc<Upgrading>);

impl Install {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self(Arc::clone(upgrading))
    }
}

#[async_trait]
impl Phase for Install {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet/install", "Install the new kubelet")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let Some(kubelet) = &self.0.request.kubelet else {
            return Ok(Verdict::NotApplicable(NOT_ASKED.into()));
        };
        if cx.store.output(NEEDED).is_none() {
            return Ok(Verdict::NotApplicable("the kubelet is of this version".into()));
        }
        let wanted = &self.0.cluster.config.kubernetes_version;
        let (run, what) = match &kubelet.binary {
            Some(binary) => self.by_file(cx, binary).await?,
            None => self.by_package(cx, wanted).await?,
        };
        // Its undo comes after the other's: the kubelet of before starts once it is there again.
        let mut steps = vec![Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Stop }];
        steps.extend(run);
        steps.push(Step::Record { name: INSTALLED.into(), value: what.into() });
        Ok(Verdict::Apply(steps))
    }
}

impl Install {
    async fn by_package(
        &self,
        cx: &PlanCx<'_>,
        wanted: &KubeVersion,
    ) -> Result<(Vec<Step>, String), PhaseError> {
        let manager = Manager::of_kubelet(cx.host).await;
        let version = match manager {
            Some(manager) => manager.available(cx.host, wanted).await.map(|version| (manager, version)),
            None => None,
        };
        let Some((manager, version)) = version else {
            return Err(PhaseError::Unusable {
                message: format!("no repository of this machine has a package kubelet of {wanted}"),
                hint: format!(
                    "each minor has a repository of its own: add the one of v{}.{} (https://pkgs.k8s.io), then run the command again",
                    wanted.major(),
                    wanted.minor()
                ),
            });
        };
        let before = manager.installed(cx.host).await;
        let undo = before.map(|before| manager.install(&before));
        Ok((vec![Step::Run { argv: manager.install(&version), undo }], format!("kubelet {version}")))
    }

    async fn by_file(&self, cx: &PlanCx<'_>, binary: &Path) -> Result<(Vec<Step>, String), PhaseError> {
        let Some(place) = cx.host.find_program(KUBELET).await else {
            return Err(PhaseError::Unusable {
                message: "there is no kubelet on this machine's PATH".into(),
                hint: "install it, then run the command again".into(),
            });
        };
        let (binary, place) = (binary.display().to_string(), place.display().to_string());
        let new = format!("{place}.rkadm-new");
        let run = |words: &[&str], undo: Option<&[&str]>| {
            let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            Step::Run { argv: owned(words), undo: undo.map(owned) }
        };
        let Some(version) = installed_version(cx).await else {
            return Err(PhaseError::Unusable {
                message: format!("{place} does not tell its version"),
                hint: "see that it runs: `kubelet --version`".into(),
            });
        };
        let before = format!("{BEFORE}{version}");
        let mut steps = vec![run(&["cp", "--preserve=all", &place, &before], None)];
        // A program that runs cannot be written to, but another can take its name.
        steps.push(run(&["install", "-m", "755", &binary, &new], Some(&["rm", "-f", &new])));
        let back = format!("install -m 755 {before} {new} && mv -f {new} {place}");
        steps.push(run(&["mv", "-f", &new, &place], Some(&["sh", "-c", &back])));
        Ok((steps, binary))
    }
}

async fn installed_version(cx: &PlanCx<'_>) -> Option<KubeVersion> {
    version_of(cx, KUBELET).await
}

async fn version_of(cx: &PlanCx<'_>, program: &str) -> Option<KubeVersion> {
    let output =
        cx.host.query(&[program, "--version"]).await.ok().filter(rkadm_core::host::CommandOutput::success)?;
    parse::kubelet_version(output.stdout.as_bytes())?.to_string().parse().ok()
}

/// Asked for its version, which shows that it runs here at all.
async fn check_binary(cx: &PlanCx<'_>, binary: &Path, wanted: &KubeVersion) -> Result<(), PhaseError> {
    let shown = binary.display().to_string();
    let found = version_of(cx, &shown).await;
    let message = match found {
        Some(version) if version == *wanted => return Ok(()),
        Some(version) => format!("{shown} is a kubelet of {version}, and {wanted} is needed"),
        None => format!("{shown} is no kubelet that runs on this machine"),
    };
    Err(PhaseError::Unusable { message, hint: "give another file to --kubelet-binary".into() })
}
