//! What a machine answers, and what it is asked by.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Anything else: link, socket, device.
    Other,
}

/// Kind and permission bits of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// What the path is; links are not followed.
    pub kind: FileKind,
    /// Permission bits, for example `0o600`.
    pub mode: u32,
}

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that a program without root's rights could still write.
    pub bytes_free: u64,
    /// Bytes altogether.
    pub bytes: u64,
    /// Files that can still be made.
    pub inodes_free: u64,
    /// Files altogether; 0 where the file system has no such limit.
    pub inodes: u64,
}

/// What came of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// Exit code; 128 + n when ended by signal n.
    pub code: i32,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

impl CommandOutput {
    /// Whether the exit code was 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

/// What the service manager says of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// Whether the unit is known to the service manager at all.
    pub exists: bool,
    /// systemd's ActiveState: `active`, `activating`, `inactive`, `failed`, …
    pub active: String,
    /// Whether it starts at boot.
    pub enabled: bool,
    /// How often the service manager restarted it on its own since it was last started by hand.
    pub restarts: u32,
}

impl ServiceState {
    /// Whether the unit runs, or is being (re)started by the service manager.
    pub fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading")
    }
}

/// What to do to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceVerb {
    /// Start if not running.
    Start,
    /// Stop and start.
    Restart,
    /// Stop.
    Stop,
}

/// Whom a health question trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Plain HTTP.
    Plain,
    /// TLS whose certificate is not checked: for components that serve a self-signed certificate on loopback.
    Insecure,
    /// TLS checked against this CA file.
    Ca(PathBuf),
    /// The same, with a client certificate.
    Client {
        /// CA file.
        ca: PathBuf,
        /// Client certificate file.
        certificate: PathBuf,
        /// Its key file.
        key: PathBuf,
    },
}

/// A health endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthTarget {
    /// The whole URL, for example `https://10.0.0.1:6443/livez`.
    pub url: String,
    /// How its TLS is checked.
    pub trust: Trust,
}

/// A health endpoint's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// HTTP status.
    pub status: u16,
    /// The answer's text, cut to a few kilobytes.
    pub body: String,
}

/// How to reach an API server: the kubeconfig file and, where it differs from the file's, the server's URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ApiAccess {
    /// Path of the kubeconfig on the host.
    pub kubeconfig: PathBuf,
    /// Overrides the kubeconfig's server, for example by this node's own API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// One pod sandbox as the container runtime knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The runtime's id.
    pub id: String,
    /// Pod name.
    pub pod: String,
    /// Pod namespace.
    pub namespace: String,
    /// Whether it runs; what has ended is there for a while.
    #[serde(default)]
    pub ready: bool,
}

/// One container as the container runtime knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// The runtime's id.
    pub id: String,
    /// Container name, for example `kube-apiserver`.
    pub name: String,
    /// The pod's uid: for a static pod a hash of its manifest. Empty where no kubelet made it.
    pub pod_uid: String,
    /// How often the kubelet has started it before in this pod (`attempt`).
    pub attempt: u32,
    /// Whether it runs now.
    pub running: bool,
    /// Exit code of an exited container.
    pub exit_code: i32,
    /// The runtime's word on why it ended.
    pub reason: String,
    /// Where the runtime writes its output.
    pub log_path: String,
}
