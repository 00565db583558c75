//! Who may read. All users share an entry, so a hit must prove that this token may read it: the upstream
//! has said so for that token and key, not long ago; or, in the mode `jwks`, the token itself does.
//!
//! Keeps the upstream's answers and decides; it does not ask (that is [`crate::fill`]'s request).

mod jwks;
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

use vouch::Vouches;
pub use vouch::{Ticket, Token};

use crate::{
    classify::{Read, Reason},
    clock::Clock,
    config::{self, Config, VouchFor},
    dial::Dialler,
    telemetry::Telemetry,
    trace::{self, Step},
    upstream::UpstreamUnusable,
};
use jwks::Jwks;

/// Keys whose totals are watched; beyond, the memory starts anew.
const DISPUTES: usize = 10_000;
/// How long a refill for a differing total is remembered where there is no vouch limit.
const DISPUTE_PERIOD: Duration = Duration::from_secs(300);

/// Decides who may read.
#[derive(Debug)]
pub struct Admission {
    mode: Mode,
    vouches: Vouches,
    disputes: Mutex<HashMap<Arc<str>, Dispute>>,
    differing: Vec<Mutex<Option<Instant>>>,
    clock: Clock,
}

#[derive(Debug)]
enum Mode {
    Upstream { vouch_limit: Duration, vouch_for: VouchFor },
    Jwks(Box<Jwks>),
    Open,
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
        /// What is known of the token; fills send it upstream.
        token: Arc<Token>,
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
            Self::Bearer { token, .. } => Some(token.authorization()),
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

/// Whether a yes to a caller is remembered.
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
    /// Nobody is vouched for yet, and no key is fetched.
    ///
    /// # Errors
    /// Where the server that publishes keys cannot be spoken to as configured.
    pub fn new(
        config: &Config,
        clock: Clock,
        telemetry: Arc<Telemetry>,
        dialler: &Dialler,
    ) -> Result<Self, UpstreamUnusable> {
        Ok(Self {
            mode: match &config.admission {
                config::Admission::Upstream { vouch_limit, vouch_for } => {
                    Mode::Upstream { vouch_limit: *vouch_limit, vouch_for: *vouch_for }
                }
                config::Admission::Jwks(config) => {
                    Mode::Jwks(Box::new(Jwks::new(config, clock.clone(), telemetry, dialler)?))
                }
                config::Admission::Open => Mode::Open,
            },
            vouches: Vouches::new(config.routes.len()),
            disputes: Mutex::default(),
            differing: config.routes.iter().map(|_| Mutex::default()).collect(),
            clock,
        })
    }

    /// Fetches the published keys, where tokens are checked by such.
    pub async fn greet(&self) {
        if let Mode::Jwks(jwks) = &self.mode {
            jwks.greet().await;
        }
    }

    /// Who asks for this, as of `now`, when the request had come.
    ///
    /// # Errors
    /// The reason to forward the request instead.
    pub fn caller(&self, read: &Read, fields: &HeaderMap, now: Instant) -> Result<Caller, Reason> {
        if let Mode::Upstream { .. } = self.mode
            && self.differs(read.index)
        {
            return Err(Reason::Differs);
        }
        if let Mode::Open = self.mode {
            return Ok(Caller::Anyone { authorization: token::any(fields)? });
        }
        self.bearer(read, self.token(fields).ok_or(Reason::Token)?, now)
    }

    /// The same, if something is known of who sends this one `Authorization`.
    #[must_use]
    pub fn known(&self, read: &Read, authorization: &[u8], now: Instant) -> Option<Caller> {
        let differs = match self.mode {
            Mode::Upstream { .. } => self.differs(read.index),
            Mode::Jwks(_) => false,
            Mode::Open => return None,
        };
        let token = self.vouches.known(authorization).filter(|_| !differs)?;
        self.bearer(read, token, now).ok()
    }

    fn bearer(&self, read: &Read, token: Arc<Token>, now: Instant) -> Result<Caller, Reason> {
        let ticket = self.ticket(read, &token, now);
        if ticket.is_refused() { Err(Reason::Refused) } else { Ok(Caller::Bearer { token, ticket }) }
    }

    /// What is known by its spelling is a token; anything else is looked at.
    fn token(&self, fields: &HeaderMap) -> Option<Arc<Token>> {
        let known = token::only(fields)?.and_then(|value| self.vouches.known(value.as_bytes()));
        known.or_else(|| Some(self.vouches.token(&token::bearer(fields)?)))
    }

    fn ticket(&self, read: &Read, token: &Token, now: Instant) -> Ticket {
        let (vouch_for, epoch) = match &self.mode {
            Mode::Upstream { vouch_for, .. } => (*vouch_for, 0),
            // A token that is good is so for every key. One check for each route is the price of forgetting by route.
            Mode::Jwks(jwks) => (VouchFor::Route, jwks.epoch()),
            Mode::Open => (VouchFor::Route, 0),
        };
        Vouches::ticket(token, read, vouch_for, epoch, now)
    }

