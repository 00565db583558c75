//! The remembered yes, the upstream's or that of a check of our own: for a token and a key, until a fixed time.
//!
//! In memory only, bounded, under a keyed hash with a full comparison. A ticket is taken before the question
//! is sent and names the state of the token at that moment; forgetting changes that state, so that a
//! late answer vouches under a name that nobody looks up any more.

use std::{
    borrow::Borrow,
    convert::Infallible,
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    bounded::{self, Bounded},
    classify::Read,
    config::VouchFor,
};

/// Tokens known at a time.
const TOKENS: usize = 10_000;
/// Vouches remembered at a time.
const VOUCHES: usize = 100_000;

/// The vouches of a process.
#[derive(Debug)]
pub(super) struct Vouches {
    tokens: Bounded<Spelling, Arc<Token>>,
    yes: Bounded<Name, Yes>,
    next: AtomicU64,
    routes: usize,
}

/// A token's record is found by the bytes that a request has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spelling(Arc<str>);

impl Hash for Spelling {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Spelling {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A token of which something is known.
pub struct Token {
    /// What requests with it send.
    authorization: Arc<str>,
    /// Of this record; never used twice.
    number: u64,
    routes: Vec<Route>,
}

impl Token {
    /// What requests with it send.
    #[must_use]
    pub fn authorization(&self) -> &Arc<str> {
        &self.authorization
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Token")
            .field("number", &self.number)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

/// What a token is to a route.
#[derive(Debug, Default)]
struct Route {
    /// How often it was forgotten.
    forgotten: AtomicU64,
    /// Until when the upstream's no counts.
    refused: Mutex<Option<Instant>>,
}

/// What a yes is remembered by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    token: u64,
    forgotten: u64,
    epoch: u64,
    route: usize,
    /// `None`: any key of the route.
    key: Option<Arc<str>>,
}

/// Names a token's state when a question was sent.
#[derive(Clone, Debug)]
pub struct Ticket {
    name: Name,
    taken: Instant,
    refused: bool,
}

#[derive(Clone, Debug)]
struct Yes {
    total: Option<u64>,
    until: Instant,
}

impl Ticket {
    /// The upstream has said no to the token, not long ago.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

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

    /// Of a request that had come by the time that it is `taken` at. What was remembered in another `epoch` does not count.
    pub(super) fn ticket(
        known: &Token,
        read: &Read,
        vouch_for: VouchFor,
        epoch: u64,
        taken: Instant,
    ) -> Ticket {
        let (forgotten, refused) = known.routes.get(read.index).map_or((0, false), |route| {
            (route.forgotten.load(Ordering::Acquire), route.refused().is_some_and(|until| until > taken))
        });
        let key = (vouch_for == VouchFor::Key).then(|| Arc::clone(&read.key));
        let name = Name { token: known.number, forgotten, epoch, route: read.index, key };
        Ticket { name, taken, refused }
    }

    /// The record of whoever sends this, if there is one.
    pub(super) fn known(&self, authorization: &[u8]) -> Option<Arc<Token>> {
        self.tokens.get(authorization)
    }

    /// The token's record, made if there is none. Threads that see it for the first time at once have the same one.
    pub(super) fn token(&self, authorization: &Arc<str>) -> Arc<Token> {
        let fresh = || {
            Ok::<_, Infallible>(Arc::new(Token {
                authorization: Arc::clone(authorization),
                number: self.next.fetch_add(1, Ordering::Relaxed),
                routes: (0..self.routes).map(|_| Route::default()).collect(),
            }))
        };
        let Ok(token) = self.tokens.get_or_insert_with(&Spelling(Arc::clone(authorization)), fresh);
        token
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
        self.tokens.remove(token.as_bytes());
    }

    pub(super) fn forget_route(&self, token: &str, route: usize) {
        if let Some(route) = self.known(token.as_bytes()).as_ref().and_then(|token| token.routes.get(route)) {
            route.forget();
        }
    }

    /// The upstream has said no for one route or, without one, for all: for so long no yes of ours counts, and none
    /// that was begun before counts after.
    pub(super) fn refuse(&self, token: &Arc<str>, route: Option<usize>, period: Duration) {
        let known = self.token(token);
        for (_, route) in known.routes.iter().enumerate().filter(|(at, _)| route.is_none_or(|it| it == *at)) {
            *route.refused() = Some(Instant::now() + period);
            route.forget();
        }
    }
}

impl Route {
    fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
    }

    fn refused(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    const THREADS: usize = 8;

    #[test]
    fn who_sees_a_token_first_at_the_same_time_sees_the_same_record() {
        let vouches = Vouches::new(1);
        for round in 0..200 {
            let (token, start) = (Arc::<str>::from(format!("Bearer {round}")), Barrier::new(THREADS));
            let numbers = thread::scope(|scope| {
                let seen = || {
                    start.wait();
                    vouches.token(&token).number
                };
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(seen)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
        }
    }
}
