//! The in-process copies of entries, kept coherent by the store's own pushes.
//!
//! A copy carries the *stamp* that was read before the store was asked for it, and is served only while that
//! stamp is still the present one: whatever changes what the store holds – a push, a write through this
//! process, a connection lost or made – changes stamps. So there is no moment at which a copy that came too
//! late can be seen, and removing copies is only a matter of memory. Each is under the *leases* of
//! the servers of its entry and of its generation: a lease runs from when the last answered heartbeat was sent, so a
//! server that died without a word is believed for less than a second, whatever else this process is busy with.

use std::{
    collections::VecDeque,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ahash::RandomState;
use quick_cache::Weighter;
use tokio::{sync::watch, time::Instant};

use super::{
    age::Age,
    entry::{Entry, weight},
};
use crate::bounded::{self, Bounded, Size};

/// What the store said last is remembered so far back, for who waits for it.
const REMEMBERED: usize = 64;
/// Keys that share a counter are dropped together; more counters than keys would serve nobody.
const SLOTS: usize = 1024;
/// As many numbers as servers can have.
const SERVERS: usize = 256;

/// The copies of a process.
pub(super) struct Near {
    copies: Bounded<Arc<str>, Copied, Weight>,
    /// Never used longer than this without asking the store again.
    limit: Duration,
    prefix: String,
    /// The keys of the routes' generations, prefix included, by the routes' places.
    generations: Vec<String>,
    hasher: RandomState,
    era: AtomicU64,
    routes: Vec<AtomicU64>,
    slots: Vec<AtomicU64>,
    base: Instant,
    /// By the numbers of the servers.
    leases: [Lease; SERVERS],
    told: watch::Sender<Told>,
}

/// For how long it is certain that what a server says of its keys has arrived here.
#[derive(Default)]
struct Lease {
    /// In nanoseconds after the base; 0: not now.
    until: AtomicU64,
    /// Of the server that it is about.
    run_id: RwLock<Option<Arc<str>>>,
}

/// A server that has given something that was read, and its process then.
#[derive(Clone, Debug)]
pub(super) struct Giver {
    /// No other server has this number at the time.
    pub(super) node: u8,
    /// Of the process.
    pub(super) run_id: Arc<str>,
}

/// What the store has said of its keys, unasked.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// How often it has said something, connections made and lost among it.
    pub count: u64,
    /// What it said last, prefix included; `None`: any key may have changed.
    last: VecDeque<Option<Arc<str>>>,
}

impl Told {
    /// Whether it was said, after it had said something `count` times, that this key (prefix included) may have
    /// changed. What is long ago counts as said.
    #[must_use]
    pub fn of(&self, key: &str, count: u64) -> bool {
        let since = usize::try_from(self.count.saturating_sub(count)).unwrap_or(usize::MAX);
        let named = |said: &Option<Arc<str>>| said.as_deref().is_none_or(|said| said == key);
        since > self.last.len() || self.last.iter().rev().take(since).any(named)
    }

    fn add(&mut self, key: Option<Arc<str>>) {
        self.count += 1;
        if self.last.len() >= REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(key);
    }
}

/// What must not have changed since the store was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    /// Connections made and lost, and flushes.
    era: u64,
    /// Writes that change the route, through whichever process.
    route: u64,
    /// Changes of the key, or of one that shares its counter.
    slot: u64,
}

#[derive(Clone)]
struct Copied {
    entry: Arc<Entry>,
    age: Age,
    stamp: Stamp,
    /// When it was read from the store.
    read: Instant,
    /// The servers of its generation's key and of its own.
    givers: [u8; 2],
}

#[derive(Clone)]
struct Weight;

impl Weighter<Arc<str>, Copied> for Weight {
    fn weight(&self, key: &Arc<str>, copied: &Copied) -> u64 {
        weight(key, &copied.entry)
    }
}

