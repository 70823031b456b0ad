//! The API server of a drill: the flags of the one that was backed up, with its keys, on the drill's etcd.

use std::{
    fs::OpenOptions,
    io::Write,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::{ApiOrder, DrillError, cell::CLIENT_URL};
use crate::{
    backup::open::Opened,
    kubeconfig::{Credentials, build},
    manifest::pod,
    pki::{CertSpec, CertUsage, Certificate, KeyAlgorithm, PrivateKey, Sans, issue},
    yaml,
};

/// Longer than any drill.
const VALIDITY: Duration = Duration::from_hours(24);
const PORT: u16 = 6443;
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// Flags that say how the data is to be read; all others are about how the server is reached and whom it lets in.
const CARRIED: [&str; 6] = [
    "service-cluster-ip-range",
    "service-account-issuer",
    "etcd-prefix",
    "storage-media-type",
    "feature-gates",
    "runtime-config",
];
/// They would be asked for on the cluster that lives, or by the clock change what is in etcd.
const NO_ADMISSION: &str =
    "MutatingAdmissionWebhook,ValidatingAdmissionWebhook,MutatingAdmissionPolicy,ValidatingAdmissionPolicy";

/// What the backup has of the API server.
struct Backed<'a> {
    opened: &'a Opened,
    pod: Pod,
}

impl Backed<'_> {
    /// The file that a flag names, by its path on the machine.
    fn file(&self, path: &Path) -> Option<&[u8]> {
        self.opened.files.get(path.to_str()?).map(Vec::as_slice)
    }

    fn path(&self, flag: &str) -> Option<PathBuf> {
        let path = PathBuf::from(pod::flag(&self.pod, flag)?);
        Some(pod::on_host(&self.pod, &path).unwrap_or(path))
    }

    fn needed(&self, flag: &str) -> Result<&[u8], DrillError> {
        let missing = || DrillError::NoApiServer(format!("it does not hold the file of --{flag}"));
        self.path(flag).and_then(|path| self.file(&path)).ok_or_else(missing)
    }
}

/// Writes what it needs.
pub fn prepare(program: PathBuf, opened: &Opened, dir: &Path) -> Result<ApiOrder, DrillError> {
    let text = opened.files.get(MANIFEST).ok_or_else(|| {
        let why = if opened.manifest.is_some() {
            "it holds no manifest of one"
        } else {
            "a plain snapshot has no keys"
        };
        DrillError::NoApiServer(why.into())
    })?;
    let pod = yaml::from_str(&String::from_utf8_lossy(text))
        .map_err(|error| DrillError::NoApiServer(format!("{MANIFEST}: {error}")))?;
    let backed = Backed { opened, pod };
    let mut arguments = vec![
        format!("--etcd-servers={CLIENT_URL}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        format!("--secure-port={PORT}"),
        "--endpoint-reconciler-type=none".into(),
        "--authorization-mode=RBAC".into(),
        "--allow-privileged=true".into(),
        format!("--disable-admission-plugins={NO_ADMISSION}"),
    ];
    for flag in CARRIED {
        arguments.extend(pod::flag(&backed.pod, flag).map(|value| format!("--{flag}={value}")));
    }
    for flag in ["service-account-signing-key-file", "service-account-key-file", "client-ca-file"] {
        let path = write(dir, flag, backed.needed(flag)?)?;
        arguments.push(format!("--{flag}={}", path.display()));
    }
    if backed.path("encryption-provider-config").is_some() {
        let path = write(dir, "encryption-provider-config", backed.needed("encryption-provider-config")?)?;
        arguments.push(format!("--encryption-provider-config={}", path.display()));
    }
    let kubeconfig = certificates(&backed, dir, &mut arguments)?;
    let prefix = pod::etcd_prefix(Some(&backed.pod));
    Ok(ApiOrder { program, arguments, kubeconfig, prefix })
}

/// A serving certificate and an administrator, signed by the authority of the backup: so its key is tried too.
fn certificates(backed: &Backed<'_>, dir: &Path, arguments: &mut Vec<String>) -> Result<PathBuf, DrillError> {
    let bad = |what: &str, error: &dyn std::fmt::Display| DrillError::NoApiServer(format!("{what}: {error}"));
    let ca_pem = backed.needed("client-ca-file")?;
    let key_path = backed.path("client-ca-file").map(|path| path.with_extension("key")).unwrap_or_default();
    let key_pem = backed.file(&key_path).ok_or_else(|| {
        DrillError::NoApiServer(format!("it does not hold {}, the key of its authority", key_path.display()))
    })?;
    let ca = Certificate::from_pem(ca_pem).map_err(|error| bad("its authority", &error))?;
    let ca_key = PrivateKey::from_pem(key_pem).map_err(|error| bad("the key of its authority", &error))?;
    let make = |name: &str, group: Option<&str>, usage: CertUsage| {
        let spec = CertSpec {
            common_name: name.into(),
            organizations: group.into_iter().map(str::to_owned).collect(),
            sans: match usage {
                CertUsage::Server => Sans { ips: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..Sans::default() },
                _ => Sans::default(),
            },
            usage,
            validity: VALIDITY,
        };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).map_err(|error| bad(name, &error))?;
        let signed = issue(&spec, &key, &ca, &ca_key, Timestamp::now());
        Ok::<_, DrillError>((signed.map_err(|error| bad("its authority cannot sign", &error))?, key))
    };
    let (certificate, key) = make("kube-apiserver", None, CertUsage::Server)?;
    let path = write(dir, "serving.crt", certificate.to_pem().as_bytes())?;
    arguments.push(format!("--tls-cert-file={}", path.display()));
    let path = write(dir, "serving.key", key.to_pem().as_bytes())?;
    arguments.push(format!("--tls-private-key-file={}", path.display()));
    let (certificate, key) = make("rkadm-drill", Some("system:masters"), CertUsage::Client)?;
    let credentials = Credentials::Certificate(&certificate, &key);
    let server = format!("https://127.0.0.1:{PORT}");
    let file = build("drill", &server, Some(ca_pem), "rkadm-drill", &credentials);
    write(dir, "admin.conf", file.to_yaml().as_bytes())
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, DrillError> {
    let path = dir.join(name);
    let mut options = OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(DrillError::io("write", &path))?;
    Ok(path)
}
