use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tonic::Code;

use super::proto;
use super::*;

/// What the fake runtime does: a message, or a gRPC code and text.
type Answer = Result<Vec<u8>, (Code, &'static str)>;
type Handler = fn(&str, &[u8]) -> Answer;

/// A gRPC server on a socket in a directory of its own.
struct Runtime {
    directory: TempDir,
}

impl Runtime {
    fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("cri.sock")
    }

    fn start(handler: Handler) -> Self {
        let runtime = Self { directory: TempDir::new().unwrap() };
        let listener = UnixListener::bind(runtime.socket()).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // The client tries the socket once before it speaks.
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer(request, respond, handler));
                    }
                });
            }
        });
        runtime
    }
}

async fn answer<B>(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<B>,
    handler: Handler,
) where
    B: From<Vec<u8>> + bytes::Buf,
{
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = stream.data().await {
        body.extend_from_slice(&chunk);
    }
    // A gRPC message follows one byte of flags and four of length.
    let result = handler(head.uri.path(), &body[5..]);
    let response = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut out = respond.send_response(response, false).unwrap();
    let (code, text) = match result {
        Ok(message) => {
            let mut frame = vec![0];
            frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            frame.extend(message);
            out.send_data(frame.into(), false).unwrap();
            (Code::Ok, "")
        }
        Err(failure) => failure,
    };
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", i32::from(code).into());
    trailers.insert("grpc-message", http::HeaderValue::from_static(text));
    out.send_trailers(trailers).unwrap();
}

fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn containerd(path: &str, body: &[u8]) -> Answer {
    let image = |name: &str| proto::Image {
        id: "sha256:1".to_owned(),
        repo_tags: vec![name.to_owned()],
        ..<_>::default()
    };
    match path.rsplit('/').next().unwrap() {
        "Version" => Ok(proto::VersionResponse {
            name: "containerd".to_owned(),
            version: "1.6.20".to_owned(),
            api_version: "v1".to_owned(),
        }
        .encode_to_vec()),
        "Status" => {
            let condition =
                proto::RuntimeCondition { kind: "RuntimeReady".to_owned(), status: true, ..<_>::default() };
            let status = proto::RuntimeStatus { conditions: vec![condition] };
            let config = r#"{"containerd": {}, "sandboxImage": "registry.k8s.io/pause:3.10"}"#;
            let told = if proto::StatusRequest::decode(body).unwrap().verbose { config } else { "" };
            let info = HashMap::from([("config".to_owned(), told.to_owned())]);
            Ok(proto::StatusResponse { status: Some(status), info }.encode_to_vec())
        }
        "RuntimeConfig" => Err((Code::Unimplemented, "unknown method RuntimeConfig")),
        "ImageStatus" => {
            let wanted = proto::ImageRequest::decode(body).unwrap().image.unwrap().image;
            let found = (wanted == "registry.k8s.io/pause:3.10").then(|| image(&wanted));
            Ok(proto::ImageStatusResponse { image: found }.encode_to_vec())
        }
        "PullImage" => match proto::ImageRequest::decode(body).unwrap().image.unwrap().image.as_str() {
            "registry.k8s.io/pause:0" => Err((Code::NotFound, "no such tag")),
            _ => Err((Code::Unknown, "dial tcp: connection refused")),
        },
        "ListPodSandbox" => {
            let filter = proto::ListPodSandboxRequest::decode(body).unwrap().filter.unwrap();
            assert_eq!(
                filter.label_selector,
                labels(&[("io.kubernetes.pod.namespace", "kube-system"), ("tier", "x")])
            );
            assert_eq!(filter.state, Some(proto::StateValue { state: 0 }));
            let metadata = proto::PodSandboxMetadata { name: "etcd-cp1".to_owned(), ..<_>::default() };
            let sandbox =
                proto::PodSandbox { id: "s1".to_owned(), metadata: Some(metadata), ..<_>::default() };
            Ok(proto::ListPodSandboxResponse { items: vec![sandbox] }.encode_to_vec())
        }
        "ContainerStatus" => {
            let id = proto::ContainerStatusRequest::decode(body).unwrap().container_id;
            let status = proto::ContainerStatus {
                id,
                state: 2,
                exit_code: 137,
                reason: "OOMKilled".to_owned(),
                message: "killed".to_owned(),
                log_path: "/var/log/pods/x/0.log".to_owned(),
                ..<_>::default()
            };
            Ok(proto::ContainerStatusResponse { status: Some(status) }.encode_to_vec())
        }
        "StopPodSandbox" => Err((Code::NotFound, "no such sandbox")),
        "RemovePodSandbox" | "StopContainer" => Ok(Vec::new()),
        other => panic!("{other} is not in the script"),
    }
}

