//! Admission by published keys.

use std::{sync::Arc, time::Duration};

use http::uri::Authority;

use super::{authority, limits, split_url};
use crate::config::{
    Admission, Upstream,
    jwks::{Algorithm, Jwks, KeysAt},
    raw::RawJwks,
    report::{At, Fault, Place, Problems, Text},
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How long an unused connection to the identity server is kept: only from one request of a fetch to the next.
const IDLE: Duration = Duration::from_secs(5);

/// The settings of the mode `jwks`; `section` is where `[admission]` stands. `None` where something that it needs is
/// missing or not understood, which is a problem.
pub(super) fn admission(
    raw: RawJwks,
    section: Option<&Place>,
    refused_for: Duration,
    problems: &mut Problems,
) -> Option<Admission> {
    let place = keys_at(raw.issuer.as_ref(), raw.keys_url.as_ref(), section, problems);
    let ca_file = raw.ca_file.as_ref().and_then(|file| super::ca_file(file, problems));
    let keys_timeout = limits::duration(raw.keys_timeout.as_ref(), 3 * SECOND, 10 * MS..=MINUTE, problems);
    let keys_limit =
        limits::duration(raw.keys_limit.as_ref(), 10 * MINUTE, 10 * SECOND..=12 * HOUR, problems);
    let leeway = limits::duration(raw.leeway.as_ref(), 30 * SECOND, Duration::ZERO..=5 * MINUTE, problems);
    let algorithms = algorithms(raw.algorithms, problems);
    let audience = audience(raw.audience, section, problems);
    let required_claims = raw.required_claims.map_or_else(Vec::new, |claims| claims.value);
    let required_claims = required_claims.into_iter().filter_map(|claim| required(claim, problems)).collect();
    let (issuer, Address { tls, authority, target }) = (raw.issuer?, place?);
    let keys = if raw.keys_url.is_some() { KeysAt::Keys(target) } else { KeysAt::Discovery(target) };
    let identity = Upstream {
        tls,
        authority,
        ca_file,
        // A request now and then gains nothing by it.
        http2: false,
        connect_timeout: keys_timeout,
        head_timeout: keys_timeout,
        body_timeout: keys_timeout,
        idle_timeout: IDLE,
        idle_connections: 1,
        connections: 16,
    };
    Some(Admission::Jwks(Arc::new(Jwks {
        issuer: issuer.value,
        identity,
        keys,
        audience: audience?,
        algorithms,
        leeway,
        required_claims,
        keys_limit,
        keys_timeout,
        refused_for,
    })))
}

/// A host and what is asked of it.
struct Address {
    tls: bool,
    authority: Authority,
    target: String,
}

fn keys_at(
    issuer: Option<&Text>,
    keys_url: Option<&Text>,
    section: Option<&Place>,
    problems: &mut Problems,
) -> Option<Address> {
    if issuer.is_none() {
        let help = "add `issuer = \"https://…\"`, as the tokens' `iss` says it";
        problems.missing("admission.issuer", section, help);
    }
    let (text, address) = match (issuer, keys_url) {
        (issuer, Some(url)) => {
            // Nobody is asked there, so it may be any text.
            let _ = issuer.and_then(|issuer| problems.parse(issuer, "an issuer", words));
            (url, problems.parse(url, "a URL such as \"https://login.example/keys\"", keys)?)
        }
        (Some(issuer), None) => {
            (issuer, problems.parse(issuer, "a URL such as \"https://login.example\"", discovery)?)
        }
        (None, None) => return None,
    };
    if !address.tls && !is_loopback(address.authority.host()) {
        let message =
            format!("{} is no https: whoever is on the way can make tokens that are good here", text.key);
        problems.warn(Some(&text.place), message);
    }
    Some(address)
}

fn discovery(issuer: &str) -> Result<Address, Fault> {
    let mut address = address(issuer)?;
    if let Some(at) = issuer.find('?') {
        return Err(Fault::at(at, "an issuer has no query"));
    }
    let base = address.target.trim_end_matches('/').len();
    address.target.truncate(base);
    address.target.push_str("/.well-known/openid-configuration");
    Ok(address)
}

fn keys(url: &str) -> Result<Address, Fault> {
    let address = address(url)?;
    if address.target.is_empty() {
        return Err(Fault::whole("a path follows the host"));
    }
    Ok(address)
}

fn address(url: &str) -> Result<Address, Fault> {
    let (tls, start, host, target) = split_url(url)?;
    let at = start + host.len();
    if target.starts_with('?') {
        return Err(Fault::at(at, "a path comes before a query"));
    }
    if let Some(fragment) = target.find('#') {
        return Err(Fault::at(at + fragment, "no fragment: it is sent to nobody"));
    }
    if !target.is_empty() && target.parse::<http::uri::PathAndQuery>().is_err() {
        return Err(Fault::at(at, "this is not a path"));
    }
    Ok(Address { tls, authority: authority(host, start)?, target: target.to_owned() })
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A line with something in it: it is shown to operators.
fn words(text: &str) -> Result<(), Fault> {
    match text.find(char::is_control) {
        Some(at) => Err(Fault::at(at, "a control character")),
        None if text.is_empty() => Err(Fault::whole("this is empty")),
        None => Ok(()),
    }
}

fn audience(
    texts: Option<At<Vec<Text>>>,
    section: Option<&Place>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let Some(texts) = texts else {
        let help = "add `audience = \"…\"`, as the tokens' `aud` says it";
        problems.missing("admission.audience", section, help);
        return None;
    };
    let read = |text: Text| problems.parse(&text, "an audience", words).map(|()| text.value);
    texts.value.into_iter().map(read).collect()
}

fn algorithms(texts: Option<At<Vec<Text>>>, problems: &mut Problems) -> Vec<Algorithm> {
    let Some(texts) = texts else {
        return vec![Algorithm::Rs256];
    };
    let mut read = |text| problems.parse(text, "an algorithm", algorithm);
    texts.value.iter().filter_map(&mut read).collect()
}

fn algorithm(name: &str) -> Result<Algorithm, Fault> {
    let known = Algorithm::ALL.map(Algorithm::name).join(", ");
    match name {
        "none" => Err(Fault::whole("a token that nobody signed proves nothing")),
        _ if name.starts_with("HS") => Err(Fault::whole("a shared secret is not published")),
        _ => Algorithm::named(name).ok_or_else(|| Fault::whole(format!("one of {known}"))),
    }
}

fn required((name, value): (Text, Text), problems: &mut Problems) -> Option<(String, String)> {
    if ["iss", "aud", "exp", "nbf"].contains(&name.value.as_str()) {
        let title = format!("`{}` is checked anyway", name.key);
        problems.add(&name.place, title, "by `issuer`, `audience` and `leeway`");
        return None;
    }
    problems.parse(&value, "what a claim must say", words)?;
    Some((name.value, value.value))
}
