//! etcd: its files on the disk.

pub mod snapshot;
