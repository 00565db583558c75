//! At most one refresh of a session at a time, belonging to no request; its result is kept for those who still have the
//! old cookie.
//!
//! A refresh token may be good for one use. Two tabs that both near the end of a token would sign each other out, and so
//! would a client that leaves while the answer is under way.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// How long a result is for others as well.
const KEPT: Duration = Duration::from_secs(60);
/// How long a server that was away is not asked again.
const PAUSE: Duration = Duration::from_secs(5);

/// How a refresh ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome<T> {
    /// With a newer session.
    Newer(T),
    /// The refresh token is not good any more.
    Refused,
    /// Nobody knows: the token may be good.
    Away,
}

/// What stands for a session's tokens: a keyed hash of them.
pub(super) type Tag = [u8; 32];

type Told<T> = Option<(Outcome<T>, Instant)>;

/// The refreshes of a process.
pub(super) struct Refreshes<T>(Mutex<HashMap<Tag, watch::Receiver<Told<T>>>>);

impl<T> Default for Refreshes<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Send + Sync + 'static> Refreshes<T> {
    /// Joins the refresh with this tag, under way or ended lately, or starts one: `work` is called only then, and goes
    /// on if nobody waits. It must end.
    pub(super) fn join<F>(&self, tag: Tag, work: impl FnOnce() -> F) -> Refresh<T>
    where
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        let mut known = self.lock();
        // Those of a minute are few, and only who has a session of ours adds to them.
        known.retain(|_, refresh| is_kept(refresh));
        let told = known.entry(tag).or_insert_with(|| {
            let (tell, told) = watch::channel(None);
            let work = work();
            tokio::spawn(async move {
                let outcome = work.await;
                tell.send_replace(Some((outcome, Instant::now())));
            });
            told
        });
        Refresh(told.clone())
    }

    /// Its result is handed out no more.
    pub(super) fn forget(&self, tag: &Tag) {
        self.lock().remove(tag);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Tag, watch::Receiver<Told<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_kept<T>(refresh: &watch::Receiver<Told<T>>) -> bool {
    match &*refresh.borrow() {
        // A task that panicked tells nothing any more.
        None => refresh.has_changed().is_ok(),
        Some((Outcome::Away, ended)) => ended.elapsed() < PAUSE,
        Some((Outcome::Newer(_) | Outcome::Refused, ended)) => ended.elapsed() < KEPT,
    }
}

/// A refresh, under way or ended.
pub(super) struct Refresh<T>(watch::Receiver<Told<T>>);

impl<T: Clone> Refresh<T> {
    /// Waits for its end. Dropping the wait disturbs nobody.
    pub(super) async fn outcome(mut self) -> Outcome<T> {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some((outcome, _))) => outcome.clone(),
            Ok(None) | Err(_) => Outcome::Away,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::sync::Notify;

    use super::*;

    /// Counts what is done, and waits for a word before it ends.
    #[derive(Clone, Default)]
    struct Work {
        done: Arc<AtomicU32>,
        go: Arc<Notify>,
    }

    impl Work {
        async fn at_once(self) -> Outcome<u32> {
            Outcome::Newer(self.done.fetch_add(1, Ordering::SeqCst) + 1)
        }

        async fn when_told(self) -> Outcome<u32> {
            self.go.notified().await;
            self.at_once().await
        }
    }

    async fn number(refresh: Refresh<u32>) -> u32 {
        match refresh.outcome().await {
            Outcome::Newer(number) => number,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_at_once_are_one_and_a_third_has_its_result_for_a_minute() {
        let (refreshes, work) = (Refreshes::default(), Work::default());
        let one = refreshes.join([1; 32], || work.clone().when_told());
        let two = refreshes.join([1; 32], || work.clone().when_told());
        work.go.notify_one();
        assert_eq!((number(one).await, number(two).await), (1, 1));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(number(refreshes.join([1; 32], || work.clone().at_once())).await, 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(number(refreshes.join([1; 32], || work.clone().at_once())).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_goes_on_when_who_began_it_has_left() {
        let (refreshes, work) = (Refreshes::default(), Work::default());
        drop(refreshes.join([1; 32], || work.clone().when_told()));
        work.go.notify_one();
        assert_eq!(number(refreshes.join([1; 32], || work.clone().at_once())).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_session_has_a_refresh_of_its_own_and_a_forgotten_one_is_not_handed_out() {
        let (refreshes, work) = (Refreshes::default(), Work::default());
        assert_eq!(number(refreshes.join([1; 32], || work.clone().at_once())).await, 1);
        assert_eq!(number(refreshes.join([2; 32], || work.clone().at_once())).await, 2);
        refreshes.forget(&[1; 32]);
        assert_eq!(number(refreshes.join([1; 32], || work.clone().at_once())).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_was_away_is_asked_again_after_five_seconds() {
        let refreshes = Refreshes::<u32>::default();
        let asked = AtomicU32::new(0);
        let ask = || {
            asked.fetch_add(1, Ordering::SeqCst);
            async { Outcome::Away }
        };
        for expected in [1, 1] {
            assert!(matches!(refreshes.join([1; 32], ask).outcome().await, Outcome::Away));
            assert_eq!(asked.load(Ordering::SeqCst), expected);
        }
        tokio::time::advance(PAUSE).await;
        refreshes.join([1; 32], ask).outcome().await;
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_that_panicked_is_away_and_then_made_anew() {
        let (refreshes, work) = (Refreshes::<u32>::default(), Work::default());
        let broken = refreshes.join([1; 32], || async { panic!("on purpose") });
        assert!(matches!(broken.outcome().await, Outcome::Away));
        assert_eq!(number(refreshes.join([1; 32], || work.clone().at_once())).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_ended_does_not_pile_up() {
        let (refreshes, work) = (Refreshes::default(), Work::default());
        for tag in 0..100 {
            number(refreshes.join([tag; 32], || work.clone().at_once())).await;
        }
        tokio::time::advance(KEPT).await;
        number(refreshes.join([200; 32], || work.clone().at_once())).await;
        assert_eq!(refreshes.lock().len(), 1);
    }
}
