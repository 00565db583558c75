//! `GET /metrics`: what is counted, as Prometheus reads it. Few labels, and none that a client could multiply.

use std::{fmt, sync::Arc};

use http::{HeaderValue, Response, StatusCode, header};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{Subject, answer::problem, process::Process};
use crate::{
    body::Body,
    cache::{Standing, StoreHealth},
    proxy::operate::Moment,
    telemetry::{
        Telemetry,
        outcome::Kind,
        route::{Moved, RouteTelemetry},
        timing::Timing,
    },
};

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What is counted by itself: its name among the counts and here, and what it is.
const COUNTS: [(&str, &str, &str); 16] = [
    ("questions", "catproxy_questions", "Questions to the upstream whether a token may read"),
    ("joined", "catproxy_joined_flights", "Requests that waited for another one's fill"),
    ("turned_away", "catproxy_fills_turned_away", "Fills not begun because too many waited for their turn"),
    ("garbled_entries", "catproxy_garbled_entries", "Values under our keys that were no entries of ours"),
    ("unreadable_dates", "catproxy_unreadable_dates", "Items left out because their date does not read"),
    ("absent_fields", "catproxy_absent_fields", "Configured fields that items did not have"),
    ("differing", "catproxy_differing_tokens", "Tokens that see another collection than others"),
    ("pages_made", "catproxy_pages_made", "Pages made of entries, each coding by itself"),
    ("key_fetches", "catproxy_key_fetches", "Fetches of the issuer's published keys"),
    ("signature_checks", "catproxy_signature_checks", "Tokens' signatures that were checked"),
    ("unverified", "catproxy_unverified_tokens", "Tokens not good by the published keys"),
    (
        "refused_connections",
        "catproxy_client_connections_refused",
        "Clients' connections turned away for want of a seat",
    ),
    (
        "ended_connections",
        "catproxy_client_connections_ended",
        "Clients' connections closed because they took too long",
    ),
    ("panics", "catproxy_panics", "Requests that failed by a mistake of ours"),
    ("spans_exported", "catproxy_spans_exported", "Spans that the collector of traces has taken"),
    (
        "spans_dropped",
        "catproxy_spans_dropped",
        "Spans given up: too many waited, or the collector did not take them",
    ),
];

