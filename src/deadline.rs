//! The one place that gives up waiting. Every await on another machine is under a deadline that its
//! caller hands in, the wait for a pooled connection included; and who moves bytes must keep a pace.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

/// A point in time after which an answer is no longer wanted.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer in time")]
pub struct Elapsed;

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// Runs `work` until it ends or the deadline passes; in the latter case `work` is dropped, so
    /// what it leaves behind is what its cancellation leaves behind.
    ///
    /// # Errors
    /// [`Elapsed`] where the deadline passed first.
    pub async fn within<F: Future>(self, work: F) -> Result<F::Output, Elapsed> {
        tokio::time::timeout_at(self.0, work).await.map_err(|_| Elapsed)
    }
}

/// The slowest pace at which a client may move bytes, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second; 0: any.
    rate: u64,
}

impl Pace {
    /// So long anybody may be waited for in all, whatever the pace.
    pub const UNHURRIED: Duration = Duration::from_secs(20);

    /// So many bytes for each second of waiting beyond [`Pace::UNHURRIED`]; 0: any pace will do.
    #[must_use]
    pub fn of(rate: u64) -> Self {
        Self { rate }
    }

    /// How much longer somebody may be waited for who has been so for `waited`, and has moved so many bytes.
    #[must_use]
    pub fn patience(self, waited: Duration, moved: u64) -> Duration {
        if self.rate == 0 {
            return Duration::MAX;
        }
        let earned = moved.saturating_mul(1_000) / self.rate;
        (Self::UNHURRIED + Duration::from_millis(earned)).saturating_sub(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_buys_patience() {
        let (second, pace) = (Duration::from_secs(1), Pace::of(500));
        assert_eq!(pace.patience(Duration::ZERO, 0), 20 * second);
        assert_eq!(pace.patience(25 * second, 5_000), 5 * second);
        assert_eq!(pace.patience(30 * second, 5_000), Duration::ZERO);
        assert_eq!(pace.patience(90 * second, 5_000), Duration::ZERO);
        assert!(pace.patience(Duration::ZERO, u64::MAX) > 1_000_000 * second);
        assert_eq!(Pace::of(0).patience(900 * second, 0), Duration::MAX);
    }
}
