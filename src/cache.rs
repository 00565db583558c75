//! Get or fill: the only face of caching. Knows entries, generations and flights; does not know how a
//! fill is done (it is handed a lazy future) nor what a page is.
//!
//! What holds, in short: an entry is served only under the generation that stands in the store now, or from a
//! copy for which the store has said nothing else; a flight is joined only under the generation that its
//! caller has just read; after a write through this process nothing that began before it is served or joined;
//! where the store is away each list is filled from the upstream, coalesced, and nothing is stored.

pub mod age;
pub mod entry;
pub mod flight;
pub mod generation;

mod land;
pub mod list;
mod look;
mod pause;
mod void;

mod breaker;
mod fault;
mod memory;
mod near;
mod redis;
mod snapshot;
mod store;

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::{civil::Date, tz::TimeZone};
use tokio::{sync::watch, time::Instant};
use tokio_util::task::AbortOnDropHandle;

pub use self::{entry::Entry, flight::Flight, land::Landed, look::Hit, near::Told, redis::Standing};
use self::{
    fault::Fault,
    flight::{FlightId, Flights, Wanted},
    generation::Generation,
    land::Filled,
    memory::Memory,
    near::{Near, Stamp},
    pause::Pauses,
    redis::{Moved, Redis},
    snapshot::Keys,
    store::Store,
    void::RouteState,
};
use crate::{
    bounded::Size,
    classify::Read,
    clock::Clock,
    config::{Config, StoreKind},
    deadline::Deadline,
    dial::Dialler,
    page::Collection,
    telemetry::Telemetry,
};

/// The cache of a process; `E` is how its fills fail.
pub struct Cache<E> {
    shared: Arc<Shared>,
    flights: Flights<Landed, E>,
}

struct Shared {
    store: Store,
    near: Option<Arc<Near>>,
    prefix: String,
    budget: Duration,
    routes: Vec<RouteState>,
    zone: TimeZone,
    clock: Clock,
    telemetry: Arc<Telemetry>,
    /// Looks after the store; also for whoever owes it an acknowledgement when the cache itself is gone.
    attending: OnceLock<AbortOnDropHandle<()>>,
    /// Collections that were over the bounds a while ago.
    too_large: Pauses,
    /// Collections for which the upstream did not do its work a moment ago.
    failed: Pauses,
    /// Collections that could not be filled a moment ago, for whichever reason.
    unrenewed: Pauses,
}

/// What a look into the cache found, and under what a fill would be stored.
#[derive(Clone, Debug)]
pub struct Look {
    /// An entry that is valid, fresh or not.
    pub hit: Option<Hit>,
    epoch: u64,
    generation: Option<Generation>,
    /// Noted before the store was asked; `None` where no copies are kept.
    stamp: Option<Stamp>,
    /// What the store has taken of the request's budget.
    spent: Duration,
}

