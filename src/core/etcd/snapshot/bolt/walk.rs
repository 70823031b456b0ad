//! Walks the trees of a database and checks their structure on the way.
//!
//! Each page has the range of keys that the branches above it leave for it, so pages can be visited in any order and
//! more than once, and still no key is out of place when all of them were visited. This is what lets a caller read the
//! end of a bucket before its beginning.

use super::build::Element;
use super::file::Db;
use super::page::{BUCKET, Header, Item, Node, u64_at};
use crate::etcd::snapshot::error::{Damage, Fault, SnapshotError};

/// With two children in each branch, no tree of [`Db`]'s limit of pages is deeper.
const MAX_DEPTH: u32 = 30;
/// A page with what belongs to it, and what is held of the branches above it. etcd writes up to some 4 × 1.5 MiB.
const MAX_NODE: u64 = 24 << 20;
/// Larger buffers are not kept for the next page.
const KEPT: usize = 256 << 10;
/// How much is read at once where a branch's children lie beside each other.
const WINDOW: usize = 256 << 10;
/// etcd has ten buckets.
const MAX_BUCKETS: usize = 100;
/// bbolt keeps a bucket inside its parent's page only while it is smaller than a quarter of it.
const MAX_INLINE: usize = 1 << 20;

type Result<T, E = SnapshotError> = std::result::Result<T, E>;

/// A bucket and where its tree begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub name: Vec<u8>,
    pub sequence: u64,
    pub root: Root,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Root {
    Page(u64),
    /// A small bucket: its only page, stored in place of a page number in page `at`.
    Inline {
        at: u64,
        page: Vec<u8>,
    },
}

impl Bucket {
    fn of(item: &Item<'_>, at: u64) -> Option<Self> {
        let (header, page) = item.value.split_at_checked(16)?;
        let root = match u64_at(header, 0) {
            0 if page.len() <= MAX_INLINE => Root::Inline { at, page: page.to_owned() },
            0 => return None,
            id if page.is_empty() => Root::Page(id),
            _ => return None,
        };
        Some(Self { name: item.key.to_owned(), sequence: u64_at(header, 8), root })
    }

    /// The element of the list of buckets that leads to this one.
    pub(crate) fn element(&self) -> Element {
        let (id, page) = match &self.root {
            Root::Page(id) => (*id, &[][..]),
            Root::Inline { page, .. } => (0, page.as_slice()),
        };
        let value = [&id.to_le_bytes()[..], &self.sequence.to_le_bytes(), page].concat();
        Element { key: self.name.clone(), value, word: BUCKET }
    }

    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// In which order the leaves of a range are visited. The items within a leaf are always ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// The part of a bucket to visit: keys from `from` on and below `to`. Leaves at its edges hold other keys too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range<'k> {
    pub from: Option<&'k [u8]>,
    pub to: Option<&'k [u8]>,
    pub order: Order,
}

impl Range<'_> {
    pub(crate) const ALL: Self = Self { from: None, to: None, order: Order::Ascending };

    fn overlaps(&self, low: Option<&[u8]>, high: Option<&[u8]>) -> bool {
        let begins_before_end = self.to.is_none_or(|to| low.is_none_or(|low| low < to));
        let ends_after_begin = self.from.is_none_or(|from| high.is_none_or(|high| high > from));
        begins_before_end && ends_after_begin
    }

    /// Whether a page whose keys begin at `low` counts as visited by this range and no other.
    fn owns(&self, low: Option<&[u8]>) -> bool {
        self.from.is_none_or(|from| low.is_some_and(|low| low >= from))
    }
}

/// What the branches above a page say about it.
#[derive(Debug, Clone, Copy)]
struct Above<'n> {
    /// The key of the element that leads here. No key may be smaller.
    floor: Option<&'n [u8]>,
    /// The smallest key for which a search comes here; `None` for the first page of each level.
    low: Option<&'n [u8]>,
    high: Option<&'n [u8]>,
    depth: u32,
    /// Bytes of the pages above, which are kept meanwhile.
    held: u64,
}

