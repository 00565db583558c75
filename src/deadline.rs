//! The one place that gives up waiting. Every await on another machine is under a deadline that its
//! caller hands in, the wait for a pooled connection included.

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
