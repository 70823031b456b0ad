//! The container images of a minor: its own components under the names that kubeadm asks for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::{Cache, Key};
use crate::oci::{self, Entry, Image};
use crate::tools::{self, Minor, Tools};
use crate::{base, cmd, files, progress, proxy_files};

/// Counts up when the content of an image changes by more than its programs.
const RECIPE: &str = "1";

/// A directory with one archive per image of the minor.
pub(crate) fn archives(cache: &Cache, minor: &Minor) -> Result<PathBuf> {
    let kubernetes = tools::kubernetes(cache, minor)?;
    let wanted = wanted(&kubernetes)?;
    let etcd = etcd(cache, &wanted)?;
    let sources = Sources { kubernetes, etcd, coredns: tools::coredns(cache)?, debian: base::debian(cache)? };
    let mut key = Key::default().with(RECIPE).with(wanted.join("\n")).with(PAUSE);
    for dir in [&sources.kubernetes.dir, &sources.etcd.dir, &sources.coredns.dir, &sources.debian] {
        key = key.with(dir.to_string_lossy().as_bytes());
    }
    cache.entry(&format!("images-{minor}"), key, |scratch| {
        progress::timed(&format!("making the images of {}", sources.kubernetes.version), || {
            for reference in &wanted {
                let parts = scratch.join("parts");
                let image = sources.image(reference, scratch)?;
                oci::write(&image, &scratch.join(format!("{}.tar", short_name(reference))), &parts)?;
            }
            files::remove_tree(&scratch.join(BUILD))
        })
    })
}

/// References of all images that kubeadm of this version wants. With the explicit version it asks nobody on
/// the internet.
pub(crate) fn wanted(kubernetes: &Tools) -> Result<Vec<String>> {
    let kubeadm = kubernetes.program("kubeadm");
    let mut command = Command::new(kubeadm);
    let listing =
        cmd::run(command.args(["config", "images", "list", "--kubernetes-version", &kubernetes.version]))?;
    Ok(listing.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect())
}

/// The etcd of these images.
pub(crate) fn etcd(cache: &Cache, wanted: &[String]) -> Result<Tools> {
    let tag = wanted
        .iter()
        .find_map(|reference| reference.split_once("/etcd:"))
        .context("kubeadm wants no etcd image")?
        .1;
    // `3.7` of `3.7.0-0`: the tests pin one patch release of each.
    tools::etcd(cache, &tag.splitn(3, '.').take(2).collect::<Vec<_>>().join("."))
}

/// The image of sandboxes among these.
pub(crate) fn pause(wanted: &[String]) -> Result<&str> {
    let pause = wanted.iter().find(|one| one.contains("/pause:"));
    pause.map(String::as_str).context("kubeadm wants no pause image")
}

/// `etcd` from `registry.k8s.io/etcd:3.7.0-0`.
fn short_name(reference: &str) -> &str {
    let path = reference.rsplit_once(':').map_or(reference, |(path, _)| path);
    path.rsplit('/').next().unwrap_or(path)
}

/// Below the scratch directory: what an image is made from, and is not kept.
const BUILD: &str = "build";

struct Sources {
    kubernetes: Tools,
    etcd: Tools,
    coredns: Tools,
    debian: PathBuf,
}

impl Sources {
    fn image(&self, reference: &str, scratch: &Path) -> Result<Image> {
        let local = |name: &str| format!("usr/local/bin/{name}");
        let name = short_name(reference);
        let (entrypoint, entries) = match name {
            "kube-proxy" => {
                let mut entries = proxy_files::entries(&self.debian)?;
                entries.push(Entry::File(local(name), self.kubernetes.program(name)));
                (vec![format!("/{}", local(name))], entries)
            }
            // The manifests of the control plane start with the program's name.
            name if name.starts_with("kube-") => {
                (vec![], vec![Entry::File(local(name), self.kubernetes.program(name))])
            }
            "etcd" => {
                let programs = ["etcd", "etcdctl", "etcdutl"];
                (vec![], programs.map(|name| Entry::File(local(name), self.etcd.program(name))).into())
            }
            "coredns" => (
                vec!["/coredns".to_owned()],
                vec![Entry::File("coredns".to_owned(), self.coredns.program("coredns"))],
            ),
            "pause" => {
                (vec!["/pause".to_owned()], vec![Entry::File("pause".to_owned(), compile_pause(scratch)?)])
            }
            other => bail!("kubeadm wants an image that the tests cannot make: {other} ({reference})"),
        };
        Ok(Image { reference: reference.to_owned(), entrypoint, entries })
    }
}

const PAUSE: &str = include_str!("../pause/pause.c");

fn compile_pause(scratch: &Path) -> Result<PathBuf> {
    let (source, program) = (scratch.join(BUILD).join("pause.c"), scratch.join(BUILD).join("pause"));
    files::write(&source, PAUSE)?;
    cmd::run(Command::new("gcc").args(["-Os", "-static", "-o"]).arg(&program).arg(&source))?;
    Ok(program)
}
