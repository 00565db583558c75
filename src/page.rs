//! From a collection to a page of it: one slice of the stored text and an envelope of computed numbers.
//!
//! Pure. The envelope is ABConnect's; what lies in its items is none of this module's business but for
//! the date that [`keep`] looks at.

pub mod keep;

use std::{io::Write as _, ops::Range};

use bytes::Bytes;
use jiff::civil::Date;

use crate::classify::PageAsked;

/// All items of one route and key parameters, in upstream order, projected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The items as JSON, separated by commas, without brackets around them.
    pub text: Bytes,
    /// Where each item lies in `text`, in order and disjoint.
    pub items: Vec<Range<u32>>,
    /// How many the upstream counts, those included that are not kept.
    pub total: u64,
    /// The day from which items were kept; `None` where all are.
    pub kept_from: Option<Date>,
}

impl Collection {
    /// The text of one item; empty where there is none.
    #[must_use]
    pub fn item(&self, place: usize) -> &[u8] {
        self.items.get(place).map_or(&[], |span| slice(&self.text, span))
    }

    /// One page in the upstream's envelope. Past the end it has no items and still counts right.
    #[must_use]
    pub fn page(&self, asked: PageAsked) -> Bytes {
        let count = self.items.len();
        let size = asked.size.max(1) as usize;
        let pages = count.div_ceil(size);
        let number = asked.number as usize;
        let first = number.saturating_sub(1).saturating_mul(size).min(count);
        let last = first.saturating_add(size).min(count);
        let items = self.between(first, last);
        let mut page = Vec::with_capacity(items.len() + 140);
        page.extend_from_slice(b"{\"items\":[");
        page.extend_from_slice(items);
        let (previous, next) = (number > 1, number < pages);
        // Writing to a Vec does not fail.
        let _ = write!(
            page,
            "],\"pageNumber\":{number},\"totalPages\":{pages},\"totalItems\":{count},\"hasPreviousPage\":{previous},\"hasNextPage\":{next}}}"
        );
        page.into()
    }

    /// The text of the items from `first` to before `last`, commas included.
    fn between(&self, first: usize, last: usize) -> &[u8] {
        match self.items.get(first..last) {
            Some([only]) => slice(&self.text, only),
            Some([head, .., tail]) => slice(&self.text, &(head.start..tail.end)),
            _ => &[],
        }
    }
}

fn slice<'t>(text: &'t Bytes, span: &Range<u32>) -> &'t [u8] {
    text.get(span.start as usize..span.end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn collection(count: usize) -> Collection {
        let mut text = Vec::new();
        let mut items = Vec::new();
        for id in 0..count {
            if id > 0 {
                text.push(b',');
            }
            let start = text.len() as u32;
            text.extend_from_slice(format!("{{\"id\":{id}}}").as_bytes());
            items.push(start..text.len() as u32);
        }
        Collection { text: text.into(), items, total: count as u64, kept_from: None }
    }

    fn page(count: usize, number: u32, size: u32) -> Value {
        serde_json::from_slice(&collection(count).page(PageAsked { number, size })).expect("a page is JSON")
    }

    #[test]
    fn an_empty_collection_has_no_pages() {
        assert_eq!(
            page(0, 1, 10),
            json!({"items":[],"pageNumber":1,"totalPages":0,"totalItems":0,"hasPreviousPage":false,"hasNextPage":false})
        );
    }

    #[test]
    fn a_page_past_the_end_is_empty_and_counts_right() {
        assert_eq!(
            page(3, 9, 2),
            json!({"items":[],"pageNumber":9,"totalPages":2,"totalItems":3,"hasPreviousPage":true,"hasNextPage":false})
        );
        assert_eq!(page(3, u32::MAX, u32::MAX)["items"], json!([]));
    }

    proptest! {
        #[test]
        fn pages_joined_are_the_collection(count in 0usize..200, size in 1u32..60) {
            let mut joined = Vec::new();
            for number in 1.. {
                let page = page(count, number, size);
                joined.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()));
                prop_assert_eq!(&page["totalItems"], &json!(count));
                prop_assert_eq!(&page["hasPreviousPage"], &json!(number > 1));
                if page["hasNextPage"] == json!(false) { break }
            }
            prop_assert_eq!(joined, (0..count as u64).collect::<Vec<_>>());
        }
    }
}
