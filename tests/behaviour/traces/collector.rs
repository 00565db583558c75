//! A stand-in collector of traces: takes OTLP over HTTP, or does not, and keeps what it was sent.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use catproxy::config::{
    self,
    check::{Origin, Overrides, Setting, load, traces::Outside},
    profile::Profile,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, any_value::Value},
    trace::v1::{Span as Sent, status::StatusCode as Code},
};
use prost::Message as _;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::support::PATIENCE;

/// What it does with what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Takes,
    /// Reads it and says nothing.
    Frozen,
    Answers(StatusCode),
}

/// A collector; it ends when dropped.
pub struct Collector {
    pub address: SocketAddr,
    kept: Arc<Kept>,
    serving: JoinHandle<()>,
}

struct Kept {
    mood: watch::Sender<Mood>,
    /// Requests that have come, whatever became of them.
    asked: watch::Sender<usize>,
    spans: Mutex<Vec<Span>>,
    /// Heads and bodies as they came.
    bytes: Mutex<Vec<u8>>,
}

/// A span as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty where it has none.
    pub parent: String,
    pub name: String,
    /// 1: internal, 2: server, 3: client.
    pub kind: i32,
    pub failed: bool,
    pub attributes: BTreeMap<String, String>,
    /// Trace and span.
    pub links: Vec<(String, String)>,
    /// Of the process that sent it.
    pub resource: BTreeMap<String, String>,
    pub begun: u64,
    pub ended: u64,
}

impl Span {
    /// An attribute's value; empty where it has none of this name.
    pub fn is(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Collector {
    pub async fn start() -> Self {
        Self::start_at(0).await
    }

    pub async fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let kept = Arc::new(Kept {
            mood: watch::Sender::new(Mood::Takes),
            asked: watch::Sender::new(0),
            spans: Mutex::default(),
            bytes: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&kept)));
        Self { address, kept, serving }
    }

    pub fn is(&self, mood: Mood) {
        self.kept.mood.send_replace(mood);
    }

    /// The configuration of a proxy that sends its traces here.
    pub fn traces(&self) -> Option<config::Traces> {
        traces(&format!("http://{}", self.address), &[])
    }

    pub fn asked(&self) -> usize {
        *self.kept.asked.borrow()
    }

    /// Waits until it was sent something so often.
    pub async fn until_asked(&self, count: usize) {
        let mut asked = self.kept.asked.subscribe();
        let asked = tokio::time::timeout(PATIENCE, asked.wait_for(|asked| *asked >= count)).await;
        assert!(asked.is_ok(), "in vain: {count} requests to the collector, not {}", self.asked());
    }

    /// What it was sent so far.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().expect("spans").clone()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.kept.bytes.lock().expect("bytes").clone()
    }

    /// Waits for a span.
    pub async fn until(&self, what: &str, fits: impl Fn(&Span) -> bool) -> Span {
        let mut asked = self.kept.asked.subscribe();
        let waiting = async {
            loop {
                if let Some(span) = self.spans().into_iter().find(&fits) {
                    return span;
                }
                asked.changed().await.expect("a collector");
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("in vain: {what} among {:#?}", self.spans()))
    }

    /// Waits for the span of a client's request that begins a trace or goes on with one; and all spans of that trace then.
    pub async fn request(&self, fits: impl Fn(&Span) -> bool) -> (Span, Vec<Span>) {
        let request = self.until("a request's span", |span| span.kind == 2 && fits(span)).await;
        let spans = self.spans().into_iter().filter(|span| span.trace == request.trace).collect();
        (request, spans)
    }
}

/// What a file would say, with these variables.
pub fn traces(endpoint: &str, variables: &[(&'static str, &str)]) -> Option<config::Traces> {
    let setting = |name| {
        let value = variables.iter().find(|(known, _)| *known == name)?.1.to_owned();
        Some(Setting { value, origin: Origin::Environment(name) })
    };
    let outside = Outside {
        endpoint: Some(Setting { value: endpoint.to_owned(), origin: Origin::Flag("the test") }),
        sampler: setting("OTEL_TRACES_SAMPLER"),
        sampler_argument: setting("OTEL_TRACES_SAMPLER_ARG"),
        service_name: setting("OTEL_SERVICE_NAME"),
        resource_attributes: setting("OTEL_RESOURCE_ATTRIBUTES"),
        ..Outside::default()
    };
    let overrides = Overrides { traces: outside, ..Overrides::default() };
    load(Profile::Panels.source(), overrides).expect("a configuration").0.traces
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, kept: Arc<Kept>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let kept = Arc::clone(&kept);
        let service = service_fn(move |request| answer(request, Arc::clone(&kept)));
        connections.spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(request: Request<Incoming>, kept: Arc<Kept>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let mood = *kept.mood.borrow();
    {
        let mut bytes = kept.bytes.lock().expect("bytes");
        bytes.extend_from_slice(format!("{head:?}").as_bytes());
        bytes.extend_from_slice(&body);
    }
    if mood == Mood::Takes {
        assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/v1/traces"));
        assert_eq!(head.headers["content-type"], "application/x-protobuf");
        let body = match head.headers.get("content-encoding") {
            Some(coding) => {
                assert_eq!(coding, "gzip");
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).expect("gzip");
                plain.into()
            }
            None => body,
        };
        let sent = ExportTraceServiceRequest::decode(body).expect("OTLP");
        kept.spans.lock().expect("spans").extend(spans(sent));
    }
    kept.asked.send_modify(|asked| *asked += 1);
    let status = match mood {
        Mood::Takes => StatusCode::OK,
        Mood::Frozen => std::future::pending().await,
        Mood::Answers(status) => status,
    };
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    Ok(answer)
}

fn spans(sent: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_process in sent.resource_spans {
        let resource = of_process.resource.unwrap_or_default();
        let resource = attributes(resource.attributes.into_iter().map(|pair| (pair.key, pair.value)));
        let sent = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(sent.map(|span| read(span, resource.clone())));
    }
    spans
}

fn read(sent: Sent, resource: BTreeMap<String, String>) -> Span {
    assert_eq!((sent.trace_id.len(), sent.span_id.len()), (16, 8));
    assert_eq!(sent.trace_state, "", "what stands there is for the upstream alone");
    Span {
        trace: hex(&sent.trace_id),
        id: hex(&sent.span_id),
        parent: hex(&sent.parent_span_id),
        name: sent.name,
        kind: sent.kind,
        failed: sent.status.is_some_and(|status| status.code == Code::Error as i32),
        attributes: attributes(sent.attributes.into_iter().map(|pair| (pair.key, pair.value))),
        links: sent.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        resource,
        begun: sent.start_time_unix_nano,
        ended: sent.end_time_unix_nano,
    }
}

fn attributes(pairs: impl Iterator<Item = (String, Option<AnyValue>)>) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    for (key, value) in pairs {
        let value = match value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => panic!("{key} is {other:?}"),
        };
        let before = attributes.insert(key.clone(), value);
        assert_eq!(before, None, "{key} is said twice");
    }
    attributes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
