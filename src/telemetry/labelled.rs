//! Counters by a few words that are known when the program is made, such as an operation and how it ended.

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

type Words = (&'static str, &'static str);

/// Counters by two words, none at first.
#[derive(Debug, Default)]
pub(super) struct Labelled(RwLock<BTreeMap<Words, AtomicU64>>);

impl Labelled {
    pub(super) fn add(&self, words: Words, amount: u64) {
        if let Some(counter) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&words) {
            counter.fetch_add(amount, Ordering::Relaxed);
            return;
        }
        let mut counters = self.0.write().unwrap_or_else(PoisonError::into_inner);
        counters.entry(words).or_default().fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn all(&self) -> Vec<(Words, u64)> {
        let counters = self.0.read().unwrap_or_else(PoisonError::into_inner);
        counters.iter().map(|(words, count)| (*words, count.load(Ordering::Relaxed))).collect()
    }
}
