//! HTTP for the S3 client: the connections and the TLS that everything else here uses, so that the binary has one of each.

use std::{
    error::Error,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::time::{Instant, Sleep};

use crate::health::{fault, tcp};

const CONNECT: Duration = Duration::from_secs(10);
/// Until an answer begins, a part of an upload has been sent: 5 MiB take their time on a slow line.
const ANSWER: Duration = Duration::from_mins(3);
/// Between two pieces of an answer.
const PIECE: Duration = Duration::from_mins(1);

type Https = HttpsConnector<Tcp>;

/// Makes the connections.
#[derive(Debug, Clone)]
pub(super) struct Connector(Service);

#[derive(Debug, Clone)]
struct Service(Client<Https, HttpRequestBody>);

impl Connector {
    /// Trusts the authorities of the system, or those of a file.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(path) => {
                let unusable = |why: String| format!("AWS_CA_BUNDLE names {}: {why}", path.display());
                let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
                let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
                roots.add_parsable_certificates(found.map_err(|error| unusable(error.to_string()))?);
                if roots.is_empty() {
                    return Err(unusable("it holds no certificate".into()));
                }
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config =
            config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(Some(CONNECT)));
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(https);
        Ok(Self(Service(client)))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs())]
struct Silent(Duration);

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = match tokio::time::timeout(ANSWER, self.0.request(request)).await {
            Err(_) => return Err(HttpError::new(HttpErrorKind::Timeout, Silent(ANSWER))),
            Ok(Err(error)) => {
                let kind = match () {
                    // Who has the wrong certificate has it the next time as well.
                    () if fault::is_untrusted(&error) => HttpErrorKind::Unknown,
                    () if error.is_connect() => HttpErrorKind::Connect,
                    () => HttpErrorKind::Request,
                };
                return Err(HttpError::new(kind, Inner::of(&error)));
            }
            Ok(Ok(answer)) => answer,
        };
        let (parts, body) = answer.into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(Patient::new(body))))
    }
}

/// The body of an answer, as long as it goes on.
struct Patient {
    body: Incoming,
    until: Pin<Box<Sleep>>,
}

impl Patient {
    fn new(body: Incoming) -> Self {
        Self { body, until: Box::pin(tokio::time::sleep(PIECE)) }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.until.as_mut().reset(Instant::now() + PIECE);
            return Poll::Ready(frame.map(|frame| {
                frame.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, Inner::of(&error)))
            }));
        }
        self.until
            .as_mut()
            .poll(cx)
            .map(|()| Some(Err(HttpError::new(HttpErrorKind::Timeout, Silent(PIECE)))))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// hyper's client says "client error (Connect)", and nothing of what lies below.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Inner(String);

impl Inner {
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self(cause.to_string())
    }
}
