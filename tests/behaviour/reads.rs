//! Lists and objects from the cache: which fields, which items, which page, at which cost.

use std::time::Duration;

use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use catproxy::config::{Config, profile::Profile};
use fake_abconnect::{Generation, Matching, Rule, WrongJson};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{PATIENCE, Setup, send, until};

/// Seconds that a busy machine may take for what is done at once.
const SLACK: u64 = 15;
const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";

/// Only these fields of an object, in this order, where it has them.
fn only(item: &Value, fields: &[&str]) -> Value {
    fields.iter().filter_map(|field| Some(((*field).to_owned(), item.get(*field)?.clone()))).collect()
}

#[tokio::test]
async fn a_second_read_is_a_hit_with_the_same_bytes_and_no_upstream_call() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let cold = bench.get_as(&token, SELLERS).await;
    cold.is(200).came("fwd=miss");
    assert_eq!(bench.upstream.calls().len(), 2, "730 sellers are two pages of 500");
    let warm = bench.get_as(&token, SELLERS).await;
    warm.is(200).came("hit; ttl=");
    assert_eq!(warm.body, cold.body);
    assert_eq!(bench.upstream.calls().len(), 2);
    assert_eq!(warm.field("content-type"), "application/json; charset=utf-8");
    assert_eq!(warm.field("cache-control"), "private, no-cache");
    assert!(warm.age() < SLACK, "{warm:?}");
    assert!(warm.field("vary").contains("Authorization"));
}

#[tokio::test]
async fn any_page_of_any_size_comes_from_one_entry_and_counts_like_the_upstream() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let fields = ["id", "name", "customerDisplayId"];
    bench.get_as(&token, SELLERS).await.came("fwd=miss");
    bench.upstream.clear_calls();
    for (number, size) in [(1, 1), (2, 500), (1, 10), (73, 10), (74, 10), (7, 33), (2, 365), (99, 499)] {
        let target = format!("/api/Seller?PageSize={size}&PageNumber={number}");
        let mine = bench.get_as(&token, &target).await;
        mine.came("hit");
        let authorization = format!("Bearer {token}");
        let theirs =
            send(bench.upstream.addr(), "GET", &target, &[("Authorization", &authorization)], "").await;
        let mut expected = theirs.json();
        for item in expected["items"].as_array_mut().unwrap() {
            *item = only(item, &fields);
        }
        assert_eq!(mine.json(), expected, "{target}");
    }
    assert_eq!(bench.upstream.calls().len(), 8, "only this test's own calls");
}

#[tokio::test]
async fn names_of_paths_and_parameters_are_read_in_any_case() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.came("fwd=miss");
    bench.get_as(&token, "/API/seller?pagesize=3&PAGENUMBER=2").await.came("hit");
    let default = bench.get_as(&token, "/api/Seller").await;
    default.came("hit");
    assert_eq!(default.items().len(), 10, "the upstream's default page size");
}

#[tokio::test]
async fn values_are_copied_as_the_upstream_wrote_them() {
    let bench = Setup::new().start().await;
    let body = r#"{"items":[{"id":1,"name":"\u00e9 \/","customerDisplayId":1.10,"x":[1]},{"id":2,"name":null,"customerDisplayId":123456789012345678901234567890}],"pageNumber":1,"totalPages":1,"totalItems":2}"#;
    bench.upstream.rule(Rule { body: Some(body.to_owned()), ..Rule::default() });
    let reply = bench.get(SELLERS).await;
    let expected = r#"{"items":[{"id":1,"name":"\u00e9 \/","customerDisplayId":1.10},{"id":2,"name":null,"customerDisplayId":123456789012345678901234567890}],"pageNumber":1,"totalPages":1,"totalItems":2,"hasPreviousPage":false,"hasNextPage":false}"#;
    assert_eq!(std::str::from_utf8(&reply.body).unwrap(), expected);
}

