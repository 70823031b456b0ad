//! `certs renew` on a machine that is a directory: what is replaced, what is kept, what stops it. Restarts are proved on
//! real nodes.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use insta::assert_snapshot;
use rkadm_core::pki::{CertSpec, CertUsage, Certificate, PrivateKey, Sans, issue, issue_ca};
use serde_json::Value;

use crate::machine::{CONFIG, Machine, is_root, tool};

fn with_kubeconfigs() -> Machine {
    let machine = Machine::with_certificates();
    machine.phase("kubeconfig all").succeeds();
    machine
}

/// What a certificate says, without what is new in each one.
fn says(machine: &Machine, file: &str) -> String {
    let shown =
        ["x509", "-noout", "-text", "-certopt", "no_serial,no_sigdump,no_pubkey,no_validity", "-in", file];
    tool(&machine.pki(""), "openssl", &shown)
}

#[test]
fn everything_is_renewed_with_the_same_names_and_new_keys() {
    if !is_root() {
        return;
    }
    let machine = with_kubeconfigs();
    let names = ["apiserver", "apiserver-kubelet-client", "front-proxy-client", "etcd/server", "etcd/peer"];
    let before = names.map(|name| says(&machine, &format!("{name}.crt")));
    let (old_files, old_ca) = (machine.tree("/etc"), fs::read(machine.pki("ca.crt")).unwrap());
    let ran = machine.rkadm("certs renew all --no-restart -o json");
    ran.succeeds();
    let result: Value = serde_json::from_str(&ran.stdout()).unwrap();
    let renewed: Vec<_> =
        result["renewed"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(renewed.len(), 11, "{renewed:?}");
    assert_eq!(result["notRenewed"], serde_json::json!([]));
    assert_eq!(names.map(|name| says(&machine, &format!("{name}.crt"))), before);
    assert_eq!(fs::read(machine.pki("ca.crt")).unwrap(), old_ca, "authorities are not renewed");
    for (path, (mode, content)) in machine.tree("/etc") {
        let (old_mode, old) = &old_files[&path];
        assert_eq!(mode, *old_mode, "{path}");
        let kept =
            ["ca.crt", "ca.key", "sa.key", "sa.pub", "kubelet.conf"].iter().any(|name| path.ends_with(name));
        if !content.is_empty() {
            assert_eq!(content == *old, kept, "{path}");
        }
    }
    tool(&machine.pki(""), "openssl", &["verify", "-CAfile", "ca.crt", "apiserver.crt"]);
    tool(&machine.pki(""), "openssl", &["verify", "-CAfile", "etcd/ca.crt", "etcd/peer.crt"]);
    // And what was made is taken for good by the rest of rkadm.
    machine.phase("certs all").succeeds();
    machine.phase("kubeconfig all").succeeds();
}

#[test]
fn one_of_them_and_what_is_missing() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let year = regex::Regex::new(r"valid until .*").unwrap();
    let ran = machine.rkadm("certs renew apiserver front-proxy-client --no-restart");
    ran.succeeds();
    assert_snapshot!(year.replace_all(&ran.stdout(), "valid until <DATE>"), @r#"
apiserver renewed, valid until <DATE>
front-proxy-client renewed, valid until <DATE>
"#);
    assert_snapshot!(machine.rkadm("certs renew admin.conf --no-restart").report(), @r#"
exit 1
--- stderr
operation <ULID>
  preflight                              not applicable: nothing will be restarted
  renew/admin.conf                       failed
Error: phase renew/admin.conf: /etc/kubernetes/admin.conf is missing, so there is nothing to renew
  Nothing was changed on this machine.
Hint: `rkadm init phase certs` and `rkadm init phase kubeconfig` make what is missing
"#);
    let ran = machine.rkadm("certs renew all --no-restart");
    ran.succeeds();
    assert!(
        ran.stdout().contains("admin.conf not renewed: /etc/kubernetes/admin.conf is missing"),
        "{}",
        ran.stdout()
    );
}

#[test]
fn validity_and_algorithm_are_those_of_the_old_one_or_of_the_configuration() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let short = format!("{CONFIG}certificateValidityPeriod: 100h0m0s\n");
    machine.with_config("init phase certs all", &short).succeeds();
    let hours = |machine: &Machine| {
        let ran = machine.rkadm("certs check-expiration -o json");
        ran.succeeds();
        let found: Value = serde_json::from_str(&ran.stdout()).unwrap();
        let all = found["certificates"].as_array().unwrap();
        all.iter().find(|one| one["name"] == "apiserver").unwrap()["residualTime"].as_i64().unwrap() / 3600
    };
    machine.rkadm("certs renew apiserver --no-restart").succeeds();
    assert_eq!(hours(&machine), 99);
    let longer = CONFIG.replace("ECDSA-P256", "RSA-2048") + "certificateValidityPeriod: 200h0m0s\n";
    machine.with_config("certs renew apiserver --no-restart", &longer).succeeds();
    assert_eq!(hours(&machine), 199);
    let key = fs::read_to_string(machine.pki("apiserver.key")).unwrap();
    assert!(key.starts_with("-----BEGIN RSA PRIVATE KEY"), "{key}");
}

#[test]
fn names_come_from_the_configuration_when_asked_for() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let config = format!("{CONFIG}apiServer: {{certSANs: [api.example.com]}}\n");
    machine.with_config("certs renew apiserver --no-restart", &config).succeeds();
    assert!(!says(&machine, "apiserver.crt").contains("api.example.com"));
    machine.with_config("certs renew apiserver --no-restart --names-from-config", &config).succeeds();
    assert!(says(&machine, "apiserver.crt").contains("DNS:api.example.com"));
    let ran = machine.rkadm("certs renew apiserver --names-from-config");
    assert!(ran.stderr().contains("--config"), "{}", ran.stderr());
}

