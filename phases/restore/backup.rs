//! Whether a backup belongs on a machine: whether its etcd can serve the data, and its API server read it.

use std::collections::BTreeMap;

use rkadm_core::{
    backup::{collect, manifest::File},
    engine::PhaseError,
    host::Probe,
    text::sha256_hex,
};

use super::{Restore, survey::Survey};

/// Authorities and their certificates, and the key of service accounts.
const KEYS: [(&str, &str); 4] = [
    ("ca", "ca.crt"),
    ("etcd/ca", "etcd/ca.crt"),
    ("front-proxy-ca", "front-proxy-ca.crt"),
    ("sa", "sa.key"),
];

/// Whether the backup belongs here: its data, its keys, how its objects are encrypted.
///
/// # Errors
/// The host cannot be read.
pub async fn belongs(host: &dyn Probe, restore: &Restore, found: &mut Survey) -> Result<(), PhaseError> {
    let mut restore = restore.clone();
    if restore.node.version.is_none() {
        restore.node.version = serving(host, &restore).await;
        if restore.node.version.is_none() {
            let what = "etcd's image is named by its digest alone, and etcd does not answer: whether it reads the data is not known";
            found.warnings.push(what.into());
        }
    }
    let restore = &restore;
    data(restore, found);
    keys(host, restore, found).await?;
    encryption(host, restore, found).await
}

/// The version of the etcd that runs here.
async fn serving(host: &dyn Probe, restore: &Restore) -> Option<String> {
    let access = &restore.node.access;
    let status = host.etcd_status(access, access.endpoints.first()?).await.ok()?;
    Some(status.version)
}

/// Whether an etcd of here can serve the data.
pub fn data(restore: &Restore, found: &mut Survey) {
    version(restore, found);
    quota(restore, found);
    hash(restore, found);
}

fn version(restore: &Restore, found: &mut Survey) {
    let data = restore.source.storage_version.as_deref().unwrap_or("3.5.0");
    let Some(tag) = &restore.node.version else { return };
    let (Some(data_line), Some(line)) = (line(data), line(tag)) else {
        found.warnings.push(format!("the version of etcd cannot be told from its image's tag {tag:?}"));
        return;
    };
    if data_line > line {
        let message =
            format!("the snapshot has the format of etcd {data}, and the etcd of this machine is {tag}");
        let hint = "upgrade etcd first, or use a backup of an older etcd: etcd refuses data of a newer one";
        found.doubt("EtcdVersion", false, message, hint);
    }
}

/// etcd counts the file and not what is in it, and a restored one is as large as it was.
fn quota(restore: &Restore, found: &mut Survey) {
    let size = i64::try_from(restore.source.size).unwrap_or(i64::MAX);
    let Some(quota) = restore.node.quota.filter(|quota| size > quota / 100 * 95) else { return };
    let message = format!(
        "the database of the backup has {} MiB, and etcd takes no more writes at {} MiB here",
        size >> 20,
        quota >> 20
    );
    let hint = "the control plane could only be read. Raise --quota-backend-bytes first, in etcd.yaml or in the configuration \
                (etcd.local.extraArgs), and defragment afterwards. To restore all the same: --force";
    found.doubt("EtcdQuota", true, message, hint);
}

/// etcdutl restores such a file with --skip-hash-check only. Here all of its pages and records are read in any case.
fn hash(restore: &Restore, found: &mut Survey) {
    if restore.source.unhashed {
        found.warnings.push(format!(
            "{} has no hash at its end, as the copy of a member's own file: its structure and its records are sound, but nothing tells \
             whether a value in it was changed",
            restore.source.file.display()
        ));
    }
}

