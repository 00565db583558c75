//! A request that has begun, and the line that the access log has of it when it is answered.

use std::time::Duration;

use http::{Method, StatusCode, Uri};
use tokio::time::Instant;

use crate::{telemetry::outcome::Outcome, trace};

/// Since when a request is worked on, and what its line will say.
#[derive(Debug)]
pub(super) struct Begun {
    at: Instant,
    /// `None` where nobody reads such lines.
    line: Option<Box<Line>>,
}

#[derive(Debug)]
struct Line {
    method: Method,
    /// Without the query, and without what may be a secret.
    path: String,
}

/// Longer words are no names.
const NAME_BYTES: usize = 32;
/// Shorter ones are no secrets.
const SHORT_BYTES: usize = 4;

/// A path as it may stand in a log: a segment is shown where it is a word, a number, or short. Any other one may be a token
/// that a client has put in the wrong place.
fn shown(path: &str) -> String {
    let of = |segment: &str, fits: fn(&u8) -> bool| segment.as_bytes().iter().all(fits);
    let is_shown = |segment: &str| {
        let word =
            of(segment, |byte| byte.is_ascii_alphabetic() || *byte == b'-') && segment.len() <= NAME_BYTES;
        let number = of(segment, u8::is_ascii_digit) && segment.len() <= NAME_BYTES;
        word || number || of(segment, u8::is_ascii_alphanumeric) && segment.len() <= SHORT_BYTES
    };
    let segments = path.split('/').map(|segment| if is_shown(segment) { segment } else { "…" });
    segments.collect::<Vec<_>>().join("/")
}

impl Begun {
    pub(super) fn now(method: &Method, target: &Uri) -> Self {
        Self::noting(|| Line { method: method.clone(), path: shown(target.path()) })
    }

    /// With a target that is a path and a query.
    pub(super) fn plain(method: &Method, target: &str) -> Self {
        let path = || target.split('?').next().unwrap_or_default();
        Self::noting(|| Line { method: method.clone(), path: shown(path()) })
    }

    fn noting(line: impl FnOnce() -> Line) -> Self {
        let wanted = tracing::enabled!(target: "access", tracing::Level::INFO);
        Self { at: Instant::now(), line: wanted.then(|| Box::new(line())) }
    }

    /// Since when it is worked on.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Writes its line; gives how long it took.
    pub(super) fn end(&self, route: &str, outcome: Outcome, status: StatusCode) -> Duration {
        let took = self.at.elapsed();
        if let Some(Line { method, path }) = self.line.as_deref() {
            let (outcome, reason) = outcome.labels();
            tracing::info!(
                target: "access",
                %method,
                path,
                status = status.as_u16(),
                route,
                outcome,
                reason,
                micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                trace_id = trace::id(),
            );
        }
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_in_a_path_is_not_shown() {
        for (path, text) in [
            ("/api/Lot/get-overrides", "/api/Lot/get-overrides"),
            ("/api/v2/Seller/4711", "/api/v2/Seller/4711"),
            ("/", "/"),
            ("/api/Seller/t0ken-in-a-path", "/api/Seller/…"),
            ("/api/%54oken/eyJhbGci.e30", "/api/…/…"),
            ("/api/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/x", "/api/…/x"),
            ("*", "…"),
        ] {
            assert_eq!(shown(path), text);
        }
    }
}
