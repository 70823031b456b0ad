//! What plans show of things that hold secrets.

use serde_json::{Value, json};

use super::content::KubeconfigContent;

/// In place of a value that is secret.
const SECRET: &str = "(secret)";
/// In place of a secret value that differs from the live one.
const CHANGED: &str = "(secret, another than before)";
/// In place of what is made when the plan is carried out.
const LATER: &str = "(made when applied)";
/// Fields of a kubeconfig's user that are no secret.
const PUBLIC_USER_FIELDS: [&str; 3] = ["client-certificate", "client-certificate-data", "client-key"];

/// An object that, if it is a Secret, has no values.
pub(super) fn secret(object: Value) -> Value {
    secrets(None, object).1
}

/// The live and the wanted object; if they are Secrets, without values, but so that it shows which ones change.
pub(super) fn secrets(mut live: Option<Value>, mut wanted: Value) -> (Option<Value>, Value) {
    if wanted.get("kind").and_then(Value::as_str) != Some("Secret") {
        return (live, wanted);
    }
    for field in ["data", "stringData"] {
        let before = live.as_ref().and_then(|live| live.get(field)).cloned().unwrap_or(Value::Null);
        for (name, value) in fields(&mut wanted, field) {
            let changed = before.get(name).is_some_and(|before| before != value);
            *value = if changed { CHANGED } else { SECRET }.into();
        }
        if let Some(live) = &mut live {
            fields(live, field).for_each(|(_, value)| *value = SECRET.into());
        }
    }
    (live, wanted)
}

fn fields<'a>(object: &'a mut Value, name: &str) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    object.get_mut(name).and_then(Value::as_object_mut).into_iter().flatten()
}

/// A kubeconfig without its users' secrets; `None` for what is no kubeconfig.
pub(super) fn kubeconfig(text: &[u8]) -> Option<String> {
    let mut file: Value = crate::yaml::from_str(std::str::from_utf8(text).ok()?).ok()?;
    if file.get("kind")? != "Config" {
        return None;
    }
    for named in file.get_mut("users")?.as_array_mut()? {
        for (name, value) in fields(named, "user") {
            if !PUBLIC_USER_FIELDS.contains(&name.as_str()) {
                *value = SECRET.into();
            }
        }
    }
    Some(crate::yaml::to_string(&file))
}

/// A kubeconfig whose certificate and key are not made yet.
pub(super) fn new_kubeconfig(file: &KubeconfigContent) -> String {
    let context = format!("{}@{}", file.user, file.cluster);
    crate::yaml::to_string(&json!({
        "apiVersion": "v1",
        "clusters": [{
            "cluster": {
                "certificate-authority-data": format!("(content of {})", file.ca.cert.display()),
                "server": file.server,
            },
            "name": file.cluster,
        }],
        "contexts": [{"context": {"cluster": file.cluster, "user": file.user}, "name": context}],
        "current-context": context,
        "kind": "Config",
        "users": [{
            "name": file.user,
            "user": {"client-certificate-data": LATER, "client-key-data": LATER},
        }],
    }))
}

/// A text whose URLs have no passwords: proxy variables may have them.
pub fn passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/\"'".contains(c)).unwrap_or(after.len());
        let authority = &after[..end];
        match authority.rsplit_once('@') {
            Some((login, host)) if login.contains(':') => {
                out.extend([SECRET, "@", host]);
            }
            _ => out.push_str(authority),
        }
        rest = &after[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_hidden_but_not_that_they_change() {
        let object = |a: &str| json!({"kind": "Secret", "type": "x", "data": {"a": a, "b": "same"}});
        let (live, wanted) = secrets(Some(object("old")), object("new"));
        assert_eq!(live.unwrap()["data"], json!({"a": SECRET, "b": SECRET}));
        assert_eq!(wanted["data"], json!({"a": CHANGED, "b": SECRET}));
        let map = json!({"kind": "ConfigMap", "data": {"a": "public"}});
        assert_eq!(secret(map.clone()), map);
    }

    #[test]
    fn kubeconfigs_keep_what_is_public() {
        let text = "apiVersion: v1\nkind: Config\nclusters: []\nusers:\n- name: u\n  user:\n    client-certificate-data: cert\n    client-key-data: key\n    token: t\n    password: p\n";
        let shown = kubeconfig(text.as_bytes()).unwrap();
        assert!(shown.contains("client-certificate-data: cert\n"), "{shown}");
        assert_eq!(shown.matches(": (secret)\n").count(), 3, "{shown}");
        assert_eq!(kubeconfig(b"kind: Other\n"), None);
        assert_eq!(kubeconfig(b"-----BEGIN"), None);
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        for (text, expected) in [
            ("value: http://me:pass@proxy:3128/x y", "value: http://(secret)@proxy:3128/x y"),
            ("a https://u:p@ss@h\nb http://h:80", "a https://(secret)@h\nb http://h:80"),
            ("unix:///run/s http://user@h", "unix:///run/s http://user@h"),
        ] {
            assert_eq!(passwords(text), expected);
        }
    }
}
