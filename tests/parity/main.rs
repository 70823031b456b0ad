//! kubeadm and rkadm, given the same configuration on copies of the same machine: the same files.
//!
//! Each configuration in `configs/` is run through the phases that write files, for each minor, by the real kubeadm of that
//! minor and by rkadm. What they wrote is compared as parsed objects. What may differ stands in `differences.yaml`, with its
//! reason; anything else fails, and so does an entry there that covers nothing.

mod certificate;
mod cri;
mod differences;
mod matrix;
mod read;
mod sandbox;
mod tree;
mod validation;

use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};

use differences::{Difference, List};
use matrix::{Config, Kubeadm, MINORS};
use sandbox::Sandboxes;

const RKADM: &str = env!("CARGO_BIN_EXE_rkadm");
/// Generating keys keeps a core busy; more would only fight with what else runs.
const THREADS: usize = 2;

#[test]
fn kubeadm_and_rkadm_write_and_accept_the_same() -> Result<()> {
    let (sandboxes, list) = (Sandboxes::new()?, List::read()?);
    let kubeadms: Vec<_> = MINORS.into_iter().map(Kubeadm::of).collect::<Result<_>>()?;
    let configs = matrix::configs()?;
    let wanted = std::env::var("PARITY").ok();
    let chosen = |name: &str| wanted.as_deref().is_none_or(|pattern| differences::matches(pattern, name));
    let pairs = configs.iter().flat_map(|config| kubeadms.iter().map(move |kubeadm| (config, kubeadm)));
    let jobs: Vec<_> = pairs
        .filter(|(config, kubeadm)| config.is_for(kubeadm.minor))
        .filter(|(config, kubeadm)| chosen(&format!("{}/{}", kubeadm.minor, config.name)))
        .collect();
    let failures = Mutex::new(vec![]);
    in_parallel(&jobs, |(config, kubeadm)| {
        let result = compare(&sandboxes, &list, config, kubeadm);
        let what = format!("{}/{}", kubeadm.minor, config.name);
        let failure = match result {
            Ok(lines) if lines.is_empty() => return,
            Ok(lines) => {
                let lines: Vec<_> = lines.iter().map(|line| format!("  {line}")).collect();
                format!("{what}\n{}", lines.join("\n"))
            }
            Err(error) => format!("{what}: {error:#}"),
        };
        failures.lock().expect("nothing panics with it").push(failure);
    });
    let mut failures = failures.into_inner()?;
    failures.sort();
    if chosen("validate") {
        failures.extend(validation::failures(&sandboxes, &list, &kubeadms)?);
    }
    if wanted.is_none() {
        let unused = list.unused();
        failures.extend(unused.iter().map(|entry| format!("covers nothing any more: {entry:?}")));
    }
    assert!(failures.is_empty(), "{} of {} differ\n{}", failures.len(), jobs.len(), failures.join("\n"));
    Ok(())
}

/// What is not the same and has no reason.
fn compare(
    sandboxes: &Sandboxes,
    list: &List,
    config: &Config,
    kubeadm: &Kubeadm,
) -> Result<Vec<Difference>> {
    let machine = config.machine(sandboxes, kubeadm).context("what is brought")?;
    let theirs = config.run(sandboxes, &kubeadm.program, &machine)?;
    let ours = config.run(sandboxes, Path::new(RKADM), &machine)?;
    let (theirs, ours) = (read::tree(&theirs).context("kubeadm's")?, read::tree(&ours).context("rkadm's")?);
    let written = theirs.as_object().map_or(0, serde_json::Map::len);
    ensure!(written > 10, "too little to compare: {theirs}");
    Ok(list.unexplained(&config.name, kubeadm.minor, differences::between(&theirs, &ours)))
}

/// Each job once, on a few threads.
fn in_parallel<T: Sync>(jobs: &[T], work: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    work(job);
                }
            });
        }
    });
}
