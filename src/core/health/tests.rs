use std::future::{pending, ready};
use std::time::{Duration, Instant};

use super::*;

pub(crate) mod server;

use server::{Answer, Server};

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

#[tokio::test]
async fn an_unhealthy_answer_is_an_answer() {
    let server = Server::http(vec![Answer::new(500, "[-]etcd failed")]).await;
    let health = probe_http(&format!("{}/livez", server.url), &Tls::PLAIN).await.unwrap();
    assert_eq!((health.status, health.body.as_str()), (500, "[-]etcd failed"));
    assert!(!health.is_ok());
    assert_eq!(server.seen()[0].line, "GET /livez HTTP/1.1");
}

#[tokio::test]
async fn trust_decides_about_https() {
    let server = Server::https(vec![Answer::new(200, "ok")]).await;
    assert!(probe_http(&server.url, &Tls::INSECURE).await.unwrap().is_ok());
    assert!(probe_http(&server.url, &Tls::ca(server.ca.clone())).await.unwrap().is_ok());
    for tls in [Tls::PLAIN, Tls::ca(server::acceptor(&[]).1)] {
        let error = probe_http(&server.url, &tls).await.unwrap_err();
        assert!(matches!(error, Unreachable::Untrusted { .. }), "{error:?}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_closed_port_and_a_silent_one_are_transient() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/healthz", listener.local_addr().unwrap());
    let probe = HttpProbe::new(&url, &Tls::PLAIN).unwrap().with_timeout(Duration::from_millis(50));
    let error = probe.check().await.unwrap_err();
    assert!(matches!(error, Unreachable::Timeout { .. }) && error.is_transient(), "{error:?}");
    drop(listener);
    let error = probe.check().await.unwrap_err();
    assert!(matches!(error, Unreachable::Broken { .. }) && error.is_transient(), "{error:?}");
}

#[test]
fn bad_urls_and_certificates_are_found_before_the_probe() {
    for url in ["", "/healthz", "ftp://127.0.0.1/", "127.0.0.1:10248"] {
        assert!(matches!(HttpProbe::new(url, &Tls::PLAIN), Err(Unreachable::Url { .. })), "{url}");
    }
    assert!(matches!(HttpProbe::new("https://127.0.0.1", &Tls::ca("none")), Err(Unreachable::Tls { .. })));
}

#[tokio::test]
async fn waiting_ends_when_the_component_is_healthy() {
    let script = vec![Answer::new(503, "no"), Answer::new(0, ""), Answer::new(200, "ok")];
    let server = Server::http(script).await;
    let probe = HttpProbe::new(&server.url, &Tls::PLAIN).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let health = wait_until_ok(&probe, BackOff::LOCAL, deadline, pending()).await.unwrap();
    assert!(health.is_ok());
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn waiting_tells_what_was_missing_at_the_deadline() {
    let server = Server::http(vec![Answer::new(500, "etcd failed\n")]).await;
    let probe = HttpProbe::new(&server.url, &Tls::PLAIN).unwrap();
    let error = wait_until_ok(&probe, BackOff::LOCAL, soon(), pending()).await.unwrap_err();
    let WaitError::TimedOut { last: Some(last), .. } = error else { panic!("{error:?}") };
    assert_eq!(last.to_string(), "status 500: etcd failed");
}

#[tokio::test]
async fn cancel_stops_a_try_that_hangs() {
    let attempt = || async {
        pending::<()>().await;
        Attempt::<(), Unreachable>::Ready(())
    };
    let error = wait_until(attempt, BackOff::LOCAL, soon(), ready(())).await.unwrap_err();
    assert!(matches!(error, WaitError::Cancelled { last: None }));
    let error = wait_until(attempt, BackOff::LOCAL, soon(), pending()).await.unwrap_err();
    assert!(matches!(error, WaitError::TimedOut { last: None, .. }));
}

#[tokio::test]
async fn waiting_gives_up_when_trust_is_missing() {
    let server = Server::https(vec![Answer::new(200, "ok")]).await;
    let probe = HttpProbe::new(&server.url, &Tls::ca(server::acceptor(&[]).1)).unwrap();
    let error = wait_until_ok(&probe, BackOff::LOCAL, soon(), pending()).await.unwrap_err();
    assert!(matches!(error, WaitError::Failed(NotReady::Unreachable(Unreachable::Untrusted { .. }))));
}
