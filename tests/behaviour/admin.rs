//! The operator's own listener: what it says, what it does, and whom it turns away.

use std::{net::SocketAddr, time::Duration};

use catproxy::config::{Admin, secret::Secret};
use fake_abconnect::Matching;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    forwarding::wire::{Head, Wire},
    support::{Bench, RedisServer, Reply, Setup, arrived, send, until},
};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
const TOKEN: &str = "an operator's token";

pub trait Administered {
    fn administered(self, token: Option<&'static str>) -> Self;
}

impl Administered for Setup {
    fn administered(self, token: Option<&'static str>) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let token = token.map(|token| Secret::new(token.replace(' ', "-")));
        self.config(move |config| config.admin = Some(Admin { listen, token }))
    }
}

pub struct Operator<'b>(pub &'b Bench);

impl Operator<'_> {
    fn address(&self) -> SocketAddr {
        self.0.proxy.admin.expect("an admin listener")
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[], "").await
    }

    async fn post(&self, target: &str, order: &Value) -> Reply {
        self.ask("POST", target, &[("Content-Type", "application/json")], &order.to_string()).await
    }

    async fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Reply {
        send(self.address(), method, target, fields, body).await
    }

    async fn keys(&self) -> Vec<(String, bool)> {
        let list = self.get("/entries").await.is(200).json();
        assert_eq!(list["next"], Value::Null);
        let entries = list["entries"].as_array().expect("entries");
        let mut keys: Vec<_> = entries
            .iter()
            .map(|entry| (entry["key"].as_str().unwrap().to_owned(), entry["valid"].as_bool().unwrap()))
            .collect();
        keys.sort_unstable();
        keys
    }
}

async fn bench(server: Option<&RedisServer>) -> Bench {
    Setup::on(server).administered(None).start().await
}

#[tokio::test]
async fn nothing_of_it_is_on_the_clients_port_and_nothing_of_theirs_on_its() {
    let bench = bench(None).await;
    for path in ["/livez", "/readyz", "/status", "/config", "/entries"] {
        Operator(&bench).get(path).await.is(200);
        bench.get(path).await.was("fwd=bypass; detail=no-route");
    }
    Operator(&bench).get(SELLERS).await.is(404);
    for (method, path, allowed) in
        [("POST", "/entries", "GET, HEAD"), ("GET", "/purge", "POST"), ("PUT", "/", "GET, HEAD")]
    {
        let reply = Operator(&bench).ask(method, path, &[], "").await;
        assert_eq!(reply.is(405).field("allow"), allowed);
    }
    let off = Setup::new().start().await;
    assert_eq!(off.proxy.admin, None, "it is there where it is asked for");
}

#[tokio::test]
async fn a_proxy_is_ready_though_redis_or_the_upstream_is_away_and_says_so() {
    let mut server = RedisServer::start().await;
    let bench = bench(Some(&server)).await;
    bench.get(SELLERS).await.is(200);
    let well = json!({ "ready": true, "reasons": [], "store": "redis", "upstream": "answers" });
    assert_eq!(Operator(&bench).get("/readyz").await.is(200).json(), well);
    server.kill();
    until("it is known that Redis is away", || async {
        bench.get("/api/Catalog?SellerIds=1").await;
        Operator(&bench).get("/readyz").await.is(200).json()["store"] == "away"
    })
    .await;
    let said = Operator(&bench).get("/readyz").await.is(200).json();
    assert!(said["reasons"][0].as_str().unwrap().starts_with("Redis is away"), "{said}");
    let Bench { upstream, proxy, clock } = bench;
    let token = upstream.token("demo");
    let gone = upstream.gate(Matching::path("/api/Lot"));
    drop(gone);
    drop(upstream);
    proxy.get_as(&token, "/api/Lot").await.is(502);
    let reply = send(proxy.admin.unwrap(), "GET", "/readyz", &[], "").await;
    assert_eq!(reply.is(200).json()["upstream"], "away");
    drop(clock);
}

