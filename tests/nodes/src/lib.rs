//! The test ground: machines that run systemd, containerd, sshd and real Kubernetes binaries, as containers
//! of this machine.
//!
//! A [`Lab`] is a network of its own with no way out; a [`Node`] is one machine in it. Everything that takes
//! long (compiling Kubernetes, the Debian tree, importing images) is done once and kept in the [`Cache`], so
//! that a node boots in about a second.
//!
//! ```no_run
//! rkadm_nodes::run("two nodes", |lab| {
//!     let cp1 = lab.node("cp1", rkadm_nodes::NodeSpec::new("1.37"))?;
//!     cp1.sh_ok("kubeadm version")?;
//!     Ok(())
//! });
//! ```

mod base;
mod boot;
mod cache;
mod cgroup;
mod cmd;
mod evidence;
mod files;
mod host;
mod images;
mod lab;
mod net;
mod node;
mod oci;
mod progress;
mod proxy_files;
mod reap;
mod seed;
mod ssh;
mod state;
mod tools;

pub use cache::Cache;
pub use cgroup::Hierarchy;
pub use cmd::Output;
pub use evidence::run;
pub use host::{check, setup};
pub use lab::Lab;
pub use node::Node;
pub use reap::{Reaped, clean, list};
pub use seed::prepare;
pub use state::{Images, LabState, NodeSpec, NodeState};
pub use tools::{Minor, default_minors, etcd_programs, informer, kubeadm, versitygw};
