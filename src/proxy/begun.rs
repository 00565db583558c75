//! A request that has begun, and the line that the access log has of it when it is answered.

use std::time::Duration;

use http::{Method, StatusCode, Uri};
use tokio::time::Instant;

use crate::telemetry::outcome::Outcome;

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
    /// Without the query, in which a client may have put what it should not.
    path: String,
}

impl Begun {
    pub(super) fn now(method: &Method, target: &Uri) -> Self {
        Self::noting(|| Line { method: method.clone(), path: target.path().to_owned() })
    }

    /// A GET with this target.
    pub(super) fn get(target: &str) -> Self {
        let path = || target.split('?').next().unwrap_or_default().to_owned();
        Self::noting(|| Line { method: Method::GET, path: path() })
    }

    fn noting(line: impl FnOnce() -> Line) -> Self {
        let wanted = tracing::enabled!(target: "access", tracing::Level::INFO);
        Self { at: Instant::now(), line: wanted.then(|| Box::new(line())) }
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
            );
        }
        took
    }
}
