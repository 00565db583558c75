//! Who may read. All users share an entry, so a hit must prove that this token may read it: the upstream
//! has said so for that token and key, not long ago.
//!
//! Keeps the upstream's answers and decides; it does not ask (that is [`crate::fill`]'s request).

pub mod token;
mod vouch;

use std::{
    collections::HashMap,
    fmt,
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

/// A caller, as far as admission knows it. Printed without the token.
#[derive(Clone)]
pub enum Caller {
    /// Everybody may read here.
    Anyone {
        /// What fills send upstream, where the client sent something.
        authorization: Option<Arc<str>>,
    },
    /// Somebody with a token, good or not.
    Bearer {
        /// What fills send upstream.
        authorization: Arc<str>,
        /// The token's standing at this moment, by which a yes to it is remembered.
        ticket: Ticket,
    },
}

impl Caller {
    /// The `Authorization` field's value that fills for this caller send.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        match self {
            Self::Anyone { authorization } => authorization.as_deref(),
            Self::Bearer { authorization, .. } => Some(authorization),
        }
    }

    /// Equal for requests with the same token in the same standing: after a forgetting it is another one.
    #[must_use]
    pub fn identity(&self) -> Option<Arc<str>> {
        match self {
            Self::Anyone { authorization } => authorization.clone(),
            Self::Bearer { ticket, .. } => Some(ticket.identity()),
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Anyone { .. } => "Anyone",
            Self::Bearer { .. } => "Bearer ***",
        })
    }
}

/// Whether the upstream's yes to a caller is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is; with the total that the upstream told, where totals are to be compared.
    Admitted(Option<u64>),
    /// It is not: the upstream is to be asked.
    Unknown,
}

#[derive(Debug)]
struct Dispute {
    caller: Caller,
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
            config::Admission::Open => Ok(Caller::Anyone { authorization: token::any(fields)? }),
            config::Admission::Upstream { vouch_for, .. } => {
                if self.differs(read.index) {
                    return Err(Reason::Differs);
                }
                let authorization = token::bearer(fields).ok_or(Reason::Token)?;
                let ticket = self.vouches.ticket(&authorization, read, vouch_for);
                Ok(Caller::Bearer { authorization, ticket })
            }
        }
    }

    /// The same caller as of now: what was forgotten meanwhile is.
    #[must_use]
    pub fn again(&self, read: &Read, caller: &Caller) -> Caller {
        match (caller, self.mode) {
            (Caller::Bearer { authorization, .. }, config::Admission::Upstream { vouch_for, .. }) => {
                let ticket = self.vouches.ticket(authorization, read, vouch_for);
                Caller::Bearer { authorization: Arc::clone(authorization), ticket }
            }
            _ => caller.clone(),
        }
    }

    /// What is remembered of this caller, as of when its ticket was taken.
    #[must_use]
    pub fn standing(&self, caller: &Caller) -> Standing {
        match caller {
            Caller::Anyone { .. } => Standing::Admitted(None),
            Caller::Bearer { ticket, .. } => {
                self.vouches.find(ticket).map_or(Standing::Unknown, Standing::Admitted)
            }
        }
    }

    /// The upstream accepted the token for what the ticket names, in answer to a request sent after
    /// the ticket was taken; it counted `total` items.
    pub fn vouch(&self, caller: &Caller, total: Option<u64>) {
        let (
            config::Admission::Upstream { vouch_limit, vouch_for },
            Caller::Bearer { authorization, ticket },
        ) = (self.mode, caller)
        else {
            return;
        };
        let expiry = token::expires_in(authorization, self.clock.now_ms());
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

    /// This caller was told another total than the entry's. Gives the last other caller to whom that
    /// happened for this key, not long ago: two who are told different totals at the same time see different
    /// collections, where one after the other they may only have seen the list change.
    #[must_use]
    pub fn dispute(&self, read: &Read, caller: &Caller) -> Option<Caller> {
        let now = Instant::now();
        let dispute = Dispute { caller: caller.clone(), until: now + self.period() };
        let mut disputes = self.disputes.lock().unwrap_or_else(PoisonError::into_inner);
        if disputes.len() >= DISPUTES {
            disputes.clear();
        }
        let before = disputes.insert(Arc::clone(&read.key), dispute)?;
        let other = before.until > now && before.caller.identity() != caller.identity();
        other.then_some(before.caller)
    }

    /// Tokens see different collections: the route's requests are forwarded for a while.
    pub fn differ(&self, read: &Read) {
        if let Some(differing) = self.differing.get(read.index) {
            *differing.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + self.period());
        }
    }

    fn period(&self) -> Duration {
        match self.mode {
            config::Admission::Upstream { vouch_limit, .. } => vouch_limit,
            config::Admission::Open => DISPUTE_PERIOD,
        }
    }

    fn differs(&self, route: usize) -> bool {
        let until =
            self.differing.get(route).and_then(|until| *until.lock().unwrap_or_else(PoisonError::into_inner));
        until.is_some_and(|until| until > Instant::now())
    }
}

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

    const LIMIT: Duration = Duration::from_secs(10);

    fn admission() -> (Admission, Read) {
        let mut config = load(Profile::Panels.source(), Overrides::default()).unwrap().0;
        config.admission = config::Admission::Upstream { vouch_limit: LIMIT, vouch_for: VouchFor::Key };
        let uri = http::Uri::from_static("/api/Seller");
        let class = Classifier::new(&config).classify(&http::Method::GET, &uri, &HeaderMap::new(), false);
        let Class::Read(read) = class else { panic!("a read") };
        (Admission::new(&config, Clock::system()), read)
    }

    fn caller(admission: &Admission, read: &Read, token: &str) -> Caller {
        let value = format!("Bearer {token}").parse().unwrap();
        admission.caller(read, &[(http::header::AUTHORIZATION, value)].into_iter().collect()).unwrap()
    }

    #[test]
    fn no_debug_print_shows_a_token() {
        let (admission, read) = admission();
        let caller = caller(&admission, &read, "sesame");
        admission.vouch(&caller, Some(1));
        assert!(admission.dispute(&read, &caller).is_none());
        let printed = format!("{caller:?} {admission:?}");
        assert!(!printed.contains("sesame"), "{printed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_vouch_counts_from_when_the_question_was_sent() {
        let (admission, read) = admission();
        let asking = caller(&admission, &read, "a");
        tokio::time::advance(LIMIT / 2).await;
        admission.vouch(&asking, Some(7));
        assert_eq!(admission.standing(&caller(&admission, &read, "a")), Standing::Admitted(Some(7)));
        tokio::time::advance(LIMIT / 2).await;
        assert_eq!(admission.standing(&caller(&admission, &read, "a")), Standing::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dispute_has_two_tokens_that_meet_not_long_ago() {
        let (admission, read) = admission();
        let (one, other) = (caller(&admission, &read, "a"), caller(&admission, &read, "b"));
        assert!(admission.dispute(&read, &one).is_none());
        assert!(admission.dispute(&read, &one).is_none(), "with itself");
        let before = admission.dispute(&read, &other).unwrap();
        assert_eq!(before.authorization(), Some("Bearer a"));
        tokio::time::advance(LIMIT).await;
        assert!(admission.dispute(&read, &one).is_none(), "long ago");
    }
}
