//! What is counted and timed. What is dropped is counted, and logged once. Nothing here names a client's token, key or path.

mod labelled;
pub mod log;
pub mod outcome;
pub mod route;
mod sharded;
pub mod timing;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use self::{
    labelled::Labelled,
    outcome::{Kind, Outcome},
    route::RouteTelemetry,
    timing::Timing,
};

/// The name of what is of no route.
pub const NO_ROUTE: &str = "none";

/// The counters of a process.
#[derive(Debug, Default)]
pub struct Telemetry {
    store_faults: AtomicU64,
    garbled_entries: AtomicU64,
    unreadable_dates: AtomicU64,
    absent_fields: AtomicU64,
    questions: AtomicU64,
    joined: AtomicU64,
    turned_away: AtomicU64,
    differing: AtomicU64,
    pages_made: AtomicU64,
    key_fetches: AtomicU64,
    signature_checks: AtomicU64,
    unverified: AtomicU64,
    routes: Mutex<BTreeMap<String, Arc<RouteTelemetry>>>,
    hits: Timing,
    fills: Timing,
    forwards: Timing,
    /// Operations and how they ended.
    store: Labelled,
    store_times: Timing,
    upstream_times: Timing,
    upstream_failures: Labelled,
    upstream_away: AtomicBool,
    refused_connections: AtomicU64,
    ended_connections: AtomicU64,
    handshakes: Labelled,
    /// A second since 1970; 0: there is none.
    certificate_until: AtomicU64,
    panics: AtomicU64,
    spans_exported: AtomicU64,
    spans_dropped: AtomicU64,
    said: Mutex<HashSet<String>>,
}

impl Telemetry {
    /// The store did not do what it was asked; `lasting` faults do not mend by themselves and are said.
    pub fn store_fault(&self, fault: &dyn std::fmt::Display, lasting: bool) {
        self.store_faults.fetch_add(1, Ordering::Relaxed);
        if lasting {
            self.say_once(&format!("store: {fault}"));
        }
    }

    /// Something under our key was not an entry of ours.
    pub fn garbled_entry(&self) {
        self.garbled_entries.fetch_add(1, Ordering::Relaxed);
        self.say_once("what lies under one of our keys is not an entry of ours; it is overwritten");
    }

    /// Something under our key was made by another configuration, of which the caller says a word.
    pub fn misshapen_entry(&self) {
        self.garbled_entries.fetch_add(1, Ordering::Relaxed);
    }

    /// Items of a route were left out because their date does not read.
    pub fn unreadable_dates(&self, route: &str, count: u64) {
        if count > 0 {
            self.unreadable_dates.fetch_add(count, Ordering::Relaxed);
            self.say_once(&format!("{route}: items whose date does not read are left out"));
        }
    }

    /// Items of a route had no such field.
    pub fn absent_field(&self, route: &str, field: &str, count: u64) {
        if count > 0 {
            self.absent_fields.fetch_add(count, Ordering::Relaxed);
            self.say_once(&format!("{route}: items without `{field}`; it is left out there"));
        }
    }

    /// Two tokens see different collections of a route.
    pub fn differs(&self, route: &str) {
        self.differing.fetch_add(1, Ordering::Relaxed);
        self.say_once(&format!("{route}: tokens see different collections; forwarded for a while"));
    }

    /// The upstream was asked whether a token may read.
    pub fn question(&self) {
        self.questions.fetch_add(1, Ordering::Relaxed);
    }

    /// A request waits for another one's fill.
    pub fn joined(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    /// What is counted of the route with this name, under whichever configuration; [`NO_ROUTE`]: of none.
    #[must_use]
    pub fn route(&self, name: &str) -> Arc<RouteTelemetry> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(RouteTelemetry::new(name));
        Arc::clone(routes.entry(name.to_owned()).or_insert_with(made))
    }

    /// Those that were ever asked for, by their names.
    #[must_use]
    pub fn routes(&self) -> Vec<Arc<RouteTelemetry>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// A client's request ended so, of this route; its answer's head was ready after so long.
    pub fn request(&self, route: &RouteTelemetry, outcome: Outcome, took: Duration) {
        route.request(outcome);
        if let Some(kind) = outcome.kind() {
            self.times(kind).note(took);
        }
    }

