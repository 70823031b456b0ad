//! What speaks against restoring this backup here, found out without changing anything.

use rkadm_core::{
    backup::{lost::LostFile, trial::bump_over},
    engine::{PhaseError, phase::Finding},
    etcd::Member,
    host::Probe,
};

use super::{
    Restore,
    backup::{self, data},
    room, survivor,
};
use crate::init::KUBELET;

/// Something that speaks against it.
#[derive(Debug, Clone)]
pub struct Doubt {
    /// What, and what to do.
    pub finding: Finding,
    /// An operator may know better.
    pub forceable: bool,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// What speaks against it.
    pub doubts: Vec<Doubt>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// The revision that etcd has now, where it answers or its data can be read.
    pub revision: Option<i64>,
    /// The members that this machine knows of, by the same.
    pub members: Vec<Member>,
}

impl Survey {
    pub(super) fn doubt(&mut self, check: &str, forceable: bool, message: String, hint: &str) {
        let finding = Finding { check: check.into(), message, hint: Some(hint.into()) };
        self.doubts.push(Doubt { finding, forceable });
    }

    /// Those that hold it up; the others are warnings when it is forced.
    pub fn against(&self, force: bool) -> Vec<Finding> {
        let held = self.doubts.iter().filter(|doubt| !(force && doubt.forceable));
        held.map(|doubt| doubt.finding.clone()).collect()
    }

    /// What the operator should know, and what was forced.
    pub fn told(&self, force: bool) -> Vec<String> {
        let forced = self.doubts.iter().filter(|doubt| force && doubt.forceable);
        let forced = forced.map(|doubt| format!("[{}] {}", doubt.finding.check, doubt.finding.message));
        self.warnings.iter().cloned().chain(forced).collect()
    }
}

/// Looks at everything.
///
/// # Errors
/// The host cannot be read.
pub async fn survey(host: &dyn Probe, restore: &Restore) -> Result<Survey, PhaseError> {
    let mut found = Survey::default();
    if restore.survivor {
        survivor::members(host, restore, &mut found).await;
    } else {
        members(host, restore, &mut found).await;
        backup::belongs(host, restore, &mut found).await?;
    }
    machine(host, restore, &mut found).await;
    Ok(found)
}

/// Looks at one of several machines that are to be restored together. Which there are is for whoever has asked all of them.
///
/// # Errors
/// The host cannot be read.
pub async fn survey_one_of_several(host: &dyn Probe, restore: &Restore) -> Result<Survey, PhaseError> {
    let mut found = Survey::default();
    match known(host, restore, &mut found).await {
        Ok(Known::Live) => {}
        Ok(Known::Stored(why)) => found.warnings.push(format!("etcd does not answer: {why}")),
        Err(why) => found.warnings.push(format!("which members etcd had cannot be known here: {why}")),
    }
    backup::belongs(host, restore, &mut found).await?;
    machine(host, restore, &mut found).await;
    Ok(found)
}

/// Whether the machine is able.
async fn machine(host: &dyn Probe, restore: &Restore, found: &mut Survey) {
    room::data(host, restore, found).await;
    if let Err(error) = host.containers(&restore.cri_socket, "kube-system").await {
        let message = format!("the container runtime cannot be asked for the static pods: {error}");
        found.doubt("ContainerRuntime", false, message, "systemctl status containerd");
    }
    let kubelet = match host.service(KUBELET).await {
        Ok(state) if state.exists => None,
        Ok(_) => Some("the service manager does not know the kubelet".to_owned()),
        Err(error) => Some(format!("the service manager cannot be asked for the kubelet: {error}")),
    };
    if let Some(message) = kubelet {
        found.doubt("Kubelet", false, message, "systemctl status kubelet");
    }
}

