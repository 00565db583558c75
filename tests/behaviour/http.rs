//! What an answer from the cache says of itself: tags, codings, age and where it came from; and what a client may
//! ask of it beyond the page.

use std::{io::Read as _, time::Duration};

use catproxy::config::{Admission, profile::Profile};
use fake_abconnect::{Matching, Rule};

use crate::{
    forwarding::wire::{Head, Wire},
    support::{Bench, RedisServer, Reply, Setup, free_port, until},
};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
/// Larger than what is sent as it is, but not by much.
const SHORT: &str = "/api/Seller?PageNumber=1&PageSize=50";
const CODINGS: [&str; 4] = ["identity", "gzip", "br", "zstd"];

/// The body as it was before it was coded.
fn decoded(reply: &Reply) -> Vec<u8> {
    let (coded, mut plain) = (&reply.body[..], Vec::new());
    match reply.field("content-encoding") {
        "" => plain.extend_from_slice(coded),
        "gzip" => drop(flate2::read::GzDecoder::new(coded).read_to_end(&mut plain).unwrap()),
        "br" => drop(brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain).unwrap()),
        "zstd" => plain = zstd::stream::decode_all(coded).unwrap(),
        other => panic!("{other}"),
    }
    plain
}

/// The page in each coding.
async fn in_each_coding(bench: &Bench, token: &str, target: &str) -> Vec<Reply> {
    let mut replies = Vec::new();
    for coding in CODINGS {
        let reply = bench.get_with(token, target, &[("Accept-Encoding", coding)]).await;
        replies.push(reply.is(200).clone());
    }
    replies
}

fn tags(replies: &[Reply]) -> Vec<String> {
    replies.iter().map(|reply| reply.field("etag").to_owned()).collect()
}

/// Moves the clock to a minute before tomorrow's midnight: an entry of a ttl ago is none, so one that is made now
/// lives to see it.
fn to_a_minute_before_midnight(bench: &Bench) {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let left = now.end_of_day().unwrap().timestamp().duration_since(now.timestamp());
    // Tomorrow's, for a test that runs in the last minute of today.
    let left = Duration::try_from(left).unwrap() + Duration::from_secs(24 * 60 * 60);
    bench.clock.forward(left - Duration::from_secs(60));
}

/// A bench whose catalogs can be read across midnight: no token of the stand-in's lives as long.
async fn open_bench() -> (Bench, String) {
    let bench = Setup::new().config(|config| config.admission = Admission::Open).start().await;
    let many = bench.upstream.seller_with_many_catalogs();
    to_a_minute_before_midnight(&bench);
    (bench, format!("/api/Catalog?PageNumber=1&PageSize=200&SellerIds={many}"))
}

#[tokio::test]
async fn a_tag_is_strong_stays_and_is_another_for_each_coding() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let all = tags(&in_each_coding(&bench, &token, SELLERS).await);
    for tag in &all {
        let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap();
        assert!(!inner.is_empty() && !inner.contains('"'), "{tag}");
    }
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), CODINGS.len(), "{all:?}");
    assert_eq!(tags(&in_each_coding(&bench, &token, SELLERS).await), all);
}

#[tokio::test]
async fn a_tag_is_the_same_in_all_replicas_and_stores() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    let token = bench.upstream.token("demo");
    for target in [SELLERS, "/api/Catalog?SellerIds=42"] {
        let first = tags(&in_each_coding(&bench, &token, target).await);
        for setup in [Setup::new().redis(&server), Setup::new()] {
            let (other, _) = setup.proxy(bench.upstream.url()).await;
            for (coding, tag) in CODINGS.into_iter().zip(&first) {
                let reply = other.send_as(&token, "GET", target, &[("Accept-Encoding", coding)]).await;
                assert_eq!(reply.is(200).field("etag"), tag, "{coding}");
            }
        }
    }
}

#[tokio::test]
async fn a_tag_outlives_its_entry_and_goes_with_the_data() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let first = tags(&in_each_coding(&bench, &token, SELLERS).await);
    bench.clock.forward(Duration::from_secs(300));
    let again = in_each_coding(&bench, &token, SELLERS).await;
    again[0].was("fwd=miss; stored");
    assert_eq!(tags(&again), first);
    bench
        .write("PUT", "/api/Seller/42", r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#)
        .await
        .is(200);
    for (new, old) in tags(&in_each_coding(&bench, &token, SELLERS).await).iter().zip(&first) {
        assert_ne!(new, old);
    }
}

