//! `restore etcd` with backups that must not be restored: what is said, and that nothing is changed. That it restores is proved
//! on real nodes.

use std::{fs, path::Path};

use insta::assert_snapshot;
use rkadm_core::{
    backup::{
        Manifest, collect,
        manifest::{EtcdCluster, File, MANIFEST, SCHEMA, SNAPSHOT, Snapshot, Verified},
    },
    etcd::snapshot::{VerifyOptions, verify},
    text::sha256_hex,
};

use crate::machine::{Machine, Ran, is_root};

const ETCD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.6.5-0
    command: [etcd, --name=cp1, --data-dir=/var/lib/etcd, '--initial-advertise-peer-urls=https://192.0.2.10:2380',
      '--listen-client-urls=https://127.0.0.1:23790']
";

/// A control plane whose etcd does not run, with its keys.
pub fn control_plane() -> Machine {
    let machine = Machine::with_certificates();
    machine.write("/etc/kubernetes/manifests/etcd.yaml", ETCD);
    machine
}

pub fn fixture(line: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/etcd/snapshot/fixtures");
    fs::read(dir.join(format!("{line}.db"))).unwrap()
}

/// An archive of a machine with these keys.
pub fn archive(keys: &Machine, line: &str, change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let db = fixture(line);
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("a.db"), &db).unwrap();
    let report = verify(&scratch.path().join("a.db"), VerifyOptions::default()).unwrap().report;
    let contents = ["ca.crt", "etcd/ca.crt", "front-proxy-ca.crt", "sa.key"]
        .map(|name| (format!("/etc/kubernetes/pki/{name}"), fs::read(keys.pki(name)).unwrap()));
    let files: Vec<_> = contents
        .iter()
        .map(|(path, bytes)| File {
            path: path.clone(),
            size: bytes.len() as u64,
            sha256: sha256_hex(bytes),
            mode: 0o600,
            uid: 0,
            gid: 0,
        })
        .collect();
    let mut manifest = Manifest {
        schema: SCHEMA,
        created_at: "2026-11-25T03:00:00Z".parse().unwrap(),
        rkadm: "0".into(),
        node: "cp1".into(),
        kubernetes_version: None,
        etcd: EtcdCluster {
            cluster_id: "a".into(),
            member_id: "b".into(),
            version: "3.6.0".into(),
            members: vec![],
        },
        snapshot: Snapshot::of(&report, sha256_hex(&db)),
        fingerprints: collect::fingerprints(
            &files,
            &contents.iter().cloned().collect(),
            Path::new("/etc/kubernetes/pki"),
        ),
        files,
        objects: None,
        resources: vec![],
        encryption: None,
        verified: Verified { snapshot: true, live_hash: true, live_hash_why: None, read_back: true },
    };
    change(&mut manifest);
    let mut tar = tar::Builder::new(vec![]);
    let mut append = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    append(MANIFEST, &serde_json::to_vec(&manifest).unwrap());
    for (path, bytes) in &contents {
        append(&format!("files{path}"), bytes);
    }
    append(SNAPSHOT, &db);
    tar.into_inner().unwrap()
}

/// Restores this file, which must be refused with these words and change nothing.
fn refused(machine: &Machine, name: &str, bytes: &[u8], code: i32, words: &[&str]) -> Ran {
    machine.write_here(name, bytes);
    machine.refuses(&format!("restore etcd {name} --yes"), code, &[words, &["Nothing was changed."]].concat())
}

#[test]
fn a_machine_without_etcd_has_nothing_to_restore() {
    if !is_root() {
        return;
    }
    let ran = Machine::new().rkadm("restore etcd latest --yes");
    ran.exits(1);
    assert!(
        ran.stderr().contains("this machine has no /etc/kubernetes/manifests/etcd.yaml"),
        "{}",
        ran.report()
    );
}

#[test]
fn without_a_terminal_somebody_has_to_say_yes() {
    if !is_root() {
        return;
    }
    assert_snapshot!(control_plane().rkadm("restore etcd a.db").report(), @r#"
exit 2
--- stderr
Error: `rkadm restore etcd` replaces the data of the cluster, and there is no terminal to confirm it on
  Nothing was changed.
Hint: without a terminal: --yes
Hint: what would be done: --dry-run
"#);
}

#[test]
fn there_is_no_latest_where_there_is_no_backup() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    fs::create_dir(machine.dir().join("backups")).unwrap();
    machine.write_here("backups/rkadm-backup-x.tar.gz", "no");
    for (flags, words) in [("", "/var/lib/rkadm/backups holds no backup"), ("--dir backups", "is left out")] {
        let ran = machine.rkadm(&format!("restore etcd latest --yes {flags}"));
        ran.exits(1);
        assert!(ran.stderr().contains(words), "{}", ran.report());
    }
}

#[test]
fn archives_that_are_not_whole_are_refused() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let good = archive(&machine, "3.6", |_| {});
    refused(&machine, "cut.tar", &good[..good.len() / 2], 1, &["cut.tar is damaged", "use another backup"]);
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    refused(
        &machine,
        "flipped.tar",
        &flipped,
        1,
        &["the content of etcd/snapshot.db is not what was backed up"],
    );
    refused(&machine, "foreign.tar", b"PK\x03\x04 something else", 1, &["foreign.tar is no backup"]);
    let future = archive(&machine, "3.6", |manifest| manifest.schema = SCHEMA + 1);
    refused(&machine, "future.tar", &future, 1, &["it is of a newer rkadm (schema 2, this one reads 1)"]);
    let db = fixture("3.6");
    refused(&machine, "cut.db", &db[..db.len() - 1], 1, &["the snapshot does not verify", "it was cut off"]);
    let mut flipped = db.clone();
    flipped[db.len() / 2] ^= 1;
    refused(&machine, "flipped.db", &flipped, 1, &["do not have the SHA-256 that the file ends with"]);
}