#[tokio::test]
async fn a_runtime_is_asked_and_understood() {
    let runtime = Runtime::start(containerd);
    let client = CriClient::connect(&runtime.endpoint()).await.unwrap();
    let version = client.version().await.unwrap();
    assert_eq!((version.runtime_name.as_str(), version.runtime_version.as_str()), ("containerd", "1.6.20"));
    let conditions = client.ready().await.unwrap();
    assert!(conditions[0].ok && conditions[0].kind == "RuntimeReady");
    assert_eq!(trouble(&conditions), None);
    assert_eq!(client.sandbox_image().await.unwrap().as_deref(), Some("registry.k8s.io/pause:3.10"));
    assert_eq!(client.cgroup_driver().await.unwrap(), None);
    assert!(client.image_present("registry.k8s.io/pause:3.10").await.unwrap());
    assert!(!client.image_present("registry.k8s.io/pause:0").await.unwrap());

    let filter = SandboxFilter {
        labels: BTreeMap::from([("tier".to_owned(), "x".to_owned())]),
        namespace: Some("kube-system".to_owned()),
        ready: Some(true),
    };
    assert_eq!(client.sandboxes(&filter).await.unwrap()[0].name, "etcd-cp1");
    let status = client.container_status("c1").await.unwrap();
    assert_eq!((status.state, status.exit_code), (ContainerState::Exited, 137));
    assert_eq!((status.reason.as_str(), status.log_path.as_str()), ("OOMKilled", "/var/log/pods/x/0.log"));
    client.stop_container("c1", Duration::from_secs(1)).await.unwrap();
}

#[test]
fn a_runtime_that_is_not_ready_says_why() {
    let condition = |kind: &str, ok| Condition {
        kind: kind.to_owned(),
        ok,
        reason: "Broken".to_owned(),
        message: "no snapshotter".to_owned(),
    };
    let network = condition("NetworkReady", false);
    assert_eq!(trouble(&[condition("RuntimeReady", true), network.clone()]), None);
    assert_eq!(
        trouble(&[condition("RuntimeReady", false), network.clone()]).unwrap(),
        "container runtime condition \"RuntimeReady\" is not true. reason: Broken, message: no snapshotter"
    );
    assert_eq!(
        trouble(&[network]).unwrap(),
        "container runtime does not tell its condition \"RuntimeReady\""
    );
}

#[tokio::test]
async fn what_is_gone_counts_as_removed_but_not_as_pulled() {
    let runtime = Runtime::start(containerd);
    let client = CriClient::connect(&runtime.endpoint()).await.unwrap();
    client.remove_sandbox("gone").await.unwrap();
    let error = client.pull("registry.k8s.io/pause:0").await.unwrap_err();
    assert!(
        matches!(error, CriError::NotFound { call: "PullImage", .. }) && !error.is_transient(),
        "{error:?}"
    );
    let error = client.pull("registry.k8s.io/pause:1").await.unwrap_err();
    assert!(matches!(error, CriError::Pull { .. }) && error.is_transient(), "{error:?}");
}

