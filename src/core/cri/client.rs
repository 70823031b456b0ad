//! Calls of the container runtime.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message;
use serde_json::Value;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::error::{CriError, describe};
use super::proto;
use super::types::{
    CONTAINER_LABEL, CgroupDriver, Condition, Container, ContainerFilter, ContainerState, ContainerStatus,
    Image, NAMESPACE_LABEL, Sandbox, SandboxFilter, Version,
};

/// Reads answer from the runtime's memory; a runtime that is slower hangs.
const READ: Duration = Duration::from_secs(10);

/// Removing waits for processes to die and networks to be torn down. The kubelet allows the same.
const CHANGE: Duration = Duration::from_mins(2);

/// How long after a refusal to stop a container it may end by itself, and how often that is looked at.
const ENDS_WITHIN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// How long [`CriClient::pull`] waits for one image. Large images over slow lines take this long.
pub const DEFAULT_PULL_TIMEOUT: Duration = Duration::from_mins(15);

/// A node with many images lists more than gRPC's 4 MiB. The kubelet allows the same.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

const RUNTIME: &str = "runtime.v1.RuntimeService";
const IMAGES: &str = "runtime.v1.ImageService";

/// A connection to the container runtime. It reconnects by itself when the runtime restarts; clones share it.
#[derive(Debug, Clone)]
pub struct CriClient {
    channel: Channel,
    socket: PathBuf,
}

impl CriClient {
    /// Connects to an endpoint such as `unix:///run/containerd/containerd.sock`, and checks that CRI v1 answers there.
    ///
    /// # Errors
    /// Tells apart a missing socket, one that nobody listens at, one that we may not use, and one that is not CRI.
    pub async fn connect(endpoint: &str) -> Result<Self, CriError> {
        let socket = endpoint
            .strip_prefix("unix://")
            .filter(|path| path.starts_with('/'))
            .map(PathBuf::from)
            .ok_or_else(|| CriError::Endpoint { endpoint: endpoint.to_owned() })?;
        // Tried by hand first: through the channel, all these errors look alike.
        UnixStream::connect(&socket).await.map_err(|source| CriError::of_connect(&socket, source))?;

        // The URI is only the authority that HTTP/2 wants; the connector knows the socket.
        let path = socket.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
        let client = Self { channel, socket };
        client.handshake().await?;
        Ok(client)
    }

    /// The socket this client talks to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for the version in the way that tells a CRI from other daemons.
    async fn handshake(&self) -> Result<(), CriError> {
        let request = proto::VersionRequest { version: "v1".to_owned() };
        let Err(status) = self.send::<_, proto::VersionResponse>(RUNTIME, "Version", request, READ).await
        else {
            return Ok(());
        };
        let not_cri = |message| CriError::NotCri { path: self.socket.clone(), message };
        match status.code() {
            Code::Unimplemented => Err(not_cri(status.message().to_owned())),
            // Not gRPC at all: the HTTP/2 preface or the headers make no sense to the other side. An HTTP/1
            // daemon closes the connection, which the socket check above told apart from a runtime that is down.
            Code::Unknown | Code::Internal => Err(not_cri(describe(&status))),
            _ => Err(CriError::of_call("Version", READ, &status)),
        }
    }

    /// Who the runtime is.
    pub async fn version(&self) -> Result<Version, CriError> {
        let request = proto::VersionRequest { version: "v1".to_owned() };
        let answer: proto::VersionResponse = self.call(RUNTIME, "Version", request, READ).await?;
        Ok(Version {
            runtime_name: answer.name,
            runtime_version: answer.version,
            api_version: answer.api_version,
        })
    }

    /// What the runtime says of its health: `RuntimeReady` and `NetworkReady`.
    pub async fn ready(&self) -> Result<Vec<Condition>, CriError> {
        let request = proto::StatusRequest { verbose: false };
        let answer: proto::StatusResponse = self.call(RUNTIME, "Status", request, READ).await?;
        let conditions = answer.status.unwrap_or_default().conditions;
        Ok(conditions
            .into_iter()
            .map(|wire| Condition {
                kind: wire.kind,
                ok: wire.status,
                reason: wire.reason,
                message: wire.message,
            })
            .collect())
    }

