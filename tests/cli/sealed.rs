//! Encrypted backups: what is said to those who cannot open them, and that those who can, can.

use std::io::Write as _;

use age::{secrecy::ExposeSecret as _, x25519};
use insta::assert_snapshot;
use rkadm_core::backup::{Manifest, label::Label, manifest::PREFIX};

use crate::{
    machine::{Machine, is_root},
    restore::{archive, control_plane},
};

/// Two pairs of keys, and an archive that only the first opens.
fn sealed(machine: &Machine) -> (x25519::Identity, Vec<u8>) {
    let (mine, other) = (x25519::Identity::generate(), x25519::Identity::generate());
    machine.write_here("mine", mine.to_string().expose_secret());
    machine.write_here("other", other.to_string().expose_secret());
    let recipient = mine.to_public();
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    let mut out = encryptor.wrap_output(vec![]).unwrap();
    out.write_all(&archive(machine, "3.6", |_| {})).unwrap();
    (mine, out.finish().unwrap())
}

#[test]
fn restoring_needs_an_identity_that_fits() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let (_, bytes) = sealed(&machine);
    machine.write_here("b.tar.age", &bytes);
    let before = machine.tree("/");
    assert_snapshot!(machine.rkadm("restore etcd b.tar.age --yes").report(), @r#"
exit 1
--- stderr
Error: $DIR/b.tar.age is encrypted, and no identity was given
  Nothing was changed.
Hint: name the private key's file with --identity; it is one of those that --encrypt-to or --recipients-file named when the backup was made
"#);
    assert_snapshot!(machine.rkadm("restore etcd b.tar.age --yes --identity other").report(), @r#"
exit 1
--- stderr
Error: $DIR/b.tar.age is encrypted to other keys than those of the identities that were given
  Nothing was changed.
Hint: name the private key's file with --identity; it is one of those that --encrypt-to or --recipients-file named when the backup was made
"#);
    assert_snapshot!(machine.rkadm("restore etcd b.tar.age --yes --identity nowhere").report(), @r#"
exit 1
--- stderr
Error: cannot read $DIR/nowhere: No such file or directory (os error 2)
  Nothing was changed.
"#);
    machine.write_here("public", x25519::Identity::generate().to_public().to_string());
    assert_snapshot!(machine.rkadm("restore etcd b.tar.age --yes --identity public").report(), @r#"
exit 1
--- stderr
Error: $DIR/public is no identity: it holds a public key; the private one is needed
  Nothing was changed.
Hint: --identity takes the file that `age-keygen` or `ssh-keygen` wrote for the private key
"#);
    let mut bad = bytes;
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    machine.write_here("bad.tar.age", &bad);
    assert_snapshot!(machine.rkadm("restore etcd bad.tar.age --yes --identity mine").report(), @r#"
exit 1
--- stderr
Error: $DIR/bad.tar.age is damaged: what is encrypted was changed or cut off
  Nothing was changed.
Hint: use another backup: `rkadm backup list` shows those that are there
"#);
    // Opened, it is judged as every other: etcd does not run here.
    let ran = machine.rkadm("restore etcd b.tar.age --yes --identity other --identity mine");
    ran.exits(3);
    assert!(ran.stderr().contains("[EtcdMembers]") && !ran.stderr().contains("[Keys]"), "{}", ran.report());
    assert!(before == machine.tree("/"), "something was changed");
}

#[test]
fn a_check_without_an_identity_says_what_it_is_worth() {
    let machine = control_plane();
    let (_, bytes) = sealed(&machine);
    let name = format!("{PREFIX}x.tar.age");
    let path = machine.dir().join(&name);
    machine.write_here(&name, &bytes);
    assert_snapshot!(machine.rkadm(&format!("backup verify {name}")).report(), @r#"
exit 1
--- stderr
Error: rkadm-backup-x.tar.age is encrypted, and nothing beside it says what it is: there is no rkadm-backup-x.tar.age.json
Hint: an identity opens it all the same: `rkadm backup verify FILE --identity KEY`
"#);
    let sum = rkadm_core::text::sha256_hex(&bytes);
    let label = Label::new(&manifest(&machine), bytes.len() as u64, sum, 1);
    std::fs::write(Label::beside(&path), label.text().unwrap()).unwrap();
    assert_snapshot!(machine.rkadm(&format!("backup verify {name}")).report(), @r#"
exit 0
--- stdout
rkadm-backup-x.tar.age: the same bytes as when it was made; then, what is in it was decrypted and verified: revision 8, 50 keys, hash 3755357a.
It was not opened now: --identity does that.
"#);
    let ran = machine.rkadm("backup list --dir . -o json");
    let list: serde_json::Value = serde_json::from_str(&ran.stdout()).unwrap();
    assert_eq!(
        (&list["items"][0]["encrypted"], &list["items"][0]["keys"]),
        (&true.into(), &label.manifest.snapshot.keys.into())
    );
    let opened = machine.rkadm(&format!("backup verify {name} --identity mine -o json"));
    let opened: serde_json::Value = serde_json::from_str(&opened.stdout()).unwrap();
    assert_eq!(
        (&opened["opened"], &opened["encrypted"], &opened["files"]),
        (&true.into(), &true.into(), &4.into())
    );
    let mut bad = bytes;
    bad[300] ^= 1;
    machine.write_here(&name, &bad);
    assert_snapshot!(machine.rkadm(&format!("backup verify {name}")).report(), @r#"
exit 1
--- stderr
Error: rkadm-backup-x.tar.age is damaged: its bytes are not those that were written when it was made
Hint: use another backup: `rkadm backup list` shows those that are there
"#);
}

fn manifest(machine: &Machine) -> Manifest {
    let mut found = None;
    archive(machine, "3.6", |manifest| found = Some(manifest.clone()));
    found.unwrap()
}

#[test]
fn recipients_are_looked_at_before_anything_else() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    assert_snapshot!(machine.rkadm("backup etcd --encrypt-to me").report(), @r#"
exit 2
--- stderr
Error: "me" is no recipient: age1…, ssh-ed25519 and ssh-rsa keys are known
Hint: a recipient is what `age-keygen -y` prints (age1…), or a public key of SSH; `age-keygen` makes a pair, on another machine
"#);
    machine.write_here("keys", "# nobody\n");
    assert_snapshot!(machine.rkadm("backup schedule --print-cron --recipients-file keys").report(), @r#"
exit 2
--- stderr
Error: keys is no recipient: the file names nobody
Hint: a recipient is what `age-keygen -y` prints (age1…), or a public key of SSH; `age-keygen` makes a pair, on another machine
"#);
    let key = x25519::Identity::generate().to_public();
    let ran = machine.rkadm(&format!("backup schedule --print-cron --compression zstd --encrypt-to {key}"));
    assert!(ran.stdout().contains(&format!("--compression=zstd --encrypt-to={key}")), "{}", ran.report());
}
