//! Spans on their way to the collector: a bounded queue, and a task that sends what is in it.

use std::{
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    resource::TelemetryResourceDetector,
    trace::{SpanData, SpanExporter as _},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Untraceable, collector::Collector};
use crate::{config, deadline::Deadline, supervise, telemetry::Telemetry};

/// Spans that wait; those of what ends while there are so many are dropped.
const WAITING: usize = 2048;
/// Spans that are sent at a time; with so many there is no waiting for others.
const BATCH: usize = 512;
/// How long the first one of a batch waits for others.
const PERIOD: Duration = Duration::from_secs(1);
/// What is still to be sent at the end may take so long.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// Spans that have ended and are not sent yet.
#[derive(Debug)]
pub(super) struct Queue {
    spans: Mutex<Vec<SpanData>>,
    /// There is one.
    some: Notify,
    /// There is a whole batch.
    full: Notify,
    telemetry: Arc<Telemetry>,
}

impl Queue {
    pub(super) fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { spans: Mutex::default(), some: Notify::new(), full: Notify::new(), telemetry }
    }

    fn spans(&self) -> MutexGuard<'_, Vec<SpanData>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of these or, where there is no room, none: half a trace misleads. Waits for nobody.
    pub(super) fn push(&self, spans: Vec<SpanData>) {
        let mut waiting = self.spans();
        if waiting.len() + spans.len() > WAITING {
            drop(waiting);
            self.telemetry.spans_dropped(spans.len() as u64);
            return;
        }
        waiting.extend(spans);
        let count = waiting.len();
        drop(waiting);
        self.some.notify_one();
        if count >= BATCH {
            self.full.notify_one();
        }
    }

    /// Ends when there are some, and it is time to send them.
    async fn due(&self) {
        while self.spans().is_empty() {
            self.some.notified().await;
        }
        if self.spans().len() < BATCH {
            tokio::select! {
                () = self.full.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    fn take(&self) -> Vec<SpanData> {
        let mut waiting = self.spans();
        let rest = if waiting.len() > BATCH { waiting.split_off(BATCH) } else { Vec::new() };
        mem::replace(&mut *waiting, rest)
    }
}

/// Sends what is in a queue.
#[derive(Debug)]
pub(super) struct Exporter {
    queue: Arc<Queue>,
    to: SpanExporter,
}

impl Exporter {
    pub(super) fn new(traces: &config::Traces, queue: Arc<Queue>) -> Result<Self, Untraceable> {
        let collector = Collector::new(traces)?;
        let mut to = SpanExporter::builder()
            .with_http()
            .with_endpoint(collector.url())
            .with_http_client(collector)
            .with_protocol(Protocol::HttpBinary)
            // The library's own waits by sending this thread to sleep.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| Untraceable::Exporter(Box::new(error)))?;
        to.set_resource(&resource(traces));
        Ok(Self { queue, to })
    }

    /// Sends batch after batch until it is to end, and then what is left, for a bounded time.
    pub(super) async fn run(self, closing: CancellationToken) {
        supervise::until_done("the export of traces", || self.work(&closing)).await;
        // Whatever ended a moment too late.
        self.queue.telemetry.spans_dropped(mem::take(&mut *self.queue.spans()).len() as u64);
    }

    async fn work(&self, closing: &CancellationToken) {
        while !closing.is_cancelled() {
            tokio::select! {
                () = closing.cancelled() => {}
                () = self.queue.due() => {}
            }
            let mut sending = pin!(self.send_all());
            tokio::select! {
                () = &mut sending => {}
                () = closing.cancelled() => {
                    // What is not taken by then is dropped, and counted as it is.
                    let _ = Deadline::after(LAST_MOMENTS).within(sending).await;
                }
            }
        }
    }

    async fn send_all(&self) {
        loop {
            let batch = self.queue.take();
            if batch.is_empty() {
                break;
            }
            let mut way = Way { count: batch.len() as u64, taken: false, telemetry: &self.queue.telemetry };
            way.taken = self.to.export(batch).await.is_ok();
        }
    }
}

/// A batch on its way; dropped, it has arrived or is lost.
struct Way<'t> {
    count: u64,
    taken: bool,
    telemetry: &'t Telemetry,
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        if self.taken {
            self.telemetry.spans_exported(self.count);
        } else {
            self.telemetry.spans_dropped(self.count);
        }
    }
}

fn resource(traces: &config::Traces) -> Resource {
    let said = traces.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(said)
        .with_service_name(traces.service.clone())
        .build()
}
