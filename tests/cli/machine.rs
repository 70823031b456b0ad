//! A machine that is a directory, and what came of running rkadm on it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

use regex::Regex;

/// What every test machine is configured with: nothing depends on where the tests run, and keys are quickly made.
pub const CONFIG: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 192.0.2.10}
nodeRegistration: {name: cp1}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
encryptionAlgorithm: ECDSA-P256
";

/// Where certificates are.
pub const PKI: &str = "/etc/kubernetes/pki";

/// A temporary directory with a machine's file system below `root`; commands run in the directory above it.
pub struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// An empty one, with [`CONFIG`] in `cluster.yaml` where commands run.
    pub fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(machine.path("/etc")).unwrap();
        fs::create_dir_all(machine.path("/var/lib")).unwrap();
        fs::write(machine.dir.path().join("cluster.yaml"), CONFIG).unwrap();
        machine
    }

    /// One with all certificates.
    pub fn with_certificates() -> Self {
        let machine = Self::new();
        machine.phase("certs all").succeeds();
        machine
    }

    /// The directory that commands run in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where a path of the machine really is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path.trim_start_matches('/'))
    }

    /// Where a file of the certificates directory really is.
    pub fn pki(&self, name: &str) -> PathBuf {
        self.path(PKI).join(name)
    }

    /// Writes a file of the machine, with the directories above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes a file where commands run.
    pub fn write_here(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.dir.path().join(name), content).unwrap();
    }

    /// Runs `rkadm ARGS`, which must end with this code and these words and change nothing.
    pub fn refuses(&self, args: &str, code: i32, words: &[&str]) -> Ran {
        let before = self.tree("/");
        let ran = self.rkadm(args);
        ran.exits(code);
        for words in words {
            assert!(ran.stderr().contains(words), "{words:?} is not in:\n{}", ran.report());
        }
        assert!(before == self.tree("/"), "something was changed");
        ran
    }

    /// `rkadm ARGS`, to be run; `args` are separated by spaces.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rkadm"));
        command.env_clear().current_dir(self.dir()).stdin(Stdio::null());
        command.args(args.split_whitespace()).args(["--rootfs", "root"]);
        command
    }

    /// Runs `rkadm ARGS`.
    pub fn rkadm(&self, args: &str) -> Ran {
        self.run(&mut self.command(args))
    }

    /// Runs `rkadm init phase ARGS` with [`CONFIG`].
    pub fn phase(&self, args: &str) -> Ran {
        self.rkadm(&format!("init phase {args} --config cluster.yaml"))
    }

    /// Runs a command that was made for this machine.
    pub fn run(&self, command: &mut Command) -> Ran {
        Ran { dir: self.dir().to_owned(), output: command.output().unwrap() }
    }

    /// What came of a command that was run another way.
    pub fn ran(&self, output: Output) -> Ran {
        Ran { dir: self.dir().to_owned(), output }
    }

    /// Runs `rkadm ARGS` with a configuration file of this content.
    pub fn with_config(&self, args: &str, config: impl AsRef<[u8]>) -> Ran {
        self.write_here("test.yaml", config);
        self.rkadm(&format!("{args} --config test.yaml"))
    }

    /// Every path of the machine below a directory: kind, mode and content.
    pub fn tree(&self, below: &str) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        let root = self.path("/");
        let mut open = vec![self.path(below)];
        while let Some(path) = open.pop() {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            let name = format!("/{}", path.strip_prefix(&root).unwrap().display());
            tree.insert(name, (meta.permissions().mode(), fs::read(&path).unwrap_or_default()));
        }
        tree
    }

    /// The tree as `mode path` lines.
    pub fn listing(&self, below: &str) -> String {
        let line = |(path, (mode, _)): (&String, &(u32, Vec<u8>))| format!("{:04o} {path}\n", mode & 0o7777);
        normalise(&self.tree(below).iter().map(line).collect::<String>(), self.dir())
    }

    /// Whether nothing was ever written.
    pub fn is_untouched(&self) -> bool {
        self.listing("/") == "0755 /\n0755 /etc\n0755 /var\n0755 /var/lib\n"
    }

    /// Ids of the operations, oldest first.
    pub fn operations(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("/var/lib/rkadm/operations")) else { return vec![] };
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut ids: Vec<_> =
            names.filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned)).collect();
        ids.sort();
        ids
    }

    /// The journal of an operation.
    pub fn journal(&self, id: &str) -> PathBuf {
        self.path("/var/lib/rkadm/operations").join(id).with_extension("jsonl")
    }
}

/// What a run left.
pub struct Ran {
    dir: PathBuf,
    pub output: Output,
}

impl Ran {
    /// stdout as it is.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// stderr as it is.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Exit code, stdout and stderr, without what differs between runs.
    pub fn report(&self) -> String {
        let code = self.output.status.code().map_or_else(|| "killed".into(), |code| code.to_string());
        let mut report = format!("exit {code}\n");
        for (name, text) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
            if !text.is_empty() {
                report.extend(["--- ", name, "\n", &normalise(&text, &self.dir)]);
            }
        }
        report
    }

    /// Checks that the command went well.
    pub fn succeeds(&self) -> &Self {
        assert!(self.output.status.success(), "{}", self.report());
        self
    }

    /// Checks the exit code.
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.output.status.code(), Some(code), "{}", self.report());
        self
    }
}

/// Takes out what differs between runs: the temporary directory, ids, times, process ids.
fn normalise(text: &str, dir: &Path) -> String {
    static CHANGING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let rules = [
            (r"\b0[0-9A-HJKMNP-TV-Z]{25}\b", "<ULID>"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "<TIME>"),
            (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<TIME>"),
            (r" *\b(\d+ ms|\d+\.\d s|\d+ min \d+ s)\b", " <DURATION>"),
            (r"\bpid \d+", "pid <PID>"),
            (r"\b\d+ days? ago", "<DAYS> ago"),
        ];
        rules.into_iter().map(|(pattern, name)| (Regex::new(pattern).unwrap(), name)).collect()
    });
    let text = text.replace(&dir.display().to_string(), "$DIR");
    CHANGING.iter().fold(text, |text, (pattern, name)| pattern.replace_all(&text, *name).into_owned())
}

/// Whether the tests run as root, which rkadm wants for all that changes something. Without, they are skipped, loudly.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        eprintln!("SKIPPED {test}: it must be run as root");
        assert!(std::env::var_os("CI").is_none(), "CI must run the command-line tests as root");
    }
    root
}

/// Runs a program that a test needs; it must succeed.
pub fn tool(dir: &Path, program: &str, args: &[impl AsRef<OsStr>]) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output();
    let output = output.unwrap_or_else(|error| panic!("the tests need {program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
