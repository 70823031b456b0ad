//! What we issue is read by other programs: openssl and rustls.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::pki::list::{ENTRIES, LEAF_VALIDITY, entry};
use crate::pki::testing::{Authority, inputs, openssl};
use crate::pki::{CertProblem, KeyAlgorithm, Sans};

fn leaf(id: &str, ca: &Authority, now: Timestamp) -> (Certificate, PrivateKey) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    (issue(&entry(id).unwrap().spec(&inputs()), &key, &ca.cert, &ca.key, now).unwrap(), key)
}

fn write(dir: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// openssl's description of a certificate without what differs between two of them.
fn described(cert: &Certificate) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "cert.pem", &cert.to_pem());
    openssl(&[
        "x509",
        "-in",
        &path,
        "-noout",
        "-text",
        "-certopt",
        "no_pubkey,no_sigdump,no_serial,no_validity",
    ])
    .lines()
    .map(|line| match line.trim_start() {
        id if id.len() == 59 && id.as_bytes()[2] == b':' => "<key id>",
        text => text.trim_end(),
    })
    .collect::<Vec<_>>()
    .join("\n")
}

/// The text is that of a certificate of kubeadm 1.37 for the same inputs.
#[test]
fn the_ca_is_kubeadms() {
    let ca = Authority::with("ca", KeyAlgorithm::Rsa2048, Timestamp::now());
    let expected = "\
Certificate:
Data:
Version: 3 (0x2)
Signature Algorithm: sha256WithRSAEncryption
Issuer: CN = kubernetes
Subject: CN = kubernetes
X509v3 extensions:
X509v3 Key Usage: critical
Digital Signature, Key Encipherment, Certificate Sign
X509v3 Basic Constraints: critical
CA:TRUE
X509v3 Subject Key Identifier:
<key id>
X509v3 Subject Alternative Name:
DNS:kubernetes";
    assert_eq!(described(&ca.cert), expected);
}

/// The text is that of a certificate of kubeadm 1.37 for the same inputs.
#[test]
fn the_api_server_certificate_is_kubeadms() {
    let now = Timestamp::now();
    let ca = Authority::with("ca", KeyAlgorithm::EcdsaP384, now);
    let expected = "\
Certificate:
Data:
Version: 3 (0x2)
Signature Algorithm: ecdsa-with-SHA384
Issuer: CN = kubernetes
Subject: CN = kube-apiserver
X509v3 extensions:
X509v3 Key Usage: critical
Digital Signature, Key Encipherment
X509v3 Extended Key Usage:
TLS Web Server Authentication
X509v3 Basic Constraints: critical
CA:FALSE
X509v3 Authority Key Identifier:
<key id>
X509v3 Subject Alternative Name:
DNS:*.wild.example.com, DNS:cp.example.com, DNS:extra.example.com, DNS:kubernetes, DNS:kubernetes.default, \
DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local, DNS:node1, IP Address:10.96.0.1, \
IP Address:10.0.0.5, IP Address:192.168.9.9, IP Address:2001:DB8:0:0:0:0:0:1";
    assert_eq!(described(&leaf("apiserver", &ca, now).0), expected);
}

#[test]
fn openssl_verifies_every_certificate_of_the_list() {
    let now = Timestamp::now();
    let authorities: Vec<_> =
        ["ca", "front-proxy-ca", "etcd-ca"].into_iter().map(|id| (id, Authority::new(id, now))).collect();
    for entry in ENTRIES {
        let Some(signer) = entry.ca else { continue };
        let ca = &authorities.iter().find(|(id, _)| *id == signer.id).unwrap().1;
        let (cert, key) = leaf(entry.id, ca, now);
        let dir = tempfile::tempdir().unwrap();
        let (ca_path, path) =
            (write(&dir, "ca.pem", &ca.cert.to_pem()), write(&dir, "cert.pem", &cert.to_pem()));
        let purposes: &[&str] = match entry.usage {
            CertUsage::Client => &["sslclient"],
            CertUsage::Server => &["sslserver"],
            _ => &["sslclient", "sslserver"],
        };
        for purpose in purposes {
            openssl(&["verify", "-x509_strict", "-CAfile", &ca_path, "-purpose", purpose, &path]);
        }
        assert_eq!(cert.check(&entry.spec(&inputs()), Some(&ca.cert), Some(&key), now), []);
        assert_eq!(cert.usage(), Some(entry.usage), "{}", entry.id);
    }
}

