//! What lies between the contents of a tar: headers, padding, the end. No sum of an entry covers it, and whoever reads a tar
//! looks at half of it. A flipped bit there changes nothing that is restored, but the disk that did it will do it again.

use std::{
    cell::RefCell,
    io::{self, Read},
    ops::Range,
    rc::Rc,
};

use tar::Header;

const BLOCK: u64 = 512;
/// Two empty blocks end a tar.
const END: u64 = 2 * BLOCK;

/// Reads a tar and looks at what fills its blocks.
pub(super) struct Blocks<R> {
    from: R,
    seen: Rc<RefCell<Seen>>,
}

/// What was seen, for whoever has given the reader away.
#[derive(Clone, Default)]
pub(super) struct Layout(Rc<RefCell<Seen>>);

#[derive(Default)]
struct Seen {
    /// Bytes that were read.
    at: u64,
    /// Behind the content of the last entry, up to the next block.
    padding: Range<u64>,
    /// What is not as it was written.
    odd: Vec<String>,
}

impl<R> Blocks<R> {
    pub(super) fn new(from: R, layout: &Layout) -> Self {
        Self { from, seen: Rc::clone(&layout.0) }
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let mut seen = self.seen.borrow_mut();
        let padding = seen.padding.clone();
        let within = |at: u64| usize::try_from(at.saturating_sub(seen.at)).unwrap_or(read).min(read);
        if buffer[within(padding.start)..within(padding.end)].iter().any(|byte| *byte != 0) {
            // Once is enough.
            seen.padding = 0..0;
            seen.odd.push("the padding of an entry is not empty".into());
        }
        seen.at += read as u64;
        Ok(read)
    }
}

impl Layout {
    /// Notes what is not as it was written.
    pub(super) fn note(&self, odd: String) {
        self.0.borrow_mut().odd.push(odd);
    }

    /// Of an entry whose content begins here.
    pub(super) fn entry(&self, header: &Header, content: u64, size: u64) {
        let end = content.saturating_add(size);
        let mut seen = self.0.borrow_mut();
        seen.padding = end..end.next_multiple_of(BLOCK);
        if !is_canonical(header) {
            let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
            seen.odd.push(format!("the header of {name} is not as it was written"));
        }
    }

    /// Of what follows the last entry: so many zeros.
    pub(super) fn end(&self) {
        let mut seen = self.0.borrow_mut();
        if seen.at < seen.padding.end.saturating_add(END) {
            seen.odd.push("it is cut off behind its last entry".into());
        }
    }

    /// What is not as it was written.
    pub(super) fn odd(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().odd)
    }
}

/// A header's sum covers all of it but the field with the sum, of which readers take what they can read as a number: as rkadm
/// writes it, or as other programs do.
fn is_canonical(header: &Header) -> bool {
    let Ok(sum) = header.cksum() else { return false };
    let field = header.as_old().cksum;
    field == *format!("{sum:07o}\0").as_bytes() || field == *format!("{sum:06o}\0 ").as_bytes()
}