impl Near {
    /// No copies, and no lease yet. `generations` are the keys of the routes' generations, prefix included.
    pub(super) fn new(max_bytes: u64, limit: Duration, prefix: &str, generations: Vec<String>) -> Self {
        let counters = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            copies: bounded::by_bytes(max_bytes, Weight),
            limit,
            prefix: prefix.to_owned(),
            routes: counters(generations.len()),
            generations,
            hasher: bounded::keyed(),
            era: AtomicU64::new(0),
            slots: counters(SLOTS),
            base: Instant::now(),
            leases: std::array::from_fn(|_| Lease::default()),
            told: watch::Sender::default(),
        }
    }

    /// To be read before the store is asked for `key` of this route; without the prefix.
    pub(super) fn stamp(&self, route: usize, key: &str) -> Stamp {
        let read = |counter: Option<&AtomicU64>| counter.map_or(0, |counter| counter.load(Ordering::Acquire));
        Stamp {
            era: self.era.load(Ordering::Acquire),
            route: read(self.routes.get(route)),
            slot: read(self.slot(key)),
        }
    }

    /// A copy that may be served to whoever has asked by `now`, if nothing has changed before this `stamp` was read.
    pub(super) fn find(&self, key: &str, stamp: Stamp, now: Instant) -> Option<(Arc<Entry>, Age)> {
        let copied = self.copies.get(key)?;
        let live = copied.givers.iter().all(|giver| self.is_leased(*giver, now));
        let valid = live && copied.stamp == stamp && now < copied.read + self.limit;
        valid.then_some((copied.entry, copied.age))
    }

    /// What was copied last, whether or not it may still be served.
    pub(super) fn last(&self, key: &str) -> Option<Arc<Entry>> {
        self.copies.get(key).map(|copied| copied.entry)
    }

    /// Keeps what the store has just given; `stamp` was read before it was asked. Nothing is kept without
    /// leases on the very servers that gave generation and entry.
    pub(super) fn keep(
        &self,
        key: &Arc<str>,
        entry: &Arc<Entry>,
        age: Age,
        stamp: Stamp,
        givers: &[Giver; 2],
    ) {
        let now = Instant::now();
        let leased = |giver: &Giver| {
            let lease = self.lease(giver.node);
            let same = |run_id: &Option<Arc<str>>| run_id.as_ref() == Some(&giver.run_id);
            let run_id = lease.map(|lease| lease.run_id.read().unwrap_or_else(PoisonError::into_inner));
            run_id.is_some_and(|run_id| same(&run_id)) && self.is_leased(giver.node, now)
        };
        if givers.iter().all(leased) {
            let givers = [givers[0].node, givers[1].node];
            let copied = Copied { entry: Arc::clone(entry), age, stamp, read: now, givers };
            self.copies.insert(Arc::clone(key), copied);
        }
    }

    /// Whether copies of what this server has may be served: it has lately proved that its pushes arrive.
    pub(super) fn is_live(&self, server: u8) -> bool {
        self.is_leased(server, Instant::now())
    }

    fn is_leased(&self, server: u8, now: Instant) -> bool {
        let until = self.lease(server).map_or(0, |lease| lease.until.load(Ordering::Acquire));
        now < self.base + Duration::from_nanos(until)
    }

    fn lease(&self, server: u8) -> Option<&Lease> {
        self.leases.get(usize::from(server))
    }

    /// How much they take.
    pub(super) fn size(&self) -> Size {
        bounded::size(&self.copies)
    }

    /// A write changed the route, through this process or another.
    pub(super) fn void_route(&self, route: usize) {
        bump(self.routes.get(route));
    }

    /// The entry under `key`, without the prefix, was changed.
    pub(super) fn void_key(&self, key: &str) {
        bump(self.slot(key));
        self.copies.remove(key);
    }

    /// The store says that what lies under this key, prefix included, has changed.
    pub(super) fn pushed(&self, key: &[u8]) {
        let key = String::from_utf8_lossy(key);
        match self.generations.iter().position(|generation| *generation == key) {
            Some(route) => self.void_route(route),
            None => self.void_key(key.strip_prefix(&self.prefix).unwrap_or(&key)),
        }
        self.changed(Some(key.into()));
    }

    /// Nothing that was read before this counts any more.
    pub(super) fn clear(&self) {
        bump(Some(&self.era));
        self.copies.clear();
        self.changed(None);
    }

    /// Copies of what this server has may be served until then: its process with this `run_id` has answered a
    /// heartbeat, and with it everything that it pushed before has arrived.
    pub(super) fn prolong(&self, server: u8, until: Instant, run_id: &Arc<str>) {
        let Some(lease) = self.lease(server) else { return };
        *lease.run_id.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(run_id));
        let until = until.saturating_duration_since(self.base).as_nanos();
        lease.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// The connection on which this server's pushes come is gone.
    pub(super) fn lapse(&self, server: u8) {
        if let Some(lease) = self.lease(server) {
            lease.until.store(0, Ordering::Release);
        }
        self.clear();
    }

    /// What the store says: pushes, and connections made and lost.
    pub(super) fn told(&self) -> watch::Receiver<Told> {
        self.told.subscribe()
    }

    fn changed(&self, key: Option<Arc<str>>) {
        self.told.send_modify(|told| told.add(key));
    }

    fn slot(&self, key: &str) -> Option<&AtomicU64> {
        let hash = usize::try_from(self.hasher.hash_one(key) % SLOTS as u64).unwrap_or(0);
        self.slots.get(hash)
    }
}