#[test]
fn without_the_key_of_the_authority() {
    if !is_root() {
        return;
    }
    let machine = with_kubeconfigs();
    fs::remove_file(machine.pki("ca.key")).unwrap();
    assert_snapshot!(machine.rkadm("certs renew apiserver").report(), @r#"
exit 1
--- stderr
operation <ULID>
  preflight                              not applicable: there are no static pods of a control plane here
  renew/apiserver                        failed
Error: phase renew/apiserver: /etc/kubernetes/pki/ca.key is not here, and apiserver cannot be renewed without it
  Nothing was changed on this machine.
Hint: where the authority's key is kept: `rkadm certs generate-csr` here, `rkadm certs sign` there
"#);
    let ran = machine.rkadm("certs renew all --no-restart");
    ran.succeeds();
    assert!(
        ran.stdout().contains("apiserver not renewed: /etc/kubernetes/pki/ca.key is kept elsewhere"),
        "{}",
        ran.stdout()
    );
    assert!(ran.stdout().contains("etcd-server renewed"), "{}", ran.stdout());
}

#[test]
fn a_certificate_that_was_edited_by_hand() {
    if !is_root() {
        return;
    }
    let machine = with_kubeconfigs();
    let pem = fs::read_to_string(machine.pki("apiserver.crt")).unwrap();
    let good =
        STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    // A letter of its name: it can be read. Its first byte: it cannot.
    let name = good.windows(14).position(|window| window == b"kube-apiserver").unwrap();
    for (at, words) in [(name, "or was changed since"), (0, "/pki/apiserver.crt cannot be used: ")] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let text = STANDARD.encode(bytes);
        let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        fs::write(machine.pki("apiserver.crt"), text).unwrap();
        let before = machine.tree("/etc");
        let text = machine.rkadm("certs renew apiserver --no-restart").report();
        assert!(text.starts_with("exit 1"), "{text}");
        assert!(text.contains(words) && text.contains("--names-from-config"), "{text}");
        assert!(machine.tree("/etc") == before, "nothing is changed");
    }
    machine.with_config("certs renew apiserver --no-restart --names-from-config", CONFIG).succeeds();
    tool(&machine.pki(""), "openssl", &["verify", "-CAfile", "ca.crt", "apiserver.crt"]);
}