/// All of it, as it is now.
pub(super) fn metrics(subject: &dyn Subject) -> Response<Body> {
    let proxy = subject.proxy();
    let scrape = Scrape {
        telemetry: Arc::clone(proxy.telemetry()),
        moment: proxy.moment(),
        connections: subject.connections(),
        process: Process::read(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut written = String::with_capacity(32 * 1024);
    if text::encode(&mut written, &registry).is_err() {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written");
    }
    let mut answer = Response::new(Body::Own(written.into()));
    answer.headers_mut().insert(header::CONTENT_TYPE, OPENMETRICS);
    answer
}

#[derive(Debug)]
struct Scrape {
    telemetry: Arc<Telemetry>,
    moment: Moment,
    connections: usize,
    process: Option<Process>,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet(encoder);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        sheet.family("catproxy_build", "What runs", None, MetricType::Info, |metric| {
            metric.encode_info(&version)
        })?;
        self.requests(&mut sheet)?;
        self.fills(&mut sheet)?;
        self.store(&mut sheet)?;
        self.upstream(&mut sheet)?;
        self.memory(&mut sheet)?;
        self.others(&mut sheet)?;
        self.process(&mut sheet)
    }
}

impl Scrape {
    fn requests(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let requests = self.telemetry.routes().into_iter().flat_map(|route| {
            let requests: Vec<_> = route.requests().collect();
            requests.into_iter().map(move |(outcome, count)| {
                let (outcome, reason) = outcome.labels();
                (labels([("route", route.name()), ("outcome", outcome), ("reason", reason)]), count)
            })
        });
        let help = "Clients' requests by route, how they ended and why; a hit's reason is where it came from";
        sheet.counters("catproxy_requests", help, None, requests)?;
        let times = [("hit", Kind::Hit), ("fill", Kind::Fill), ("forward", Kind::Forward)];
        let times = times.map(|(name, kind)| (labels([("kind", name)]), self.telemetry.times(kind)));
        sheet.times("catproxy_request_duration", "From a request's head to its answer's", times)
    }

    fn fills(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let routes = self.telemetry.routes();
        let filled: Vec<_> = routes.iter().filter(|route| !route.fills().is_empty()).collect();
        let named = |route: &RouteTelemetry| labels([("route", route.name())]);
        let fills = filled.iter().flat_map(|route| {
            let one = |(outcome, count)| (labels([("route", route.name()), ("outcome", outcome)]), count);
            route.fills().into_iter().map(one)
        });
        sheet.counters(
            "catproxy_fills",
            "Collections fetched from the upstream, by how that ended",
            None,
            fills,
        )?;
        let times = filled.iter().map(|route| (named(route), route.fill_times()));
        sheet.times(
            "catproxy_fill_duration",
            "From a fill's beginning, its turn included, to its end",
            times,
        )?;
        let moved =
            |what: fn(Moved) -> u64| routes.iter().map(move |route| (named(route), what(route.moved())));
        let (pages, help) = (moved(|moved| moved.pages), "Pages of the upstream's in fills");
        sheet.counters("catproxy_fill_pages", help, None, pages)?;
        let (received, help) =
            (moved(|moved| moved.received), "JSON of the upstream's in fills and questions, decoded");
        sheet.counters("catproxy_fill_received", help, Some(&Unit::Bytes), received)?;
        let kept = moved(|moved| moved.kept);
        sheet.counters("catproxy_fill_kept", "What fills kept of it", Some(&Unit::Bytes), kept)?;
        sheet.gauge(
            "catproxy_flights",
            "Fills under way that can be joined",
            self.moment.cache.flights as u64,
        )
    }

    fn store(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let operations = self.telemetry.store_operations();
        let operations = operations.into_iter().map(|((operation, outcome), count)| {
            (labels([("operation", operation), ("outcome", outcome)]), count)
        });
        let help = "What the store was asked for, by how that ended; open: it is known to be away, and was not asked";
        sheet.counters("catproxy_store_operations", help, None, operations)?;
        let times = [(Labels::new(), self.telemetry.store_times())];
        sheet.times("catproxy_store_operation_duration", "How long the store took", times)?;
        let cache = &self.moment.cache;
        let up = matches!(cache.health, StoreHealth::Redis | StoreHealth::Partly | StoreHealth::Memory);
        sheet.gauge(
            "catproxy_store_up",
            "1: the store answers; 0: the breaker is open, or there is none",
            up.into(),
        )?;
        let Standing { nodes, away } = cache.servers;
        let servers = [("answers", nodes.saturating_sub(away)), ("away", away)];
        let servers = servers.map(|(state, count)| (labels([("state", state)]), count as u64));
        sheet.gauges("catproxy_store_servers", "Redis servers that have keys of ours", None, servers)?;
        let help = "1: Redis tells of every change, so copies in the process may be served; 0: it does not";
        cache
            .followed
            .map_or(Ok(()), |followed| sheet.gauge("catproxy_store_followed", help, followed.into()))
    }

    fn upstream(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let times = [(Labels::new(), self.telemetry.upstream_times())];
        sheet.times(
            "catproxy_upstream_duration",
            "From a request to the upstream to its answer's head",
            times,
        )?;
        let failures = self.telemetry.upstream_failures();
        let failures = failures.into_iter().map(|(reason, count)| (labels([("reason", reason)]), count));
        sheet.counters(
            "catproxy_upstream_failures",
            "Requests that the upstream did not answer",
            None,
            failures,
        )?;
        let usage = self.moment.upstream;
        let connections = [("busy", usage.busy), ("idle", usage.idle)];
        let connections = connections.map(|(state, count)| (labels([("state", state)]), count as u64));
        sheet.gauges("catproxy_upstream_connections", "Connections to the upstream", None, connections)?;
        let help = "Connections to the upstream that may be busy at a time";
        sheet.gauge("catproxy_upstream_connections_limit", help, usage.most as u64)
    }

    fn memory(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let Moment { cache, pages, .. } = &self.moment;
        let kept = [("copies", cache.copies), ("entries", cache.entries), ("pages", *pages)];
        let bytes = kept.map(|(name, size)| (labels([("of", name)]), size.weight));
        let help = "Memory of what is cached in the process, about";
        sheet.gauges("catproxy_memory", help, Some(&Unit::Bytes), bytes)?;
        let counts = kept.map(|(name, size)| (labels([("of", name)]), size.count));
        sheet.gauges("catproxy_memory_values", "How many of them there are", None, counts)
    }

    fn others(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        for (ours, name, help) in COUNTS {
            sheet.counter(name, help, self.telemetry.count(ours))?;
        }
        self.tls(sheet)?;
        sheet.gauge("catproxy_client_connections", "Clients' connections", self.connections as u64)
    }

    fn tls(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let handshakes = self.telemetry.handshakes().into_iter();
        let handshakes = handshakes.map(|(outcome, count)| (labels([("outcome", outcome)]), count));
        let help = "Clients' handshakes of TLS, by how they ended";
        sheet.counters("catproxy_tls_handshakes", help, None, handshakes)?;
        let until = self.telemetry.certificate_until().map(|second| (Labels::new(), second));
        let help = "Until when the certificate is good that clients are shown, in seconds since 1970";
        sheet.gauges("catproxy_tls_certificate_not_after", help, Some(&Unit::Seconds), until)
    }

    fn process(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let Some(process) = &self.process else { return Ok(()) };
        let resident = [(Labels::new(), process.resident)];
        sheet.gauges("process_resident_memory", "Memory that is resident", Some(&Unit::Bytes), resident)?;
        let seconds = Some(&Unit::Seconds);
        sheet.family(
            "process_cpu",
            "CPU time, of the kernel too",
            seconds,
            MetricType::Counter,
            |metric| metric.encode_counter::<NoLabelSet, _, f64>(&process.cpu, None),
        )?;
        sheet.family("process_start_time", "Since 1970", seconds, MetricType::Gauge, |metric| {
            metric.encode_gauge(&process.started)
        })?;
        sheet.gauge("process_open_fds", "Open descriptors", process.descriptors)
    }
}

type Labels = Vec<(&'static str, String)>;

fn labels<const N: usize>(labels: [(&'static str, &str); N]) -> Labels {
    labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

/// Where metrics are written, family by family.
struct Sheet<'e>(DescriptorEncoder<'e>);

impl Sheet<'_> {
    fn family(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write(&mut self.0.encode_descriptor(name, help, unit, kind)?)
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        self.counters(name, help, None, [(Labels::new(), count)])
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        counts: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Counter, |metric| {
            counts.into_iter().try_for_each(|(labels, count)| {
                labelled(metric, &labels, |metric| metric.encode_counter::<NoLabelSet, _, f64>(&count, None))
            })
        })
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauges(name, help, None, [(Labels::new(), value)])
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Gauge, |metric| {
            values.into_iter().try_for_each(|(labels, value)| {
                labelled(metric, &labels, |metric| metric.encode_gauge(&value))
            })
        })
    }

    fn times<'t>(
        &mut self,
        name: &str,
        help: &str,
        timings: impl IntoIterator<Item = (Labels, &'t Timing)>,
    ) -> fmt::Result {
        self.family(name, help, Some(&Unit::Seconds), MetricType::Histogram, |metric| {
            timings.into_iter().try_for_each(|(labels, timing)| {
                let (buckets, sum) = (timing.buckets(), timing.sum().as_secs_f64());
                // Not counted by itself: it is to be what the buckets say.
                let count = buckets.iter().map(|(_, count)| count).sum();
                labelled(metric, &labels, |metric| {
                    metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
                })
            })
        })
    }
}

/// One of a family; the only one has no labels.
fn labelled(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() { write(metric) } else { write(&mut metric.encode_family(labels)?) }
}
