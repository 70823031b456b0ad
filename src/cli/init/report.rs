//! What `rkadm init` says when it is done.

use std::sync::Arc;

use rkadm_core::{
    config::ResolvedInit,
    engine::{PlanCx, PlanMode, RunReport, operation::PhaseLine, store::Store},
    host::LocalHost,
};
use rkadm_phases::init::{
    self, CERTIFICATE_KEY, Cluster, Environment, JOIN_OUTPUT, JoinCommand, PREFLIGHT_OUTPUT, TOKEN, Told,
};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{Session, exit::CommandError, plan};

/// The result of `rkadm init`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InitResult {
    operation: String,
    changed: bool,
    kubernetes_version: String,
    node_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<Join>,
    phases: Vec<PhaseLine>,
}

/// What other nodes need.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    #[serde(flatten)]
    command: JoinCommand,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_key: Option<String>,
}

/// Prints the result of a whole `init`.
pub fn finished(session: &Session, config: &ResolvedInit, done: &RunReport) {
    let result = InitResult {
        operation: done.operation.clone(),
        changed: true,
        kubernetes_version: config.kubernetes_version.to_string(),
        node_name: config.node_name().to_owned(),
        join: Join::of(config, done),
        phases: done.phases.clone(),
    };
    session.printer.result("InitResult", &result, || text(&result));
}

fn text(result: &InitResult) -> String {
    let out = format!(
        "Your Kubernetes {} control plane on {} is ready.\n\n\
         To use it as root:\n\n  export KUBECONFIG=/etc/kubernetes/admin.conf\n\n\
         As another user:\n\n  mkdir -p $HOME/.kube\n  sudo cp -i /etc/kubernetes/admin.conf $HOME/.kube/config\n  \
         sudo chown $(id -u):$(id -g) $HOME/.kube/config\n\n\
         Next, deploy a pod network: kubectl apply -f [podnetwork].yaml\n\
         (https://kubernetes.io/docs/concepts/cluster-administration/addons/)\n",
        result.kubernetes_version, result.node_name
    );
    out + &result.join.as_ref().map(Join::text).unwrap_or_default()
}

impl Join {
    /// From what a run left.
    pub fn of(config: &ResolvedInit, done: &RunReport) -> Option<Self> {
        let command = done.outputs.get(JOIN_OUTPUT)?;
        Some(Self {
            command: serde_json::from_value(command.clone()).ok()?,
            token: secret(done, TOKEN, config.skip_token_print),
            certificate_key: secret(done, CERTIFICATE_KEY, config.skip_certificate_key_print),
        })
    }

    /// The commands.
    pub fn text(&self) -> String {
        let token = self.token.as_deref().unwrap_or("<value withheld>");
        let mut base = format!("kubeadm join {} --token {token}", self.command.endpoint);
        for hash in std::iter::once(&self.command.ca_cert_hash).chain(&self.command.more_ca_cert_hashes) {
            base += &format!(" \\\n    --discovery-token-ca-cert-hash {hash}");
        }
        let mut out = String::new();
        if self.command.control_planes {
            out += &format!("\nOther control planes join with, as root:\n\n  {base} \\\n    --control-plane");
            match &self.certificate_key {
                Some(key) => {
                    out += &format!(
                        " --certificate-key {key}\n\nThe certificate key gives access to the cluster's keys: keep it secret. The uploaded files are deleted in two hours.\n"
                    );
                }
                None => {
                    out += "\n\nafter the files of /etc/kubernetes/pki were copied to them (or use --upload-certs).\n";
                }
            }
        }
        out + &format!(
            "\nWorkers join with, as root:\n\n  {base}\n\n`rkadm join` takes the same words as `kubeadm join`.\n"
        )
    }
}

/// What a run of preflight alone found that did not stop it.
#[derive(Debug, Serialize)]
struct PreflightReport<'a> {
    operation: &'a str,
    findings: Vec<Told>,
}

fn preflight_text(report: &PreflightReport<'_>) -> String {
    let ignored = report.findings.iter().filter(|told| told.ignored).count();
    match report.findings.len() - ignored {
        0 if ignored == 0 => "All checks passed, and all images are here.\n".into(),
        warnings => format!(
            "No check speaks against a control plane here; {warnings} warned, {ignored} failed and were ignored.\n"
        ),
    }
}

/// Prints the result of single phases.
pub fn phase_finished(session: &Session, config: &ResolvedInit, done: &RunReport) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct PhaseResult<'a> {
        operation: &'a str,
        phases: &'a [PhaseLine],
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        certificate_key: Option<String>,
    }
    if let Some(findings) = done.outputs.get(PREFLIGHT_OUTPUT) {
        let findings = serde_json::from_value(findings.clone()).unwrap_or_default();
        let report = PreflightReport { operation: &done.operation, findings };
        session.printer.result("PreflightReport", &report, || preflight_text(&report));
        return;
    }
    let ran = |phase: &str| done.phases.iter().any(|line| line.phase == phase);
    let token = secret(done, TOKEN, config.skip_token_print || !ran("bootstrap-token"));
    let key = secret(done, CERTIFICATE_KEY, config.skip_certificate_key_print || !ran("upload-certs"));
    let result =
        PhaseResult { operation: &done.operation, phases: &done.phases, token, certificate_key: key };
    session.printer.result("PhaseResult", &result, || {
        let token = result.token.iter().map(|token| format!("Bootstrap token: {token}\n"));
        let key = result.certificate_key.iter().map(|key| format!("Certificate key: {key}\n"));
        token.chain(key).collect()
    });
}

fn secret(done: &RunReport, name: &str, hidden: bool) -> Option<String> {
    done.secrets.iter().find(|(known, _)| known == name && !hidden).map(|(_, secret)| secret.clone())
}

/// Prints the objects of an addon, as kubeadm's `--print-manifest`.
pub async fn manifests(
    session: &Session,
    host: &LocalHost,
    config: Arc<ResolvedInit>,
    environment: &Environment,
    phase: &str,
) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Manifests {
        items: Vec<Value>,
    }
    let cluster = Cluster::new(config, environment.clone());
    let store = Store::default();
    let cx = PlanCx { host, store: &store, mode: PlanMode::DryRun, reporter: session.reporter.as_ref() };
    let addon = phase.trim_start_matches("addon/");
    let items =
        init::addon_manifests(&cx, &cluster, addon).await.map_err(|error| plan::failed(phase, error))?;
    let manifests = Manifests { items };
    session.printer.result("Manifests", &manifests, || {
        let texts: Vec<_> = manifests.items.iter().map(rkadm_core::yaml::to_string).collect();
        format!("---\n{}", texts.join("---\n"))
    });
    Ok(())
}
