//! Certificates, keys and kubeconfigs that are there already and cannot be used.

use std::{fs, time::Duration};

use insta::assert_snapshot;
use rkadm_core::pki::{CertSpec, CertUsage, KeyAlgorithm, PrivateKey, Sans, issue_ca};

use crate::machine::{CONFIG, Machine, PKI, is_root, tool};

/// Runs the phases, expects that they are refused, and that nothing is changed but rkadm's own records.
fn refused(machine: &Machine, phases: &str) -> String {
    let before = machine.tree("/etc");
    let report = machine.phase(phases).exits(1).report();
    assert!(machine.tree("/etc") == before, "{report}\nchanged: {}", machine.listing("/etc"));
    let planned = machine.phase(&format!("{phases} --dry-run")).exits(1).report();
    assert!(planned.contains("Error: phase "), "a dry run says it too: {planned}");
    report
}

/// A self-signed certificate by openssl, and its key.
fn openssl_pair(machine: &Machine, name: &str, extensions: &str) {
    fs::create_dir_all(machine.path(PKI)).unwrap();
    let (cert, key) = (machine.pki(&format!("{name}.crt")), machine.pki(&format!("{name}.key")));
    let args =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"];
    let args =
        args.iter().map(Into::into).chain(["-subj", "/CN=kubernetes", "-addext", extensions].map(Into::into));
    let args: Vec<std::ffi::OsString> =
        args.chain(["-keyout".into(), key.into(), "-out".into(), cert.into()]).collect();
    tool(machine.dir(), "openssl", &args);
}

