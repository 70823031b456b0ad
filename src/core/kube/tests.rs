use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::health::tests::server::{Answer, Server};

mod http2;

fn kubeconfig(url: &str, ca: &str) -> Vec<u8> {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority-data": STANDARD.encode(ca)}}],
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "sesame"}}],
    })
    .to_string()
    .into_bytes()
}

fn client(server: &Server) -> KubeClient {
    let options = Options { call_timeout: Duration::from_secs(2), ..Options::default() };
    KubeClient::with_options(&kubeconfig(&server.url, &server.ca), &options).unwrap()
}

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kubeadm-config", "namespace": "kube-system"}, "data": {"a": "1"}})
}

fn status(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code, "reason": reason, "message": message});
    Answer::new(code, body.to_string())
}

#[tokio::test]
async fn apply_is_a_forced_server_side_apply() {
    let server = Server::http(vec![Answer::new(200, config_map().to_string())]).await;
    let mut object = config_map();
    object["metadata"]["managedFields"] = json!([{"manager": "kubeadm"}]);
    let stored = client(&server).apply(&object).await.unwrap();
    assert_eq!(stored, config_map());
    let seen = &server.seen()[0];
    assert_eq!(
        seen.line,
        "PATCH /api/v1/namespaces/kube-system/configmaps/kubeadm-config?fieldManager=rkadm&force=true HTTP/1.1"
    );
    assert!(seen.head.contains("content-type: application/apply-patch+yaml"), "{}", seen.head);
    assert!(seen.head.contains("authorization: bearer sesame"), "{}", seen.head);
    assert_eq!(serde_json::from_str::<Value>(&seen.body).unwrap(), config_map());
}

#[tokio::test]
async fn a_status_is_changed_by_a_strategic_merge_patch() {
    let server = Server::http(vec![Answer::new(200, "{}")]).await;
    let node = ObjectRef::new("Node", None, "cp1").unwrap();
    let patch = json!({"status": {"conditions": [{"type": "a", "$patch": "delete"}]}});
    client(&server).patch_status(&node, &patch).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "PATCH /api/v1/nodes/cp1/status?fieldManager=rkadm HTTP/1.1");
    assert!(seen.head.contains("content-type: application/strategic-merge-patch+json"), "{}", seen.head);
    assert_eq!(serde_json::from_str::<Value>(&seen.body).unwrap(), patch);
}

