//! What no proxy should pass is refused before anything else. Pure.

use http::{HeaderMap, Method, Uri, Version, header, uri::Authority};

/// A longer target is refused: the upstream takes request lines of 8 KiB.
const TARGET_BYTES: usize = 16 * 1024;

/// Why a request is refused at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// CONNECT would make this an open proxy, TRACE echoes credentials.
    #[error("this method is not passed on")]
    Method,
    /// HTTP/1.1 asks for exactly one `Host` (RFC 9112 section 3.2).
    #[error("a request needs exactly one Host field, with a host name in it")]
    Host,
    /// The target names another server than `Host` does.
    #[error("the target's authority is not that of the Host field")]
    Authority,
    /// Neither a path nor, for OPTIONS, an asterisk.
    #[error("the target is not a path")]
    Target,
    /// The target is too long.
    #[error("the target has {bytes} bytes; {TARGET_BYTES} are allowed")]
    TargetLength {
        /// How long it is.
        bytes: usize,
    },
}

/// Whether a request may come in.
///
/// # Errors
/// Why not.
pub fn check(method: &Method, uri: &Uri, version: Version, fields: &HeaderMap) -> Result<(), Refusal> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::Method);
    }
    let host = host(fields)?;
    if host.is_none() && version == Version::HTTP_11 {
        return Err(Refusal::Host);
    }
    if let (Some(target), Some(host)) = (uri.authority(), &host)
        && target != host
    {
        return Err(Refusal::Authority);
    }
    let is_path = uri.path().starts_with('/') || (*method == Method::OPTIONS && uri.path() == "*");
    if !is_path {
        return Err(Refusal::Target);
    }
    let bytes = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if bytes > TARGET_BYTES { Err(Refusal::TargetLength { bytes }) } else { Ok(()) }
}

fn host(fields: &HeaderMap) -> Result<Option<Authority>, Refusal> {
    let mut values = fields.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match Authority::try_from(value.as_bytes()) {
            Ok(host) if is_host(&host) => Ok(Some(host)),
            _ => Err(Refusal::Host),
        },
        _ => Err(Refusal::Host),
    }
}

/// A name or address, with a port that is a number if there is one; no user.
fn is_host(host: &Authority) -> bool {
    let port = host.as_str().strip_prefix(host.host());
    port.is_some_and(|port| port.is_empty() || port == ":" || host.port_u16().is_some())
}
