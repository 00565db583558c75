//! The identity server: who may have a token, and which tokens are good.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use ring::error::Unspecified;
use serde_json::{Value, json};

use crate::jwt::{Claims, Signer};
use crate::locks::lock;
use crate::options::{Access, User};
use crate::problem::Problem;
use crate::query::Query;

/// `aud` of the tokens.
const AUDIENCE: &str = "catalog-api";
/// How many checked tokens are remembered, so that a benchmark does not measure RSA.
const REMEMBERED: usize = 10_000;

/// A caller whose token is good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Counts the users from 1; 0 is a token for somebody unknown.
    pub(crate) number: i32,
    pub(crate) access: Access,
    expires: i64,
}

/// Users, tokens and what was revoked.
pub(crate) struct Identity {
    issuer: String,
    users: Vec<User>,
    lifetime: Duration,
    pub(crate) signer: Signer,
    checked: Mutex<HashMap<String, Caller>>,
    revoked: Mutex<HashSet<String>>,
    /// Refresh tokens that were not used yet, and whose they are.
    refresh: Mutex<HashMap<String, String>>,
}

impl Identity {
    pub(crate) fn new(issuer: String, users: Vec<User>, lifetime: Duration) -> Result<Self, Unspecified> {
        Ok(Self {
            issuer,
            users,
            lifetime,
            signer: Signer::new()?,
            checked: Mutex::default(),
            revoked: Mutex::default(),
            refresh: Mutex::default(),
        })
    }

    /// A token for `user`, whether or not there is such a user, good for so many seconds from now. Less than one gives
    /// an expired one.
    pub(crate) fn mint(&self, user: &str, seconds: i64) -> Result<String, Unspecified> {
        self.signer.sign(&self.signer.header(), &self.claims(user, seconds)?)
    }

