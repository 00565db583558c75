//! At most one fill at a time for a key and generation, belonging to no request.
//!
//! A flight is a task of its own: callers wait on its outcome and may leave, the first one too. What
//! deadline it has is its maker's business; here it always ends, if only by a panic that is caught.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::watch, time::Instant};

use super::{generation::Generation, near::Stamp};
use crate::{
    home::Home,
    trace::{self, Link, Step},
};

/// What makes two fills the same: callers with equal ones share a flight. It may hold a caller's identity and is
/// not printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FlightId {
    /// The route's place.
    pub route: usize,
    /// The entry's key.
    pub key: Arc<str>,
    /// Own writes seen; a flight that began before one is not joined after it.
    pub epoch: u64,
    /// The generation in the store; `None` where the store did not say.
    pub generation: Option<Generation>,
    /// Where there is no generation: what was known of the store's changes before it was asked. A change that this
    /// process was told of ends the joining of what began before it.
    pub(super) stamp: Option<Stamp>,
    /// Set where the answer is for one caller's token alone.
    pub only_for: Option<Arc<str>>,
}

/// When a flight must have begun to be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Whenever.
    Any,
    /// At this moment or later; but no third one is started while two fly.
    Since(Instant),
    /// At this moment or later, whatever it costs.
    StrictlySince(Instant),
}

impl Wanted {
    fn began(self) -> Option<Instant> {
        match self {
            Self::Any => None,
            Self::Since(since) | Self::StrictlySince(since) => Some(since),
        }
    }
}

/// How a flight ends: with a value, with a failure, or not at all (`None`: its task panicked).
pub type Outcome<V, E> = Option<Result<V, E>>;

/// A flight that a caller leads or joined.
pub struct Flight<V, E> {
    /// This caller started it.
    pub led: bool,
    /// The token that the flight's leader showed.
    pub leader: Option<Arc<str>>,
    /// It began earlier than this caller wanted, but two of its kind were under way already.
    pub bounded: bool,
    /// What traces point at who wait for it.
    pub span: Link,
    outcome: watch::Receiver<Outcome<V, E>>,
}

impl<V: Clone, E: Clone> Flight<V, E> {
    /// Waits for the end. Dropping the wait disturbs nobody.
    pub async fn outcome(mut self) -> Outcome<V, E> {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        }
    }
}

struct Running<V, E> {
    leader: Option<Arc<str>>,
    began: Instant,
    span: Link,
    outcome: watch::Receiver<Outcome<V, E>>,
    /// The one in whose place this one came, because it had begun too early for somebody.
    overtaken: Option<watch::Receiver<Outcome<V, E>>>,
    /// It has ended, and is remembered only for the one that it has overtaken and that still flies.
    ended: bool,
}

impl<V: Clone, E: Clone> Running<V, E> {
    fn joined(&self, bounded: bool) -> Flight<V, E> {
        let (leader, span) = (self.leader.clone(), self.span.clone());
        Flight { led: false, leader, bounded, span, outcome: self.outcome.clone() }
    }

    fn has_overtaken_one_that_flies(&self) -> bool {
        self.overtaken.as_ref().is_some_and(|other| other.borrow().is_none() && other.has_changed().is_ok())
    }
}

/// The flights of a process. Cheap to clone.
pub struct Flights<V, E> {
    running: Arc<Mutex<HashMap<FlightId, Running<V, E>>>>,
    home: Home,
}

impl<V, E> Clone for Flights<V, E> {
    fn clone(&self) -> Self {
        Self { running: Arc::clone(&self.running), home: self.home.clone() }
    }
}

impl<V, E> Default for Flights<V, E> {
    fn default() -> Self {
        Self { running: Arc::default(), home: Home::here() }
    }
}

