//! Traces, as a collector gets them that speaks OTLP over HTTP, and as the upstream is told of them.

pub mod collector;

use fake_abconnect::{Matching, Rule};
use http::StatusCode;

use self::collector::{Collector, Mood, Span, traces};
use crate::{
    authority::Authority,
    forwarding::wire::{RawUpstream, Wire},
    secrets::{csrf, program::Program},
    support::{Bench, Reply, Setup, arrived, free_port, send, until},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";

/// What a client says of its trace.
fn said(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{PARENT}-{flags}")
}

/// The panels' routes in front of a stand-in, with this collector.
fn traced(collector: &Collector) -> Setup {
    let traces = collector.traces();
    Setup::new().config(move |config| config.traces = traces)
}

/// The names of a span's steps, in the order in which they began.
fn steps(of: &Span, spans: &[Span]) -> Vec<String> {
    let mut below: Vec<&Span> = spans.iter().filter(|span| span.parent == of.id).collect();
    below.sort_by_key(|span| span.begun);
    below.iter().map(|span| span.name.clone()).collect()
}

fn only<'s>(name: &str, spans: &'s [Span]) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "more than one {name} in {spans:#?}");
    span
}

/// What the upstream was told with its last request to this path: trace, span and flags.
fn told(bench: &Bench, path: &str) -> (String, String, String) {
    let call = bench.upstream.calls_to(path).pop().expect("a call");
    let fields: Vec<&str> = call
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("traceparent"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(fields.len(), 1, "{:?}", call.headers);
    let parts: Vec<&str> = fields[0].split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"));
    (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned())
}

#[tokio::test]
async fn a_warm_hit_is_a_span_with_its_steps_whoever_reads_it() {
    for hit_loop in [true, false] {
        let collector = Collector::start().await;
        let bench = traced(&collector).config(move |config| config.clients.hit_loop = hit_loop).start().await;
        let token = bench.upstream.token("demo");
        bench.get_as(&token, "/api/Seller").await.came("fwd=miss");
        // From here on its page is at hand.
        bench.get_as(&token, "/api/Seller?PageNumber=2").await.came("hit");
        let field = said(TRACE, "01");
        let fields = [("traceparent", field.as_str()), ("tracestate", "vendor=t0p-s3cret")];
        bench.get_with(&token, "/api/Seller?PageNumber=2", &fields).await.came("hit");
        let (request, spans) = collector.request(|span| span.trace == TRACE).await;
        assert_eq!((request.name.as_str(), request.parent.as_str()), ("GET /api/Seller", PARENT));
        assert_eq!(steps(&request, &spans), ["guard", "classify", "admit", "look", "respond"]);
        assert_eq!(spans.len(), 6, "{spans:#?}");
        for (name, value) in [
            ("http.request.method", "GET"),
            ("http.route", "/api/Seller"),
            ("http.response.status_code", "200"),
            ("network.protocol.version", "1.1"),
            ("catproxy.route", "sellers"),
            ("catproxy.outcome", "hit"),
            ("catproxy.reason", "store"),
        ] {
            assert_eq!(request.is(name), value, "{name} of {request:#?}");
        }
        assert_eq!(only("look", &spans).is("catproxy.found"), "store");
        assert!(!request.failed && request.attributes.keys().all(|name| !name.starts_with("url.p")));
        assert_eq!(request.resource["service.name"], "catproxy");
        for span in &spans {
            assert!(request.begun <= span.begun && span.begun <= span.ended, "{span:#?}");
        }
    }
}

#[tokio::test]
async fn a_cold_read_shows_its_flight_its_fill_and_each_page() {
    let collector = Collector::start().await;
    let bench = traced(&collector).config(|config| config.fill.page_size = 50).start().await;
    let field = said(TRACE, "01");
    let fields = [("traceparent", field.as_str()), ("tracestate", "vendor=1")];
    let token = bench.upstream.token("demo");
    bench.get_with(&token, "/api/Seller", &fields).await.came("fwd=miss");
    let fill = collector.until("a fill", |span| span.name == "fill").await;
    let (request, spans) = collector.request(|span| span.trace == TRACE).await;
    assert_eq!(steps(&request, &spans), ["guard", "classify", "admit", "look", "fill", "flight", "respond"]);
    assert_eq!((request.is("catproxy.outcome"), request.is("catproxy.reason")), ("fill", "miss"));
    assert_eq!(only("look", &spans).is("catproxy.found"), "nothing");
    assert_eq!(only("flight", &spans).is("catproxy.flight"), "led");
    let calls = bench.upstream.calls_to("/api/Seller");
    assert!(calls.len() > 1);
    assert_eq!(fill.is("catproxy.pages"), calls.len().to_string());
    assert_eq!(fill.is("catproxy.items"), bench.upstream.sellers().len().to_string());
    let mut pages: Vec<&Span> = spans.iter().filter(|span| span.parent == fill.id).collect();
    pages.sort_by_key(|page| page.is("catproxy.page").parse::<usize>().expect("a number"));
    assert_eq!(pages.len(), calls.len());
    for (page, number) in pages.iter().zip(1..) {
        assert_eq!((page.name.as_str(), page.kind), ("fetch", 3));
        assert_eq!(page.is("catproxy.page"), number.to_string());
        assert_eq!(page.is("http.response.status_code"), "200");
        assert_eq!(page.is("server.address"), "127.0.0.1");
        assert_eq!(page.is("server.port"), bench.upstream.addr().port().to_string());
        let call = calls.iter().find(|call| call.header("traceparent").expect("a parent").contains(&page.id));
        let call = call.expect("a page that was asked for below its span");
        assert_eq!(call.header("traceparent"), Some(format!("00-{TRACE}-{}-01", page.id).as_str()));
        assert_eq!(call.header("tracestate"), Some("vendor=1"));
    }
}

#[tokio::test]
async fn who_waits_for_anothers_fill_points_at_it() {
    let collector = Collector::start().await;
    let bench = traced(&collector).start().await;
    let gate = bench.upstream.gate(Matching::path("/api/Seller"));
    let (leader, follower) = (bench.upstream.token("demo"), bench.upstream.token("demo"));
    let (one, other) = (said(TRACE, "01"), said(OTHER, "01"));
    let leading = bench.reading(&leader, "/api/Seller", &[("traceparent", &one)]);
    arrived(&gate, 1).await;
    let following = bench.reading(&follower, "/api/Seller", &[("traceparent", &other)]);
    // The question whether that token may read.
    arrived(&gate, 2).await;
    gate.open();
    leading.await.expect("an answer").came("fwd=miss");
    following.await.expect("an answer").came("fwd=miss");
    let fill = collector.until("a fill", |span| span.name == "fill").await;
    let (request, spans) = collector.request(|span| span.trace == OTHER).await;
    assert_eq!(fill.trace, TRACE);
    let flight = only("flight", &spans);
    assert_eq!((flight.parent.as_str(), flight.is("catproxy.flight")), (request.id.as_str(), "joined"));
    assert_eq!(flight.links, [(fill.trace.clone(), fill.id.clone())]);
    let question = only("question", &spans);
    assert_eq!(question.parent, request.id);
    assert_eq!(steps(question, &spans), ["fetch"]);
    let spans: Vec<Span> = collector.spans().into_iter().filter(|span| span.trace == TRACE).collect();
    assert!(only("flight", &spans).links.is_empty());
}

#[tokio::test]
async fn what_is_forwarded_is_below_our_span() {
    let collector = Collector::start().await;
    let bench = traced(&collector).start().await;
    let field = said(TRACE, "01");
    let token = bench.upstream.token("demo");
    bench.get_with(&token, "/api/Lot", &[("traceparent", &field)]).await;
    let (request, spans) = collector.request(|span| span.trace == TRACE).await;
    assert_eq!((request.name.as_str(), request.parent.as_str()), ("GET", PARENT));
    assert_eq!((request.is("catproxy.outcome"), request.is("catproxy.reason")), ("forwarded", "no-route"));
    assert_eq!(steps(&request, &spans), ["guard", "classify", "forward"]);
    let forward = only("forward", &spans);
    assert_eq!((forward.kind, forward.is("http.request.method")), (3, "GET"));
    assert_eq!(told(&bench, "/api/Lot"), (TRACE.to_owned(), forward.id.clone(), "01".to_owned()));
}

#[tokio::test]
async fn of_a_head_that_is_forwarded_only_the_parent_is_another() {
    let collector = Collector::start().await;
    let (upstream, proxy) = RawUpstream::behind(traced(&collector)).await;
    let said = said(TRACE, "01");
    let head = format!(
        "GET /x HTTP/1.1\r\nHOST: a\r\nX-Odd-CASE: 1\r\nTraceParent: {said}\r\nTraceState: a=1\r\ntraceSTATE: b=2\r\n\
         authorization: Bearer t\r\n\r\n"
    );
    let mut client = Wire::saying(&proxy, head.clone().into_bytes()).await;
    let mut there = upstream.accept().await;
    let asked = there.head().await.0;
    there.say(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    client.head().await;
    let (_, spans) = collector.request(|span| span.trace == TRACE).await;
    let expected = head.replace(PARENT, &only("forward", &spans).id);
    let expected = expected.replace("HOST: a", &format!("HOST: {}", upstream.address));
    assert_eq!(asked.replace("via: 1.1 catproxy\r\n", ""), expected);
}

#[tokio::test]
async fn without_traces_those_fields_pass_untouched() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    for field in [said(TRACE, "01"), said(TRACE, "03"), "nonsense".to_owned()] {
        bench.get_with(&token, "/api/Lot", &[("traceparent", &field), ("tracestate", "?")]).await;
        let call = bench.upstream.calls_to("/api/Lot").pop().expect("a call");
        assert_eq!(call.header("traceparent"), Some(field.as_str()));
        assert_eq!(call.header("tracestate"), Some("?"));
    }
    bench.get_as(&token, "/api/Seller").await.came("fwd=miss");
    let calls = bench.upstream.calls_to("/api/Seller");
    assert!(calls.iter().all(|call| call.header("traceparent").is_none()));
}

#[tokio::test]
async fn what_a_client_does_not_sample_is_not_sampled_and_the_upstream_is_told_so() {
    let collector = Collector::start().await;
    let bench = traced(&collector).start().await;
    let token = bench.upstream.token("demo");
    let unsampled = said(TRACE, "00");
    let fields = [("traceparent", unsampled.as_str()), ("tracestate", "a=1")];
    for target in ["/api/Lot", "/api/Seller", "/api/Seller"] {
        bench.get_with(&token, target, &fields).await;
    }
    let untouched = (TRACE.to_owned(), PARENT.to_owned(), "00".to_owned());
    assert_eq!(told(&bench, "/api/Lot"), untouched);
    assert_eq!(told(&bench, "/api/Seller"), untouched, "of a fill");
    // Sent after those, if they had been.
    bench.get_with(&token, "/api/Seller", &[("traceparent", &said(OTHER, "01"))]).await.came("hit");
    collector.request(|span| span.trace == OTHER).await;
    assert!(collector.spans().iter().all(|span| span.trace != TRACE), "{:#?}", collector.spans());
}

#[tokio::test]
async fn what_is_no_traceparent_begins_a_new_trace() {
    let collector = Collector::start().await;
    let bench = traced(&collector).start().await;
    let token = bench.upstream.token("demo");
    for field in ["", "nonsense", &said(TRACE, "01").to_uppercase(), &said(&"0".repeat(32), "01")] {
        bench.get_with(&token, "/api/Lot", &[("traceparent", field), ("tracestate", "a=1")]).await;
        let (trace, parent, flags) = told(&bench, "/api/Lot");
        assert!(trace.to_lowercase() != TRACE && trace != "0".repeat(32), "{field}: {trace}");
        assert_eq!(flags, "01");
        let (request, spans) = collector.request(|span| span.trace == trace).await;
        assert_eq!((request.parent.as_str(), only("forward", &spans).id.clone()), ("", parent));
        let call = bench.upstream.calls_to("/api/Lot").pop().expect("a call");
        assert_eq!(call.header("tracestate"), None, "it belongs to no trace");
    }
}

#[tokio::test]
async fn a_ratio_is_for_those_whose_client_says_nothing() {
    let collector = Collector::start().await;
    let endpoint = format!("http://{}", collector.address);
    let never = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")];
    let configured = traces(&endpoint, &never);
    let bench = Setup::new().config(move |config| config.traces = configured).start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, "/api/Lot").await;
    let (trace, _, flags) = told(&bench, "/api/Lot");
    assert_eq!(flags, "00", "whoever is behind us does not decide anew");
    bench.get_with(&token, "/api/Lot", &[("traceparent", &said(OTHER, "01"))]).await;
    collector.request(|span| span.trace == OTHER).await;
    assert!(collector.spans().iter().all(|span| span.trace != trace));
}

