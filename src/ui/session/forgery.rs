//! Whether a post was meant by who is said to send it.
//!
//! Within a session, a form holds the session's own token. Before there is one, a form holds a code that only this
//! program can make of a random text in a cookie. Both beside what the browser says of where the request comes from.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use http::{HeaderMap, HeaderValue, header};
use ring::{
    error::Unspecified,
    hkdf::Prk,
    hmac::{self, HMAC_SHA256},
    rand::{SecureRandom as _, SystemRandom},
};
use subtle::ConstantTimeEq as _;

use super::cookie::{self, Attributes};

const FORM_COOKIE: &str = "catproxy_form";
/// Bytes of a random text, and characters of it.
const RANDOM_BYTES: usize = 16;
const RANDOM_CHARACTERS: usize = 22;

/// Whether two texts are the same, in a time that tells nothing but their lengths. Nothing is the same as an empty
/// text.
#[must_use]
pub fn is_same(a: &str, b: &str) -> bool {
    !a.is_empty() && bool::from(a.as_bytes().ct_eq(b.as_bytes()))
}

/// Whether a post comes from a page of this very host, as far as the browser says: by `Sec-Fetch-Site`, or else by
/// `Origin` and `Host`. Browsers send the first over HTTPS and to the own machine only, and the second with
/// every post. Who sends neither is no browser, and has nobody's cookies but his own.
#[must_use]
pub fn is_same_site(fields: &HeaderMap) -> bool {
    if let Some(site) = fields.get("sec-fetch-site") {
        // "none": by the person alone, such as by sending a form again after a restart of the browser.
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = fields.get(header::ORIGIN) else { return true };
    let host = fields.get(header::HOST).and_then(|host| host.to_str().ok());
    let from = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((from, host), (Some((_, from)), Some(host)) if from.eq_ignore_ascii_case(host))
}

/// A text that nobody guesses.
pub(super) fn random_text() -> Result<String, Unspecified> {
    let mut bytes = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(BASE64URL.encode(bytes))
}

/// The codes of forms that come before a session.
pub(super) struct Forms(hmac::Key);

impl Forms {
    pub(super) fn new(master: &Prk) -> Result<Self, Unspecified> {
        Ok(Self(hmac::Key::from(master.expand(&[b"form"], HMAC_SHA256)?)))
    }

    /// The code for a form, and the cookie that belongs to it where the browser has none.
    pub(super) fn code(&self, fields: &HeaderMap, attributes: Attributes) -> (String, Option<HeaderValue>) {
        if let Some(text) = text(fields) {
            return (self.code_of(text), None);
        }
        // Without randomness there is no code, and no post that is good.
        let Ok(text) = random_text() else { return (String::new(), None) };
        (self.code_of(&text), attributes.strict(FORM_COOKIE, &text))
    }

    pub(super) fn is_good(&self, fields: &HeaderMap, given: &str) -> bool {
        text(fields).is_some_and(|text| is_same(&self.code_of(text), given))
    }

    fn code_of(&self, text: &str) -> String {
        BASE64URL.encode(hmac::sign(&self.0, text.as_bytes()))
    }
}

fn text(fields: &HeaderMap) -> Option<&str> {
    let is_ours = |symbol: u8| symbol.is_ascii_alphanumeric() || b"-_".contains(&symbol);
    cookie::value(fields, FORM_COOKIE)
        .filter(|text| text.len() == RANDOM_CHARACTERS && text.bytes().all(is_ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_browser_says_where_a_post_comes_from() {
        let host = ("host", "ui.example:8080");
        for (pairs, same) in [
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("sec-fetch-site", "same-site"), ("origin", "http://ui.example:8080"), host], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("origin", "http://ui.example:8080"), host], true),
            (vec![("origin", "https://UI.example:8080"), host], true),
            (vec![("origin", "http://ui.example"), host], false),
            (vec![("origin", "http://evil.example"), host], false),
            (vec![("origin", "null"), host], false),
            (vec![("origin", "")], false),
            (vec![("origin", "http://ui.example:8080")], false),
            (vec![host], true),
        ] {
            assert_eq!(is_same_site(&fields(&pairs)), same, "{pairs:?}");
        }
    }

    #[test]
    fn same_is_same_and_nothing_is_not() {
        assert!(is_same("abc", "abc"));
        for (a, b) in [("abc", "abd"), ("abc", "ab"), ("abc", ""), ("", "")] {
            assert!(!is_same(a, b), "{a} {b}");
        }
    }
}
