//! At most one fill at a time for a key and generation, belonging to no request.
//!
//! A flight is a task of its own: callers wait on its outcome and may leave, the first one too. What
//! deadline it has is its maker's business; here it always ends, if only by a panic that is caught.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::generation::Generation;

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
    /// The generation in the store; `None` where there is no store.
    pub generation: Option<Generation>,
    /// Set where the answer is for one caller's token alone.
    pub only_for: Option<Arc<str>>,
}

/// How a flight ends: with a value, with a failure, or not at all (`None`: its task panicked).
pub type Outcome<V, E> = Option<Result<V, E>>;

/// A flight that a caller leads or joined.
pub struct Flight<V, E> {
    /// This caller started it.
    pub led: bool,
    /// The token that the flight's leader showed.
    pub leader: Option<Arc<str>>,
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
    outcome: watch::Receiver<Outcome<V, E>>,
}

/// The flights of a process. Cheap to clone.
pub struct Flights<V, E>(Arc<Mutex<HashMap<FlightId, Running<V, E>>>>);

impl<V, E> Clone for Flights<V, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V, E> Default for Flights<V, E> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<V, E> Flights<V, E>
where
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Joins the flight with this id, or starts it: `work` is called only then. `work` publishes its
    /// outcome through the [`Landing`] that it is given, and may go on afterwards.
    pub fn join<F>(
        &self,
        id: FlightId,
        leader: Option<Arc<str>>,
        work: impl FnOnce(Landing<V, E>) -> F,
    ) -> Flight<V, E>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = flights.get(&id) {
            return Flight { led: false, leader: running.leader.clone(), outcome: running.outcome.clone() };
        }
        let (sender, outcome) = watch::channel(None);
        let running = Running { leader: leader.clone(), outcome: outcome.clone() };
        flights.insert(id.clone(), running);
        drop(flights);
        let landing = Landing { flights: self.clone(), id, outcome: Some(sender) };
        // A panic ends this task alone: unwinding drops the landing, which tells the callers.
        tokio::spawn(work(landing));
        Flight { led: true, leader, outcome }
    }

    /// Nobody joins the flights of this route from here on; whoever waits for one still gets its end.
    pub fn detach(&self, route: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| id.route != route);
    }

    fn remove(&self, id: &FlightId, mine: &watch::Sender<Outcome<V, E>>) {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // After a detach another flight may stand there under an equal id.
        if flights.get(id).is_some_and(|running| mine.subscribe().same_channel(&running.outcome)) {
            flights.remove(id);
        }
    }
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

    /// Lets nobody join any more, then tells the callers.
    pub fn finish(mut self, outcome: Result<V, E>) {
        if let Some(sender) = self.outcome.take() {
            self.flights.remove(&self.id, &sender);
            sender.send_replace(Some(outcome));
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
            self.flights.remove(&self.id, &sender);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn id(epoch: u64) -> FlightId {
        FlightId { route: 0, key: "k".into(), epoch, generation: None, only_for: None }
    }

    #[tokio::test]
    async fn many_callers_share_one_flight_and_may_leave() {
        let flights = Flights::<u32, ()>::default();
        let (land, landed) = oneshot::channel();
        let first = flights.join(id(0), None, |landing| async move {
            landing.finish(Ok(landed.await.unwrap()));
        });
        assert!(first.led);
        drop(first);
        let second = flights.join(id(0), None, |_| async { unreachable!("it already flies") });
        assert!(!second.led);
        land.send(7).unwrap();
        assert_eq!(second.outcome().await, Some(Ok(7)));
        let third = flights.join(id(0), None, |landing| async { landing.finish(Err(())) });
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
        assert!(flights.join(id(0), None, never).led);
        assert!(flights.join(id(1), None, never).led);
        assert!(!flights.join(id(0), None, never).led);
        flights.detach(0);
        assert!(flights.join(id(0), None, never).led);
    }

    #[tokio::test]
    async fn a_panic_ends_the_flight_for_all_and_the_next_one_starts_anew() {
        let flights = Flights::<u32, ()>::default();
        let flight = flights.join(id(0), None, |landing| async move {
            let _landing = landing;
            panic!("on purpose");
        });
        assert_eq!(flight.outcome().await, None);
        assert!(flights.join(id(0), None, |landing| async { landing.finish(Ok(1)) }).led);
    }
}
