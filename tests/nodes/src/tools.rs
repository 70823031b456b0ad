//! The Go programs that the tests run, built from the modules pinned in `tests/tools`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache::{Cache, Key};
use crate::{cmd, files, progress};

/// A Kubernetes minor, such as `1.37`, that `tests/tools` pins a patch release of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Minor(String);

/// The minors that are built unless others are asked for: the newest and the one before it, for upgrades.
pub fn default_minors() -> Vec<Minor> {
    vec![Minor("1.36".to_owned()), Minor("1.37".to_owned())]
}

impl FromStr for Minor {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let known: Vec<_> = files::entries(&pins()).into_iter().filter_map(|dir| minor_of(&dir)).collect();
        if known.iter().any(|minor| minor == text) {
            return Ok(Self(text.to_owned()));
        }
        bail!("Kubernetes {text} is not pinned in tests/tools; there are {}", known.join(", "))
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn minor_of(dir: &Path) -> Option<String> {
    Some(dir.file_name()?.to_str()?.strip_prefix("kubernetes-")?.to_owned())
}

fn pins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools")
}

/// Built programs of one pinned module.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// `v1.37.2`
    pub version: String,
    pub dir: PathBuf,
}

impl Tools {
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

pub(crate) fn kubernetes(cache: &Cache, minor: &Minor) -> Result<Tools> {
    let names = [
        "kubeadm",
        "kubectl",
        "kubelet",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
    ];
    kubernetes_module(minor, &names)?.build(cache)
}

/// The path of a minor's kubeadm. It alone is built, unless all of that minor is there already.
pub fn kubeadm(minor: &Minor) -> Result<PathBuf> {
    let cache = Cache::open()?;
    let mut module = kubernetes_module(minor, &["kubeadm"])?;
    // Both entries have the same key: it is made from the module and the flags, not from the programs.
    if let Some(dir) = cache.existing(&module.entry, module.key()?) {
        return Ok(dir.join("kubeadm"));
    }
    module.entry = format!("kubeadm-{minor}");
    Ok(module.build(&cache)?.program("kubeadm"))
}

fn kubernetes_module(minor: &Minor, names: &[&'static str]) -> Result<Module> {
    let dir = format!("kubernetes-{minor}");
    let version = pinned(&dir, "k8s.io/kubernetes")?;
    let packages = names.iter().map(|name| (*name, format!("k8s.io/kubernetes/cmd/{name}")));
    let flags = vec![
        "-tags".to_owned(),
        "selinux,notest,grpcnotrace".to_owned(),
        format!("-ldflags=-s -w{}", stamps(&version)?),
    ];
    Ok(Module { entry: dir.clone(), dir, packages: packages.collect(), flags, version })
}

/// The directory with etcd, etcdctl and etcdutl of a minor such as `3.6`; built if they are not there yet.
pub fn etcd_programs(line: &str) -> Result<PathBuf> {
    Ok(etcd(&Cache::open()?, line)?.dir)
}

/// `line` is a minor of etcd: `3.6`.
pub(crate) fn etcd(cache: &Cache, line: &str) -> Result<Tools> {
    let version = pinned(&format!("etcd-{line}"), "go.etcd.io/etcd/server/v3")?;
    let packages = [("etcd", "server"), ("etcdctl", "etcdctl"), ("etcdutl", "etcdutl")];
    let packages = packages.map(|(name, module)| (name, format!("go.etcd.io/etcd/{module}/v3")));
    Module::plain(&format!("etcd-{line}"), version, packages.into()).build(cache)
}

/// The S3 server that the tests of backups run; built if it is not there yet.
pub fn versitygw() -> Result<PathBuf> {
    let version = pinned("versitygw", "github.com/versity/versitygw")?;
    let packages = vec![("versitygw", "github.com/versity/versitygw/cmd/versitygw".to_owned())];
    Ok(Module::plain("versitygw", version, packages).build(&Cache::open()?)?.program("versitygw"))
}

/// A program that watches ConfigMaps as controllers do, and writes what it knows to a file; built if it is not there yet.
pub fn informer() -> Result<PathBuf> {
    let version = pinned("informer", "k8s.io/client-go")?;
    let packages = vec![("informer", ".".to_owned())];
    Ok(Module::plain("informer", version, packages).build(&Cache::open()?)?.program("informer"))
}

pub(crate) fn coredns(cache: &Cache) -> Result<Tools> {
    let version = pinned("coredns", "github.com/coredns/coredns")?;
    let packages = vec![("coredns", "github.com/coredns/coredns".to_owned())];
    Module::plain("coredns", version, packages).build(cache)
}

/// The version that go.mod requires of a module.
fn pinned(dir: &str, module: &str) -> Result<String> {
    let file = pins().join(dir).join("go.mod");
    let text = files::read(&file)?;
    let requirement = |line: &str| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        // The `tool` block names modules too, without a version.
        (words.next() == Some(module))
            .then(|| words.next())
            .flatten()
            .filter(|version| version.starts_with('v'))
            .map(str::to_owned)
    };
    text.lines()
        .find_map(requirement)
        .with_context(|| format!("{} does not require {module}", file.display()))
}

/// Linker flags for the version: a program of Kubernetes built without them cannot tell which it is, and
/// kubeadm then refuses to work.
fn stamps(version: &str) -> Result<String> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        bail!("{version} is not a version of Kubernetes")
    };
    // Fixed, so that the same pin gives the same bytes.
    let values = [
        ("gitVersion", version),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
        ("gitCommit", "0000000000000000000000000000000000000000"),
        ("buildDate", "1970-01-01T00:00:00Z"),
    ];
    let packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
    Ok(packages
        .iter()
        .flat_map(|package| values.iter().map(move |(name, value)| format!(" -X {package}.{name}={value}")))
        .collect())
}