    /// How long requests of this kind took, from being read to their answers' heads.
    #[must_use]
    pub fn times(&self, kind: Kind) -> &Timing {
        match kind {
            Kind::Hit => &self.hits,
            Kind::Fill => &self.fills,
            Kind::Forward => &self.forwards,
        }
    }

    /// The store was asked for something, which ended so, after so long.
    pub fn store(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.store.add((operation, outcome), 1);
        self.store_times.note(took);
    }

    /// What the store was asked for, how that ended, and how often.
    #[must_use]
    pub fn store_operations(&self) -> Vec<((&'static str, &'static str), u64)> {
        self.store.all()
    }

    /// How long the store took.
    #[must_use]
    pub fn store_times(&self) -> &Timing {
        &self.store_times
    }

    /// The upstream answered a request of whatever kind, after so long, or did not for such a reason.
    pub fn upstream(&self, answered: Result<Duration, &'static str>) {
        self.upstream_away.store(answered.is_err(), Ordering::Relaxed);
        match answered {
            Ok(took) => self.upstream_times.note(took),
            Err(reason) => self.upstream_failures.add(("reason", reason), 1),
        }
    }

    /// How long the upstream took to the heads of its answers.
    #[must_use]
    pub fn upstream_times(&self) -> &Timing {
        &self.upstream_times
    }

    /// Requests that the upstream did not answer, by reason.
    #[must_use]
    pub fn upstream_failures(&self) -> Vec<(&'static str, u64)> {
        self.upstream_failures.all().into_iter().map(|((_, reason), count)| (reason, count)).collect()
    }

    /// The last request to the upstream was not answered.
    #[must_use]
    pub fn upstream_is_away(&self) -> bool {
        self.upstream_away.load(Ordering::Relaxed)
    }

