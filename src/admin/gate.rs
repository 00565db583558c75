//! Who may ask what: whoever has the token, where there is one; and no page of a browser that is not this listener's.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};
use subtle::ConstantTimeEq as _;

use super::only;
use crate::config::secret::Secret;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why somebody is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Turned {
    /// There is a token, and it was not said.
    #[error("say the admin token: Authorization: Bearer …")]
    Token,
    /// A browser asks for a page of somebody else's (CSRF).
    #[error("not for pages of other sites")]
    Site,
    /// A browser was told that a name of somebody else's is this address (DNS rebinding).
    #[error("not by this name: without a token, by an IP address or as localhost")]
    Host,
}

/// Lets in, or does not.
pub(super) struct Gate {
    token: Option<Secret<String>>,
}

impl Gate {
    pub(super) fn new(token: Option<Secret<String>>) -> Self {
        Self { token }
    }

    /// Whether a request with these fields, of which one `Host` at most, is answered. What is only health is for everybody:
    /// probes seldom have secrets.
    pub(super) fn check(&self, fields: &HeaderMap, is_health: bool) -> Result<(), Turned> {
        let is_own = |site: &HeaderValue| site == "same-origin" || site == "none";
        if !fields.get_all(SITE).iter().all(is_own) {
            return Err(Turned::Site);
        }
        match &self.token {
            _ if is_health => Ok(()),
            Some(token) if says(fields, token) => Ok(()),
            Some(_) => Err(Turned::Token),
            None if fields.get_all(header::HOST).iter().all(is_nobodys_name) => Ok(()),
            None => Err(Turned::Host),
        }
    }
}

/// Compared in a time that tells nothing of it but its length.
fn says(fields: &HeaderMap, token: &Secret<String>) -> bool {
    let Some((scheme, said)) = only(fields, &header::AUTHORIZATION).and_then(|line| line.split_once(' '))
    else {
        return false;
    };
    let right = token.reveal().as_bytes().ct_eq(said.trim().as_bytes());
    scheme.eq_ignore_ascii_case("bearer") && bool::from(right)
}

/// Whether no other site can have this name.
fn is_nobodys_name(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn checked(token: Option<&str>, lines: &[(&'static str, &str)], is_health: bool) -> Result<(), Turned> {
        let fields: HeaderMap = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Gate::new(token.map(|token| Secret::new(token.to_owned()))).check(&fields, is_health)
    }

    #[test]
    fn without_a_token_whoever_reaches_it_may_ask_but_no_page_of_another_site() {
        for host in ["127.0.0.1:9180", "localhost:9180", "LOCALHOST", "[::1]:9180", "10.1.2.3"] {
            assert_eq!(checked(None, &[("host", host)], false), Ok(()), "{host}");
        }
        assert_eq!(checked(None, &[], false), Ok(()), "HTTP/1.0");
        for host in ["rebound.example:9180", "127.0.0.1.example", "localhost.example", "", "a b"] {
            assert_eq!(checked(None, &[("host", host)], false), Err(Turned::Host), "{host}");
        }
        for (site, outcome) in [
            ("none", Ok(())),
            ("same-origin", Ok(())),
            ("same-site", Err(Turned::Site)),
            ("cross-site", Err(Turned::Site)),
        ] {
            let lines = [("host", "localhost"), ("sec-fetch-site", site)];
            assert_eq!(checked(None, &lines, false), outcome, "{site}");
            assert_eq!(checked(None, &lines, true), outcome, "{site}, health");
        }
    }

    #[test]
    fn with_a_token_only_who_says_it_is_told_more_than_health() {
        let said =
            |line: &str| checked(Some(TOKEN), &[("host", "proxy.example"), ("authorization", line)], false);
        assert_eq!(said(&format!("Bearer {TOKEN}")), Ok(()));
        assert_eq!(said(&format!("bearer  {TOKEN}")), Ok(()));
        for wrong in ["", TOKEN, "Bearer", "Bearer ", "Basic 0123456789abcdef", "Bearer 0123456789abcdeg"] {
            assert_eq!(said(wrong), Err(Turned::Token), "{wrong:?}");
        }
        let mut fields = HeaderMap::new();
        for line in ["Bearer 0123456789abcdef", "Bearer x"] {
            fields.append(header::AUTHORIZATION, line.parse().unwrap());
        }
        let gate = Gate::new(Some(Secret::new(TOKEN.to_owned())));
        assert_eq!(gate.check(&fields, false), Err(Turned::Token), "said twice");
        assert_eq!(checked(Some(TOKEN), &[("host", "proxy.example")], true), Ok(()), "health");
    }
}
