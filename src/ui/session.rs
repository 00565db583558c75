//! Who is signed in: a session lives in its browser's cookies, sealed, and nowhere else.
//!
//! So no store that is down signs anybody out, and a replica with the same key knows everybody's session. In memory
//! are only the refreshes of the last minute, who has signed out lately, and failed attempts; a restart forgets them. The
//! access token leaves a session as the value of `Authorization` alone: never in a URL, a page or a script.

mod cookie;
mod forgery;
mod refresh;
mod seal;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};

use ring::{
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
    hmac::{self, HMAC_SHA256},
    rand::{SecureRandom as _, SystemRandom},
};

pub use self::forgery::{is_same, is_same_site};
use self::{
    cookie::Attributes,
    forgery::Forms,
    refresh::{Outcome, Refreshes, Tag},
    seal::Sealer,
};
use super::{
    attempts::Attempts,
    identity::{Grant, Identity, IdentityError},
};
use crate::{
    bounded::{self, Bounded},
    clock::Clock,
    config::{Config, SessionKey, secret::Secret},
    deadline::Deadline,
    telemetry::Chain,
    upstream::UpstreamUnusable,
};

/// A token is refreshed when so much of its life is left, or a tenth of it where that is less.
const MARGIN_MS: u64 = 60_000;
/// While a token is still good, a request waits no longer for a newer one.
const PATIENCE: Duration = Duration::from_secs(2);
/// Refreshes that one request follows: a kept result may itself be near its end.
const FOLLOWED: usize = 3;
/// Who has signed out lately, at most so many.
const ENDED: usize = 10_000;
/// Bytes of a user's name and of a password; longer ones are nobody's.
const USER_BYTES: usize = 256;
const PASSWORD_BYTES: usize = 1024;

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    /// `None`: nobody can sign in.
    identity: Option<Identity>,
    sealer: Sealer,
    forms: Forms,
    tags: hmac::Key,
    attributes: Attributes,
    limit_ms: u64,
    refreshes: Refreshes<Session>,
    /// The sessions that were signed out of, by their CSRF tokens: a copy of the cookie is not one any more.
    ended: Bounded<Arc<str>, ()>,
    attempts: Attempts,
    clock: Clock,
}

/// Why there can be no sessions as configured; found at the start.
#[derive(Debug, thiserror::Error)]
pub enum SessionsUnusable {
    /// The identity server.
    #[error("the identity server cannot be used")]
    Identity(#[from] UpstreamUnusable),
    /// The operating system gives no random bytes.
    #[error("no random bytes to seal sessions with")]
    NoRandomness,
}

impl From<Unspecified> for SessionsUnusable {
    fn from(Unspecified: Unspecified) -> Self {
        Self::NoRandomness
    }
}

/// A user who is signed in. Cheap to clone; prints no token.
#[derive(Clone)]
pub struct Session(Arc<Contents>);

struct Contents {
    user: String,
    authorization: HeaderValue,
    refresh_token: Option<Secret<String>>,
    /// When the access token expires, in milliseconds since 1970.
    expires_ms: u64,
    /// How long it is good altogether.
    life_ms: u64,
    /// When the user signed in.
    began_ms: u64,
    csrf: Arc<str>,
}

/// What a request's cookies are worth.
#[derive(Debug)]
pub struct Found {
    /// Who is signed in.
    pub session: Option<Session>,
    /// `Set-Cookie` for the answer, whatever it is.
    pub set_cookies: Vec<HeaderValue>,
    /// Why somebody who was signed in no longer is.
    pub signed_out: Option<SignedOut>,
}

/// Why somebody is signed out who did not ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedOut {
    /// The session has lasted as long as one may, or its token has expired and there is none to refresh it with.
    TooOld,
    /// The identity server no longer knows the session.
    Refused,
    /// The token has expired and the identity server does not answer. The cookies are kept: it may in a moment.
    Away,
}

impl SignedOut {
    /// For the page: what happened and what to do.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::TooOld => "You have been signed in for long: please sign in again.",
            Self::Refused => "The sign-in service has ended your session: please sign in again.",
            Self::Away => {
                "Your session could not be renewed, since the sign-in service does not answer. Try again in a moment."
            }
        }
    }
}

/// Why somebody is not signed in. Its text is for the log, [`SignInError::sentence`] for the page.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The configuration names no client.
    #[error("no client is configured to sign in with")]
    NotConfigured,
    /// Too many attempts have failed; so long to wait.
    #[error("too many failed attempts, the next one in {0:?}")]
    Wait(Duration),
    /// They do not match.
    #[error("a wrong user or password")]
    Wrong,
    /// The identity server gives no answer that says whether they match.
    #[error("no sign-in")]
    Identity(#[source] IdentityError),
    /// The session does not fit into cookies, or could not be sealed.
    #[error("the session does not fit into a browser's cookies")]
    Unfit,
}