#[tokio::test]
async fn a_write_is_a_span_and_what_goes_wrong_upstream_is_seen() {
    let collector = Collector::start().await;
    let bench = traced(&collector).start().await;
    let body = r#"{"name":"a","customerDisplayId":1,"isActive":true}"#;
    bench.write("PUT", "/api/Seller/42", body).await.is(200);
    let (request, spans) = collector.request(|span| span.is("http.request.method") == "PUT").await;
    assert_eq!((request.name.as_str(), request.is("catproxy.reason")), ("PUT", "method"));
    assert_eq!(steps(&request, &spans), ["guard", "classify", "forward"]);
    assert!(spans.iter().all(|span| !span.failed));
    let (trace, parent, _) = told(&bench, "/api/Seller/42");
    assert_eq!((trace, parent), (request.trace, only("forward", &spans).id.clone()));

    bench.upstream.rule(Rule { on: Matching::path("/api/Lot"), status: Some(503), ..Rule::default() });
    let field = said(TRACE, "01");
    let token = bench.upstream.token("demo");
    bench.get_with(&token, "/api/Lot", &[("traceparent", &field)]).await.is(503);
    let (request, spans) = collector.request(|span| span.trace == TRACE).await;
    let forward = only("forward", &spans);
    assert!(request.failed && forward.failed);
    assert_eq!((request.is("error.type"), forward.is("error.type")), ("503", "503"));

    bench.upstream.close_connections();
    bench.upstream.stop().await;
    let fields = [("Authorization", "Bearer x"), ("traceparent", &said(OTHER, "01"))];
    bench.proxy.send("GET", "/api/Lot", &fields, "").await.is(502);
    let (request, spans) = collector.request(|span| span.trace == OTHER).await;
    let forward = only("forward", &spans);
    assert_eq!((request.is("error.type"), forward.is("error.type")), ("502", "connect"));
    assert!(request.failed && forward.failed);
}

