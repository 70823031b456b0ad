//! Logs of members, whole, cut and damaged.

use super::*;

const NAME: &str = "member/wal/0000000000000000-0000000000000000.wal";

/// A restored member's directory, and the bytes of its log that are in use.
fn member() -> (tempfile::TempDir, Restored, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = verify(&path("3.6", "db"), VerifyOptions::default()).unwrap();
    let member =
        |n: u8| NewMember { name: format!("m{n}"), peer_urls: vec![format!("http://10.0.0.{n}:2380")] };
    let options = RestoreOptions::new("m2", (1..=3).map(member).collect());
    let done = restore(&snapshot, &dir.path().join("etcd"), &options).unwrap();
    let log = fs::read(dir.path().join("etcd").join(NAME)).unwrap();
    let end = log.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(8) + 8;
    (dir, done, log[..end].to_vec())
}

#[test]
fn a_log_says_whose_it_is_and_how_far_it_got() {
    let (dir, done, _) = member();
    let state = raft_state(&dir.path().join("etcd")).unwrap();
    assert_eq!((state.member_id, state.cluster_id), (done.member_id, done.cluster_id));
    assert_eq!((state.term, state.commit, state.last_index, state.last_term), (1, 3, 3, 1));
    assert!(!state.torn && state.vote != 0);
}

#[test]
fn a_cut_log_is_read_up_to_the_cut_and_a_damaged_one_is_refused() {
    let (dir, _, log) = member();
    let dir = dir.path().join("etcd");
    for len in 8..log.len() {
        fs::write(dir.join(NAME), &log[..len]).unwrap();
        assert!(raft_state(&dir).unwrap().last_index <= 3, "{len} bytes");
    }
    let damaged = (0..log.len() * 8).step_by(5).filter(|bit| {
        let mut log = log.clone();
        log[bit / 8] ^= 1 << (bit % 8);
        log.resize(log.len() + 4096, 0);
        fs::write(dir.join(NAME), log).unwrap();
        matches!(raft_state(&dir), Err(LogError::Damage { .. }))
    });
    // Not all can be seen: padding means nothing, and a length of zero is an end.
    assert!(damaged.count() > log.len() * 8 / 5 * 3 / 4);
    fs::remove_file(dir.join(NAME)).unwrap();
    assert!(matches!(raft_state(&dir), Err(LogError::Empty { .. })));
    for name in ["0000000000000003-0000000000000001.wal", "0000000000000005-0000000000000009.wal"] {
        fs::write(dir.join("member/wal").join(name), &log).unwrap();
    }
    assert!(matches!(raft_state(&dir), Err(LogError::Gap { number: 4 })));
}