#[tokio::test]
async fn each_page_has_a_tag_of_its_own() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let mut seen = std::collections::HashSet::new();
    for (number, size) in [(1, 10), (2, 10), (1, 20), (1, 500), (74, 10), (75, 10)] {
        let target = format!("/api/Seller?PageNumber={number}&PageSize={size}");
        let reply = bench.get_as(&token, &target).await;
        assert!(seen.insert(reply.is(200).field("etag").to_owned()), "{target}");
    }
}

#[tokio::test]
async fn a_day_later_the_catalogs_have_another_tag() {
    let (bench, target) = open_bench().await;
    let before = bench.get(&target).await;
    bench.clock.forward(Duration::from_secs(120));
    let tag = before.field("etag");
    let after = bench.get_with("", &target, &[("If-None-Match", tag)]).await;
    after.is(200).was("hit");
    assert_ne!(after.field("etag"), tag);
    assert_eq!(before.items().len(), after.items().len() + 1, "yesterday's is gone");
}

#[tokio::test]
async fn who_has_the_page_is_told_that_it_has_not_changed() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let gzip = ("Accept-Encoding", "gzip");
    let tag = bench.get_with(&token, SHORT, &[gzip]).await.field("etag").to_owned();
    let plain = bench.get_as(&token, SHORT).await.field("etag").to_owned();
    let known = [
        vec![tag.clone()],
        vec![format!("W/{tag}")],
        vec!["*".to_owned()],
        vec![format!("\"a\", W/\"b,c\",{tag} , \"d\"")],
        vec!["\"a\"".to_owned(), tag.clone()],
    ];
    let unknown = [
        vec![plain.clone()],
        vec!["\"a\"".to_owned(), "W/\"b\"".to_owned()],
        vec![tag.trim_matches('"').to_owned()],
        vec![String::new()],
    ];
    for (lines, status) in
        known.iter().map(|lines| (lines, 304)).chain(unknown.iter().map(|lines| (lines, 200)))
    {
        let mut fields: Vec<_> = lines.iter().map(|line| ("If-None-Match", line.as_str())).collect();
        fields.push(gzip);
        let reply = bench.get_with(&token, SHORT, &fields).await;
        assert_eq!(reply.status.as_u16(), status, "{lines:?}");
        assert_eq!(reply.was("hit").field("etag"), tag);
        assert_eq!(reply.body.is_empty(), status == 304, "{lines:?}");
    }
}

#[tokio::test]
async fn a_304_says_what_its_200_does_but_nothing_of_a_body() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let whole = bench.get_with(&token, SHORT, &[("Accept-Encoding", "br")]).await;
    let ask = |method: &str, tag: &str| {
        format!(
            "{method} {SHORT} HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer {token}\r\n\
             Accept-Encoding: br\r\nIf-None-Match: {tag}\r\n\r\n"
        )
    };
    let mut client = Wire::to(&bench.proxy).await;
    for method in ["GET", "HEAD"] {
        client.say(ask(method, whole.field("etag"))).await;
        let head: Head = client.head().await;
        head.is(304);
        for name in ["etag", "cache-control", "vary"] {
            assert_eq!(head.field(name), Some(whole.field(name)), "{name}");
        }
        assert!(head.field("date").is_some());
        assert!(head.field("age").unwrap().parse::<u64>().is_ok());
        assert!(head.field("cache-status").unwrap().starts_with("catproxy; hit; ttl="));
        for name in ["content-type", "content-encoding", "transfer-encoding"] {
            assert_eq!(head.field(name), None, "{name}");
        }
        // Absent, or the one of the 200 (RFC 9110 section 8.6).
        let length = head.field("content-length");
        assert!(length.is_none_or(|length| length == whole.field("content-length")), "{head:?}");
    }
    // Had there been a body, the next answer would not begin here.
    client.say(ask("GET", "\"another\"")).await;
    client.head().await.is(200);
}

