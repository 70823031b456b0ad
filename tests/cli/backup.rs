//! `backup` where there is no etcd: what is wrong with files, flags and machines.

use insta::assert_snapshot;

use crate::{
    machine::{Machine, is_root},
    restore::archive,
};

#[test]
fn a_machine_without_etcd_is_told_what_to_name() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    assert_snapshot!(machine.rkadm("backup etcd").report(), @r#"
exit 1
--- stderr
Error: this machine has no static pod of etcd or of an API server in /etc/kubernetes/manifests
Hint: run this on a control plane as root, or name etcd with --etcd-endpoints, --etcd-cacert, --etcd-cert and --etcd-key
"#);
    assert_snapshot!(machine.rkadm("backup etcd --etcd-endpoints https://a:2379").report(), @r#"
exit 2
--- stderr
error: the following required arguments were not provided:
  --etcd-cacert <FILE>
  --etcd-cert <FILE>
  --etcd-key <FILE>

Usage: rkadm backup etcd --etcd-endpoints <URL,…> --etcd-cacert <FILE> --etcd-cert <FILE> --etcd-key <FILE>

For more information, try '--help'.
"#);
}

#[test]
fn an_empty_directory_has_no_backup() {
    let machine = Machine::new();
    assert_snapshot!(machine.rkadm("backup list").report(), @r#"
exit 0
--- stdout
$DIR/root/var/lib/rkadm/backups holds no backup.
"#);
    assert_snapshot!(machine.rkadm("backup verify latest").report(), @r#"
exit 1
--- stderr
Error: $DIR/root/var/lib/rkadm/backups holds no backup
"#);
}

#[test]
fn files_that_are_no_backup_are_told_so() {
    let machine = Machine::new();
    machine.write_here("a.tar.gz", "no");
    assert_snapshot!(machine.rkadm("backup verify a.tar.gz").report(), @r#"
exit 1
--- stderr
Error: a.tar.gz is no backup: failed to read entire block
Hint: a plain snapshot of etcdctl is checked by `rkadm backup verify` as well, when its name ends with .db
"#);
    assert_snapshot!(machine.rkadm("backup verify nowhere.tar.gz").report(), @r#"
exit 1
--- stderr
Error: cannot read nowhere.tar.gz: No such file or directory (os error 2)
"#);
    machine.write_here("a.db", "no");
    assert_snapshot!(machine.rkadm("backup verify a.db").report(), @r#"
exit 1
--- stderr
Error: the snapshot does not verify: 2 bytes is the length of no snapshot, which has whole pages, and 32 bytes more with the hash that `etcdctl snapshot save` appends: it was cut off, or something was added
Hint: use another backup: `rkadm backup list` shows those that are there
"#);
}

#[test]
fn a_time_of_another_form_is_refused() {
    let machine = Machine::new();
    assert_snapshot!(machine.rkadm("backup prune --keep-within soon").report(), @r#"
exit 2
--- stderr
error: invalid value 'soon' for '--keep-within <TIME>': "soon" is no time such as 36h or 14d

For more information, try '--help'.
"#);
}

/// Nothing of what is kept changed, so a restore takes it; but a disk that flips one bit will flip another.
#[test]
fn a_bit_that_flipped_where_nothing_is_kept_is_told_as_such() {
    let machine = Machine::new();
    let good = archive(&Machine::with_certificates(), "3.6", |_| {});
    let size = std::str::from_utf8(&good[124..135]).unwrap();
    let padding = 512 + usize::from_str_radix(size, 8).unwrap();
    assert!(!padding.is_multiple_of(512), "the manifest happens to fill its last block");
    for (at, flip, words) in [
        (
            padding,
            1,
            "b.tar is damaged: the padding of an entry is not empty. What it holds is whole, and can be restored",
        ),
        (
            148,
            0x10,
            "b.tar is damaged: the header of manifest.json is not as it was written. What it holds is whole",
        ),
        (good.len() - 1, 1, "b.tar is damaged: something follows behind its end"),
    ] {
        let mut bad = good.clone();
        bad[at] ^= flip;
        machine.write_here("b.tar", &bad);
        machine.refuses("backup verify b.tar", 1, &[words]);
    }
    machine.write_here("b.tar", &good[..good.len() - 1024]);
    machine.refuses(
        "backup verify b.tar",
        1,
        &["b.tar is damaged: it is cut off behind its last entry. What it holds is whole"],
    );
    machine.write_here("b.tar", &good);
    let sum = rkadm_core::text::sha256_hex(&good);
    machine.write_here("b.tar.sha256", format!("{sum}  b.tar"));
    machine.refuses("backup verify b.tar", 1, &["b.tar is damaged: b.tar.sha256 is not as it was written"]);
    machine.write_here("b.tar.sha256", format!("{sum}  a.tar\n"));
    let ran = machine.rkadm("backup verify b.tar");
    ran.exits(0);
    assert!(
        ran.stderr().contains("b.tar.sha256 has the right sum, and calls the backup \"a.tar\""),
        "{}",
        ran.stderr()
    );
}

#[test]
fn lines_for_cron_have_the_times_that_cron_knows() {
    let ran =
        Machine::new().rkadm("backup schedule --print-cron --calendar daily --drill weekly --keep-daily 7");
    let lines: Vec<_> = ran.stdout().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{}", ran.report());
    assert!(lines[0].starts_with("0 3 * * * root ") && lines[0].contains(" backup etcd --dir="), "{lines:?}");
    assert!(
        lines[1].starts_with("0 4 * * 0 root ") && lines[1].contains(" backup drill latest "),
        "{lines:?}"
    );
    assert_snapshot!(Machine::new().rkadm("backup schedule --print-cron --calendar *-*-*").report(), @r#"
exit 2
--- stderr
Error: "*-*-*" cannot be written for cron
Hint: hourly, daily, weekly or monthly; or change the time in the line that is printed
"#);
}
