//! Waiting until something holds, and saying why it does not.

use std::{
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use futures::future::{BoxFuture, FutureExt, join_all};

use super::{
    Event,
    act::ActCx,
    crash::{Crashing, crash_loop},
    diagnosis::diagnose,
};
use crate::{
    etcd::EtcdAccess,
    host::{ApiAccess, HealthTarget, Probe},
    kube::ObjectRef,
};

/// First pause between two looks; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(15);
const LONGEST_PAUSE: Duration = Duration::from_millis(60);
/// Calls to the API server are repeated within their own, longer time: a wait must know sooner what is missing.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// Something that can become true.
#[derive(Debug, Clone)]
pub enum Condition {
    /// A health endpoint answers 200.
    Healthy {
        /// What people call it.
        what: String,
        /// Where.
        target: HealthTarget,
    },
    /// The API server answers 200 on this path for this user.
    ApiHealthy {
        /// How to reach it.
        access: ApiAccess,
        /// For example `/readyz`.
        path: String,
    },
    /// An object exists.
    ObjectExists {
        /// How to reach the API server.
        access: ApiAccess,
        /// Which.
        target: ObjectRef,
    },
    /// A pod of this image is ready, as the API server sees it.
    PodReady {
        /// How to reach the API server.
        access: ApiAccess,
        /// Which.
        target: ObjectRef,
        /// The image of its first container.
        image: String,
    },
    /// A node is Ready, with a kubelet of this version.
    NodeReady {
        /// How to reach the API server.
        access: ApiAccess,
        /// Which.
        target: ObjectRef,
        /// `v1.37.2`.
        version: String,
    },
    /// The etcd member at a peer URL has started: it has told the others its name.
    EtcdStarted {
        /// How to reach the others.
        access: EtcdAccess,
        /// Where the others reach it.
        peer_url: String,
    },
    /// A file exists.
    FileExists {
        /// Which.
        path: std::path::PathBuf,
    },
    /// All of them, watched concurrently.
    All(Vec<Condition>),
    /// The inner one holds, all of it in one look, in every look for so long.
    Steady {
        /// What must hold.
        condition: Box<Condition>,
        /// How long.
        during: Duration,
    },
    /// The inner one, while the kubelet that has to bring it about is watched for a crash loop.
    ByKubelet {
        /// The runtime's socket URL, for the state and logs of its containers.
        socket: String,
        /// What must hold.
        condition: Box<Condition>,
    },
}

impl Condition {
    /// A phrase that follows "until".
    pub fn describe(&self) -> String {
        match self {
            Self::Healthy { what, target } => format!("{what} is healthy ({})", target.url),
            Self::ApiHealthy { path, .. } => format!("the API server answers {path}"),
            Self::ObjectExists { target, .. } => format!("{target} exists"),
            Self::PodReady { target, image, .. } => format!("{target} of {image} is ready"),
            Self::NodeReady { target, version, .. } => format!("{target} is Ready with {version}"),
            Self::EtcdStarted { peer_url, .. } => format!("the etcd member at {peer_url} has started"),
            Self::FileExists { path } => format!("{} exists", path.display()),
            Self::All(conditions) if conditions.is_empty() => "the kubelet is started".into(),
            Self::All(conditions) => conditions.iter().map(Self::describe).collect::<Vec<_>>().join(" and "),
            Self::ByKubelet { condition, .. } => condition.describe(),
            Self::Steady { condition, during } => {
                format!("for {} s {}", during.as_secs(), condition.describe())
            }
        }
    }
}

/// Why a wait ended without what it waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Time is up.
    #[error("after {} s still missing: {}{}", .waited.as_secs(), .missing.join("; "), indented(.diagnosis))]
    TimedOut {
        /// How long.
        waited: Duration,
        /// What does not hold, with the last answer.
        missing: Vec<String>,
        /// What the kubelet and the containers say.
        diagnosis: Vec<String>,
        /// What says how long, where anything does.
        setting: Option<&'static str>,
    },
    /// The kubelet, or a component that it runs, cannot stay up.
    #[error("{what} crashes again and again ({restarts} restarts){}", indented(.diagnosis))]
    CrashLoop {
        /// Which.
        what: String,
        /// How often it was started again.
        restarts: u32,
        /// Its last words.
        diagnosis: Vec<String>,
    },
}

