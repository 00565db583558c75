//! What is counted of one route, or of all requests that are of none.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{labelled::Labelled, outcome::Outcome, sharded::Sharded, timing::Timing};

/// What is counted of a route.
#[derive(Debug)]
pub struct RouteTelemetry {
    name: String,
    requests: Sharded,
    /// By how they ended.
    fills: Labelled,
    fill_times: Timing,
    pages: AtomicU64,
    received: AtomicU64,
    kept: AtomicU64,
}

/// What the fills of a route have moved since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Pages of the upstream's.
    pub pages: u64,
    /// Bytes of JSON in them, decoded.
    pub received: u64,
    /// Bytes of it that were kept.
    pub kept: u64,
}

impl RouteTelemetry {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            requests: Sharded::new(Outcome::COUNT),
            fills: Labelled::default(),
            fill_times: Timing::default(),
            pages: AtomicU64::new(0),
            received: AtomicU64::new(0),
            kept: AtomicU64::new(0),
        }
    }

    /// The route's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn request(&self, outcome: Outcome) {
        self.requests.add(outcome.place(), 1);
    }

    /// A page of it was fetched for a fill.
    pub fn page(&self) {
        self.pages.fetch_add(1, Ordering::Relaxed);
    }

    /// So much of it was read, for a fill or a question.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A fill ended: with so many bytes, or so.
    pub fn filled(&self, ended: Result<u64, &'static str>, took: Duration) {
        self.fills.add(("outcome", ended.err().unwrap_or("ok")), 1);
        self.kept.fetch_add(ended.unwrap_or(0), Ordering::Relaxed);
        self.fill_times.note(took);
    }

    /// Requests by how they ended, where there were some.
    pub fn requests(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let counted = Outcome::all().map(|outcome| (outcome, self.requests.sum(outcome.place())));
        counted.filter(|(_, count)| *count > 0)
    }

    /// Fills by how they ended.
    #[must_use]
    pub fn fills(&self) -> Vec<(&'static str, u64)> {
        self.fills.all().into_iter().map(|((_, outcome), count)| (outcome, count)).collect()
    }

    /// How long fills took.
    #[must_use]
    pub fn fill_times(&self) -> &Timing {
        &self.fill_times
    }

    /// What fills have moved.
    #[must_use]
    pub fn moved(&self) -> Moved {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Moved { pages: read(&self.pages), received: read(&self.received), kept: read(&self.kept) }
    }
}
