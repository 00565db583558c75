//! What lists of all kinds need: what was typed, and pages of rows.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Whether each word that was typed is in one of the texts; case and accents aside.
pub(super) fn matches(query: &str, texts: &[&str]) -> bool {
    let texts: Vec<String> = texts.iter().map(|text| folded(text)).collect();
    folded(query).split_whitespace().all(|word| texts.iter().any(|text| text.contains(word)))
}

fn folded(text: &str) -> String {
    text.nfkd().filter(|letter| !is_combining_mark(*letter)).flat_map(char::to_lowercase).collect()
}

/// A page of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pager {
    /// From 1.
    pub(super) page: usize,
    /// At least 1.
    pub(super) pages: usize,
    rows: usize,
}

impl Pager {
    /// The page that is asked for, or the nearest there is.
    pub(super) fn new(count: usize, rows: usize, page: Option<usize>) -> Self {
        let pages = count.div_ceil(rows.max(1)).max(1);
        Self { page: page.unwrap_or(1).clamp(1, pages), pages, rows: rows.max(1) }
    }

    /// The rows of this page.
    pub(super) fn of<T>(&self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip((self.page - 1) * self.rows).take(self.rows).collect()
    }

    pub(super) fn previous(&self) -> Option<usize> {
        (self.page > 1).then(|| self.page - 1)
    }

    pub(super) fn next(&self) -> Option<usize> {
        (self.page < self.pages).then(|| self.page + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_must_be_somewhere_case_and_accents_aside() {
        let texts = ["Åkesson Hôtel des Ventes", "#1108"];
        for query in ["", "akesson", "HOTEL ventes", "ventes 1108", "#11", "Åke"] {
            assert!(matches(query, &texts), "{query}");
        }
        for query in ["akessons", "hotel 1109"] {
            assert!(!matches(query, &texts), "{query}");
        }
    }

    #[test]
    fn a_page_beyond_the_last_is_the_last() {
        let pager = Pager::new(250, 100, Some(9));
        assert_eq!((pager.page, pager.pages, pager.previous(), pager.next()), (3, 3, Some(2), None));
        assert_eq!(pager.of((0..250).collect()), (200..250).collect::<Vec<_>>());
        assert_eq!(Pager::new(0, 100, None).pages, 1);
    }
}