/// Looks at what a machine that was never part of the cluster must have, for its data and for these files.
pub async fn fits(host: &dyn Probe, restore: &Restore, files: &[LostFile]) -> Survey {
    let mut found = Survey::default();
    data(restore, &mut found);
    room::all(host, restore, files, &mut found).await;
    if let (Some(theirs), None) = (&restore.source.encryption, &restore.node.encryption) {
        let message = format!(
            "objects in the backup are encrypted as {} told its API server, and the configuration starts the new one without",
            theirs.path
        );
        let hint = "nobody could read them, Secrets above all: the flag was in the manifest and not in the cluster's configuration. Put \
                    encryption-provider-config into apiServer.extraArgs of --config FILE, and its file into extraVolumes. To restore all \
                    the same: --force";
        found.doubt("Encryption", true, message, hint);
    }
    let data = restore.node.data_dir.join("member");
    if !matches!(host.stat(&data).await, Ok(None)) {
        let message = format!("this machine has data of an etcd in {}", data.display());
        let hint = "what is left of another cluster goes with `rkadm reset`; data of this cluster is restored by `rkadm restore etcd`";
        found.doubt("EtcdData", false, message, hint);
    }
    found
}

/// How the members are known.
enum Known {
    /// etcd says.
    Live,
    /// Its data says; the words are why it does not answer itself.
    Stored(String),
}

/// Asks etcd, or where it does not answer, its data, for members and revision.
///
/// # Errors
/// Neither says anything: why.
async fn known(host: &dyn Probe, restore: &Restore, found: &mut Survey) -> Result<Known, String> {
    let access = &restore.node.access;
    if let Some(endpoint) = access.endpoints.first() {
        found.revision = host.etcd_status(access, endpoint).await.ok().map(|status| status.revision);
    }
    let live = match host.etcd_members(access).await {
        Ok(members) => {
            found.members = members;
            return Ok(Known::Live);
        }
        Err(error) => error.to_string(),
    };
    match host.etcd_stored(&restore.node.data_dir).await {
        Ok((members, revision)) => {
            found.revision = Some(revision);
            found.members = members;
            Ok(Known::Stored(live))
        }
        Err(stored) => Err(format!("it does not answer ({live}), and its data cannot be read ({stored})")),
    }
}

async fn members(host: &dyn Probe, restore: &Restore, found: &mut Survey) {
    let known = known(host, restore, found).await;
    let members = found.members.clone();
    let together = !restore.others.is_empty();
    if together {
        raised(restore, found);
    }
    match known {
        Ok(Known::Live) if together => others(restore, &members, found),
        Ok(Known::Live) => {
            if let Some(text) = several(&members) {
                let hint = commands(restore, &members, found.revision);
                found.doubt("EtcdMembers", false, format!("etcd has {text}"), &hint);
            }
        }
        Ok(Known::Stored(live)) if together => {
            found.warnings.push(format!("etcd does not answer: {live}"));
            others(restore, &members, found);
        }
        Ok(Known::Stored(live)) => match several(&members) {
            Some(text) => {
                let message = format!("etcd does not answer ({live}), and its data names {text}");
                let hint = format!(
                    "{}. When the others are gone for good: --from-survivor, which needs no backup, or --force",
                    commands(restore, &members, found.revision)
                );
                found.doubt("EtcdMembers", true, message, &hint);
            }
            None => found.warnings.push(format!("etcd does not answer: {live}")),
        },
        // The operator has named all: nobody knows better.
        Err(why) if together => found.warnings.push(format!(
            "which members etcd had cannot be known here: {why}. That there are no others is what --initial-cluster says"
        )),
        Err(why) => {
            let message = format!("the members of etcd cannot be known: {why}");
            found.doubt("EtcdMembers", true, message, "when this is the only control plane: --force");
        }
    }
}

/// Whoever watched would wait for revisions that the new cluster reaches much later, and miss what happens until then.
fn raised(restore: &Restore, found: &mut Survey) {
    let begins = restore.source.revision.saturating_add_unsigned(restore.bump);
    let Some(served) = found.revision.filter(|served| *served >= begins) else { return };
    let message = format!(
        "the new cluster would begin at revision {begins} (--raise-to), and etcd is at {served} already"
    );
    let hint = "`rkadm restore etcd FILE` without --initial-cluster prints the commands for all machines, with a revision that is \
                high enough";
    found.doubt("EtcdRevision", true, message, hint);
}