#[tokio::test]
async fn who_leaves_is_seen_to_and_his_write_to_its_end() {
    let collector = Collector::start().await;
    let bench = traced(&collector).start().await;
    let gate = bench.upstream.gate(Matching::all());
    let token = bench.upstream.token("demo");
    let reading = bench.reading(&token, "/api/Seller", &[("traceparent", &said(TRACE, "01"))]);
    arrived(&gate, 1).await;
    reading.abort();
    let (request, _) = collector.request(|span| span.trace == TRACE).await;
    assert_eq!((request.is("catproxy.outcome"), request.is("http.response.status_code")), ("left", ""));
    let (address, other, bearer) = (bench.proxy.address, said(OTHER, "01"), format!("Bearer {token}"));
    let writing = tokio::spawn(async move {
        let fields = [("traceparent", other.as_str()), ("Authorization", &bearer)];
        send(address, "DELETE", "/api/Seller/42", &fields, "").await
    });
    arrived(&gate, 2).await;
    writing.abort();
    gate.open();
    let (request, spans) = collector.request(|span| span.trace == OTHER).await;
    assert_eq!((request.is("catproxy.outcome"), request.is("catproxy.reason")), ("forwarded", "method"));
    assert_ne!(only("forward", &spans).is("http.response.status_code"), "");
    // The fill went on without the reader.
    collector.until("its fill", |span| span.name == "fill" && span.trace == TRACE).await;
}