/// Programs to build from one pinned module.
struct Module {
    /// In `tests/tools`.
    dir: String,
    /// Name of the cache entry, without its key.
    entry: String,
    version: String,
    /// Names of programs and their packages.
    packages: Vec<(&'static str, String)>,
    flags: Vec<String>,
}

impl Module {
    /// Built without anything particular.
    fn plain(dir: &str, version: String, packages: Vec<(&'static str, String)>) -> Self {
        let flags = vec!["-ldflags=-s -w".to_owned()];
        Self { dir: dir.to_owned(), entry: dir.to_owned(), version, packages, flags }
    }

    fn place(&self) -> Result<PathBuf> {
        let dir = &self.dir;
        pins().join(dir).canonicalize().with_context(|| format!("tests/tools/{dir} is missing"))
    }

    fn key(&self) -> Result<Key> {
        let module = self.place()?;
        let go = cmd::call(&["go", "env", "GOVERSION", "GOARCH"])
            .context("Go is needed to build the test binaries; try `nodes setup`")?;
        let mut key = Key::default().with(&go).with(self.flags.join("\n"));
        for file in ["go.mod", "go.sum"] {
            key = key.with(files::read(&module.join(file))?);
        }
        // Programs of our own have their source beside it.
        let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "go");
        for file in files::entries(&module).into_iter().filter(is_source) {
            key = key.with(files::read(&file)?);
        }
        Ok(key)
    }

    fn build(self, cache: &Cache) -> Result<Tools> {
        let module = self.place()?;
        let Self { version, packages, flags, .. } = &self;
        let place = cache.entry(&self.entry, self.key()?, |scratch| {
            // One after the other: the compiler uses every core by itself.
            for (name, package) in packages {
                progress::timed(&format!("building {name} {version}"), || {
                    let mut command = Command::new("go");
                    command
                        .current_dir(&module)
                        .env("CGO_ENABLED", "0")
                        .env("GOFLAGS", "")
                        .env("GOTOOLCHAIN", "local");
                    // What a debugger would need takes the compiler an eighth of its time, and the linker leaves it out.
                    command
                        .args(["build", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false"])
                        .args(flags);
                    cmd::run(command.arg("-o").arg(scratch.join(name)).arg(package))
                })?;
            }
            Ok(())
        })?;
        for (name, _) in packages {
            ensure!(place.join(name).exists(), "{} lacks {name}: remove it and run again", place.display());
        }
        Ok(Tools { version: self.version, dir: place })
    }
}