#[tokio::test]
async fn who_is_told_to_stop_is_not_ready_and_says_so_until_the_end() {
    let bench = bench(None).await;
    let gate = bench.upstream.gate(Matching::path("/api/Lot"));
    let reading = bench.reading(&bench.upstream.token("demo"), "/api/Lot", &[]);
    arrived(&gate, 1).await;
    let admin = Operator(&bench).address();
    let stopped = bench.proxy.close();
    until("it is not ready", || async { send(admin, "GET", "/readyz", &[], "").await.status == 503 }).await;
    let said = send(admin, "GET", "/readyz", &[], "").await.is(503).json();
    assert_eq!(said["ready"], false);
    assert!(said["reasons"][0].as_str().unwrap().starts_with("told to stop"), "{said}");
    send(admin, "GET", "/livez", &[], "").await.is(200);
    gate.open();
    reading.await.expect("a reply").is(200);
    stopped.await.expect("it stops");
}

#[tokio::test]
async fn what_is_cached_is_listed_with_age_size_and_whether_it_is_valid() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let bench = bench(store).await;
        assert_eq!(Operator(&bench).keys().await, []);
        bench.get(SELLERS).await.came("fwd=miss; stored");
        bench.get("/api/Catalog?SellerIds=42").await.came("fwd=miss; stored");
        let both = |catalogs, sellers| {
            vec![("cat_catalogs_seller_42".to_owned(), catalogs), ("cat_sellers_all".to_owned(), sellers)]
        };
        assert_eq!(Operator(&bench).keys().await, both(true, true));
        bench.clock.forward(Duration::from_secs(20));
        let list = Operator(&bench).get("/entries").await.json();
        let sellers =
            list["entries"].as_array().unwrap().iter().find(|entry| entry["route"] == "sellers").unwrap();
        let number = |name: &str| sellers[name].as_u64().unwrap();
        assert!((20_000..40_000).contains(&number("age_ms")), "{sellers}");
        assert!((200_000..=300_000).contains(&number("left_ms")), "{sellers}");
        assert!(number("bytes") > 10_000, "{sellers}");
        bench.write("PUT", "/api/Catalog/7", "{}").await;
        bench.write("POST", "/api/Catalog", "{}").await;
        assert_eq!(Operator(&bench).keys().await, both(false, true), "a write made it void");
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pieces_and_what_is_not_ours_is_said_to_be_that() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let bench = bench(store).await;
        for seller in 1..=30 {
            bench.get(&format!("/api/Catalog?SellerIds={seller}")).await.is(200);
        }
        let (mut seen, mut from, mut pieces) = (std::collections::BTreeSet::new(), String::new(), 0);
        Operator(&bench).get("/entries?from=").await.is(400);
        loop {
            let list = Operator(&bench).get(&format!("/entries?limit=7{from}")).await.is(200).json();
            let keys = list["entries"].as_array().unwrap().iter().map(|entry| entry["key"].to_string());
            seen.extend(keys);
            pieces += 1;
            let Some(next) = list["next"].as_str() else { break };
            from = format!("&from={next}");
        }
        assert!(seen.len() == 30 && pieces > 3, "{pieces} pieces, {seen:?}");
    }
    let bench = bench(Some(&server)).await;
    server.command(&["FLUSHALL"]).await;
    server.command(&["SET", "cat_catalogs_seller_1", "what is this"]).await;
    server.command(&["LPUSH", "cat_sellers_all", "a"]).await;
    server.command(&["SET", "cat_no_route", "{}", "EX", "100"]).await;
    server.command(&["SET", "other", "x"]).await;
    let mut listed =
        Operator(&bench).get("/entries").await.is(200).json()["entries"].as_array().unwrap().clone();
    listed.sort_by_key(|entry| entry["key"].to_string());
    let told: Vec<_> =
        listed.iter().map(|entry| (&entry["route"], &entry["valid"], &entry["age_ms"])).collect();
    let (no, none) = (json!(false), Value::Null);
    assert_eq!(
        told,
        [(&json!("catalogs"), &no, &none), (&none, &no, &none), (&json!("sellers"), &no, &none)]
    );
    assert_eq!((&listed[0]["left_ms"], &listed[0]["bytes"]), (&Value::Null, &json!(12)));
    let mut server = server;
    server.kill();
    until("the store does not say", || async { Operator(&bench).get("/entries").await.status == 503 }).await;
}

