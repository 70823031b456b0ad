//! Connections below HTTP, for every client here.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;

/// For `http` and, below TLS, for `https`. What is sent is sent at once; `connect` is the time to get through in.
pub fn tcp(connect: Option<Duration>) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(connect);
    tcp
}