impl WaitError {
    /// What the operator can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::TimedOut { setting, .. } => {
                let more = "the kubelet's log says more: journalctl -u kubelet".to_owned();
                let slow = setting
                    .map(|setting| format!("if the machine is only slow, raise {setting} in the configuration"));
                std::iter::once(more).chain(slow).collect()
            }
            Self::CrashLoop { .. } => vec![
                "the whole log: journalctl -u kubelet".into(),
                "check the KubeletConfiguration, nodeRegistration.kubeletExtraArgs and the extraArgs of the components".into(),
            ],
        }
    }
}

fn indented(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "\n  " + line)
}

/// Waits until the condition holds.
///
/// # Errors
/// Time is up, or the kubelet crashes; with what the machine's logs say about it.
pub async fn wait(
    cx: &ActCx<'_>,
    condition: &Condition,
    timeout: Duration,
    setting: Option<&'static str>,
) -> Result<(), WaitError> {
    let (started, began) = (Instant::now(), SystemTime::now());
    let missing = Missing { cx, lines: Mutex::new(vec![]) };
    let all = hold(cx, condition, &missing);
    let watched = async {
        let Some(socket) = kubelet_socket(condition) else {
            all.await;
            return Ok(());
        };
        tokio::select! {
            () = all => Ok(()),
            crashing = crash_loop(cx.host.probe(), socket) => Err(crashing),
        }
    };
    let error = match tokio::time::timeout(timeout, watched).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(crashing)) => Some(crashing),
        Err(_) => None,
    };
    let diagnosis = match kubelet_socket(condition) {
        Some(socket) => diagnose(cx.host.probe(), socket, began).await,
        None => vec![],
    };
    Err(match error {
        Some(Crashing { what, restarts }) => WaitError::CrashLoop { what, restarts, diagnosis },
        None => {
            WaitError::TimedOut { waited: started.elapsed(), missing: missing.lines(), diagnosis, setting }
        }
    })
}

/// What does not hold yet, told to watchers whenever it changes.
struct Missing<'a> {
    cx: &'a ActCx<'a>,
    lines: Mutex<Vec<(String, String)>>,
}

impl Missing<'_> {
    fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().map(|lines| lines.clone()).unwrap_or_default();
        lines.into_iter().map(|(what, answer)| format!("{what}: {answer}")).collect()
    }

    fn set(&self, what: &str, answer: Option<String>) {
        let Ok(mut lines) = self.lines.lock() else { return };
        let before = lines.len();
        lines.retain(|(known, _)| known != what);
        let is_new = lines.len() == before;
        let arrived = answer.is_some() && is_new;
        lines.extend(answer.map(|answer| (what.to_owned(), answer)));
        if arrived || (lines.len() < before && !lines.is_empty()) {
            let missing = lines.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>().join(", ");
            self.cx.reporter.report(Event::Waiting { phase: self.cx.phase.to_owned(), missing });
        }
    }
}

/// Returns when the condition holds.
fn hold<'a>(cx: &'a ActCx<'a>, condition: &'a Condition, missing: &'a Missing<'a>) -> BoxFuture<'a, ()> {
    async move {
        match condition {
            Condition::All(conditions) => {
                join_all(conditions.iter().map(|condition| hold(cx, condition, missing))).await;
            }
            Condition::ByKubelet { condition, .. } => hold(cx, condition, missing).await,
            Condition::Steady { condition, during } => loop {
                hold(cx, condition, missing).await;
                let since = Instant::now();
                while holds_now(cx.host.probe(), condition).await {
                    if since.elapsed() >= *during {
                        return;
                    }
                    tokio::time::sleep(LONGEST_PAUSE).await;
                }
            },
            single => {
                let mut pause = FIRST_PAUSE;
                let what = name(single);
                while let Err(answer) = look(cx.host.probe(), single).await {
                    missing.set(&what, Some(answer));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                missing.set(&what, None);
            }
        }
    }
    .boxed()
}