#[tokio::test]
async fn a_purge_empties_a_route_a_key_or_all_for_every_replica() {
    let server = RedisServer::start().await;
    let bench = bench(Some(&server)).await;
    let (other, _) = Setup::new().redis(&server).proxy(bench.upstream.url()).await;
    let token = bench.upstream.token("demo");
    let targets = [SELLERS, "/api/Catalog?SellerIds=1", "/api/Catalog?SellerIds=2"];
    for (order, routes, key, purged) in [
        (json!({ "route": "sellers" }), json!(["sellers"]), Value::Null, [true, false, false]),
        (json!({ "all": true }), json!(["sellers", "catalogs"]), Value::Null, [true, true, true]),
        (
            json!({ "key": "cat_catalogs_seller_2" }),
            json!(["catalogs"]),
            json!("cat_catalogs_seller_2"),
            [false, false, true],
        ),
        (
            json!({ "key": "catalogs_seller_1" }),
            json!(["catalogs"]),
            json!("cat_catalogs_seller_1"),
            [false, true, false],
        ),
    ] {
        for target in targets {
            until("it is warm in both", || async {
                let replies = [bench.get_as(&token, target).await, other.get_as(&token, target).await];
                replies.iter().all(|reply| reply.field("cache-status").starts_with("catproxy; hit"))
            })
            .await;
        }
        let reply = Operator(&bench).post("/purge", &order).await;
        assert_eq!(
            reply.is(200).json(),
            json!({ "routes": routes, "key": key, "acknowledged": true }),
            "{order}"
        );
        server.command_told(&["PING"], &other.inside).await;
        for (target, purged) in targets.into_iter().zip(purged) {
            let from = if purged { "fwd=miss" } else { "hit" };
            bench.get_as(&token, target).await.came(from);
            other.get_as(&token, target).await.came("hit");
        }
    }
}

#[tokio::test]
async fn a_purge_of_what_there_is_not_says_what_there_is() {
    let bench = bench(None).await;
    for (order, status, word) in [
        (json!({ "route": "seller" }), 404, "there are sellers, catalogs"),
        (json!({ "key": "cat_gen_sellers" }), 404, "no route has such a key"),
        (json!({ "all": false }), 400, "all is true"),
        (json!({ "route": "sellers", "all": true }), 400, "expected"),
        (json!({ "rout": "sellers" }), 400, "unknown variant"),
        (json!([]), 400, "a JSON object"),
        (json!("all"), 400, "a JSON object"),
    ] {
        let said = Operator(&bench).post("/purge", &order).await.is(status).json()["detail"].to_string();
        assert!(said.contains(word), "{order}: {said}");
    }
    Operator(&bench).ask("POST", "/purge", &[("Content-Type", "text/plain")], "{\"all\":true}").await.is(415);
    let long = format!("{{\"key\":\"{}\"}}", "x".repeat(70_000));
    Operator(&bench).ask("POST", "/purge", &[("Content-Type", "application/json")], &long).await.is(413);
}

#[tokio::test]
async fn a_purge_that_the_store_does_not_hear_of_holds_here_and_is_said_to_be_no_more() {
    let server = RedisServer::start().await;
    let setup = Setup::new().redis(&server).config(|config| config.store.budget = Duration::from_millis(200));
    let bench = setup.administered(None).start().await;
    bench.get(SELLERS).await.is(200);
    server.freeze();
    let reply = Operator(&bench).post("/purge", &json!({ "route": "sellers" })).await;
    assert_eq!(reply.is(202).json()["acknowledged"], false);
    bench.get(SELLERS).await.came("fwd=miss");
    server.thaw();
    until("the store has heard of it", || async {
        Operator(&bench).keys().await.iter().all(|(_, valid)| !valid)
    })
    .await;
}

