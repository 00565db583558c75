//! Background work that a panic must not end: it is said, and the work goes on.
//!
//! For tasks on which later requests depend. What belongs to one request, or one fill, ends with its panic, and whoever
//! waits for it is told.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;

/// Between a panic and the next try.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs `work` until it ends; where it panics, anew after a pause. Whatever it has half done is for it to find again.
pub async fn until_done<F: Future>(what: &'static str, mut work: impl FnMut() -> F) -> F::Output {
    loop {
        if let Some(done) = caught(what, work()).await {
            return done;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Runs `work` once; `None` where it panicked.
pub async fn caught<F: Future>(what: &'static str, work: F) -> Option<F::Output> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.inspect_err(|_| tracing::error!("a defect: {what} panicked, and is tried again")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_is_begun_anew_until_it_ends() {
        let mut begun = 0;
        let done = until_done("the test", || {
            begun += 1;
            let third = begun == 3;
            async move {
                tokio::task::yield_now().await;
                assert!(third, "on purpose");
                7
            }
        });
        assert_eq!(done.await, 7);
        assert_eq!(begun, 3);
    }
}