/// What containerd says when the process ends while it is told to.
const SHIM_GONE: Answer = Err((Code::Unknown, "failed to kill: ttrpc: closed: unknown"));

fn state_of(id: &str, state: i32) -> Vec<u8> {
    let status = proto::ContainerStatus { id: id.to_owned(), state, ..<_>::default() };
    proto::ContainerStatusResponse { status: Some(status) }.encode_to_vec()
}

#[tokio::test]
async fn a_container_that_ends_by_itself_while_it_is_stopped_has_been_stopped() {
    let runtime = Runtime::start(|path, body| {
        static LOOKS: AtomicUsize = AtomicUsize::new(0);
        match path.rsplit('/').next().unwrap() {
            "StopContainer" => SHIM_GONE,
            // The runtime still counts it as running for a moment.
            "ContainerStatus" => {
                Ok(state_of("c1", if LOOKS.fetch_add(1, Ordering::SeqCst) < 3 { 1 } else { 2 }))
            }
            _ => containerd(path, body),
        }
    });
    let client = CriClient::connect(&runtime.endpoint()).await.unwrap();
    client.stop_container("c1", Duration::from_secs(1)).await.unwrap();
}

#[tokio::test]
async fn a_container_that_goes_on_running_has_not_been_stopped() {
    let runtime = Runtime::start(|path, body| match path.rsplit('/').next().unwrap() {
        "StopContainer" => SHIM_GONE,
        "ContainerStatus" => Ok(state_of("c1", 1)),
        _ => containerd(path, body),
    });
    let client = CriClient::connect(&runtime.endpoint()).await.unwrap();
    let error = client.stop_container("c1", Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "StopContainer failed with Unknown: failed to kill: ttrpc: closed: unknown"
    );
}

#[tokio::test]
async fn cgroup_driver_is_read_when_the_runtime_tells_it() {
    let runtime = Runtime::start(|path, body| {
        if !path.ends_with("/RuntimeConfig") {
            return containerd(path, body);
        }
        let linux = proto::LinuxRuntimeConfiguration { cgroup_driver: 1 };
        Ok(proto::RuntimeConfigResponse { linux: Some(linux) }.encode_to_vec())
    });
    let client = CriClient::connect(&runtime.endpoint()).await.unwrap();
    assert_eq!(client.cgroup_driver().await.unwrap(), Some(CgroupDriver::Cgroupfs));
}

#[tokio::test]
async fn ways_not_to_reach_a_runtime_are_told_apart() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let connect = |name: &str| {
        let endpoint = format!("unix://{}", path(name).display());
        async move { CriClient::connect(&endpoint).await.unwrap_err() }
    };
    let error = connect("none.sock").await;
    assert!(matches!(error, CriError::Missing { .. }) && error.is_transient(), "{error:?}");

    drop(UnixListener::bind(path("dead.sock")).unwrap());
    let error = connect("dead.sock").await;
    assert!(matches!(error, CriError::Refused { .. }) && error.is_transient(), "{error:?}");

    let error = CriClient::connect("tcp://127.0.0.1:1").await.unwrap_err();
    assert!(matches!(error, CriError::Endpoint { .. }), "{error:?}");

    let runtime =
        Runtime::start(|_, _| Err((Code::Unimplemented, "unknown service runtime.v1.RuntimeService")));
    let error = CriClient::connect(&runtime.endpoint()).await.unwrap_err();
    assert!(matches!(error, CriError::NotCri { .. }) && !error.is_transient(), "{error:?}");
    assert!(error.to_string().ends_with("unknown service runtime.v1.RuntimeService"), "{error}");
}

#[tokio::test]
async fn an_http1_daemon_is_not_a_runtime() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("docker.sock");
    let listener = Arc::new(UnixListener::bind(&socket).unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        }
    });
    let error = CriClient::connect(&format!("unix://{}", socket.display())).await.unwrap_err();
    assert!(matches!(error, CriError::NotCri { .. }), "{error:?}");
}
