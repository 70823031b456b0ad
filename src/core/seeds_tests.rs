//! The fuzzer's seeds, on stable, with every run of the tests.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate as rkadm_core;

#[path = "../../fuzz/inputs.rs"]
mod inputs;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn seeds_of_the_fuzzer_are_answered_in_time() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in inputs::ALL {
        let mut seeds = files(&home.join("../../fuzz/seeds").join(name));
        if name == "database" {
            seeds.extend(files(&home.join("etcd/snapshot/fixtures")));
        }
        assert!(seeds.len() >= 4, "{name}: only {} seeds", seeds.len());
        for seed in seeds {
            let whole = fs::read(&seed).unwrap();
            // Also cut off at some places, and with some bytes turned.
            let cuts = [whole.len() / 3, whole.len() / 2, whole.len().saturating_sub(1)];
            let mut inputs: Vec<_> = cuts.iter().map(|at| whole[..*at].to_vec()).collect();
            for at in cuts {
                let mut turned = whole.clone();
                turned.get_mut(at).into_iter().for_each(|byte| *byte ^= 0x55);
                inputs.push(turned);
            }
            inputs.push(whole);
            for input in inputs {
                let began = Instant::now();
                target(&input);
                let elapsed = began.elapsed();
                assert!(elapsed < Duration::from_secs(5), "{}: {elapsed:?}", seed.display());
            }
        }
    }
}