#[tokio::test]
async fn a_request_that_is_refused_is_a_span_without_what_it_said() {
    let collector = Collector::start().await;
    let bench = traced(&collector).start().await;
    let fields = [("traceparent", said(TRACE, "01"))];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    bench.proxy.send("TRACE", "/api/Seller", &fields, "").await;
    let (request, spans) = collector.request(|span| span.trace == TRACE).await;
    assert_eq!((request.name.as_str(), request.is("catproxy.outcome")), ("TRACE", "refused"));
    assert_eq!(steps(&request, &spans), ["guard"]);
    bench
        .proxy
        .send("T0KEN-METHOD", "/t0ken/path?t0ken=query", &[("traceparent", &said(OTHER, "01"))], "")
        .await;
    let (request, _) = collector.request(|span| span.trace == OTHER).await;
    assert_eq!((request.name.as_str(), request.is("http.request.method")), ("HTTP", "_OTHER"));
    let bytes = String::from_utf8_lossy(&collector.bytes()).to_lowercase();
    assert!(!bytes.contains("t0ken"));
}

#[tokio::test]
async fn a_frozen_collector_costs_no_request_anything_and_what_does_not_fit_is_counted() {
    let collector = Collector::start().await;
    collector.is(Mood::Frozen);
    let bench = traced(&collector).start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, "/api/Seller").await.came("fwd=miss");
    collector.until_asked(1).await;
    // Each of them is six spans; so many wait.
    for _ in 0..(2048 / 6 + 2) {
        bench.get_as(&token, "/api/Seller").await.came("hit");
    }
    let dropped = bench.count("spans_dropped");
    assert!(dropped > 0 && dropped % 6 == 0, "{dropped}: whole requests");
    assert_eq!((bench.count("spans_exported"), collector.asked()), (0, 1));
    let proxy = bench.proxy.inside.clone();
    assert_eq!(bench.proxy.close().await.expect("an end"), catproxy::server::Stopped::Drained);
    let lost = proxy.telemetry().count("spans_dropped");
    assert!(lost > dropped, "what waited is lost, and counted: {lost}");
}