#[tokio::test]
async fn a_sellers_catalogs_are_those_of_today_and_later_with_four_fields() {
    let bench = Setup::new().start().await;
    let many = bench.upstream.seller_with_many_catalogs();
    let reply = bench.get(&format!("/api/Catalog?PageNumber=1&PageSize=200&SellerIds={many}")).await;
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    let expected: Vec<Value> = bench
        .upstream
        .catalogs_of(many)
        .iter()
        .filter(|catalog| catalog["startDate"].as_str().unwrap() >= today.as_str())
        .map(|catalog| only(catalog, &["id", "title", "customerCatalogId", "startDate"]))
        .collect();
    assert!(expected.len() > 100);
    assert_eq!(reply.items(), expected);
    assert_eq!(reply.json()["totalItems"], json!(expected.len()));
}

#[tokio::test]
async fn a_seller_without_catalogs_is_an_empty_page_and_cached_like_any() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let target = format!("/api/Catalog?SellerIds={}", bench.upstream.seller_without_catalogs());
    bench.get_as(&token, &target).await.came("fwd=miss");
    let reply = bench.get_as(&token, &target).await;
    reply.came("hit");
    assert_eq!(
        reply.json(),
        json!({"items":[],"pageNumber":1,"totalPages":0,"totalItems":0,"hasPreviousPage":false,"hasNextPage":false})
    );
}

#[tokio::test]
async fn one_configuration_serves_both_generations_of_the_api() {
    let bench = Setup::new().upstream(|options| options.generation = Generation::Second).start().await;
    let many = bench.upstream.seller_with_many_catalogs();
    let reply = bench.get(&format!("/api/Catalog?PageSize=5&SellerIds={many}")).await;
    reply.is(200).came("fwd=miss");
    let items = reply.items();
    assert_eq!(items.len(), 5);
    for item in items {
        let catalog = bench.upstream.catalog(item["id"].as_i64().unwrap() as i32).unwrap();
        assert_eq!(
            item.get("customerCatalogId"),
            catalog["platforms"].get(0).map(|platform| &platform["platformCatalogId"])
        );
    }
}

#[tokio::test]
async fn midnight_drops_what_was_yesterday_without_an_upstream_call() {
    let bench =
        Setup::new().config(|config| config.admission = catproxy::config::Admission::Open).start().await;
    let many = bench.upstream.seller_with_many_catalogs();
    let target = format!("/api/Catalog?PageSize=500&SellerIds={many}");
    // An entry of a ttl ago is none; so the day must end soon after the entry was made.
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let left = now.end_of_day().unwrap().timestamp().duration_since(now.timestamp());
    bench.clock.forward(Duration::try_from(left).unwrap() - Duration::from_secs(60));
    let before = bench.get(&target).await.items();
    bench.clock.forward(Duration::from_secs(120));
    let after = bench.get(&target).await;
    after.came("hit");
    let today = now.date();
    assert!(before.iter().any(|item| item["startDate"].as_str().unwrap().starts_with(&today.to_string())));
    let later: Vec<Value> = before
        .into_iter()
        .filter(|item| !item["startDate"].as_str().unwrap().starts_with(&today.to_string()))
        .collect();
    assert_eq!(after.items(), later);
    bench.clock.back(Duration::from_secs(120));
    bench.get(&target).await.came("hit");
}

#[tokio::test]
async fn a_reader_whose_day_is_earlier_than_the_entrys_fills_anew() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let target = format!("/api/Catalog?SellerIds={}", bench.upstream.seller_with_many_catalogs());
    bench.get_as(&token, &target).await.came("fwd=miss");
    bench.clock.back(Duration::from_secs(24 * 60 * 60));
    bench.get_as(&token, &target).await.came("fwd=miss");
    bench.get_as(&token, SELLERS).await.came("fwd=miss");
}

