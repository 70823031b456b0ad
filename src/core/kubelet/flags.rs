//! The kubelet's flags that its configuration file cannot hold.

use crate::config::types::{Arg, Taint};
use crate::manifest::args;

/// What the flags are made from.
#[derive(Debug, Clone)]
pub struct KubeletFlags<'a> {
    /// Name that the node registers with.
    pub node_name: &'a str,
    /// The machine's host name, which the kubelet would take by itself.
    pub hostname: &'a str,
    /// The container runtime, where no file tells the kubelet.
    pub cri_socket: Option<&'a str>,
    /// The image of every Pod's sandbox, for kubelets that want to be told.
    pub sandbox_image: Option<String>,
    /// Taints that the node registers with: those of a joining worker. A control plane is tainted through the API.
    pub register_taints: &'a [Taint],
    /// `nodeRegistration.kubeletExtraArgs`.
    pub extra_args: &'a [Arg],
}

/// The text of [`super::FLAGS_ENV_FILE`].
pub fn flags_env(flags: &KubeletFlags<'_>) -> String {
    let mut defaults = Vec::new();
    defaults.extend(flags.cri_socket.map(|socket| Arg::new("container-runtime-endpoint", socket)));
    // A hint to image garbage collection, which kubelets from 1.35 on neither need nor accept.
    defaults.extend(flags.sandbox_image.as_deref().map(|image| Arg::new("pod-infra-container-image", image)));
    if flags.node_name != flags.hostname {
        defaults.push(Arg::new("hostname-override", flags.node_name));
    }
    if !flags.register_taints.is_empty() {
        let taints: Vec<_> = flags.register_taints.iter().map(written).collect();
        defaults.push(Arg::new("register-with-taints", taints.join(",")));
    }
    let line: Vec<_> = args::merge(defaults, flags.extra_args).iter().map(args::written).collect();
    format!("KUBELET_KUBEADM_ARGS=\"{}\"\n", escaped(&line.join(" ")))
}

/// A text as kubeadm writes it between quotes, which is Go's way.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            _ if c.is_ascii_control() => escaped.push_str(&format!("\\x{:02x}", u32::from(c))),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// What [`escaped`] was made of, as far as it is quotes and backslashes: systemd knows no more either.
fn unescaped(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, rest.clone().next()) {
            ('\\', Some(next @ ('"' | '\\'))) => {
                unescaped.push(next);
                rest.next();
            }
            _ => unescaped.push(c),
        }
    }
    unescaped
}

/// The words of the variable that [`flags_env`] writes, still escaped.
fn words(text: &str) -> Option<(usize, &str)> {
    let start = text.find("KUBELET_KUBEADM_ARGS=\"")? + "KUBELET_KUBEADM_ARGS=\"".len();
    let mut after_backslash = false;
    let end = text[start..].find(|c: char| {
        let ends = c == '"' && !after_backslash;
        after_backslash = c == '\\' && !after_backslash;
        ends
    })?;
    Some((start, &text[start..start + end]))
}

/// The value of a flag in the text of [`super::FLAGS_ENV_FILE`].
pub fn flag_of(text: &str, name: &str) -> Option<String> {
    let (_, words) = words(text)?;
    let prefix = format!("--{name}=");
    words.split_whitespace().find_map(|word| word.strip_prefix(prefix.as_str())).map(unescaped)
}

/// The text of [`super::FLAGS_ENV_FILE`] without a flag; all else is as it was.
pub fn without_flag(text: &str, name: &str) -> String {
    if flag_of(text, name).is_none() {
        return text.to_owned();
    }
    let Some((start, line)) = words(text) else { return text.to_owned() };
    let prefix = format!("--{name}=");
    let kept: Vec<_> = line.split_whitespace().filter(|word| !word.starts_with(&prefix)).collect();
    format!("{}{}{}", &text[..start], kept.join(" "), &text[start + line.len()..])
}

/// A taint as `KEY[=VALUE]:EFFECT`.
fn written(taint: &Taint) -> String {
    match taint.value.as_deref().unwrap_or_default() {
        "" => format!("{}:{}", taint.key, taint.effect),
        value => format!("{}={value}:{}", taint.key, taint.effect),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flag_goes_and_the_rest_stays() {
        let text = "KUBELET_KUBEADM_ARGS=\"--pod-infra-container-image=p:1 --v=2\"\nOTHER=1\n";
        assert_eq!(
            without_flag(text, "pod-infra-container-image"),
            "KUBELET_KUBEADM_ARGS=\"--v=2\"\nOTHER=1\n"
        );
        assert_eq!(without_flag(text, "x"), text);
        assert_eq!(flag_of(text, "v").as_deref(), Some("2"));
    }

    #[test]
    fn quotes_inside_are_escaped_as_kubeadm_does() {
        let flags = KubeletFlags {
            node_name: "n",
            hostname: "n",
            cri_socket: None,
            sandbox_image: None,
            register_taints: &[],
            extra_args: &[Arg::new("a", "x\"y\\"), Arg::new("b", "$HOME"), Arg::new("v", "2")],
        };
        let text = flags_env(&flags);
        assert_eq!(text, "KUBELET_KUBEADM_ARGS=\"--a=x\\\"y\\\\ --b=$HOME --v=2\"\n");
        assert_eq!(flag_of(&text, "a").as_deref(), Some("x\"y\\"));
        assert_eq!(flag_of(&text, "v").as_deref(), Some("2"));
        assert_eq!(without_flag(&text, "b"), "KUBELET_KUBEADM_ARGS=\"--a=x\\\"y\\\\ --v=2\"\n");
    }

    #[test]
    fn a_worker_registers_with_its_taints() {
        let taint = |key: &str, value: Option<&str>| Taint {
            key: key.into(),
            value: value.map(String::from),
            effect: "NoSchedule".into(),
            time_added: None,
        };
        let flags = KubeletFlags {
            node_name: "w1",
            hostname: "w1",
            cri_socket: None,
            sandbox_image: None,
            register_taints: &[taint("a", Some("b")), taint("c", None)],
            extra_args: &[Arg::new("v", "2")],
        };
        assert_eq!(
            flags_env(&flags),
            "KUBELET_KUBEADM_ARGS=\"--register-with-taints=a=b:NoSchedule,c:NoSchedule --v=2\"\n"
        );
    }
}
