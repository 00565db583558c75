//! Knobs, gates and the log of calls.

use std::time::{Duration, Instant};

use crate::client::{Bench, exchange, parse};
use fake_abconnect::{Close, FakeAbconnect, Matching, Options, Rule, WrongJson};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

fn rule(on: Matching) -> Rule {
    Rule { on, ..Rule::default() }
}

#[tokio::test]
async fn a_rule_hits_the_requests_it_is_about_as_often_as_it_says() {
    let bench = Bench::start();
    let second_page = Matching::path("/api/seller").method("GET").query("pagenumber=2");
    bench.upstream.rule(Rule {
        status: Some(503),
        retry_after: Some(7),
        times: Some(1),
        ..rule(second_page)
    });
    assert_eq!(bench.get("/api/Seller?PageNumber=1").await.status, 200);
    let hit = bench.get("/api/Seller?PageNumber=2").await;
    assert_eq!((hit.status, hit.header("retry-after"), &hit.json()["status"]), (503, Some("7"), &json!(503)));
    assert_eq!(bench.get("/api/Seller?PageNumber=2").await.status, 200);
    assert_eq!(bench.upstream.knobs_now().rules[0].times, Some(0));
}

#[tokio::test]
async fn latency_delays_and_a_hang_never_answers() {
    let bench = Bench::start();
    bench.upstream.rule(Rule { latency_ms: Some(60), ..rule(Matching::path("/api/Seller")) });
    bench.upstream.rule(Rule { hang: true, ..rule(Matching::path("/api/Catalog")) });
    let before = Instant::now();
    bench.get("/api/Seller/42").await;
    assert!(before.elapsed() >= Duration::from_millis(60));
    assert!(timeout(Duration::from_millis(100), bench.get("/api/Catalog")).await.is_err());
}

