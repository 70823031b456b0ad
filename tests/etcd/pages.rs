//! A bbolt file with pages of another size, or far from its beginning, written apart from rkadm's own writer: bbolt takes the
//! page size of the machine, and this machine has one only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

type Items = Vec<(Vec<u8>, Vec<u8>)>;

fn number(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + len)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// The same buckets and entries in pages of `page_size`; `None` if the file is not what bbolt writes.
#[must_use]
pub fn repaged(file: &[u8], page_size: usize) -> Option<Vec<u8>> {
    Some(rewritten(file, page_size, 0)?.bytes)
}

/// Writes the same buckets and entries behind so many free pages, which take no room on the disk.
pub fn moved(file: &[u8], page_size: usize, free: u64, to: &Path) -> io::Result<()> {
    let out = rewritten(file, page_size, free).ok_or(io::ErrorKind::InvalidData)?;
    let (metas, pages) = out.bytes.split_at(2 * page_size);
    let to = File::create(to)?;
    to.write_all_at(metas, 0)?;
    to.write_all_at(pages, (2 + free) * page_size as u64)
}

/// The two meta pages, and the others, whose numbers are higher by those of the free pages between them.
struct Out {
    bytes: Vec<u8>,
    page_size: usize,
    free: u64,
}

impl Out {
    fn next(&self) -> u64 {
        (self.bytes.len() / self.page_size) as u64 + self.free
    }
}

fn rewritten(file: &[u8], page_size: usize, free: u64) -> Option<Out> {
    let old_size = number(file, 24, 4)?;
    let txid = |at: usize| number(file, at + 64, 8);
    let meta = if txid(0)? > txid(old_size)? { 0 } else { old_size };
    let mut buckets = vec![];
    items(file, &file[number(file, meta + 32, 8)? * old_size..], old_size, &mut buckets)?;
    let mut out = Out { bytes: vec![0; 2 * page_size], page_size, free };
    let mut list = vec![];
    for (name, root) in buckets {
        let mut entries = vec![];
        match number(&root, 0, 8)? {
            0 => items(file, &root[16..], old_size, &mut entries)?,
            page => items(file, &file[page * old_size..], old_size, &mut entries)?,
        }
        let root = tree(&mut out, &entries, 0)?;
        list.push((name, [root.to_le_bytes(), [0; 8]].concat()));
    }
    let root = tree(&mut out, &list, 1)?;
    let pages = out.next();
    for id in 0..2 {
        let numbers = [root, 0, u64::MAX, pages, 100 + id];
        let mut page = [id.to_le_bytes(), [4, 0, 0, 0, 0, 0, 0, 0]].concat();
        for number in [0xED0C_DAED, 2, u32::try_from(page_size).ok()?, 0] {
            page.extend(number.to_le_bytes());
        }
        page.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let sum = page[16..].iter().fold(0xcbf2_9ce4_8422_2325, fold);
        page.extend(sum.to_le_bytes());
        let at = usize::try_from(id).ok()? * page_size;
        out.bytes[at..at + page.len()].copy_from_slice(&page);
    }
    Some(out)
}

/// All entries below a page, in order.
fn items(file: &[u8], page: &[u8], size: usize, into: &mut Items) -> Option<()> {
    let leaf = number(page, 8, 2)? == 2;
    for index in 0..number(page, 10, 2)? {
        let at = 16 + index * 16;
        if !leaf {
            items(file, &file[number(page, at + 8, 8)? * size..], size, into)?;
            continue;
        }
        let key = at + number(page, at + 4, 4)?;
        let value = key + number(page, at + 8, 4)?;
        let end = value + number(page, at + 12, 4)?;
        into.push((page.get(key..value)?.to_vec(), page.get(value..end)?.to_vec()));
    }
    Some(())
}

/// Writes entries as leaves and the branches above them; answers with the page of the root.
fn tree(out: &mut Out, entries: &Items, flags: u32) -> Option<u64> {
    let page_size = out.page_size;
    let mut level: Vec<(Vec<u8>, u64)> = vec![];
    let mut rest = entries.as_slice();
    while !rest.is_empty() || level.is_empty() {
        let mut size = 16;
        let fits = |entry: &&(Vec<u8>, Vec<u8>)| {
            size += 16 + entry.0.len() + entry.1.len();
            size <= page_size
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (group, after) = rest.split_at(count);
        let key = group.first().map(|entry| entry.0.clone()).unwrap_or_default();
        let mut data = 16 + 16 * count;
        let mut elements = vec![];
        for (index, (key, value)) in group.iter().enumerate() {
            let position = u32::try_from(data - 16 - index * 16).ok()?;
            let (key_len, value_len) = (u32::try_from(key.len()).ok()?, u32::try_from(value.len()).ok()?);
            elements
                .extend([flags, position, key_len, value_len].iter().flat_map(|number| number.to_le_bytes()));
            data += key.len() + value.len();
        }
        let bytes = group.iter().flat_map(|entry| entry.0.iter().chain(&entry.1)).copied();
        level.push((key, page(out, 2, count, elements.into_iter().chain(bytes))?));
        rest = after;
    }
    while level.len() > 1 {
        let mut above = vec![];
        // Far fewer than fit, and never one alone.
        let size = if level.len() % 20 == 1 { 21 } else { 20 };
        for group in level.chunks(size) {
            let mut data = 16 * group.len();
            let mut elements = vec![];
            for (index, (key, child)) in group.iter().enumerate() {
                elements.extend(u32::try_from(data - index * 16).ok()?.to_le_bytes());
                elements.extend(u32::try_from(key.len()).ok()?.to_le_bytes());
                elements.extend(child.to_le_bytes());
                data += key.len();
            }
            let bytes = group.iter().flat_map(|child| child.0.clone());
            let id = page(out, 1, group.len(), elements.into_iter().chain(bytes))?;
            above.push((group[0].0.clone(), id));
        }
        level = above;
    }
    Some(level[0].1)
}

fn page(out: &mut Out, kind: u8, count: usize, content: impl Iterator<Item = u8>) -> Option<u64> {
    let (id, page_size) = (out.next(), out.page_size);
    let out = &mut out.bytes;
    let start = out.len();
    out.extend(id.to_le_bytes());
    out.extend([kind, 0]);
    out.extend(u16::try_from(count).ok()?.to_le_bytes());
    out.extend([0; 4]);
    out.extend(content);
    out.resize(out.len().next_multiple_of(page_size), 0);
    let overflow = u32::try_from((out.len() - start) / page_size - 1).ok()?;
    out[start + 12..start + 16].copy_from_slice(&overflow.to_le_bytes());
    Some(id)
}
