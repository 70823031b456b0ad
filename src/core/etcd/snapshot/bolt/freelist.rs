//! The list of free pages, where a database has one. etcd's have not: it tells bbolt not to store it.

use super::file::Db;
use super::meta::NO_FREELIST;
use super::page::{FREELIST, HEADER, Header, u64_at};
use super::walk::Walker;
use crate::etcd::snapshot::error::{Fault, SnapshotError};

/// In the header of a list that is too long for its count; the count is then the first number of the list.
const LONG: u16 = 0xFFFF;

impl Walker<'_> {
    /// Checks the list of free pages, if there is one, against the pages that were reached. To be called when everything
    /// else has been walked.
    pub(crate) fn check_freelist(&mut self) -> Result<(), SnapshotError> {
        let db: &Db = self.db();
        let id = db.meta.freelist;
        if id == NO_FREELIST {
            return Ok(());
        }
        let place = db.place(id);
        let bytes = self.load(id, true)?;
        let header = Header::of(&bytes);
        if header.flags != FREELIST {
            return Err(place.damage(Fault::Kind { flags: header.flags }).into());
        }
        let (count, from) = match header.count {
            LONG => (u64_at(&bytes, HEADER), HEADER + 8),
            count => (u64::from(count), HEADER),
        };
        let room = bytes.len().saturating_sub(from) as u64 / 8;
        if count > room {
            return Err(place.damage(Fault::FreelistLength).into());
        }
        for index in 0..usize::try_from(count).unwrap_or_default() {
            let page = u64_at(&bytes, from + index * 8);
            if page < 2 || page >= self.db().meta.high_water || !self.mark(page) {
                return Err(place.damage(Fault::NotFree { page }).into());
            }
            self.free += 1;
        }
        match self.first_unreached() {
            Some(page) => Err(place.damage(Fault::Lost { page }).into()),
            None => Ok(()),
        }
    }
}
