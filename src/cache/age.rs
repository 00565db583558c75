//! How old an entry is, and what that means.

use std::time::Duration;

use tokio::time::Instant;

/// An age that goes on by the monotonic clock: once known, no step of the wall clock changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    was: Duration,
    at: Instant,
}

impl Age {
    /// This old now.
    #[must_use]
    pub fn now(was: Duration) -> Self {
        Self { was, at: Instant::now() }
    }

    /// Nothing at that moment.
    #[must_use]
    pub(super) fn since(at: Instant) -> Self {
        Self { was: Duration::ZERO, at }
    }

    /// How old it is by this moment; before it was known, as old as it was then.
    #[must_use]
    pub fn by(self, now: Instant) -> Duration {
        self.was + now.saturating_duration_since(self.at)
    }
}