impl Look {
    fn without(epoch: u64, stamp: Option<Stamp>) -> Self {
        Self { hit: None, epoch, generation: None, stamp, spent: Duration::ZERO }
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
    pub fn new(
        config: &Config,
        clock: Clock,
        telemetry: Arc<Telemetry>,
        dialler: Dialler,
    ) -> Result<Self, UnusableStore> {
        Ok(Self::on(store(config, dialler)?, config, clock, telemetry))
    }

    /// A cache as configured that goes on with what this one has in memory, where that is still asked for.
    ///
    /// # Errors
    /// As [`Cache::new`].
    pub fn successor(&self, config: &Config, dialler: Dialler) -> Result<Self, UnusableStore> {
        let store = match (&self.shared.store, &config.store.kind) {
            (Store::Memory(memory), StoreKind::Memory { max_bytes })
                if memory.is_bound_by(*max_bytes, config.store.max_entry_bytes) =>
            {
                Store::Memory(Arc::clone(memory))
            }
            _ => store(config, dialler)?,
        };
        Ok(Self::on(store, config, self.shared.clock.clone(), Arc::clone(&self.shared.telemetry)))
    }

    fn on(store: Store, config: &Config, clock: Clock, telemetry: Arc<Telemetry>) -> Self {
        let routes: Vec<_> = config.routes.iter().map(|route| RouteState::new(config, route)).collect();
        let near = config.store.near.as_ref().filter(|_| matches!(store, Store::Redis(_))).map(|near| {
            let generations = routes.iter().map(|route| route.generation_key.clone()).collect();
            Arc::new(Near::new(near.max_bytes, near.limit, &config.store.prefix, generations))
        });
        let shared = Arc::new(Shared {
            store,
            near,
            prefix: config.store.prefix.clone(),
            budget: config.store.budget,
            routes,
            zone: config.time_zone.clone(),
            clock,
            telemetry,
            too_large: Pauses::of(config.fill.too_large_for),
            failed: Pauses::of(RETRY_PAUSE),
            unrenewed: Pauses::of(RETRY_PAUSE),
            attending: OnceLock::new(),
        });
        Self { shared, flights: Flights::default() }
    }

    /// Connects to the store, so that the first request need not, and follows what it says of its keys until
    /// the cache is dropped.
    pub async fn greet(&self) {
        if let Store::Redis(redis) = &self.shared.store {
            let shared = &self.shared;
            shared.attending.get_or_init(|| {
                let weak = Arc::downgrade(shared);
                let moved: Moved = Box::new(move |routes| {
                    if let Some(shared) = weak.upgrade() {
                        shared.owe(routes);
                    }
                });
                let generations = shared.routes.iter().map(|route| route.generation_key.clone()).collect();
                let attend = redis.attend(&shared.prefix, shared.near.clone(), generations, moved);
                AbortOnDropHandle::new(tokio::spawn(attend))
            });
            redis.greet().await;
        }
    }

    /// Returns once it is known where the store is, as far as that must be asked; after a second in any case. From
    /// [`Cache::greet`] on.
    pub async fn looked(&self) {
        if let Store::Redis(redis) = &self.shared.store {
            redis.looked().await;
        }
    }

    /// How the store is.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        match &self.shared.store {
            Store::Redis(redis) => match redis.standing() {
                Standing { nodes, away } if away == nodes => StoreHealth::Away,
                Standing { away: 0, .. } => StoreHealth::Redis,
                Standing { .. } => StoreHealth::Partly,
            },
            Store::Memory(_) => StoreHealth::Memory,
            Store::Absent => StoreHealth::Absent,
        }
    }

    /// What the cache keeps in this process, and how it stands with the store.
    #[must_use]
    pub fn state(&self) -> CacheState {
        let near = self.shared.near.as_ref();
        let memory =
            if let Store::Memory(memory) = &self.shared.store { memory.size() } else { Size::default() };
        CacheState {
            health: self.health(),
            followed: near.map(|near| self.shared.store.is_followed(near)),
            servers: self.shared.store.servers(),
            copies: near.map(|near| near.size()).unwrap_or_default(),
            entries: memory,
            flights: self.flights.count(),
        }
    }

    /// What the store says of its keys, unasked. `None` where no copies are kept in this process.
    #[must_use]
    pub fn told(&self) -> Option<watch::Receiver<Told>> {
        self.shared.near.as_ref().map(|near| near.told())
    }

    /// Commands sent to the store since the start; 0 where it takes none.
    #[must_use]
    pub fn store_commands(&self) -> u64 {
        if let Store::Redis(redis) = &self.shared.store { redis.commands() } else { 0 }
    }

    /// Looks for a valid entry: for a copy here first, then in the store. Takes at most the store's budget and
    /// never fails: a store that does not do its work is one without entries.
    pub async fn look(&self, read: &Read) -> Look {
        match self.shared.look_near(read, Instant::now()) {
            Some(look) => look,
            None => self.look_in_store(read).await,
        }
    }

    /// [`Cache::look`] where it waits for nothing, for whoever has asked by `now`, a moment ago: in a copy here, or in this
    /// process's memory; `None`: it would wait.
    #[must_use]
    pub fn look_at_once(&self, read: &Read, now: Instant) -> Option<Look> {
        match &self.shared.store {
            Store::Memory(memory) => self.shared.look_in_memory(read, memory),
            Store::Redis(_) | Store::Absent => self.shared.look_near(read, now),
        }
    }

    /// [`Cache::look`] without the copies here: for who wants the newest there is.
    pub async fn look_in_store(&self, read: &Read) -> Look {
        let began = Instant::now();
        let look = self.shared.look(read, Deadline::after(self.shared.budget)).await;
        Look { spent: began.elapsed(), ..look }
    }

    /// The flight that fills what `look` missed: joined if `sharing` allows it, or started with `fill`.
    /// `identity` is the caller's.
    pub fn fill<F>(
        &self,
        read: &Read,
        look: &Look,
        identity: Option<Arc<str>>,
        sharing: Sharing,
        fill: impl FnOnce() -> F,
    ) -> Flight<Landed, E>
    where
        F: Future<Output = Result<Collection, E>> + Send + 'static,
    {
        let id = FlightId {
            route: read.index,
            key: Arc::clone(&read.key),
            epoch: look.epoch,
            generation: look.generation.clone(),
            stamp: look.stamp.filter(|_| look.is_without_store()),
            only_for: if sharing.alone { identity.clone() } else { None },
        };
        // Nothing in the store tells what began before a write through another process: only what has just begun
        // is joined, as a copy is believed no longer where nobody says anything.
        let wanted = if look.is_without_store() {
            Instant::now().checked_sub(UNSTORED_JOINING).map(Wanted::StrictlySince)
        } else {
            sharing.since.map(Wanted::Since)
        };
        let (shared, read, look) = (Arc::clone(&self.shared), read.clone(), look.clone());
        self.flights.join(id, identity, wanted.unwrap_or(Wanted::Any), |landing| {
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

    /// Whether a write was answered of which the store does not know yet.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.shared.routes.iter().any(RouteState::is_void)
    }

    /// Today, in the configured zone.
    #[must_use]
    pub fn today(&self) -> Date {
        self.shared.clock.today(&self.shared.zone)
    }

    /// Remembers for a while that this collection is over the bounds.
    pub fn remember_too_large(&self, read: &Read) {
        self.shared.too_large.begin(&read.key);
    }

    /// Whether it was over the bounds a while ago.
    #[must_use]
    pub fn is_too_large(&self, read: &Read) -> bool {
        self.shared.too_large.lasts(&read.key)
    }

    /// Remembers for a moment that the upstream does not do its work for this collection.
    pub fn remember_failed(&self, read: &Read) {
        self.shared.failed.begin(&read.key);
    }

    /// Whether it did not do that a moment ago: who has a stale entry need not wait for the next try.
    #[must_use]
    pub fn has_failed(&self, read: &Read) -> bool {
        self.shared.failed.lasts(&read.key)
    }

    /// Remembers for a moment that filling this collection was in vain.
    pub fn remember_unrenewed(&self, read: &Read) {
        self.shared.unrenewed.begin(&read.key);
    }

    /// Whether that was in vain a moment ago: where nobody waits for it, it is not tried again at once.
    #[must_use]
    pub fn is_unrenewed(&self, read: &Read) -> bool {
        self.shared.unrenewed.lasts(&read.key)
    }

    /// Deletes what lies under this key of a route, here and in the store; no fill is joined that is under way. What such
    /// a fill gives may be stored yet. Whether the store has acknowledged it, within its budget.
    pub async fn delete(&self, route: usize, key: &str) -> bool {
        self.flights.detach(route);
        self.shared.delete(route, key).await
    }

    /// The prefix of all keys.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.shared.prefix
    }

    /// Deletes an entry of which the upstream says that there is no such thing. Takes at most the store's
    /// budget; where the store does not do it, the entry's life ends it.
    pub async fn retire(&self, read: &Read) {
        self.shared.delete(read.index, &read.key).await;
    }
}

