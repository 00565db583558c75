//! What is demanded of a token, but for its signature. Decides without looking anything up.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde_json::{Map, Value};

use crate::config::jwks::{Algorithm, Jwks as Config};

/// Claims that hold several words with spaces between them (RFC 8693 section 4.2, and the short form of it).
const WORDS: [&str; 2] = ["scope", "scp"];

/// Why a token is not good here. Its text is for the log: nothing of the token is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is none, or what it says is not of the type that it should be.
    Form,
    /// Its header demands what nobody here understands.
    Critical,
    /// It is signed in a way that is not configured.
    Algorithm,
    /// Somebody else issued it.
    Issuer,
    /// It is meant for somebody else.
    Audience,
    /// It has expired, or does not say when it does.
    Expired,
    /// It is not good yet.
    Early,
    /// A required claim is missing or says something else.
    Claim,
    /// No published key is the one that it names.
    Key,
    /// Its signature is not that key's.
    Signature,
}

impl Flaw {
    /// Whether the configuration may be the cause, rather than the client.
    pub(super) fn may_be_ours(self) -> bool {
        matches!(self, Self::Algorithm | Self::Issuer | Self::Audience | Self::Claim)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Form => "not a JSON Web Token",
            Self::Critical => "a critical header",
            Self::Algorithm => "signed by an algorithm that `admission.algorithms` does not name",
            Self::Issuer => "from another issuer than `admission.issuer`",
            Self::Audience => "not for `admission.audience`",
            Self::Expired => "expired",
            Self::Early => "not good yet",
            Self::Claim => "without what `admission.required-claims` demands",
            Self::Key => "signed by a key that is not published",
            Self::Signature => "a wrong signature",
        })
    }
}

/// A token that says what it should, and may be forged.
pub(super) struct Unproven<'t> {
    /// One of the configured ones.
    pub(super) algorithm: Algorithm,
    /// The name of the key that is said to have signed it.
    pub(super) key_id: Option<String>,
    /// What is signed.
    pub(super) signed: &'t str,
    /// By this.
    pub(super) signature: Vec<u8>,
    /// How long it is good from now, leeway included.
    pub(super) lasts: Duration,
}

impl<'t> Unproven<'t> {
    /// Reads a token in the compact form of RFC 7515 at this time and demands of it what is configured.
    pub(super) fn read(token: &'t str, config: &Config, now_ms: u64) -> Result<Self, Flaw> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Flaw::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(Flaw::Form)?;
        let (header, claims) = (object(header)?, object(claims)?);
        if header.contains_key("crit") {
            return Err(Flaw::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
        let algorithm = algorithm.filter(|it| config.algorithms.contains(it)).ok_or(Flaw::Algorithm)?;
        let lasts = lasts(&claims, config.leeway, now_ms)?;
        demand(&claims, config)?;
        Ok(Self {
            algorithm,
            key_id: text(&header, "kid")?.map(str::to_owned),
            signed,
            signature: BASE64URL.decode(signature).map_err(|_| Flaw::Form)?,
            lasts,
        })
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Flaw> {
    let json = BASE64URL.decode(part).map_err(|_| Flaw::Form)?;
    serde_json::from_slice(&json).map_err(|_| Flaw::Form)
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Flaw> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Flaw::Form),
    }
}

/// A time in seconds of the Unix epoch. One of another type is no missing one: it would not be demanded.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Flaw> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(seconds)) => seconds.as_f64().map(Some).ok_or(Flaw::Form),
        Some(_) => Err(Flaw::Form),
    }
}

/// How long the token is good from now, which it is.
fn lasts(claims: &Map<String, Value>, leeway: Duration, now_ms: u64) -> Result<Duration, Flaw> {
    let (now, leeway) = (now_ms as f64 / 1000.0, leeway.as_secs_f64());
    let left = time(claims, "exp")?.ok_or(Flaw::Expired)? + leeway - now;
    if left <= 0.0 {
        return Err(Flaw::Expired);
    }
    if time(claims, "nbf")?.is_some_and(|begin| begin - leeway > now) {
        return Err(Flaw::Early);
    }
    // A time beyond what can be counted is far away.
    Ok(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX))
}

fn demand(claims: &Map<String, Value>, config: &Config) -> Result<(), Flaw> {
    if text(claims, "iss")? != Some(&config.issuer) {
        return Err(Flaw::Issuer);
    }
    let says = |claim: &str, wanted: &str| match claims.get(claim) {
        Some(Value::String(text)) => {
            text == wanted || (WORDS.contains(&claim) && text.split(' ').any(|word| word == wanted))
        }
        Some(Value::Array(values)) => values.iter().any(|value| value == wanted),
        _ => false,
    };
    if !config.audience.iter().any(|audience| says("aud", audience)) {
        return Err(Flaw::Audience);
    }
    let all = config.required_claims.iter().all(|(claim, wanted)| says(claim, wanted));
    if all { Ok(()) } else { Err(Flaw::Claim) }
}