#[tokio::test]
async fn passing_faults_are_retried() {
    let script = vec![
        Answer::new(0, ""),
        status(500, "InternalError", "etcdserver: leader changed"),
        status(503, "ServiceUnavailable", "starting"),
        Answer::new(200, config_map().to_string()),
    ];
    let server = Server::http(script).await;
    client(&server).apply(&config_map()).await.unwrap();
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn retry_after_is_obeyed_and_bounded_by_the_deadline() {
    let script = vec![
        Answer(429, "retry-after: 1\r\n", "slow down".to_owned()),
        Answer::new(200, config_map().to_string()),
    ];
    let server = Server::http(script).await;
    let start = Instant::now();
    client(&server).apply(&config_map()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());

    let server = Server::http(vec![Answer(429, "retry-after: 30\r\n", "slow down".to_owned())]).await;
    let start = Instant::now();
    let error = client(&server).apply(&config_map()).await.unwrap_err();
    assert!(matches!(error, KubeError::Throttled { .. }) && error.is_transient(), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn refusals_keep_the_servers_message_and_are_not_retried() {
    let script = vec![status(403, "Forbidden", "User \"x\" cannot patch"), Answer::new(200, "ok")];
    let server = Server::http(script).await;
    let error = client(&server).apply(&config_map()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "apply ConfigMap kube-system/kubeadm-config is forbidden: User \"x\" cannot patch"
    );
    assert!(!error.is_transient());
    let lines: Vec<_> = server.seen().iter().map(|seen| seen.line.clone()).collect();
    assert!(lines.len() == 2 && lines[1].starts_with("GET /readyz "), "{lines:?}");

    for (code, name) in [(401, "Unauthorized"), (409, "Conflict"), (422, "Invalid"), (418, "Rejected")] {
        let server = Server::http(vec![Answer::new(code, "plain text")]).await;
        let error = client(&server).apply(&config_map()).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(name), "{error:?}");
        assert!(error.to_string().ends_with("plain text"), "{error}");
    }
}

/// It knows no roles yet, not even who may ask whether it is ready.
#[tokio::test]
async fn a_server_that_has_just_started_is_asked_again() {
    let no = || status(403, "Forbidden", "User \"x\" cannot get");
    let script = vec![
        no(),
        no(),
        no(),
        Answer::new(500, "[-]informer-sync failed"),
        Answer::new(200, config_map().to_string()),
    ];
    let server = Server::http(script).await;
    let name = ObjectRef::of(&config_map()).unwrap();
    assert!(client(&server).get(&name).await.unwrap().is_some());
    let lines: Vec<_> = server.seen().iter().map(|seen| seen.line.contains("/readyz")).collect();
    assert_eq!(lines, [false, true, false, true, false]);
}

#[tokio::test]
async fn absence_is_no_error() {
    let server = Server::http(vec![status(404, "NotFound", "not found")]).await;
    let name = ObjectRef::of(&config_map()).unwrap();
    assert_eq!(client(&server).get(&name).await.unwrap(), None);
    assert!(!client(&server).delete(&name).await.unwrap());
    assert!(server.seen()[1].line.starts_with("DELETE /api/v1/namespaces/kube-system/configmaps/"));
}

#[tokio::test]
async fn create_after_a_lost_answer_finds_its_own_object() {
    let mut live = config_map();
    live["metadata"]["uid"] = "1".into();
    let exists = status(409, "AlreadyExists", "exists");
    let script = vec![Answer::new(0, ""), exists.clone(), Answer::new(200, live.to_string())];
    let server = Server::http(script).await;
    assert_eq!(client(&server).create(&config_map()).await.unwrap(), live);

    // Somebody else's object of the same name.
    live["data"]["a"] = "2".into();
    let server =
        Server::http(vec![Answer::new(0, ""), exists.clone(), Answer::new(200, live.to_string())]).await;
    assert!(client(&server).create(&config_map()).await.unwrap_err().is_already_exists());

    // Without a lost answer there is nothing to look for.
    let server = Server::http(vec![exists]).await;
    assert!(client(&server).create(&config_map()).await.unwrap_err().is_already_exists());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_merge_patch_bound_to_a_version_is_not_repeated_blindly() {
    let server = Server::http(vec![Answer::new(0, "")]).await;
    let name = ObjectRef::of(&config_map()).unwrap();
    let patch = json!({"metadata": {"resourceVersion": "7"}, "data": {"a": null}});
    let error = client(&server).patch_merge(&name, patch).await.unwrap_err();
    assert!(matches!(error, KubeError::Unreachable { .. }), "{error:?}");
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].head.contains("content-type: application/merge-patch+json"));
}

#[tokio::test]
async fn lists_follow_pages_and_name_their_items() {
    let page = |name: &str, next: &str| {
        let item = json!({"metadata": {"name": name}});
        Answer::new(200, json!({"metadata": {"continue": next}, "items": [item]}).to_string())
    };
    let server = Server::http(vec![page("a", "t/1"), page("b", "")]).await;
    let selector = Selector { labels: "tier=control-plane".to_owned(), ..Selector::default() };
    let pods = client(&server).list_selected("Pod", Some("kube-system"), &selector).await.unwrap();
    let names: Vec<_> = pods.iter().map(|pod| ObjectRef::of(pod).unwrap().to_string()).collect();
    assert_eq!(names, ["Pod a", "Pod b"]);
    assert_eq!(
        server.seen()[1].line,
        "GET /api/v1/namespaces/kube-system/pods?limit=500&labelSelector=tier%3Dcontrol-plane&continue=t%2F1 HTTP/1.1"
    );
}

#[tokio::test]
async fn what_is_kept_of_a_list_is_kept_once_also_when_it_starts_over() {
    let page = |names: [&str; 2], next: &str| {
        let items = names.map(|name| json!({"metadata": {"name": name}, "data": "much"}));
        Answer::new(200, json!({"metadata": {"continue": next}, "items": items}).to_string())
    };
    let script = vec![
        page(["a", "b"], "t"),
        status(410, "Expired", "too old"),
        page(["a", "b"], "t"),
        page(["b", "c"], ""),
    ];
    let server = Server::http(script).await;
    let selector = Selector { page: 2, ..Selector::default() };
    let keep = |item: Value| item["metadata"].get("name").filter(|name| *name != "b").cloned();
    assert_eq!(client(&server).gather("Secret", None, &selector, &keep).await.unwrap(), ["a", "c"]);
    assert_eq!(server.seen()[0].line, "GET /api/v1/secrets?limit=2 HTTP/1.1");
}

#[tokio::test]
async fn rows_of_a_table_are_read_by_the_names_of_their_columns() {
    let page = |rows: Value, next: &str| {
        let columns = ["Name", "Age", "Status"].map(|name| json!({"name": name, "type": "string"}));
        let table = json!({"kind": "Table", "metadata": {"continue": next}, "columnDefinitions": columns, "rows": rows});
        Answer::new(200, table.to_string())
    };
    let row = |name: &str| json!({"cells": [name, "1d", "Ready"], "object": null});
    let script = vec![
        page(json!([row("a")]), "t/1"),
        status(410, "Expired", "too old"),
        page(json!([row("a")]), "t/2"),
        page(json!([row("b")]), ""),
        page(Value::Null, ""),
    ];
    let server = Server::http(script).await;
    let client = client(&server);
    let rows = client.table("Node", &["Status", "Name"]).await.unwrap();
    assert_eq!(rows, Some(vec![vec!["Ready".into(), "a".into()], vec!["Ready".into(), "b".into()]]));
    assert_eq!(client.table("Node", &["Name"]).await.unwrap(), Some(vec![]));
    let seen = server.seen();
    assert_eq!(seen[3].line, "GET /api/v1/nodes?limit=500&includeObject=None&continue=t%2F2 HTTP/1.1");
    assert!(
        seen[0].head.contains("accept: application/json;as=table;v=v1;g=meta.k8s.io,application/json"),
        "{}",
        seen[0].head
    );
}

#[tokio::test]
async fn without_a_table_there_are_no_rows() {
    let list = Answer::new(200, json!({"kind": "NodeList", "metadata": {}, "items": []}).to_string());
    let table = |cell: Value| {
        let rows = [json!({"cells": [cell]})];
        Answer::new(
            200,
            json!({"kind": "Table", "columnDefinitions": [{"name": "Name"}], "rows": rows}).to_string(),
        )
    };
    let server = Server::http(vec![list, table("a".into()), table(1.into())]).await;
    let client = client(&server);
    assert_eq!(client.table("Node", &["Name"]).await.unwrap(), None);
    assert_eq!(client.table("Node", &["Other"]).await.unwrap(), None);
    assert_eq!(client.table("Node", &["Name"]).await.unwrap(), None);
}

#[tokio::test]
async fn a_list_whose_token_expired_starts_over() {
    let page = |name: &str, next: &str| {
        let item = json!({"metadata": {"name": name}});
        Answer::new(200, json!({"metadata": {"continue": next}, "items": [item]}).to_string())
    };
    let script = vec![page("a", "t"), status(410, "Expired", "too old"), page("a", "t"), page("b", "")];
    let server = Server::http(script).await;
    assert_eq!(client(&server).list("Node", None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn raw_get_returns_any_status_without_retry() {
    let server = Server::http(vec![Answer::new(500, "[-]etcd failed")]).await;
    let (code, body) = client(&server).raw_get("/readyz?verbose").await.unwrap();
    assert_eq!((code, body.as_str()), (500, "[-]etcd failed"));
    assert_eq!(server.seen()[0].line, "GET /readyz?verbose HTTP/1.1");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn nobody_listening_is_retried_until_the_deadline() {
    let server = Server::http(vec![Answer::new(200, "{}")]).await;
    let options =
        Options { server: Some("http://127.0.0.1:1".to_owned()), call_timeout: Duration::from_millis(400) };
    let client = KubeClient::with_options(&kubeconfig(&server.url, &server.ca), &options).unwrap();
    let start = Instant::now();
    let error = client.get(&ObjectRef::new("Node", None, "a").unwrap()).await.unwrap_err();
    assert!(matches!(error, KubeError::Unreachable { source: Some(_), .. }), "{error:?}");
    assert!(error.is_transient());
    let elapsed = start.elapsed();
    assert!(elapsed > Duration::from_millis(100) && elapsed < Duration::from_secs(1), "{elapsed:?}");
    assert_eq!(client.server(), "http://127.0.0.1:1");
}

#[tokio::test]
async fn another_ca_is_a_permanent_fault() {
    let server = Server::https(vec![Answer::new(200, config_map().to_string())]).await;
    client(&server).apply(&config_map()).await.unwrap();
    let other = Server::https(vec![Answer::new(200, "{}")]).await;
    let client = KubeClient::from_kubeconfig(&kubeconfig(&server.url, &other.ca)).unwrap();
    let error = client.apply(&config_map()).await.unwrap_err();
    assert!(matches!(error, KubeError::Untrusted { .. }) && !error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn kubeconfig_errors_hold_no_content() {
    let secret = "c2VjcmV0";
    let broken = format!("users:\n- name: u\n  user: {{client-key-data: {secret}\n");
    let Err(error) = KubeClient::from_kubeconfig(broken.as_bytes()) else { panic!("accepted") };
    assert!(!format!("{error:?} {error}").contains(secret), "{error:?}");
    let proxied = String::from_utf8(kubeconfig("https://127.0.0.1:6443", "")).unwrap();
    let proxied = proxied.replace("\"cluster\":{", "\"cluster\":{\"proxy-url\":\"http://p\",");
    let Err(error) = KubeClient::from_kubeconfig(proxied.as_bytes()) else { panic!("accepted") };
    assert_eq!(error.to_string(), "kubeconfig is not usable: proxy-url is not supported");
}