#[tokio::test]
async fn a_refresh_fetches_anew_with_the_token_it_is_given() {
    let bench = bench(None).await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.came("fwd=miss");
    bench.clock.forward(Duration::from_secs(30));
    bench.rename_past_the_proxy("Anew").await;
    let order = json!({ "key": "cat_sellers_all", "token": token });
    let said = Operator(&bench).post("/refresh", &order).await.is(200).json();
    assert!(said["cache_status"].as_str().unwrap().starts_with("catproxy; fwd=request; stored"), "{said}");
    let after = bench.get_as(&token, SELLERS).await;
    assert!(after.came("hit").items().iter().any(|seller| seller["name"] == "Anew"));
    // What was never read is there for the next reader.
    let order = json!({ "key": "catalogs_seller_42", "token": token });
    Operator(&bench).post("/refresh", &order).await.is(200);
    bench.get_as(&token, "/api/Catalog?SellerIds=42").await.came("hit");
    for (order, status) in [
        (json!({ "key": "cat_nothing" }), 404),
        (json!({ "key": "cat_sellers_all", "token": "nobody's" }), 502),
        (json!({ "key": "cat_sellers_all" }), 502),
        (json!({ "key": "cat_sellers_all", "token": "a\nb" }), 400),
        (json!({ "key": "cat_sellers_all", "token": "a b" }), 400),
        (json!({ "key": "cat_sellers_all", "token": "\u{e9}" }), 400),
        (json!({ "key": "cat_sellers_all", "token": "" }), 400),
        (json!(["cat_sellers_all", token]), 400),
        (json!({ "token": token }), 400),
        (json!({ "key": "cat_sellers_all", "tokens": token }), 400),
    ] {
        let said = Operator(&bench).post("/refresh", &order).await;
        assert!(said.is(status).json()["detail"].is_string(), "{order}");
    }
}

#[tokio::test]
async fn with_a_token_all_but_health_asks_for_it_and_it_is_shown_nowhere() {
    let bench = Setup::new().administered(Some(TOKEN)).start().await;
    let token = TOKEN.replace(' ', "-");
    let operator = Operator(&bench);
    for path in ["/livez", "/readyz"] {
        operator.get(path).await.is(200);
    }
    for (method, path) in
        [("GET", "/"), ("GET", "/status"), ("GET", "/config"), ("GET", "/entries"), ("POST", "/purge")]
    {
        let reply = operator.ask(method, path, &[], "").await;
        assert_eq!(reply.is(401).field("www-authenticate"), "Bearer realm=\"catproxy admin\"");
        operator.ask(method, path, &[("Authorization", "Bearer wrong")], "").await.is(401);
        let said = operator.ask(method, path, &[("Authorization", &format!("Bearer {token}"))], "").await;
        assert!(said.status != 401 && !String::from_utf8_lossy(&said.body).contains(&token), "{said:?}");
        assert_eq!(
            (said.field("cache-control"), said.field("x-content-type-options")),
            ("no-store", "nosniff")
        );
    }
    let config = operator.ask("GET", "/config", &[("Authorization", &format!("Bearer {token}"))], "").await;
    assert!(String::from_utf8_lossy(&config.body).contains("with a token"), "{config:?}");
}

#[tokio::test]
async fn a_page_of_another_site_purges_nothing() {
    let bench = bench(None).await;
    bench.get(SELLERS).await.is(200);
    let order = [("Content-Type", "application/json"), ("Sec-Fetch-Site", "cross-site")];
    Operator(&bench).ask("POST", "/purge", &order, "{\"all\":true}").await.is(403);
    let twice = [order[0], ("Sec-Fetch-Site", "same-origin"), order[1]];
    Operator(&bench).ask("POST", "/purge", &twice, "{\"all\":true}").await.is(403);
    purging(&bench, "1.1", b"Host: rebound.example\r\n").await.is(403);
    bench.get(SELLERS).await.came("hit");
}

#[tokio::test]
async fn who_says_no_host_or_more_than_one_purges_nothing() {
    let bench = bench(None).await;
    bench.get(SELLERS).await.is(200);
    let hosts: [&[u8]; 4] = [
        b"",
        b"Host: rebound.example\r\nHost: rebound.example\r\n",
        b"Host: localhost\r\nHost: rebound.example\r\n",
        b"Host: rebound\xe9.example\r\n",
    ];
    for host in hosts {
        let head = purging(&bench, "1.1", host).await;
        assert_eq!(head.is(400).field("content-type"), Some("application/problem+json"));
    }
    bench.get(SELLERS).await.came("hit");
    // Before HTTP/1.1 nobody had to.
    purging(&bench, "1.0", b"").await.is(200);
}