    /// What such a token says.
    pub(crate) fn claims(&self, user: &str, seconds: i64) -> Result<Claims, Unspecified> {
        let now = Timestamp::now().as_second();
        let issued = now.min(now.saturating_add(seconds).saturating_sub(1));
        Ok(Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: user.to_owned(),
            client_id: "fake-abconnect".to_owned(),
            nbf: issued,
            iat: issued,
            exp: now.saturating_add(seconds),
            jti: self.signer.random_text(16)?,
            scope: vec!["catalog".to_owned(), "offline_access".to_owned()],
        })
    }

    /// From now on another key signs.
    pub(crate) fn rotate_keys(&self) -> Result<(), Unspecified> {
        self.signer.rotate()
    }

    /// The keys before the newest one are no more.
    pub(crate) fn retire_keys(&self) {
        self.signer.retire();
        lock(&self.checked).clear();
    }

    /// A token as the token endpoint would give it.
    pub(crate) fn mint_usual(&self, user: &str) -> Result<String, Unspecified> {
        self.mint(user, i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX))
    }

    /// From now on the token is not good.
    pub(crate) fn revoke(&self, token: &str) {
        lock(&self.revoked).insert(token.to_owned());
    }

    /// Who calls, by the `Authorization` of the request.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let only = values.next().filter(|_| values.next().is_none());
        let token = only.and_then(|value| bearer(value.to_str().ok()?));
        token.and_then(|token| self.check(token)).ok_or_else(|| Problem::bare(StatusCode::UNAUTHORIZED))
    }

    fn check(&self, token: &str) -> Option<Caller> {
        if lock(&self.revoked).contains(token) {
            return None;
        }
        let known = lock(&self.checked).get(token).copied();
        let caller = match known {
            Some(caller) => caller,
            None => self.examine(token)?,
        };
        (Timestamp::now().as_second() < caller.expires).then_some(caller)
    }

    fn examine(&self, token: &str) -> Option<Caller> {
        let claims = self.signer.open(token)?;
        let in_time = claims.nbf <= Timestamp::now().as_second();
        if claims.iss != self.issuer || claims.aud != AUDIENCE || !in_time {
            return None;
        }
        let caller = self.caller_named(&claims);
        let mut checked = lock(&self.checked);
        if checked.len() >= REMEMBERED {
            checked.clear();
        }
        checked.insert(token.to_owned(), caller);
        Some(caller)
    }

    fn caller_named(&self, claims: &Claims) -> Caller {
        let found = (1..).zip(&self.users).find(|(_, user)| user.name == claims.sub);
        let (number, access) = found.map_or((0, Access::Nothing), |(number, user)| (number, user.access));
        Caller { number, access, expires: claims.exp }
    }

    /// Answers `POST /connect/token`: the status and the JSON.
    pub(crate) fn token_endpoint(&self, form: &[u8]) -> (StatusCode, Value) {
        let form = Query::parse(std::str::from_utf8(form).ok());
        if form.text("client_id").is_none() {
            return refusal("invalid_client");
        }
        let user = match form.text("grant_type") {
            Some("password") => self.by_password(&form),
            Some("refresh_token") => self.by_refresh_token(&form),
            _ => return refusal("unsupported_grant_type"),
        };
        let Some(user) = user else { return refusal("invalid_grant") };
        match self.grant(user) {
            Ok(grant) => (StatusCode::OK, grant),
            Err(Unspecified) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": "server_error" })),
        }
    }

    fn by_password(&self, form: &Query) -> Option<String> {
        let (name, password) = (form.text("username")?, form.text("password")?);
        let user = self.users.iter().find(|user| user.name == name && user.password == password)?;
        Some(user.name.clone())
    }

    fn by_refresh_token(&self, form: &Query) -> Option<String> {
        lock(&self.refresh).remove(form.text("refresh_token")?)
    }

    fn grant(&self, user: String) -> Result<Value, Unspecified> {
        let access_token = self.mint_usual(&user)?;
        let refresh_token = self.signer.random_text(32)?;
        lock(&self.refresh).insert(refresh_token.clone(), user);
        Ok(json!({
            "access_token": access_token,
            "expires_in": self.lifetime.as_secs(),
            "token_type": "Bearer",
            "refresh_token": refresh_token,
            "scope": "catalog offline_access",
        }))
    }

    /// The discovery document.
    pub(crate) fn discovery(&self) -> Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/openid-configuration/jwks"),
            "token_endpoint": format!("{issuer}/connect/token"),
            "grant_types_supported": ["password", "refresh_token"],
            "scopes_supported": ["catalog", "offline_access"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        })
    }

    /// The key set that the discovery document names.
    pub(crate) fn key_set(&self) -> Value {
        self.signer.key_set()
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

fn refusal(error: &str) -> (StatusCode, Value) {
    (StatusCode::BAD_REQUEST, json!({ "error": error }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new("http://fake".to_owned(), User::defaults(), Duration::from_secs(60)).unwrap()
    }

    fn asks(identity: &Identity, token: &str) -> Option<Access> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        identity.caller(&headers).ok().map(|caller| caller.access)
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_revoked() {
        let identity = identity();
        let token = identity.mint("demo", 60).unwrap();
        assert_eq!(asks(&identity, &token), Some(Access::Full));
        identity.revoke(&token);
        assert_eq!(asks(&identity, &token), None);
        assert_eq!(asks(&identity, &identity.mint("demo", 0).unwrap()), None);
        assert_eq!(asks(&identity, &identity.mint("nobody", 60).unwrap()), Some(Access::Nothing));
    }

    #[test]
    fn a_changed_or_foreign_token_is_refused() {
        let identity = identity();
        let token = identity.mint("demo", 60).unwrap();
        let (head, signature) = token.rsplit_once('.').unwrap();
        let other = identity.mint("second", 60).unwrap();
        let (_, claims_of_other) = other.rsplit_once('.').unwrap().0.split_once('.').unwrap();
        let forged = format!("{}.{claims_of_other}.{signature}", head.split_once('.').unwrap().0);
        for bad in [forged.as_str(), head, "", "a.b.c"] {
            assert_eq!(asks(&identity, bad), None, "{bad}");
        }
        let elsewhere = Identity::new("http://other".to_owned(), vec![], Duration::from_secs(60)).unwrap();
        assert_eq!(asks(&identity, &elsewhere.mint("demo", 60).unwrap()), None);
    }

    #[test]
    fn grants_give_tokens_and_refresh_tokens_work_once() {
        let identity = identity();
        let form = "grant_type=password&username=demo&password=demo&client_id=c&client_secret=s";
        let (status, grant) = identity.token_endpoint(form.as_bytes());
        assert_eq!((status, grant["token_type"].as_str()), (StatusCode::OK, Some("Bearer")));
        let form = format!(
            "grant_type=refresh_token&client_id=c&refresh_token={}",
            grant["refresh_token"].as_str().unwrap()
        );
        assert_eq!(identity.token_endpoint(form.as_bytes()).0, StatusCode::OK);
        let (status, again) = identity.token_endpoint(form.as_bytes());
        assert_eq!((status, again), (StatusCode::BAD_REQUEST, json!({ "error": "invalid_grant" })));
    }
}