#[test]
fn validity_begins_five_minutes_ago_in_whole_seconds() {
    let now: Timestamp = "2026-11-23T17:16:03.9Z".parse().unwrap();
    let ca = Authority::new("ca", now);
    assert_eq!(ca.cert.not_before().to_string(), "2026-11-23T17:11:03Z");
    assert_eq!(ca.cert.not_after().to_string(), "2036-11-20T17:16:03Z");
    let serial = leaf("apiserver", &ca, now).0.serial();
    assert!(serial.len() <= 16 && !serial.starts_with('f'), "{serial}");
}

#[test]
fn dates_after_2049_are_generalized_time() {
    let late: Timestamp = "2045-01-01T00:00:00Z".parse().unwrap();
    let ca = Authority::new("ca", late);
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "ca.pem", &ca.cert.to_pem());
    assert!(openssl(&["asn1parse", "-in", &path]).contains("GENERALIZEDTIME   :20541230000000Z"));
}

#[test]
fn names_beyond_ascii_and_several_groups_are_written() {
    let now = Timestamp::now();
    let ca = Authority::new("ca", now);
    let spec = CertSpec {
        common_name: "josé@example.com".to_owned(),
        organizations: vec!["ops".to_owned(), "dev".to_owned()],
        sans: Sans::default(),
        usage: CertUsage::Client,
        validity: LEAF_VALIDITY,
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let cert = issue(&spec, &key, &ca.cert, &ca.key, now).unwrap();
    assert_eq!(cert.common_name(), spec.common_name);
    assert_eq!(cert.organizations(), ["dev", "ops"]);
    assert_eq!(cert.check(&spec, Some(&ca.cert), Some(&key), now), []);
}

/// A company CA may have several attributes of one type; its name must be copied as it is.
#[test]
fn a_ca_made_by_openssl_signs_and_openssl_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (key_path, cert_path) = (at("ca.key"), at("ca.crt"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &key_path,
        "-out",
        &cert_path,
        "-subj",
        "/DC=com/DC=example/O=a+O=b/CN=corp ca",
        "-days",
        "30",
        "-addext",
        "keyUsage=critical,keyCertSign",
    ]);
    let ca = Authority {
        cert: Certificate::from_pem(&std::fs::read(&cert_path).unwrap()).unwrap(),
        key: PrivateKey::from_pem(&std::fs::read(&key_path).unwrap()).unwrap(),
    };
    let (cert, _) = leaf("apiserver", &ca, Timestamp::now());
    assert!(cert.signed_by(&ca.cert));
    openssl(&["verify", "-x509_strict", "-CAfile", &cert_path, &write(&dir, "cert.pem", &cert.to_pem())]);
}

#[test]
fn issuers_that_cannot_sign_are_refused() {
    let now = Timestamp::now();
    let ca = Authority::new("ca", now);
    let (not_ca, not_ca_key) = leaf("apiserver", &ca, now);
    let spec = entry("apiserver").unwrap().spec(&inputs());
    let told = |result: Result<Certificate, IssueError>| result.unwrap_err().to_string();
    assert_eq!(
        told(issue(&spec, &not_ca_key, &not_ca, &not_ca_key, now)),
        "certificate \"kube-apiserver\" is not a certificate authority"
    );
    assert_eq!(
        told(issue(&spec, &not_ca_key, &ca.cert, &not_ca_key, now)),
        "the private key given for \"kubernetes\" does not belong to its certificate"
    );
    assert_eq!(told(issue_ca(&spec, &ca.key, now)), "a server certificate cannot be issued here");
    let nameless = CertSpec { common_name: String::new(), ..spec };
    assert_eq!(told(issue(&nameless, &ca.key, &ca.cert, &ca.key, now)), "the common name is empty");
}

#[test]
fn openssl_reads_our_signing_requests() {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let request = request(&entry("etcd-peer").unwrap().spec(&inputs()), &key).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "peer.csr", &request.to_pem());
    let text = openssl(&["req", "-in", &path, "-noout", "-verify", "-text"]);
    assert!(text.contains("verify OK") && text.contains("Subject: CN = node1"), "{text}");
    assert!(text.contains("DNS:localhost, DNS:node1, DNS:peer.example.com, IP Address:10.0.0.5"), "{text}");
}