    /// The image that the runtime starts every pod with, where it tells that: containerd does, in its configuration.
    pub async fn sandbox_image(&self) -> Result<Option<String>, CriError> {
        let request = proto::StatusRequest { verbose: true };
        let answer: proto::StatusResponse = self.call(RUNTIME, "Status", request, READ).await?;
        let config = answer.info.get("config").and_then(|text| serde_json::from_str::<Value>(text).ok());
        let image = config.as_ref().and_then(|config| config["sandboxImage"].as_str());
        Ok(image.filter(|image| !image.is_empty()).map(str::to_owned))
    }

    /// How the runtime manages cgroups; `None` if it cannot tell, as containerd before 2.0.
    pub async fn cgroup_driver(&self) -> Result<Option<CgroupDriver>, CriError> {
        let answer: Result<proto::RuntimeConfigResponse, _> =
            self.call(RUNTIME, "RuntimeConfig", proto::Empty {}, READ).await;
        match answer {
            Err(CriError::Unimplemented { .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(answer) => Ok(answer.linux.and_then(|linux| match linux.cgroup_driver {
                0 => Some(CgroupDriver::Systemd),
                1 => Some(CgroupDriver::Cgroupfs),
                _ => None,
            })),
        }
    }

    /// Whether an image is on this machine.
    pub async fn image_present(&self, image: &str) -> Result<bool, CriError> {
        let answer: proto::ImageStatusResponse =
            self.call(IMAGES, "ImageStatus", image_request(image), READ).await?;
        Ok(answer.image.is_some())
    }

    /// Pulls an image, within [`DEFAULT_PULL_TIMEOUT`], with the runtime's own registry configuration. Returns its id.
    /// Dropping the future stops the pull.
    pub async fn pull(&self, image: &str) -> Result<String, CriError> {
        let answer: proto::PullImageResponse =
            self.call(IMAGES, "PullImage", image_request(image), DEFAULT_PULL_TIMEOUT).await?;
        Ok(answer.image_ref)
    }

    /// All images on this machine.
    pub async fn images(&self) -> Result<Vec<Image>, CriError> {
        let answer: proto::ListImagesResponse =
            self.call(IMAGES, "ListImages", proto::Empty {}, READ).await?;
        Ok(answer.images.into_iter().map(Image::from).collect())
    }

    /// The sandboxes that a filter matches.
    pub async fn sandboxes(&self, filter: &SandboxFilter) -> Result<Vec<Sandbox>, CriError> {
        let mut labels: HashMap<_, _> = filter.labels.clone().into_iter().collect();
        if let Some(namespace) = &filter.namespace {
            labels.insert(NAMESPACE_LABEL.to_owned(), namespace.clone());
        }
        let state = filter.ready.map(|ready| proto::StateValue { state: i32::from(!ready) });
        let filter = proto::PodSandboxFilter { id: String::new(), state, label_selector: labels };
        let request = proto::ListPodSandboxRequest { filter: Some(filter) };
        let answer: proto::ListPodSandboxResponse =
            self.call(RUNTIME, "ListPodSandbox", request, READ).await?;
        Ok(answer.items.into_iter().map(Sandbox::from).collect())
    }

    /// Stops and removes a sandbox with all its containers. One that is gone is no error.
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), CriError> {
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            let request = proto::IdRequest { id: id.to_owned() };
            absent_is_done(self.call::<_, proto::Empty>(RUNTIME, method, request, CHANGE).await)?;
        }
        Ok(())
    }

