//! The wire: one pool of connections to one API server, with the identity of a kubeconfig.
//!
//! kube brings the kubeconfig and its ways to log in; the HTTP client below it is built here, because kube's own
//! speaks HTTP/1.1 only (its connector offers no `h2` in ALPN, as of 5.0), which means one TLS connection for each
//! concurrent request. It also knows no proxy, so `HTTPS_PROXY` in the environment cannot send a call for
//! this very machine elsewhere.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, Client, ConfigExt as _};
use kube::config::{Config, Kubeconfig, KubeconfigError};
use tokio::sync::Mutex;
use tower::{BoxError, ServiceBuilder};

use super::error::KubeError;
use crate::health::{fault, tcp};

/// A TCP connection in the cluster takes milliseconds; a machine that is off must not eat the whole deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a busy HTTP/2 connection is asked for a sign of life, and how long it may take to give one.
/// Without it, a load balancer that forgot the connection costs a whole request timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// An answer, whatever its status.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// Why there is no answer.
pub(super) struct NoReply {
    pub(super) cause: Cause,
    /// Whether the server may have seen the request, and acted on it.
    pub(super) maybe_sent: bool,
}

pub(super) enum Cause {
    Timeout,
    Untrusted(BoxError),
    Broken(BoxError),
}

pub(super) struct Transport {
    client: Client,
    /// The server's URL, for messages.
    pub(super) server: String,
    /// Whether a connection was made, and thus ALPN is known.
    warm: AtomicBool,
    gate: Mutex<()>,
}

impl Transport {
    pub(super) fn new(yaml: &[u8], server: Option<&str>) -> Result<Self, KubeError> {
        let config = read(yaml, server)?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = connect(config)?;
        Ok(Self { client, server, warm: AtomicBool::new(false), gate: Mutex::new(()) })
    }

    /// Sends one request and reads its whole answer, within `timeout`.
    pub(super) async fn send(&self, request: Request<Vec<u8>>, timeout: Duration) -> Result<Reply, NoReply> {
        let exchange = async {
            // Before the first handshake the pool cannot know that one HTTP/2 connection will do for all, and a
            // burst of calls would open one each. So the first call goes alone, also after the server was away.
            let mut first = None;
            if !self.warm.load(Ordering::Acquire) {
                first = Some(self.gate.lock().await);
                if self.warm.load(Ordering::Acquire) {
                    first = None;
                }
            }
            let reply = self.exchange(request).await;
            match &reply {
                Ok(_) => self.warm.store(true, Ordering::Release),
                Err(failure) if !failure.maybe_sent => self.warm.store(false, Ordering::Release),
                Err(_) => {}
            }
            drop(first);
            reply
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(reply) => reply,
            Err(_) => Err(NoReply { cause: Cause::Timeout, maybe_sent: true }),
        }
    }

    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Reply, NoReply> {
        let response = self.client.send(request.map(Body::from)).await.map_err(no_reply)?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let body = response.into_body().collect_bytes().await.map_err(no_reply)?;
        Ok(Reply { status, retry_after, body })
    }
}

fn no_reply(error: kube::Error) -> NoReply {
    let refused = fault::find::<legacy::Error>(&error).is_some_and(legacy::Error::is_connect);
    let permanent = fault::is_untrusted(&error);
    // The outer layer only says "ServiceError"; what it wraps is what an operator can use.
    let cause: BoxError = match error {
        kube::Error::Service(inner) => inner,
        other => Box::new(other),
    };
    let cause = if permanent { Cause::Untrusted(cause) } else { Cause::Broken(cause) };
    NoReply { cause, maybe_sent: !refused }
}

fn unusable(problem: &'static str, source: impl StdError + Send + Sync + 'static) -> KubeError {
    KubeError::Kubeconfig { problem, source: Some(Box::new(source)) }
}

/// Reads the current context of a kubeconfig.
fn read(yaml: &[u8], server: Option<&str>) -> Result<Config, KubeError> {
    let bad = |problem| KubeError::Kubeconfig { problem, source: None };
    let text = std::str::from_utf8(yaml).map_err(|_| bad("not UTF-8"))?;
    // The YAML parser quotes the input in its errors, and the input holds keys: its error is dropped.
    let mut kubeconfig = Kubeconfig::from_yaml(text).map_err(|_| bad("not a kubeconfig in YAML"))?;
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        if cluster.proxy_url.as_deref().is_some_and(|url| !url.is_empty()) {
            return Err(bad("proxy-url is not supported"));
        }
        // Kept from kube, which falls back to HTTPS_PROXY of the environment; it is removed again below.
        cluster.proxy_url = Some("http://unused.invalid".to_owned());
        if let Some(server) = server {
            cluster.server = Some(server.to_owned());
        }
    }
    let mut config = Config::try_from(kubeconfig).map_err(|error| match error {
        KubeconfigError::Parse(_) => bad("not a kubeconfig in YAML"),
        error => unusable("its current context is incomplete", error),
    })?;
    config.proxy_url = None;
    Ok(config)
}

/// Builds the stack: URL and identity from kube, HTTP/2 or 1.1 below.
fn connect(config: Config) -> Result<Client, KubeError> {
    // kube asks rustls for the process-wide provider. An error here means that one is set, which is what we want.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tls =
        config.rustls_client_config().map_err(|error| unusable("its certificates do not load", error))?;

    // Names go through getaddrinfo. This binary is linked statically, so of glibc's NSS modules only the built-in
    // `files` and `dns` are dependable: a name known to mymachines, sss or ldap alone does not resolve.
    let tcp = tcp(Some(CONNECT_TIMEOUT));
    let mut https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = config.tls_server_name.clone() {
        let name = name.try_into().map_err(|error| unusable("its tls-server-name is no name", error))?;
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let pool = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        .build::<_, Body>(https.enable_all_versions().wrap_connector(tcp));

    let stack = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(|error| unusable("its credentials do not load", error))?)
        .layer(config.extra_headers_layer().map_err(|error| unusable("its headers are not valid", error))?)
        .map_err(BoxError::from)
        .service(pool);
    Ok(Client::new(stack, config.default_namespace))
}