/// The head of the answer to a purge of all that is said with these fields, byte for byte.
async fn purging(bench: &Bench, version: &str, fields: &[u8]) -> Head {
    let stream = TcpStream::connect(Operator(bench).address()).await.expect("a connection");
    let mut wire = Wire::of(stream);
    wire.say(format!("POST /purge HTTP/{version}\r\n")).await;
    wire.say(fields).await;
    wire.say("Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"all\":true}").await;
    wire.head().await
}

#[tokio::test]
async fn its_document_demands_a_token_where_there_is_one() {
    for (token, security) in [(None, json!([])), (Some(TOKEN), json!([{ "token": [] }]))] {
        let bench = Setup::new().administered(token).start().await;
        let said = format!("Bearer {}", TOKEN.replace(' ', "-"));
        let document = Operator(&bench)
            .ask("GET", "/openapi.json", &[("Authorization", &said)], "")
            .await
            .is(200)
            .json();
        assert_eq!(document["security"], security);
        assert_eq!(document["paths"]["/livez"]["get"]["security"], json!([]), "health is for everybody");
        assert!(document["paths"]["/"]["get"].is_object(), "all paths stand there");
    }
}

#[tokio::test]
async fn after_a_reload_it_says_what_runs_now() {
    let setup = || Setup::new().administered(None);
    let bench = setup().start().await;
    let said = |reply: Reply| String::from_utf8(reply.is(200).body.to_vec()).unwrap();
    assert!(said(Operator(&bench).get("/config").await).contains("panels"));
    let mut config = setup().configuration(bench.upstream.url());
    config.name = "another one".to_owned();
    bench.proxy.reload.exchange(&config).await.expect("it runs");
    assert!(said(Operator(&bench).get("/config").await).contains("another one"));
    bench.get(SELLERS).await.is(200);
    Operator(&bench).post("/purge", &json!({ "all": true })).await.is(200);
    bench.get(SELLERS).await.came("fwd=miss");
}

