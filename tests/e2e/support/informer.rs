//! A client that watches as controllers do.

use anyhow::Result;
use rkadm_nodes::Node;

/// What the API server has, in the informer's own words.
const LIST: &str = r#"kubectl get configmaps -o json | jq -r '.items[] | .metadata.name + " " + ([.data // {} | to_entries[]
    | select(.key != "ca.crt") | .key + "=" + .value] | sort | join(" "))' | LC_ALL=C sort"#;

/// client-go's shared informer of the ConfigMaps in the namespace `default`, at work on a control plane.
pub struct Informer(Node);

impl Informer {
    /// Starts it, and waits until it knows what there is.
    pub fn start(node: &Node) -> Result<Self> {
        node.copy_in(&rkadm_nodes::informer()?, "/usr/local/bin/informer")?;
        node.sh_ok(
            "systemd-run -q --collect --unit informer /usr/local/bin/informer /etc/kubernetes/admin.conf default /run/informer",
        )?;
        let informer = Self(node.clone());
        informer.knows_what_there_is()?;
        Ok(informer)
    }

    /// Nothing that it knows is stale, and nothing is missing; it may take a moment to hear of it.
    pub fn knows_what_there_is(&self) -> Result<()> {
        let same = format!("test -s /run/informer && {LIST} > /run/listed && cmp /run/listed /run/informer");
        super::wait(&self.0, &format!("{same} || {{ diff /run/listed /run/informer >&2; false; }}")).map(drop)
    }
}