impl SignInError {
    /// For the page: what happened and what to do.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NotConfigured => {
                "Nobody can sign in here: catproxy has no client at the sign-in service.".to_owned()
            }
            Self::Wait(_) => match self.wait_seconds() {
                1 => "Too many failed attempts: try again in 1 second.".to_owned(),
                seconds => format!("Too many failed attempts: try again in {seconds} seconds."),
            },
            Self::Wrong => "User and password do not match.".to_owned(),
            Self::Identity(error) if error.may_pass() => {
                "The sign-in service does not answer: try again in a moment.".to_owned()
            }
            Self::Identity(_) | Self::Unfit => {
                "Nobody can sign in at the moment: the log of catproxy says why.".to_owned()
            }
        }
    }

    /// Whole seconds to wait before the next attempt, for `Retry-After`; 0 where there is nothing to wait for.
    #[must_use]
    pub fn wait_seconds(&self) -> u64 {
        match self {
            Self::Wait(wait) => wait.as_secs() + u64::from(wait.subsec_nanos() > 0),
            _ => 0,
        }
    }
}

impl Sessions {
    /// As configured; with a frontend that is switched off nobody can sign in. Connects to nothing yet.
    ///
    /// # Errors
    /// Where TLS to the identity server cannot work as configured, or there are no random bytes.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, SessionsUnusable> {
        let ui = config.ui.as_ref();
        let client = ui.and_then(|ui| Some((ui, ui.client.clone()?)));
        let key = match ui.map(|ui| &ui.key) {
            Some(SessionKey::Given(key)) => key.clone(),
            Some(SessionKey::Random) | None => random_key()?,
        };
        let master = Salt::new(HKDF_SHA256, b"catproxy ui").extract(key.reveal());
        Ok(Self(Arc::new(Inner {
            identity: client.map(|(ui, client)| Identity::new(ui, client)).transpose()?,
            sealer: Sealer::new(&master, "catproxy_session")?,
            forms: Forms::new(&master)?,
            tags: hmac::Key::from(master.expand(&[b"tag"], HMAC_SHA256)?),
            attributes: Attributes { secure: ui.is_some_and(|ui| ui.secure_cookie) },
            limit_ms: ui.map_or(0, |ui| milliseconds(ui.session_limit)),
            refreshes: Refreshes::default(),
            ended: bounded::by_count(ENDED),
            attempts: Attempts::default(),
            clock,
        })))
    }

    /// Whether anybody can sign in.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.0.identity.is_some()
    }

    /// Whose request this is, by its cookies. A token near its end is refreshed first: the wait for that is 2 s at most
    /// while the token is still good, and the identity timeout otherwise. Cookies that are not ours are nobody's.
    pub async fn of(&self, fields: &HeaderMap) -> Found {
        let Some(mut session) = self.read(fields).filter(|_| self.is_configured()) else {
            return Found::nobody();
        };
        let mut is_newer = false;
        for _ in 0..FOLLOWED {
            let now = self.0.clock.now_ms();
            if session.is_fresh(now) || session.is_over(now, self.0.limit_ms) {
                break;
            }
            match self.refreshed(&session, now).await {
                Some(Outcome::Newer(newer)) => (session, is_newer) = (newer, true),
                Some(Outcome::Refused) => return self.signed_out(fields, SignedOut::Refused),
                Some(Outcome::Away) => break,
                // Not in time. If the token has expired meanwhile, the next wait is to the end.
                None if session.is_good(self.0.clock.now_ms()) => break,
                None => {}
            }
        }
        self.judged(session, is_newer, fields)
    }

    /// What a session is worth after all that could be done for it.
    fn judged(&self, session: Session, is_newer: bool, fields: &HeaderMap) -> Found {
        let now = self.0.clock.now_ms();
        if self.has_ended(&session) {
            // Signed out in another tab while this one waited.
            return Found::nobody();
        }
        if session.is_over(now, self.0.limit_ms) {
            return self.signed_out(fields, SignedOut::TooOld);
        }
        let newer = if is_newer { self.cookies(&session, Some(fields)) } else { Some(Vec::new()) };
        let set_cookies = newer.unwrap_or_default();
        if session.is_good(now) {
            Found { session: Some(session), set_cookies, signed_out: None }
        } else {
            Found { session: None, set_cookies, signed_out: Some(SignedOut::Away) }
        }
    }

    /// Signs a user in. Ends no other session. An attempt that is not let through costs nothing and asks nobody.
    ///
    /// # Errors
    /// Why not; what is not the user's fault has been logged.
    pub async fn sign_in(
        &self,
        user: &str,
        password: &str,
        from: IpAddr,
    ) -> Result<(Session, Vec<HeaderValue>), SignInError> {
        let identity = self.0.identity.as_ref().ok_or(SignInError::NotConfigured)?;
        let user = user.trim();
        let has_good_length = |text: &str, most| (1..=most).contains(&text.len());
        if !has_good_length(user, USER_BYTES) || !has_good_length(password, PASSWORD_BYTES) {
            return Err(SignInError::Wrong);
        }
        let attempt = self.0.attempts.begin(from, user).map_err(SignInError::Wait)?;
        let asked_ms = self.0.clock.now_ms();
        let grant = match identity.by_password(user, password).await {
            Ok(grant) => grant,
            Err(IdentityError::Refused) => return Err(SignInError::Wrong),
            Err(error) => {
                attempt.undecided();
                tracing::warn!("nobody can sign in: {}", Chain(&error));
                return Err(SignInError::Identity(error));
            }
        };
        attempt.succeeded();
        let session = Session::begun(user, grant, asked_ms);
        let cookies = session.as_ref().and_then(|session| self.cookies(session, None));
        session.zip(cookies).ok_or_else(|| {
            tracing::warn!("nobody can sign in: {}", SignInError::Unfit);
            SignInError::Unfit
        })
    }

    /// Ends the session of this request, if there is one: the cookies to send, the cookie in any other hands is not a
    /// session any more (in this process), and no result of a refresh is handed out.
    #[must_use]
    pub fn sign_out(&self, fields: &HeaderMap) -> Vec<HeaderValue> {
        if let Some(session) = self.read(fields) {
            self.0.ended.insert(Arc::clone(&session.0.csrf), ());
            self.0.refreshes.forget(&self.tag(&session));
        }
        self.0.attributes.remove(fields)
    }

    /// What a form that comes before a session, such as that for signing in, holds in a hidden field, and the cookie
    /// that belongs to it where the browser has none.
    #[must_use]
    pub fn form_token(&self, fields: &HeaderMap) -> (String, Option<HeaderValue>) {
        self.0.forms.code(fields, self.0.attributes)
    }

    /// Whether the post of such a form holds what the form did.
    #[must_use]
    pub fn form_token_is_good(&self, fields: &HeaderMap, given: &str) -> bool {
        self.0.forms.is_good(fields, given)
    }

    /// The session in the cookies, whatever its age.
    fn read(&self, fields: &HeaderMap) -> Option<Session> {
        let session = Session::from_bytes(&self.0.sealer.open(&cookie::text(fields)?)?)?;
        (!self.has_ended(&session)).then_some(session)
    }

    fn has_ended(&self, session: &Session) -> bool {
        self.0.ended.get(&session.0.csrf).is_some()
    }

    fn cookies(&self, session: &Session, there: Option<&HeaderMap>) -> Option<Vec<HeaderValue>> {
        let text = self.0.sealer.seal(&session.to_bytes()?).ok()?;
        let over_ms = session.0.began_ms.saturating_add(self.0.limit_ms);
        let left = Duration::from_millis(over_ms.saturating_sub(self.0.clock.now_ms()));
        self.0.attributes.set(&text, left, there)
    }

    fn signed_out(&self, fields: &HeaderMap, why: SignedOut) -> Found {
        Found { session: None, set_cookies: self.0.attributes.remove(fields), signed_out: Some(why) }
    }

    /// How its refresh ends, another one's if there is one; `None`: not in time.
    async fn refreshed(&self, session: &Session, now: u64) -> Option<Outcome<Session>> {
        let refresh = self.0.refreshes.join(self.tag(session), || {
            let (sessions, session) = (self.clone(), session.clone());
            async move { sessions.refresh(&session).await }
        });
        if session.is_good(now) {
            Deadline::after(PATIENCE).within(refresh.outcome()).await.ok()
        } else {
            Some(refresh.outcome().await)
        }
    }

    async fn refresh(&self, session: &Session) -> Outcome<Session> {
        let (Some(identity), Some(token)) = (&self.0.identity, &session.0.refresh_token) else {
            return Outcome::Refused;
        };
        let asked_ms = self.0.clock.now_ms();
        match identity.by_refresh_token(token).await {
            Ok(grant) => session.refreshed(grant, asked_ms).map_or(Outcome::Away, Outcome::Newer),
            Err(IdentityError::Refused) => Outcome::Refused,
            Err(error) => {
                tracing::warn!("a session is not renewed: {}", Chain(&error));
                Outcome::Away
            }
        }
    }

    /// Both tokens: where the refresh token stays the same, each access token still has a refresh of its own.
    fn tag(&self, session: &Session) -> Tag {
        let mut hash = hmac::Context::with_key(&self.0.tags);
        hash.update(session.0.authorization.as_bytes());
        hash.update(b"\n");
        hash.update(session.0.refresh_token.as_ref().map_or("", |token| token.reveal()).as_bytes());
        let mut tag = Tag::default();
        for (to, from) in tag.iter_mut().zip(hash.sign().as_ref()) {
            *to = *from;
        }
        tag
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Sessions").field("is_configured", &self.is_configured()).finish_non_exhaustive()
    }
}

