//! A flipped bit anywhere in a backup is found, also where the file with its sum is gone.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{
    beside,
    crypt::{Identities, Recipients},
    deflate,
    format::Compression,
    label::Label,
    manifest::{RESOURCES, ResourceFile},
    place::Directory,
    publish::Archive,
    read,
    tests::sample,
    *,
};
use crate::{engine::Cancel, text::sha256_hex};

/// An archive as `backup etcd` leaves it, of contents that compress like those of a control plane.
fn made(dir: &Path, compression: Compression, recipients: &Recipients) -> PathBuf {
    let mut manifest = sample();
    // Half of it is text, half is what no algorithm makes smaller.
    let noise = (0..12).map(|n: u8| sha256_hex(&[n])).collect::<String>();
    let data = [noise.as_bytes(), "an object of Kubernetes, ".repeat(30).as_bytes(), &[0; 700]].concat();
    manifest.snapshot.size = data.len() as u64;
    manifest.snapshot.sha256 = sha256_hex(&data);
    manifest.files[0].path = format!("/etc/kubernetes/{}/ca.key", "long".repeat(30));
    let contents = BTreeMap::from([(manifest.files[0].path.clone(), b"key".to_vec())]);
    let snapshot = dir.join("snapshot");
    fs::write(&snapshot, &data).unwrap();
    // As it comes from a member.
    let pressed = (compression == Compression::Gzip).then(|| deflate::pressed(&dir.join("pressed"), &data));
    let text = b"---\nkind: Node\n";
    let path = format!("{RESOURCES}/cluster/nodes.yaml");
    let (size, sha256) = (text.len() as u64, sha256_hex(text));
    fs::create_dir_all(dir.join(&path).parent().unwrap()).unwrap();
    fs::write(dir.join(&path), text).unwrap();
    manifest.resources = vec![ResourceFile { path, size, sha256, objects: 1 }];
    let (contents, resources, snapshot) = (&contents, dir, dir.join("snapshot"));
    let archive = Archive {
        manifest: &manifest,
        contents,
        resources,
        snapshot: (&snapshot).into(),
        pressed: pressed.as_ref(),
        compression,
        recipients,
        cancel: &Cancel::default(),
    };
    archive.keep(dir, &Directory(dir.to_owned())).unwrap();
    fs::remove_file(&snapshot).unwrap();
    let _ = fs::remove_file(dir.join("pressed"));
    dir.join(archive.name())
}

/// What `backup verify` finds wrong with an archive, but for the snapshot's pages.
fn verified(path: &Path, identities: &Identities) -> Result<Option<String>, BackupError> {
    let found = read::check(path, identities, None)?;
    read::is_spotless(path, &found.odd)?;
    beside::check(path, &found.sha256, Some(&found.manifest))
}

/// One bit of each byte of a file is flipped: those that `check` does not find.
fn missed(file: &Path, check: impl Fn() -> bool) -> Vec<usize> {
    let good = fs::read(file).unwrap();
    let disk = OpenOptions::new().write(true).open(file).unwrap();
    assert!(check(), "it is found where nothing is wrong");
    let mut missed = vec![];
    for (at, byte) in good.iter().enumerate() {
        disk.write_all_at(&[byte ^ 1 << (at * 5 % 8)], at as u64).unwrap();
        if check() {
            missed.push(at);
        }
        disk.write_all_at(&[*byte], at as u64).unwrap();
    }
    missed
}

#[test]
fn without_its_sum_as_well() {
    for compression in Compression::ALL {
        let dir = tempfile::tempdir().unwrap();
        let path = made(dir.path(), compression, &Recipients::default());
        fs::remove_file(format!("{}.sha256", path.display())).unwrap();
        let missed = missed(&path, || verified(&path, &Identities::none()).is_ok());
        assert!(missed.is_empty(), "{compression:?}: {missed:?}");
    }
}

/// A list, and so retention, believes what the manifest says.
#[test]
fn in_a_manifest_that_is_read_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(dir.path(), Compression::None, &Recipients::default());
    let told = || read::manifest(&path, fs::File::open(&path).unwrap(), &Identities::none()).ok();
    let good = told().unwrap();
    let changed = missed(&path, || told().is_none_or(|manifest| manifest == good));
    // `missed` has those that change nothing.
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(changed.len() as u64, length, "a manifest was read that nobody wrote");
}

#[test]
fn in_what_lies_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(dir.path(), Compression::None, &Recipients::default());
    // A name that is another one, where the sum is right, is told and not refused.
    let sums = PathBuf::from(format!("{}.sha256", path.display()));
    assert_eq!(missed(&sums, || matches!(verified(&path, &Identities::none()), Ok(None))), [0_usize; 0]);

    let key = age::x25519::Identity::generate();
    let recipients = Recipients::read(&[key.to_public().to_string()], &[] as &[&Path]).unwrap();
    let path = made(dir.path(), Compression::Zstd, &recipients);
    let label = Label::beside(&path);
    fs::remove_file(format!("{}.sha256", path.display())).unwrap();
    let unopened = || Label::read(&path).is_ok_and(|label| label.check(&path).is_ok());
    assert_eq!(missed(&label, unopened), [0_usize; 0]);
    assert_eq!(missed(&path, unopened), [0_usize; 0]);
    // One of another backup, whole in itself.
    let mut other = Label::read(&path).unwrap();
    other.manifest.snapshot.revision += 1;
    fs::write(&label, other.text().unwrap()).unwrap();
    let identity = dir.path().join("key");
    fs::write(&identity, age::secrecy::ExposeSecret::expose_secret(&key.to_string())).unwrap();
    let error = verified(&path, &Identities::read(&[identity]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("says something else than what is in it"), "{error}");
}
