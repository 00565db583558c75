//! Accepts connections and takes each request through its life.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{CONNECTION, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::body::{Body, BrokenOff, Partial};
use crate::gate::Stage;
use crate::head::Head;
use crate::knobs::{Close, Effects, Knobs};
use crate::matching::Matching;
use crate::plain::{self, Upload};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::respond;
use crate::stand::{Refused, Stand};
use crate::tap::{Line, Tap};

/// The longest body that the API and the identity server take: Kestrel's limit.
const LONGEST_BODY: usize = 30_000_000;

/// Serves until the stand-in stops; then drops the listener and all connections, and `done`.
pub(crate) async fn serve(stand: Arc<Stand>, listener: TcpListener, done: oneshot::Sender<Infallible>) {
    let mut connections = JoinSet::new();
    let mut stop = stand.stop.subscribe();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, peer)) = accepted {
                    connections.spawn(connection(Arc::clone(&stand), stream, peer));
                }
            }
            Some(_) = connections.join_next() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
    drop(done);
}

/// What one connection knows beside its stream.
struct Wire {
    stand: Arc<Stand>,
    line: Arc<Line>,
    /// Told when the connection is to close after the answer that is about to be sent.
    closing: Notify,
    peer: SocketAddr,
}

/// Counts a connection as long as it lives.
struct Counted<'a>(&'a Stand);

