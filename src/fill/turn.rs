//! Whose turn it is: so many fills go at a time, so many more wait, and who comes then is told so at once.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config;

/// The turns of all fills of a process.
pub(super) struct Turns {
    going: Semaphore,
    waiting: Semaphore,
}

impl Turns {
    pub(super) fn new(limits: &config::Fill) -> Self {
        let (going, waiting) = (limits.parallel_fills, limits.waiting_fills);
        Self { going: Semaphore::new(going), waiting: Semaphore::new(waiting) }
    }

    /// A turn, which ends when dropped: in the order of coming. `None` at once where too many wait already.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // Never past those who wait: what one gives back is theirs.
        if let Ok(turn) = self.going.try_acquire() {
            return Some(turn);
        }
        let _place = self.waiting.try_acquire().ok()?;
        self.going.acquire().await.ok()
    }
}
