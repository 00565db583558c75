//! Counts of what goes wrong without a client noticing. What is dropped is counted, and logged once.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// The counters of a process.
#[derive(Debug, Default)]
pub struct Telemetry {
    store_faults: AtomicU64,
    garbled_entries: AtomicU64,
    unreadable_dates: AtomicU64,
    absent_fields: AtomicU64,
    questions: AtomicU64,
    joined: AtomicU64,
    fills: AtomicU64,
    failed_fills: AtomicU64,
    turned_away: AtomicU64,
    differing: AtomicU64,
    pages_made: AtomicU64,
    key_fetches: AtomicU64,
    signature_checks: AtomicU64,
    unverified: AtomicU64,
    reads: AtomicU64,
    hits: AtomicU64,
    upstream_calls: AtomicU64,
    upstream_failures: AtomicU64,
    upstream_micros: AtomicU64,
    upstream_away: AtomicBool,
    refused_connections: AtomicU64,
    ended_connections: AtomicU64,
    panics: AtomicU64,
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

    /// A read was answered with a page, from an entry or filled for it.
    pub fn read(&self, hit: bool) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.hits.fetch_add(u64::from(hit), Ordering::Relaxed);
    }

    /// The upstream answered a request of whatever kind, after so long; `None`: it did not.
    pub fn upstream(&self, answered: Option<Duration>) {
        self.upstream_away.store(answered.is_none(), Ordering::Relaxed);
        match answered {
            Some(took) => {
                self.upstream_calls.fetch_add(1, Ordering::Relaxed);
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.upstream_micros.fetch_add(micros, Ordering::Relaxed);
            }
            None => {
                self.upstream_failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The last request to the upstream was not answered.
    #[must_use]
    pub fn upstream_is_away(&self) -> bool {
        self.upstream_away.load(Ordering::Relaxed)
    }

    /// A fill ended.
    pub fn fill(&self, success: bool) {
        self.fills.fetch_add(1, Ordering::Relaxed);
        if !success {
            self.failed_fills.fetch_add(1, Ordering::Relaxed);
        }
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

    /// A request failed by a mistake of ours; where, the panic hook has said.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
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

    /// What was counted, by name.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        [
            ("store_faults", &self.store_faults),
            ("garbled_entries", &self.garbled_entries),
            ("unreadable_dates", &self.unreadable_dates),
            ("absent_fields", &self.absent_fields),
            ("questions", &self.questions),
            ("joined", &self.joined),
            ("fills", &self.fills),
            ("failed_fills", &self.failed_fills),
            ("turned_away", &self.turned_away),
            ("differing", &self.differing),
            ("pages_made", &self.pages_made),
            ("key_fetches", &self.key_fetches),
            ("signature_checks", &self.signature_checks),
            ("unverified", &self.unverified),
            ("reads", &self.reads),
            ("hits", &self.hits),
            ("upstream_calls", &self.upstream_calls),
            ("upstream_failures", &self.upstream_failures),
            ("upstream_micros", &self.upstream_micros),
            ("refused_connections", &self.refused_connections),
            ("ended_connections", &self.ended_connections),
            ("panics", &self.panics),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
        .to_vec()
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
