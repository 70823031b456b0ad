//! Flags of a restore that several control planes make at the same time, of the same file.

use clap::Args;
use rkadm_core::{
    backup::trial::Peer,
    etcd::snapshot::{NewMember, check_members},
};
use rkadm_phases::restore::Restore;

use crate::cli::exit::{CommandError, ExitKind};

/// They are the same on every machine.
#[derive(Debug, Clone, Args)]
pub struct TogetherArgs {
    /// All members of the new cluster, this one among them: `NAME=PEER-URL,…`, the same on each. Each waits for the others
    /// before it stops, starts and finishes: Enter (or a line `go` on stdin) lets it go on, `abort` takes it back
    #[arg(long, value_name = "NAME=URL,…", requires_all = ["cluster_token", "raise_to"], conflicts_with_all = ["from_survivor", "no_bump"])]
    pub initial_cluster: Option<String>,
    /// Makes the ids of the new cluster, the same on each and one that was never used before
    #[arg(long, value_name = "TEXT", requires = "initial_cluster")]
    pub cluster_token: Option<String>,
    /// The revision that the new cluster begins with, the same on each and above all that was ever served
    #[arg(long, value_name = "REVISION", requires = "initial_cluster")]
    pub raise_to: Option<i64>,
    /// Another rkadm says at the gates what a person would, and says now and then that it is there
    #[arg(long, hide = true, requires = "initial_cluster")]
    pub led: bool,
}

impl TogetherArgs {
    /// The same command has the same.
    pub fn digest(&self) -> String {
        format!("{:?} {:?} {:?}", self.initial_cluster, self.cluster_token, self.raise_to)
    }

    /// Puts them into the request, whose backup and machine are known.
    ///
    /// # Errors
    /// They make no cluster with this machine in it.
    pub fn fill(&self, restore: &mut Restore) -> Result<(), CommandError> {
        let (Some(cluster), Some(token), Some(raise_to)) =
            (&self.initial_cluster, &self.cluster_token, self.raise_to)
        else {
            return Ok(());
        };
        let usage =
            |message: String| CommandError::new(ExitKind::Usage, message).detail("Nothing was changed.");
        let peers = parse(cluster).map_err(usage)?;
        let members: Vec<_> = peers
            .iter()
            .map(|peer| NewMember { name: peer.name.clone(), peer_urls: peer.peer_urls.clone() })
            .collect();
        let name = &restore.node.name;
        check_members(&members, name).map_err(|error| usage(format!("--initial-cluster: {error}")))?;
        let (own, others): (Vec<_>, Vec<_>) = peers.into_iter().partition(|peer| peer.name == *name);
        let sorted = |urls: &[String]| {
            let mut urls = urls.to_vec();
            urls.sort();
            urls
        };
        if own.iter().any(|peer| sorted(&peer.peer_urls) != sorted(&restore.node.peer_urls)) {
            return Err(usage(format!(
                "--initial-cluster: {name}, which is this machine, has the peer URL {}",
                restore.node.peer_urls.join(", ")
            )));
        }
        if others.is_empty() {
            return Err(usage("--initial-cluster names this machine alone".into()));
        }
        let bump = u64::try_from(raise_to.saturating_sub(restore.source.revision)).unwrap_or(0);
        if bump == 0 || raise_to > i64::MAX / 4 {
            return Err(usage(format!(
                "--raise-to {raise_to}: the backup has revision {}, and the new cluster has to begin above all that was ever \
                 served",
                restore.source.revision
            )));
        }
        restore.bump = bump;
        restore.others = others;
        restore.token = token_of(token, raise_to, &restore.source.sha256);
        Ok(())
    }
}

/// Members that were given other files or revisions have other ids, and do not become one cluster with different data.
fn token_of(token: &str, raise_to: i64, sha256: &str) -> String {
    format!("rkadm-{token}-{raise_to}-{}", sha256.get(..16).unwrap_or(sha256))
}

pub(super) fn parse(text: &str) -> Result<Vec<Peer>, String> {
    let mut peers: Vec<Peer> = vec![];
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, url) = entry
            .split_once('=')
            .ok_or_else(|| format!("--initial-cluster: {entry:?} is not NAME=PEER-URL"))?;
        match peers.iter_mut().find(|peer| peer.name == name) {
            Some(peer) => peer.peer_urls.push(url.to_owned()),
            None => peers.push(Peer { name: name.to_owned(), peer_urls: vec![url.to_owned()] }),
        }
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(cluster: &str, raise_to: i64) -> Result<Restore, String> {
        let mut restore = Restore::default();
        restore.node.name = "cp1".into();
        restore.node.peer_urls = vec!["https://10.0.0.1:2380".into()];
        restore.source.revision = 100;
        restore.source.sha256 = "0123456789abcdef0123".into();
        let args = TogetherArgs {
            initial_cluster: Some(cluster.into()),
            cluster_token: Some("t".into()),
            raise_to: Some(raise_to),
            led: false,
        };
        args.fill(&mut restore).map_err(|error| error.message.clone())?;
        Ok(restore)
    }

    #[test]
    fn what_makes_the_cluster_goes_into_its_token() {
        let restore = filled("cp1=https://10.0.0.1:2380,cp2=https://10.0.0.2:2380", 1100).unwrap();
        assert_eq!(restore.trial().new_revision(), 1100);
        assert_eq!(restore.token, "rkadm-t-1100-0123456789abcdef");
        assert_eq!(restore.others.len(), 1);
        assert_eq!(restore.others[0].name, "cp2");
    }

    #[test]
    fn members_that_make_no_cluster_with_this_machine_are_refused() {
        let said = |cluster: &str, raise_to| filled(cluster, raise_to).unwrap_err();
        let two = "cp1=https://10.0.0.1:2380,cp2=https://10.0.0.2:2380";
        assert!(said("cp1", 1100).contains("\"cp1\" is not NAME=PEER-URL"));
        assert!(said("cp1=https://10.0.0.1:2380", 1100).contains("this machine alone"));
        assert!(said("cp2=https://10.0.0.2:2380", 1100).contains("cp1 is none of the members"));
        assert!(said(&two.replace("0.1:", "0.9:"), 1100).contains("has the peer URL https://10.0.0.1:2380"));
        assert!(said(two, 100).contains("the backup has revision 100"));
        assert!(said("cp1=https://10.0.0.1:2380,cp2=x", 1100).contains("x is no peer URL"));
    }
}