impl<V, E> Flights<V, E>
where
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Joins the flight with this id, if it began when `wanted`, or starts one in its place: `work` is called only
    /// then. `work` publishes its outcome through the [`Landing`] that it is given, and may go on afterwards.
    pub fn join<F>(
        &self,
        id: FlightId,
        leader: Option<Arc<str>>,
        wanted: Wanted,
        work: impl FnOnce(Landing<V, E>) -> F,
    ) -> Flight<V, E>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut flights = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut overtaken = None;
        if let Some(running) = flights.get(&id).filter(|running| running.ended) {
            overtaken.clone_from(&running.overtaken);
        } else if let Some(running) = flights.get(&id) {
            let early = wanted.began().is_some_and(|since| running.began < since);
            let bounded = matches!(wanted, Wanted::Since(_)) && running.has_overtaken_one_that_flies();
            if !early || bounded {
                return running.joined(early);
            }
            overtaken = Some(running.outcome.clone());
        }
        let (sender, outcome) = watch::channel(None);
        let (began, work_span) = (Instant::now(), trace::begin(Step::Fill));
        let span = work_span.link();
        let running = Running {
            leader: leader.clone(),
            began,
            span: span.clone(),
            outcome: outcome.clone(),
            overtaken,
            ended: false,
        };
        flights.insert(id.clone(), running);
        drop(flights);
        let landing = Landing { flights: self.clone(), id, outcome: Some(sender) };
        // A panic ends this task alone: unwinding drops the landing, which tells the callers.
        self.home.spawn(work_span.around(work(landing)));
        Flight { led: true, leader, bounded: false, span, outcome }
    }

    /// Those that can be joined.
    pub fn count(&self) -> usize {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Nobody joins the flights of this route from here on; whoever waits for one still gets its end.
    pub fn detach(&self, route: usize) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| id.route != route);
    }

    /// Lets nobody join any more, then tells the callers; all at once, so that who ends at the same time sees both.
    fn end(&self, id: &FlightId, mine: watch::Sender<Outcome<V, E>>, outcome: Outcome<V, E>) {
        let mut flights = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = match flights.get_mut(id) {
            Some(running) if is(&running.outcome, &mine) => {
                running.ended = true;
                running.has_overtaken_one_that_flies()
            }
            Some(running) => !(running.ended && running.overtaken.as_ref().is_some_and(|one| is(one, &mine))),
            None => false,
        };
        if !stands {
            flights.remove(id);
        }
        if outcome.is_some() {
            mine.send_replace(outcome);
        }
        drop(mine);
        drop(flights);
    }
}

/// After a detach, or when it was overtaken, another flight may stand there under an equal id.
fn is<V, E>(one: &watch::Receiver<Outcome<V, E>>, mine: &watch::Sender<Outcome<V, E>>) -> bool {
    mine.subscribe().same_channel(one)
}

/// How a flight's task ends it. Dropped without a word, the callers learn that it failed to end.
pub struct Landing<V, E>
where
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    flights: Flights<V, E>,
    id: FlightId,
    outcome: Option<watch::Sender<Outcome<V, E>>>,
}

impl<V, E> Landing<V, E>
where
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Tells the callers, present and still to come while the landing lives.
    pub fn publish(&self, outcome: Result<V, E>) {
        if let Some(sender) = &self.outcome {
            sender.send_replace(Some(outcome));
        }
    }

    /// Whether what it brings is the newest: no write has detached it, no younger one has taken its place, and none
    /// of its key that began later, whoever's, was told the same. From then on those that began earlier are not.
    #[must_use]
    pub fn is_newest(&self) -> bool {
        let mut flights = self.flights.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mine =
            |running: &&Running<V, E>| self.outcome.as_ref().is_some_and(|mine| is(&running.outcome, mine));
        let Some(began) = flights.get(&self.id).filter(mine).map(|running| running.began) else {
            return false;
        };
        flights.retain(|id, running| {
            running.ended || running.began >= began || id.key != self.id.key || id.route != self.id.route
        });
        true
    }

    /// Lets nobody join any more, then tells the callers.
    pub fn finish(mut self, outcome: Result<V, E>) {
        if let Some(sender) = self.outcome.take() {
            self.flights.end(&self.id, sender, Some(outcome));
        }
    }
}

