//! One HTTP probe of one component.

use std::time::Duration;

use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::fault;
use super::tcp::tcp;
use super::tls::{Tls, TlsError, client_config};

/// How long one probe may take unless told otherwise. A component that is slower than this is not healthy.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// A verbose health report has some 60 lines; anything larger is not one.
const BODY_LIMIT: usize = 256 * 1024;

/// What a component said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The HTTP status.
    pub status: u16,
    /// The body, such as `ok` or a list of failed checks.
    pub body: String,
}

impl Health {
    /// Whether the component says that it is healthy.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why a component gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreachable {
    /// The URL is none, or neither `http` nor `https`.
    #[error("{url:?} is not a URL to probe")]
    Url {
        /// The URL.
        url: String,
    },
    /// The certificates given for the probe do not work.
    #[error("no probe of {url} without TLS material")]
    Tls {
        /// The URL.
        url: String,
        /// What is wrong.
        #[source]
        source: TlsError,
    },
    /// The server shows a certificate that is not trusted, or does not trust ours.
    #[error("{url} is not trusted")]
    Untrusted {
        /// The URL.
        url: String,
        /// The TLS error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing listens, or the connection broke.
    #[error("{url} gives no answer")]
    Broken {
        /// The URL.
        url: String,
        /// The I/O error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something listens but does not answer in time.
    #[error("{url} gives no answer within {} ms", after.as_millis())]
    Timeout {
        /// The URL.
        url: String,
        /// How long it had.
        after: Duration,
    },
}

impl Unreachable {
    /// Whether the same probe may succeed later with nothing changed on our side.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Timeout { .. })
    }
}

/// A probe that can be repeated: it keeps the TLS session, so that a new connection is cheap.
///
/// Each check opens a new connection on purpose. A kept one could be answered by a process that is shutting down,
/// and says nothing about whether new clients get in.
pub struct HttpProbe {
    url: Uri,
    timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Empty<&'static [u8]>>,
}

impl HttpProbe {
    /// Prepares a probe of a URL, with [`DEFAULT_TIMEOUT`].
    ///
    /// # Errors
    /// [`Unreachable::Url`] and [`Unreachable::Tls`].
    pub fn new(url: &str, tls: &Tls) -> Result<Self, Unreachable> {
        let bad = || Unreachable::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        if uri.host().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad());
        }
        let config = client_config(tls).map_err(|source| Unreachable::Tls { url: url.to_owned(), source })?;
        // Probes of this machine name addresses. Other names go through getaddrinfo, of which a static binary has only
        // the built-in `files` and `dns`, not the NSS plugins of the distribution.
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(None));
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        Ok(Self { url: uri, timeout: DEFAULT_TIMEOUT, client })
    }

    /// Sets how long one check may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks once.
    ///
    /// # Errors
    /// If there is no answer; an unhealthy answer is a [`Health`].
    pub async fn check(&self) -> Result<Health, Unreachable> {
        let exchange = async {
            let response = self.client.get(self.url.clone()).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await?.to_bytes();
            Ok(Health { status, body: String::from_utf8_lossy(&body).into_owned() })
        };
        let url = || self.url.to_string();
        match timeout(self.timeout, exchange).await {
            Err(_) => Err(Unreachable::Timeout { url: url(), after: self.timeout }),
            Ok(Ok(health)) => Ok(health),
            Ok(Err(source)) => {
                let source: Box<dyn std::error::Error + Send + Sync> = source;
                if fault::is_untrusted(&*source) {
                    Err(Unreachable::Untrusted { url: url(), source })
                } else {
                    Err(Unreachable::Broken { url: url(), source })
                }
            }
        }
    }
}

/// Asks a URL once. To ask again and again, keep an [`HttpProbe`].
///
/// # Errors
/// If there is no answer; an unhealthy answer is a [`Health`].
pub async fn probe_http(url: &str, tls: &Tls) -> Result<Health, Unreachable> {
    HttpProbe::new(url, tls)?.check().await
}
