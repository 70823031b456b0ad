//! The machine's package manager: which version of a package it would install, and how.

use rkadm_core::{host::Probe, version::KubeVersion};

/// A package manager that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian and its kin.
    Apt,
    /// Fedora and its kin.
    Dnf,
    /// SUSE.
    Zypper,
}

const PACKAGE: &str = "kubelet";
/// Others may be at work: updates by the clock, for example.
const LOCK: &str = "DPkg::Lock::Timeout=300";
/// The repository of Kubernetes tells dnf to leave its packages out, so that nothing upgrades them by accident.
const EXCLUDED: &str = "--setopt=disable_excludes=*";

impl Manager {
    /// The one that installed the kubelet of this machine.
    pub async fn of_kubelet(host: &dyn Probe) -> Option<Self> {
        let known = async |program: &str, query: &[&str]| {
            host.find_program(program).await.is_some()
                && host.query(query).await.is_ok_and(|output| output.success())
        };
        if known("apt-get", &["dpkg-query", "--show", PACKAGE]).await {
            return Some(Self::Apt);
        }
        if known("dnf", &["rpm", "--query", PACKAGE]).await {
            return Some(Self::Dnf);
        }
        if known("zypper", &["rpm", "--query", PACKAGE]).await {
            return Some(Self::Zypper);
        }
        None
    }

    /// The command that reads the lists of the repositories.
    pub fn refresh(self) -> Vec<String> {
        words(match self {
            Self::Apt => &["apt-get", "-o", LOCK, "update", "-q"],
            Self::Dnf => &["dnf", "makecache", "-q"],
            Self::Zypper => &["zypper", "--non-interactive", "refresh"],
        })
    }

    /// The command that ends what a power loss has left half done: until then the package manager refuses everything else. Harmless
    /// where nothing is half done.
    pub fn mend(self) -> Option<Vec<String>> {
        match self {
            // dpkg does not wait for whoever is at work, which `apt-get check` does; it fails where dpkg was interrupted.
            Self::Apt => Some(words(&[
                "sh",
                "-c",
                &format!(
                    "apt-get -o {LOCK} -qq check || DEBIAN_FRONTEND=noninteractive dpkg --force-confold --configure -a"
                ),
            ])),
            // They finish or repeat what was begun when they are next asked to install.
            Self::Dnf | Self::Zypper => None,
        }
    }

    /// The full version of the package that holds this version of the kubelet, `1.37.2-1.1`; `None` where no list has one.
    pub async fn available(self, host: &dyn Probe, version: &KubeVersion) -> Option<String> {
        let number = version.to_string().trim_start_matches('v').to_owned();
        let query: &[&str] = match self {
            Self::Apt => &["apt-cache", "madison", PACKAGE],
            Self::Dnf => &["dnf", "repoquery", "-q", EXCLUDED, "--qf", "%{version}-%{release}\n", PACKAGE],
            Self::Zypper => &["zypper", "--non-interactive", "search", "-s", "--match-exact", PACKAGE],
        };
        let output = host.query(query).await.ok().filter(rkadm_core::host::CommandOutput::success)?;
        let found = builds(&output.stdout, &number);
        // dnf has the newest build last, the others first.
        if self == Self::Dnf { found.last().cloned() } else { found.first().cloned() }
    }

    /// The full version of the package that is installed.
    pub async fn installed(self, host: &dyn Probe) -> Option<String> {
        let query: &[&str] = match self {
            Self::Apt => &["dpkg-query", "--show", "--showformat=${Version}", PACKAGE],
            Self::Dnf | Self::Zypper => &["rpm", "--query", "--qf", "%{version}-%{release}", PACKAGE],
        };
        let output = host.query(query).await.ok().filter(rkadm_core::host::CommandOutput::success)?;
        Some(output.stdout.trim().to_owned()).filter(|version| !version.is_empty())
    }

