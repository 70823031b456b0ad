//! A scripted HTTP/1.1 server for tests, plain or with a self-signed certificate.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One scripted answer. Status 0 closes the connection without an answer.
#[derive(Clone)]
pub(crate) struct Answer(pub(crate) u16, pub(crate) &'static str, pub(crate) String);

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self(status, "", body.into())
    }
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) struct Server {
    pub(crate) url: String,
    /// The certificate to trust, in PEM.
    pub(crate) ca: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Answers with the script in order, the last answer for ever.
    pub(crate) async fn http(script: Vec<Answer>) -> Self {
        Self::start(script, false).await
    }

    pub(crate) async fn https(script: Vec<Answer>) -> Self {
        Self::start(script, true).await
    }

    async fn start(script: Vec<Answer>, tls: bool) -> Self {
        Self::start_with(script, tls, acceptor(&[b"http/1.1"])).await
    }

    /// With a certificate that is valid from the first of January of one year to that of another.
    pub(crate) async fn https_valid(script: Vec<Answer>, years: std::ops::Range<i32>) -> Self {
        let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self::start_with(script, true, acceptor_of(&[b"http/1.1"], &certificate, &key)).await
    }

    async fn start_with(script: Vec<Answer>, tls: bool, (acceptor, ca): (TlsAcceptor, String)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, script, acceptor) = (Arc::clone(&log), Arc::clone(&script), acceptor.clone());
                tokio::spawn(async move {
                    if !tls {
                        serve(stream, &log, &script).await;
                    } else if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &log, &script).await;
                    }
                });
            }
        });
        let scheme = if tls { "https" } else { "http" };
        Self { url: format!("{scheme}://127.0.0.1:{port}"), ca, seen }
    }
}

/// TLS for 127.0.0.1, and its certificate in PEM.
pub(crate) fn acceptor(protocols: &[&[u8]]) -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    acceptor_of(protocols, &made.cert, &made.signing_key)
}

fn acceptor_of(
    protocols: &[&[u8]],
    certificate: &rcgen::Certificate,
    key: &rcgen::KeyPair,
) -> (TlsAcceptor, String) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), certificate.pem())
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, log: &Mutex<Vec<Seen>>, script: &[Answer]) {
    while let Some(seen) = request(&mut stream).await {
        let count = {
            let mut log = log.lock().unwrap();
            log.push(seen);
            log.len()
        };
        let Answer(status, headers, body) = &script[(count - 1).min(script.len() - 1)];
        if *status == 0 {
            return;
        }
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let line = String::from_utf8_lossy(&bytes[..end]).lines().next()?.to_owned();
                let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
                return Some(Seen { line, head, body });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