    /// The containers that a filter matches.
    pub async fn containers(&self, filter: &ContainerFilter) -> Result<Vec<Container>, CriError> {
        let mut labels: HashMap<_, _> = filter.labels.clone().into_iter().collect();
        for (label, value) in [(NAMESPACE_LABEL, &filter.namespace), (CONTAINER_LABEL, &filter.name)] {
            if let Some(value) = value {
                labels.insert(label.to_owned(), value.clone());
            }
        }
        let filter = proto::ContainerFilter {
            id: String::new(),
            state: filter.state.map(|state| proto::StateValue { state: state.to_wire() }),
            pod_sandbox_id: filter.sandbox.clone().unwrap_or_default(),
            label_selector: labels,
        };
        let request = proto::ListContainersRequest { filter: Some(filter) };
        let answer: proto::ListContainersResponse =
            self.call(RUNTIME, "ListContainers", request, READ).await?;
        Ok(answer.containers.into_iter().map(Container::from).collect())
    }

    /// One container in detail.
    ///
    /// # Errors
    /// [`CriError::NotFound`] if it is gone.
    pub async fn container_status(&self, id: &str) -> Result<ContainerStatus, CriError> {
        let request = proto::ContainerStatusRequest { container_id: id.to_owned() };
        let answer: proto::ContainerStatusResponse =
            self.call(RUNTIME, "ContainerStatus", request, READ).await?;
        let message = "the runtime sent no status".to_owned();
        answer
            .status
            .map(ContainerStatus::from)
            .ok_or(CriError::NotFound { call: "ContainerStatus", message })
    }

    /// Stops a container: asks it to end, and kills it after `grace` (whole seconds). One that is gone is no error, nor is
    /// one that ends by itself at this moment: containerd then loses its shim in the middle of the call, and refuses.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), CriError> {
        let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let request = proto::StopContainerRequest { container_id: id.to_owned(), timeout: seconds };
        let limit = CHANGE.saturating_add(grace);
        let answer =
            absent_is_done(self.call::<_, proto::Empty>(RUNTIME, "StopContainer", request, limit).await);
        match answer {
            Err(CriError::Call { .. }) if self.ends(id).await => Ok(()),
            answer => answer,
        }
    }

    /// Whether a container has ended, or does within [`ENDS_WITHIN`]: a runtime learns of the end of a process by an event.
    async fn ends(&self, id: &str) -> bool {
        let began = Instant::now();
        loop {
            let ended = match self.container_status(id).await {
                Ok(status) => status.state == ContainerState::Exited,
                Err(error) => matches!(error, CriError::NotFound { .. }),
            };
            if ended || began.elapsed() > ENDS_WITHIN {
                return ended;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Removes a container, killing it if it runs. One that is gone is no error.
    pub async fn remove_container(&self, id: &str) -> Result<(), CriError> {
        let request = proto::IdRequest { id: id.to_owned() };
        absent_is_done(self.call::<_, proto::Empty>(RUNTIME, "RemoveContainer", request, CHANGE).await)
    }

    async fn call<Q, R>(
        &self,
        service: &'static str,
        method: &'static str,
        request: Q,
        limit: Duration,
    ) -> Result<R, CriError>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        self.send(service, method, request, limit)
            .await
            .map_err(|status| CriError::of_call(method, limit, &status))
    }

    async fn send<Q, R>(
        &self,
        service: &str,
        method: &str,
        request: Q,
        limit: Duration,
    ) -> Result<R, Box<Status>>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(format!("/{service}/{method}"))
            .map_err(|error| Box::new(Status::internal(error.to_string())))?;
        let mut request = Request::new(request);
        // Told to the runtime as well, which then stops working for us; a pull ends on its side too.
        request.set_timeout(limit);
        let exchange = async {
            let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
            grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            grpc.unary(request, path, ProstCodec::default()).await.map(tonic::Response::into_inner)
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(answer) => answer.map_err(Box::new),
            Err(_) => Err(Box::new(Status::deadline_exceeded("no answer in time"))),
        }
    }
}

fn image_request(image: &str) -> proto::ImageRequest {
    proto::ImageRequest { image: Some(proto::ImageSpec { image: image.to_owned() }) }
}

fn absent_is_done(result: Result<proto::Empty, CriError>) -> Result<(), CriError> {
    match result {
        Ok(_) | Err(CriError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
