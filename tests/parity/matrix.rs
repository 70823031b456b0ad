//! The configurations in `configs/` and what each of them needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::sandbox::{Done, Sandboxes, Task};
use crate::tree::Entry;

pub const MINORS: [&str; 4] = ["1.34", "1.35", "1.36", "1.37"];
const PHASES: &str = "certs all, kubeconfig all, control-plane all, etcd local, kubelet-start";
/// Where both find their configuration.
const CONFIG: &str = "/given/config.yaml";

/// A kubeadm.
pub struct Kubeadm {
    pub minor: &'static str,
    pub program: PathBuf,
    /// `v1.37.0`
    version: String,
}

impl Kubeadm {
    pub fn of(minor: &'static str) -> Result<Self> {
        let program = rkadm_nodes::kubeadm(&minor.parse()?)?;
        let output = Command::new(&program).args(["version", "-o", "short"]).output()?;
        ensure!(output.status.success(), "{} does not tell its version", program.display());
        Ok(Self { minor, program, version: String::from_utf8(output.stdout)?.trim().to_owned() })
    }

    pub fn fill_in(&self, text: &str) -> String {
        text.replace("@VERSION@", &self.version)
    }
}

/// A configuration. What else it needs stands in lines `#! name: value` at its top.
pub struct Config {
    pub name: String,
    text: String,
    /// The minors that it is for.
    minors: Vec<String>,
    /// The phases to run.
    phases: String,
    /// Of the programs.
    env: Vec<(String, String)>,
    /// Phases that kubeadm runs before either runs anything, for files that somebody brought.
    before: Option<String>,
    /// Files that are then taken away.
    without: Vec<String>,
    /// A directory here, whose files are in `/given`.
    files: Option<String>,
}

/// All configurations, by name.
pub fn configs() -> Result<Vec<Config>> {
    let dir = here().join("configs");
    let mut paths: Vec<_> = std::fs::read_dir(&dir)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    paths.iter().map(|path| Config::read(path).with_context(|| path.display().to_string())).collect()
}

pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

impl Config {
    fn read(path: &Path) -> Result<Self> {
        let mut config = Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            text: std::fs::read_to_string(path)?,
            minors: MINORS.map(str::to_owned).into(),
            phases: PHASES.to_owned(),
            env: vec![],
            before: None,
            without: vec![],
            files: None,
        };
        for line in config.text.lines().filter_map(|line| line.strip_prefix("#! ")) {
            let (name, value) = line.split_once(": ").context("`#! name: value`")?;
            let list = || value.split(", ").map(str::to_owned).collect();
            match name {
                "minors" => config.minors = list(),
                "phases" => value.clone_into(&mut config.phases),
                "before" => config.before = Some(value.to_owned()),
                "without" => config.without = list(),
                "files" => config.files = Some(value.to_owned()),
                "env" => {
                    let (name, value) = value.split_once('=').context("`NAME=value`")?;
                    config.env.push((name.to_owned(), value.to_owned()));
                }
                _ => bail!("unknown: {name}"),
            }
        }
        Ok(config)
    }

    pub fn is_for(&self, minor: &str) -> bool {
        self.minors.iter().any(|wanted| wanted == minor)
    }

    /// The machine that both begin with.
    pub fn machine(&self, sandboxes: &Sandboxes, kubeadm: &Kubeadm) -> Result<Vec<Entry>> {
        let mut files = vec![Entry::file(CONFIG, kubeadm.fill_in(&self.text))];
        if let Some(dir) = &self.files {
            files.extend(Entry::files_of(&here().join(dir), "/given")?);
        }
        if let Some(phases) = &self.before {
            let brought = self.run_phases(sandboxes, &kubeadm.program, phases, &files)?;
            files = brought.into_iter().filter(|file| !self.without.contains(&file.path)).collect();
        }
        Ok(files)
    }

    /// What a program makes of that machine.
    pub fn run(&self, sandboxes: &Sandboxes, program: &Path, machine: &[Entry]) -> Result<Vec<Entry>> {
        self.run_phases(sandboxes, program, &self.phases, machine)
    }

    fn run_phases(
        &self,
        sandboxes: &Sandboxes,
        program: &Path,
        phases: &str,
        files: &[Entry],
    ) -> Result<Vec<Entry>> {
        let lines =
            phases.split(", ").map(|phase| format!("/program init phase {phase} --config {CONFIG}\n"));
        let commands: String = lines.collect();
        let task = Task { program, commands: &commands, files, env: &self.env };
        let Done { code, log, changed } = sandboxes.run(&task)?;
        ensure!(code == 0, "{} ends with {code}:\n{log}", program.display());
        Ok(changed)
    }
}