#[tokio::test]
async fn an_entry_older_than_its_ttl_is_filled_anew_whatever_the_clock_did() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.came("fwd=miss");
    bench.clock.forward(Duration::from_secs(300 - SLACK));
    let old = bench.get_as(&token, SELLERS).await;
    old.came("hit");
    assert!(old.age() >= 300 - SLACK, "{old:?}");
    bench.clock.forward(Duration::from_secs(SLACK));
    bench.get_as(&token, SELLERS).await.came("fwd=miss");
}

#[tokio::test]
async fn what_is_not_fully_understood_is_forwarded_and_makes_no_entry() {
    let bench = Setup::new().profile(Profile::CatalogUi).start().await;
    let many = bench.upstream.seller_with_many_catalogs();
    let odd = [
        "/api/Seller/",
        "/api/Seller;x",
        "/api/%53eller",
        "//api/Seller",
        "/api//Seller",
        "/api/./Seller",
        "/api/Seller/042",
        "/api/Seller/+42",
        "/api/Seller/4%32",
        "/api/Seller/2147483648",
        "/api/Seller/0",
        "/api/Seller/42/",
        "/api/Seller/42?x=1",
        "/api/Seller?PageSize=501",
        "/api/Seller?PageSize=010",
        "/api/Seller?PageSize=1&PageSize=1",
        "/api/Seller?PageNumber=0",
        "/api/Seller?PageNumber=-1",
        "/api/Seller?PageNumber=",
        "/api/Seller?",
        "/api/Seller?Name=a",
        "/api/Seller?&PageSize=1",
        "/api/Seller?PageSize=1&",
        "/api/Seller?Page%53ize=1",
        "/api/Seller?PageSize=%31",
        "/api/Seller?x",
        "/api/Catalog",
        "/api/Catalog?SellerIds=",
        "/api/Catalog?SellerIds=1&SellerIds=2",
        "/api/Catalog?SellerIds=1,2",
        "/api/Catalog?SellerIds[]=1",
        "/api/Catalog?SellerIds=042",
        "/api/Catalog?SellerIds=%D9%A4",
        "/api/Catalog?SellerIds=42&Title=a",
        "/api/Catalog?SellerIds=99999999999999999999",
    ];
    for target in odd {
        let reply = bench.get(target).await;
        reply.came("fwd=bypass; detail=");
        assert_eq!(bench.upstream.calls().last().unwrap().target, target, "as it was spelled");
    }
    assert_eq!(bench.proxy.inside.telemetry().count("fills"), 0);
    for (fields, target) in [
        ([("Accept", "text/html")], SELLERS),
        ([("Accept", "application/json;q=0, */*")], SELLERS),
        ([("X-HTTP-Method-Override", "DELETE")], SELLERS),
        ([("Upgrade", "h2c")], SELLERS),
    ] {
        let token = format!("Bearer {}", bench.upstream.token("demo"));
        let fields = [("Authorization", token.as_str()), fields[0]];
        bench.proxy.send("GET", target, &fields, "").await.came("fwd=bypass");
    }
    let token = format!("Bearer {}", bench.upstream.token("demo"));
    bench
        .proxy
        .send("GET", SELLERS, &[("Authorization", &token)], "a body")
        .await
        .came("fwd=bypass; detail=body");
    assert_eq!(bench.proxy.inside.telemetry().count("fills"), 0);
    bench.get(&format!("/api/Catalog?SellerIds={many}")).await.came("fwd=miss");
}

#[tokio::test]
async fn an_object_is_cached_without_an_envelope_in_the_catalog_ui_profile() {
    let bench = Setup::new().profile(Profile::CatalogUi).start().await;
    let token = bench.upstream.token("demo");
    let id = bench.upstream.seller_with_many_catalogs();
    let target = format!("/api/Seller/{id}");
    let cold = bench.get_as(&token, &target).await;
    cold.is(200).came("fwd=miss");
    let warm = bench.get_as(&token, &target).await;
    warm.came("hit");
    assert_eq!(warm.body, cold.body);
    assert_eq!(warm.json()["id"], json!(id));
    assert_eq!(bench.upstream.calls().len(), 1);
    let missing = bench.get_as(&token, "/api/Seller/2147483647").await;
    missing.is(404).came("fwd=miss; fwd-status=404");
    assert_eq!(missing.field("content-type"), "application/problem+json; charset=utf-8");
}

