//! `rkadm kubeconfig user`.

use std::{fs, time::Duration};

use insta::assert_snapshot;
use jiff::Timestamp;
use rkadm_core::{
    kubeconfig::Kubeconfig,
    pki::{CertSpec, CertUsage, KeyAlgorithm, PrivateKey, Sans, issue_ca},
};

use crate::machine::{Machine, PKI, tool};

const USER: &str = "kubeconfig user --config cluster.yaml --client-name bob";

#[test]
fn user_with_a_certificate() {
    let machine = Machine::with_certificates();
    let before = machine.tree(PKI);
    let ran = machine.rkadm(&format!("{USER} --org dev,ops --validity-period 48h"));
    let yaml = ran.succeeds().stdout();
    assert_eq!(ran.stderr(), "");
    assert_eq!(machine.tree(PKI), before);
    let file = Kubeconfig::from_yaml(&yaml).unwrap();
    let (cluster, user) = file.current().unwrap();
    machine.write_here("bob.crt", user.certificate().unwrap().unwrap().to_pem());
    machine.write_here("bob.key", user.key().unwrap().unwrap().to_pem().as_bytes());
    machine.write_here("ca.crt", cluster.authorities().unwrap().unwrap()[0].to_pem());
    assert_eq!(fs::read(machine.dir().join("ca.crt")).unwrap(), fs::read(machine.pki("ca.crt")).unwrap());
    tool(machine.dir(), "openssl", &["verify", "-purpose", "sslclient", "-CAfile", "ca.crt", "bob.crt"]);
    let subject = tool(machine.dir(), "openssl", &["x509", "-in", "bob.crt", "-noout", "-subject"]);
    assert_snapshot!(subject.trim(), @r#"
subject=O = dev + O = ops, CN = bob
"#);
    let left = user.certificate().unwrap().unwrap().not_after().duration_since(Timestamp::now());
    assert!((172_700..=172_800).contains(&left.as_secs()), "{left}");
    let key = tool(machine.dir(), "openssl", &["pkey", "-in", "bob.key", "-pubout"]);
    assert_eq!(key, tool(machine.dir(), "openssl", &["x509", "-in", "bob.crt", "-noout", "-pubkey"]));
    let shown: Vec<_> = yaml.lines().filter(|line| !line.contains("-data:")).collect();
    assert_snapshot!(shown.join("\n"), @r#"
apiVersion: v1
clusters:
- cluster:
    server: https://192.0.2.10:6443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: bob
  name: bob@kubernetes
current-context: bob@kubernetes
kind: Config
users:
- name: bob
  user:
"#);
}

#[test]
fn user_with_a_token_needs_no_key_of_the_authority() {
    let machine = Machine::with_certificates();
    fs::remove_file(machine.pki("ca.key")).unwrap();
    let yaml = machine.rkadm(&format!("{USER} --token s3cret")).succeeds().stdout();
    assert!(yaml.contains("token: s3cret") && !yaml.contains("client-"), "{yaml}");
    assert_snapshot!(machine.rkadm(USER).report(), @r#"
exit 1
--- stderr
Error: /etc/kubernetes/pki/ca.key is missing
Hint: run this on a control plane that has the keys of the cluster's authority
"#);
}

#[test]
fn without_a_configuration_it_is_the_cluster_of_this_machine() {
    let machine = Machine::with_certificates();
    assert_snapshot!(machine.rkadm("kubeconfig user --client-name bob").report(), @r#"
exit 1
--- stderr
Error: /etc/kubernetes/admin.conf is missing
Hint: run this on a control plane that has the keys of the cluster's authority
Hint: or describe the cluster with --config
"#);
    machine.phase("kubeconfig admin").succeeds();
    let theirs = fs::read_to_string(machine.path("/etc/kubernetes/admin.conf")).unwrap();
    let ours = machine.rkadm("kubeconfig user --client-name bob").succeeds().stdout();
    for field in ["server", "certificate-authority-data"] {
        let line = |text: &str| text.lines().find(|line| line.trim().starts_with(field)).unwrap().to_owned();
        assert_eq!(line(&ours), line(&theirs));
    }
    assert!(ours.contains("current-context: bob@kubernetes"), "{ours}");
}

#[test]
fn authorities_that_cannot_sign() {
    let machine = Machine::with_certificates();
    fs::copy(machine.pki("front-proxy-ca.key"), machine.pki("ca.key")).unwrap();
    assert_snapshot!(machine.rkadm(USER).report(), @r#"
exit 1
--- stderr
Error: /etc/kubernetes/pki/ca.key is not the key of ca.crt beside it
Hint: bring the key and the certificate of one authority
"#);
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
    assert_snapshot!(machine.rkadm(USER).report(), @r#"
exit 1
--- stderr
Error: /etc/kubernetes/pki/ca.crt expired on <TIME>
Hint: nothing that it signs is accepted: the cluster needs a new authority first
"#);
    machine.write(&format!("{PKI}/ca.crt"), "edited by hand");
    assert_snapshot!(machine.rkadm(USER).report(), @r#"
exit 1
--- stderr
Error: /etc/kubernetes/pki/ca.crt cannot be used: no certificate found in the PEM text
"#);
}

#[test]
fn what_is_asked_for_makes_no_sense_or_is_dangerous() {
    let machine = Machine::with_certificates();
    assert_snapshot!(machine.rkadm("kubeconfig user --config cluster.yaml").report(), @r#"
exit 2
--- stderr
error: the following required arguments were not provided:
  --client-name <NAME>

Usage: rkadm kubeconfig user --client-name <NAME> --config <FILE>

For more information, try '--help'.
"#);
    assert_snapshot!(machine.rkadm(&format!("{USER} --validity-period -1h")).report(), @r#"
exit 2
--- stderr
Error: --validity-period must be longer than nothing
"#);
    assert_snapshot!(machine.rkadm(&format!("{USER} --validity-period soon")).report(), @r#"
exit 2
--- stderr
error: invalid value 'soon' for '--validity-period <DURATION>': "soon" is not a duration such as "1h30m" or "300s"

For more information, try '--help'.
"#);
    let ran = machine.rkadm(&format!("{USER} --org system:masters --validity-period 100000h"));
    ran.succeeds();
    let stderr = ran.stderr();
    let (warnings, date) = stderr.rsplit_once(" on ").unwrap();
    assert!(date.trim().parse::<Timestamp>().is_ok(), "{stderr}");
    assert_snapshot!(warnings, @r#"
Warning: group system:masters: whoever holds this file may do anything, and RBAC cannot take it back
Warning: the authority expires before this certificate,
"#);
}