#[tokio::test]
async fn head_has_the_head_of_get_whether_it_hits_misses_or_changed_nothing() {
    /// What may differ from moment to moment, and how the first one's came.
    fn head(reply: &Reply) -> Vec<(String, String)> {
        let mut fields: Vec<_> = reply
            .fields
            .iter()
            .filter(|(name, _)| !["date", "age", "cache-status"].contains(&name.as_str()))
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        fields.sort();
        fields
    }
    for target in [SHORT, "/api/Seller?PageSize=1", "/api/Seller/42"] {
        for coding in ["identity", "gzip", "br", "zstd", "gzip, identity;q=0"] {
            let setup = || Setup::new().profile(Profile::CatalogUi).upstream(|options| options.sellers = 50);
            let bench = setup().start().await;
            let token = bench.upstream.token("demo");
            let (cold, _) = setup().proxy(bench.upstream.url()).await;
            let fields = [("Accept-Encoding", coding)];
            let miss = cold.send_as(&token, "HEAD", target, &fields).await;
            let get = bench.get_with(&token, target, &fields).await;
            assert_eq!((miss.was("fwd=miss; stored"), get.was("fwd=miss; stored")).0.body, "");
            assert_eq!(get.field("content-length"), get.body.len().to_string());
            assert_eq!(head(miss.is(200)), head(&get), "{target} {coding}");
            let hit = bench.proxy.send_as(&token, "HEAD", target, &fields).await;
            assert_eq!(hit.was("hit").body, "");
            assert_eq!(head(hit.is(200)), head(&get), "{target} {coding}");
            let fields = [fields[0], ("If-None-Match", get.field("etag"))];
            let unchanged = bench.get_with(&token, target, &fields).await;
            let no_news = bench.proxy.send_as(&token, "HEAD", target, &fields).await;
            assert_eq!(head(no_news.is(304)), head(unchanged.is(304)), "{target} {coding}");
        }
    }
}

#[tokio::test]
async fn a_page_that_had_to_be_fetched_may_be_the_one_that_is_known() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let tag = bench.get_as(&token, SELLERS).await.field("etag").to_owned();
    for known in [tag.as_str(), "*"] {
        bench.clock.forward(Duration::from_secs(300));
        let reply = bench.get_with(&token, SELLERS, &[("If-None-Match", known)]).await;
        reply.is(304).was("fwd=miss; stored");
        assert_eq!(reply.field("etag"), tag);
    }
    assert_eq!(bench.count("fills"), 3);
}

#[tokio::test]
async fn dates_and_ranges_are_not_heard() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let whole = bench.get_as(&token, SHORT).await;
    let tag = whole.field("etag");
    for fields in [
        &[("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")][..],
        &[("Range", "bytes=0-9")],
        &[("Range", "bytes=0-9"), ("If-Range", tag)],
    ] {
        let reply = bench.get_with(&token, SHORT, fields).await;
        reply.is(200).was("hit");
        assert_eq!(reply.body, whole.body, "{fields:?}");
        assert_eq!((reply.field("content-range"), reply.field("accept-ranges")), ("", ""));
    }
}

#[tokio::test]
async fn a_precondition_that_can_fail_is_the_upstreams_to_judge() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SHORT).await.is(200);
    for field in [("If-Match", "\"a\""), ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")] {
        bench.get_with(&token, SHORT, &[field]).await.was("fwd=bypass; detail=condition");
        let calls = bench.upstream.calls();
        assert_eq!(calls.last().unwrap().header(field.0), Some(field.1));
    }
}

#[tokio::test]
async fn each_coding_holds_the_same_page() {
    let bench = Setup::new().profile(Profile::CatalogUi).start().await;
    let token = bench.upstream.token("demo");
    for target in [SELLERS, "/api/Catalog?PageSize=500&SellerIds=42"] {
        let replies = in_each_coding(&bench, &token, target).await;
        for (coding, reply) in CODINGS.into_iter().zip(&replies) {
            let named = if coding == "identity" { "" } else { coding };
            assert_eq!(reply.field("content-encoding"), named);
            assert_eq!(reply.field("vary"), "Accept-Encoding, Authorization");
            assert_eq!(decoded(reply), replies[0].body, "{coding}");
            assert!(coding == "identity" || reply.body.len() * 2 < replies[0].body.len(), "{coding}");
        }
    }
    // An object is small, so it is coded only for who takes nothing else.
    let plain = bench.get_as(&token, "/api/Seller/42").await;
    for coding in &CODINGS[1..] {
        let only = format!("{coding}, identity;q=0");
        let reply = bench.get_with(&token, "/api/Seller/42", &[("Accept-Encoding", &only)]).await;
        assert_eq!(reply.is(200).field("content-encoding"), *coding);
        assert_eq!(reply.field("vary"), "Accept-Encoding, Authorization");
        assert_eq!(decoded(&reply), plain.body, "{coding}");
    }
}