#[tokio::test]
async fn what_waits_at_the_end_is_sent_before_it() {
    let collector = Collector::start().await;
    let bench = traced(&collector).start().await;
    let token = bench.upstream.token("demo");
    bench.get_with(&token, "/api/Lot", &[("traceparent", &said(TRACE, "01"))]).await;
    let proxy = bench.proxy.inside.clone();
    bench.proxy.close().await.expect("an end");
    // Without waiting for it.
    let count = collector.spans().iter().filter(|span| span.trace == TRACE).count() as u64;
    assert_eq!((count, proxy.telemetry().count("spans_exported")), (4, 4), "{:#?}", collector.spans());
}

#[tokio::test]
async fn a_collector_that_was_away_gets_what_it_has_missed() {
    let port = free_port();
    let configured = traces(&format!("http://127.0.0.1:{port}"), &[]);
    let bench = Setup::new().config(move |config| config.traces = configured).start().await;
    let token = bench.upstream.token("demo");
    bench.get_with(&token, "/api/Lot", &[("traceparent", &said(TRACE, "01"))]).await.is(200);
    let collector = Collector::start_at(port).await;
    collector.request(|span| span.trace == TRACE).await;
    // It may say that it cannot at the moment.
    collector.is(Mood::Answers(StatusCode::SERVICE_UNAVAILABLE));
    let asked = collector.asked();
    bench.get_with(&token, "/api/Lot", &[("traceparent", &said(OTHER, "01"))]).await.is(200);
    collector.until_asked(asked + 1).await;
    collector.is(Mood::Takes);
    collector.request(|span| span.trace == OTHER).await;
    assert_eq!(bench.count("spans_dropped"), 0);
    // What it refuses for good is not sent again.
    collector.is(Mood::Answers(StatusCode::BAD_REQUEST));
    let asked = collector.asked();
    bench.get_as(&token, "/api/Lot").await.is(200);
    collector.until_asked(asked + 1).await;
    until("it is counted", || std::future::ready(bench.count("spans_dropped") == 4)).await;
}

#[tokio::test]
async fn a_collector_behind_tls_is_believed_by_its_authority_and_no_other() {
    let (collector, authority) = (Collector::start().await, Authority::new());
    let own = authority.terminate("127.0.0.1", collector.address).await;
    let strangers = Authority::new().terminate("127.0.0.1", collector.address).await;
    for (terminator, trace, taken) in [(own, TRACE, 4), (strangers, OTHER, 0)] {
        let trusted = authority.file();
        let path = trusted.path().to_owned();
        let bench = Setup::new().config(move |config| {
            config.traces = traces(&format!("https://{terminator}"), &[]);
            config.traces.as_mut().expect("traces").collector.ca_file = Some(path);
        });
        let bench = bench.start().await;
        let token = bench.upstream.token("demo");
        bench.get_with(&token, "/api/Lot", &[("traceparent", &said(trace, "01"))]).await.is(200);
        let proxy = bench.proxy.inside.clone();
        bench.proxy.close().await.expect("an end");
        let count = |name| proxy.telemetry().count(name);
        assert_eq!((count("spans_exported"), count("spans_dropped")), (taken, 4 - taken), "{terminator}");
        assert_eq!(collector.spans().iter().filter(|span| span.trace == trace).count() as u64, taken);
    }
}

