//! What each kind may hold, as data: names, types and a line of documentation. The checker here, the JSON schema and the
//! reference in docs/ all come from it.

mod check;
mod json;
mod kube_proxy;
mod kubeadm;
mod kubelet;
pub(crate) mod v1beta3;

pub use check::check;
pub use json::json_schema;

use super::error::ConfigError;
use super::types::KUBEADM_API_VERSION;

/// One field of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Name in the file.
    pub name: &'static str,
    /// What the value must be.
    pub value: Type,
    /// What the field means.
    pub doc: &'static str,
    /// What is used when it is not given: a value, or words when there is a space in it. Empty when there is no default,
    /// or when it is not rkadm's.
    pub default: &'static str,
    /// The field must be given.
    pub required: bool,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// A text.
    Text,
    /// True or false.
    Bool,
    /// A whole number within bounds.
    Int {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A TCP port, 0 to 65535.
    Port,
    /// A number.
    Float,
    /// A Go duration as text, `1h30m`.
    Duration,
    /// A Go duration or a number of nanoseconds.
    DurationOrInt,
    /// A Kubernetes quantity, `100Mi` or a number.
    Quantity,
    /// An RFC 3339 time as text.
    Time,
    /// One of some texts.
    Enum(&'static [&'static str]),
    /// A list of one type.
    List(&'static Type),
    /// Names to values of one type.
    Map(&'static Type),
    /// Known fields.
    Object(&'static [Field]),
    /// Not checked here.
    Any,
}

/// A Go `int32`.
pub(crate) const INT32: Type = Type::Int { min: i32::MIN as i64, max: i32::MAX as i64 };
/// A Go `uint32`.
pub(crate) const UINT32: Type = Type::Int { min: 0, max: u32::MAX as i64 };
/// A Go `int64`.
pub(crate) const INT64: Type = Type::Int { min: i64::MIN, max: i64::MAX };

const fn field(name: &'static str, value: Type, doc: &'static str) -> Field {
    Field { name, value, doc, default: "", required: false }
}

const fn required(name: &'static str, value: Type, doc: &'static str) -> Field {
    Field { name, value, doc, default: "", required: true }
}

impl Field {
    /// The same with a default.
    const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }
}

/// A kind of document that rkadm reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KindSchema {
    /// Its `apiVersion`.
    pub api_version: &'static str,
    /// Its `kind`.
    pub kind: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its fields, besides `apiVersion` and `kind`.
    pub fields: &'static [Field],
}

/// The `apiVersion` of the kubelet's configuration.
pub const KUBELET_API_VERSION: &str = "kubelet.config.k8s.io/v1beta1";
/// The `apiVersion` of kube-proxy's configuration.
pub const KUBE_PROXY_API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";

/// Every kind that rkadm reads.
pub static KINDS: [KindSchema; 7] = [
    kind("InitConfiguration", "Settings of init on the first control plane", kubeadm::INIT),
    kind("ClusterConfiguration", "Settings shared by all control planes", kubeadm::CLUSTER),
    kind("JoinConfiguration", "Settings of join", kubeadm::JOIN),
    kind("ResetConfiguration", "Settings of reset", kubeadm::RESET),
    kind("UpgradeConfiguration", "Settings of upgrade", kubeadm::UPGRADE),
    KindSchema {
        api_version: KUBELET_API_VERSION,
        kind: "KubeletConfiguration",
        doc: "Settings of every kubelet",
        fields: kubelet::KUBELET,
    },
    KindSchema {
        api_version: KUBE_PROXY_API_VERSION,
        kind: "KubeProxyConfiguration",
        doc: "Settings of kube-proxy",
        fields: kube_proxy::KUBE_PROXY,
    },
];

const fn kind(kind: &'static str, doc: &'static str, fields: &'static [Field]) -> KindSchema {
    KindSchema { api_version: KUBEADM_API_VERSION, kind, doc, fields }
}

/// Finds the schema of a document from what it says it is. `None` means that the document is none of rkadm's and is
/// ignored with a warning, as kubeadm's commands do.
pub fn recognise(api_version: &str, kind: &str) -> Result<Option<&'static KindSchema>, ConfigError> {
    if api_version.is_empty() || kind.is_empty() {
        let missing = if api_version.is_empty() { "apiVersion" } else { "kind" };
        return Err(ConfigError::new("", format!("the document has no {missing}"))
            .hint("every document needs apiVersion and kind"));
    }
    if let Some(found) = KINDS.iter().find(|known| known.api_version == api_version && known.kind == kind) {
        return Ok(Some(found));
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let Some(known) = KINDS.iter().find(|known| known.kind == kind) else {
        // A mistyped kind must not mean the defaults.
        let all = KINDS.iter().chain(&v1beta3::KINDS);
        let siblings: Vec<_> = all.filter(|known| known.api_version == api_version).collect();
        if siblings.is_empty() {
            return Ok(None);
        }
        let error = ConfigError::new("kind", format!("{api_version} has no kind {kind:?}"));
        return Err(match crate::text::nearest(kind, siblings.iter().map(|known| known.kind)) {
            Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
            None => error,
        });
    };
    let (known_group, _) = known.api_version.split_once('/').unwrap_or_default();
    if group != known_group {
        return Ok(None);
    }
    let message = format!("version {version:?} of kind {kind:?} is not supported");
    Err(ConfigError::new("apiVersion", message).hint(what_to_do(known, version)))
}

/// As [`recognise`], and knows the kinds of versions that can be migrated.
pub fn recognise_old(api_version: &str, kind: &str) -> Result<Option<&'static KindSchema>, ConfigError> {
    let old = v1beta3::KINDS.iter().find(|known| known.api_version == api_version && known.kind == kind);
    old.map_or_else(|| recognise(api_version, kind), |found| Ok(Some(found)))
}

/// What to do about a version of a known kind that is not read.
fn what_to_do(known: &KindSchema, version: &str) -> String {
    let now = known.api_version;
    if known.api_version != KUBEADM_API_VERSION {
        return format!("write {now}");
    }
    match version {
        "v1beta3" if v1beta3::KINDS.iter().any(|old| old.kind == known.kind) => {
            format!("convert the file to {now} with `rkadm config migrate --old-config FILE`")
        }
        "v1beta3" => format!("the kind came with v1beta4: write {now}"),
        "v1alpha1" | "v1alpha2" | "v1alpha3" | "v1beta1" | "v1beta2" => format!(
            "convert the file with `kubeadm config migrate` of the last kubeadm that reads {version}, until it is v1beta3, \
             which `rkadm config migrate` converts to {now}"
        ),
        _ => format!("write {now}"),
    }
}