/// How long a flight can be joined that has no generation.
const UNSTORED_JOINING: Duration = Duration::from_millis(900);
/// How a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreHealth {
    /// A Redis that answers, as far as is known.
    Redis,
    /// A Redis of whose servers some do not; others have keys, too.
    Partly,
    /// A Redis that does not.
    Away,
    /// This process's memory.
    Memory,
    /// None: its URL was not usable.
    Absent,
}

/// What a cache keeps in its process, and how it stands with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheState {
    /// How the store is.
    pub health: StoreHealth,
    /// Whether copies may be served, as the store says what changes; `None` where none are kept.
    pub followed: Option<bool>,
    /// The servers of the store that have keys, and those of them that are away.
    pub servers: Standing,
    /// Copies of what is in Redis.
    pub copies: Size,
    /// Entries of the memory store.
    pub entries: Size,
    /// Fills that can be joined.
    pub flights: usize,
}

/// With whom a flight may be shared; by default with all who want the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// With the same caller only.
    pub alone: bool,
    /// It must have begun at this moment or later.
    pub since: Option<Instant>,
}

/// After a fill that failed, who has a stale entry is given that for so long without another try.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

fn store(config: &Config, dialler: Dialler) -> Result<Store, UnusableStore> {
    let most = config.store.max_entry_bytes;
    Ok(match &config.store.kind {
        StoreKind::Redis(url) => {
            let ca_file = config.store.ca_file.as_deref();
            Store::Redis(Box::new(Redis::new(url.reveal(), ca_file, most, &dialler)?))
        }
        StoreKind::Memory { max_bytes } => Store::Memory(Arc::new(Memory::new(*max_bytes, most))),
        StoreKind::Absent => Store::Absent,
    })
}

