//! What no proxy should pass is refused before anything else. Pure.

use http::{
    HeaderMap, HeaderValue, Method, Uri, Version, header,
    uri::{Authority, PathAndQuery},
};

use crate::config::Clients;

/// What every server may be asked (RFC 9110 section 9.3, RFC 5789), but for what is refused here.
const COMMON: [Method; 7] =
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Why a request is refused at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// CONNECT would make this an open proxy, TRACE echoes credentials; others as configured.
    #[error("this method is not passed on")]
    Method,
    /// HTTP/1.1 asks for exactly one `Host` (RFC 9112 section 3.2), HTTP/2 for that or an authority.
    #[error("a request needs exactly one Host field, with a host name in it")]
    Host,
    /// The target names another server than `Host` does.
    #[error("the target's authority is not that of the Host field")]
    Authority,
    /// Neither a path nor, for OPTIONS, an asterisk.
    #[error("the target is not a path")]
    Target,
    /// The target is too long.
    #[error("the target has {bytes} bytes; {allowed} are allowed")]
    TargetLength {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        allowed: usize,
    },
    /// Two ways to say where the body ends, which others may read otherwise (RFC 9112 section 6.1).
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    Framing,
}

/// Whether a request may come in.
///
/// # Errors
/// Why not.
pub fn check(
    method: &Method,
    uri: &Uri,
    version: Version,
    fields: &HeaderMap,
    limits: &Clients,
) -> Result<(), Refusal> {
    let refused = matches!(*method, Method::CONNECT | Method::TRACE);
    if refused || !(limits.other_methods || COMMON.contains(method)) {
        return Err(Refusal::Method);
    }
    check_host(uri, version, fields)?;
    let is_path = uri.path().starts_with('/') || (*method == Method::OPTIONS && uri.path() == "*");
    if !is_path {
        return Err(Refusal::Target);
    }
    check_length(uri.path_and_query().map_or("", PathAndQuery::as_str), limits)
}

/// Whether a request over HTTP/1.1 may come in that has this one `Host`, if its method is common and its target a path.
///
/// # Errors
/// Why not.
pub fn check_plain(target: &str, host: &[u8], limits: &Clients) -> Result<(), Refusal> {
    if is_plain(host) { check_length(target, limits) } else { Err(Refusal::Host) }
}

fn check_length(target: &str, limits: &Clients) -> Result<(), Refusal> {
    let (bytes, allowed) = (target.len(), limits.target_bytes);
    if bytes > allowed { Err(Refusal::TargetLength { bytes, allowed }) } else { Ok(()) }
}

/// Whether one server is named, and only one. Which it is has no meaning here.
///
/// # Errors
/// Why not: the host, or the target's authority.
pub fn check_host(uri: &Uri, version: Version, fields: &HeaderMap) -> Result<(), Refusal> {
    let (host, target) = (only_host(fields)?, uri.authority());
    if target.is_none() && host.is_some_and(|host| is_plain(host.as_bytes())) {
        return Ok(());
    }
    let host =
        host.map(|host| Authority::try_from(host.as_bytes())).transpose().map_err(|_| Refusal::Host)?;
    if host.as_ref().is_some_and(|host| !is_host(host)) {
        return Err(Refusal::Host);
    }
    match (target, &host) {
        (Some(target), _) if !is_host(target) => Err(Refusal::Authority),
        (Some(target), Some(host)) if target != host => Err(Refusal::Authority),
        // What HTTP/2 calls an authority takes the place of `Host` (RFC 9113 section 8.3.1).
        (Some(_), None) if version == Version::HTTP_11 => Err(Refusal::Host),
        (None, None) if version != Version::HTTP_10 => Err(Refusal::Host),
        _ => Ok(()),
    }
}

fn only_host(fields: &HeaderMap) -> Result<Option<&HeaderValue>, Refusal> {
    let mut values = fields.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        _ => Err(Refusal::Host),
    }
}

/// Whether it needs no parser to see that this is a name, or an address of IPv4, and perhaps a port.
fn is_plain(host: &[u8]) -> bool {
    let (name, port) = match host.iter().position(|byte| *byte == b':') {
        Some(colon) => (host.get(..colon).unwrap_or_default(), host.get(colon + 1..).unwrap_or_default()),
        None => (host, &[][..]),
    };
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte))
        && port.iter().all(u8::is_ascii_digit)
        && (port.len() < 5 || (port.len() == 5 && port <= b"65535".as_slice()))
}

/// A name or address, with a port that is a number if there is one; no user.
fn is_host(host: &Authority) -> bool {
    let port = host.as_str().strip_prefix(host.host());
    port.is_some_and(|port| port.is_empty() || port == ":" || host.port_u16().is_some())
}
