//! Reads a bearer token from a request's fields. Never decides whether it is good.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use crate::classify::Reason;

/// A longer token is nobody's: records of tokens are counted, so each is bounded.
const TOKEN_BYTES: usize = 8 * 1024;

/// The value of the one `Authorization` field, where its scheme is Bearer (RFC 6750 section 2.1), in one
/// spelling of the scheme.
#[must_use]
pub fn bearer(fields: &HeaderMap) -> Option<Arc<str>> {
    bearer_in(only(fields)??)
}

/// [`bearer`] of a field that is the only one.
#[must_use]
pub fn bearer_in(field: &HeaderValue) -> Option<Arc<str>> {
    let value = field.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let bearer = scheme.eq_ignore_ascii_case("bearer") && is_token(token) && token.len() <= TOKEN_BYTES;
    bearer.then(|| if scheme == "Bearer" { value.into() } else { format!("Bearer {token}").into() })
}

/// The value of the one `Authorization` field of any scheme; `None` without one.
///
/// # Errors
/// Where there are two, or one that is not text.
pub fn any(fields: &HeaderMap) -> Result<Option<Arc<str>>, Reason> {
    let value = only(fields).ok_or(Reason::Token)?;
    value.map(HeaderValue::to_str).transpose().map(|value| value.map(Into::into)).map_err(|_| Reason::Token)
}

/// The one `Authorization` field, if any; `None` where there are two.
#[must_use]
pub fn only(fields: &HeaderMap) -> Option<Option<&HeaderValue>> {
    let mut values = fields.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (first, None) => Some(first),
        _ => None,
    }
}

/// `token68` of RFC 9110 section 11.2.
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// How long until the token says that it expires. Unverified: it can only shorten a vouch. `None`
/// where it does not say.
#[must_use]
pub fn expires_in(authorization: &str, now_ms: u64) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = authorization.split_once(' ')?.1.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&BASE64URL.decode(payload).ok()?).ok()?;
    let left = claims.exp - now_ms as f64 / 1000.0;
    Duration::try_from_secs_f64(left.max(0.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn one_bearer_token_is_a_token_and_anything_else_is_none() {
        assert_eq!(bearer(&fields(&["bEARER a.b-c_d=="])).as_deref(), Some("Bearer a.b-c_d=="));
        for odd in [
            &["Basic abc"][..],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer  a"],
            &["Bearer a,b"],
            &["Bearer a", "Bearer a"],
            &[],
        ] {
            assert_eq!(bearer(&fields(odd)), None, "{odd:?}");
        }
    }

    #[test]
    fn an_expiry_is_read_without_verifying_and_nonsense_has_none() {
        // {"exp":100}
        assert_eq!(expires_in("Bearer e30.eyJleHAiOjEwMH0.x", 40_000), Some(Duration::from_secs(60)));
        assert_eq!(expires_in("Bearer e30.eyJleHAiOjEwMH0.x", 140_000), Some(Duration::ZERO));
        for odd in ["Bearer x", "Bearer a.b.c", "Bearer a.!.c", "Bearer e30.e30.x", ""] {
            assert_eq!(expires_in(odd, 0), None, "{odd}");
        }
    }
}