#[test]
fn a_backup_with_other_keys_is_refused_and_says_where_the_right_ones_are() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let other = archive(&Machine::with_certificates(), "3.6", |_| {});
    let words = [
        "[Keys] the keys of this machine are not those of the backup",
        "/etc/kubernetes/pki/ca.crt has another key",
        "/etc/kubernetes/pki/sa.key has another key",
        "tar -xf",
        "--force",
    ];
    refused(&machine, "other.tar", &other, 3, &words);
    let own = archive(&machine, "3.6", |_| {});
    // etcd does not run here, so there are other doubts.
    let ran = refused(&machine, "own.tar", &own, 3, &["[EtcdMembers] the members of etcd cannot be known"]);
    assert!(!ran.stderr().contains("[Keys]"), "{}", ran.report());
}

#[test]
fn data_of_a_newer_etcd_is_refused() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let words =
        ["[EtcdVersion] the snapshot has the format of etcd 3.7", "the etcd of this machine is 3.6.5-0"];
    refused(&machine, "newer.db", &fixture("3.7"), 3, &words);
}

#[test]
fn data_beyond_the_quota_of_etcd_is_told_of() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let manifest = machine.path("/etc/kubernetes/manifests/etcd.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    let flag = "'--listen-client-urls=";
    let with = |quota: &str| text.replacen(flag, &format!("'--quota-backend-bytes={quota}', {flag}"), 1);
    fs::write(&manifest, with("4096")).unwrap();
    let words =
        ["[EtcdQuota] the database of the backup has", "etcd takes no more writes at 0 MiB here", "--force"];
    refused(&machine, "big.db", &fixture("3.6"), 3, &words);
    fs::write(&manifest, with("-1")).unwrap();
    let ran = refused(&machine, "unlimited.db", &fixture("3.6"), 3, &["[EtcdMembers]"]);
    assert!(!ran.stderr().contains("[EtcdQuota]"), "{}", ran.report());
}

#[test]
fn an_etcd_that_does_not_answer_is_known_from_its_data() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let mut data = fixture("3.6");
    data.truncate(data.len() - 32);
    machine.write("/var/lib/etcd/member/snap/db", data);
    // One member, and a learner: nobody is left behind. What else is missing is not that machine's etcd.
    let ran = refused(&machine, "own.db", &fixture("3.6"), 3, &["[ContainerRuntime]", "[Kubelet]"]);
    assert!(!ran.stderr().contains("[EtcdMembers]"), "{}", ran.report());
}

#[test]
fn a_data_directory_is_made_whole_or_not_at_all() {
    let machine = Machine::new();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/src/core/etcd/snapshot/fixtures/3.6.db");
    fs::copy(fixture, machine.dir().join("old.db")).unwrap();
    machine.write_here("cut.db", &fs::read(fixture).unwrap()[..9000]);
    fs::create_dir(machine.dir().join("there")).unwrap();
    let two = "m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380";
    for (words, code, said) in [
        (
            "old.db --data-dir there --name m1 --initial-cluster m1=https://10.0.0.1:2380",
            2,
            "there is there already",
        ),
        (
            "old.db --data-dir new --name m3 --initial-cluster m1=https://10.0.0.1:2380",
            2,
            "--initial-cluster: ",
        ),
        (&format!("old.db --data-dir new --name m1 --initial-cluster {two}"), 2, "the same --cluster-token"),
        ("old.db --data-dir new --name m1 --initial-cluster m1", 2, "\"m1\" is not NAME=PEER-URL"),
        (
            "old.db --data-dir new --name m1 --initial-cluster m1=https://10.0.0.1:2380 --raise-to 1",
            2,
            "the backup has revision",
        ),
        (
            "cut.db --data-dir new --name m1 --initial-cluster m1=https://10.0.0.1:2380",
            1,
            "the snapshot does not verify",
        ),
        ("none.db --data-dir new --name m1 --initial-cluster m1=https://10.0.0.1:2380", 1, "none.db"),
    ] {
        machine.refuses(&format!("restore data {words}"), code, &[said, "Nothing was changed."]);
        assert_eq!(names(&machine), ["cut.db", "old.db", "there"], "{words}");
    }
    let ran = machine
        .rkadm("restore data old.db --data-dir new --name m1 --initial-cluster m1=https://10.0.0.1:2380");
    ran.exits(0);
    for part in [
        "data of member m1 of 1 member, verified: revision 1",
        "etcd --data-dir ",
        "--initial-cluster-token rkadm-2",
    ] {
        assert!(ran.stdout().contains(part), "{part}: {}", ran.report());
    }
    assert_eq!(names(&machine), ["cut.db", "new", "old.db", "there"]);
    assert!(machine.dir().join("new/member/snap/db").exists());
}

fn names(machine: &Machine) -> Vec<String> {
    let names = fs::read_dir(machine.dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| !matches!(name.as_str(), "root" | "cluster.yaml"));
    names.sort();
    names
}
