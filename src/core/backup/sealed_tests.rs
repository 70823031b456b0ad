//! Encrypted archives: who opens them, and what is said to everybody else.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use age::{secrecy::ExposeSecret as _, x25519};
use tempfile::TempDir;

use super::{
    crypt::{Identities, Recipients},
    format::Compression,
    label::Label,
    place::Directory,
    publish::Archive,
    tests::{DATA, sample},
    *,
};
use crate::engine::Cancel;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("backup/fixtures").join(name)
}

/// A pair as `age-keygen` makes it: the file with the private key, and the public key.
fn pair(dir: &Path, name: &str) -> (PathBuf, String) {
    let identity = x25519::Identity::generate();
    let path = dir.join(name);
    fs::write(&path, format!("# created\n# public key\n{}\n", identity.to_string().expose_secret())).unwrap();
    (path, identity.to_public().to_string())
}

fn recipients(typed: &[String]) -> Recipients {
    Recipients::read(typed, &[] as &[&Path]).unwrap()
}

/// An archive as `backup etcd` leaves it.
fn sealed(dir: &Path, recipients: &Recipients, compression: Compression) -> PathBuf {
    let snapshot = dir.join("snapshot");
    fs::write(&snapshot, DATA).unwrap();
    let contents = BTreeMap::from([("/etc/kubernetes/pki/ca.key".to_owned(), b"key".to_vec())]);
    let archive = Archive {
        manifest: &sample(),
        contents: &contents,
        resources: dir,
        snapshot: (&snapshot).into(),
        pressed: None,
        compression,
        recipients,
        cancel: &Cancel::default(),
    };
    archive.keep(dir, &Directory(dir.to_owned())).unwrap();
    fs::remove_file(snapshot.clone()).unwrap();
    dir.join(archive.name())
}

fn opened(path: &Path, identity: &Path) -> Result<read::Checked, BackupError> {
    read::check(path, &Identities::read(&[identity])?, None)
}

#[test]
fn every_recipient_opens_it_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, my_key) = pair(dir.path(), "mine");
    let (_, yours) = pair(dir.path(), "yours");
    let (other, _) = pair(dir.path(), "other");
    let keys = dir.path().join("keys");
    let public = |name: &str| fs::read_to_string(fixture(name)).unwrap();
    fs::write(&keys, format!("# those who may\n\n{}{}", public("id_ed25519.pub"), public("id_rsa.pub")))
        .unwrap();
    let all = Recipients::read(&[my_key, yours.clone(), yours], &[keys]).unwrap();
    assert_eq!(all.len(), 4, "twice the same is one");
    for compression in Compression::ALL {
        let path = sealed(dir.path(), &all, compression);
        for identity in [&mine, &fixture("id_ed25519"), &fixture("id_rsa")] {
            assert_eq!(opened(&path, identity).unwrap().manifest, sample());
        }
        // One that fits among some that do not.
        let some = Identities::read(&[&other, &mine]).unwrap();
        let mut targets =
            read::Targets { snapshot: dir.path().join(compression.extension()), files: BTreeMap::new() };
        read::check(&path, &some, Some(&mut targets)).unwrap();
        assert_eq!(fs::read(&targets.snapshot).unwrap(), DATA);
        let error = opened(&path, &other).unwrap_err();
        assert!(matches!(error, BackupError::WrongIdentity(_)), "{error}");
        assert!(
            error
                .to_string()
                .ends_with("is encrypted to other keys than those of the identities that were given")
        );
        let error = read::check(&path, &Identities::none(), None).unwrap_err();
        assert!(error.to_string().ends_with("is encrypted, and no identity was given"), "{error}");
        assert!(error.hints()[0].contains("--identity"));
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(12).any(|part| part == &b"manifest.json"[..12]), "it is in the open");
    }
}

#[test]
fn what_is_no_recipient_is_refused_and_no_secret_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let refused =
        |typed: &str| Recipients::read(&[typed.to_owned()], &[] as &[&Path]).unwrap_err().to_string();
    let private = x25519::Identity::generate().to_string();
    let said = refused(private.expose_secret());
    assert!(said.contains("private key, which does not belong on this machine"), "{said}");
    assert!(!said.contains(&private.expose_secret()[20..]), "{said}");
    let (_, key) = pair(dir.path(), "mine");
    assert!(refused(&key[..key.len() - 1]).contains("is no recipient: it is mistyped"));
    assert!(refused("somebody").contains("age1…, ssh-ed25519 and ssh-rsa keys are known"));
    assert!(refused("ssh-ed25519 AAAA").contains("mistyped"));
    assert!(
        refused(&fs::read_to_string(fixture("id_ecdsa.pub")).unwrap())
            .contains("ssh-ed25519 and ssh-rsa can")
    );
    let file = dir.path().join("keys");
    let refused = |text: &str| {
        fs::write(&file, text).unwrap();
        Recipients::read(&[], &[&file]).unwrap_err().to_string()
    };
    assert!(refused("# nobody yet\n\n").ends_with("keys is no recipient: the file names nobody"));
    assert!(refused(&format!("{key}\nnobody\n")).contains("line 2 of "));
    assert!(refused(&fs::read_to_string(fixture("id_ed25519")).unwrap()).contains("private key"));
    let many: Vec<_> = (0..101).map(|_| x25519::Identity::generate().to_public().to_string()).collect();
    assert!(refused(&many.join("\n")).contains("too many"));
}