impl<V, E> Drop for Landing<V, E>
where
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(sender) = self.outcome.take() {
            self.flights.end(&self.id, sender, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn id(epoch: u64) -> FlightId {
        FlightId { route: 0, key: "k".into(), epoch, generation: None, stamp: None, only_for: None }
    }

    #[tokio::test]
    async fn many_callers_share_one_flight_and_may_leave() {
        let flights = Flights::<u32, ()>::default();
        let (land, landed) = oneshot::channel();
        let first = flights.join(id(0), None, Wanted::Any, |landing| async move {
            landing.finish(Ok(landed.await.unwrap()));
        });
        assert!(first.led);
        drop(first);
        let second = flights.join(id(0), None, Wanted::Any, |_| async { panic!("it already flies") });
        assert!(!second.led);
        land.send(7).unwrap();
        assert_eq!(second.outcome().await, Some(Ok(7)));
        let third = flights.join(id(0), None, Wanted::Any, |landing| async { landing.finish(Err(())) });
        assert!(third.led, "a flight that ended is not joined");
        assert_eq!(third.outcome().await, Some(Err(())));
    }

    #[tokio::test]
    async fn another_epoch_and_a_detached_route_are_other_flights() {
        let flights = Flights::<u32, ()>::default();
        let never = |landing: Landing<u32, ()>| async move {
            std::future::pending::<()>().await;
            drop(landing);
        };
        assert!(flights.join(id(0), None, Wanted::Any, never).led);
        assert!(flights.join(id(1), None, Wanted::Any, never).led);
        assert!(!flights.join(id(0), None, Wanted::Any, never).led);
        flights.detach(0);
        assert!(flights.join(id(0), None, Wanted::Any, never).led);
    }

    #[tokio::test]
    async fn a_panic_ends_the_flight_for_all_and_the_next_one_starts_anew() {
        let flights = Flights::<u32, ()>::default();
        let flight = flights.join(id(0), None, Wanted::Any, |landing| async move {
            let _landing = landing;
            panic!("on purpose");
        });
        assert_eq!(flight.outcome().await, None);
        assert!(flights.join(id(0), None, Wanted::Any, |landing| async { landing.finish(Ok(1)) }).led);
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_a_younger_flight_starts_one_and_no_third_while_two_fly() {
        let flights = Flights::<u32, ()>::default();
        let fly = |flights: &Flights<u32, ()>, wanted| {
            let (land, landed) = oneshot::channel::<u32>();
            let flight = flights.join(id(0), None, wanted, |landing| async move {
                let value = landed.await.unwrap();
                let newest = u32::from(landing.is_newest());
                landing.finish(Ok(value + newest));
            });
            (flight, land)
        };
        let (old, land_old) = fly(&flights, Wanted::Any);
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        let now = Wanted::Since(Instant::now());
        let (young, land_young) = fly(&flights, now);
        assert!(young.led && !young.bounded);
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        let (third, _) = fly(&flights, Wanted::Since(Instant::now()));
        assert!(!third.led && third.bounded, "two fly");
        let (joined, _) = fly(&flights, now);
        assert!(!joined.led && !joined.bounded, "it began late enough");
        land_old.send(10).unwrap();
        assert_eq!(old.outcome().await, Some(Ok(10)), "it was overtaken");
        let (fourth, _) = fly(&flights, Wanted::Since(Instant::now()));
        assert!(fourth.led, "only one flies");
        land_young.send(20).unwrap();
        assert_eq!(third.outcome().await, Some(Ok(20)), "and so was this one");
        assert_eq!(joined.outcome().await, young.outcome().await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_overtaken_counts_until_it_ends_though_the_one_in_its_place_has_landed() {
        let flights = Flights::<u32, ()>::default();
        let fly = |wanted| {
            let (land, landed) = oneshot::channel::<u32>();
            let flight = flights.join(id(0), None, wanted, |landing| async move {
                landing.finish(Ok(landed.await.unwrap()));
            });
            (flight, land)
        };
        let later = async || {
            tokio::time::advance(std::time::Duration::from_secs(2)).await;
            Wanted::Since(Instant::now())
        };
        let (old, land_old) = fly(Wanted::Any);
        let (young, land_young) = fly(later().await);
        land_young.send(2).unwrap();
        assert_eq!(young.outcome().await, Some(Ok(2)));
        let (third, land_third) = fly(Wanted::Any);
        assert!(third.led, "what has landed is not joined");
        let (fourth, _) = fly(later().await);
        assert!(!fourth.led && fourth.bounded, "two fly");
        land_third.send(3).unwrap();
        assert_eq!(fourth.outcome().await, Some(Ok(3)));
        land_old.send(1).unwrap();
        assert_eq!(old.outcome().await, Some(Ok(1)));
        assert!(flights.running.lock().unwrap().is_empty(), "nothing is remembered when all have landed");
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_of_one_key_none_that_began_earlier_is_the_newest_after_a_later_one() {
        let flights = Flights::<bool, ()>::default();
        let fly = |only_for: Option<&str>| {
            let (land, landed) = oneshot::channel::<()>();
            let id = FlightId { only_for: only_for.map(Into::into), ..id(0) };
            let flight = flights.join(id, None, Wanted::Any, |landing| async move {
                landed.await.unwrap();
                let newest = landing.is_newest();
                landing.finish(Ok(newest));
            });
            (flight, land)
        };
        let mut flying = Vec::new();
        for only_for in [Some("a"), None, Some("b")] {
            flying.push(fly(only_for));
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
        }
        for (place, newest) in [(1, true), (1, true), (0, false)] {
            let (flight, land) = flying.remove(place);
            land.send(()).unwrap();
            assert_eq!(flight.outcome().await, Some(Ok(newest)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_it_strictly_joins_nothing_older_however_many_fly() {
        let flights = Flights::<u32, ()>::default();
        let never = |landing: Landing<u32, ()>| async move {
            std::future::pending::<()>().await;
            drop(landing);
        };
        for _ in 0..5 {
            assert!(flights.join(id(0), None, Wanted::StrictlySince(Instant::now()), never).led);
            assert!(!flights.join(id(0), None, Wanted::StrictlySince(Instant::now()), never).led);
            tokio::time::advance(std::time::Duration::from_millis(1)).await;
        }
    }
}