#[tokio::test]
async fn the_catalog_ui_profile_keeps_past_catalogs() {
    let bench = Setup::new().profile(Profile::CatalogUi).start().await;
    let many = bench.upstream.seller_with_many_catalogs();
    let reply = bench.get(&format!("/api/Catalog?PageSize=500&SellerIds={many}")).await;
    assert_eq!(reply.items().len(), 230);
}

#[tokio::test]
async fn a_hundred_cold_requests_of_one_token_make_one_fill() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let gate = bench.upstream.gate(Matching::path("/api/Seller"));
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let (address, token) = (bench.proxy.address, format!("Bearer {token}"));
            tokio::spawn(async move { send(address, "GET", SELLERS, &[("Authorization", &token)], "").await })
        })
        .collect();
    gate.arrived(1).await;
    gate.open();
    for request in requests {
        request.await.unwrap().is(200);
    }
    assert_eq!(bench.upstream.calls().len(), 2, "two pages");
}

#[tokio::test]
async fn a_client_that_leaves_harms_nobody() {
    let bench = Setup::new().start().await;
    let token = format!("Bearer {}", bench.upstream.token("demo"));
    let gate = bench.upstream.gate(Matching::path("/api/Seller"));
    let address = bench.proxy.address;
    let ask =
        |token: String| async move { send(address, "GET", SELLERS, &[("Authorization", &token)], "").await };
    let first = tokio::spawn(ask(token.clone()));
    gate.arrived(1).await;
    let second = tokio::spawn(ask(token.clone()));
    first.abort();
    let _ = first.await;
    gate.open();
    second.await.unwrap().is(200);
    assert_eq!(bench.upstream.calls_to("/api/Seller").len(), 2, "the fill went on");
}

#[tokio::test]
async fn a_failed_fill_gives_the_upstreams_own_answer_and_stores_nothing() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    for (page, status) in [("PageNumber=1", 503), ("PageNumber=2", 500), ("PageNumber=1", 429)] {
        let on = Matching::path("/api/Seller").query(page);
        bench.upstream.rule(Rule {
            on,
            status: Some(status),
            retry_after: Some(7),
            times: Some(1),
            ..Rule::default()
        });
        let reply = bench.get_as(&token, SELLERS).await;
        reply.is(status).came(&format!("fwd=miss; fwd-status={status}"));
        assert_eq!(reply.field("content-type"), "application/problem+json; charset=utf-8");
        assert_eq!(reply.field("retry-after"), "7");
        assert_eq!(reply.json()["status"], json!(status));
        bench.upstream.clear_rules();
    }
    bench.get_as(&token, SELLERS).await.is(200).came("fwd=miss");
}

