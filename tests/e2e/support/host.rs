//! What a machine looks like, to compare before with after.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::Node;

/// Files with owner, mode, content and target of links below the directories that `init` writes to; the kubelet's unit;
/// pods and mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

/// How long the container runtime may take to throw away what was cut off.
const RUNTIME_GRACE: Duration = Duration::from_secs(10);

/// Times are left out: a directory that a file came to and went from has a new one.
const SCRIPT: &str = r"
set -eu
for dir in /etc/kubernetes /var/lib/kubelet /var/lib/etcd; do
    test -e $dir || continue
    find $dir -xdev -printf '%p %M %u:%g %l\n'
    find $dir -xdev -type f -exec sha256sum {} +
done
# A kubelet without a configuration ends and is started again, over and over: that is one state.
systemctl show kubelet -p ActiveState -p UnitFileState -p FragmentPath -p DropInPaths |
    sed 's/ActiveState=\(active\|activating\|deactivating\)$/ActiveState=up/; s/ActiveState=.*/&/'
if systemctl is-active --quiet containerd; then ctr -n k8s.io containers list -q; fi
findmnt -rno TARGET | grep ^/var/lib/kubelet/ || true
";

impl Snapshot {
    pub fn of(node: &Node) -> Result<Self> {
        Ok(Self(node.sh_ok(SCRIPT)?.lines().map(str::to_owned).collect()))
    }

    /// Fails with all that came, went or changed since.
    ///
    /// A pod sandbox whose creation the stop of the kubelet has cut off is unknown to the CRI, and the runtime throws it
    /// away by itself, in about a tenth of a second: that much grace it has, and only it.
    pub fn unchanged(&self, node: &Node) -> Result<()> {
        let deadline = Instant::now() + RUNTIME_GRACE;
        let mut now = Self::of(node)?;
        while Instant::now() < deadline && self.only_containers_came(&now) {
            std::thread::sleep(Duration::from_millis(100));
            now = Self::of(node)?;
        }
        let mut changes = String::new();
        for line in self.0.difference(&now.0) {
            writeln!(changes, "- {line}")?;
        }
        for line in now.0.difference(&self.0) {
            writeln!(changes, "+ {line}")?;
        }
        ensure!(changes.is_empty(), "the machine is not as it was before:\n{changes}");
        Ok(())
    }

    /// Container ids, 64 hexadecimal digits alone on a line, are all that is new, and there are some.
    fn only_containers_came(&self, now: &Self) -> bool {
        let is_id = |line: &&String| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut came = now.0.difference(&self.0).peekable();
        self.0.is_subset(&now.0) && came.peek().is_some() && came.all(|line| is_id(&line))
    }
}

/// Every file under its final name can be read as what it is, whatever became of the process that wrote it.
pub fn nothing_half_written(node: &Node) -> Result<()> {
    let listing = node.sh_ok(
        "find /etc/kubernetes /var/lib/kubelet -maxdepth 3 -type f -size -200k \
         ! -path '/var/lib/kubelet/pods/*' ! -path '*/checkpoints/*' ! -path '*/image_manager/*' ! -name '.*'",
    )?;
    for path in listing.lines() {
        whole(node, path).with_context(|| format!("{path} is half-written"))?;
    }
    Ok(())
}

fn whole(node: &Node, path: &str) -> Result<()> {
    let extension = path.rsplit('.').next().unwrap_or_default();
    let check = match extension {
        "crt" | "pem" => format!("openssl x509 -noout -in {path}"),
        "key" => format!("openssl pkey -noout -in {path}"),
        "pub" => format!("openssl pkey -pubin -noout -in {path}"),
        "env" => format!("grep -q '^KUBELET_KUBEADM_ARGS=\".*\"$' {path}"),
        "yaml" | "conf" => {
            let text = String::from_utf8(node.read(path)?)?;
            let documents = rkadm_core::yaml::documents(&text)?;
            ensure!(documents.len() == 1 && documents[0].is_object(), "not one object:\n{text}");
            return last_line_is_whole(path, &text);
        }
        // The kubelet's own state.
        _ => return Ok(()),
    };
    node.sh_ok(&check).map(drop)
}

/// YAML that is cut off can be YAML: what each of these files ends with is known.
fn last_line_is_whole(path: &str, text: &str) -> Result<()> {
    let needed = match path.rsplit('/').next().unwrap_or_default() {
        "config.yaml" => "volumeStatsAggPeriod: 0s\n",
        "instance-config.yaml" => "containerd.sock\"",
        name if name.rsplit('.').next() == Some("conf") => "users:",
        _ => "status: {}\n",
    };
    ensure!(text.contains(needed) && text.ends_with('\n'), "it lacks {needed:?}:\n{text}");
    Ok(())
}