#[test]
fn of_all_the_one_that_somebody_else_signed_is_left_as_it_is() {
    if !is_root() {
        return;
    }
    let machine = with_kubeconfigs();
    // Signed by the authority of etcd, which the API server's clients do not ask.
    for file in ["crt", "key"] {
        fs::copy(machine.pki(&format!("etcd/server.{file}")), machine.pki(&format!("apiserver.{file}")))
            .unwrap();
    }
    let (old, other) =
        (fs::read(machine.pki("apiserver.crt")).unwrap(), fs::read(machine.pki("etcd/peer.crt")).unwrap());
    let ran = machine.rkadm("certs renew all --no-restart -o json");
    ran.succeeds();
    let result: Value = serde_json::from_str(&ran.stdout()).unwrap();
    assert_eq!(result["renewed"].as_array().unwrap().len(), 10, "{result}");
    assert_eq!(result["notRenewed"][0]["name"], "apiserver", "{result}");
    assert!(result["notRenewed"][0]["why"].as_str().unwrap().contains("was not signed by"), "{result}");
    assert_eq!(fs::read(machine.pki("apiserver.crt")).unwrap(), old);
    assert_ne!(fs::read(machine.pki("etcd/peer.crt")).unwrap(), other);
    assert!(ran.stderr().contains("it is left as it is"), "{}", ran.stderr());
    // Authorities that were replaced signed none of them: whoever does this by the clock must not take it for done.
    let replaced = with_kubeconfigs();
    for name in ["ca", "etcd/ca", "front-proxy-ca"] {
        for file in ["crt", "key"] {
            let name = format!("{name}.{file}");
            fs::copy(machine.pki(&name), replaced.pki(&name)).unwrap();
        }
    }
    let before = replaced.tree("/etc");
    let ran = replaced.rkadm("certs renew all --no-restart");
    let stderr = ran.exits(1).stderr();
    assert!(stderr.contains("nothing was renewed: none of the certificates was signed by"), "{stderr}");
    assert!(replaced.tree("/etc") == before, "nothing is changed");
    // Whoever names it learns why not, and how.
    let ran = machine.rkadm("certs renew apiserver --no-restart");
    assert!(ran.exits(1).stderr().contains("--names-from-config"), "{}", ran.stderr());
}

#[test]
fn an_authority_that_expired_or_has_another_key() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let old = fs::read(machine.pki("ca.key")).unwrap();
    fs::copy(machine.pki("etcd/ca.key"), machine.pki("ca.key")).unwrap();
    assert_snapshot!(machine.rkadm("certs renew apiserver").report(), @r#"
exit 1
--- stderr
operation <ULID>
  preflight                              not applicable: there are no static pods of a control plane here
  renew/apiserver                        failed
Error: phase renew/apiserver: /etc/kubernetes/pki/ca.key does not belong to /etc/kubernetes/pki/ca.crt
  Nothing was changed on this machine.
Hint: bring the certificate and the key of the cluster's authority
"#);
    fs::write(machine.pki("ca.key"), old).unwrap();
    let spec = CertSpec {
        common_name: "kubernetes".into(),
        organizations: vec![],
        sans: Sans::default(),
        usage: CertUsage::Ca,
        validity: std::time::Duration::from_hours(24),
    };
    let key = PrivateKey::from_pem(&fs::read(machine.pki("ca.key")).unwrap()).unwrap();
    let ca = issue_ca(&spec, &key, "2020-01-01T00:00:00Z".parse().unwrap()).unwrap();
    fs::write(machine.pki("ca.crt"), ca.to_pem()).unwrap();
    let report = machine.rkadm("certs renew apiserver").report();
    assert!(report.contains("/etc/kubernetes/pki/ca.crt expired on "), "{report}");
    assert!(report.contains("the cluster needs a new authority first"), "{report}");
}