#[tokio::test]
async fn a_truncated_body_stops_after_exactly_so_many_bytes() {
    let bench = Bench::start();
    let whole = bench.get("/api/Seller/42").await;
    let promised = whole.raw_body.len().to_string();
    bench.upstream.rule(Rule { truncate: Some(1000), times: Some(1), ..Rule::default() });
    let cut = bench.get("/api/Seller/42").await;
    assert_eq!(cut.header("content-length"), Some(promised.as_str()));
    assert_eq!(cut.raw_body, whole.raw_body[..1000]);
    bench.upstream.rule(Rule { truncate: Some(1000), chunked: true, times: Some(1), ..Rule::default() });
    let cut = bench.get("/api/Seller/42").await;
    assert_eq!(cut.header("transfer-encoding"), Some("chunked"));
    assert!(cut.text().starts_with("3E8\r\n") && cut.raw_body.len() == 1000 + 7, "{}", cut.raw_body.len());
    bench.upstream.rule(Rule { truncate: Some(0), times: Some(1), ..Rule::default() });
    assert_eq!(bench.get("/api/Seller/42").await.raw_body, b"");
    bench.upstream.rule(Rule { chunked: true, times: Some(1), ..Rule::default() });
    assert!(bench.get("/api/Seller/42").await.text().ends_with("\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn answers_can_be_what_no_client_expects() {
    let bench = Bench::start();
    for (wrong, text) in [(WrongJson::Null, "null"), (WrongJson::Empty, "")] {
        bench.upstream.rule(Rule { wrong_json: Some(wrong), times: Some(1), ..Rule::default() });
        let reply = bench.get("/api/Seller").await;
        assert_eq!((reply.status, reply.text().as_str()), (200, text));
    }
    bench.upstream.rule(Rule { html: true, times: Some(1), ..Rule::default() });
    assert_eq!(bench.get("/api/Seller").await.header("content-type"), Some("text/html; charset=utf-8"));
    bench.upstream.rule(Rule { body: Some("{}".to_owned()), times: Some(1), ..Rule::default() });
    assert_eq!(bench.get("/api/Seller").await.text(), "{}");
}

#[tokio::test]
async fn compression_is_off_until_turned_on_and_asked_for() {
    let bench = Bench::start();
    let asking = format!("Authorization: Bearer {}\r\nAccept-Encoding: gzip, br\r\n", bench.token);
    let plain = bench.raw("GET", "/api/Seller", &asking, "").await;
    assert_eq!(plain.header("content-encoding"), None);
    bench.upstream.knobs(|knobs| knobs.gzip = true);
    for _ in 0..2 {
        let packed = bench.raw("GET", "/api/Seller", &asking, "").await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.raw_body.len() < plain.raw_body.len());
    }
    bench.upstream.knobs(|knobs| knobs.brotli = true);
    assert_eq!(bench.raw("GET", "/api/Seller", &asking, "").await.header("content-encoding"), Some("br"));
    assert_eq!(bench.get("/api/Seller").await.header("content-encoding"), None);
    let refusing = asking.replace("gzip, br", "gzip;q=0, br;q=0.0");
    assert_eq!(bench.raw("GET", "/api/Seller", &refusing, "").await.header("content-encoding"), None);
}

/// Sends a request that keeps its connection and reads the answer by its length.
async fn kept_alive(stream: &mut TcpStream, target: &str, token: &str) -> Option<String> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut reply = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.ok()?;
        reply.push(byte[0]);
        if reply.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = parse(&reply);
    let mut body = vec![0; head.header("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    String::from_utf8(reply).ok()
}

#[tokio::test]
async fn connections_close_in_three_ways() {
    let bench = Bench::start();
    let connect = || TcpStream::connect(bench.upstream.addr());
    let close = |close| Rule { close: Some(close), times: Some(1), ..Rule::default() };
    let mut stream = connect().await.unwrap();
    assert!(kept_alive(&mut stream, "/api/Seller/42", &bench.token).await.is_some());
    bench.upstream.rule(close(Close::Silent));
    let silent = kept_alive(&mut stream, "/api/Seller/42", &bench.token).await.unwrap();
    assert!(!silent.to_lowercase().contains("connection: close"), "{silent}");
    assert_eq!(timeout(SOON, stream.read(&mut [0])).await.unwrap().unwrap(), 0, "closed by the other side");
    let mut stream = connect().await.unwrap();
    bench.upstream.rule(close(Close::Announced));
    let announced = kept_alive(&mut stream, "/api/Seller/42", &bench.token).await.unwrap();
    assert!(announced.to_lowercase().contains("connection: close"), "{announced}");
    let mut stream = connect().await.unwrap();
    bench.upstream.rule(close(Close::Unanswered));
    assert_eq!(kept_alive(&mut stream, "/api/Seller/42", &bench.token).await, None);
}

#[tokio::test]
async fn a_reset_comes_instead_of_an_answer_or_within_it() {
    let bench = Bench::start();
    for truncate in [None, Some(10)] {
        bench.upstream.rule(Rule { close: Some(Close::Reset), truncate, times: Some(1), ..Rule::default() });
        let mut stream = TcpStream::connect(bench.upstream.addr()).await.unwrap();
        let request = format!(
            "GET /api/Seller/42 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
            bench.token
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let end = timeout(SOON, stream.read_to_end(&mut Vec::new())).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "{truncate:?}");
    }
    assert_eq!(bench.get("/api/Seller/42").await.status, 200);
}

#[tokio::test]
async fn idle_connections_can_be_closed_at_once() {
    let bench = Bench::start();
    let mut stream = TcpStream::connect(bench.upstream.addr()).await.unwrap();
    kept_alive(&mut stream, "/api/Seller/42", &bench.token).await.unwrap();
    assert_eq!(bench.upstream.connections(), 1);
    bench.upstream.close_connections();
    assert_eq!(timeout(SOON, stream.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_gate_holds_answers_that_were_made_before() {
    let bench = Bench::start();
    let gate = bench.upstream.gate(Matching::path("/api/Seller/2"));
    let held = bench.get("/api/Seller/2");
    let write = async {
        gate.arrived(1).await;
        let body = r#"{"name":"After","customerDisplayId":1,"isActive":true}"#;
        assert_eq!(bench.send("PUT", "/api/Seller/42", body).await.status, 200);
        bench.send("DELETE", "/api/Seller/42", "").await;
        assert_eq!(gate.arrived_so_far(), 1);
        gate.release(1);
    };
    let (held, ()) = timeout(SOON, async { tokio::join!(held, write) }).await.unwrap();
    assert_eq!(held.status, 200);
    gate.open();
    assert_eq!(bench.get("/api/Seller/2").await.status, 200);
}

#[tokio::test]
async fn a_gate_before_holds_requests_that_then_see_later_data() {
    let bench = Bench::start();
    let (early, late) = {
        let answers = bench.upstream.gate(Matching::path("/api/Seller").query("early"));
        let requests = bench.upstream.gate_before(Matching::path("/api/Seller").query("late"));
        let write = async {
            answers.arrived(1).await;
            requests.arrived(1).await;
            bench.send("DELETE", "/api/Seller/42", "").await;
            answers.release(1);
            drop(requests);
        };
        let calls =
            async { tokio::join!(bench.get("/api/Seller?early"), bench.get("/api/Seller?late"), write) };
        let (early, late, ()) = timeout(SOON, calls).await.unwrap();
        (early.json(), late.json())
    };
    assert_eq!((early["totalItems"].as_u64(), late["totalItems"].as_u64()), (Some(730), Some(729)));
}

#[tokio::test]
async fn the_log_has_calls_as_they_were_spelled() {
    let bench = Bench::start();
    let request = "POST /api/Seller?X=%41 HTTP/1.1\r\nhOsT: x\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\nConnection: close\r\n\
        Content-Length: 4\r\n\r\nnull";
    exchange(bench.upstream.addr(), request.as_bytes()).await;
    let calls = bench.upstream.wait_for_calls(&Matching::path("/api/seller"), 1).await;
    let call = &calls[0];
    assert_eq!(
        (call.method.as_str(), call.target.as_str(), call.path()),
        ("POST", "/api/Seller?X=%41", "/api/Seller")
    );
    let names: Vec<&str> = call.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["hOsT", "X-B", "x-a", "X-B", "Connection", "Content-Length"]);
    assert_eq!((call.body_length, &call.body_start[..], call.header("x-b")), (4, &b"null"[..], Some("1")));
    bench.upstream.clear_calls();
    bench.upstream.log_calls(false);
    bench.get("/api/Seller").await;
    assert!(bench.upstream.calls().is_empty());
}

#[tokio::test]
async fn the_log_forgets_the_oldest_and_waits_for_the_newest() {
    let bench = Bench::with(Options { call_limit: 2, ..Options::default() });
    let wait = async { bench.upstream.wait_for_calls(&Matching::path("/api/Lot"), 2).await };
    let calls = async {
        for id in 1..=3 {
            bench.get(&format!("/api/Lot/{id}")).await;
        }
    };
    timeout(SOON, async { tokio::join!(wait, calls) }).await.unwrap();
    let targets: Vec<String> = bench.upstream.calls().into_iter().map(|call| call.target).collect();
    assert_eq!(targets, ["/api/Lot/2", "/api/Lot/3"]);
}

#[tokio::test]
async fn knobs_and_calls_can_be_reached_by_http() {
    let bench = Bench::start();
    let knobs =
        json!({"rules": [{"on": {"path": "/api/Lot"}, "status": 500}], "maxPageSize": 50, "sellers": 60});
    let set = bench.send("PUT", "/_fake/knobs", &knobs.to_string()).await;
    assert_eq!((set.status, &set.json()["maxPageSize"]), (200, &json!(50)));
    assert_eq!(bench.get("/api/Lot/1").await.status, 500);
    let page = bench.get("/api/Seller?PageSize=500").await.json();
    assert_eq!((page["totalItems"].as_u64(), page["items"].as_array().unwrap().len()), (Some(60), 50));
    assert_eq!(bench.send("PUT", "/_fake/knobs", r#"{"sttus":1}"#).await.status, 400);
    let calls = bench.get("/_fake/calls?path=/api/lot").await.json();
    assert_eq!((calls[0]["target"].as_str(), calls.as_array().unwrap().len()), (Some("/api/Lot/1"), 1));
    assert_eq!(bench.send("DELETE", "/_fake/calls", "").await.status, 204);
    assert_eq!(bench.get("/_fake/calls").await.json(), json!([]));
}

#[tokio::test]
async fn a_stopped_one_frees_its_port_and_closes_its_connections() {
    let bench = Bench::start();
    let addr = bench.upstream.addr();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    kept_alive(&mut stream, "/api/Seller/42", &bench.token).await.unwrap();
    timeout(SOON, bench.upstream.stop()).await.unwrap();
    assert_eq!(timeout(SOON, stream.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    assert!(TcpStream::connect(addr).await.is_err());
    let again = FakeAbconnect::start(Options { listen: addr, ..Options::default() }).unwrap();
    assert_eq!(again.addr(), addr);
}

#[test]
fn one_on_its_own_threads_needs_no_runtime() {
    let running = FakeAbconnect::start_on_own_threads(Options::default(), 1).unwrap();
    let token = running.token("demo");
    let request = format!(
        "GET /api/Seller/42 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut stream = std::net::TcpStream::connect(running.addr()).unwrap();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut stream, &mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    assert!(FakeAbconnect::start(Options::default()).is_err(), "without a runtime");
}