impl<'a> Counted<'a> {
    fn new(stand: &'a Stand) -> Self {
        stand.connections.fetch_add(1, Ordering::Relaxed);
        Self(stand)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(stand: Arc<Stand>, stream: TcpStream, peer: SocketAddr) {
    let _counted = Counted::new(&stand);
    // Without it answers are only slower, and there is nobody to tell.
    let _ = stream.set_nodelay(true);
    let mut sweeps = stand.sweeps.subscribe();
    let line = Arc::new(Line::default());
    let tap = Tap::new(stream, Arc::clone(&line));
    let wire = Arc::new(Wire { stand: Arc::clone(&stand), line, closing: Notify::new(), peer });
    let service = {
        let wire = Arc::clone(&wire);
        service_fn(move |request| handle(Arc::clone(&wire), request))
    };
    let mut http = http1::Builder::new();
    http.preserve_header_case(true).title_case_headers(true);
    let mut served = pin!(http.serve_connection(TokioIo::new(tap), service).with_upgrades());
    loop {
        tokio::select! {
            biased;
            _ = served.as_mut() => break,
            // By now the head of the answer is written, so it does not say that the connection closes.
            () = wire.closing.notified() => served.as_mut().graceful_shutdown(),
            Ok(()) = sweeps.changed() => served.as_mut().graceful_shutdown(),
        }
    }
}

/// The life of a request. An error closes the connection without an answer.
async fn handle(wire: Arc<Wire>, request: Request<Incoming>) -> Result<Response<Body>, BrokenOff> {
    let stand = &wire.stand;
    let head = wire.line.take_head();
    let (parts, incoming) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    if is_control(parts.uri.path()) {
        return Ok(control(&wire, &parts, Upload { incoming, seen: None }).await);
    }
    let seen = stand.log.is_on().then(|| stand.log.add(Head::parse(&head)));
    let method = parts.method.as_str().to_owned();
    let accepted = parts.headers.clone();
    let effects = stand.board.effects(&method, &target);
    let asked = match needs_whole_body(parts.uri.path()) {
        true => {
            Request::from_parts(parts, Payload::Whole(Upload { incoming, seen }.collect(LONGEST_BODY).await))
        }
        false => Request::from_parts(parts, Payload::Stream(Upload { incoming, seen })),
    };
    stand.gates.pass(Stage::Arrival, &method, &target).await;
    misbehave_before(&wire.line, &effects).await?;
    let response = match instead(&effects) {
        Some(response) => response,
        None => answer(&wire, &head, asked).await,
    };
    stand.gates.pass(Stage::Answer, &method, &target).await;
    let (brotli, gzip) = stand.board.compression();
    let response = match brotli || gzip {
        true => stand.compressor.apply(brotli, gzip, &accepted, response).await,
        false => response,
    };
    Ok(misbehave_after(&wire, &effects, response))
}

/// What came with a request.
enum Payload {
    /// For those who need all of it at once.
    Whole(Result<Vec<u8>, Problem>),
    /// For those who read it, or not, themselves.
    Stream(Upload),
}

fn needs_whole_body(path: &str) -> bool {
    !starts_with(path, "/_fake/")
}

fn starts_with(path: &str, prefix: &str) -> bool {
    path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

async fn misbehave_before(line: &Line, effects: &Effects) -> Result<(), BrokenOff> {
    if let Some(latency) = effects.latency {
        tokio::time::sleep(latency).await;
    }
    if effects.hang {
        std::future::pending::<()>().await;
    }
    match effects.close {
        Some(Close::Unanswered) => Err(BrokenOff),
        Some(Close::Reset) => {
            line.reset();
            // A body that is cut short ends the connection by itself.
            if effects.truncate.is_some() { Ok(()) } else { Err(BrokenOff) }
        }
        Some(Close::Announced | Close::Silent) | None => Ok(()),
    }
}

/// What is answered whatever was asked.
fn instead(effects: &Effects) -> Option<Response<Body>> {
    if let Some(status) =
        effects.status.filter(|status| *status >= 200).and_then(|status| StatusCode::from_u16(status).ok())
    {
        let response = respond::problem(&Problem::bare(status));
        return Some(match effects.retry_after {
            Some(seconds) => respond::with(response, RETRY_AFTER, &seconds.to_string()),
            None => response,
        });
    }
    if effects.html {
        let page =
            "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>";
        return Some(respond::whole(StatusCode::OK, "text/html; charset=utf-8", page));
    }
    let wrong = effects.wrong_json.map(|wrong| Bytes::from_static(wrong.text().as_bytes()));
    let body = effects.body.clone().map(Bytes::from).or(wrong)?;
    Some(respond::json_text(StatusCode::OK, body))
}

fn misbehave_after(wire: &Wire, effects: &Effects, mut response: Response<Body>) -> Response<Body> {
    let line = Arc::clone(&wire.line);
    let chunked = effects.chunked;
    let partial = match (response.body(), effects.truncate) {
        (Body::Whole(bytes), Some(kept)) if kept < bytes.len() => {
            Some(Partial::truncated(bytes.clone(), kept, chunked, line))
        }
        (Body::Whole(bytes), _) if chunked && !bytes.is_empty() => {
            Some(Partial::chunked(bytes.clone(), line))
        }
        _ => None,
    };
    if let Some(partial) = partial {
        *response.body_mut() = Body::stream(partial);
    }
    match effects.close {
        Some(Close::Announced) => respond::with(response, CONNECTION, "close"),
        Some(Close::Silent) => {
            wire.closing.notify_one();
            response
        }
        Some(Close::Unanswered | Close::Reset) | None => response,
    }
}

/// The true answer.
async fn answer(wire: &Wire, head: &[u8], asked: Request<Payload>) -> Response<Body> {
    let (parts, payload) = asked.into_parts();
    match payload {
        Payload::Whole(Ok(body)) => whole_answer(&wire.stand, &parts, &body),
        Payload::Whole(Err(problem)) => respond::problem(&problem),
        Payload::Stream(upload) => test_answer(wire, head, parts, upload).await,
    }
}

fn whole_answer(stand: &Stand, parts: &Parts, body: &[u8]) -> Response<Body> {
    let path = query::decoded(parts.uri.path());
    if starts_with(&path, "/api/") {
        return match stand.api(parts, body) {
            Ok(answer) => respond::answer(answer),
            Err(Refused::Problem(problem)) => respond::problem(&problem),
            Err(Refused::OtherMethod(allow)) => respond::other_method(&allow),
        };
    }
    if let Some(name) = path.strip_prefix("/images/") {
        return plain::image(name);
    }
    identity_answer(stand, parts, body)
}

fn identity_answer(stand: &Stand, parts: &Parts, body: &[u8]) -> Response<Body> {
    let path = parts.uri.path().to_ascii_lowercase();
    match (&parts.method, path.as_str()) {
        (&Method::POST, "/connect/token") => {
            let (status, grant) = stand.identity.token_endpoint(body);
            respond::private_json(status, &grant)
        }
        (&Method::POST, "/connect/revocation") => {
            let form = Query::parse(std::str::from_utf8(body).ok());
            stand.identity.revoke(form.text("token").unwrap_or_default());
            respond::empty(StatusCode::OK)
        }
        (_, "/connect/token" | "/connect/revocation") => respond::other_method("POST"),
        (&Method::GET, "/.well-known/openid-configuration") => {
            respond::json(StatusCode::OK, &stand.identity.discovery())
        }
        (&Method::GET, "/.well-known/openid-configuration/jwks") => {
            respond::json(StatusCode::OK, &stand.identity.key_set())
        }
        _ => respond::problem(&Problem::bare(StatusCode::NOT_FOUND)),
    }
}

/// The endpoints for tests of forwarding.
async fn test_answer(wire: &Wire, head: &[u8], parts: Parts, upload: Upload) -> Response<Body> {
    let query = Query::parse(parts.uri.query());
    let path = parts.uri.path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(2).collect();
    match segments.as_slice() {
        ["echo", ..] => plain::echo(Head::parse(head), upload).await,
        ["bytes", count] => plain::bytes(count, &query),
        ["slow", count] => plain::slow(count, &query),
        ["status", code] => plain::status(code, &query),
        ["early"] => plain::early(),
        ["websocket"] => match plain::websocket(parts, upload.incoming, wire.stand.stop.subscribe()) {
            Some(switched) => {
                wire.line.upgrade();
                switched
            }
            None => respond::problem(&Problem::bad_request("This is no WebSocket handshake.")),
        },
        _ => respond::problem(&Problem::bare(StatusCode::NOT_FOUND)),
    }
}

fn is_control(path: &str) -> bool {
    path == "/_fake/knobs" || path == "/_fake/calls"
}

/// Knobs and calls by HTTP, for callers on this machine.
async fn control(wire: &Wire, parts: &Parts, mut upload: Upload) -> Response<Body> {
    let stand = &wire.stand;
    if !wire.peer.ip().to_canonical().is_loopback() {
        return respond::problem(&Problem::bare(StatusCode::NOT_FOUND));
    }
    match (parts.uri.path(), &parts.method) {
        ("/_fake/knobs", &Method::GET) => respond::json(StatusCode::OK, &stand.board.now()),
        ("/_fake/knobs", &Method::PUT) => match upload.collect(LONGEST_BODY).await {
            Ok(body) => put_knobs(stand, &body),
            Err(problem) => respond::problem(&problem),
        },
        ("/_fake/calls", &Method::GET) => {
            let query = Query::parse(parts.uri.query());
            let of = |name: &str| query.text(name).map(str::to_owned);
            let matching = Matching { path: of("path"), method: of("method"), query: of("query") };
            respond::json(StatusCode::OK, &stand.log.calls(&matching))
        }
        ("/_fake/calls", &Method::DELETE) => {
            stand.log.clear();
            respond::empty(StatusCode::NO_CONTENT)
        }
        ("/_fake/knobs", _) => respond::other_method("GET, PUT"),
        _ => respond::other_method("GET, DELETE"),
    }
}

fn put_knobs(stand: &Stand, body: &[u8]) -> Response<Body> {
    match serde_json::from_slice::<Knobs>(body) {
        Ok(knobs) => {
            stand.turn(|now| *now = knobs);
            respond::json(StatusCode::OK, &stand.board.now())
        }
        Err(error) => respond::problem(&Problem::bad_request(error.to_string())),
    }
}