#[test]
fn a_dry_run_changes_nothing() {
    if !is_root() {
        return;
    }
    let machine = with_kubeconfigs();
    let before = machine.tree("/");
    let ran = machine.rkadm("certs renew apiserver admin.conf --no-restart --dry-run");
    ran.succeeds();
    assert_snapshot!(ran.stdout(), @r#"
preflight (not applicable: nothing will be restarted)
renew/apiserver
  - replace /etc/kubernetes/pki/apiserver.key (mode 0600): new ECDSA-P256 private key
  - replace /etc/kubernetes/pki/apiserver.crt (mode 0644): certificate signed by /etc/kubernetes/pki/ca.crt, CN=kube-apiserver, valid for cp1 kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local 10.96.0.1 192.0.2.10
  - record renewed apiserver = true
renew/admin.conf
  - replace /etc/kubernetes/admin.conf (mode 0600): the same kubeconfig with a new client certificate, CN=kubernetes-admin O=kubeadm:cluster-admins
  - record renewed admin.conf = true
"#);
    assert!(machine.tree("/") == before);
}

#[test]
fn a_failure_in_the_middle_brings_the_old_ones_back() {
    if !is_root() {
        return;
    }
    let machine = with_kubeconfigs();
    fs::write(machine.path("/etc/kubernetes/scheduler.conf"), "not: a kubeconfig\n").unwrap();
    let before = machine.tree("/etc");
    let ran = machine.rkadm("certs renew all --no-restart");
    assert!(ran.report().starts_with("exit 1"), "{}", ran.report());
    assert!(ran.stderr().contains("scheduler.conf cannot be used"), "{}", ran.stderr());
    assert!(machine.tree("/etc") == before, "the certificates renewed before it are the old ones again");
}

#[test]
fn a_renewal_that_stopped_is_resumed_where_it_was() {
    if !is_root() {
        return;
    }
    let machine = with_kubeconfigs();
    let good = fs::read(machine.path("/etc/kubernetes/scheduler.conf")).unwrap();
    fs::write(machine.path("/etc/kubernetes/scheduler.conf"), "not: a kubeconfig\n").unwrap();
    let ran = machine.rkadm("certs renew all --no-restart --on-failure stop");
    assert!(ran.report().starts_with("exit 5"), "{}", ran.report());
    let half = fs::read(machine.pki("apiserver.crt")).unwrap();
    fs::write(machine.path("/etc/kubernetes/scheduler.conf"), good).unwrap();
    let ran = machine.rkadm("op resume");
    ran.succeeds();
    assert!(ran.stdout().contains("scheduler.conf renewed"), "{}", ran.stdout());
    assert_eq!(fs::read(machine.pki("apiserver.crt")).unwrap(), half, "not renewed a second time");
}

/// Puts a certificate of the same names in the place of this one that ended long ago; returns the one that was there.
fn expire(machine: &Machine) -> Certificate {
    let ca = Certificate::from_pem(&fs::read(machine.pki("ca.crt")).unwrap()).unwrap();
    let ca_key = PrivateKey::from_pem(&fs::read(machine.pki("ca.key")).unwrap()).unwrap();
    let key = PrivateKey::from_pem(&fs::read(machine.pki("apiserver.key")).unwrap()).unwrap();
    let old = Certificate::from_pem(&fs::read(machine.pki("apiserver.crt")).unwrap()).unwrap();
    let year = std::time::Duration::from_hours(8760);
    let spec = CertSpec::of(&old, &ca, year).unwrap();
    let expired = issue(&spec, &key, &ca, &ca_key, "2024-01-01T00:00:00Z".parse().unwrap()).unwrap();
    fs::write(machine.pki("apiserver.crt"), expired.to_pem()).unwrap();
    old
}

/// The main use at three in the morning.
#[test]
fn certificates_that_have_expired_are_renewed() {
    if !is_root() {
        return;
    }
    let machine = with_kubeconfigs();
    let old = expire(&machine);
    machine.rkadm("certs check-expiration --fail-within 1h").exits(1);
    machine.rkadm("certs renew apiserver --no-restart").succeeds();
    machine.rkadm("certs check-expiration --fail-within 8000h").succeeds();
    let new = Certificate::from_pem(&fs::read(machine.pki("apiserver.crt")).unwrap()).unwrap();
    assert_eq!(new.sans(), old.sans());
}

#[test]
fn what_has_expired_is_not_brought_back_when_a_later_one_fails() {
    if !is_root() {
        return;
    }
    let machine = with_kubeconfigs();
    let broken = |machine: &Machine| {
        fs::write(machine.path("/etc/kubernetes/scheduler.conf"), "not: a kubeconfig\n").unwrap();
        machine.rkadm("certs renew all --no-restart")
    };
    expire(&machine);
    let ran = broken(&machine);
    assert!(ran.report().starts_with("exit 5"), "{}", ran.report());
    let kept = Certificate::from_pem(&fs::read(machine.pki("apiserver.crt")).unwrap()).unwrap();
    assert!(kept.not_after() > jiff::Timestamp::now(), "{}", kept.not_after());
    // What is good comes back.
    let machine = with_kubeconfigs();
    let before = fs::read(machine.pki("apiserver.crt")).unwrap();
    broken(&machine).exits(1);
    assert_eq!(fs::read(machine.pki("apiserver.crt")).unwrap(), before);
}

#[test]
fn a_key_stays_with_its_owner() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    for file in ["apiserver.key", "apiserver.crt"] {
        chown(machine.pki(file), Some(1234), Some(1235)).unwrap();
    }
    machine.rkadm("certs renew apiserver --no-restart").succeeds();
    for file in ["apiserver.key", "apiserver.crt"] {
        let meta = fs::metadata(machine.pki(file)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (1234, 1235), "{file}");
    }
}

