//! Pages into a collection, checked as they come: each page counts the same total, together they hold as
//! many items as announced, and no item comes twice. Pure.

use std::{collections::HashSet, ops::RangeInclusive};

use super::{FillError, unfit};
use crate::{config, page::Collection, project::ProjectedPage};

/// A walk from page to page.
pub(super) struct Walk {
    total: u64,
    pages: u32,
    next: u32,
    text: Vec<u8>,
    items: Vec<std::ops::Range<u32>>,
    seen: HashSet<u64>,
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
            text: Vec::new(),
            items: Vec::new(),
            seen: HashSet::new(),
            absent: vec![0; first.absent.len()],
        };
        walk.add(first, limits)?;
        Ok(walk)
    }

    /// The pages still to be fetched, in order.
    pub(super) fn further_pages(&self) -> RangeInclusive<u32> {
        2..=self.pages
    }

    /// Adds the next page.
    pub(super) fn add(&mut self, page: ProjectedPage, limits: &config::Fill) -> Result<(), FillError> {
        if page.total_items != Some(self.total) {
            return Err(FillError::Contradiction("two pages count different totals"));
        }
        if page.page_number.is_some_and(|number| number != u64::from(self.next)) {
            return Err(FillError::Contradiction("another page than the one asked for"));
        }
        if !page.identities.iter().all(|identity| self.seen.insert(*identity)) {
            return Err(FillError::Contradiction("an item that comes twice"));
        }
        if self.text.len() + page.text.len() > limits.max_bytes.min(u32::MAX as usize - 1) {
            return Err(FillError::TooLarge("max-bytes"));
        }
        self.next += 1;
        for (sum, count) in self.absent.iter_mut().zip(&page.absent) {
            *sum += count;
        }
        self.append(page);
        if self.items.len() as u64 > self.total {
            Err(FillError::Contradiction("more items than announced"))
        } else {
            Ok(())
        }
    }

    /// The collection, whole, and for each field how many items lacked it.
    pub(super) fn end(self) -> Result<(Collection, Vec<u64>), FillError> {
        let mut items = self.items;
        if items.len() as u64 != self.total {
            return Err(FillError::Contradiction("fewer items than announced"));
        }
        let mut text = self.text;
        // It grew by doubling; what is kept needs no room to grow.
        text.shrink_to_fit();
        items.shrink_to_fit();
        Ok((Collection { text: text.into(), items, total: self.total, kept_from: None }, self.absent))
    }

    fn append(&mut self, page: ProjectedPage) {
        if self.text.is_empty() {
            self.text = page.text;
            self.items = page.items;
            return;
        }
        if page.items.is_empty() {
            return;
        }
        self.text.push(b',');
        // `add` has bounded the text below 4 GiB.
        let base = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.extend_from_slice(&page.text);
        self.items.extend(page.items.into_iter().map(|span| span.start + base..span.end + base));
    }
}
