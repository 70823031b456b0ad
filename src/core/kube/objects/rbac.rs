//! Roles and bindings in the few shapes that are needed.

use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Who a binding is for.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A group of users.
    Group(&'a str),
    /// One user.
    User(&'a str),
}

impl Subject<'_> {
    fn to_json(self) -> Value {
        let (kind, name) = match self {
            Self::Group(name) => ("Group", name),
            Self::User(name) => ("User", name),
        };
        json!({"kind": kind, "name": name})
    }
}

/// A Role that may get one named object of the core group.
pub fn getter_role(namespace: &str, name: &str, resource: &str, object: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": [{"apiGroups": [""], "resourceNames": [object], "resources": [resource], "verbs": ["get"]}],
    })
}

/// A RoleBinding to the Role of the same name.
pub fn role_binding(namespace: &str, name: &str, subjects: &[Subject<'_>]) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name},
        "subjects": subjects.iter().map(|subject| subject.to_json()).collect::<Vec<_>>(),
    })
}

/// A ClusterRoleBinding.
pub fn cluster_role_binding(name: &str, cluster_role: &str, subject: Subject<'_>) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": cluster_role},
        "subjects": [subject.to_json()],
    })
}
