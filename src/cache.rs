//! Get or fill: the only face of caching. Knows entries, generations and flights; does not know how a
//! fill is done (it is handed a lazy future) nor what a page is.
//!
//! What holds, in short: an entry is served only under the generation that stands in the store now; a
//! flight is joined only under the generation that its caller has just read; after a write through this
//! process nothing that began before it is served or joined; where the store is away each list is filled
//! from the upstream, coalesced, and nothing is stored.

mod breaker;
pub mod entry;
pub mod flight;
pub mod generation;
mod memory;
mod redis;
mod store;

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{civil::Date, tz::TimeZone};
use tokio::time::Instant;

pub use self::{entry::Entry, flight::Flight, store::Fault};
use self::{
    entry::{Garbled, Shape},
    flight::{FlightId, Flights, Landing},
    generation::Generation,
    memory::Memory,
    redis::Redis,
    store::{Keys, Store, Stored},
};
use crate::{
    classify::Read,
    clock::Clock,
    config::{Config, StoreKind},
    deadline::Deadline,
    page::{Collection, keep},
    telemetry::Telemetry,
};

/// A generation outlives its entries by far, and at least this.
const SHORTEST_GENERATION: Duration = Duration::from_secs(24 * 60 * 60);
/// What a put may take once its callers have their answer.
const PUT_LIMIT: Duration = Duration::from_secs(2);
/// Between attempts to void a generation that could not be voided.
const VOID_PAUSE: Duration = Duration::from_millis(200);
/// Collections remembered as too large.
const TOO_LARGE_KEYS: usize = 10_000;

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

struct RouteState {
    name: String,
    shape: Shape,
    generation_key: String,
    generation_life: Duration,
    /// Writes through this process.
    epoch: AtomicU64,
    /// The epoch up to which the store knows: behind, nothing of the route is read or stored.
    voided: AtomicU64,
    /// A task is at it.
    voiding: AtomicBool,
    shape_warned: AtomicBool,
}

impl RouteState {
    fn is_void(&self) -> bool {
        self.voided.load(Ordering::Acquire) < self.epoch.load(Ordering::Acquire)
    }
}

