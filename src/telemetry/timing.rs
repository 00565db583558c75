//! How long something takes, as a histogram.

use std::time::Duration;

use super::sharded::Sharded;

/// Up to which a bucket counts, in microseconds: from what a copy in the process takes to a fill that is given up.
const BOUNDS: [u64; 22] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];
/// What is above them all, and the sum in nanoseconds.
const ABOVE: usize = BOUNDS.len();
const SUM: usize = ABOVE + 1;

/// A histogram of times.
#[derive(Debug)]
pub struct Timing(Sharded);

impl Default for Timing {
    fn default() -> Self {
        Self(Sharded::new(SUM + 1))
    }
}

impl Timing {
    pub(super) fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.add(BOUNDS.partition_point(|bound| *bound < micros), 1);
        self.0.add(SUM, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        (0..=ABOVE).map(|place| self.0.sum(place)).sum()
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.0.sum(SUM))
    }

    /// Each bucket's upper bound in seconds, and how many are in it and in no lower one.
    #[must_use]
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.map(|micros| micros as f64 / 1e6);
        let bounds = bounds.into_iter().chain([f64::INFINITY]);
        bounds.enumerate().map(|(place, bound)| (bound, self.0.sum(place))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let timing = Timing::default();
        for micros in [0, 5, 6, 60_000_000, 60_000_001] {
            timing.note(Duration::from_micros(micros));
        }
        let filled: Vec<_> = timing.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(5e-6, 2), (1e-5, 1), (60.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((timing.count(), timing.sum()), (5, Duration::from_micros(120_000_012)));
    }
}
