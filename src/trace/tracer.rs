//! Who begins the spans of clients' requests, as configured.

use std::sync::Arc;

use http::{Method, Version};
use opentelemetry::{InstrumentationScope, KeyValue, TraceId, trace::SpanKind};
use opentelemetry_sdk::trace::{RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    Untraceable,
    context::Parent,
    current::Span,
    export::{self, Queue},
    recording::Recording,
};
use crate::{
    clock::Clock,
    config::{self, Config},
    telemetry::Telemetry,
};

/// Begins spans, or none where nobody collects them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer(Option<Arc<Shared>>);

/// What all spans of a configuration have in common.
#[derive(Debug)]
pub(super) struct Shared {
    config: config::Traces,
    sampler: Sampler,
    pub(super) ids: RandomIdGenerator,
    pub(super) scope: InstrumentationScope,
    /// By which clients speak with the proxy.
    pub(super) scheme: &'static str,
    /// The upstream.
    pub(super) server: [KeyValue; 2],
    pub(super) clock: Clock,
    pub(super) queue: Arc<Queue>,
    /// Dropped with the last span: what sends them then ends, too.
    closing: DropGuard,
    sending: TaskTracker,
}

impl Tracer {
    /// As configured. Sends by a task on the present runtime, until the last span is dropped.
    ///
    /// # Errors
    /// Where the collector cannot be spoken to as configured.
    pub fn new(config: &Config, clock: &Clock, telemetry: &Arc<Telemetry>) -> Result<Self, Untraceable> {
        let Some(traces) = &config.traces else { return Ok(Self(None)) };
        let (closing, sending) = (CancellationToken::new(), TaskTracker::new());
        let queue = Arc::new(Queue::new(Arc::clone(telemetry)));
        let exporter = export::Exporter::new(traces, Arc::clone(&queue))?;
        sending.spawn(exporter.run(closing.clone()));
        sending.close();
        Ok(Self(Some(Arc::new(Shared {
            config: traces.clone(),
            sampler: Sampler::TraceIdRatioBased(traces.ratio),
            ids: RandomIdGenerator::default(),
            scope: InstrumentationScope::builder("catproxy").with_version(env!("CARGO_PKG_VERSION")).build(),
            scheme: scheme(config),
            server: server(&config.upstream),
            clock: clock.clone(),
            queue,
            closing: closing.drop_guard(),
            sending,
        }))))
    }

    /// Whether it begins spans.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The same for another configuration: this one, where that says the same of traces.
    ///
    /// # Errors
    /// As [`Tracer::new`].
    pub fn successor(
        &self,
        config: &Config,
        clock: &Clock,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, Untraceable> {
        let is_same = self.0.as_ref().is_some_and(|shared| {
            Some(&shared.config) == config.traces.as_ref()
                && shared.scheme == scheme(config)
                && shared.server == server(&config.upstream)
        });
        if is_same { Ok(self.clone()) } else { Self::new(config, clock, telemetry) }
    }

    /// The span of a client's request, which goes on with the client's trace where `parent` names one.
    #[must_use]
    pub fn request(&self, method: &Method, version: Version, parent: impl FnOnce() -> Parent) -> Span {
        let Some(shared) = &self.0 else { return Span::default() };
        Span::of(Recording::request(Arc::clone(shared), method, version, parent().remote()))
    }

    /// Sends what there is still to be sent, for a bounded time. For the end.
    pub async fn close(&self) {
        if let Some(shared) = &self.0 {
            shared.closing.token().cancel();
            shared.sending.wait().await;
        }
    }
}

/// The upstream, as spans of requests to it say.
fn server(upstream: &config::Upstream) -> [KeyValue; 2] {
    let port = upstream.authority.port_u16().unwrap_or(if upstream.tls { 443 } else { 80 });
    [
        KeyValue::new("server.address", upstream.authority.host().to_owned()),
        KeyValue::new("server.port", i64::from(port)),
    ]
}

fn scheme(config: &Config) -> &'static str {
    if config.tls.is_some() { "https" } else { "http" }
}

impl Shared {
    /// Whether this trace is recorded; `parent`: what the client has decided.
    pub(super) fn samples(&self, trace: TraceId, parent: Option<bool>) -> bool {
        let decided = parent.filter(|_| self.config.parent_based);
        decided.unwrap_or_else(|| {
            let sampled = self.sampler.should_sample(None, trace, "", &SpanKind::Server, &[], &[]);
            sampled.decision == SamplingDecision::RecordAndSample
        })
    }
}