#[test]
fn authority_that_does_not_match_its_key() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    fs::copy(machine.pki("front-proxy-ca.key"), machine.pki("ca.key")).unwrap();
    assert_snapshot!(refused(&machine, "certs ca"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               failed
Error: phase certs/ca: /etc/kubernetes/pki/ca.crt cannot be used: the private key does not belong to the certificate
  Nothing was changed on this machine.
Hint: bring a usable pair, or move /etc/kubernetes/pki/ca.crt and /etc/kubernetes/pki/ca.key away to have new ones made
"#);
}

#[test]
fn authority_that_has_expired() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let spec = CertSpec {
        common_name: "kubernetes".into(),
        organizations: vec![],
        sans: Sans::default(),
        usage: CertUsage::Ca,
        validity: Duration::from_hours(24),
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let ca = issue_ca(&spec, &key, "2020-01-01T00:00:00Z".parse().unwrap()).unwrap();
    machine.write(&format!("{PKI}/ca.crt"), ca.to_pem());
    machine.write(&format!("{PKI}/ca.key"), key.to_pem().as_bytes());
    assert_snapshot!(refused(&machine, "certs all"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               failed
Error: phase certs/ca: /etc/kubernetes/pki/ca.crt cannot be used: expired on <TIME>, <DAYS> ago
  Nothing was changed on this machine.
Hint: bring a usable pair, or move /etc/kubernetes/pki/ca.crt and /etc/kubernetes/pki/ca.key away to have new ones made
"#);
}

#[test]
fn authority_that_is_none() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    openssl_pair(&machine, "ca", "basicConstraints=critical,CA:FALSE");
    assert_snapshot!(refused(&machine, "certs all"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               failed
Error: phase certs/ca: /etc/kubernetes/pki/ca.crt cannot be used: not a certificate authority: it may not sign certificates
  Nothing was changed on this machine.
Hint: bring a usable pair, or move /etc/kubernetes/pki/ca.crt and /etc/kubernetes/pki/ca.key away to have new ones made
"#);
}

#[test]
fn authority_made_by_openssl_is_used() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    openssl_pair(&machine, "ca", "keyUsage=critical,keyCertSign,digitalSignature");
    let before = fs::read(machine.pki("ca.crt")).unwrap();
    machine.phase("certs all").succeeds();
    assert_eq!(fs::read(machine.pki("ca.crt")).unwrap(), before);
    tool(&machine.path(PKI), "openssl", &["verify", "-CAfile", "ca.crt", "apiserver.crt"]);
}

#[test]
fn files_that_are_not_pem() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine
        .write(&format!("{PKI}/ca.crt"), "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n");
    machine.write(&format!("{PKI}/ca.key"), "");
    assert_snapshot!(refused(&machine, "certs ca"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               failed
Error: phase certs/ca: /etc/kubernetes/pki/ca.crt cannot be used: the certificate is damaged: Parsing requires 99 bytes/chars
  Nothing was changed on this machine.
Hint: bring a usable file, or move it away to have a new one made
"#);
    fs::remove_file(machine.pki("ca.crt")).unwrap();
    assert_snapshot!(refused(&machine, "certs ca"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               failed
Error: phase certs/ca: /etc/kubernetes/pki/ca.key cannot be used: no private key found in the PEM text
  Nothing was changed on this machine.
Hint: bring a usable file, or move it away to have a new one made
"#);
}

#[test]
fn authority_without_its_key_cannot_sign() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    for file in ["ca.key", "apiserver.crt", "apiserver.key"] {
        fs::remove_file(machine.pki(file)).unwrap();
    }
    assert_snapshot!(refused(&machine, "certs all"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               nothing to do: the authority's key is kept elsewhere
  certs/apiserver                        failed
Error: phase certs/apiserver: /etc/kubernetes/pki/apiserver.crt is missing and /etc/kubernetes/pki/ca.key is not here to sign it
  Nothing was changed on this machine.
Hint: with an authority kept elsewhere, bring every certificate that it signs and its key
"#);
}

#[test]
fn certificate_without_its_key() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    fs::remove_file(machine.pki("apiserver.key")).unwrap();
    assert_snapshot!(refused(&machine, "certs apiserver"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/apiserver                        failed
Error: phase certs/apiserver: /etc/kubernetes/pki/apiserver.crt exists without its key /etc/kubernetes/pki/apiserver.key
  Nothing was changed on this machine.
Hint: put the key beside it, or move the certificate away to have both made
"#);
}

#[test]
fn certificate_signed_by_another_authority() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    for end in ["crt", "key"] {
        let from = machine.pki(&format!("front-proxy-client.{end}"));
        fs::copy(from, machine.pki(&format!("apiserver-kubelet-client.{end}"))).unwrap();
    }
    assert_snapshot!(refused(&machine, "certs apiserver-kubelet-client"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/apiserver-kubelet-client         failed
Error: phase certs/apiserver-kubelet-client: /etc/kubernetes/pki/apiserver-kubelet-client.crt cannot be used: issued by "front-proxy-ca", not signed by the certificate authority "kubernetes" that is in place
  Nothing was changed on this machine.
Hint: bring a usable pair, or move /etc/kubernetes/pki/apiserver-kubelet-client.crt and /etc/kubernetes/pki/apiserver-kubelet-client.key away to have new ones made
"#);
}

#[test]
fn certificate_for_other_names_is_kept_and_that_is_said() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let config = CONFIG.replace("192.0.2.10", "192.0.2.77");
    assert_snapshot!(machine.with_config("init phase certs apiserver", config).report(), @r#"
exit 0
--- stderr
operation <ULID>
  certs/apiserver                        nothing to do: uses the existing pair (differs: not valid for 192.0.2.77)
"#);
}

#[test]
fn public_half_without_the_private_one() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    fs::remove_file(machine.pki("sa.key")).unwrap();
    assert_snapshot!(refused(&machine, "certs sa"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/sa                               failed
Error: phase certs/sa: /etc/kubernetes/pki/sa.pub exists without its private key /etc/kubernetes/pki/sa.key
  Nothing was changed on this machine.
Hint: bring the private key too, or move the public one away to have both made
"#);
}

#[test]
fn public_half_of_another_key() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    fs::copy(machine.pki("ca.key"), machine.pki("sa.key")).unwrap();
    assert_snapshot!(refused(&machine, "certs sa"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/sa                               failed
Error: phase certs/sa: /etc/kubernetes/pki/sa.pub is not the public half of /etc/kubernetes/pki/sa.key
  Nothing was changed on this machine.
Hint: bring a pair that belongs together, or move both away to have a new one made
"#);
}

#[test]
fn kubeconfig_for_another_server() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    machine.phase("kubeconfig all").succeeds();
    let file = machine.path("/etc/kubernetes/admin.conf");
    let other = fs::read_to_string(&file).unwrap().replace("192.0.2.10", "192.0.2.99");
    fs::write(&file, other).unwrap();
    // It may lead through a load balancer on purpose: kubeadm keeps such a file too, with a warning.
    let kept = machine.phase("kubeconfig admin");
    kept.succeeds();
    let warning = "Warning: /etc/kubernetes/admin.conf is kept: server is \"https://192.0.2.99:6443\", expected \"https://192.0.2.10:6443\"";
    assert!(kept.stderr().contains(warning), "{}", kept.stderr());
    fs::write(&file, "apiVersion: v1\nkind: Config\nusers: 5\n").unwrap();
    assert_snapshot!(refused(&machine, "kubeconfig admin"), @r#"
exit 1
--- stderr
operation <ULID>
  kubeconfig/admin                       failed
Error: phase kubeconfig/admin: /etc/kubernetes/admin.conf cannot be used: not a valid kubeconfig (line 3)
  Nothing was changed on this machine.
Hint: move /etc/kubernetes/admin.conf away to have a new one made
"#);
}

#[test]
fn kubeconfig_without_an_authority() {
    if !is_root() {
        return;
    }
    assert_snapshot!(refused(&Machine::new(), "kubeconfig all"), @r#"
exit 1
--- stderr
operation <ULID>
  kubeconfig/admin                       failed
Error: phase kubeconfig/admin: /etc/kubernetes/admin.conf is missing and /etc/kubernetes/pki/ca.crt is not here to sign its certificate
  Nothing was changed on this machine.
Hint: with an authority kept elsewhere, bring the kubeconfig files too; otherwise run `rkadm init phase certs ca` first
"#);
}

#[test]
fn certificates_directory_that_is_a_file() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write(PKI, "");
    assert_snapshot!(refused(&machine, "certs all"), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               failed
Error: phase certs/ca: /etc/kubernetes/pki is not a directory
  Nothing was changed on this machine.
Hint: move it away, or configure another directory
"#);
}
