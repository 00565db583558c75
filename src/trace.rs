//! Traces by OpenTelemetry: a span for each client's request, for each step of its way, and for each request to the
//! upstream. What a span says of them is numbers and words that are known when the program is made, and the configured
//! names of routes and servers: no path, query, key, token or other text of a client's.
//!
//! Here alone is OpenTelemetry named. Without the feature `otel` all of it is empty types and functions that do nothing
//! (`absent`). With it, and a collector configured, spans are recorded (`recording`) where the trace is sampled, and given
//! to a task that sends them (`export`). Nobody waits for that: where it does not keep up, spans are dropped and counted.
//!
//! The span that belongs to the work at hand is the *current* one of its thread while it is polled; a step begins below
//! it. So no function hands spans on.

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod context;
#[cfg(feature = "otel")]
mod current;
#[cfg(feature = "otel")]
mod export;
#[cfg(feature = "otel")]
mod recording;
#[cfg(feature = "otel")]
mod tracer;

#[cfg(not(feature = "otel"))]
pub use absent::{
    Link, Open, Parent, Span, Tracer, begin, current, failed, id, number, outcome, route, step, trial,
};
#[cfg(feature = "otel")]
pub use {
    context::Parent,
    current::{Span, begin, current, failed, id, number, outcome, route, step, trial},
    recording::{Link, Open},
    tracer::Tracer,
};

use crate::upstream::UpstreamUnusable;

/// A step of a request's way; in this order, where it takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Whether a proxy should pass it.
    Guard,
    /// What it is.
    Classify,
    /// Whose it is, and what of that token is remembered.
    Admit,
    /// The token is checked by published keys.
    Verify,
    /// A read through the proxy that the frontend makes for its page.
    Read,
    /// A look for an entry, here and in the store.
    Look,
    /// The upstream is asked whether the token may read.
    Question,
    /// Waiting for a fill, one's own or another's.
    Flight,
    /// The fill: from its beginning to where its entry is stored.
    Fill,
    /// A request of a fill or a question to the upstream.
    Fetch,
    /// A page is made of an entry, and the answer of it.
    Respond,
    /// The client's own request to the upstream.
    Forward,
}

impl Step {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Classify => "classify",
            Self::Admit => "admit",
            Self::Verify => "verify",
            Self::Read => "read",
            Self::Look => "look",
            Self::Question => "question",
            Self::Flight => "flight",
            Self::Fill => "fill",
            Self::Fetch => "fetch",
            Self::Respond => "respond",
            Self::Forward => "forward",
        }
    }

    /// Whether it is a request to the upstream.
    #[must_use]
    pub fn is_request(self) -> bool {
        matches!(self, Self::Fetch | Self::Forward)
    }
}

/// Why there can be no traces as configured.
#[derive(Debug, thiserror::Error)]
pub enum Untraceable {
    /// The collector cannot be spoken to.
    #[error("the collector of traces cannot be used")]
    Collector(#[from] UpstreamUnusable),
    /// What the environment says of OpenTelemetry.
    #[error("traces cannot be sent as the variables OTEL_EXPORTER_OTLP_… say")]
    Exporter(#[source] Box<dyn std::error::Error + Send + Sync>),
}
