//! Fixtures of this module's tests.

use std::process::Command;

use jiff::Timestamp;

use super::list::{self, CA_VALIDITY, CertInputs, LEAF_VALIDITY};
use super::{Certificate, KeyAlgorithm, PrivateKey, issue_ca};

/// A CA of the list with an ECDSA key, which is quick to make.
pub struct Authority {
    pub cert: Certificate,
    pub key: PrivateKey,
}

impl Authority {
    pub fn new(id: &str, now: Timestamp) -> Self {
        Self::with(id, KeyAlgorithm::EcdsaP256, now)
    }

    pub fn with(id: &str, algorithm: KeyAlgorithm, now: Timestamp) -> Self {
        let key = PrivateKey::generate(algorithm).unwrap();
        let cert = issue_ca(&list::entry(id).unwrap().spec(&inputs()), &key, now).unwrap();
        Self { cert, key }
    }
}

/// Runs openssl and returns what it wrote to stdout and stderr; it must succeed.
pub fn openssl(args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).output().expect("the tests need the openssl command");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "openssl {args:?}: {text}");
    text
}

/// The inputs whose certificates by kubeadm 1.37 the tests quote.
pub fn inputs() -> CertInputs {
    let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    CertInputs {
        node_name: "node1".to_owned(),
        advertise_address: [10, 0, 0, 5].into(),
        dns_domain: "cluster.local".to_owned(),
        service_ip: [10, 96, 0, 1].into(),
        control_plane_host: Some("cp.example.com".to_owned()),
        api_server_sans: strings(&[
            "extra.example.com",
            "192.168.9.9",
            "*.wild.example.com",
            "node1",
            "10.0.0.5",
            "2001:db8::1",
        ]),
        etcd_server_sans: strings(&["etcd.example.com", "10.9.9.9"]),
        etcd_peer_sans: strings(&["peer.example.com"]),
        version: semver::Version::new(1, 37, 2),
        leaf_validity: LEAF_VALIDITY,
        ca_validity: CA_VALIDITY,
    }
}
