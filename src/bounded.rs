//! Memory that is bounded: what is used least goes first. Keys may be a client's, so they are hashed with a key
//! that nobody knows.

use std::hash::{BuildHasher as _, Hash};

use ahash::RandomState;
use quick_cache::{OptionsBuilder, UnitWeighter, Weighter, sync::Cache};

/// Such memory.
pub type Bounded<K, V, W = UnitWeighter> = Cache<K, V, W, RandomState>;

/// How much of it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Values.
    pub count: u64,
    /// As they are weighed: bytes, about.
    pub weight: u64,
}

/// How much of this memory is taken.
#[must_use]
pub fn size<K, V, W>(memory: &Bounded<K, V, W>) -> Size
where
    K: Hash + Eq,
    V: Clone,
    W: Weighter<K, V> + Clone,
{
    Size { count: memory.len() as u64, weight: memory.weight() }
}

/// Room is made at once for so many values; for more when they come.
const EXPECTED: usize = 1024;
/// The parts, each with its share of the bound. Nothing larger than a share is kept, so they are few.
const PARTS: u64 = 4;

/// Values of at most `max_bytes` together, as `weigher` weighs them.
#[must_use]
pub fn by_bytes<K, V, W>(max_bytes: u64, weigher: W) -> Bounded<K, V, W>
where
    K: Hash + Eq,
    V: Clone,
    W: Weighter<K, V> + Clone,
{
    let mut options = OptionsBuilder::new();
    options
        .shards(usize::try_from(PARTS).unwrap_or(1))
        .estimated_items_capacity(EXPECTED)
        .weight_capacity(max_bytes);
    match options.build() {
        Ok(options) => Cache::with_options(options, weigher, keyed(), Default::default()),
        Err(_) => Cache::with(EXPECTED, max_bytes, weigher, keyed(), Default::default()),
    }
}

/// A value as large as this is kept by [`by_bytes`]: a part's share, but for the room that it leaves to newcomers.
#[must_use]
pub const fn largest(max_bytes: u64) -> u64 {
    max_bytes / PARTS / 10 * 9
}

/// A way to hash that nobody can foresee, in this process or another.
#[must_use]
pub fn keyed() -> RandomState {
    let random = || std::hash::RandomState::new().hash_one(());
    RandomState::with_seeds(random(), random(), random(), random())
}

/// At most so many values.
#[must_use]
pub fn by_count<K: Hash + Eq, V: Clone>(count: usize) -> Bounded<K, V> {
    Cache::with(count.min(EXPECTED), count as u64, UnitWeighter, keyed(), Default::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Itself;

    impl Weighter<u64, u64> for Itself {
        fn weight(&self, _: &u64, value: &u64) -> u64 {
            *value
        }
    }

    #[test]
    fn the_bound_holds_and_the_largest_value_is_kept() {
        let cache = by_bytes(4_000, Itself);
        for key in 0..1_000 {
            cache.insert(key, 100);
        }
        assert!(cache.weight() <= 4_000);
        let empty = by_bytes(4_000, Itself);
        empty.insert(1, largest(4_000));
        empty.insert(2, 4_000 / PARTS + 1);
        assert_eq!((empty.get(&1), empty.get(&2)), (Some(largest(4_000)), None));
    }
}
