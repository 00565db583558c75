//! The upstream's remembered yes: for a token and a key, until a fixed time.
//!
//! In memory only, bounded, under a keyed hash with a full comparison. A ticket is taken before the question
//! is sent and names the state of the token at that moment; forgetting changes that state, so that a
//! late answer vouches under a name that nobody looks up any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::{bounded, classify::Read, config::VouchFor};

/// Tokens known at a time.
const TOKENS: usize = 10_000;
/// Vouches remembered at a time.
const VOUCHES: usize = 100_000;

/// The vouches of a process.
#[derive(Debug)]
pub(super) struct Vouches {
    tokens: Cache<Arc<str>, Arc<Token>, quick_cache::UnitWeighter, std::hash::RandomState>,
    yes: Cache<Name, Yes, quick_cache::UnitWeighter, std::hash::RandomState>,
    next: AtomicU64,
    routes: usize,
}

#[derive(Debug)]
struct Token {
    /// Of this record; never used twice.
    number: u64,
    /// For each route how often it was forgotten.
    forgotten: Vec<AtomicU64>,
}

/// What a yes is remembered by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    token: u64,
    forgotten: u64,
    route: usize,
    /// `None`: any key of the route.
    key: Option<Arc<str>>,
}

/// Names a token's state when a question was sent.
#[derive(Clone, Debug)]
pub struct Ticket {
    name: Name,
    taken: Instant,
}

#[derive(Clone, Debug)]
struct Yes {
    total: Option<u64>,
    until: Instant,
}

impl Ticket {
    pub(super) fn identity(&self) -> Arc<str> {
        format!("{}.{}", self.name.token, self.name.forgotten).into()
    }
}

impl Vouches {
    pub(super) fn new(routes: usize) -> Self {
        Self {
            tokens: bounded::by_count(TOKENS),
            yes: bounded::by_count(VOUCHES),
            next: AtomicU64::new(0),
            routes,
        }
    }

    pub(super) fn ticket(&self, token: &Arc<str>, read: &Read, vouch_for: VouchFor) -> Ticket {
        let known = self.tokens.get(token).unwrap_or_else(|| {
            let fresh = Arc::new(Token {
                number: self.next.fetch_add(1, Ordering::Relaxed),
                forgotten: (0..self.routes).map(|_| AtomicU64::new(0)).collect(),
            });
            self.tokens.insert(Arc::clone(token), Arc::clone(&fresh));
            fresh
        });
        let forgotten = known.forgotten.get(read.index).map_or(0, |count| count.load(Ordering::Acquire));
        let key = (vouch_for == VouchFor::Key).then(|| Arc::clone(&read.key));
        let name = Name { token: known.number, forgotten, route: read.index, key };
        Ticket { name, taken: Instant::now() }
    }

    /// The total that the upstream told with its yes, where it said yes and that still counts.
    pub(super) fn find(&self, ticket: &Ticket) -> Option<Option<u64>> {
        self.yes.get(&ticket.name).filter(|yes| yes.until > ticket.taken).map(|yes| yes.total)
    }

    /// Counts from when the ticket was taken, not from when the answer came.
    pub(super) fn remember(&self, ticket: &Ticket, total: Option<u64>, period: Duration) {
        self.yes.insert(ticket.name.clone(), Yes { total, until: ticket.taken + period });
    }

    pub(super) fn forget(&self, token: &str) {
        self.tokens.remove(token);
    }

    pub(super) fn forget_route(&self, token: &str, route: usize) {
        if let Some(count) = self.tokens.get(token).as_ref().and_then(|token| token.forgotten.get(route)) {
            count.fetch_add(1, Ordering::AcqRel);
        }
    }
}
