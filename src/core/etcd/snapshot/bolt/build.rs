//! New pages: the bytes of nodes, and whole trees made of sorted entries.

use super::page::{BRANCH, ELEMENT, HEADER, Header, LEAF};

/// More elements than this are not put into one page, however large pages are: the count has 16 bits.
const MAX_ELEMENTS: usize = 30_000;

/// An element to be written: the flags of a leaf element, or the page that a branch element leads to, is `word`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub word: u64,
}

impl Element {
    pub(crate) fn entry(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: value.into(), word: 0 }
    }

    pub(crate) fn branch(key: Vec<u8>, page: u64) -> Self {
        Self { key, value: vec![], word: page }
    }

    fn size(&self) -> usize {
        ELEMENT + self.key.len() + self.value.len()
    }
}

/// Bytes that a node of these elements needs.
pub(crate) fn node_size(elements: &[Element]) -> usize {
    HEADER + elements.iter().map(Element::size).sum::<usize>()
}

/// Whole pages of a node that begins at page `id`.
pub(crate) fn node(page_size: usize, id: u64, leaf: bool, elements: &[Element]) -> Vec<u8> {
    let size = node_size(elements).next_multiple_of(page_size);
    let overflow = u32::try_from(size / page_size - 1).unwrap_or(u32::MAX);
    let count = u16::try_from(elements.len()).unwrap_or(u16::MAX);
    let flags = if leaf { LEAF } else { BRANCH };
    let mut bytes = Header { id, flags, count, overflow }.bytes().to_vec();
    let mut data = HEADER + elements.len() * ELEMENT;
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    for (index, element) in elements.iter().enumerate() {
        let position = small(data - HEADER - index * ELEMENT);
        let (key, value) = (small(element.key.len()), small(element.value.len()));
        if leaf {
            let flags = u32::try_from(element.word).unwrap_or_default().to_le_bytes();
            bytes.extend([flags, position, key, value].concat());
        } else {
            bytes.extend([position, key].concat());
            bytes.extend(element.word.to_le_bytes());
        }
        data += element.key.len() + element.value.len();
    }
    for element in elements {
        bytes.extend_from_slice(&element.key);
        bytes.extend_from_slice(&element.value);
    }
    bytes.resize(size, 0);
    bytes
}

/// Sorted elements in groups that fit into a page each. A group of one may not fit; it gets pages of its own.
pub(crate) fn groups(page_size: usize, elements: &[Element], leaf: bool) -> Vec<&[Element]> {
    // bbolt takes for granted that a branch has at least two children.
    let least = if leaf { 1 } else { 2 };
    let mut groups = vec![];
    let mut rest = elements;
    while !rest.is_empty() {
        let mut size = HEADER;
        let fitting = rest.iter().take(MAX_ELEMENTS).take_while(|element| {
            size += element.size();
            size <= page_size
        });
        let mut count = fitting.count().max(least).min(rest.len());
        if (1..least).contains(&(rest.len() - count)) {
            // One would be left alone: it comes along, or takes one from here.
            count = if count > least { count - 1 } else { rest.len() };
        }
        let (group, after) = rest.split_at(count);
        groups.push(group);
        rest = after;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::page::{Node, Place};
    use super::*;

    fn elements(count: u32, size: usize) -> Vec<Element> {
        (0..count).map(|n| Element::entry(n.to_be_bytes(), vec![7; size])).collect()
    }

    #[test]
    fn a_node_reads_back() {
        for (leaf, count, size) in [(true, 0, 0), (true, 1, 9000), (true, 50, 10), (false, 2, 0)] {
            let elements = elements(count, size);
            let bytes = node(4096, 9, leaf, &elements);
            assert_eq!(bytes.len() % 4096, 0);
            assert_eq!(Header::of(&bytes).overflow as usize, bytes.len() / 4096 - 1);
            let node = Node::parse(Place { page: 9, offset: 0 }, bytes).unwrap();
            let read: Vec<_> = node.items().map(|item| Element::entry(item.key, item.value)).collect();
            assert_eq!((node.leaf, read), (leaf, elements));
        }
    }

    #[test]
    fn groups_fit_and_no_branch_has_one_child() {
        for count in 1..600 {
            for leaf in [true, false] {
                let elements = elements(count, 0);
                let groups = groups(1024, &elements, leaf);
                assert_eq!(groups.concat(), elements);
                assert!(groups.iter().all(|group| node_size(group) <= 1024), "{count}");
                assert!(leaf || count == 1 || groups.iter().all(|group| group.len() > 1), "{count}");
            }
        }
    }
}
