//! One breaker for the whole store: after some failures in a row nobody asks it any more, and a task of
//! its own finds out when it is back. So a dead or frozen store costs a request nothing.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::supervise;

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// The first pause between probes; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Counts failures in a row and says whether the store may be asked. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Breaker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    failures: AtomicU32,
    probing: AtomicBool,
    open: watch::Sender<bool>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self(Arc::new(Inner {
            failures: AtomicU32::new(0),
            probing: AtomicBool::new(false),
            open: watch::Sender::new(false),
        }))
    }
}

impl Breaker {
    /// True while the store must not be asked.
    #[must_use]
    pub(super) fn is_open(&self) -> bool {
        *self.0.open.borrow()
    }

    /// The store answered, if only with a refusal.
    pub(super) fn answered(&self) {
        self.0.failures.store(0, Ordering::Relaxed);
    }

    /// The store did not answer. True for the one failure that opens the breaker: its reporter calls
    /// [`Breaker::probe_until_back`].
    #[must_use]
    pub(super) fn failed(&self) -> bool {
        let failures = self.0.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        failures >= FAILURES && self.open()
    }

    /// Opens it at once. True for the one caller that did.
    #[must_use]
    pub(super) fn open(&self) -> bool {
        let first = !self.0.probing.swap(true, Ordering::AcqRel);
        if first {
            self.0.open.send_replace(true);
        }
        first
    }

    /// Asks with `probe` again and again until it says yes, then closes the breaker; a probe that panics has said no.
    /// Runs in a task of its own; dropping it leaves the breaker open.
    pub(super) async fn probe_until_back<F: Future<Output = bool>>(&self, mut probe: impl FnMut() -> F) {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            if supervise::caught("the probe of the store", probe()).await == Some(true) {
                break;
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
        self.0.failures.store(0, Ordering::Relaxed);
        self.0.open.send_replace(false);
        self.0.probing.store(false, Ordering::Release);
    }

    /// Returns once the store may be asked.
    pub(super) async fn closed(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.open.subscribe().wait_for(|open| !open).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_at_the_fifth_failure_in_a_row_and_only_once() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert!(!breaker.failed());
        }
        breaker.answered();
        for _ in 1..FAILURES {
            assert!(!breaker.failed());
        }
        assert!(!breaker.is_open());
        assert!(breaker.failed());
        assert!(breaker.is_open());
        assert!(!breaker.failed(), "the probe already runs");
    }

    #[tokio::test(start_paused = true)]
    async fn however_long_the_store_was_away_the_next_probe_is_a_second_off_at_most() {
        let (breaker, mut asked) = (Breaker::default(), vec![tokio::time::Instant::now()]);
        assert!(breaker.open());
        breaker
            .probe_until_back(|| {
                asked.push(tokio::time::Instant::now());
                std::future::ready(asked.len() > 20)
            })
            .await;
        for pair in asked.windows(2) {
            assert!(pair[1] - pair[0] <= LAST_PAUSE, "{asked:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_panics_is_not_the_last_one() {
        let breaker = Breaker::default();
        assert!(breaker.open());
        let mut asked = 0;
        breaker
            .probe_until_back(|| {
                asked += 1;
                let good = asked > 2;
                async move {
                    assert!(good, "on purpose");
                    true
                }
            })
            .await;
        assert!(asked == 3 && !breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn it_closes_when_a_probe_succeeds() {
        let breaker = Breaker::default();
        assert!(breaker.open());
        let mut left = 3;
        breaker
            .probe_until_back(|| {
                left -= 1;
                std::future::ready(left == 0)
            })
            .await;
        let closed = tokio::time::timeout(LAST_PAUSE, breaker.closed()).await;
        assert!(closed.is_ok() && !breaker.is_open());
        assert!(breaker.open(), "it can open again");
    }
}