/// What a fill gave, and when it began: by the monotonic clock and by the wall's.
struct Filled<E> {
    filled: Result<Collection, E>,
    began: Instant,
    began_at: u64,
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
        let state = |route: &Arc<crate::config::Route>| RouteState {
            name: route.name.clone(),
            shape: Shape::of(config, route),
            generation_key: format!("{}gen_{}", config.store.prefix, route.name),
            generation_life: SHORTEST_GENERATION.max(2 * route.ttl),
            epoch: AtomicU64::new(0),
            voided: AtomicU64::new(0),
            voiding: AtomicBool::new(false),
            shape_warned: AtomicBool::new(false),
        };
        let shared = Arc::new(Shared {
            store,
            prefix: config.store.prefix.clone(),
            budget: config.store.budget,
            routes: config.routes.iter().map(state).collect(),
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
        let states: Vec<&RouteState> =
            routes.iter().filter_map(|route| self.shared.routes.get(*route)).collect();
        if states.is_empty() {
            return;
        }
        let epochs: Vec<u64> =
            states.iter().map(|state| state.epoch.fetch_add(1, Ordering::AcqRel) + 1).collect();
        for route in routes {
            self.flights.detach(*route);
        }
        let keys: Vec<String> = states.iter().map(|state| state.generation_key.clone()).collect();
        match self.shared.store.drop_generations(&keys, Deadline::after(self.shared.budget)).await {
            Ok(()) => {
                for (state, epoch) in states.iter().zip(epochs) {
                    state.voided.fetch_max(epoch, Ordering::AcqRel);
                }
            }
            Err(fault) => {
                self.shared.telemetry.store_fault(fault);
                for route in routes {
                    self.void_later(*route);
                }
            }
        }
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

    /// Goes on voiding a generation until the store acknowledges it.
    fn void_later(&self, route: usize) {
        let shared = Arc::clone(&self.shared);
        let Some(state) = shared.routes.get(route) else { return };
        if state.voiding.swap(true, Ordering::AcqRel) {
            return;
        }
        tokio::spawn(async move { shared.void_until_acknowledged(route).await });
    }
}

impl Shared {
    async fn look(&self, read: &Read, by: Deadline) -> Look {
        let Some(state) = self.routes.get(read.index) else {
            return Look::without(0);
        };
        // Noted before the store is asked: a write that comes in between makes this look an old one.
        let epoch = state.epoch.load(Ordering::Acquire);
        let without = Look::without(epoch);
        if state.is_void() {
            return without;
        }
        let keys = self.keys(read, state);
        let snapshot = match self.store.look(&keys, &state.shape, by).await {
            Ok(snapshot) => snapshot,
            Err(fault) => {
                self.telemetry.store_fault(fault);
                return without;
            }
        };
        let Some(generation) = snapshot.generation else {
            return match self.store.establish(&keys, state.generation_life, by).await {
                Ok(generation) => Look { generation: Some(generation), ..without },
                Err(fault) => {
                    self.telemetry.store_fault(fault);
                    without
                }
            };
        };
        let hit = match snapshot.entry {
            Stored::Entry(entry, remaining) => self.servable(read, entry, remaining, &generation),
            Stored::Garbled(garbled) => {
                self.report_garbled(state, garbled);
                None
            }
            Stored::Nothing => None,
        };
        Look { hit, generation: Some(generation), ..without }
    }

    /// The entry as it may be served now, or nothing where it may not.
    fn servable(
        &self,
        read: &Read,
        entry: Arc<Entry>,
        remaining: Duration,
        generation: &Generation,
    ) -> Option<(Arc<Entry>, Duration)> {
        let fresh = entry.fresh_for(read.route.ttl, remaining, self.clock.now_ms());
        if entry.generation != *generation || fresh.is_zero() {
            return None;
        }
        let Some(keep) = &read.route.keep else { return Some((entry, fresh)) };
        let today = self.clock.today(&self.zone);
        match entry.collection.kept_from {
            Some(day) if day == today => Some((entry, fresh)),
            Some(day) if day < today => Some((Arc::new(self.kept(&entry, &keep.field, today)), fresh)),
            _ => None,
        }
    }

    fn kept(&self, entry: &Entry, field: &str, today: Date) -> Entry {
        let (collection, _) = keep::from_today(entry.collection.clone(), field, today, &self.zone);
        Entry { collection, ..entry.clone() }
    }

    /// Ends a flight: keeps what is to be kept, stores it, and tells the callers.
    async fn land<E>(&self, read: &Read, look: &Look, fill: Filled<E>, landing: Landing<Arc<Entry>, E>)
    where
        E: Clone + Send + Sync + 'static,
    {
        let collection = match fill.filled {
            Ok(collection) => self.keep(read, collection),
            Err(failure) => return landing.finish(Err(failure)),
        };
        let Some(state) = self.routes.get(read.index) else { return };
        let entry = Arc::new(Entry {
            collection,
            shape: state.shape.clone(),
            generation: look.generation.clone().unwrap_or_else(|| Generation::claimed("")),
            stored_at: fill.began_at,
        });
        // Its freshness counts from the fill's beginning: from then on the upstream may hold something newer.
        let left = read.route.ttl.saturating_sub(fill.began.elapsed());
        let current = state.epoch.load(Ordering::Acquire) == look.epoch;
        if look.generation.is_none() || !current || left.is_zero() {
            return landing.finish(Ok(entry));
        }
        let put = self.put(read, state, &entry, left);
        tokio::pin!(put);
        // The callers wait for the store no longer than what is left of its budget; the put may.
        let budget = self.budget.saturating_sub(look.spent);
        if Deadline::after(budget).within(&mut put).await.is_ok() {
            landing.finish(Ok(Arc::clone(&entry)));
        } else {
            landing.publish(Ok(Arc::clone(&entry)));
            put.await;
        }
    }

    async fn put(&self, read: &Read, state: &RouteState, entry: &Arc<Entry>, left: Duration) {
        let (keys, by) = (self.keys(read, state), Deadline::after(PUT_LIMIT));
        if let Err(fault) = self.store.put(&keys, entry, left, state.generation_life, by).await {
            self.telemetry.store_fault(fault);
            if fault == Fault::TooLarge {
                self.remember_too_large(&read.key);
            }
        }
    }

    fn remember_too_large(&self, key: &Arc<str>) {
        let mut keys = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if keys.len() >= TOO_LARGE_KEYS {
            keys.retain(|_, until| *until > now);
        }
        if keys.len() < TOO_LARGE_KEYS {
            keys.insert(Arc::clone(key), now + self.too_large_for);
        }
    }

    fn keep(&self, read: &Read, collection: Collection) -> Collection {
        let Some(keep) = &read.route.keep else { return collection };
        let today = self.clock.today(&self.zone);
        let (kept, unreadable) = keep::from_today(collection, &keep.field, today, &self.zone);
        self.telemetry.unreadable_dates(&read.route.name, unreadable);
        kept
    }

    async fn void_until_acknowledged(&self, route: usize) {
        let Some(state) = self.routes.get(route) else { return };
        loop {
            self.store.back().await;
            let epoch = state.epoch.load(Ordering::Acquire);
            let by = Deadline::after(PUT_LIMIT);
            if self.store.drop_generations(std::slice::from_ref(&state.generation_key), by).await.is_ok() {
                state.voided.fetch_max(epoch, Ordering::AcqRel);
                // A read-modify-write, so that a write that finds the task at it is seen by the line below.
                state.voiding.swap(false, Ordering::AcqRel);
                // A write may have failed to void between the two lines above.
                if !state.is_void() || state.voiding.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
            tokio::time::sleep(VOID_PAUSE).await;
        }
    }

    fn report_garbled(&self, state: &RouteState, garbled: Garbled) {
        self.telemetry.garbled_entry();
        if garbled == Garbled::Shape && !state.shape_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(route = state.name, "another catproxy uses this prefix: set `prefix`");
        }
    }

    fn keys(&self, read: &Read, state: &RouteState) -> Keys {
        Keys { generation: state.generation_key.clone(), entry: format!("{}{}", self.prefix, read.key) }
    }
}

/// The configured store cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("store")]
pub struct UnusableStore(#[from] redis::UnusableUrl);