#[tokio::test]
async fn the_coding_that_is_wanted_most_is_sent() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let plain = bench.get_as(&token, SHORT).await;
    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=0.9, br;q=0.8", "gzip"),
        ("zstd;q=0.5, *;q=0.1", "zstd"),
        ("br;q=0, gzip;q=0.001", "gzip"),
        ("deflate, compress", ""),
        ("identity, gzip;q=0.5", ""),
        ("", ""),
    ] {
        let reply = bench.get_with(&token, SHORT, &[("Accept-Encoding", accepted)]).await;
        assert_eq!(reply.is(200).field("content-encoding"), coding, "{accepted}");
        assert_eq!(decoded(&reply), plain.body, "{accepted}");
    }
    for refused in ["identity;q=0", "*;q=0", "gzip;q=2"] {
        let reply = bench.get_with(&token, SHORT, &[("Accept-Encoding", refused)]).await;
        reply.was("fwd=bypass; detail=accept");
    }
}

#[tokio::test]
async fn what_fits_a_packet_is_sent_as_it_is_unless_that_is_refused() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let small = "/api/Seller?PageSize=2";
    let plain = bench.get_as(&token, small).await;
    assert!(plain.body.len() < 1024);
    for (accepted, coding) in [("gzip, br", ""), ("gzip, identity;q=0", "gzip")] {
        let reply = bench.get_with(&token, small, &[("Accept-Encoding", accepted)]).await;
        assert_eq!(reply.field("content-encoding"), coding);
        assert_eq!(reply.field("etag") == plain.field("etag"), coding.is_empty());
        assert_eq!(reply.field("vary"), "Accept-Encoding, Authorization");
    }
}

#[tokio::test]
async fn a_page_is_made_once_for_each_coding_and_day() {
    let (bench, catalogs) = open_bench().await;
    let (address, sellers) = (bench.proxy.address, SELLERS.to_owned());
    for (target, made_by_midnight) in [(catalogs, CODINGS.len()), (sellers, 0)] {
        bench.get(&target).await.is(200);
        let before = bench.count("pages_made");
        let readers: Vec<_> = (0..10)
            .flat_map(|_| CODINGS)
            .map(|coding| {
                let target = target.clone();
                tokio::spawn(async move {
                    crate::support::send(address, "GET", &target, &[("Accept-Encoding", coding)], "").await
                })
            })
            .collect();
        for reader in readers {
            reader.await.unwrap().is(200).was("hit");
        }
        for coding in CODINGS {
            let fields = [("Accept-Encoding", coding)];
            bench.proxy.send("HEAD", &target, &fields, "").await.is(200).was("hit");
        }
        assert_eq!(bench.count("pages_made") - before, 3, "one for each coding, and the plain one was there");
        bench.clock.forward(Duration::from_secs(120));
        let before = bench.count("pages_made");
        for coding in CODINGS {
            bench.get_with("", &target, &[("Accept-Encoding", coding)]).await.is(200).was("hit");
        }
        assert_eq!(bench.count("pages_made") - before, made_by_midnight as u64, "{target}");
    }
}

#[tokio::test]
async fn errors_are_told_in_plain_text() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let fields = [("Accept-Encoding", "gzip")];
    bench.upstream.knobs(|knobs| knobs.gzip = true);
    bench.upstream.rule(Rule { status: Some(503), times: Some(1), ..Rule::default() });
    let passed_on = bench.get_with(&token, SHORT, &fields).await;
    passed_on.is(503).was("fwd=miss; fwd-status=503");
    let cached_only = [fields[0], ("Cache-Control", "only-if-cached")];
    let own = bench.get_with(&token, SHORT, &cached_only).await;
    for (reply, status) in [(passed_on, 503), (own, 504)] {
        assert_eq!(reply.is(status).field("content-encoding"), "");
        assert_eq!(reply.json()["status"], status);
    }
    let called = bench.upstream.calls();
    assert!(called[0].header("accept-encoding").unwrap().contains("gzip"), "it was coded on its way here");
}

