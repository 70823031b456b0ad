//! Records of the bucket `key`: one for each revision of each key of the users.
//!
//! The key is `main (i64) _ sub (i64)`, big endian, with a `t` behind it for a deletion. The value is a protobuf
//! message: key 1, create revision 2, mod revision 3, version 4, value 5, lease 6. Only what is checked is decoded, and
//! nothing is copied: this runs for every record of the database.

use super::proto::{Field, Fields};

/// Bytes of a revision without the mark of a deletion.
pub(crate) const REVISION: usize = 17;

/// When a record was written. `sub` counts within one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Revision {
    pub main: i64,
    pub sub: i64,
}

impl Revision {
    /// Reads the 17 bytes of a revision.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(i64::from_be_bytes);
        let revision = Self { main: number(0)?, sub: number(9)? };
        (bytes.len() == REVISION && bytes[8] == b'_' && revision.main >= 0 && revision.sub >= 0)
            .then_some(revision)
    }

    pub(crate) fn bytes(self) -> [u8; REVISION] {
        let mut bytes = [b'_'; REVISION];
        bytes[..8].copy_from_slice(&self.main.to_be_bytes());
        bytes[9..].copy_from_slice(&self.sub.to_be_bytes());
        bytes
    }
}

/// What a record did to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    Updated,
    Deleted,
    /// No key at all: what a restore writes to raise the revision.
    Placeholder,
}

/// Checks a record by its key and value alone. For the fuzzer.
#[doc(hidden)]
pub fn check_record(key: &[u8], value: &[u8]) -> Result<(), &'static str> {
    Record::parse(key, value).map(drop)
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'r> {
    pub revision: Revision,
    pub change: Change,
    /// The key of the users. It is not text.
    pub key: &'r [u8],
}

impl<'r> Record<'r> {
    /// Reads a record, and checks what etcd keeps true of each.
    pub(crate) fn parse(key: &[u8], value: &'r [u8]) -> Result<Self, &'static str> {
        let (revision, deleted) = match key.split_at_checked(REVISION) {
            Some((revision, b"")) => (revision, false),
            Some((revision, b"t")) => (revision, true),
            _ => return Err("its key has not the form of a revision"),
        };
        let revision = Revision::parse(revision).ok_or("its key has not the form of a revision")?;
        if value.is_empty() && !deleted {
            return Ok(Self { revision, change: Change::Placeholder, key: b"" });
        }
        let (mut key, mut created, mut modified, mut version) = (&b""[..], 0, 0, 0);
        for field in Fields::of(value) {
            match field.ok_or("its value is not a message of etcd")? {
                (1, Field::Bytes(bytes)) => key = bytes,
                (2, Field::Number(number)) => created = number,
                (3, Field::Number(number)) => modified = number,
                (4, Field::Number(number)) => version = number,
                (5, Field::Bytes(_)) | (6, Field::Number(_)) => {}
                (1..=6, _) => return Err("a field of its value has the wrong type"),
                _ => {}
            }
        }
        if key.is_empty() {
            return Err("its value names no key");
        }
        if deleted {
            return Ok(Self { revision, change: Change::Deleted, key });
        }
        let main = revision.main.cast_unsigned();
        if modified != main {
            return Err("its value was written at another revision");
        }
        if created > main || version == 0 || version > i64::MAX.cast_unsigned() {
            return Err("its value cannot be as new or old as it says");
        }
        let change = if version == 1 { Change::Created } else { Change::Updated };
        Ok(Self { revision, change, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put() -> Vec<u8> {
        b"\x0a\x01k\x10\x05\x18\x05\x20\x01\x2a\x01v".to_vec()
    }

    #[test]
    fn a_revision_reads_back() {
        let revision = Revision { main: 7, sub: 3 };
        assert_eq!(revision.bytes(), *b"\0\0\0\0\0\0\0\x07_\0\0\0\0\0\0\0\x03");
        assert_eq!(Revision::parse(&revision.bytes()), Some(revision));
        assert_eq!(Revision::parse(&[0xff; 17]), None);
    }

    #[test]
    fn a_record_says_what_it_did() {
        let at = Revision { main: 5, sub: 0 }.bytes();
        let value = put();
        let record = Record::parse(&at, &value).unwrap();
        assert_eq!((record.change, record.key), (Change::Created, &b"k"[..]));
        assert_eq!(Record::parse(&at, b"").unwrap().change, Change::Placeholder);
        let deleted = [&at[..], b"t"].concat();
        assert_eq!(Record::parse(&deleted, b"\x0a\x01k").unwrap().change, Change::Deleted);
    }

    #[test]
    fn a_record_of_another_revision_is_refused() {
        let at = Revision { main: 6, sub: 0 }.bytes();
        assert_eq!(Record::parse(&at, &put()).unwrap_err(), "its value was written at another revision");
        assert!(Record::parse(&at[..16], &put()).is_err());
        assert!(Record::parse(&at, &put()[..5]).is_err());
    }
}
