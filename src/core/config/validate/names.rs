//! The forms of names, addresses and other single values. Each function says yes or no; the messages are the caller's.

use std::net::{IpAddr, Ipv6Addr};

/// A lower-case RFC 1123 subdomain of at most 253 characters. Kubernetes limits the whole name, not its parts.
pub fn is_dns_name(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

/// A name that a certificate may carry: an IP address, a DNS name or a wildcard one. Clients compare it without its case.
pub fn is_alt_name(text: &str) -> bool {
    let lower_case = text.to_ascii_lowercase();
    text.parse::<IpAddr>().is_ok() || is_dns_name(lower_case.strip_prefix("*.").unwrap_or(&lower_case))
}

/// The value of a label or taint: empty, or at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both
/// ends.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified_part(text)
}

fn is_qualified_part(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// The key of a label or taint: `[PREFIX/]NAME`.
pub fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_name(prefix) && is_qualified_part(name),
        None => is_qualified_part(text),
    }
}

/// A bootstrap token, `[a-z0-9]{6}.[a-z0-9]{16}`.
pub fn is_token(text: &str) -> bool {
    text.split_once('.').is_some_and(|(id, secret)| is_token_id(id) && is_token_part(secret, 16))
}

/// The public half of a bootstrap token, `[a-z0-9]{6}`.
pub fn is_token_id(text: &str) -> bool {
    is_token_part(text, 6)
}

fn is_token_part(part: &str, length: usize) -> bool {
    part.len() == length && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// A group of bootstrap tokens, `system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]`.
pub fn is_bootstrap_group(text: &str) -> bool {
    let name = text.strip_prefix("system:bootstrappers:").unwrap_or_default();
    (1..=256).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b":-".contains(&byte))
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// 32 bytes as hex.
pub fn is_certificate_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A registry with an optional path, `registry.example.com:5000/k8s`: what container runtimes take before an image's name.
pub fn is_image_repository(text: &str) -> bool {
    let (first, rest) = text.split_once('/').map_or((text, None), |(first, rest)| (first, Some(rest)));
    (is_registry_host(first) || is_repository_part(first))
        && rest.is_none_or(|rest| rest.split('/').all(is_repository_part))
}

fn is_registry_host(text: &str) -> bool {
    if let Some((address, tail)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = tail.strip_prefix(':');
        return address.parse::<Ipv6Addr>().is_ok() && (tail.is_empty() || port.is_some_and(is_port));
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let part = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.split('.').all(part) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_repository_part(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(inside).filter(|separator| !separator.is_empty());
    text.starts_with(inside)
        && text.ends_with(inside)
        && separators.into_iter().all(|separator| {
            [".", "_", "__"].contains(&separator) || separator.bytes().all(|byte| byte == b'-')
        })
}

/// The name of an image tag.
pub fn is_image_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !text.starts_with(['-', '.'])
}

/// Splits `HOST`, `HOST:PORT`, `IPV6` or `[IPV6]:PORT`. The error says what is wrong.
pub fn split_host_port(text: &str) -> Result<(String, Option<u16>), String> {
    if text.contains("://") {
        return Err(format!("{text:?} is a URL"));
    }
    let port_of = |port: &str| match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err(format!("{port:?} is not a port from 1 to 65535")),
    };
    let (host, port) = if text.parse::<IpAddr>().is_ok() {
        (text, None)
    } else if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or_else(|| "the bracket is not closed".to_owned())?;
        let port = match tail.strip_prefix(':') {
            Some(port) => Some(port_of(port)?),
            None if tail.is_empty() => None,
            None => return Err(format!("unexpected {tail:?} after the address")),
        };
        if !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
            return Err(format!("{host:?} is not an IPv6 address"));
        }
        (host, port)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port_of(port)?)),
            None => (text, None),
        }
    };
    if host.parse::<IpAddr>().is_err() && !is_dns_name(host) {
        return Err(format!("{host:?} is neither an IP address nor a DNS name"));
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(valid: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(valid(text), "{text:?} should be valid");
        }
        for text in bad {
            assert!(!valid(text), "{text:?} should not be valid");
        }
    }

    #[test]
    fn names() {
        check(
            is_dns_name,
            &["a", "a.b-c.d1", "300.1.1.1"],
            &["", "A", "a_b", "-a", "a-", "a..b", "a.", &"a".repeat(254)],
        );
        check(is_alt_name, &["*.a.b", "::1", "10.0.0.1", "a", "Foo.Bar"], &["*", "*.", "a b", "*.*.a"]);
        check(is_label_key, &["a", "a.b/C_d"], &["", "/a", "a/", "a/b/c", "a b", "A.b/c"]);
        check(is_label_value, &["", "a.B_c-1"], &["-a", "a b", &"a".repeat(64)]);
    }

    #[test]
    fn secrets_and_groups() {
        check(
            is_token,
            &["abcdef.0123456789abcdef"],
            &["", "abcdef", "Abcdef.0123456789abcdef", "abcdef.0123456789abcdef0"],
        );
        check(
            is_certificate_key,
            &[&"0aF".repeat(21).chars().chain(['1']).collect::<String>()],
            &["", &"g".repeat(64), &"0".repeat(32)],
        );
        check(
            is_bootstrap_group,
            &["system:bootstrappers:a"],
            &["system:bootstrappers:", "system:bootstrappers:A", "a", "system:bootstrappers:a-"],
        );
    }

    #[test]
    fn images() {
        check(
            is_image_repository,
            &[
                "registry.k8s.io",
                "localhost:5000/a/b_c",
                "[fd00::1]:5000/x",
                "[fd00::1]/x",
                "Registry.Example.com/k8s",
                "a_b/c--d/e__f.g",
            ],
            &[
                "",
                "a b",
                "a/",
                "a:b",
                "https://a",
                "a//b",
                "Registry.Example.com/K8S",
                "A_b/c",
                "a..b",
                "a._b",
                "a___b",
                "a.-b/c",
                "a/b/c..d",
                "a/b_",
                "[1.2.3.4]/x",
            ],
        );
        check(is_image_tag, &["v1.14.6", "3.7.0-0"], &["", "-a", "a b", "a:b"]);
    }

    #[test]
    fn endpoints() {
        assert_eq!(split_host_port("cp.example.com"), Ok(("cp.example.com".into(), None)));
        assert_eq!(split_host_port("10.0.0.1:8443"), Ok(("10.0.0.1".into(), Some(8443))));
        assert_eq!(split_host_port("fd00::1"), Ok(("fd00::1".into(), None)));
        assert_eq!(split_host_port("[fd00::1]:80"), Ok(("fd00::1".into(), Some(80))));
        for (text, message) in [
            ("foo bar", "\"foo bar\" is neither an IP address nor a DNS name"),
            ("foo:99999", "\"99999\" is not a port from 1 to 65535"),
            ("foo:0", "\"0\" is not a port from 1 to 65535"),
            ("https://foo", "\"https://foo\" is a URL"),
            ("[fd00::1", "the bracket is not closed"),
            ("[foo]:1", "\"foo\" is not an IPv6 address"),
            ("[fd00::1]x", "unexpected \"x\" after the address"),
        ] {
            assert_eq!(split_host_port(text), Err(message.to_owned()));
        }
    }
}