    /// In the mode `jwks` checks a caller's token, if that is not remembered, so that the caller's [`Standing`] is
    /// known after it. In other modes there is nothing to check here.
    ///
    /// # Errors
    /// The reason to forward the request instead.
    pub async fn verify(&self, caller: &Caller) -> Result<(), Reason> {
        let (Mode::Jwks(jwks), Caller::Bearer { token, ticket }) = (&self.mode, caller) else {
            return Ok(());
        };
        if self.vouches.find(ticket).is_none() {
            // Boxed: most requests need no room for it.
            let _step = trace::step(Step::Verify);
            let period = Box::pin(jwks.verify(token.authorization())).await?;
            self.vouches.remember(ticket, None, period);
        }
        Ok(())
    }

    /// The same caller as of now: what was forgotten meanwhile is.
    #[must_use]
    pub fn again(&self, read: &Read, caller: &Caller) -> Caller {
        match caller {
            Caller::Bearer { token, .. } => {
                // Anew: its record may have been forgotten.
                let token = self.vouches.token(token.authorization());
                Caller::Bearer { ticket: self.ticket(read, &token, Instant::now()), token }
            }
            Caller::Anyone { .. } => caller.clone(),
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
        let (Mode::Upstream { vouch_limit, vouch_for }, Caller::Bearer { token, ticket }) =
            (&self.mode, caller)
        else {
            return;
        };
        let expiry = token::expires_in(token.authorization(), self.clock.now_ms());
        // One key's total says nothing of another's.
        let total = total.filter(|_| *vouch_for == VouchFor::Key);
        self.vouches.remember(ticket, total, (*vouch_limit).min(expiry.unwrap_or(Duration::MAX)));
    }

    /// The upstream answered a request for these routes that carried this token: a 401 forgets all
    /// vouches of the token, a 403 those of the routes, and answers to questions sent before vouch for
    /// nothing. In the mode `jwks`, where the token would be found good again at once, it is not for a while.
    pub fn heard(&self, token: &str, routes: &[usize], status: StatusCode) {
        match (&self.mode, status) {
            (Mode::Jwks(jwks), StatusCode::UNAUTHORIZED) => {
                self.vouches.refuse(&token.into(), None, jwks.refused_for());
            }
            (Mode::Jwks(jwks), StatusCode::FORBIDDEN) => {
                let token = token.into();
                routes.iter().for_each(|it| self.vouches.refuse(&token, Some(*it), jwks.refused_for()));
            }
            (_, StatusCode::UNAUTHORIZED) => self.vouches.forget(token),
            (_, StatusCode::FORBIDDEN) => {
                routes.iter().for_each(|route| self.vouches.forget_route(token, *route));
            }
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
            Mode::Upstream { vouch_limit, .. } => vouch_limit,
            Mode::Jwks(_) | Mode::Open => DISPUTE_PERIOD,
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
        classify::{Asked, Class, Classifier},
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
        (Admission::new(&config, Clock::system(), Arc::default(), &Dialler::system()).unwrap(), read)
    }

    fn caller(admission: &Admission, read: &Read, token: &str) -> Caller {
        let value = format!("Bearer {token}").parse().unwrap();
        let fields = [(http::header::AUTHORIZATION, value)].into_iter().collect();
        admission.caller(read, &fields, Instant::now()).unwrap()
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
    async fn a_refusal_counts_for_its_route_and_its_time_and_ends_every_yes_from_before() {
        let vouches = Vouches::new(2);
        let (_, read) = admission();
        let token: Arc<str> = "Bearer a".into();
        let ticket = |route| {
            let asked = Asked { index: route, ..(*read.asked).clone() };
            let read = Read { asked: asked.into(), ..read.clone() };
            Vouches::ticket(&vouches.token(&token), &read, VouchFor::Route, 0, Instant::now())
        };
        let before = ticket(0);
        vouches.refuse(&token, Some(0), LIMIT);
        assert!(ticket(0).is_refused() && !ticket(1).is_refused());
        tokio::time::advance(LIMIT).await;
        assert!(!ticket(0).is_refused());
        vouches.remember(&before, None, 10 * LIMIT);
        assert_eq!(vouches.find(&ticket(0)), None, "begun before the refusal");
        vouches.refuse(&token, None, LIMIT);
        assert!(ticket(0).is_refused() && ticket(1).is_refused());
        let other: Arc<str> = "Bearer b".into();
        assert!(
            !Vouches::ticket(&vouches.token(&other), &read, VouchFor::Route, 0, Instant::now()).is_refused()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_remembered_in_another_epoch_does_not_count() {
        let (admission, read) = admission();
        let token = admission.vouches.token(&"Bearer a".into());
        let ticket = |epoch| Vouches::ticket(&token, &read, VouchFor::Route, epoch, Instant::now());
        admission.vouches.remember(&ticket(0), None, LIMIT);
        assert_eq!(admission.vouches.find(&ticket(0)), Some(None));
        assert_eq!(admission.vouches.find(&ticket(1)), None);
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