#[test]
fn every_problem_is_found_and_told() {
    let now: Timestamp = "2026-11-23T17:16:03Z".parse().unwrap();
    let (ca, stranger) = (Authority::new("ca", now), Authority::new("ca", now));
    let (cert, key) = leaf("apiserver", &ca, now);
    let spec = entry("apiserver").unwrap().spec(&inputs());
    let told = |spec: &CertSpec, ca: &Authority, key: &PrivateKey, at: &str| {
        let problems = cert.check(spec, Some(&ca.cert), Some(key), at.parse().unwrap());
        problems.iter().map(|problem| (problem.is_fatal(), problem.to_string())).collect::<Vec<_>>()
    };
    let is = |fatal: bool, text: &str| vec![(fatal, text.to_owned())];
    let today = "2026-11-23T17:16:03Z";
    assert_eq!(
        told(&spec, &ca, &key, "2027-12-03T17:16:03Z"),
        is(true, "expired on 2027-11-23T17:16:03Z, 10 days ago")
    );
    assert_eq!(
        told(&spec, &ca, &key, "2026-11-23T12:11:03Z"),
        is(true, "not valid before 2026-11-23T17:11:03Z, in 5 hours; check the clock")
    );
    assert_eq!(
        told(&spec, &stranger, &key, today),
        is(
            true,
            "issued by \"kubernetes\", not signed by the certificate authority \"kubernetes\" that is in place"
        )
    );
    assert_eq!(
        told(&spec, &ca, &stranger.key, today),
        is(true, "the private key does not belong to the certificate")
    );
    let as_ca = entry("ca").unwrap().spec(&inputs());
    assert_eq!(
        told(&as_ca, &ca, &key, today),
        is(true, "not a certificate authority: it may not sign certificates")
    );
    let mut other = spec.clone();
    other.sans.add("new.example.com");
    other.sans.add("10.1.1.1");
    assert_eq!(told(&other, &ca, &key, today), is(false, "not valid for new.example.com, 10.1.1.1"));
    let other = CertSpec {
        common_name: "x".to_owned(),
        organizations: vec!["g".to_owned()],
        usage: CertUsage::Client,
        ..spec
    };
    assert_eq!(
        told(&other, &ca, &key, today),
        [
            (true, "not usable as client certificate".to_owned()),
            (false, "common name is \"kube-apiserver\", expected \"x\"".to_owned()),
            (false, "organizations are [], expected [\"g\"]".to_owned()),
        ]
    );
}

#[test]
fn a_certificate_that_outlives_its_ca_is_issued_but_told() {
    let now = Timestamp::now();
    let ca = Authority::new("ca", now);
    let spec = CertSpec { validity: LEAF_VALIDITY * 11, ..entry("apiserver").unwrap().spec(&inputs()) };
    let cert = issue(&spec, &ca.key, &ca.cert, &ca.key, now).unwrap();
    assert!(matches!(
        cert.check(&spec, Some(&ca.cert), None, now).as_slice(),
        [CertProblem::OutlivesCa { .. }]
    ));
}

#[test]
fn bundles_and_other_sections_are_read() {
    let now = Timestamp::now();
    let ca = Authority::new("ca", now);
    let bundle =
        format!("# old\n{}{}{}", *ca.key.to_pem(), ca.cert.to_pem(), Authority::new("ca", now).cert.to_pem());
    assert_eq!(Certificate::from_pem(bundle.as_bytes()).unwrap(), ca.cert);
    assert_eq!(Certificate::bundle_from_pem(bundle.as_bytes()).unwrap().len(), 2);
    assert_eq!(Certificate::from_pem(b"x").unwrap_err(), CertificateError::NoCertificate);
}

/// The pin is what `openssl x509 -pubkey | openssl pkey -pubin -outform der | sha256sum` gives.
#[test]
fn the_pin_is_openssls() {
    let ca = Authority::new("ca", Timestamp::now());
    let dir = tempfile::tempdir().unwrap();
    let cert = write(&dir, "ca.pem", &ca.cert.to_pem());
    let public = write(&dir, "pub.pem", &openssl(&["x509", "-in", &cert, "-noout", "-pubkey"]));
    let der = dir.path().join("pub.der").to_str().unwrap().to_owned();
    openssl(&["pkey", "-pubin", "-in", &public, "-outform", "DER", "-out", &der]);
    let digest = openssl(&["dgst", "-sha256", "-r", &der]);
    assert_eq!(ca.cert.spki_hash(), format!("sha256:{}", digest.split_whitespace().next().unwrap()));
}

