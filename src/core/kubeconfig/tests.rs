use std::time::Duration;

use crate::kubeconfig::list::{FILES, file};
use crate::kubeconfig::{Credentials, Expected, Kubeconfig, build, problems};
use crate::pki::list::LEAF_VALIDITY;
use crate::pki::testing::Authority;
use crate::pki::{KeyAlgorithm, PrivateKey, issue};
use jiff::Timestamp;

const SERVER: &str = "https://10.0.0.5:6443";

fn admin(authority: &Authority, now: Timestamp) -> Kubeconfig {
    let spec = file("admin").unwrap().cert_spec("node1", LEAF_VALIDITY);
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let cert = issue(&spec, &key, &authority.cert, &authority.key, now).unwrap();
    let ca = authority.cert.to_pem();
    build(
        "kubernetes",
        SERVER,
        Some(ca.as_bytes()),
        &spec.common_name,
        &Credentials::Certificate(&cert, &key),
    )
}

/// The lines are those of kubeadm 1.37.
#[test]
fn the_text_is_kubeadms() {
    let authority = Authority::new("ca", Timestamp::now());
    let config = admin(&authority, Timestamp::now());
    let text: Vec<_> = config
        .to_yaml()
        .lines()
        .map(|line| line.split_once("-data: ").map_or(line.to_owned(), |(name, _)| format!("{name}-data: X")))
        .collect();
    let expected = "\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: X
    server: https://10.0.0.5:6443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: kubernetes-admin
  name: kubernetes-admin@kubernetes
current-context: kubernetes-admin@kubernetes
kind: Config
users:
- name: kubernetes-admin
  user:
    client-certificate-data: X
    client-key-data: X";
    assert_eq!(text.join("\n"), expected);
    assert_eq!(Kubeconfig::from_yaml(&config.to_yaml()).unwrap(), config);
}

#[test]
fn files_name_the_servers_kubeadm_names() {
    let urls: Vec<_> = FILES.iter().map(|file| (file.file, file.server_url("lb", "local"))).collect();
    assert_eq!(
        urls,
        [
            ("admin.conf", "lb"),
            ("super-admin.conf", "lb"),
            ("kubelet.conf", "local"),
            ("controller-manager.conf", "local"),
            ("scheduler.conf", "local")
        ]
    );
    assert_eq!(file("kubelet").unwrap().user_name("node1"), "system:node:node1");
}

#[test]
fn unknown_fields_survive() {
    let text = "apiVersion: v1\nclusters:\n- cluster:\n    server: https://a\n    proxy-url: http://p\n  name: c\n\
                contexts: []\ncurrent-context: ''\nkind: Config\npreferences: {}\nusers:\n- name: u\n  user:\n    \
                exec:\n      command: aws\n";
    let again = Kubeconfig::from_yaml(text).unwrap().to_yaml();
    for field in ["proxy-url: http://p", "preferences: {}", "command: aws"] {
        assert!(again.contains(field), "{field} in {}", again.as_str());
    }
}

#[test]
fn problems_are_told() {
    let now = Timestamp::now();
    let authority = Authority::new("ca", now);
    let config = admin(&authority, now);
    let spec = file("admin").unwrap().cert_spec("node1", LEAF_VALIDITY);
    let expected = Expected { server: SERVER, ca: &authority.cert, client: Some(&spec) };
    assert!(problems(&config, &expected, now).is_empty());

    let stranger = Authority::new("ca", now);
    let texts = |config: &Kubeconfig, expected: &Expected<'_>, now| {
        problems(config, expected, now).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let other = Expected { server: "https://lb:6443", ca: &stranger.cert, ..expected };
    assert_eq!(
        texts(&config, &other, now),
        [
            "server is \"https://10.0.0.5:6443\", expected \"https://lb:6443\"",
            "does not trust the cluster's certificate authority \"kubernetes\"",
            "client certificate: issued by \"kubernetes\", not signed by the certificate authority \"kubernetes\" \
             that is in place",
        ]
    );
    let later = now + LEAF_VALIDITY + Duration::from_hours(24 * 3);
    let expired = texts(&config, &expected, later);
    assert!(expired[0].starts_with("client certificate: expired on ") && expired[0].ends_with("3 days ago"));

    let mut token = config.clone();
    token.users.clear();
    assert_eq!(
        texts(&token, &expected, now),
        ["the kubeconfig has no usable current context \"kubernetes-admin@kubernetes\""]
    );
    let ca = authority.cert.to_pem();
    let files = Credentials::Files { certificate: "a", key: "a" };
    let kubelet = build("kubernetes", SERVER, Some(ca.as_bytes()), "u", &files);
    assert_eq!(texts(&kubelet, &expected, now), ["has no embedded client certificate and key"]);
}

#[test]
fn secrets_are_in_no_debug_text_and_in_no_error() {
    let now = Timestamp::now();
    let config = admin(&Authority::new("ca", now), now);
    let key = config.users[0].user.client_key_data.as_ref().unwrap().expose().to_owned();
    assert!(!format!("{config:?}").contains(&key[..40]));
    let error = Kubeconfig::from_yaml("users:\n- name: u\n  user: hunter2\n").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn paths_are_relative_to_the_file() {
    let text = "clusters:\n- cluster:\n    certificate-authority: ca.crt\n  name: c\nusers:\n- name: u\n  user:\n    \
                client-certificate: ../u.crt\n    client-key: /keys/u.key\n    tokenFile: token\n";
    let file = Kubeconfig::from_yaml(text).unwrap().with_paths_below("/home/me/.kube".as_ref());
    assert_eq!(file.clusters[0].cluster.certificate_authority.as_deref(), Some("/home/me/.kube/ca.crt"));
    let user = &file.users[0].user;
    assert_eq!(user.client_certificate.as_deref(), Some("/home/me/.kube/../u.crt"));
    assert_eq!(user.client_key.as_deref(), Some("/keys/u.key"));
    assert_eq!(user.other["tokenFile"], "/home/me/.kube/token");
}

#[test]
fn lists_may_be_null_as_go_writes_them() {
    let text =
        "kind: Config\nclusters: [{name: '', cluster: {server: 'https://a'}}]\ncontexts: null\nusers: null\n";
    let file = Kubeconfig::from_yaml(text).unwrap();
    assert_eq!((file.clusters.len(), file.contexts.len(), file.users.len()), (1, 0, 0));
}

#[test]
fn a_file_that_trusts_nobody_or_that_nobody_logs_in_with_is_told() {
    let now = Timestamp::now();
    let authority = Authority::new("ca", now);
    let expected = Expected { server: SERVER, ca: &authority.cert, client: None };
    let texts = |config: &Kubeconfig| {
        problems(config, &expected, now).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let whole = admin(&authority, now);
    assert_eq!(texts(&whole), [""; 0]);
    let mut config = whole.clone();
    config.clusters[0].cluster.certificate_authority_data = None;
    assert_eq!(texts(&config), ["it has no certificate authority"]);
    config.clusters[0].cluster.certificate_authority = Some("ca.crt".into());
    assert_eq!(texts(&config), [""; 0]);
    let mut config = whole;
    config.users[0].user.client_certificate_data = None;
    assert_eq!(texts(&config), ["its user has nothing to log in with"]);
    config.users[0].user.other.insert("tokenFile".into(), "/token".into());
    assert_eq!(texts(&config), [""; 0]);
}
