//! Kubernetes versions and what differs between minors, as data.
