//! Names of patch files.

/// What a patch changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchTarget {
    /// Static pod of etcd.
    Etcd,
    /// Static pod of kube-apiserver.
    ApiServer,
    /// Static pod of kube-controller-manager.
    ControllerManager,
    /// Static pod of kube-scheduler.
    Scheduler,
    /// The kubelet's configuration on this node.
    KubeletConfiguration,
    /// Deployment of CoreDNS.
    CoreDnsDeployment,
    /// DaemonSet of kube-proxy; kubeadm knows it since 1.37.
    KubeProxyDaemonSet,
}

impl PatchTarget {
    /// All of them, by the names that files begin with.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("etcd", Self::Etcd),
        ("kube-apiserver", Self::ApiServer),
        ("kube-controller-manager", Self::ControllerManager),
        ("kube-scheduler", Self::Scheduler),
        ("kubeletconfiguration", Self::KubeletConfiguration),
        ("corednsdeployment", Self::CoreDnsDeployment),
        ("kubeproxydaemonset", Self::KubeProxyDaemonSet),
    ];
}

/// How a patch is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// Kubernetes' own: lists of named things are merged by name.
    Strategic,
    /// RFC 7386: maps are merged, lists replaced.
    Merge,
    /// RFC 6902: a list of operations.
    Json,
}

/// A name that is not one of a patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Neither `.yaml` nor `.json`.
    #[error("the file extension must be one of [json yaml]")]
    Extension,
    /// No known target at the start.
    #[error(
        "the name must begin with one of [etcd kube-apiserver kube-controller-manager kube-scheduler \
             kubeletconfiguration corednsdeployment kubeproxydaemonset]"
    )]
    Target,
    /// A type that does not exist.
    #[error("patch type {0:?} must be one of [strategic merge json]")]
    Type(String),
}

/// Reads the name of a file.
pub fn parse_name(file: &str) -> Result<(PatchTarget, PatchType), NameError> {
    let stem =
        file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".json")).ok_or(NameError::Extension)?;
    let mut parts = stem.split('+');
    // What follows a second `+` is ignored, as kubeadm does.
    let (front, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("strategic"));
    let target =
        PatchTarget::NAMES.iter().find(|(name, _)| front.starts_with(name)).ok_or(NameError::Target)?.1;
    let kind = match kind {
        "strategic" => PatchType::Strategic,
        "merge" => PatchType::Merge,
        "json" => PatchType::Json,
        other => return Err(NameError::Type(other.to_owned())),
    };
    Ok((target, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_target_a_suffix_and_a_type() {
        use {PatchTarget as Target, PatchType as Type};
        for (file, expected) in [
            ("etcd.yaml", Ok((Target::Etcd, Type::Strategic))),
            ("kube-apiserver10-audit+merge.json", Ok((Target::ApiServer, Type::Merge))),
            ("kubeproxydaemonset+json.yaml", Ok((Target::KubeProxyDaemonSet, Type::Json))),
            ("etcd.yml", Err(NameError::Extension)),
            ("kube-proxy.yaml", Err(NameError::Target)),
            ("etcd+yaml.yaml", Err(NameError::Type("yaml".into()))),
            ("etcd+merge+json.yaml", Ok((Target::Etcd, Type::Merge))),
        ] {
            assert_eq!(parse_name(file), expected, "{file}");
        }
    }
}