/// Major and minor.
fn line(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.trim_start_matches('v').split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

async fn keys(host: &dyn Probe, restore: &Restore, found: &mut Survey) -> Result<(), PhaseError> {
    let backed_up = &restore.source.fingerprints;
    if restore.source.plain {
        let text = "a plain snapshot does not say which keys belong to it: with those of another cluster, no token and no \
                    client certificate of the snapshot's time works";
        found.warnings.push(text.into());
    }
    if !restore.source.plain && backed_up.is_empty() {
        let message = "the backup does not say which keys it belongs to".to_owned();
        found.doubt("Keys", true, message, "when it is surely this cluster's: --force");
    }
    let (mut files, mut contents) = (vec![], BTreeMap::new());
    for (_, file) in KEYS {
        if let Some(bytes) = host.read(&restore.node.pki.join(file)).await? {
            let path = restore.node.pki.join(file).display().to_string();
            let size = bytes.len() as u64;
            files.push(File { path: path.clone(), size, sha256: String::new(), mode: 0, uid: 0, gid: 0 });
            contents.insert(path, bytes);
        }
    }
    let here = collect::fingerprints(&files, &contents, &restore.node.pki);
    let mut wrong = vec![];
    for (name, file) in KEYS {
        let Some(theirs) = backed_up.get(name) else { continue };
        let path = restore.node.pki.join(file);
        match here.get(name) {
            Some(ours) if ours == theirs => {}
            Some(_) => wrong.push(format!("{} has another key", path.display())),
            None => wrong.push(format!("{} is missing or cannot be read", path.display())),
        }
    }
    if !wrong.is_empty() {
        let message = format!("the keys of this machine are not those of the backup: {}", wrong.join("; "));
        let file = restore.source.file.display();
        let unpack = if restore.source.file.extension().is_some_and(|extension| extension == "age") {
            format!("age -d -i KEY {file} > FILE; tar -xf FILE")
        } else {
            format!("tar -xf {file}")
        };
        let hint = format!(
            "tokens, client certificates or members of the backup's cluster would not be accepted. The matching files are in \
             the archive: `{unpack} -C DIR files/etc/kubernetes/pki`. To restore all the same: --force"
        );
        found.doubt("Keys", true, message, &hint);
    }
    Ok(())
}

async fn encryption(host: &dyn Probe, restore: &Restore, found: &mut Survey) -> Result<(), PhaseError> {
    let Some(theirs) = &restore.source.encryption else { return Ok(()) };
    let Some(path) = &restore.node.encryption else {
        let message = format!(
            "objects in the backup are encrypted as {} told its API server, and that of this machine is started without",
            theirs.path
        );
        let hint = format!(
            "nobody could read them, Secrets above all. Put the file from the archive (files{}) in its place, and \
             --encryption-provider-config with its volume into kube-apiserver.yaml. To restore all the same: --force",
            theirs.path
        );
        found.doubt("Encryption", true, message, &hint);
        return Ok(());
    };
    let here = host.read(path).await?.map(|bytes| sha256_hex(&bytes));
    if here.as_ref() != Some(&theirs.sha256) {
        found.warnings.push(format!(
            "{} is not as {} was when the backup was made: what was written with a key that is no longer in it cannot be read",
            path.display(),
            theirs.path
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rkadm_core::{
        etcd::Member,
        host::fake::{FakeHost, World},
    };

    use super::*;
    use crate::restore::Encryption;

    #[test]
    fn a_file_without_its_hash_is_told_of() {
        let told = |unhashed| {
            let mut restore = Restore::default();
            (restore.source.unhashed, restore.source.file) = (unhashed, "/srv/db".into());
            let mut found = Survey::default();
            data(&restore, &mut found);
            found.told(false)
        };
        assert!(told(true)[0].starts_with("/srv/db has no hash at its end"), "{:?}", told(true));
        assert_eq!(told(false), Vec::<String>::new());
    }

    #[test]
    fn data_of_a_newer_etcd_is_refused_and_of_an_older_one_is_not() {
        let found = |data: Option<&str>, tag: &str| {
            let mut restore = Restore::default();
            restore.source.storage_version = data.map(str::to_owned);
            restore.node.version = Some(tag.into());
            let mut found = Survey::default();
            version(&restore, &mut found);
            found.doubts.len()
        };
        assert_eq!(found(Some("3.7.0"), "3.6.5-0"), 1);
        assert_eq!(found(Some("3.6.0"), "3.6.5-0"), 0);
        assert_eq!(found(None, "3.6.5-0"), 0);
        assert_eq!(found(Some("3.6.0"), "v3.10.0"), 0);
    }

    #[tokio::test]
    async fn an_etcd_whose_image_is_named_by_its_digest_is_asked_for_its_version() {
        let told = async |serves: bool| {
            let member = Member {
                id: 9,
                name: "node9".into(),
                peer_urls: vec![],
                client_urls: vec!["https://10.0.0.9:2379".into()],
                is_learner: false,
            };
            let world = World { others_serve: serves, members: vec![member], ..World::ready() };
            let host = FakeHost::new(world);
            let mut restore = Restore::default();
            restore.node.access.endpoints = vec!["https://10.0.0.9:2379".into()];
            restore.source.storage_version = Some("9.0.0".into());
            let mut found = Survey::default();
            belongs(&host, &restore, &mut found).await.unwrap();
            let refused = found.doubts.iter().any(|doubt| doubt.finding.check == "EtcdVersion");
            (refused, found.warnings.iter().any(|it| it.contains("named by its digest alone")))
        };
        assert_eq!(told(true).await, (true, false));
        assert_eq!(told(false).await, (false, true));
    }

    #[tokio::test]
    async fn encrypted_objects_want_an_api_server_that_reads_them() {
        let host = FakeHost::new(World::ready().with_file("/enc.yaml", "keys"));
        let found = async |of_backup: Option<&str>, here: Option<&str>| {
            let mut restore = Restore::default();
            restore.source.encryption = of_backup
                .map(|text| Encryption { path: "/srv/enc.yaml".into(), sha256: sha256_hex(text.as_bytes()) });
            restore.node.encryption = here.map(Into::into);
            let mut found = Survey::default();
            encryption(&host, &restore, &mut found).await.unwrap();
            (found.against(false).into_iter().map(|it| it.message).collect::<String>(), found.warnings)
        };
        assert_eq!(found(None, None).await, (String::new(), vec![]));
        assert_eq!(found(None, Some("/enc.yaml")).await, (String::new(), vec![]));
        assert_eq!(found(Some("keys"), Some("/enc.yaml")).await, (String::new(), vec![]));
        let (_, other) = found(Some("other keys"), Some("/enc.yaml")).await;
        assert!(other[0].starts_with("/enc.yaml is not as /srv/enc.yaml was"), "{other:?}");
        let (against, _) = found(Some("keys"), None).await;
        assert!(against.contains("as /srv/enc.yaml told its API server"), "{against}");
    }
}