impl Found {
    fn nobody() -> Self {
        Self { session: None, set_cookies: Vec::new(), signed_out: None }
    }
}

/// What is sealed: user, access token, refresh token, `expires_ms`, `life_ms`, `began_ms`, CSRF token.
type Sealed<'s> = (&'s str, &'s str, Option<&'s str>, u64, u64, u64, &'s str);
type Opened = (String, String, Option<String>, u64, u64, u64, String);

impl Session {
    /// The user's name, as it was given when signing in: for display, and foreign text.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// What `Authorization` says in a request to the API.
    #[must_use]
    pub fn authorization(&self) -> &HeaderValue {
        &self.0.authorization
    }

    /// What every form of this session holds in a hidden field, to be compared by [`is_same`]. It stays the same until
    /// the session ends.
    #[must_use]
    pub fn csrf(&self) -> &str {
        &self.0.csrf
    }

    fn begun(user: &str, grant: Grant, asked_ms: u64) -> Option<Self> {
        let csrf = forgery::random_text().ok()?.into();
        Self::of_grant(user.to_owned(), grant, asked_ms, asked_ms, csrf)
    }

    /// The same session with newer tokens. A refresh token that was not replaced is still good.
    fn refreshed(&self, grant: Grant, asked_ms: u64) -> Option<Self> {
        let refresh_token = grant.refresh_token.or_else(|| self.0.refresh_token.clone());
        let grant = Grant { refresh_token, ..grant };
        Self::of_grant(self.0.user.clone(), grant, asked_ms, self.0.began_ms, Arc::clone(&self.0.csrf))
    }