fn bump(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{entry::Shape, generation::Generation},
        page::Collection,
    };

    const LEASE: Duration = Duration::from_millis(900);
    const LIMIT: Duration = Duration::from_secs(5);
    /// That of the generation, and that of the entry.
    const SERVERS_OF_TEST: [u8; 2] = [3, 4];

    struct Kept {
        near: Near,
        key: Arc<str>,
        run_id: Arc<str>,
        entry: Arc<Entry>,
    }

    impl Kept {
        fn new() -> Self {
            let near =
                Near::new(1 << 20, LIMIT, "cat_", vec!["cat_gen_a".to_owned(), "cat_gen_b".to_owned()]);
            let collection = Collection { text: "".into(), items: vec![], total: 0, kept_from: None };
            let generation = Generation::random("run").unwrap();
            let entry = Entry::new(collection, Shape::of_text("s"), generation, 0).into();
            let kept = Self { near, key: "k".into(), run_id: "run".into(), entry };
            kept.prolong();
            kept.keep(kept.stamp());
            assert!(kept.is_found());
            kept
        }

        fn prolong(&self) {
            for server in SERVERS_OF_TEST {
                self.near.prolong(server, Instant::now() + LEASE, &self.run_id);
            }
        }

        fn stamp(&self) -> Stamp {
            self.near.stamp(0, &self.key)
        }

        fn keep(&self, stamp: Stamp) {
            let givers = SERVERS_OF_TEST.map(|node| Giver { node, run_id: "run".into() });
            self.near.keep(&self.key, &self.entry, Age::now(Duration::ZERO), stamp, &givers);
        }

        fn is_found(&self) -> bool {
            self.near.find(&self.key, self.stamp(), Instant::now()).is_some()
        }
    }

    #[tokio::test]
    async fn a_copy_ends_with_whatever_changes_it_and_no_late_one_takes_its_place() {
        for (change, apply) in [
            ("a push for its key", (|near| near.pushed(b"cat_k")) as fn(&Near)),
            ("a push for its generation", |near| near.pushed(b"cat_gen_a")),
            ("a write through this process", |near| near.void_route(0)),
            ("a fill of this process", |near| near.void_key("k")),
            ("a flush", Near::clear),
            ("the loss of its generation's server", |near| near.lapse(3)),
            ("the loss of its own server", |near| near.lapse(4)),
            ("the loss of any server", |near| near.lapse(5)),
        ] {
            let kept = Kept::new();
            let before = kept.stamp();
            apply(&kept.near);
            kept.prolong();
            assert!(!kept.is_found(), "{change}");
            kept.keep(before);
            assert!(!kept.is_found(), "read before, kept after: {change}");
            kept.keep(kept.stamp());
            assert!(kept.is_found(), "read and kept after: {change}");
        }
    }

    #[tokio::test]
    async fn a_change_of_another_key_or_route_leaves_a_copy() {
        let kept = Kept::new();
        kept.near.pushed(b"cat_other");
        kept.near.pushed(b"cat_gen_b");
        kept.near.pushed(b"\xff\xfe");
        kept.near.void_route(7);
        assert!(kept.is_found());
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_served_while_the_lease_runs_and_no_longer_than_its_limit() {
        let kept = Kept::new();
        tokio::time::advance(LEASE - Duration::from_millis(1)).await;
        assert!(kept.is_found());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!kept.is_found(), "the lease has run out");
        kept.prolong();
        assert!(kept.is_found(), "the same connection answered after all, so every push has arrived");
        tokio::time::advance(LIMIT).await;
        kept.prolong();
        assert!(!kept.is_found(), "the limit counts from when it was read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_served_only_while_both_its_servers_are_heard() {
        for silent in SERVERS_OF_TEST {
            let kept = Kept::new();
            tokio::time::advance(LEASE / 2).await;
            let heard = SERVERS_OF_TEST.into_iter().find(|server| *server != silent).unwrap();
            kept.near.prolong(heard, Instant::now() + LEASE, &kept.run_id);
            assert!(kept.is_found());
            tokio::time::advance(LEASE / 2).await;
            assert!(!kept.is_found(), "server {silent} says nothing any more");
            kept.keep(kept.stamp());
            kept.near.prolong(silent, Instant::now() + LEASE, &kept.run_id);
            assert!(kept.is_found(), "it is as it was: what it said meanwhile has arrived");
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_of_another_server_than_the_one_that_pushes() {
        let mut kept = Kept::new();
        kept.near.lapse(4);
        kept.run_id = "another".into();
        kept.prolong();
        kept.keep(kept.stamp());
        assert!(!kept.is_found());
    }

    #[test]
    fn who_waits_for_a_key_hears_of_it_though_others_followed_and_of_what_is_long_ago() {
        let mut told = Told::default();
        for key in [Some("a"), Some("b"), Some("c")] {
            told.add(key.map(Into::into));
        }
        assert!(told.of("a", 0) && told.of("c", 2) && told.of("b", 1));
        assert!(!told.of("a", 1) && !told.of("c", 3) && !told.of("d", 0));
        told.add(None);
        assert!(told.of("d", 3), "any key may have changed");
        for _ in 0..REMEMBERED {
            told.add(Some("x".into()));
        }
        assert!(!told.of("d", 4) && told.of("d", 3), "nobody remembers");
    }
}
