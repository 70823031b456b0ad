use super::*;
use crate::{
    config::types::{BootstrapTokenDiscovery, Discovery, FileDiscovery},
    health::tests::server::{Answer, Server},
};

fn join(discovery: Discovery) -> ResolvedJoin {
    let timeouts = crate::config::types::Timeouts {
        discovery: Some(GoDuration::from_secs(1)),
        ..crate::config::types::Timeouts::default()
    };
    ResolvedJoin { discovery, timeouts, ..ResolvedJoin::default() }
}

fn by_file(path: &str) -> ResolvedJoin {
    join(Discovery { file: Some(FileDiscovery { kube_config_path: path.into() }), ..Discovery::default() })
}

async fn fails(join: &ResolvedJoin, content: &'static str) -> DiscoveryError {
    let read = move |_: &str| Ok(content.as_bytes().to_vec());
    find(join, &read, &|_| {}).await.unwrap_err()
}

#[tokio::test]
async fn an_endpoint_that_nobody_listens_at_is_told_with_what_to_check() {
    let token = BootstrapTokenDiscovery {
        token: Some("abcdef.0123456789abcdef".into()),
        api_server_endpoint: "127.0.0.1:1".into(),
        unsafe_skip_ca_verification: true,
        ..BootstrapTokenDiscovery::default()
    };
    let mut join = join(Discovery { bootstrap_token: Some(token), ..Discovery::default() });
    // The first try can take its time on a busy machine, and what the last one met is not told but given.
    join.timeouts.discovery = Some(GoDuration::from_secs(3));
    let told = std::sync::Mutex::new(vec![]);
    let read = |_: &str| Err("no file is wanted".to_owned());
    let error = find(&join, &read, &|text| told.lock().unwrap().push(text.to_owned())).await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.hints()[0].contains("load balancer"));
    assert!(!told.into_inner().unwrap().is_empty(), "what is waited for was not told");
}

#[tokio::test]
async fn a_file_that_is_no_kubeconfig_is_told_without_its_content() {
    let error = fails(&by_file("/root/x.conf"), "token: [geheim").await;
    assert!(error.to_string().contains("/root/x.conf"), "{error}");
    assert!(!error.to_string().contains("geheim"), "{error}");
    let error = fails(&by_file("/root/x.conf"), "kind: Config\nclusters: []\n").await;
    assert!(error.to_string().contains("not exactly one cluster"), "{error}");
    let text = "kind: Config\nclusters: [{name: a, cluster: {server: 'http://a'}}]\n";
    let error = fails(&by_file("/root/x.conf"), text).await;
    assert!(error.to_string().contains("no https URL"), "{error}");
    let text = "kind: Config\nclusters: [{name: a, cluster: {server: 'https://a'}}]\n";
    let error = fails(&by_file("/root/x.conf"), text).await;
    assert!(error.to_string().contains("certificate-authority-data"), "{error}");
}

#[test]
fn a_file_without_a_user_cannot_be_joined_with() {
    let file = kubeconfig::build("a", "https://a", Some(b"x"), "u", &Credentials::None);
    let read = |_: &str| Err("no".to_owned());
    let error = file::bootstrap(&file, "https://a", "x", &read).unwrap_err();
    assert!(matches!(error, DiscoveryError::NoCredentials), "{error}");
    assert!(error.hints()[0].contains("--tls-bootstrap-token"));
}

#[test]
fn files_that_a_user_names_are_embedded() {
    let credentials = Credentials::Files { certificate: "/a.crt", key: "/a.key" };
    let file = kubeconfig::build("a", "https://a", Some(b"x"), "u", &credentials);
    let read = |path: &str| Ok(format!("content of {path}").into_bytes());
    let text = file::bootstrap(&file, "https://b", "x", &read).unwrap();
    assert!(!text.contains("/a.crt") && text.contains("https://b"), "{}", text.as_str());
    assert!(text.contains("client-key-data"));
}

