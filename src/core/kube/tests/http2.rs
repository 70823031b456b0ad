//! One HTTP/2 connection must carry a burst of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::health::tests::server::acceptor;

/// Answers every request with the same object, each after as long as a write to etcd takes.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let mut body = respond.send_response(http::Response::new(()), false).unwrap();
            body.send_data(config_map().to_string().into_bytes().into(), true).unwrap();
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_applies_share_one_connection() {
    let (acceptor, ca) = acceptor(&[b"h2", b"http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, acceptor.clone()));
        }
    });

    let client = KubeClient::from_kubeconfig(&kubeconfig(&url, &ca)).unwrap();
    let object = config_map();
    let start = Instant::now();
    for result in join_all((0..50).map(|_| client.apply(&object))).await {
        result.unwrap();
    }
    let elapsed = start.elapsed();
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    // 50 applies one after the other would take half a second in the server alone.
    assert!(elapsed < Duration::from_millis(400), "{elapsed:?}");
}
