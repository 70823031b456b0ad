//! Which member of etcd a backup is taken from.

use super::BackupError;
use crate::etcd::{EtcdAccess, EtcdClient, Member, MemberStatus};

/// The member that the snapshot comes from.
pub(super) struct Source {
    pub endpoint: String,
    pub status: MemberStatus,
    pub members: Vec<Member>,
    pub warnings: Vec<String>,
}

/// The first member that is fit: with a leader, a vote, and no suspicion of being corrupt.
pub(super) async fn choose(client: &EtcdClient, access: &EtcdAccess) -> Result<Source, BackupError> {
    let mut last = None;
    for endpoint in &access.endpoints {
        match fit(client, endpoint).await {
            Ok(source) => return Ok(source),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| BackupError::Source("no endpoint of etcd is given".into())))
}

async fn fit(client: &EtcdClient, endpoint: &str) -> Result<Source, BackupError> {
    let status = client.status(endpoint).await?;
    let unfit = |why: &str| BackupError::Member { endpoint: endpoint.to_owned(), why: why.to_owned() };
    if status.is_learner {
        return Err(unfit("it is a learner and may not have everything yet"));
    }
    if status.leader == 0 {
        return Err(unfit("it has no leader, so it may lag behind the others"));
    }
    if is_corrupt(&status) {
        return Err(unfit("etcd has raised the alarm CORRUPT: members differ"));
    }
    // Asked of the quorum through this member: it has caught up with everything that was acknowledged when it answers.
    let members = client.members_of(endpoint).await?;
    let alarms = status.errors.iter().map(|error| format!("etcd says: {error}"));
    Ok(Source { endpoint: endpoint.to_owned(), warnings: alarms.collect(), status, members })
}

/// Whether etcd says that this member is corrupt. It tells the alarms of all members, `memberID:8211 alarm:CORRUPT`; one without an id
/// may be anybody's.
fn is_corrupt(status: &MemberStatus) -> bool {
    let whose = |error: &str| {
        let (_, rest) = error.split_once("memberID:")?;
        rest.trim_start().split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let mut corrupt = status.errors.iter().filter(|error| error.contains("CORRUPT"));
    corrupt.any(|error| whose(error).is_none_or(|id| id == 0 || id == status.member_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_answers_for_its_own_alarm_only() {
        let corrupt = |error: &str| {
            is_corrupt(&MemberStatus {
                member_id: 7,
                errors: vec![error.to_owned()],
                ..MemberStatus::default()
            })
        };
        assert!(corrupt("memberID:7 alarm:CORRUPT "));
        assert!(corrupt("memberID: 7  alarm: CORRUPT"));
        assert!(corrupt("alarm:CORRUPT"));
        assert!(!corrupt("memberID:77 alarm:CORRUPT "));
        assert!(!corrupt("memberID:7 alarm:NOSPACE "));
    }
}