#[tokio::test]
async fn a_page_past_the_end_is_a_page_like_any() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let past = "/api/Seller?PageNumber=2147483647&PageSize=500";
    let reply = bench.get_as(&token, past).await;
    assert!(reply.is(200).items().is_empty());
    assert_eq!(reply.json()["totalItems"], 730);
    bench.get_with(&token, past, &[("If-None-Match", reply.field("etag"))]).await.is(304).was("hit");
}

#[tokio::test]
async fn an_entry_in_the_store_grows_older_and_its_ttl_shorter() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let bench = Setup::on(store).start().await;
        let token = bench.upstream.token("demo");
        bench.get_as(&token, SHORT).await.was("fwd=miss; stored");
        bench.clock.forward(Duration::from_secs(100));
        let reply = bench.get_as(&token, SHORT).await;
        reply.was("hit");
        let (age, ttl) = (reply.age(), reply.ttl());
        assert!((100..115).contains(&age), "{age}");
        assert!((1..=2).contains(&(301 - age.cast_signed() - ttl)), "{age} and {ttl}");
    }
}

#[tokio::test]
async fn an_answer_tells_where_it_came_from() {
    let setup = Setup::new().profile(Profile::CatalogUi).stale(60, 0).start();
    let bench = setup.await;
    let (token, other) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    bench.get_as(&token, SHORT).await.was("fwd=miss; stored");
    bench.get_as(&token, SHORT).await.was("hit");
    bench.get_as(&other, SHORT).await.was("hit; detail=asked");
    bench.clock.forward(Duration::from_secs(10));
    bench.get_with(&token, SHORT, &[("Cache-Control", "no-cache")]).await.was("fwd=request; stored");
    bench.clock.forward(Duration::from_secs(300));
    bench.get_as(&bench.upstream.token("demo"), SHORT).await.was("fwd=stale; stored");
    bench.get_as(&token, "/api/Lot?PageSize=1").await.was("fwd=bypass; detail=no-route");
    bench.get_as(&token, "/api/Seller/2147483647").await.is(404).was("fwd=miss; fwd-status=404");
    let object = "/api/Seller/42";
    bench.get_as(&token, object).await.was("fwd=miss; stored");
    bench.get_as(&other, object).await.was("fwd=request; stored; detail=question");
    bench.clock.forward(Duration::from_secs(300));
    bench.get_as(&bench.upstream.token("demo"), object).await.was("fwd=stale; stored; detail=question");
    let list = "/api/Catalog?SellerIds=42";
    bench.upstream.rule(Rule { truncate: Some(10), ..Rule::default() });
    bench.get_as(&token, list).await.is(502).was("fwd=miss; detail=unanswered");
    bench.upstream.clear_rules();
    let gate = bench.upstream.gate(Matching::path("/api/Catalog"));
    let readers = [bench.reading(&token, list, &[]), bench.reading(&token, list, &[])];
    until("the second has joined", || async { bench.count("joined") == 1 }).await;
    gate.open();
    let mut said = Vec::new();
    for reader in readers {
        said.push(reader.await.unwrap().field("cache-status").to_owned());
    }
    said.sort();
    assert_eq!(said, ["catproxy; fwd=miss; collapsed; stored", "catproxy; fwd=miss; stored"]);
}

#[tokio::test]
async fn an_answer_tells_that_the_store_was_not_asked_or_is_away() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SHORT).await.was("fwd=miss; stored");
    until("a copy is near", || async {
        bench.get_as(&token, SHORT).await.field("cache-status").ends_with("; detail=near")
    })
    .await;
    let asked = bench.proxy.inside.store_commands();
    bench.get_as(&token, SHORT).await.was("hit; detail=near");
    assert_eq!(bench.proxy.inside.store_commands(), asked);
    let away = Setup::new().redis_at(format!("redis://127.0.0.1:{}", free_port())).start().await;
    away.get(SHORT).await.is(200).was("fwd=miss; detail=store-away");
}

#[tokio::test]
async fn without_room_for_pages_each_is_made_anew_and_the_same() {
    let bench = Setup::new().config(|config| config.store.page_bytes = 0).start().await;
    let token = bench.upstream.token("demo");
    let first = bench.get_as(&token, "/api/Seller?PageSize=100").await;
    let second = bench.get_as(&token, "/api/Seller?PageSize=100").await;
    assert_eq!(
        (second.is(200).came("hit").body.clone(), second.field("etag")),
        (first.body.clone(), first.field("etag"))
    );
    assert_eq!(bench.proxy.inside.telemetry().count("pages_made"), 2);
}