    /// A fill was not begun: too many waited for their turn.
    pub fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        self.say_once("more fills wait than `waiting-fills` in [fill]; requests for others are forwarded");
    }

    /// A page was rendered, or one that was rendered was coded: work that is done once and not for each request.
    pub fn page_made(&self) {
        self.pages_made.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was not let in.
    pub fn refused_connection(&self, why: &dyn std::fmt::Display) {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
        self.say_once(&format!("connections are turned away: {why}"));
    }

    /// A connection was closed because its client takes too long.
    pub fn ended_connection(&self) {
        self.ended_connections.fetch_add(1, Ordering::Relaxed);
        self.say_once("connections are closed whose clients take too long (see [clients])");
    }

    /// A client's handshake of TLS ended so.
    pub fn handshake(&self, outcome: &'static str) {
        self.handshakes.add(("outcome", outcome), 1);
    }

    /// Clients' handshakes of TLS, by how they ended.
    #[must_use]
    pub fn handshakes(&self) -> Vec<(&'static str, u64)> {
        self.handshakes.all().into_iter().map(|((_, outcome), count)| (outcome, count)).collect()
    }

    /// The certificate that clients are shown is good until this second since 1970.
    pub fn certificate_good_until(&self, second: u64) {
        self.certificate_until.store(second, Ordering::Relaxed);
    }

    /// Until which second since 1970 the certificate is good that clients are shown, if they are shown one.
    #[must_use]
    pub fn certificate_until(&self) -> Option<u64> {
        Some(self.certificate_until.load(Ordering::Relaxed)).filter(|second| *second > 0)
    }

    /// A request failed by a mistake of ours; where, the panic hook has said.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// The collector of traces has taken so many spans.
    pub fn spans_exported(&self, count: u64) {
        self.spans_exported.fetch_add(count, Ordering::Relaxed);
    }

    /// So many spans were given up: too many waited already, or the collector did not take them.
    pub fn spans_dropped(&self, count: u64) {
        if count > 0 {
            self.spans_dropped.fetch_add(count, Ordering::Relaxed);
            self.say_once(
                "spans are dropped: the collector of traces does not take them, or not fast enough",
            );
        }
    }

    /// The published keys are fetched.
    pub fn key_fetch(&self) {
        self.key_fetches.fetch_add(1, Ordering::Relaxed);
    }

    /// A token's signature was checked.
    pub fn signature_check(&self) {
        self.signature_checks.fetch_add(1, Ordering::Relaxed);
    }

    /// A token is not good by the published keys and what is demanded of it; said once for each flaw that the
    /// configuration may be the cause of.
    pub fn unverified(&self, flaw: &dyn std::fmt::Display, may_be_ours: bool) {
        self.unverified.fetch_add(1, Ordering::Relaxed);
        if may_be_ours {
            self.say_once(&format!("a token is {flaw}; such requests are forwarded"));
        } else {
            tracing::debug!("a token is not good: {flaw}");
        }
    }

    /// The issuer publishes no key by which a token could be checked.
    pub fn no_usable_key(&self, issuer: &str) {
        self.say_once(&format!("{issuer} publishes no key for signatures that is understood"));
    }

    /// What was counted, by name; of all routes together.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.own_counts().into_iter().chain(self.sums()).collect()
    }

    /// What is counted by itself.
    fn own_counts(&self) -> Vec<(&'static str, u64)> {
        [
            ("store_faults", &self.store_faults),
            ("garbled_entries", &self.garbled_entries),
            ("unreadable_dates", &self.unreadable_dates),
            ("absent_fields", &self.absent_fields),
            ("questions", &self.questions),
            ("joined", &self.joined),
            ("turned_away", &self.turned_away),
            ("differing", &self.differing),
            ("pages_made", &self.pages_made),
            ("key_fetches", &self.key_fetches),
            ("signature_checks", &self.signature_checks),
            ("unverified", &self.unverified),
            ("refused_connections", &self.refused_connections),
            ("ended_connections", &self.ended_connections),
            ("panics", &self.panics),
            ("spans_exported", &self.spans_exported),
            ("spans_dropped", &self.spans_dropped),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
        .to_vec()
    }

    /// What is the sum of other counts.
    fn sums(&self) -> [(&'static str, u64); 7] {
        let (mut reads, mut hits, mut fills, mut failed) = (0, 0, 0, 0);
        for route in self.routes() {
            for (outcome, count) in route.requests() {
                reads += if outcome.is_hit().is_some() { count } else { 0 };
                hits += if outcome.is_hit() == Some(true) { count } else { 0 };
            }
            for (outcome, count) in route.fills() {
                fills += count;
                failed += if outcome == "ok" { 0 } else { count };
            }
        }
        let micros = u64::try_from(self.upstream_times.sum().as_micros()).unwrap_or(u64::MAX);
        [
            ("reads", reads),
            ("hits", hits),
            ("fills", fills),
            ("failed_fills", failed),
            ("upstream_calls", self.upstream_times.count()),
            ("upstream_failures", self.upstream_failures.all().iter().map(|(_, count)| count).sum()),
            ("upstream_micros", micros),
        ]
    }

    /// One count by its name; 0 for a name that there is none of.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts().iter().find(|(mine, _)| *mine == name).map_or(0, |(_, count)| *count)
    }

    /// A route's requests are forwarded because no collection can be had; said once for each kind of reason.
    pub fn unfit(&self, route: &str, kind: &str, why: &dyn std::fmt::Display) {
        if self.is_new(&format!("{route}: {kind}")) {
            tracing::warn!(route, "forwarded: {why}");
        }
    }

    /// Warns of something that goes on without anyone noticing; the same thing once in a process's life.
    fn say_once(&self, what: &str) {
        if self.is_new(what) {
            tracing::warn!("{what}");
        }
    }

    fn is_new(&self, what: &str) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned())
    }
}

/// An error and its causes in one line, for the log.
#[derive(Debug)]
pub struct Chain<'e>(pub &'e dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(source) = cause {
            write!(out, ": {source}")?;
            cause = source.source();
        }
        Ok(())
    }
}
