//! Get or fill: the only face of caching. Knows entries, generations and flights; does not know how a
//! fill is done (it is handed a lazy future) nor what a page is.
//!
//! What holds, in short: an entry is served only under the generation that stands in the store now; a
//! flight is joined only under the generation that its caller has just read; after a write through this
//! process nothing that began before it is served or joined; where the store is away each list is filled
//! from the upstream, coalesced, and nothing is stored.

pub mod entry;
pub mod flight;
pub mod generation;

mod land;
mod look;
mod void;

mod breaker;
mod fault;
mod memory;
mod redis;
mod snapshot;
mod store;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::time::Instant;

pub use self::{entry::Entry, flight::Flight};
use self::{
    fault::Fault,
    flight::{FlightId, Flights},
    generation::Generation,
    land::Filled,
    memory::Memory,
    redis::Redis,
    snapshot::Keys,
    store::Store,
    void::RouteState,
};
use crate::{
    classify::Read,
    clock::Clock,
    config::{Config, StoreKind},
    deadline::Deadline,
    page::Collection,
    telemetry::Telemetry,
};

/// The cache of a process; `E` is how its fills fail.
pub struct Cache<E> {
    shared: Arc<Shared>,
    flights: Flights<Arc<Entry>, E>,
}

struct Shared {
    store: Store,
    prefix: String,
    budget: Duration,
    routes: Vec<RouteState>,
    zone: TimeZone,
    clock: Clock,
    telemetry: Arc<Telemetry>,
    too_large: Mutex<HashMap<Arc<str>, Instant>>,
    too_large_for: Duration,
}

/// What a look into the cache found, and under what a fill would be stored.
#[derive(Clone, Debug)]
pub struct Look {
    /// An entry that may be served, and for how long it stays fresh.
    pub hit: Option<(Arc<Entry>, Duration)>,
    epoch: u64,
    generation: Option<Generation>,
    /// When the store was asked.
    began: Instant,
    /// What the store has taken of the request's budget.
    spent: Duration,
}

impl Look {
    fn without(epoch: u64) -> Self {
        Self { hit: None, epoch, generation: None, began: Instant::now(), spent: Duration::ZERO }
    }

    /// How long ago this was.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is filled now cannot be stored.
    #[must_use]
    pub fn is_without_store(&self) -> bool {
        self.generation.is_none()
    }
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// A cache as configured. A Redis server is greeted in the background.
    ///
    /// # Errors
    /// Where the Redis URL is unusable.
    pub fn new(config: &Config, clock: Clock, telemetry: Arc<Telemetry>) -> Result<Self, UnusableStore> {
        let store = match &config.store.kind {
            StoreKind::Redis(url) => Store::Redis(Redis::new(url.reveal(), config.store.max_entry_bytes)?),
            StoreKind::Memory { max_bytes } => {
                Store::Memory(Memory::new(*max_bytes, config.store.max_entry_bytes))
            }
            StoreKind::Absent => Store::Absent,
        };
        let shared = Arc::new(Shared {
            store,
            prefix: config.store.prefix.clone(),
            budget: config.store.budget,
            routes: config.routes.iter().map(|route| RouteState::new(config, route)).collect(),
            zone: config.time_zone.clone(),
            clock,
            telemetry,
            too_large: Mutex::default(),
            too_large_for: config.fill.too_large_for,
        });
        Ok(Self { shared, flights: Flights::default() })
    }

    /// Connects to the store, so that the first request need not.
    pub async fn greet(&self) {
        if let Store::Redis(redis) = &self.shared.store {
            redis.greet().await;
        }
    }

    /// Commands sent to the store since the start; 0 where it takes none.
    #[must_use]
    pub fn store_commands(&self) -> u64 {
        if let Store::Redis(redis) = &self.shared.store { redis.commands() } else { 0 }
    }

    /// Looks for an entry that may be served now. Takes at most the store's budget and never fails: a
    /// store that does not do its work is one without entries.
    pub async fn look(&self, read: &Read) -> Look {
        let began = Instant::now();
        let look = self.shared.look(read, Deadline::after(self.shared.budget)).await;
        Look { began, spent: began.elapsed(), ..look }
    }

    /// The flight that fills what `look` missed: joined, or started with `fill`. `identity` is the
    /// caller's; with `alone` the flight is shared with nobody else.
    pub fn fill<F>(
        &self,
        read: &Read,
        look: &Look,
        identity: Option<Arc<str>>,
        alone: bool,
        fill: impl FnOnce() -> F,
    ) -> Flight<Arc<Entry>, E>
    where
        F: Future<Output = Result<Collection, E>> + Send + 'static,
    {
        let id = FlightId {
            route: read.index,
            key: Arc::clone(&read.key),
            epoch: look.epoch,
            generation: look.generation.clone(),
            only_for: alone.then(|| identity.clone()).flatten(),
        };
        let (shared, read, look) = (Arc::clone(&self.shared), read.clone(), look.clone());
        self.flights.join(id, identity, |landing| {
            let (work, began, began_at) = (fill(), Instant::now(), shared.clock.now_ms());
            async move {
                let filled = work.await;
                shared.land(&read, &look, Filled { filled, began, began_at }, landing).await;
            }
        })
    }

    /// A write that changed these routes was answered: nothing that began before is served from here
    /// on. Returns when the store has acknowledged it, or after its budget; in the latter case the
    /// routes are neither read nor stored here until it has.
    pub async fn void(&self, routes: &[usize]) {
        self.shared.void(routes, |route| self.flights.detach(route)).await;
    }

    /// How long ago the fill of this entry began.
    #[must_use]
    pub fn age(&self, entry: &Entry) -> Duration {
        Duration::from_millis(self.shared.clock.now_ms().saturating_sub(entry.stored_at))
    }

    /// Remembers for a while that this collection is over the bounds.
    pub fn remember_too_large(&self, read: &Read) {
        self.shared.remember_too_large(&read.key);
    }

    /// Whether it was over the bounds a while ago.
    #[must_use]
    pub fn is_too_large(&self, read: &Read) -> bool {
        let keys = self.shared.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(&read.key).is_some_and(|until| *until > Instant::now())
    }
}

impl Shared {
    /// The store did not do what it was asked: counted, and said once where it will not mend by itself.
    fn report(&self, fault: Fault) {
        self.telemetry.store_fault(&fault, fault.is_lasting());
    }

    fn keys(&self, read: &Read, state: &RouteState) -> Keys {
        Keys { generation: state.generation_key.clone(), entry: format!("{}{}", self.prefix, read.key) }
    }
}

/// The configured store cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("store")]
pub struct UnusableStore(#[from] redis::UnusableUrl);
