//! The store of one process: entries in memory, bounded by bytes. For the demo and small set-ups.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::Weighter;
use tokio::time::Instant;

use super::{
    entry::{Entry, Garbled, Label, Shape, weight},
    fault::Fault,
    generation::Generation,
    snapshot::{Found, Keys, Snapshot, Stored},
};
use crate::bounded::{self, Bounded, Size};

/// The `run_id` of a store that cannot outlive its process.
const RUN_ID: &str = "memory";

#[derive(Clone, Debug)]
struct Kept {
    entry: Arc<Entry>,
    until: Instant,
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<String, Kept> for Bytes {
    fn weight(&self, key: &String, kept: &Kept) -> u64 {
        weight(key, &kept.entry)
    }
}

/// Entries in memory.
#[derive(Debug)]
pub(super) struct Memory {
    /// As it was made: bytes in all, and of an entry.
    bounds: (u64, usize),
    generations: Mutex<HashMap<String, Generation>>,
    max_entry_bytes: u64,
    entries: Bounded<String, Kept, Bytes>,
}

impl Memory {
    /// Whether it was made with these bounds.
    #[must_use]
    pub(super) fn is_bound_by(&self, max_bytes: u64, max_entry_bytes: usize) -> bool {
        self.bounds == (max_bytes, max_entry_bytes)
    }

    /// An empty store of at most `max_bytes`, for entries of at most `max_entry_bytes` or as the bound allows.
    #[must_use]
    pub(super) fn new(max_bytes: u64, max_entry_bytes: usize) -> Self {
        let (entries, bounds) = (bounded::by_bytes(max_bytes, Bytes), (max_bytes, max_entry_bytes));
        let max_entry_bytes = (max_entry_bytes as u64).min(bounded::largest(max_bytes));
        Self { bounds, generations: Mutex::default(), max_entry_bytes, entries }
    }

    pub(super) fn look(&self, keys: &Keys, shape: &Shape) -> Snapshot {
        let generation = self.lock().get(&keys.generation).cloned();
        let now = Instant::now();
        let entry = match self.entries.get(&keys.entry) {
            Some(kept) if kept.until <= now => {
                self.entries.remove(&keys.entry);
                Stored::Nothing
            }
            Some(kept) if kept.entry.shape != *shape => Stored::Garbled(Garbled::Shape),
            Some(kept) => Stored::Entry(kept.entry, kept.until - now),
            None => Stored::Nothing,
        };
        Snapshot { generation, entry, givers: None }
    }

    /// How much it holds.
    pub(super) fn size(&self) -> Size {
        bounded::size(&self.entries)
    }

    /// The generation under this key.
    pub(super) fn generation(&self, key: &str) -> Option<Generation> {
        self.lock().get(key).cloned()
    }

    /// So many of the entries, by their keys, after this one; and the last key where more follow.
    pub(super) fn list(&self, after: Option<&str>, most: usize) -> (Vec<Found>, Option<String>) {
        let now = Instant::now();
        let lives = |kept: &Kept| kept.until > now;
        let mut found: Vec<_> = self.entries.iter().filter(|(_, kept)| lives(kept)).collect();
        found.retain(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let more = found.len() > most;
        found.truncate(most);
        let next = found.last().filter(|_| more).map(|(key, _)| key.clone());
        let describe = |(key, kept): (String, Kept)| Found {
            bytes: kept.entry.collection.text.len() as u64,
            left: Some(kept.until - now),
            label: Some(Label::of(&kept.entry)),
            key,
        };
        (found.into_iter().map(describe).collect(), next)
    }

    pub(super) fn establish(&self, key: &str) -> Result<Generation, Fault> {
        let mut generations = self.lock();
        if let Some(generation) = generations.get(key) {
            return Ok(generation.clone());
        }
        let generation = Generation::random(RUN_ID).map_err(|_| Fault::Internal)?;
        generations.insert(key.to_owned(), generation.clone());
        Ok(generation)
    }

    pub(super) fn put(&self, key: &str, entry: &Arc<Entry>, ttl: Duration) -> Result<(), Fault> {
        let (key, kept) = (key.to_owned(), Kept { entry: Arc::clone(entry), until: Instant::now() + ttl });
        if Bytes.weight(&key, &kept) > self.max_entry_bytes {
            return Err(Fault::TooLarge);
        }
        self.entries.insert(key, kept);
        Ok(())
    }

    pub(super) fn delete(&self, key: &str) {
        self.entries.remove(key);
    }

    pub(super) fn drop_generation(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Generation>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