/// The metrics' lines that are no comments, each with its value.
async fn metrics(bench: &Bench) -> std::collections::BTreeMap<String, f64> {
    let reply = Operator(bench).get("/metrics").await;
    assert_eq!(
        reply.is(200).field("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = String::from_utf8(reply.body.to_vec()).expect("text");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("a value"))
        .map(|(name, value)| (name.to_owned(), value.parse().expect(name)))
        .collect()
}

#[tokio::test]
async fn each_request_is_counted_by_its_route_how_it_ended_and_why() {
    let server = RedisServer::start().await;
    let bench = bench(Some(&server)).await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.was("fwd=miss; stored");
    until("it is near", || async {
        bench.get_as(&token, SELLERS).await.field("cache-status").ends_with("near")
    })
    .await;
    let near =
        metrics(&bench).await[r#"catproxy_requests_total{route="sellers",outcome="hit",reason="near"}"#];
    bench.get_as(&token, SELLERS).await.was("hit; detail=near");
    bench
        .get_with(&token, SELLERS, &[("Cache-Control", "no-store")])
        .await
        .was("fwd=bypass; detail=no-store");
    bench.get_with(&token, SELLERS, &[("Accept-Encoding", "identity;q=0, *;q=0")]).await;
    bench.get_as("nobodys", "/api/Catalog?SellerIds=1").await.is(401);
    bench.get_as(&token, "/api/Lot").await.is(200);
    bench.get_with(&token, "/api/Catalog?SellerIds=3", &[("Cache-Control", "only-if-cached")]).await.is(504);
    bench.write("PUT", "/api/Nothing", "{}").await;
    bench.proxy.send("TRACE", "/", &[], "").await.is(405);
    let told = metrics(&bench).await;
    let count = |route: &str, outcome: &str, reason: &str| {
        let name =
            format!(r#"catproxy_requests_total{{route="{route}",outcome="{outcome}",reason="{reason}"}}"#);
        *told.get(&name).unwrap_or(&0.0)
    };
    for (route, outcome, reason, expected) in [
        ("sellers", "fill", "miss", 1.0),
        ("sellers", "hit", "near", near + 1.0),
        // No read of a route was understood.
        ("none", "forwarded", "no-store", 1.0),
        ("none", "forwarded", "accept", 1.0),
        ("catalogs", "failed", "answered", 1.0),
        ("catalogs", "not-cached", "only-if-cached", 1.0),
        ("none", "forwarded", "no-route", 1.0),
        ("none", "forwarded", "method", 1.0),
        ("none", "refused", "guard", 1.0),
    ] {
        assert_eq!(count(route, outcome, reason), expected, "{route} {outcome} {reason}: {told:#?}");
    }
    let all: f64 = told
        .iter()
        .filter(|(name, _)| name.starts_with("catproxy_requests_total"))
        .map(|(_, count)| count)
        .sum();
    let timed: f64 = told
        .iter()
        .filter(|(name, _)| name.starts_with("catproxy_request_duration_seconds_count"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(timed, all - 2.0, "what is refused, or not cached, takes no time");
}

#[tokio::test]
async fn fills_store_upstream_and_memory_are_told_in_numbers() {
    let mut server = RedisServer::start().await;
    let bench = bench(Some(&server)).await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.was("fwd=miss; stored");
    until("it is near", || async {
        bench.get_as(&token, SELLERS).await.field("cache-status").ends_with("near")
    })
    .await;
    let told = metrics(&bench).await;
    for (name, expected) in [
        (r#"catproxy_fills_total{route="sellers",outcome="ok"}"#, 1.0),
        (r#"catproxy_fill_duration_seconds_count{route="sellers"}"#, 1.0),
        (r#"catproxy_fill_pages_total{route="sellers"}"#, 2.0),
        (r#"catproxy_store_operations_total{operation="put",outcome="ok"}"#, 1.0),
        ("catproxy_upstream_duration_seconds_count", 2.0),
        (r#"catproxy_upstream_connections{state="busy"}"#, 0.0),
        ("catproxy_upstream_connections_limit", 1000.0),
        ("catproxy_store_up", 1.0),
        ("catproxy_store_followed", 1.0),
        (r#"catproxy_memory_values{of="copies"}"#, 1.0),
        ("catproxy_flights", 0.0),
        ("catproxy_panics_total", 0.0),
        (r#"catproxy_build_info{version="0.1.0"}"#, 1.0),
    ] {
        assert_eq!(told.get(name), Some(&expected), "{name}: {told:#?}");
    }
    let kept = told[r#"catproxy_fill_kept_bytes_total{route="sellers"}"#];
    assert!(
        kept > 10_000.0 && told[r#"catproxy_fill_received_bytes_total{route="sellers"}"#] > 3.0 * kept,
        "{told:#?}"
    );
    assert!(told[r#"catproxy_memory_bytes{of="copies"}"#] > kept, "{told:#?}");
    assert!(told[r#"catproxy_memory_bytes{of="pages"}"#] > kept, "{told:#?}");
    assert!(told["process_resident_memory_bytes"] > 1e6 && told["process_open_fds"] > 3.0, "{told:#?}");
    server.kill();
    until("the breaker is open", || async {
        bench.get("/api/Catalog?SellerIds=1").await.is(200);
        metrics(&bench).await["catproxy_store_up"] == 0.0
    })
    .await;
    until("nobody follows", || async { metrics(&bench).await["catproxy_store_followed"] == 0.0 }).await;
    let told = metrics(&bench).await;
    let lost: f64 = told
        .iter()
        .filter(|(name, _)| name.starts_with("catproxy_store_operations_total") && !name.contains("\"ok\""))
        .map(|(_, count)| count)
        .sum();
    assert!(lost >= 1.0, "{told:#?}");
}

#[tokio::test]
async fn a_reload_forgets_no_count() {
    let setup = || Setup::new().administered(None);
    let bench = setup().start().await;
    bench.get(SELLERS).await.was("fwd=miss; stored");
    let config = setup().configuration(bench.upstream.url());
    bench.proxy.reload.exchange(&config).await.expect("it runs");
    let told = metrics(&bench).await;
    assert_eq!(told[r#"catproxy_requests_total{route="sellers",outcome="fill",reason="miss"}"#], 1.0);
}
