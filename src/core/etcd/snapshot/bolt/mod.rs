//! bbolt, the file format of etcd's database: pages, and the B+ trees made of them.
//!
//! Nothing here knows what etcd keeps in its buckets.

pub(crate) mod build;
mod file;
mod freelist;
mod meta;
mod page;
mod walk;

pub(crate) use build::Element;
pub use file::Part;
pub(crate) use file::{Db, Tail};
pub(crate) use meta::{Meta, NO_FREELIST};

#[cfg(test)]
pub(crate) use page::{BUCKET, HEADER, Header};
pub(crate) use page::{Item, Node};
pub(crate) use walk::{Bucket, Order, Range, Root, Walker};
