//! The command line, as scripts and people meet it: exit codes, stdout, stderr.
//!
//! Every test runs the real binary with an empty environment on a machine that is a directory (`--rootfs`), so nothing
//! outside that directory is read or changed. What rkadm does to real machines is proved in tests/e2e.
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]
#![allow(clippy::needless_raw_string_hashes, reason = "inline snapshots are written by a tool")]

mod backup;
mod bad_luck;
mod certificates;
mod completion;
mod config;
mod config_files;
mod expiration;
mod flags;
mod fleet;
mod generated;
mod join;
mod kubeconfig_user;
mod latest;
mod machine;
mod manual;
mod migrate;
mod operations;
mod output;
mod patches;
mod phases;
mod preflight;
mod program;
mod renew;
mod requests;
mod reset;
mod restore;
mod restore_cluster;
mod sealed;
mod secrets;
mod server;
mod stuck;
mod survivor;
mod together;
mod token;
mod upgrade;
mod upgrade_unfinished;
mod usage;

/// A file that no `mod` names would be tests that never run.
#[test]
fn every_file_of_this_folder_is_a_module() {
    let main = include_str!("main.rs");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") else { continue };
        assert!(main.contains(&format!("mod {module};")), "main.rs does not name {name}");
    }
}
