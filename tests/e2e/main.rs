//! Real machines, real Kubernetes.
