//! The API server and the container runtime, over clients that are made once.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::LocalHost;
use crate::{
    cri::{self, ContainerFilter, CriClient, SandboxFilter},
    health::{self, Tls},
    host::{ApiAccess, ContainerState, Health, HealthTarget, HostError, Probe, Sandbox, Trust},
    kube::{KubeClient, Options},
    text::sha256_hex,
};

/// A health question that takes longer is asked anew.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// A health body is shown to people; a component that answers pages of text has said enough by then.
const BODY_LIMIT: usize = 4096;

impl LocalHost {
    pub(super) async fn client(&self, access: &ApiAccess) -> Result<Arc<KubeClient>, HostError> {
        let yaml = self.read(&access.kubeconfig).await?.ok_or_else(|| HostError::File {
            what: "read",
            path: access.kubeconfig.clone(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let key = (access.clone(), sha256_hex(&yaml));
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(&key) {
            return Ok(Arc::clone(client));
        }
        let options = Options { server: access.server.clone(), call_timeout: self.api_timeout };
        let client = Arc::new(KubeClient::with_options(&yaml, &options)?);
        clients.insert(key, Arc::clone(&client));
        Ok(client)
    }

    pub(super) async fn runtime(&self, socket: &str) -> Result<Arc<CriClient>, HostError> {
        let mut runtimes = self.runtimes.lock().await;
        if let Some(runtime) = runtimes.get(socket) {
            return Ok(Arc::clone(runtime));
        }
        let endpoint = match socket.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            Some(path) => format!("unix://{}", self.real(Path::new(path)).display()),
            None => socket.to_owned(),
        };
        let runtime = Arc::new(CriClient::connect(&endpoint).await?);
        runtimes.insert(socket.to_owned(), Arc::clone(&runtime));
        Ok(runtime)
    }

    pub(super) async fn ask_health(&self, target: &HealthTarget) -> Result<Health, String> {
        let tls = match &target.trust {
            Trust::Plain => Tls::PLAIN,
            Trust::Insecure => Tls::INSECURE,
            Trust::Ca(path) => Tls::ca(self.must_read(path).await?),
            Trust::Client { ca, certificate, key } => Tls {
                identity: Some(health::Identity {
                    certificate: self.must_read(certificate).await?,
                    key: self.must_read(key).await?.into(),
                }),
                ..Tls::ca(self.must_read(ca).await?)
            },
        };
        match health::probe_http(&target.url, &tls).await {
            Ok(answer) => Ok(cut(answer.status, answer.body)),
            Err(error) => Err(with_source(&error)),
        }
    }

    async fn must_read(&self, path: &Path) -> Result<Vec<u8>, String> {
        match self.read(path).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(format!("{} is missing", path.display())),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn ask_api_health(&self, access: &ApiAccess, path: &str) -> Result<Health, String> {
        let client = self.client(access).await.map_err(|error| error.to_string())?;
        match tokio::time::timeout(HEALTH_TIMEOUT, client.raw_get(path)).await {
            Ok(Ok((status, body))) => Ok(cut(status, body)),
            Ok(Err(error)) => Err(with_source(&error)),
            Err(_) => Err(format!("no answer within {} s", HEALTH_TIMEOUT.as_secs())),
        }
    }

    pub(super) async fn list_sandboxes(&self, socket: &str) -> Result<Vec<Sandbox>, HostError> {
        let sandboxes = self.runtime(socket).await?.sandboxes(&SandboxFilter::default()).await?;
        Ok(sandboxes
            .into_iter()
            .map(|one| Sandbox { id: one.id, pod: one.name, namespace: one.namespace, ready: one.ready })
            .collect())
    }

    pub(super) async fn list_containers(
        &self,
        socket: &str,
        namespace: &str,
    ) -> Result<Vec<ContainerState>, HostError> {
        let runtime = self.runtime(socket).await?;
        let filter = ContainerFilter { namespace: Some(namespace.to_owned()), ..ContainerFilter::default() };
        let mut newest = BTreeMap::new();
        for container in runtime.containers(&filter).await? {
            let known: Option<&cri::Container> = newest.get(&container.name);
            if known.is_none_or(|known| known.created_at < container.created_at) {
                newest.insert(container.name.clone(), container);
            }
        }
        let mut states = vec![];
        for mut container in newest.into_values() {
            let status = runtime.container_status(&container.id).await?;
            states.push(ContainerState {
                id: status.id,
                name: status.name,
                pod_uid: container.labels.remove(cri::POD_UID_LABEL).unwrap_or_default(),
                attempt: status.attempt,
                running: status.state == cri::ContainerState::Running,
                exit_code: status.exit_code,
                reason: status.reason,
                log_path: status.log_path,
            });
        }
        Ok(states)
    }
}

fn cut(status: u16, mut body: String) -> Health {
    let mut end = BODY_LIMIT.min(body.len());
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    body.truncate(end);
    Health { status, body }
}

/// The innermost cause says what a person wants to know: refused, reset, not trusted.
fn with_source(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if std::ptr::addr_eq(std::ptr::from_ref(innermost), std::ptr::from_ref(error)) {
        return error.to_string();
    }
    format!("{error}: {innermost}")
}