#[tokio::test]
async fn an_answer_that_is_not_the_list_is_forwarded() {
    let bench = Setup::new().start().await;
    let wrong = [
        Rule { html: true, ..Rule::default() },
        Rule { wrong_json: Some(WrongJson::Empty), ..Rule::default() },
        Rule {
            body: Some(r#"{"items":[1],"totalItems":1,"totalPages":1,"pageNumber":1}"#.to_owned()),
            ..Rule::default()
        },
        Rule {
            body: Some(r#"{"items":[{"id":1}],"totalItems":2,"totalPages":1,"pageNumber":1}"#.to_owned()),
            ..Rule::default()
        },
        Rule {
            body: Some(
                r#"{"items":[{"id":1},{"id":1}],"totalItems":2,"totalPages":1,"pageNumber":1}"#.to_owned(),
            ),
            ..Rule::default()
        },
        Rule {
            body: Some(r#"{"items":[{"id":1}],"totalItems":1,"pageNumber":1}"#.to_owned()),
            ..Rule::default()
        },
    ];
    for rule in wrong {
        let expected = rule.body.clone();
        bench.upstream.rule(rule);
        let reply = bench.get(SELLERS).await;
        reply.is(200).came("fwd=bypass; detail=unfit");
        if let Some(expected) = expected {
            assert_eq!(reply.body, expected, "byte for byte");
        }
        bench.upstream.clear_rules();
    }
    bench.get(SELLERS).await.came("fwd=miss");
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_read_is_read_once_more() {
    let bench = Setup::new().start().await;
    let gate = bench.upstream.gate_before(Matching::path("/api/Seller").query("PageNumber=2"));
    let read = async { bench.get(SELLERS).await };
    let change = async {
        gate.arrived(1).await;
        // Past the proxy: nothing is voided by it.
        let token = format!("Bearer {}", bench.upstream.token("demo"));
        let body = r#"{"name":"New","customerDisplayId":9,"isActive":true}"#;
        let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        send(bench.upstream.addr(), "POST", "/api/Seller", &fields, body).await.is(200);
        gate.open();
    };
    let (reply, ()) = tokio::join!(read, change);
    reply.is(200).came("fwd=miss");
    assert_eq!(reply.json()["totalItems"], json!(731));
}

#[tokio::test]
async fn a_truncated_or_coded_answer_is_told_apart() {
    let bench = Setup::new().start().await;
    bench.upstream.rule(Rule { truncate: Some(1000), times: Some(1), ..Rule::default() });
    bench.get(SELLERS).await.is(502).came("fwd=miss");
    bench.upstream.knobs(|knobs| knobs.brotli = true);
    let brotli = bench.get("/api/Seller?PageSize=3").await;
    brotli.is(200).came("fwd=miss");
    assert!(bench.upstream.calls().last().unwrap().header("accept-encoding").unwrap().contains("br"));
    assert_eq!(brotli.items().len(), 3);
}

#[tokio::test]
async fn a_collection_over_the_bounds_is_forwarded_and_remembered_as_such() {
    let bench = Setup::new().config(|config| config.fill.max_items = 100).start().await;
    let token = bench.upstream.token("demo");
    let first = bench.get_as(&token, SELLERS).await;
    first.is(200).came("fwd=bypass; detail=too-large");
    assert_eq!(first.items().len(), 500, "as the upstream answers it");
    bench.upstream.clear_calls();
    bench.get_as(&token, SELLERS).await.came("fwd=bypass; detail=too-large");
    assert_eq!(bench.upstream.calls().len(), 1, "no fill was tried");
}

#[tokio::test]
async fn an_upstream_with_smaller_pages_than_asked_for_is_read_whole() {
    let bench = Setup::new().start().await;
    bench.upstream.knobs(|knobs| knobs.max_page_size = 100);
    let reply = bench.get(SELLERS).await;
    assert_eq!(reply.items().len(), 500);
    assert_eq!(reply.json()["totalItems"], json!(730));
    assert_eq!(bench.upstream.calls().len(), 8);
}

#[tokio::test]
async fn nothing_of_the_clients_but_its_token_is_in_a_fill() {
    let bench = Setup::new().start().await;
    let token = format!("Bearer {}", bench.upstream.token("demo"));
    let fields = [
        ("Authorization", token.as_str()),
        ("X-Forwarded-For", "marker"),
        ("Accept-Language", "marker"),
        ("Cookie", "marker=1"),
        ("Range", "bytes=0-1"),
        ("If-None-Match", "\"marker\""),
        ("User-Agent", "marker"),
    ];
    bench.proxy.send("GET", SELLERS, &fields, "").await.is(200).came("fwd=miss");
    for call in bench.upstream.calls() {
        let names: Vec<String> = call.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
        assert_eq!(names, ["host", "accept", "accept-encoding", "user-agent", "authorization"]);
        assert!(!format!("{call:?}").contains("marker"));
    }
}

#[tokio::test]
async fn head_has_the_fields_of_get_and_no_body() {
    let bench = Setup::new().start().await;
    let token = format!("Bearer {}", bench.upstream.token("demo"));
    let get = bench.proxy.send("GET", SELLERS, &[("Authorization", &token)], "").await;
    let head = bench.proxy.send("HEAD", SELLERS, &[("Authorization", &token)], "").await;
    head.is(200).came("hit");
    assert!(head.body.is_empty());
    assert_eq!(head.field("content-length"), get.body.len().to_string());
}

#[tokio::test]
async fn freshness_counts_from_the_beginning_of_the_fill() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let gate = bench.upstream.gate(Matching::path("/api/Seller").query("PageNumber=1&PageSize=500"));
    let cold = async { bench.get_as(&token, SELLERS).await };
    let later = async {
        gate.arrived(1).await;
        bench.clock.forward(Duration::from_secs(100));
        gate.open();
    };
    let (cold, ()) = tokio::join!(cold, later);
    let warm = bench.get_as(&token, SELLERS).await;
    warm.came("hit");
    assert!((100..100 + SLACK).contains(&warm.age()), "{warm:?}");
    // Whoever waited knows better than a clock that was moved: it took no time at all.
    assert!(cold.age() < SLACK, "{cold:?}");
}

#[tokio::test]
async fn each_bound_of_a_fill_counts_for_itself() {
    let bounds: [fn(&mut Config); 4] = [
        |config| config.fill.max_items = 729,
        |config| config.fill.max_pages = 1,
        |config| config.fill.max_page_bytes = 1000,
        |config| config.fill.max_bytes = 1000,
    ];
    for (place, bound) in bounds.into_iter().enumerate() {
        let bench = Setup::new().config(bound).start().await;
        let reply = bench.get(SELLERS).await;
        reply.is(200).came("fwd=bypass; detail=too-large");
        assert_eq!(reply.items().len(), 500, "bound {place}: as the upstream answers it");
    }
}

#[tokio::test]
async fn another_page_than_the_one_asked_for_is_no_part_of_a_list() {
    let bench = Setup::new().start().await;
    let body = r#"{"items":[{"id":1}],"totalItems":1,"totalPages":1,"pageNumber":2}"#;
    bench.upstream.rule(Rule { body: Some(body.to_owned()), ..Rule::default() });
    bench.get(SELLERS).await.is(200).came("fwd=bypass; detail=unfit");
}

#[tokio::test]
async fn a_refused_fill_tells_the_challenge_and_is_for_nobody_else() {
    let bench = Setup::new().start().await;
    let reply = bench.get_as(&bench.upstream.expired_token("demo"), SELLERS).await;
    reply.is(401).came("fwd=miss; fwd-status=401");
    assert_eq!(reply.field("www-authenticate"), "Bearer");
    assert_eq!(reply.field("cache-control"), "no-store");
}

#[tokio::test]
async fn a_fill_that_takes_too_long_is_given_up() {
    let bench = Setup::new().config(|config| config.fill.timeout = Duration::from_millis(100)).start().await;
    bench.upstream.rule(Rule { hang: true, ..Rule::default() });
    bench.get(SELLERS).await.is(504).came("fwd=miss; detail=unanswered");
}

#[tokio::test]
async fn no_more_fills_go_at_a_time_than_configured() {
    let bench = Setup::new().config(|config| config.fill.parallel_fills = 1).start().await;
    let token = bench.upstream.token("demo");
    let list = "/api/Catalog?SellerIds=42";
    let gate = bench.upstream.gate(Matching::path("/api/Seller"));
    let others = async {
        gate.arrived(1).await;
        let open = async {
            // Once it is joined, the second fill has begun and waits for its turn.
            until("joined", || async { bench.proxy.inside.telemetry().count("joined") == 1 }).await;
            gate.open();
        };
        tokio::join!(bench.get_as(&token, list), bench.get_as(&token, list), open)
    };
    let (first, (second, third, ())) = tokio::join!(bench.get_as(&token, SELLERS), others);
    first.is(200).came("fwd=miss");
    let mut statuses = [second.field("cache-status"), third.field("cache-status")];
    statuses.sort_unstable();
    assert_eq!(statuses, ["catproxy; fwd=miss; collapsed; stored", "catproxy; fwd=miss; stored"]);
    let targets: Vec<String> = bench.upstream.calls().into_iter().map(|call| call.target).collect();
    assert!(targets[1].starts_with("/api/Seller") && targets[2].starts_with("/api/Catalog"), "{targets:?}");
}

#[tokio::test]
async fn as_many_pages_are_asked_for_at_a_time_as_configured() {
    let bench = Setup::new().config(|config| config.fill.parallel_pages = 3).start().await;
    bench.upstream.knobs(|knobs| knobs.max_page_size = 10);
    let gate = bench.upstream.gate(Matching::path("/api/Seller"));
    let read = async { bench.get(SELLERS).await };
    let pages = async {
        gate.arrived(1).await;
        gate.release(1);
        gate.arrived(4).await;
        gate.open();
    };
    let (reply, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(read, pages) }).await.unwrap();
    assert_eq!(reply.items().len(), 500);
    // Each page in flight has a connection; one more may be opened while a finished one is given back.
    assert!(bench.upstream.connections() <= 6, "{}", bench.upstream.connections());
}

#[tokio::test]
async fn a_page_in_any_coding_that_was_asked_for_is_read() {
    let page = br#"{"items":[{"id":1,"name":"a"}],"pageNumber":1,"totalPages":1,"totalItems":1}"#;
    for coding in ["gzip", "br", "zstd"] {
        let coded = match coding {
            "gzip" => all(GzipEncoder::new(&page[..])).await,
            "br" => all(BrotliEncoder::new(&page[..])).await,
            _ => all(ZstdEncoder::new(&page[..])).await,
        };
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (proxy, _) = Setup::new().proxy(&format!("http://{}", upstream.local_addr().unwrap())).await;
        let answer = async {
            let (mut stream, _) = upstream.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let asked = String::from_utf8(head).unwrap().to_lowercase();
            assert!(asked.contains("accept-encoding: gzip, br, zstd\r\n"), "{asked}");
            let length = coded.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
            );
            stream.write_all(&[head.as_bytes(), &coded].concat()).await.unwrap();
            stream
        };
        let (reply, _stream) =
            tokio::join!(proxy.send("GET", SELLERS, &[("Authorization", "Bearer a")], ""), answer);
        reply.is(200).came("fwd=miss");
        assert_eq!(reply.items(), [json!({"id": 1, "name": "a"})], "{coding}");
    }
}

async fn all(mut reader: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn pages_that_count_different_totals_are_no_list() {
    let bench = Setup::new().start().await;
    for (number, total) in [(1, 2), (2, 3)] {
        let body = format!(
            r#"{{"items":[{{"id":{number}}}],"totalItems":{total},"totalPages":2,"pageNumber":{number}}}"#
        );
        let on = Matching::path("/api/Seller").query(format!("PageNumber={number}"));
        bench.upstream.rule(Rule { on, body: Some(body), ..Rule::default() });
    }
    bench.get(SELLERS).await.is(200).came("fwd=bypass; detail=unfit");
}

#[tokio::test]
async fn a_page_that_does_not_say_it_is_json_is_none() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (proxy, _) = Setup::new().proxy(&format!("http://{}", upstream.local_addr().unwrap())).await;
    let page = r#"{"items":[{"id":1}],"pageNumber":1,"totalPages":1,"totalItems":1}"#;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = upstream.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
            stream.write_all(format!("{head}{page}").as_bytes()).await.unwrap();
        }
    });
    let reply = proxy.send("GET", SELLERS, &[("Authorization", "Bearer a")], "").await;
    reply.is(200).came("fwd=bypass; detail=unfit");
    assert_eq!(reply.body, page);
}