    /// The command that installs this full version, newer or older than what is there.
    pub fn install(self, version: &str, how: How) -> Vec<String> {
        let again = how.over_itself;
        let mut argv = words(match self {
            // Packages of Kubernetes are held, so that they are not upgraded by accident: this is none.
            Self::Apt => &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "-o",
                LOCK,
                "install",
                "-y",
                "-q",
                "--no-remove",
                "--allow-downgrades",
                "--allow-change-held-packages",
                "-o",
                "Dpkg::Options::=--force-confold",
            ],
            Self::Dnf if again => &["dnf", "reinstall", "-y", "-q", EXCLUDED],
            // `install` takes older ones, too, where the version is named.
            Self::Dnf => &["dnf", "install", "-y", "-q", "--allowerasing", EXCLUDED],
            Self::Zypper => &["zypper", "--non-interactive", "install", "--oldpackage"],
        });
        let (over_itself, download_only, between) = match self {
            Self::Apt => (Some("--reinstall"), "--download-only", '='),
            Self::Dnf => (None, "--downloadonly", '-'),
            Self::Zypper => (Some("--force"), "--download-only", '='),
        };
        argv.extend(over_itself.filter(|_| again).map(str::to_owned));
        argv.extend(how.download_only.then(|| download_only.to_owned()));
        argv.push(format!("{PACKAGE}{between}{version}"));
        argv
    }
}

/// How a package is installed.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// It is brought to the machine, and no more.
    pub download_only: bool,
    /// The package manager has this version for installed, and would do nothing: its files are written again.
    pub over_itself: bool,
}

/// The arguments of a command.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Whether the full version of a package is one of this version of the program.
pub(super) fn is_build_of(full: &str, number: &str) -> bool {
    full.strip_prefix(number).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '+', '~']))
}

/// Of the words of all lines, those that are a package of this version, as the list has them.
fn builds(text: &str, number: &str) -> Vec<String> {
    let words = text.split(|letter: char| letter.is_whitespace() || letter == '|');
    words.filter(|word| is_build_of(word, number)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_dpkg_is_finished_and_its_lock_is_waited_for() {
        let script = Manager::Apt.mend().unwrap().pop().unwrap();
        let (check, mend) = script.split_once(" || ").unwrap();
        assert!(check.starts_with("apt-get ") && check.contains(LOCK), "{check}");
        assert!(mend.ends_with("dpkg --force-confold --configure -a"), "{mend}");
        assert!(!script.contains('\''), "it becomes part of another script");
    }

    #[test]
    fn every_package_manager_can_be_told_to_write_the_files_of_what_it_has_again() {
        let command = |manager: Manager, how| manager.install("1.37.2-1.1", how).join(" ");
        let again = How { over_itself: true, ..How::default() };
        for (manager, once, twice) in [
            (Manager::Apt, "apt-get", "--reinstall kubelet=1.37.2-1.1"),
            (Manager::Dnf, "dnf install", "dnf reinstall"),
            (Manager::Zypper, "install --oldpackage kubelet=", "--force kubelet="),
        ] {
            let (first, second) = (command(manager, How::default()), command(manager, again));
            assert!(first.contains(once) && !first.contains(twice), "{first}");
            assert!(second.contains(twice), "{second}");
            let fetched = command(manager, How { download_only: true, ..again });
            assert!(
                fetched.contains(twice.split(' ').next().unwrap()) && fetched.contains("only"),
                "{fetched}"
            );
        }
    }

    #[test]
    fn the_package_of_a_version_is_found_in_every_list() {
        let apt = "   kubelet | 1.37.20-1.1 | https://pkgs.k8s.io deb  Packages\n   kubelet | 1.37.2-1.2 | x\n   kubelet | 1.37.2-1.1 | x\n";
        assert_eq!(builds(apt, "1.37.2"), ["1.37.2-1.2", "1.37.2-1.1"]);
        assert_eq!(builds("1.36.4-1\n1.37.2-150500.1.1\n", "1.37.2"), ["1.37.2-150500.1.1"]);
        let zypper = "S | Name    | Type    | Version      | Arch\n  | kubelet | package | 1.37.2-150500.1.1 | x86_64\n";
        assert_eq!(builds(zypper, "1.37.2"), ["1.37.2-150500.1.1"]);
        assert!(builds(apt, "1.36.4").is_empty());
    }
}
