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

use super::{
    INSTALLED, NOT_ASKED,
    package::{How, Manager, is_build_of, words},
    servers,
};
use crate::{init::KUBELET, upgrade::Upgrading};

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
        PhaseMeta::new("kubelet/fetch", "Bring the new kubelet to this machine")
            .help("With --kubelet: read the lists of the package repositories, or look at the given program.")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let Some(kubelet) = &self.0.request.kubelet else {
            return Ok(Verdict::NotApplicable(NOT_ASKED.into()));
        };
        let wanted = &self.0.cluster.config.kubernetes_version;
        if cx.store.output(NEEDED).is_none() && self.0.kubelet_runs(cx, wanted).await? {
            return Ok(Verdict::AlreadyDone(format!(
                "the kubelet is {wanted} or a newer patch of it, and so is the cluster's configuration: a newer one begins with `rkadm \
                 upgrade apply` on a control plane"
            )));
        }
        let (access, own) = (self.0.node_access(cx).await?, self.0.cluster.config.node_name());
        servers::first(cx.host, &access, own, wanted, cx.is_dry_run()).await?;
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
        Ok(Verdict::Apply(vec![Step::Run { argv: manager.refresh(), undo: None }, needed]))
    }
}

impl Upgrading {
    /// Whether the kubelet that runs, and the one on the disk, are of this version.
    async fn kubelet_runs(&self, cx: &PlanCx<'_>, wanted: &KubeVersion) -> Result<bool, PhaseError> {
        let node = cx.host.object(&self.node_access(cx).await?, &self.node_target()?).await?;
        let running = node.as_ref().and_then(|node| node["status"]["nodeInfo"]["kubeletVersion"].as_str());
        let running = running.and_then(|version| version.parse::<KubeVersion>().ok());
        let installed = installed_version(cx).await;
        // A newer patch of the same minor is as good: a node is not drained to go back.
        let serves = |version: &KubeVersion| version >= wanted && version.minor() == wanted.minor();
        Ok([running, installed].iter().all(|version| version.as_ref().is_some_and(serves)))
    }
}

pub struct Download(Arc<Upgrading>);

impl Download {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self(Arc::clone(upgrading))
    }
}

#[async_trait]
impl Phase for Download {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet/download", "Download the package of the new kubelet")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let Some(kubelet) = &self.0.request.kubelet else {
            return Ok(Verdict::NotApplicable(NOT_ASKED.into()));
        };
        if cx.store.output(NEEDED).is_none() || kubelet.binary.is_some() {
            return Ok(Verdict::NotApplicable("no package is needed".into()));
        }
        let Package { manager, version, over_itself } =
            Package::of(cx, &self.0.cluster.config.kubernetes_version).await?;
        let how = How { download_only: true, over_itself };
        let mut steps = mended(manager);
        steps.push(Step::Run { argv: manager.install(&version, how), undo: None });
        Ok(Verdict::Apply(steps))
    }
}

/// What comes before the package manager is asked to do anything, as an earlier run may have been cut off in the middle of it.
fn mended(manager: Manager) -> Vec<Step> {
    manager.mend().map(|argv| Step::Run { argv, undo: None }).into_iter().collect()
}

/// The package of the new kubelet.
struct Package {
    manager: Manager,
    version: String,
    /// It is installed, and yet another program is in its place: a way back put it there, as no repository had its package.
    over_itself: bool,
}

