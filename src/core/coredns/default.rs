//! Whether a Corefile is one that nobody has touched.

use super::lex;
use super::tree::{Body, Corefile, Entry};

/// What kubeadm writes, without the domain and the cache.
const HEAD: &str = ".:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
";
const TAIL: &str = "    loop
    reload
    loadbalance
}
";
/// Up to Kubernetes 1.31, and in clusters that were upgraded since, as an upgrade keeps the Corefile; and after
/// <https://github.com/kubernetes/kubernetes/pull/128359>.
const CACHES: [&str; 2] = [
    "cache 30\n",
    "    cache 30 {
       disable success {domain}
       disable denial {domain}
    }
",
];

/// Whether this is what kubeadm of any supported version wrote, or one before that an upgrade left. A comment is a change.
pub fn is_default(text: &str, dns_domain: &str) -> bool {
    let Some(found) = canonical(text) else { return false };
    let commented = |token: &lex::Token| token.before.contains('#') || token.after.contains('#');
    if lex::tokens(text).is_ok_and(|tokens| tokens.iter().any(commented)) {
        return false;
    }
    CACHES.iter().any(|cache| {
        let written = format!("{HEAD}{cache}{TAIL}").replace("{domain}", dns_domain);
        canonical(&written).as_ref() == Some(&found)
    })
}

/// The text in one way of spacing it.
fn canonical(text: &str) -> Option<String> {
    let corefile = Corefile::parse(text).ok()?;
    let mut out = String::new();
    for block in &corefile.blocks {
        out += &block.keys.iter().map(|key| key.raw.as_str()).collect::<Vec<_>>().join(" ");
        block.body.iter().for_each(|body| add(body, &mut out));
    }
    Some(out)
}

fn add(body: &Body, out: &mut String) {
    out.push_str(" {\n");
    for Entry { words, body } in &body.entries {
        *out += &words.iter().map(|word| word.raw.as_str()).collect::<Vec<_>>().join(" ");
        if let Some(body) = body {
            add(body, out);
        }
        out.push('\n');
    }
    out.push('}');
}
