//! Pages of a bbolt file, taken apart without trusting a byte of them.
//!
//! A page is a header, an array of elements, and the keys and values that the elements point to. bbolt writes the
//! latter one behind the other without gaps, so each element has exactly one right position; that is checked too,
//! because it finds damage that bounds alone would not.

use super::super::error::{Damage, Fault};
use super::build::Element;

pub(crate) const HEADER: usize = 16;
pub(crate) const ELEMENT: usize = 16;

pub(crate) const BRANCH: u16 = 0x01;
pub(crate) const LEAF: u16 = 0x02;
pub(crate) const META: u16 = 0x04;
pub(crate) const FREELIST: u16 = 0x10;

/// The flag of a leaf element whose value is the root of another bucket.
pub(crate) const BUCKET: u64 = 0x01;

/// Where in the file something is: the page, and the byte at which that page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub page: u64,
    pub offset: u64,
}

impl Place {
    pub(crate) fn damage(self, fault: Fault) -> Damage {
        Damage { page: self.page, offset: self.offset, fault }
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The first 16 bytes of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub id: u64,
    pub flags: u16,
    pub count: u16,
    /// How many pages follow that belong to this one.
    pub overflow: u32,
}

impl Header {
    /// `bytes` shorter than a header read as zeros, which no check accepts.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            id: u64_at(bytes, 0),
            flags: u16_at(bytes, 8),
            count: u16_at(bytes, 10),
            overflow: u32_at(bytes, 12),
        }
    }

    pub(crate) fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.flags.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..].copy_from_slice(&self.overflow.to_le_bytes());
        bytes
    }
}

/// One element, as positions in its node's bytes: `key..value` is the key and `value..end` the value.
#[derive(Debug, Clone, Copy)]
struct Span {
    key: usize,
    value: usize,
    end: usize,
    /// A leaf element's flags, or the page that a branch element leads to.
    word: u64,
}

/// One element of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'n> {
    /// Its number in the node, from 0.
    pub index: usize,
    pub key: &'n [u8],
    pub value: &'n [u8],
    /// A leaf element's flags, or the page that a branch element leads to.
    pub word: u64,
    /// Where its key begins in the node's bytes; the value follows the key at once.
    pub start: usize,
}

impl Item<'_> {
    pub(crate) fn is_bucket(&self) -> bool {
        self.word == BUCKET
    }
}

/// A branch or leaf page, or the page inside an inline bucket.
#[derive(Debug)]
pub(crate) struct Node {
    pub place: Place,
    pub leaf: bool,
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Node {
    /// Takes `bytes` apart: a whole page with the pages that belong to it. Every position is checked, and so is the
    /// order of the keys; nothing that is read later from this node can be out of bounds.
    pub(crate) fn parse(place: Place, bytes: Vec<u8>) -> Result<Self, Damage> {
        let header = Header::of(&bytes);
        let leaf = match header.flags {
            LEAF => true,
            BRANCH => false,
            flags => return Err(place.damage(Fault::Kind { flags })),
        };
        let count = usize::from(header.count);
        if !leaf && count == 0 {
            return Err(place.damage(Fault::EmptyBranch));
        }
        let mut node = Self { place, leaf, spans: Vec::with_capacity(count), bytes };
        let mut start = HEADER + count * ELEMENT;
        for index in 0..count {
            let span = node.span(index, start).map_err(|fault| place.damage(fault))?;
            if node.spans.last().is_some_and(|before| node.key(*before) >= node.key(span)) {
                return Err(place.damage(Fault::Order { index }));
            }
            start = span.end;
            node.spans.push(span);
        }
        Ok(node)
    }

    /// Element `index`, whose key must begin at `start`.
    fn span(&self, index: usize, start: usize) -> Result<Span, Fault> {
        let bounds = Fault::Bounds { index };
        let at = HEADER + index * ELEMENT;
        let element = self.bytes.get(at..at + ELEMENT).ok_or_else(|| bounds.clone())?;
        let (position, key, value, word) = if self.leaf {
            let sizes = (u32_at(element, 4), u32_at(element, 8), u32_at(element, 12));
            (sizes.0, sizes.1, sizes.2, u64::from(u32_at(element, 0)))
        } else {
            (u32_at(element, 0), u32_at(element, 4), 0, u64_at(element, 8))
        };
        if self.leaf && word > BUCKET {
            return Err(Fault::ElementFlags { index, flags: word });
        }
        // On a 64-bit machine none of these can overflow: three numbers of 32 bits.
        let begin = at + position as usize;
        let (value, end) = (begin + key as usize, begin + key as usize + value as usize);
        if end > self.bytes.len() {
            return Err(bounds);
        }
        if begin != start {
            return Err(Fault::Gap { index });
        }
        Ok(Span { key: begin, value, end, word })
    }

    fn key(&self, span: Span) -> &[u8] {
        &self.bytes[span.key..span.value]
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn item(&self, index: usize) -> Option<Item<'_>> {
        let span = *self.spans.get(index)?;
        let (key, value) = (self.key(span), &self.bytes[span.value..span.end]);
        Some(Item { index, key, value, word: span.word, start: span.key })
    }

    pub(crate) fn items(&self) -> impl DoubleEndedIterator<Item = Item<'_>> {
        (0..self.spans.len()).filter_map(|index| self.item(index))
    }

    /// Copies of all elements.
    pub(crate) fn elements(&self) -> Vec<Element> {
        let element =
            |item: Item<'_>| Element { key: item.key.into(), value: item.value.into(), word: item.word };
        self.items().map(element).collect()
    }

    pub(crate) fn last(&self) -> Option<Item<'_>> {
        self.item(self.spans.len().checked_sub(1)?)
    }

    /// Keys and values from `start` to before `end`, as they lie in the page.
    pub(crate) fn raw(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Where its last value ends.
    pub(crate) fn end(&self) -> usize {
        self.spans.last().map_or(HEADER, |last| last.end)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<Span>()
    }

    /// Gives the memory back to be used for the next page.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
