//! Pages into a collection, checked as they come: each page counts the same total, together they hold as
//! many items as announced, and no item comes twice. Pure.
//!
//! What a page says of the whole is checked at once; its items are only put behind the others when there are some of
//! them, and by whoever has the time.

use std::{mem, ops::Range, ops::RangeInclusive};

use super::{FillError, unfit};
use crate::{config, page::Collection, project::ProjectedPage};

/// So many bytes and items are put behind the others in less time than it takes to have it done elsewhere.
const SMALL_BYTES: usize = 64 * 1024;
const SMALL_ITEMS: usize = 1024;
/// More of them wait for no others.
const DUE_BYTES: usize = 256 * 1024;

/// What is guessed too short is copied again: so many parts of it are added.
const SLACK: usize = 8;

/// A walk from page to page.
pub(super) struct Walk {
    total: u64,
    pages: u32,
    next: u32,
    /// So many bytes all pages may have.
    most: usize,
    /// Bytes and items of all pages so far.
    bytes: usize,
    count: usize,
    /// Pages whose items are still to be put behind the others, and their bytes.
    waiting: Vec<ProjectedPage>,
    waiting_bytes: usize,
    text: Vec<u8>,
    items: Vec<Range<u32>>,
    identities: Vec<u64>,
    absent: Vec<u64>,
}

impl Walk {
    /// Begins with page 1, which says how many there are.
    pub(super) fn begin(first: ProjectedPage, limits: &config::Fill) -> Result<Self, FillError> {
        let total = first.total_items.ok_or_else(|| unfit(&"a page without `totalItems`"))?;
        let pages = first.total_pages.ok_or_else(|| unfit(&"a page without `totalPages`"))?;
        if total > limits.max_items as u64 {
            return Err(FillError::TooLarge("max-items"));
        }
        let pages = u32::try_from(pages).ok().filter(|pages| *pages <= limits.max_pages);
        let pages = pages.ok_or(FillError::TooLarge("max-pages"))?;
        let mut walk = Self {
            total,
            pages,
            next: 1,
            // Spans say no more.
            most: limits.max_bytes.min(u32::MAX as usize - 1),
            bytes: 0,
            count: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            text: Vec::new(),
            items: Vec::new(),
            identities: Vec::new(),
            absent: vec![0; first.absent.len()],
        };
        walk.add(first)?;
        Ok(walk)
    }

    /// How many there are.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// The pages still to be fetched, in order.
    pub(super) fn further_pages(&self) -> RangeInclusive<u32> {
        2..=self.pages
    }

    /// Adds the next page.
    pub(super) fn add(&mut self, page: ProjectedPage) -> Result<(), FillError> {
        if page.total_items != Some(self.total) {
            return Err(FillError::Contradiction("two pages count different totals"));
        }
        if page.page_number.is_some_and(|number| number != u64::from(self.next)) {
            return Err(FillError::Contradiction("another page than the one asked for"));
        }
        self.next += 1;
        // One for the comma.
        self.bytes += page.text.len() + 1;
        self.count += page.items.len();
        if self.bytes > self.most {
            return Err(FillError::TooLarge("max-bytes"));
        }
        if self.count as u64 > self.total {
            return Err(FillError::Contradiction("more items than announced"));
        }
        for (sum, count) in self.absent.iter_mut().zip(&page.absent) {
            *sum += count;
        }
        self.waiting_bytes += page.text.len();
        self.waiting.push(page);
        Ok(())
    }

    /// Whether what waits should be put behind the others now.
    pub(super) fn is_due(&self) -> bool {
        self.waiting_bytes > DUE_BYTES
    }

    /// Whether [`Walk::end`] takes no time to speak of.
    pub(super) fn is_small(&self) -> bool {
        self.bytes <= SMALL_BYTES && self.count <= SMALL_ITEMS
    }

    /// Puts what waits behind the others.
    pub(super) fn gathered(mut self) -> Self {
        self.waiting_bytes = 0;
        for page in mem::take(&mut self.waiting) {
            self.append(page);
        }
        self
    }

