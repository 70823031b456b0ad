//! `nodes`: test machines at the command line.
#![expect(clippy::print_stdout, reason = "the output layer of this program")]

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rkadm_nodes::{Lab, Minor, NodeSpec, default_minors};

/// Test machines for rkadm: systemd, containerd, sshd and real Kubernetes, as containers of this machine
#[derive(Parser)]
#[command(name = "nodes")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what this machine lacks
    Setup,
    /// Build binaries, images and the node tree; what is there already is kept
    Prepare {
        /// Kubernetes minors to build
        #[arg(long, value_delimiter = ',', default_values_t = default_minors())]
        minors: Vec<Minor>,
    },
    /// Print the path of a minor's kubeadm; it alone is built where the rest of the minor is not there
    Kubeadm { minor: Minor },
    /// Boot machines that stay until `nodes clean`
    Up {
        #[arg(required = true)]
        names: Vec<String>,
        /// Kubernetes minor of kubelet, kubeadm, kubectl and images
        #[arg(long, default_value = "1.37")]
        minor: String,
        /// Minors whose images the machines hold [default: that of --minor]
        #[arg(long, value_delimiter = ',')]
        images: Vec<String>,
        #[command(flatten)]
        lab: LabArg,
    },
    /// Open a shell on a machine
    Shell {
        name: String,
        #[command(flatten)]
        lab: LabArg,
    },
    /// Run a command on a machine
    Exec {
        name: String,
        #[arg(last = true, required = true)]
        command: Vec<String>,
        #[command(flatten)]
        lab: LabArg,
    },
    /// Give the pods of machines a network, once the machines are nodes of a cluster
    Network {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        lab: LabArg,
    },
    /// Show all labs and their machines
    List,
    /// Remove the machines made by `up`, and what killed tests left behind
    Clean {
        /// Of the machines made by `up`, only those in this network
        #[arg(long)]
        lab: Option<String>,
    },
}

#[derive(clap::Args)]
struct LabArg {
    /// The network that the machines are in
    #[arg(long, default_value = "default")]
    lab: String,
}

fn main() -> ExitCode {
    match run(Args::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the error of this program")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("nodes: {error:#}");
    ExitCode::FAILURE
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Setup => rkadm_nodes::setup(),
        Verb::Prepare { minors } => rkadm_nodes::prepare(&minors),
        Verb::Kubeadm { minor } => {
            println!("{}", rkadm_nodes::kubeadm(&minor)?.display());
            Ok(())
        }
        Verb::Up { names, minor, images, lab } => {
            let images: Vec<_> = images.iter().map(String::as_str).collect();
            let spec = NodeSpec::new(&minor);
            let spec = if images.is_empty() { spec } else { spec.images_of(&images) };
            up(&Lab::persistent(&lab.lab)?, &names, &spec)
        }
        Verb::Shell { name, lab } => enter(&lab, &name, &["bash".to_owned(), "-l".to_owned()]),
        Verb::Exec { name, command, lab } => enter(&lab, &name, &command),
        Verb::Network { names, lab } => network(&Lab::open(&lab.lab)?, &names),
        Verb::List => list(),
        Verb::Clean { lab } => {
            let reaped = rkadm_nodes::clean(lab.as_deref())?;
            if reaped.labs.is_empty() {
                println!("nothing to clean");
            }
            Ok(())
        }
    }
}

fn up(lab: &Lab, names: &[String], spec: &NodeSpec) -> Result<()> {
    for name in names {
        let node = match lab.get(name) {
            Ok(node) if node.running() => node,
            // Made before, and off: after a power loss, or since this machine was rebooted.
            Ok(node) => node.boot().map(|()| node)?,
            Err(_) => lab.node(name, spec.clone())?,
        };
        println!("{name} {}", node.ip());
    }
    Ok(())
}

/// Each node's share of the pod network is what the cluster gave it.
fn network(lab: &Lab, names: &[String]) -> Result<()> {
    for name in names {
        let node = lab.get(name)?;
        // The administrator's on control planes, the kubelet's own elsewhere.
        let cidr = node.sh_ok(&format!(
            "export KUBECONFIG=/etc/kubernetes/admin.conf; test -e $KUBECONFIG || KUBECONFIG=/etc/kubernetes/kubelet.conf
             for i in $(seq 300); do
                 kubectl get node {name} -o jsonpath={{.spec.podCIDR}} 2>/dev/null | grep . && exit
                 sleep 0.2
             done; echo 'the cluster gives the node no podCIDR' >&2; exit 1"
        ))?;
        node.install_cni(cidr.trim())?;
    }
    Ok(())
}

/// Becomes the command on the machine, with this terminal.
fn enter(lab: &LabArg, name: &str, argv: &[String]) -> Result<()> {
    let node = Lab::open(&lab.lab)?.get(name)?;
    let mut with_terminal = vec!["env".to_owned()];
    with_terminal.extend(std::env::var("TERM").ok().map(|term| format!("TERM={term}")));
    with_terminal.extend_from_slice(argv);
    Err(node.command(&with_terminal)?.exec().into())
}

fn list() -> Result<()> {
    for (lab, nodes) in rkadm_nodes::list()? {
        println!("{} ({})", lab.id, lab.describe_owner());
        for node in nodes {
            println!(
                "  {:<12} {:<12} {:<4} Kubernetes {}",
                node.name,
                node.ip(),
                if node.running() { "on" } else { "off" },
                node.spec.minor()
            );
        }
    }
    Ok(())
}