/// All of it, in one look.
fn holds_now<'a>(host: &'a dyn Probe, condition: &'a Condition) -> BoxFuture<'a, bool> {
    async move {
        match condition {
            Condition::All(conditions) => {
                let looks = conditions.iter().map(|condition| holds_now(host, condition));
                join_all(looks).await.into_iter().all(|holds| holds)
            }
            Condition::ByKubelet { condition, .. } | Condition::Steady { condition, .. } => {
                holds_now(host, condition).await
            }
            single => look(host, single).await.is_ok(),
        }
    }
    .boxed()
}

fn name(condition: &Condition) -> String {
    match condition {
        Condition::Healthy { what, .. } => what.clone(),
        Condition::ApiHealthy { path, .. } => format!("API server {path}"),
        Condition::ObjectExists { target, .. }
        | Condition::PodReady { target, .. }
        | Condition::NodeReady { target, .. } => target.to_string(),
        Condition::EtcdStarted { .. } => "the etcd member".into(),
        Condition::FileExists { path } => path.display().to_string(),
        Condition::All(_) | Condition::ByKubelet { .. } | Condition::Steady { .. } => String::new(),
    }
}

async fn look(host: &dyn Probe, condition: &Condition) -> Result<(), String> {
    let health = match condition {
        Condition::Healthy { target, .. } => host.health(target).await?,
        Condition::ApiHealthy { access, path } => host.api_health(access, path).await?,
        Condition::ObjectExists { access, target } => return seen(host, access, target).await.map(drop),
        Condition::PodReady { access, target, image } => {
            return seen(host, access, target).await.and_then(|pod| pod_state(&pod, image));
        }
        Condition::NodeReady { access, target, version } => {
            return seen(host, access, target).await.and_then(|node| node_state(&node, version));
        }
        Condition::EtcdStarted { access, peer_url } => return etcd_started(host, access, peer_url).await,
        Condition::FileExists { path } => {
            return match host.stat(path).await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err("does not exist yet".into()),
                Err(error) => Err(error.to_string()),
            };
        }
        Condition::All(_) | Condition::ByKubelet { .. } | Condition::Steady { .. } => return Ok(()),
    };
    if health.status == 200 {
        return Ok(());
    }
    Err(format!("status {}: {}", health.status, health.body.lines().last().unwrap_or_default()))
}

/// The object, within a time that a wait can bear.
async fn seen(host: &dyn Probe, access: &ApiAccess, target: &ObjectRef) -> Result<serde_json::Value, String> {
    match tokio::time::timeout(LONGEST_LOOK, host.object(access, target)).await {
        Ok(Ok(Some(object))) => Ok(object),
        Ok(Ok(None)) => Err("does not exist yet".into()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the API server does not answer".into()),
    }
}

fn node_state(node: &serde_json::Value, version: &str) -> Result<(), String> {
    let running = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default();
    if running != version {
        return Err(format!("its kubelet is still {running}"));
    }
    if is_ready(node) { Ok(()) } else { Err("is not Ready yet".into()) }
}

fn is_ready(object: &serde_json::Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// Whether a pod is of this image and ready; else what it is.
pub fn pod_state(pod: &serde_json::Value, image: &str) -> Result<(), String> {
    if pod["spec"]["containers"][0]["image"] != image {
        return Err("is still the one of before".into());
    }
    if is_ready(pod) { Ok(()) } else { Err("is not ready yet".into()) }
}

async fn etcd_started(host: &dyn Probe, access: &EtcdAccess, peer_url: &str) -> Result<(), String> {
    let members = match tokio::time::timeout(LONGEST_LOOK, host.etcd_members(access)).await {
        Ok(members) => members.map_err(|error| error.to_string())?,
        Err(_) => return Err("the other members do not answer".into()),
    };
    match members.iter().find(|member| member.peer_urls.iter().any(|url| url == peer_url)) {
        Some(member) if member.has_started() => Ok(()),
        Some(_) => Err("it has not started yet".into()),
        None => Err("it was removed".into()),
    }
}

fn kubelet_socket(condition: &Condition) -> Option<&str> {
    match condition {
        Condition::ByKubelet { socket, .. } => Some(socket),
        Condition::All(conditions) => conditions.iter().find_map(kubelet_socket),
        _ => None,
    }
}
