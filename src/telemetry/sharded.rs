//! Counters that many threads add to at once: each thread has a row of its own, so that no two write to one place.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Rows; threads beyond them share.
const ROWS: usize = 8;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The thread's row; `usize::MAX`: it has none yet.
    static ROW: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// So many counters, all 0 at first.
#[derive(Debug)]
pub(super) struct Sharded(Box<[Row]>);

/// Far enough from the next one that no line of a CPU's cache has both.
#[repr(align(128))]
#[derive(Debug)]
struct Row(Box<[AtomicU64]>);

impl Sharded {
    pub(super) fn new(width: usize) -> Self {
        // A row's counters have lines of their own, too: allocations are apart by at least their width, which is rounded up.
        let row = || Row((0..width.next_multiple_of(16)).map(|_| AtomicU64::new(0)).collect());
        Self((0..ROWS).map(|_| row()).collect())
    }

    /// Adds to a counter; to none where there is no such one.
    pub(super) fn add(&self, place: usize, amount: u64) {
        let counter = self.0.get(here()).and_then(|row| row.0.get(place));
        if let Some(counter) = counter {
            counter.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// What all threads have added.
    pub(super) fn sum(&self, place: usize) -> u64 {
        self.0.iter().filter_map(|row| row.0.get(place)).map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}

/// This thread's row.
fn here() -> usize {
    ROW.with(|row| {
        if row.get() == usize::MAX {
            row.set(NEXT.fetch_add(1, Ordering::Relaxed) % ROWS);
        }
        row.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_add_at_once_is_all_there() {
        let counters = Sharded::new(3);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..1000).for_each(|number| counters.add(number % 3, 2)));
            }
        });
        assert_eq!([0, 1, 2].map(|place| counters.sum(place)), [6680 * 2, 6660 * 2, 6660 * 2]);
        counters.add(99, 1);
        assert_eq!(counters.sum(99), 0);
    }
}