impl Shared {
    /// Has the store do something. What it does not do is counted, and said once where it will not mend by itself.
    async fn asked<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let began = Instant::now();
        let done = work.await;
        let fault = done.as_ref().err();
        self.telemetry.store(operation, fault.map_or("ok", |fault| fault.name()), began.elapsed());
        if let Some(fault) = fault {
            self.telemetry.store_fault(fault, fault.is_lasting());
        }
        done
    }

    fn keys(&self, key: &str, state: &RouteState) -> Keys {
        Keys { generation: state.generation_key.clone(), entry: format!("{}{key}", self.prefix) }
    }
}

/// The configured store cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("store")]
pub struct UnusableStore(#[from] redis::UnusableRedis);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::{Class, Classifier},
        config::{
            check::{Overrides, load},
            profile::Profile,
        },
    };

    #[tokio::test(start_paused = true)]
    async fn without_a_store_a_fill_is_joined_in_its_first_moments_only() {
        let mut config = load(Profile::Panels.source(), Overrides::default()).unwrap().0;
        config.store.kind = StoreKind::Absent;
        let uri = http::Uri::from_static("/api/Seller");
        let fields = http::HeaderMap::new();
        let class = Classifier::new(&config).classify(&http::Method::GET, &uri, &fields, false);
        let Class::Read(read) = class else { panic!("a read") };
        let cache = Cache::<()>::new(&config, Clock::system(), Arc::default(), Dialler::system()).unwrap();
        let look = cache.look(&read).await;
        let fill = || cache.fill(&read, &look, None, Sharing::default(), std::future::pending);
        assert!(fill().led);
        tokio::time::advance(UNSTORED_JOINING).await;
        assert!(!fill().led, "it has just begun");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(fill().led, "a write through another process may have come since");
    }
}
