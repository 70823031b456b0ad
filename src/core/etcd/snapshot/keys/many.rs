//! The hash where more keys were written since the last finished compaction than are remembered at once: in several
//! passes, each for a part of the keys. A bit for each record keeps what the passes found.

use super::super::bolt::{Bucket, Walker};
use super::super::record::Change;
use super::{Crc, Reader, Result, extent, records, visit};

/// One bit for each record up to the compacted revision, in their order. A database of 8 GiB has some ten million.
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, index: u64) {
        if let Some(word) = word(index).and_then(|at| self.0.get_mut(at)) {
            *word |= 1 << (index % 64);
        }
    }

    fn get(&self, index: u64) -> bool {
        word(index).and_then(|at| self.0.get(at)).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }
}

fn word(index: u64) -> Option<usize> {
    usize::try_from(index / 64).ok()
}

/// Hashes again what the first pass could not; `reader` has counted the records.
pub(super) fn read(walker: &mut Walker<'_>, bucket: &Bucket, reader: &mut Reader) -> Result<()> {
    let mut kept = Bits(vec![]);
    // Hashes are spread evenly, but not exactly so.
    let mut parts = reader.records.total / (reader.seen.max() as u64 * 3 / 4).max(1) + 1;
    let mut part = 0;
    while part < parts {
        if part == 0 {
            (reader.kept, reader.records.keys) = (0, 0);
            reader.directories.restart();
            kept = Bits(vec![0; usize::try_from(reader.compacted / 64 + 1).unwrap_or_default()]);
        }
        reader.seen.restart(parts, part);
        walker.reread(|walker| find(walker, bucket, reader, &mut kept))?;
        // By bad luck this part alone was too much.
        (parts, part) = if reader.seen.is_full() { (parts * 2, 0) } else { (parts, part + 1) };
    }
    walker.reread(|walker| hash(walker, bucket, reader, &kept))
}

/// Finds the records that are the last of their keys, of one part of the keys.
fn find(walker: &mut Walker<'_>, bucket: &Bucket, reader: &mut Reader, kept: &mut Bits) -> Result<()> {
    let compaction = reader.compaction;
    let mut index = reader.compacted;
    visit(walker, bucket, compaction, true, &mut |node| {
        for found in records(node, true, compaction.finished).rev() {
            let (_, record) = found?;
            let main = record.revision.main;
            let compacted = main <= compaction.revision();
            index = index.saturating_sub(u64::from(compacted));
            if main <= reader.upto && reader.seen.insert(record.key) {
                reader.count_last(&record);
                if compacted && record.change != Change::Deleted {
                    kept.set(index);
                }
            }
        }
        Ok(())
    })?;
    if compaction.finished < 0 {
        return Ok(());
    }
    let mut index = 0;
    visit(walker, bucket, compaction, false, &mut |node| {
        for found in records(node, false, compaction.finished) {
            let (_, record) = found?;
            if record.change != Change::Deleted
                && reader.seen.covers(record.key)
                && !reader.seen.contains(record.key)
            {
                reader.count_last(&record);
                kept.set(index);
            }
            index += 1;
        }
        Ok(())
    })
}

fn hash(walker: &mut Walker<'_>, bucket: &Bucket, reader: &mut Reader, kept: &Bits) -> Result<()> {
    let compaction = reader.compaction;
    (reader.old, reader.late) = (Crc::default(), Crc::default());
    let mut index = reader.compacted;
    visit(walker, bucket, compaction, true, &mut |node| {
        reader.chosen.clear();
        for found in records(node, true, compaction.finished).rev() {
            let (item, record) = found?;
            let main = record.revision.main;
            let compacted = main <= compaction.revision();
            index = index.saturating_sub(u64::from(compacted));
            if main <= reader.upto && (!compacted || kept.get(index)) {
                reader.chosen.push(extent(&item));
            }
        }
        reader.chosen.reverse();
        let mut crc = Crc::default();
        crc.add_items(node, &reader.chosen);
        reader.late = crc.then(reader.late);
        Ok(())
    })?;
    if compaction.finished < 0 {
        return Ok(());
    }
    let mut index = 0;
    visit(walker, bucket, compaction, false, &mut |node| {
        reader.chosen.clear();
        for found in records(node, false, compaction.finished) {
            let (item, _) = found?;
            if kept.get(index) {
                reader.chosen.push(extent(&item));
            }
            index += 1;
        }
        reader.old.add_items(node, &reader.chosen);
        Ok(())
    })
}