    fn of_grant(user: String, grant: Grant, asked_ms: u64, began_ms: u64, csrf: Arc<str>) -> Option<Self> {
        let life_ms = milliseconds(grant.expires_in);
        Some(Self(Arc::new(Contents {
            user,
            authorization: bearer(grant.access_token.reveal())?,
            refresh_token: grant.refresh_token,
            expires_ms: asked_ms.saturating_add(life_ms),
            life_ms,
            began_ms,
            csrf,
        })))
    }

    fn to_bytes(&self) -> Option<Vec<u8>> {
        let Contents { user, authorization, refresh_token, expires_ms, life_ms, began_ms, csrf } = &*self.0;
        let token = authorization.to_str().ok()?.strip_prefix("Bearer ")?;
        let refresh_token = refresh_token.as_ref().map(|token| token.reveal().as_str());
        let sealed: Sealed<'_> = (user, token, refresh_token, *expires_ms, *life_ms, *began_ms, csrf);
        serde_json::to_vec(&sealed).ok()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (user, token, refresh_token, expires_ms, life_ms, began_ms, csrf): Opened =
            serde_json::from_slice(bytes).ok()?;
        Some(Self(Arc::new(Contents {
            user,
            authorization: bearer(&token)?,
            refresh_token: refresh_token.map(Secret::new),
            expires_ms,
            life_ms,
            began_ms,
            csrf: csrf.into(),
        })))
    }

    /// The API takes its token.
    fn is_good(&self, now_ms: u64) -> bool {
        now_ms < self.0.expires_ms
    }

    /// Nothing is to be done about it: its token is good for a while, or as long as it is.
    fn is_fresh(&self, now_ms: u64) -> bool {
        let margin = MARGIN_MS.min(self.0.life_ms / 10);
        let margin = if self.0.refresh_token.is_some() { margin } else { 0 };
        now_ms.saturating_add(margin) < self.0.expires_ms
    }

    /// Its user has to sign in again.
    fn is_over(&self, now_ms: u64, limit_ms: u64) -> bool {
        let cannot_go_on = self.0.refresh_token.is_none() && !self.is_good(now_ms);
        cannot_go_on || now_ms >= self.0.began_ms.saturating_add(limit_ms)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Session").field("user", &self.0.user).finish_non_exhaustive()
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn random_key() -> Result<Secret<[u8; 32]>, Unspecified> {
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key)?;
    Ok(Secret::new(key))
}
