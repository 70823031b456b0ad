//! Backups of a control plane: a snapshot of etcd with everything that is needed to use it again, in one archive that any
//! `tar` reads.
//!
//! - [`manifest`]: what an archive says about itself.
//! - [`source`]: where this machine's etcd is, and with which files a client gets in.
//! - [`collect`]: the files of the machine that belong into it.
//! - [`take`]: makes one: streams the snapshot, verifies it, compares it with the live member, and writes the archive.
//! - [`format`]: how an archive is compressed, and [`crypt`], to whom it is encrypted.
//! - [`label`]: what may be said in the open of an encrypted one; [`beside`]: all that lies beside an archive.
//! - [`read`]: opens one that nobody can trust; `layout`: the bytes of it that are nobody's content;
//!   `stream`: as it comes from the disk.
//! - [`open`]: opens one, and the snapshot in it.
//! - [`lost`]: what a backup says of a cluster whose machines are all gone.
//! - [`scratch`]: where a backup is unpacked.
//! - [`remains`]: what a member without a quorum has left.
//! - [`trial`]: makes a data directory of one, beside the one in use.
//! - [`place`]: a directory or a bucket; [`catalog`] and [`retention`]: the backups there, and which may go.
//!
//! A backup adds a file and changes nothing else, so it is no operation with a journal: what a killed one leaves is a file
//! with the name of an incomplete one, which the next one removes.

pub mod beside;
pub mod catalog;
pub mod collect;
pub mod crypt;
mod deflate;
mod download;
mod entries;
mod error;
pub mod format;
mod in_place;
pub mod label;
mod layout;
pub mod lost;
pub mod manifest;
mod member;
pub mod open;
pub mod place;
mod publish;
pub mod read;
pub mod remains;
mod resources;
pub mod retention;
pub mod scratch;
pub mod source;
mod stream;
pub mod take;
pub mod trial;

pub use catalog::{Backup, Catalog};
pub use error::BackupError;
pub use manifest::Manifest;

#[cfg(test)]
mod flips;
#[cfg(test)]
mod sealed_tests;
#[cfg(test)]
mod tests;