    /// The collection, whole, and for each field how many items lacked it.
    pub(super) fn end(self) -> Result<(Collection, Vec<u64>), FillError> {
        let Self { total, mut text, mut items, mut identities, absent, .. } = self.gathered();
        if items.len() as u64 != total {
            return Err(FillError::Contradiction("fewer items than announced"));
        }
        identities.sort_unstable();
        if identities.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err(FillError::Contradiction("an item that comes twice"));
        }
        trim(&mut text);
        trim(&mut items);
        Ok((Collection { text: text.into(), items, total, kept_from: None }, absent))
    }

    fn append(&mut self, page: ProjectedPage) {
        if page.items.is_empty() {
            return;
        }
        if self.items.is_empty() {
            (self.text, self.items, self.identities) = (page.text, page.items, page.identities);
            return;
        }
        self.make_room(page.text.len() + 1);
        self.text.push(b',');
        // `add` has bounded the text below 4 GiB.
        let base = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.extend_from_slice(&page.text);
        self.items.extend(page.items.into_iter().map(|span| span.start + base..span.end + base));
        self.identities.extend(page.identities);
    }

    /// Makes room for what comes: as much as all pages will probably have, so that a text of megabytes is not copied
    /// again and again.
    fn make_room(&mut self, bytes: usize) {
        let room = self.text.capacity() - self.text.len();
        if bytes > room {
            let read = (self.next - 1).max(1) as usize;
            let expected = self.bytes / read * self.pages as usize;
            let wanted = expected.min(self.most).max(self.text.len() + bytes);
            self.text.reserve_exact(wanted + wanted / SLACK - self.text.len());
            let rest = usize::try_from(self.total).unwrap_or(0).saturating_sub(self.items.len());
            self.items.reserve_exact(rest);
            self.identities.reserve_exact(rest);
        }
    }
}

/// What is kept needs no room to grow; but a little is not worth copying it all.
fn trim<T>(kept: &mut Vec<T>) {
    if kept.capacity() - kept.len() > kept.len() / SLACK {
        kept.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        check::{Overrides, load},
        profile::Profile,
    };

    const PAGES: u64 = 40;
    const ITEMS: u64 = 100;

    fn limits() -> config::Fill {
        load(Profile::Panels.source(), Overrides::default()).expect("a profile").0.fill
    }

    fn page(number: u64) -> ProjectedPage {
        let (mut text, mut items) = (Vec::new(), Vec::new());
        for id in (number - 1) * ITEMS..number * ITEMS {
            text.extend_from_slice(if text.is_empty() { b"" } else { b"," });
            let start = text.len() as u32;
            text.extend_from_slice(format!("{{\"id\":{id},\"name\":\"{}\"}}", "x".repeat(200)).as_bytes());
            items.push(start..text.len() as u32);
        }
        ProjectedPage {
            text,
            items,
            identities: ((number - 1) * ITEMS..number * ITEMS).collect(),
            absent: vec![1],
            total_items: Some(PAGES * ITEMS),
            total_pages: Some(PAGES),
            page_number: Some(number),
        }
    }

    #[test]
    fn pages_that_wait_and_pages_that_do_not_make_one_collection() {
        let limits = limits();
        let mut walk = Walk::begin(page(1), &limits).expect("a page");
        let mut due = 0;
        for number in walk.further_pages() {
            walk.add(page(u64::from(number))).expect("a page");
            if walk.is_due() {
                due += 1;
                walk = walk.gathered();
                assert!(!walk.is_due());
                let room = walk.text.capacity() - walk.text.len();
                assert!(room <= 9 * PAGES as usize * walk.bytes / (8 * (walk.next as usize - 1)), "{room}");
            }
        }
        assert!(due > 1 && !walk.is_small());
        let (collection, absent) = walk.end().expect("a collection");
        assert_eq!((collection.total, collection.items.len(), absent), (4000, 4000, vec![PAGES]));
        for (place, span) in collection.items.iter().enumerate() {
            let item = std::str::from_utf8(collection.item(place)).expect("text");
            assert!(
                item.starts_with(&format!("{{\"id\":{place},")) && item.ends_with("\"}"),
                "{span:?}: {item}"
            );
        }
    }

    #[test]
    fn an_item_that_comes_twice_is_a_contradiction_wherever_it_does() {
        for (one, other) in [(0, 1), (3, 250), (0, 299)] {
            let limits = limits();
            let mut identities: Vec<u64> = (0..300).collect();
            identities[other] = identities[one];
            let mut pages = identities.chunks(100).zip(1..).map(|(identities, number)| ProjectedPage {
                total_items: Some(300),
                total_pages: Some(3),
                identities: identities.to_vec(),
                ..page(number)
            });
            let mut walk = Walk::begin(pages.next().expect("a page"), &limits).expect("a page");
            pages.for_each(|page| walk.add(page).expect("a page"));
            assert!(matches!(walk.end(), Err(FillError::Contradiction("an item that comes twice"))));
        }
    }
}