#[test]
fn what_is_no_identity_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_, key) = pair(dir.path(), "mine");
    let refused = |text: &str| {
        let path = dir.path().join("identity");
        fs::write(&path, text).unwrap();
        Identities::read(&[&path]).unwrap_err().to_string()
    };
    assert!(refused("").contains("is no identity: it is empty"));
    assert!(refused("no key").contains("no identity of age and no private key of SSH"));
    assert!(refused(&key).contains("it holds a public key"));
    assert!(
        refused(&fs::read_to_string(fixture("id_ed25519.pub")).unwrap()).contains("it holds a public key")
    );
    assert!(refused(&fs::read_to_string(fixture("id_protected")).unwrap()).contains("ssh-keygen -p"));
    assert!(refused("age-encryption.org/v1\n").contains("decrypt it with `age -d`"));
    assert!(refused("-----BEGIN RSA PRIVATE KEY-----\n").contains("no private key of SSH"));
    let error = Identities::read(&[dir.path().join("nowhere")]).unwrap_err().to_string();
    assert!(error.contains("cannot read"), "{error}");
}

/// Without the sums that lie beside it.
fn alone(dir: &Path) -> (TempDir, PathBuf, Vec<u8>, PathBuf) {
    let (mine, key) = pair(dir, "mine");
    let path = sealed(dir, &recipients(&[key]), Compression::Zstd);
    let away = tempfile::tempdir().unwrap();
    let lonely = away.path().join("rkadm-backup-x.tar.zst.age");
    let bytes = fs::read(path).unwrap();
    (away, lonely, bytes, mine)
}

#[test]
fn a_bit_that_flipped_anywhere_is_found_by_the_encryption() {
    let dir = tempfile::tempdir().unwrap();
    let (_away, path, good, mine) = alone(dir.path());
    let keys = Identities::read(&[mine]).unwrap();
    fs::write(&path, &good).unwrap();
    read::check(&path, &keys, None).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        let error =
            read::check(&path, &keys, None).expect_err(&format!("byte {at} of {}", good.len())).to_string();
        let known = ["is damaged", "is no backup", "encrypted to other keys"];
        assert!(known.iter().any(|words| error.contains(words)), "byte {at}: {error}");
    }
}

#[test]
fn one_that_is_cut_off_goes_on_or_never_ends_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_away, path, good, mine) = alone(dir.path());
    let keys = Identities::read(&[mine]).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        read::check(&path, &keys, None).expect_err(what).to_string()
    };
    for length in 0..good.len() {
        refused(&good[..length], &format!("{length} of {} bytes", good.len()));
    }
    refused(&[&good[..], b"more"].concat(), "more behind it");
    refused(&[&good[..], &good[..]].concat(), "twice");
    let endless = [b"age-encryption.org/v1\n".to_vec(), b"-> X25519 AAAA\nAAAA\n".repeat(100_000)].concat();
    assert!(refused(&endless, "endless").contains("its age header does not end"));
    let to_nobody =
        b"age-encryption.org/v1\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n0123456789abcdef";
    assert!(refused(to_nobody, "to nobody").contains("is damaged"));
}

#[test]
fn one_that_somebody_encrypted_with_a_passphrase_is_told_from_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let (_away, path, _, mine) = alone(dir.path());
    let stanza = "age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 10\ngUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n--- kJ4hXPSfZkpRFSOKOMj1CTMhFDHyG6sAKMBdbSxHcGo\n0123456789abcdef";
    fs::write(&path, stanza).unwrap();
    let error = opened(&path, &mine).unwrap_err().to_string();
    assert!(error.contains("passphrase"), "{error}");
}

#[test]
fn without_a_key_a_list_knows_what_there_is_and_a_check_finds_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, key) = pair(dir.path(), "mine");
    let path = sealed(dir.path(), &recipients(&[key]), Compression::Gzip);
    let catalog = Catalog::read(&Directory(dir.path().to_owned())).unwrap();
    assert!(catalog.unreadable.is_empty(), "{:?}", catalog.unreadable);
    let [backup] = &catalog.backups[..] else { panic!("{catalog:?}") };
    assert_eq!((backup.recipients, backup.manifest.snapshot.revision), (1, sample().snapshot.revision));
    assert!(backup.manifest.files.is_empty(), "which files there are is not for everybody");
    let label = Label::read(&path).unwrap();
    label.check(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = label.check(&path).unwrap_err().to_string();
    assert!(error.contains("not those that were written when it was made"), "{error}");
    // Shorter than its label says, a list sees at once.
    fs::write(&path, &bytes[..300]).unwrap();
    assert!(
        Catalog::read(&Directory(dir.path().to_owned())).unwrap().unreadable[0]
            .1
            .contains("it has 300 bytes, its label says")
    );
    // Without a label nobody can tell what it is, so nobody removes it.
    fs::remove_file(Label::beside(&path)).unwrap();
    let catalog = Catalog::read(&Directory(dir.path().to_owned())).unwrap();
    assert!(catalog.backups.is_empty());
    assert!(
        catalog.unreadable[0].1.contains("nothing beside it says what it is"),
        "{:?}",
        catalog.unreadable
    );
}

#[test]
fn what_lies_beside_it_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_, key) = pair(dir.path(), "mine");
    sealed(dir.path(), &recipients(&[key]), Compression::None);
    let left =
        || fs::read_dir(dir.path()).unwrap().filter(|it| it.as_ref().unwrap().file_name() != "mine").count();
    assert_eq!(left(), 3);
    catalog::remove(
        &Directory(dir.path().to_owned()),
        &Catalog::read(&Directory(dir.path().to_owned())).unwrap().backups[0],
    )
    .unwrap();
    assert_eq!(left(), 0);
}
