//! Proxies and links.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use rkadm_core::{host::Probe, preflight::parse, text::bracketed};

use super::{Found, warning};
use crate::init::Cluster;

/// IPv6 cannot do with less (RFC 8200, 5), and an overlay takes fifty bytes or more of it.
const MIN_MTU: u32 = 1280;

/// The cluster's own addresses must not be looked for at a proxy.
pub fn proxies(cluster: &Cluster) -> Vec<Found> {
    let matcher = matcher(cluster.proxies());
    let by_proxy = |url: &str| {
        let uri: Uri = url.parse().ok()?;
        matcher.intercept(&uri).map(|proxy| proxy.uri().to_string())
    };
    let config = &cluster.config;
    let mut found = vec![];
    let hint = "add the address to NO_PROXY";
    if let Some(proxy) = by_proxy(&config.local_api_url()) {
        let url = config.local_api_url();
        found.push(warning("HTTPProxy", format!("connections to {url} go through the proxy {proxy}"), hint));
    }
    let networking = &config.cluster.networking;
    for subnet in networking.service_subnet.split(',').chain(networking.pod_subnet.split(',')) {
        let Some((address, _)) = subnet.trim().split_once('/') else { continue };
        if let Some(proxy) = by_proxy(&format!("https://{}/", bracketed(address))) {
            let message = format!(
                "connections to {subnet} go through the proxy {proxy}: pods and Services would not be reached"
            );
            found.push(warning("HTTPProxyCIDR", message, "add the subnet to NO_PROXY"));
        }
    }
    found
}

/// The API server that a joining node talks to must not be looked for at a proxy.
pub fn proxy_of(cluster: &Cluster, url: &str) -> Vec<Found> {
    let Ok(uri) = url.parse::<Uri>() else { return vec![] };
    let Some(proxy) = matcher(cluster.proxies()).intercept(&uri).map(|proxy| proxy.uri().to_string()) else {
        return vec![];
    };
    let message = format!("connections to {url} go through the proxy {proxy}");
    vec![warning("HTTPProxy", message, "add the address to NO_PROXY")]
}

/// As Go's programs read the variables: the lower-case ones count where the others are not set.
fn matcher(variables: &[(String, String)]) -> Matcher {
    let value = |name: &str| {
        let lower = name.to_lowercase();
        let of =
            |wanted: &str| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        of(name).filter(|value| !value.is_empty()).or_else(|| of(&lower)).unwrap_or_default()
    };
    Matcher::builder().http(value("HTTP_PROXY")).https(value("HTTPS_PROXY")).no(value("NO_PROXY")).build()
}

/// The link that the default route takes, which pod networks build on.
pub async fn mtu(host: &dyn Probe) -> Vec<Found> {
    let routes = host.read("/proc/net/route".as_ref()).await.ok().flatten().unwrap_or_default();
    let Some(route) = parse::default_route_v4(&routes) else { return vec![] };
    let path = format!("/sys/class/net/{}/mtu", route.interface);
    let text = host.read(path.as_ref()).await.ok().flatten().unwrap_or_default();
    let mtu = String::from_utf8_lossy(&text).trim().parse::<u32>().unwrap_or(u32::MAX);
    if mtu >= MIN_MTU {
        return vec![];
    }
    let message = format!("the MTU of {} is {mtu}; pod networks need {MIN_MTU} or more", route.interface);
    vec![warning("MTU", message, "raise the MTU of the link, or of the tunnel that it is")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(variables: &[(&str, &str)], url: &str) -> bool {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        matcher(&variables).intercept(&url.parse().unwrap()).is_some()
    }

    #[test]
    fn subnets_and_addresses_of_no_proxy_are_left_out() {
        let proxy = ("HTTPS_PROXY", "http://proxy:3128");
        assert!(goes(&[proxy], "https://10.96.0.0/"));
        assert!(!goes(&[proxy, ("NO_PROXY", "10.0.0.0/8")], "https://10.96.0.0/"));
        assert!(goes(&[proxy, ("no_proxy", "192.0.2.1")], "https://10.96.0.0/"));
        assert!(!goes(&[proxy, ("no_proxy", "192.0.2.1")], "https://192.0.2.1:6443/"));
        assert!(goes(&[("https_proxy", "http://proxy:3128")], "https://[fd00::]/"));
        assert!(!goes(&[("HTTP_PROXY", "http://proxy:3128")], "https://10.96.0.0/"));
    }
}