/// Those that are restored together have to be those that there are.
fn others(restore: &Restore, members: &[Member], found: &mut Survey) {
    let given: Vec<_> = restore.others.iter().map(|peer| &peer.name).chain([&restore.node.name]).collect();
    let left: Vec<_> =
        members.iter().filter(|member| !given.contains(&&member.name)).map(Member::describe).collect();
    if !left.is_empty() {
        let message = format!("etcd has members that are not in --initial-cluster: {}", left.join(", "));
        let hint = "they would go on with the old data: add them, or `rkadm reset` their machines. When those are gone for good: \
                    --force";
        found.doubt("EtcdMembers", true, message, hint);
    }
}

/// How several are restored at the same time.
fn commands(restore: &Restore, members: &[Member], live: Option<i64>) -> String {
    let source = &restore.source;
    let by = bump_over(source.revision, live.unwrap_or(source.revision));
    let raise_to = source.revision.saturating_add(i64::try_from(by).unwrap_or(i64::MAX));
    let peers = members.iter().flat_map(|member| {
        member.peer_urls.iter().map(|url| format!("{}={url}", member.name)).collect::<Vec<_>>()
    });
    format!(
        "restore all at the same time, with the same file and this command on each: `rkadm restore etcd {} --yes \
         --initial-cluster {} --cluster-token {} --raise-to {raise_to}`; each waits for Enter when all have to be as far. Or `rkadm \
         reset` the others, restore here, and join them again",
        source.file.display(),
        peers.collect::<Vec<_>>().join(","),
        restore.id
    )
}

fn several(members: &[Member]) -> Option<String> {
    let voters: Vec<_> = members.iter().filter(|member| !member.is_learner).collect();
    if voters.len() < 2 {
        return None;
    }
    let names: Vec<_> = voters.iter().map(|member| member.describe()).collect();
    Some(format!("{} voting members: {}", voters.len(), names.join(", ")))
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};

    use super::*;
    use crate::restore::Encryption;

    #[tokio::test]
    async fn a_new_control_plane_that_could_not_read_the_objects_is_told_of() {
        let checks = async |of_backup: Option<&str>, here: Option<&str>| {
            let mut restore = Restore::default();
            restore.source.encryption =
                of_backup.map(|path| Encryption { path: path.into(), sha256: String::new() });
            restore.node.encryption = here.map(Into::into);
            let found = fits(&FakeHost::new(World::ready()), &restore, &[]).await;
            let told = found.against(false).into_iter().filter(|it| it.check == "Encryption");
            told.map(|it| it.message).collect::<Vec<_>>()
        };
        let told = checks(Some("/srv/enc.yaml"), None).await;
        assert!(told[0].contains("as /srv/enc.yaml told its API server"), "{told:?}");
        assert!(checks(Some("/srv/enc.yaml"), Some("/srv/enc.yaml")).await.is_empty());
        assert!(checks(None, None).await.is_empty());
    }

    #[test]
    fn only_what_an_operator_may_know_better_can_be_forced() {
        let mut found = Survey::default();
        found.doubt("Keys", true, "other keys".into(), "");
        found.doubt("Space", false, "no room".into(), "");
        assert_eq!(found.against(false).len(), 2);
        assert_eq!(found.against(true).len(), 1);
        assert_eq!(found.told(true), ["[Keys] other keys"]);
    }

    #[test]
    fn machines_that_are_restored_together_begin_above_all_that_was_served() {
        let doubts = |bump: u64, served: Option<i64>| {
            let mut restore = Restore { bump, ..Restore::default() };
            restore.source.revision = 1000;
            let mut found = Survey { revision: served, ..Survey::default() };
            raised(&restore, &mut found);
            found.doubts.len()
        };
        assert_eq!(doubts(500, Some(1500)), 1);
        assert_eq!(doubts(500, Some(1499)), 0);
        assert_eq!(doubts(500, None), 0);
    }
}