impl Package {
    /// # Errors
    /// No repository has one.
    async fn of(cx: &PlanCx<'_>, wanted: &KubeVersion) -> Result<Self, PhaseError> {
        if let Some(manager) = Manager::of_kubelet(cx.host).await
            && let Some(version) = manager.available(cx.host, wanted).await
        {
            let over_itself = manager.installed(cx.host).await.as_ref() == Some(&version)
                && installed_version(cx).await.as_ref() != Some(wanted);
            return Ok(Self { manager, version, over_itself });
        }
        Err(PhaseError::Unusable {
            message: format!("no repository of this machine has a package kubelet of {wanted}"),
            hint: format!(
                "each minor has a repository of its own: add the one of v{}.{} (https://pkgs.k8s.io), then run the command again",
                wanted.major(),
                wanted.minor()
            ),
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
        let Package { manager, version, over_itself } = Package::of(cx, wanted).await?;
        let kept = Kept::of(cx).await?;
        // The repository may have the new minor alone by now: then the program that was there comes back without its package.
        let undo = manager.installed(cx.host).await.map(|before| {
            // The program that ran is not the package's: one that an earlier way back put there.
            if !is_build_of(&before, kept.version.to_string().trim_start_matches('v')) {
                return words(&["sh", "-c", &kept.back()]);
            }
            let script =
                |argv: &[String]| argv.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
            // What was cut off in the middle of the installation would let nothing be installed; where it cannot be finished, the
            // program is what counts.
            let mend = manager.mend().map(|mend| script(&mend) + "; ").unwrap_or_default();
            let install = script(&manager.install(&before, How::default()));
            words(&["sh", "-c", &format!("{mend}{install} || {{ {}; }}", kept.back())])
        });
        let mut steps = vec![kept.keep()];
        steps.extend(mended(manager));
        let how = How { over_itself, ..How::default() };
        steps.push(Step::Run { argv: manager.install(&version, how), undo });
        Ok((steps, format!("kubelet {version}")))
    }

    async fn by_file(&self, cx: &PlanCx<'_>, binary: &Path) -> Result<(Vec<Step>, String), PhaseError> {
        let kept = Kept::of(cx).await?;
        let (binary, new) = (binary.display().to_string(), kept.beside());
        let run = |argv: &[&str], undo: &[&str]| Step::Run { argv: words(argv), undo: Some(words(undo)) };
        let steps = vec![
            kept.keep(),
            // A program that runs cannot be written to, but another can take its name.
            run(&["install", "-m", "755", &binary, &new], &["rm", "-f", &new]),
            run(&["mv", "-f", &new, &kept.place], &["sh", "-c", &kept.back()]),
        ];
        Ok((steps, binary))
    }
}

/// The program that is replaced, with a copy for the way back.
struct Kept {
    version: KubeVersion,
    place: String,
    copy: String,
}

impl Kept {
    async fn of(cx: &PlanCx<'_>) -> Result<Self, PhaseError> {
        let place = cx.host.find_program(KUBELET).await;
        let Some((place, version)) = place.zip(installed_version(cx).await) else {
            return Err(PhaseError::Unusable {
                message: "there is no kubelet on this machine's PATH that tells its version".into(),
                hint: "install it, then run the command again".into(),
            });
        };
        Ok(Self { place: place.display().to_string(), copy: format!("{BEFORE}{version}"), version })
    }

    fn beside(&self) -> String {
        format!("{}.rkadm-new", self.place)
    }

    fn keep(&self) -> Step {
        Step::Run { argv: words(&["cp", "--preserve=all", &self.place, &self.copy]), undo: None }
    }

    /// The script that brings it back.
    fn back(&self) -> String {
        let (copy, new, place) = (&self.copy, self.beside(), &self.place);
        format!("install -m 755 {copy} {new} && mv -f {new} {place}")
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rkadm_core::{
        engine::{PlanMode, event::Silent, store::Store},
        host::fake::{FakeHost, World},
    };

    use super::*;
    use crate::upgrade::kubelet::KubeletUpgrade;

    /// The commands of a phase on a machine whose kubelet is a package of Debian, each with its undo.
    async fn commands(
        installed: &str,
        phase: impl Fn(&Arc<Upgrading>) -> Box<dyn Phase>,
    ) -> Vec<(String, Option<String>)> {
        let mut world = World::ready()
            .with_answer("dpkg-query --show kubelet", &format!("kubelet\t{installed}\n"))
            .with_answer("dpkg-query --show --showformat=${Version} kubelet", installed)
            .with_answer("apt-cache madison kubelet", " kubelet | 1.37.2-1.1 | https://pkgs.k8s.io deb\n")
            .with_answer("kubelet --version", "Kubernetes v1.36.4\n");
        world.programs = ["apt-get", "kubelet"].map(str::to_owned).into();
        let mut upgrading = Upgrading::default();
        upgrading.request.kubelet = Some(KubeletUpgrade::default());
        upgrading.request.config.kubernetes_version = KubeVersion::new(1, 37, 2);
        let upgrading = Arc::new(Upgrading::new(upgrading.request));
        let store = Store::new(None, BTreeMap::from([(NEEDED.to_owned(), true.into())]));
        let host = FakeHost::new(world);
        let cx = PlanCx { host: &host, store: &store, mode: PlanMode::Apply, reporter: &Silent };
        let Verdict::Apply(steps) = phase(&upgrading).plan(&cx).await.unwrap() else {
            panic!("nothing to do")
        };
        let command = |step| match step {
            Step::Run { argv, undo } => Some((argv.join(" "), undo.map(|argv| argv.join(" ")))),
            _ => None,
        };
        steps.into_iter().filter_map(command).collect()
    }

    #[tokio::test]
    async fn what_a_power_loss_left_of_an_installation_is_finished_before_the_next() {
        const MEND: &str = "dpkg --force-confold --configure -a";
        let found = commands("1.36.4-1.1", |upgrading| Box::new(Install::new(upgrading))).await;
        let [(keep, None), (mend, None), (install, Some(undo))] = &found[..] else { panic!("{found:?}") };
        assert!(keep.starts_with("cp --preserve=all /usr/bin/kubelet"), "{keep}");
        assert!(mend.ends_with(MEND), "{mend}");
        assert!(install.ends_with("kubelet=1.37.2-1.1"), "{install}");
        let places = [MEND, "'kubelet=1.36.4-1.1' || {", "mv -f"].map(|part| undo.find(part));
        assert!(places.is_sorted() && places[0].is_some(), "{undo}");
        // A resume comes by here first, and apt refuses to download as well.
        let found = commands("1.36.4-1.1", |upgrading| Box::new(Download::new(upgrading))).await;
        assert!(found.len() == 2 && found[0].0.ends_with(MEND), "{found:?}");
    }

    #[tokio::test]
    async fn a_package_that_is_there_under_another_program_is_installed_over_itself_and_the_way_back_is_the_program()
     {
        let found = commands("1.37.2-1.1", |upgrading| Box::new(Install::new(upgrading))).await;
        let [_, _, (install, Some(undo))] = &found[..] else { panic!("{found:?}") };
        assert!(install.ends_with("--reinstall kubelet=1.37.2-1.1"), "{install}");
        assert!(undo.contains("mv -f") && !undo.contains("apt-get"), "{undo}");
        let found = commands("1.37.2-1.1", |upgrading| Box::new(Download::new(upgrading))).await;
        assert!(found[1].0.ends_with("--reinstall --download-only kubelet=1.37.2-1.1"), "{found:?}");
    }
}