/// Reads pages and remembers which it has seen.
pub(crate) struct Walker<'d> {
    db: &'d Db,
    seen: Vec<u64>,
    spare: Vec<Vec<u8>>,
    window: Vec<u8>,
    /// The byte of the file at which `window` begins.
    window_at: u64,
    /// Pages that the list of free pages names.
    pub free: u64,
    /// Pages that are part of a tree, with the meta pages.
    pub reached: u64,
    /// Whether pages are noted as reached.
    marks: bool,
}

impl<'d> Walker<'d> {
    pub(crate) fn new(db: &'d Db) -> Self {
        let words = usize::try_from(db.meta.high_water / 64 + 1).unwrap_or_default();
        let (spare, window) = (vec![], vec![]);
        let seen = vec![0; words];
        let mut walker = Self { db, seen, spare, window, window_at: 0, free: 0, reached: 2, marks: true };
        walker.mark(0);
        walker.mark(1);
        walker
    }

    /// Does something that visits pages again. They are not marked as reached a second time.
    pub(crate) fn reread<T>(&mut self, action: impl FnOnce(&mut Self) -> T) -> T {
        let marks = std::mem::replace(&mut self.marks, false);
        let result = action(self);
        self.marks = marks;
        result
    }

    pub(crate) fn db(&self) -> &'d Db {
        self.db
    }

    /// The buckets of the database.
    pub(crate) fn buckets(&mut self) -> Result<Vec<Bucket>> {
        let mut buckets = vec![];
        let mut bytes = 0;
        self.tree(self.db.meta.root, Range::ALL, &mut |leaf, _| {
            for item in leaf.items() {
                let index = item.index;
                bytes += item.key.len() + item.value.len();
                if buckets.len() == MAX_BUCKETS || bytes > MAX_INLINE {
                    return Err(leaf.place.damage(Fault::Buckets { limit: MAX_INLINE }).into());
                }
                let bucket = Some(&item).filter(|item| item.is_bucket());
                let bucket = bucket.and_then(|item| Bucket::of(item, leaf.place.page));
                buckets.push(bucket.ok_or_else(|| leaf.place.damage(Fault::NotABucket { index }))?);
            }
            Ok(())
        })?;
        Ok(buckets)
    }

    /// Visits the leaves of a bucket that hold keys of `range`. `visit` is told whether the leaf is this range's own, or
    /// one that the range before it visits too.
    pub(crate) fn bucket(
        &mut self,
        bucket: &Bucket,
        range: Range<'_>,
        visit: &mut dyn FnMut(&Node, bool) -> Result<()>,
    ) -> Result<()> {
        let mut leaf = |node: &Node, own: bool| {
            if let Some(item) = node.items().find(Item::is_bucket) {
                let (bucket, index) = (bucket.name(), item.index);
                return Err(node.place.damage(Fault::NestedBucket { bucket, index }).into());
            }
            visit(node, own)
        };
        match &bucket.root {
            Root::Page(id) => self.tree(*id, range, &mut leaf),
            Root::Inline { at, page } => {
                let place = self.db.place(*at);
                let node = Node::parse(place, page.clone())?;
                if !node.leaf {
                    return Err(place.damage(Fault::Kind { flags: Header::of(page).flags }).into());
                }
                if node.end() != page.len() {
                    return Err(place.damage(Fault::InlineLength { bucket: bucket.name() }).into());
                }
                leaf(&node, range.owns(None))
            }
        }
    }

    fn tree(
        &mut self,
        root: u64,
        range: Range<'_>,
        visit: &mut dyn FnMut(&Node, bool) -> Result<()>,
    ) -> Result<()> {
        if root < 2 || root >= self.db.meta.high_water {
            let last = self.db.meta.high_water.saturating_sub(1);
            return Err(self.db.place(0).damage(Fault::Pointer { index: 0, page: root, last }).into());
        }
        let above = Above { floor: None, low: None, high: None, depth: 0, held: 0 };
        self.descend(root, &range, above, visit)
    }

    fn descend(
        &mut self,
        id: u64,
        range: &Range<'_>,
        above: Above<'_>,
        visit: &mut dyn FnMut(&Node, bool) -> Result<()>,
    ) -> Result<()> {
        let own = range.owns(above.low);
        let place = self.db.place(id);
        if above.depth > MAX_DEPTH {
            return Err(place.damage(Fault::Depth).into());
        }
        let bytes = self.load_below(id, own && self.marks, above.held)?;
        let node = Node::parse(place, bytes)?;
        let held = above.held + node.memory() as u64;
        in_range(&node, above)?;
        if node.leaf {
            visit(&node, own)?;
        } else {
            for step in 0..node.len() {
                let index = if range.order == Order::Ascending { step } else { node.len() - 1 - step };
                let (low, high) = bounds(&node, index, above);
                let Some(child) = node.item(index).filter(|_| range.overlaps(low, high)) else { continue };
                self.check_pointer(&node, &child)?;
                self.read_ahead(&node, index, range.order)?;
                let below = Above { floor: Some(child.key), low, high, depth: above.depth + 1, held };
                self.descend(child.word, range, below, visit)?;
            }
        }
        let bytes = node.into_bytes();
        if bytes.capacity() <= KEPT {
            self.spare.push(bytes);
        }
        Ok(())
    }

    /// The pages from the root of a bucket to its last leaf. None for a bucket inside the list of buckets.
    pub(crate) fn last_path(&mut self, bucket: &Bucket) -> Result<Vec<Node>> {
        let mut path: Vec<Node> = vec![];
        let Root::Page(mut id) = bucket.root else { return Ok(path) };
        while path.last().is_none_or(|node| !node.leaf) {
            let place = self.db.place(id);
            if path.len() > MAX_DEPTH as usize {
                return Err(place.damage(Fault::Depth).into());
            }
            let held = path.iter().map(|node| node.memory() as u64).sum();
            let bytes = self.load_below(id, false, held)?;
            let node = Node::parse(place, bytes)?;
            if let Some(child) = node.last().filter(|_| !node.leaf) {
                self.check_pointer(&node, &child)?;
                id = child.word;
            }
            path.push(node);
        }
        Ok(path)
    }

    fn check_pointer(&self, node: &Node, child: &Item<'_>) -> Result<()> {
        let last = self.db.meta.high_water - 1;
        if (2..=last).contains(&child.word) {
            return Ok(());
        }
        let fault = Fault::Pointer { index: child.index, page: child.word, last };
        Err(node.place.damage(fault).into())
    }

    /// Reads the children from `index` on at once, as far as they lie close to each other in the file.
    fn read_ahead(&mut self, node: &Node, index: usize, order: Order) -> Result<()> {
        let size = self.db.page_size();
        let Some(first) = node.item(index).map(|item| item.word) else { return Ok(()) };
        if self.in_window(first, size).is_some() {
            return Ok(());
        }
        let (mut low, mut high, mut used) = (first, first, 1);
        loop {
            let next =
                if order == Order::Ascending { index.checked_add(used) } else { index.checked_sub(used) };
            let Some(next) = next.and_then(|next| node.item(next)).map(|item| item.word) else { break };
            let (wider_low, wider_high) = (low.min(next), high.max(next));
            let pages = wider_high - wider_low + 1;
            // A gap is read along while at least half of what is read is of use.
            let worth = pages <= (WINDOW / size) as u64 && pages <= 2 * (used as u64 + 1);
            if !worth || wider_high >= self.db.meta.high_water {
                break;
            }
            (low, high, used) = (wider_low, wider_high, used + 1);
        }
        if used == 1 {
            return Ok(());
        }
        let mut window = std::mem::take(&mut self.window);
        window.resize(usize::try_from(high - low + 1).unwrap_or_default() * size, 0);
        self.window_at = self.db.place(low).offset;
        self.db.read_at(&mut window, self.window_at)?;
        self.window = window;
        Ok(())
    }

    /// Where in the window a page begins, if all `len` bytes of it are there.
    fn in_window(&self, id: u64, len: usize) -> Option<usize> {
        let begin = self.db.place(id).offset.checked_sub(self.window_at)?;
        let begin = usize::try_from(begin).ok()?;
        (begin.checked_add(len)? <= self.window.len()).then_some(begin)
    }

    /// A page with those that belong to it.
    pub(super) fn load(&mut self, id: u64, mark: bool) -> Result<Vec<u8>> {
        self.load_below(id, mark, 0)
    }

    fn load_below(&mut self, id: u64, mark: bool, held: u64) -> Result<Vec<u8>> {
        let place = self.db.place(id);
        let size = self.db.page_size();
        let mut bytes = self.spare.pop().unwrap_or_default();
        self.fill(&mut bytes, id, 0, size)?;
        let header = Header::of(&bytes);
        if header.id != id {
            return Err(place.damage(Fault::Id { found: header.id }).into());
        }
        let more = u64::from(header.overflow);
        if id.checked_add(more).is_none_or(|last| last >= self.db.meta.high_water) {
            return Err(place.damage(Fault::Overflow { pages: header.overflow }).into());
        }
        let total = (more + 1) * size as u64;
        if held + total > MAX_NODE {
            return Err(place.damage(Fault::TooLarge { bytes: total, limit: MAX_NODE - held }).into());
        }
        if mark {
            for page in id..=id + more {
                if !self.mark(page) {
                    return Err(self.db.place(page).damage(Fault::Reached).into());
                }
                self.reached += 1;
            }
        }
        if more > 0 {
            let total = usize::try_from(total).unwrap_or_default();
            self.fill(&mut bytes, id, size, total)?;
        }
        Ok(bytes)
    }

    /// Brings the bytes `from..to` of a page into `bytes`, which has those before `from`.
    fn fill(&mut self, bytes: &mut Vec<u8>, id: u64, from: usize, to: usize) -> Result<()> {
        if let Some(at) = self.in_window(id, to) {
            bytes.truncate(from);
            bytes.extend_from_slice(&self.window[at + from..at + to]);
            return Ok(());
        }
        bytes.resize(to, 0);
        self.db.read_at(&mut bytes[from..], self.db.place(id).offset + from as u64)
    }

    /// Notes that a page is in use; `false` when it was noted before.
    pub(crate) fn mark(&mut self, page: u64) -> bool {
        let (word, bit) = (usize::try_from(page / 64).unwrap_or(usize::MAX), 1 << (page % 64));
        let Some(word) = self.seen.get_mut(word) else { return false };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// The first page below the high-water mark that was not marked.
    pub(super) fn first_unreached(&self) -> Option<u64> {
        let words = self.seen.iter().zip(0_u64..);
        let first = words
            .filter(|(word, _)| **word != u64::MAX)
            .map(|(word, n)| n * 64 + u64::from(word.trailing_ones()));
        first.take(1).find(|page| *page < self.db.meta.high_water)
    }
}

/// The range of keys below element `index` of a branch.
fn bounds<'n>(node: &'n Node, index: usize, above: Above<'n>) -> (Option<&'n [u8]>, Option<&'n [u8]>) {
    // A search for a key below the first element's goes there too.
    let low = if index == 0 { above.low } else { node.item(index).map(|item| item.key) };
    let high = node.item(index + 1).map(|item| item.key).or(above.high);
    (low, high)
}

fn in_range(node: &Node, above: Above<'_>) -> Result<(), Damage> {
    let first = node.item(0).map(|item| item.key);
    let last = node.last().map(|item| item.key);
    let low = first.is_none_or(|first| above.floor.is_none_or(|floor| first >= floor));
    let high = last.is_none_or(|last| above.high.is_none_or(|high| last < high));
    if low && high { Ok(()) } else { Err(node.place.damage(Fault::Range)) }
}
