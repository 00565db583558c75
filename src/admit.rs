//! Who may read. All users share an entry, so a hit must prove that this token may read it: the upstream
//! has said so for that token and key, not long ago.
//!
//! Keeps the upstream's answers and decides; it does not ask (that is [`crate::fill`]'s request).

pub mod token;
mod vouch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

pub use vouch::Ticket;
use vouch::Vouches;

use crate::{
    classify::{Read, Reason},
    clock::Clock,
    config::{self, Config, VouchFor},
};

/// Keys whose totals are watched; beyond, the memory starts anew.
const DISPUTES: usize = 10_000;
/// How long a refill for a differing total is remembered where there is no vouch limit.
const DISPUTE_PERIOD: Duration = Duration::from_secs(300);

/// Decides who may read.
#[derive(Debug)]
pub struct Admission {
    mode: config::Admission,
    vouches: Vouches,
    disputes: Mutex<HashMap<Arc<str>, Dispute>>,
    differing: Vec<Mutex<Option<Instant>>>,
    clock: Clock,
}

/// A caller, as far as admission knows it.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Everybody may read here.
    Anyone {
        /// What fills send upstream, where the client sent something.
        token: Option<Arc<str>>,
    },
    /// The upstream has accepted this token for this key.
    Vouched {
        /// The `Authorization` field's value.
        token: Arc<str>,
        /// The upstream's total as this token was told it.
        total: Option<u64>,
        /// For a fill that this caller leads.
        ticket: Ticket,
    },
    /// The upstream is to be asked, or a fill with this token to be led.
    Unknown {
        /// The `Authorization` field's value.
        token: Arc<str>,
        /// Taken before the question is sent.
        ticket: Ticket,
    },
}

impl Caller {
    /// The `Authorization` field's value that fills for this caller send.
    #[must_use]
    pub fn token(&self) -> Option<&Arc<str>> {
        match self {
            Self::Anyone { token } => token.as_ref(),
            Self::Vouched { token, .. } | Self::Unknown { token, .. } => Some(token),
        }
    }

    /// What a yes to this caller is remembered by.
    #[must_use]
    pub fn ticket(&self) -> Option<&Ticket> {
        match self {
            Self::Anyone { .. } => None,
            Self::Vouched { ticket, .. } | Self::Unknown { ticket, .. } => Some(ticket),
        }
    }
}

#[derive(Debug)]
struct Dispute {
    /// The total that a refill replaced.
    replaced: u64,
    until: Instant,
}

impl Admission {
    /// Nobody is vouched for yet.
    #[must_use]
    pub fn new(config: &Config, clock: Clock) -> Self {
        Self {
            mode: config.admission,
            vouches: Vouches::new(config.routes.len()),
            disputes: Mutex::default(),
            differing: config.routes.iter().map(|_| Mutex::default()).collect(),
            clock,
        }
    }

    /// Who asks for this.
    ///
    /// # Errors
    /// The reason to forward the request instead.
    pub fn caller(&self, read: &Read, fields: &HeaderMap) -> Result<Caller, Reason> {
        match self.mode {
            config::Admission::Open => Ok(Caller::Anyone { token: token::any(fields)? }),
            config::Admission::Upstream { vouch_for, .. } => {
                if self.differs(read.index) {
                    return Err(Reason::Differs);
                }
                let token = token::bearer(fields).ok_or(Reason::Token)?;
                let ticket = self.vouches.ticket(&token, read, vouch_for);
                Ok(match self.vouches.find(&ticket) {
                    Some(total) => Caller::Vouched { token, total, ticket },
                    None => Caller::Unknown { token, ticket },
                })
            }
        }
    }

    /// The upstream accepted the token for what the ticket names, in answer to a request sent after
    /// the ticket was taken; it counted `total` items.
    pub fn vouch(&self, caller: &Caller, total: Option<u64>) {
        let (config::Admission::Upstream { vouch_limit, vouch_for }, Some(ticket), Some(token)) =
            (self.mode, caller.ticket(), caller.token())
        else {
            return;
        };
        let expiry = token::expires_in(token, self.clock.now_ms());
        // One key's total says nothing of another's.
        let total = total.filter(|_| vouch_for == VouchFor::Key);
        self.vouches.remember(ticket, total, vouch_limit.min(expiry.unwrap_or(Duration::MAX)));
    }

    /// The upstream answered a request for these routes that carried this token: a 401 forgets all
    /// vouches of the token, a 403 those of the routes, and answers to questions sent before vouch for
    /// nothing.
    pub fn heard(&self, token: &str, routes: &[usize], status: StatusCode) {
        match status {
            StatusCode::UNAUTHORIZED => self.vouches.forget(token),
            StatusCode::FORBIDDEN => routes.iter().for_each(|route| self.vouches.forget_route(token, *route)),
            _ => {}
        }
    }

    /// A token was told another total than the entry's. True where that shows that tokens see
    /// different collections: the route's requests are then forwarded for a while. False: refill.
    pub fn dispute(&self, read: &Read, entry: u64, told: u64) -> bool {
        let period = match self.mode {
            config::Admission::Upstream { vouch_limit, .. } => vouch_limit,
            config::Admission::Open => DISPUTE_PERIOD,
        };
        let now = Instant::now();
        let mut disputes = self.disputes.lock().unwrap_or_else(PoisonError::into_inner);
        if disputes.get(&read.key).is_some_and(|dispute| dispute.replaced == told && dispute.until > now) {
            disputes.remove(&read.key);
            if let Some(differing) = self.differing.get(read.index) {
                *differing.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + period);
            }
            return true;
        }
        if disputes.len() >= DISPUTES {
            disputes.clear();
        }
        disputes.insert(Arc::clone(&read.key), Dispute { replaced: entry, until: now + period });
        false
    }

    fn differs(&self, route: usize) -> bool {
        let until =
            self.differing.get(route).and_then(|until| *until.lock().unwrap_or_else(PoisonError::into_inner));
        until.is_some_and(|until| until > Instant::now())
    }
}