#[test]
fn a_token_in_a_file_is_embedded() {
    let mut file = kubeconfig::build("a", "https://a", Some(b"x"), "u", &Credentials::None);
    file.users[0].user.other.insert("tokenFile".into(), "tok".into());
    let file = file.with_paths_below(std::path::Path::new("/root"));
    let read = |path: &str| (path == "/root/tok").then(|| b"abc.def\n".to_vec()).ok_or("no".to_owned());
    let text = file::bootstrap(&file, "https://b", "x", &read).unwrap();
    assert!(text.contains("token: abc.def") && !text.contains("tokenFile"), "{}", text.as_str());
}

/// kubeadm's way: the file names the server that is meant, and the cluster's own word of it is only worth a warning.
#[tokio::test]
async fn the_server_of_the_file_is_used() {
    let other = rcgen::generate_simple_self_signed(["lb".to_owned()]).unwrap().cert.pem();
    let cluster = kubeconfig::build("", "https://lb:6443", Some(other.as_bytes()), "n", &Credentials::None);
    for (embedded, info, elsewhere) in [
        (true, cluster.to_yaml().to_string(), Some("https://lb:6443")),
        (false, cluster.to_yaml().to_string(), Some("https://lb:6443")),
        (true, "{}".to_owned(), None),
    ] {
        let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": info}});
        let Server { url, ca, .. } = Server::https(vec![Answer::new(200, object.to_string())]).await;
        let mut file = kubeconfig::build("a", &url, Some(ca.as_bytes()), "u", &Credentials::Token("abc.def"));
        if !embedded {
            file.clusters[0].cluster.certificate_authority_data = None;
            file.clusters[0].cluster.certificate_authority = Some("ca.crt".into());
        }
        let text = file.to_yaml().to_string();
        let authority = ca.clone();
        let read = move |path: &str| match path {
            "/root/x.conf" => Ok(text.as_bytes().to_vec()),
            "/root/ca.crt" => Ok(authority.as_bytes().to_vec()),
            other => Err(format!("{other} is not wanted")),
        };
        let found = find(&by_file("/root/x.conf"), &read, &|_| {}).await.unwrap();
        assert_eq!((found.server.as_str(), found.ca.as_str()), (url.as_str(), ca.as_str()));
        assert_eq!(found.elsewhere.as_deref(), elsewhere);
        assert!(found.bootstrap.expose().contains(&url));
    }
}

#[test]
fn settings_keep_their_secrets_out_of_sight() {
    let certs = std::collections::BTreeMap::from([("ca.key".to_owned(), Secret::from("aGk="))]);
    let settings = ClusterSettings { certs: Some(certs), ..ClusterSettings::default() };
    assert_eq!(settings.encrypted("ca.key").unwrap(), b"hi");
    assert!(!serde_json::to_string(&settings).unwrap().contains("aGk="));
}

/// A clock that is behind, and one that is ahead: seen from here, the same as a certificate of another time.
#[tokio::test]
async fn a_clock_that_is_wrong_is_named() {
    for (years, words) in [
        (
            2990..2999,
            "its certificate is valid only from 2990-01-01 00:00:00 UTC on, and the clock of this machine says 2",
        ),
        (
            2001..2002,
            "its certificate is valid only until 2002-01-01 00:00:00 UTC, and the clock of this machine says 2",
        ),
    ] {
        let server = Server::https_valid(vec![Answer::new(200, "{}")], years).await;
        let ca = server.ca.clone();
        let file = kubeconfig::build("a", &server.url, Some(ca.as_bytes()), "none", &Credentials::None);
        let text = file.to_yaml();
        let read = move |_: &str| Ok(text.as_bytes().to_vec());
        let error = find(&by_file("/root/x.conf"), &read, &|_| {}).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::OutOfTime { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hints()[0].contains("`date -u`"), "{:?}", error.hints());
    }
}