#[tokio::test]
async fn another_configuration_sends_elsewhere_and_loses_nothing() {
    let (before, after) = (Collector::start().await, Collector::start().await);
    let bench = traced(&before).start().await;
    let token = bench.upstream.token("demo");
    bench.get_with(&token, "/api/Lot", &[("traceparent", &said(TRACE, "01"))]).await.is(200);
    let config = traced(&after).configuration(bench.upstream.url());
    bench.proxy.reload.exchange(&config).await.expect("it takes office");
    bench.get_with(&token, "/api/Lot", &[("traceparent", &said(OTHER, "01"))]).await.is(200);
    after.request(|span| span.trace == OTHER).await;
    before.request(|span| span.trace == TRACE).await;
    assert!(after.spans().iter().all(|span| span.trace == OTHER));
    assert!(before.spans().iter().all(|span| span.trace == TRACE));
}

/// What a browser keeps of an answer.
fn cookies(reply: &Reply) -> String {
    let lines = reply.fields.get_all("set-cookie").into_iter();
    let pairs = lines.filter_map(|line| line.to_str().expect("text").split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn a_page_of_the_frontend_shows_its_reads() {
    let collector = Collector::start().await;
    let bench = traced(&collector).start().await;
    let page = bench.proxy.send("GET", "/ui/sign-in", &[("Accept", "text/html")], "").await;
    let form = format!("csrf={}&user=demo&password=demo", csrf(&page));
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let signed_in = [("Cookie", &*cookies(&page)), kind];
    let signed_in = bench.proxy.send("POST", "/ui/sign-in", &signed_in, &form).await;
    let fields = [("Cookie", &*cookies(signed_in.is(303))), ("Accept", "text/html")];
    bench.proxy.send("GET", "/ui/panel/sellers", &fields, "").await.is(200);
    let read = collector.until("a read", |span| span.name == "read").await;
    let (request, spans) = collector.request(|span| span.id == read.parent).await;
    assert_eq!((request.name.as_str(), read.is("catproxy.route")), ("GET", "sellers"));
    assert!(steps(&read, &spans).contains(&"look".to_owned()), "{spans:#?}");
}

#[tokio::test]
async fn the_log_says_once_that_the_collector_is_away_and_once_that_it_is_back() {
    let collector = Collector::start().await;
    collector.is(Mood::Answers(StatusCode::SERVICE_UNAVAILABLE));
    let upstream = fake_abconnect::FakeAbconnect::start(Default::default()).expect("the stand-in starts");
    let endpoint = format!("http://{}", collector.address);
    let door = Program::serve(&[
        ("CATPROXY_UPSTREAM", upstream.url()),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("CATPROXY_LOG", "info,access=info"),
        ("CATPROXY_LOG_FORMAT", "json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=s3cret"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        // Of whatever else runs there: this program has one way.
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%2Cb,service.name=other"),
    ]);
    let fields = [("traceparent", said(TRACE, "01"))];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    door.send("GET", "/api/Lot", &fields, "").await;
    collector.until_asked(2).await;
    collector.is(Mood::Takes);
    let (request, _) = collector.request(|span| span.trace == TRACE).await;
    assert_eq!(request.resource["service.name"], "shop");
    assert_eq!(request.resource["deployment.environment.name"], "a,b");
    door.until_printed("takes them again").await;
    assert!(String::from_utf8_lossy(&collector.bytes()).contains("x-collector-key"));
    let log = door.stop();
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!((lines("does not take them"), lines("takes them again")), (1, 1), "{log}");
    let access = log.lines().find(|line| line.contains("\"target\":\"access\"")).expect("an access line");
    assert!(access.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{access}");
    assert!(!log.contains("s3cret"));
}
