//! The one place that gives up waiting. Every await on another machine is under a deadline that its
//! caller hands in, the wait for a pooled connection included; and who moves bytes must keep a pace.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

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

/// Waits for somebody who moves bytes, who must not pause for longer than a limit nor be slower than at his pace. The
/// clock runs only while he is waited for: whoever is slow himself does not make him late.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    pace: Pace,
    waited: Duration,
    moved: u64,
    /// Armed while he is waited for.
    wait: Option<Wait>,
}

#[derive(Debug)]
struct Wait {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

/// Who moves bytes did so too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// He paused for longer than this.
    Idle(Duration),
    /// He moved something now and then, but too little.
    Slow,
}

impl Patience {
    /// With a pause of `limit` at the most, and this pace.
    #[must_use]
    pub fn new(limit: Duration, pace: Pace) -> Self {
        Self { limit, pace, waited: Duration::ZERO, moved: 0, wait: None }
    }

    /// He is not waited for any more, and has moved so many bytes.
    pub fn moved(&mut self, bytes: u64) {
        self.waited += self.wait.take().map_or(Duration::ZERO, |wait| wait.since.elapsed());
        self.moved += bytes;
    }

    /// He is waited for: ready when that is in vain.
    pub fn poll_spent(&mut self, context: &mut Context<'_>) -> Poll<Spent> {
        let patience = self.pace.patience(self.waited, self.moved);
        let limit = self.limit.min(patience);
        let wait = self.wait.get_or_insert_with(|| Wait {
            since: Instant::now(),
            timer: Box::pin(tokio::time::sleep(limit)),
        });
        ready!(wait.timer.as_mut().poll(context));
        Poll::Ready(if patience < self.limit { Spent::Slow } else { Spent::Idle(self.limit) })
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