#[test]
fn operations_keep_their_order_when_the_clock_is_set_back() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let id = machine.operations().pop().unwrap();
    // As if it had been begun in the year 10000.
    let later = format!("7{}", &id[1..]);
    let dir = machine.path("/var/lib/rkadm/operations");
    fs::rename(dir.join(format!("{id}.jsonl")), dir.join(format!("{later}.jsonl"))).unwrap();
    machine.rkadm("certs renew apiserver --no-restart").succeeds();
    let newest = machine.operations().pop().unwrap();
    assert!(newest > later, "{newest} {later}");
    assert!(machine.rkadm("op show").stdout().contains("certs renew apiserver"));
}

#[test]
fn an_authority_that_ends_first_is_mentioned() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let short =
        format!("{CONFIG}caCertificateValidityPeriod: 1000h0m0s\ncertificateValidityPeriod: 500h0m0s\n");
    machine.with_config("init phase certs all", &short).succeeds();
    let ran = machine.rkadm("certs renew apiserver --no-restart");
    assert!(!ran.succeeds().stderr().contains("ends first"), "{}", ran.stderr());
    let longer = format!("{CONFIG}certificateValidityPeriod: 2000h0m0s\n");
    let ran = machine.with_config("certs renew apiserver --no-restart", longer);
    let stderr = ran.succeeds().stderr();
    assert!(stderr.contains("apiserver: the authority /etc/kubernetes/pki/ca.crt ends first"), "{stderr}");
}

/// Where the API server has its certificates is where they are renewed, and looked at.
#[test]
fn a_directory_of_ones_own_is_found_in_the_manifest() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    fs::create_dir_all(machine.path("/srv")).unwrap();
    fs::rename(machine.path("/etc/kubernetes/pki"), machine.path("/srv/pki")).unwrap();
    fs::create_dir_all(machine.path("/etc/kubernetes/manifests")).unwrap();
    fs::write(
        machine.path("/etc/kubernetes/manifests/kube-apiserver.yaml"),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\nspec:\n  containers:\n  \
         - name: kube-apiserver\n    image: x\n    command: [kube-apiserver, --client-ca-file=/srv/pki/ca.crt]\n    \
         volumeMounts: [{name: pki, mountPath: /srv/pki}]\n  volumes: [{name: pki, hostPath: {path: /srv/pki}}]\n",
    )
    .unwrap();
    let before = fs::read(machine.path("/srv/pki/apiserver.crt")).unwrap();
    machine.rkadm("certs renew apiserver --no-restart").succeeds();
    assert_ne!(before, fs::read(machine.path("/srv/pki/apiserver.crt")).unwrap());
    let shown = machine.rkadm("certs check-expiration");
    shown.succeeds();
    assert!(!shown.stdout().contains("!MISSING! apiserver "), "{}", shown.stdout());
    assert!(!machine.path("/etc/kubernetes/pki").exists());
}