/// A TLS 1.3 handshake in memory with both sides authenticated, as between the API server and etcd.
#[test]
fn rustls_accepts_both_sides() {
    let now = Timestamp::now();
    let ca = Authority::new("etcd-ca", now);
    let (server, client) = (leaf("etcd-server", &ca, now), leaf("apiserver-etcd-client", &ca, now));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.cert.der().to_vec())).unwrap();
    let roots = Arc::new(roots);
    let chain = |side: &(Certificate, PrivateKey)| {
        let key = PrivateKeyDer::from_pem_slice(side.1.to_pem().as_bytes()).unwrap();
        (vec![CertificateDer::from(side.0.der().to_vec())], key)
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build().unwrap();
    let (certs, key) = chain(&server);
    let server_config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certs, key)
        .unwrap();
    let (certs, key) = chain(&client);
    let client_config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(certs, key)
        .unwrap();
    for name in ["localhost", "10.0.0.5", "::1"] {
        let name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(Arc::new(client_config.clone()), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server_config.clone())).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        assert_eq!(server.peer_certificates().map(<[_]>::len), Some(1));
    }
}

/// What a company's authority hands out: the certificate, and the one that signed it.
#[test]
fn an_authority_vouches_through_those_between() {
    let now = Timestamp::now();
    let (root, other) = (Authority::new("ca", now), Authority::new("ca", now));
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let mut spec = entry("ca").unwrap().spec(&inputs());
    spec.common_name = "between".into();
    let (name, id) = (subject(&spec).unwrap(), key_id(&key));
    let issuer = Issuer {
        name: root.cert.subject_der(),
        key: &root.key,
        subject_key_id: Some(&id),
        id: root.cert.subject_key_id(),
    };
    let cert = sign(&spec, &Subject { name: &name, spki: key.spki_der() }, &issuer, now).unwrap();
    let between = Authority { cert, key };
    let (own, _) = leaf("apiserver", &between, now);
    let roots = [other.cert.clone(), root.cert.clone()];
    let chain = [own.clone(), between.cert.clone()];
    assert_eq!(own.issuer_among(&chain, &roots).unwrap().common_name(), "between");
    assert!(own.issuer_among(&[], &roots).is_none());
    assert!(own.issuer_among(&chain, std::slice::from_ref(&other.cert)).is_none());
    let (direct, _) = leaf("apiserver", &root, now);
    assert_eq!(direct.issuer_among(&[], &roots).unwrap(), &root.cert);
    // Two that have signed one another, and nobody else them.
    let loops = [other.cert.clone(), between.cert.clone(), other.cert.clone()];
    assert!(own.issuer_among(&loops, &[]).is_none());
}

#[test]
fn a_certificate_without_purposes_is_for_any() {
    let made = rcgen::generate_simple_self_signed(["node1".to_owned()]).unwrap();
    let cert = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    assert!(cert.allows(CertUsage::Server) && cert.allows(CertUsage::Client));
    assert!(!cert.allows(CertUsage::Ca));
}

/// kube-apiserver takes a file of several while the key of service accounts is replaced.
#[test]
fn a_public_key_is_found_among_others_in_any_form() {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa2048] {
        let (key, other) =
            (PrivateKey::generate(algorithm).unwrap(), PrivateKey::generate(algorithm).unwrap());
        let both = other.public_key_pem() + &key.public_key_pem();
        assert!(key.is_among(both.as_bytes()) && other.is_among(both.as_bytes()));
        assert!(!key.is_among(other.public_key_pem().as_bytes()) && !key.is_among(b""));
        // A private key is none of them.
        assert!(!key.is_among(key.to_pem().as_bytes()));
    }
    let now = Timestamp::now();
    let authority = Authority::with("ca", KeyAlgorithm::Rsa2048, now);
    assert!(authority.key.is_among(authority.cert.to_pem().as_bytes()));
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "sa.key", &authority.key.to_pem());
    let old = openssl(&["rsa", "-in", &path, "-RSAPublicKey_out"]);
    assert!(old.contains("BEGIN RSA PUBLIC KEY") && authority.key.is_among(old.as_bytes()), "{old}");
}
