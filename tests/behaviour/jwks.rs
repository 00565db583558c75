//! Tokens that are checked here, by published keys: what is served without a call to the upstream, and what is left to
//! the upstream to decide.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use catproxy::config::{
    Admission, Config, Upstream,
    jwks::{Algorithm, Jwks, KeysAt},
    profile::Profile,
};
use fake_abconnect::{Close, FakeAbconnect, Gate, Matching, Options, Rule, Running};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use crate::support::{Bench, Door, PATIENCE, Reply, Setup, free_port, send, until};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
const CATALOGS: &str = "/api/Catalog?SellerIds=42";
const IDENTITY: &str = "/.well-known";
const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/.well-known/openid-configuration/jwks";
/// From one fetch to the next.
const PAUSE: Duration = Duration::from_secs(10);
const LEEWAY: Duration = Duration::from_secs(30);
const KEYS_LIMIT: Duration = Duration::from_secs(60);

/// The mode `jwks`, with keys that the upstream's own identity server publishes, and what else is demanded.
fn demand(config: &mut Config, change: impl FnOnce(&mut Jwks)) {
    let mut jwks = Jwks {
        issuer: config.upstream.url(),
        identity: Upstream { idle_connections: 1, ..config.upstream.clone() },
        keys: KeysAt::Discovery(DISCOVERY.to_owned()),
        audience: vec!["catalog-api".to_owned()],
        algorithms: vec![Algorithm::Rs256],
        leeway: LEEWAY,
        required_claims: Vec::new(),
        keys_limit: KEYS_LIMIT,
        keys_timeout: PATIENCE,
        refused_for: Duration::from_secs(300),
    };
    change(&mut jwks);
    config.admission = Admission::Jwks(Arc::new(jwks));
}

fn demanding(change: impl FnOnce(&mut Jwks) + 'static) -> Setup {
    Setup::new().config(|config| demand(config, change))
}

/// With the sellers in the cache.
async fn warm(change: impl FnOnce(&mut Jwks) + 'static) -> Bench {
    let bench = demanding(change).start().await;
    bench.get(SELLERS).await.is(200).came("fwd=miss");
    bench.upstream.clear_calls();
    bench
}

/// How often the keys were asked for since the calls were last cleared.
fn fetches(upstream: &Running) -> usize {
    upstream.calls_to(KEYS).len()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn reading(bench: &Bench, target: &str, token: &str) -> JoinHandle<Reply> {
    let (address, target, token) = (bench.proxy.address, target.to_owned(), format!("Bearer {token}"));
    tokio::spawn(async move { send(address, "GET", &target, &[("Authorization", &token)], "").await })
}

fn part(json: &Value) -> String {
    BASE64URL.encode(json.to_string())
}

/// What the stand-in publishes there.
async fn published(upstream: &Running, target: &str) -> Value {
    send(upstream.addr(), "GET", target, &[], "").await.is(200).json()
}

#[tokio::test]
async fn a_good_token_is_served_without_a_call_to_the_upstream() {
    let bench = warm(|_| {}).await;
    let second = bench.upstream.token("second");
    let hit = bench.get_as(&second, SELLERS).await;
    assert!(hit.is(200).came("hit; ttl=").field("cache-status").ends_with(char::is_numeric), "{hit:?}");
    assert_eq!(bench.upstream.calls().len(), 0);
    assert_eq!(bench.proxy.inside.telemetry().count("questions"), 0);
}

#[tokio::test]
async fn a_good_token_is_served_a_single_object_without_a_call_to_the_upstream() {
    let bench = demanding(|_| {}).profile(Profile::CatalogUi).start().await;
    bench.get("/api/Seller/42").await.is(200).came("fwd=miss");
    bench.upstream.clear_calls();
    bench.get("/api/Seller/42").await.is(200).came("hit");
    assert_eq!(bench.upstream.calls().len(), 0);
}

#[tokio::test]
async fn a_remembered_token_costs_no_signature_check() {
    let bench = warm(|_| {}).await;
    let checks = || bench.proxy.inside.telemetry().count("signature_checks");
    let (before, token) = (checks(), bench.upstream.token("second"));
    for _ in 0..3 {
        bench.get_as(&token, SELLERS).await.is(200).came("hit");
    }
    assert_eq!(checks() - before, 1);
}

#[tokio::test]
async fn a_remembered_token_is_checked_again_after_the_keys_limit() {
    let bench = warm(|jwks| jwks.keys_limit = Duration::from_millis(300)).await;
    let checks = || bench.proxy.inside.telemetry().count("signature_checks");
    let (before, token) = (checks(), bench.upstream.token("second"));
    until("it is checked twice", || async {
        bench.get_as(&token, SELLERS).await.is(200).came("hit");
        checks() - before == 2
    })
    .await;
}

#[tokio::test]
async fn a_remembered_token_is_served_no_more_when_it_has_expired() {
    let bench = warm(|jwks| jwks.leeway = Duration::ZERO).await;
    let short = bench.upstream.token_for_seconds("demo", 6);
    bench.get_as(&short, SELLERS).await.is(200).came("hit");
    until("it is forwarded", || async {
        bench.get_as(&short, SELLERS).await.field("cache-status") == "catproxy; fwd=bypass; detail=token"
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_wrong_in_one_point_is_left_to_the_upstream() {
    let bench =
        warm(|jwks| jwks.required_claims = vec![("client_id".to_owned(), "fake-abconnect".to_owned())]).await;
    let (header, claims) = bench.upstream.header_and_claims("demo");
    let claiming = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        bench.upstream.sign(&header, &claims)
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name).unwrap();
        bench.upstream.sign(&header, &claims)
    };
    let heading = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        bench.upstream.sign(&header, &claims)
    };
    let good = bench.upstream.sign(&header, &claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut other = claims.clone();
    other["sub"] = "second".into();
    let tokens = [
        ("no iss", without("iss")),
        ("another iss", claiming("iss", format!("{}/", bench.upstream.url()).into())),
        ("an array of iss", claiming("iss", json!([bench.upstream.url()]))),
        ("no aud", without("aud")),
        ("another aud", claiming("aud", "catalog".into())),
        ("other auds", claiming("aud", json!(["catalog", "api"]))),
        ("an aud of words", claiming("aud", "catalog-api other".into())),
        ("no exp", without("exp")),
        ("an exp of text", claiming("exp", "9999999999".into())),
        ("no number for exp", claiming("exp", Value::Null)),
        ("expired", claiming("exp", (now() - 600).into())),
        ("nbf in the future", claiming("nbf", (now() + 600).into())),
        ("an nbf of text", claiming("nbf", "0".into())),
        ("no required claim", without("client_id")),
        ("another required claim", claiming("client_id", "fake".into())),
        ("a claim of words", claiming("client_id", "other fake-abconnect".into())),
        ("alg none", heading("alg", "none".into())),
        ("alg none, signed", format!("{}.{}.{signature}", part(&json!({"alg": "none"})), part(&claims))),
        ("no alg", heading("alg", Value::Null)),
        ("another alg of the same key", heading("alg", "RS512".into())),
        ("another padding", heading("alg", "PS256".into())),
        ("crit", heading("crit", json!(["exp"]))),
        ("crit of nothing", heading("crit", Value::Null)),
        ("another kid", heading("kid", "another".into())),
        ("a kid of a number", heading("kid", 1.into())),
        ("no signature", format!("{signed}.")),
        ("another's signature", format!("{}.{}.{signature}", part(&header), part(&other))),
        ("a cut signature", good[..good.len() - 4].to_owned()),
        ("a padded signature", format!("{good}==")),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.x")),
        ("no JSON", format!("e30.bm8.{signature}")),
    ];
    for (what, token) in tokens {
        let reply = bench.get_as(&token, SELLERS).await;
        let status = reply.field("cache-status");
        assert_eq!(status, "catproxy; fwd=bypass; detail=token", "{what}: {reply:?}");
    }
    bench.get_as(&good, SELLERS).await.is(200).came("hit");
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let bench = warm(|_| {}).await;
    let keys = published(&bench.upstream, KEYS).await;
    let (_, claims) = bench.upstream.header_and_claims("demo");
    let modulus = keys["keys"][0]["n"].as_str().unwrap();
    let header = json!({ "alg": "HS256", "kid": keys["keys"][0]["kid"] });
    let signed = format!("{}.{}", part(&header), part(&claims));
    for secret in [modulus.as_bytes(), &BASE64URL.decode(modulus).unwrap(), keys.to_string().as_bytes()] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let signature = BASE64URL.encode(ring::hmac::sign(&key, signed.as_bytes()));
        bench
            .get_as(&format!("{signed}.{signature}"), SELLERS)
            .await
            .is(401)
            .came("fwd=bypass; detail=token");
    }
}

#[tokio::test]
async fn claims_may_be_said_in_each_way_that_issuers_say_them() {
    let bench = warm(|jwks| {
        jwks.required_claims = vec![("scope".to_owned(), "catalog".to_owned())];
        jwks.audience = vec!["elsewhere".to_owned(), "catalog-api".to_owned()];
    })
    .await;
    let (header, claims) = bench.upstream.header_and_claims("demo");
    for (name, value) in [
        ("scope", json!("catalog")),
        ("scope", json!("openid catalog offline_access")),
        ("scope", json!(["openid", "catalog"])),
        ("aud", json!(["catalog-api", "other"])),
        ("aud", json!("elsewhere")),
        ("exp", json!(now() as f64 + 60.5)),
        ("exp", json!(1e300)),
    ] {
        let mut claims = claims.clone();
        claims[name] = value.clone();
        let token = bench.upstream.sign(&header, &claims);
        let reply = bench.get_as(&token, SELLERS).await;
        assert!(reply.field("cache-status").starts_with("catproxy; hit"), "{name}: {value}: {reply:?}");
    }
}

#[tokio::test]
async fn a_clock_may_differ_from_the_issuers_by_the_leeway_either_way() {
    let bench = warm(|_| {}).await;
    let ending = || bench.upstream.token_for_seconds("demo", 60);
    bench.clock.forward(Duration::from_secs(60) + LEEWAY - Duration::from_secs(10));
    bench.get_as(&ending(), SELLERS).await.is(200).came("hit");
    let late = ending();
    bench.clock.forward(Duration::from_secs(20));
    bench.get_as(&late, SELLERS).await.is(200).came("fwd=bypass; detail=token");

    bench.clock.back(Duration::from_secs(60) + LEEWAY + Duration::from_secs(10));
    let (header, mut claims) = bench.upstream.header_and_claims("demo");
    claims["nbf"] = (now() + 40).into();
    // Two tokens, since the stand-in, too, finds them early, and what it refuses is not served for a while.
    let mut early = || {
        claims["jti"] = (claims["jti"].to_string() + "x").into();
        bench.upstream.sign(&header, &claims)
    };
    let (one, other) = (early(), early());
    bench.get_as(&one, SELLERS).await.is(401).came("fwd=bypass; detail=token");
    bench.clock.forward(Duration::from_secs(20));
    bench.get_as(&other, SELLERS).await.is(200).came("hit");
}

#[tokio::test]
async fn each_algorithm_counts_where_it_is_configured() {
    let upstream = FakeAbconnect::start(Options::default()).unwrap();
    let mut keys = published(&upstream, KEYS).await;
    keys["keys"][0].as_object_mut().unwrap().remove("alg").unwrap();
    let on = Matching::path(KEYS);
    upstream.rule(Rule { on, body: Some(keys.to_string()), ..Rule::default() });
    for algorithm in [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ] {
        let setup = demanding(move |jwks| jwks.algorithms = vec![algorithm]);
        let (proxy, _) = setup.proxy(upstream.url()).await;
        let (mut header, claims) = upstream.header_and_claims("demo");
        for other in [Algorithm::Rs256, Algorithm::Ps512, algorithm] {
            header["alg"] = other.name().into();
            let token = format!("Bearer {}", upstream.sign(&header, &claims));
            let reply = proxy.send("GET", SELLERS, &[("Authorization", &token)], "").await;
            // Whether it is good here; the stand-in itself takes no other than RS256.
            let good = !reply.field("cache-status").ends_with("detail=token");
            assert_eq!(good, other == algorithm, "{other} where {algorithm} counts: {:?}", reply.fields);
        }
    }
}

#[tokio::test]
async fn a_token_without_a_key_s_name_counts_where_one_key_fits() {
    let bench = warm(|_| {}).await;
    let (mut header, claims) = bench.upstream.header_and_claims("demo");
    header.as_object_mut().unwrap().remove("kid").unwrap();
    bench.get_as(&bench.upstream.sign(&header, &claims), SELLERS).await.is(200).came("hit");
}

#[tokio::test]
async fn a_new_key_is_fetched_once_for_all_who_name_it() {
    let bench = warm(|jwks| jwks.algorithms.push(Algorithm::Es256)).await;
    bench.upstream.rotate_keys();
    bench.clock.forward(PAUSE);
    let gate = bench.upstream.gate(Matching::path(KEYS));
    let reads: Vec<_> = (0..50).map(|_| reading(&bench, SELLERS, &bench.upstream.token("demo"))).collect();
    gate.arrived(1).await;
    gate.open();
    for read in reads {
        read.await.unwrap().is(200).came("hit");
    }
    assert_eq!(fetches(&bench.upstream), 1);
}

#[tokio::test]
async fn a_withdrawn_key_counts_no_more_after_the_next_fetch_whatever_was_remembered() {
    let bench = warm(|jwks| jwks.algorithms.push(Algorithm::Es256)).await;
    let (known, unknown) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    bench.get_as(&known, SELLERS).await.is(200).came("hit");
    bench.upstream.rotate_keys();
    bench.upstream.retire_keys();
    bench.get_as(&known, SELLERS).await.is(200).came("hit");
    bench.clock.forward(2 * KEYS_LIMIT);
    for token in [&unknown, &known] {
        bench.get_as(token, SELLERS).await.is(401).came("fwd=bypass; detail=token");
    }
    assert_eq!(fetches(&bench.upstream), 1);
    bench.get(SELLERS).await.is(200).came("hit");
}

#[tokio::test]
async fn keys_are_fetched_again_after_their_limit_and_no_sooner() {
    let bench = warm(|_| {}).await;
    bench.clock.forward(KEYS_LIMIT - Duration::from_secs(5));
    bench.get(SELLERS).await.is(200).came("hit");
    assert_eq!(fetches(&bench.upstream), 0);
    bench.clock.forward(Duration::from_secs(5));
    bench.get(SELLERS).await.is(200).came("hit");
    bench.upstream.wait_for_calls(&Matching::path(KEYS), 1).await;
    bench.get(SELLERS).await.is(200).came("hit");
    assert_eq!(fetches(&bench.upstream), 1);
}

#[tokio::test]
async fn a_request_whose_key_is_known_does_not_wait_for_the_next_fetch() {
    let bench = warm(|_| {}).await;
    let gate = bench.upstream.gate(Matching::path(IDENTITY));
    bench.clock.forward(KEYS_LIMIT);
    bench.get(SELLERS).await.is(200).came("hit");
    gate.arrived(1).await;
    bench.get(SELLERS).await.is(200).came("hit");
    assert_eq!(gate.arrived_so_far(), 1);
}

#[tokio::test]
async fn keys_count_while_their_issuer_is_away_but_for_no_more_than_a_day() {
    let bench = warm(|_| {}).await;
    let token = || bench.upstream.token_for_seconds("demo", 200_000);
    let on = Matching::path(IDENTITY);
    bench.upstream.rule(Rule { on, close: Some(Close::Unanswered), ..Rule::default() });
    bench.clock.forward(KEYS_LIMIT);
    bench.get_as(&token(), SELLERS).await.is(200).came("hit");
    let hour = Duration::from_secs(3600);
    bench.clock.forward(23 * hour);
    bench.get_as(&token(), SELLERS).await.is(200).came("fwd=miss");
    bench.get_as(&token(), SELLERS).await.is(200).came("hit");
    bench.clock.forward(hour);
    bench.get_as(&token(), SELLERS).await.is(200).came("fwd=bypass; detail=keys");
    bench.upstream.clear_rules();
    bench.clock.forward(PAUSE);
    until("it is served", || async {
        bench.get_as(&token(), SELLERS).await.field("cache-status") != "catproxy; fwd=bypass; detail=keys"
    })
    .await;
}

#[tokio::test]
async fn without_keys_requests_are_forwarded_until_there_are_some() {
    let on = Matching::path(IDENTITY);
    let away = Rule { on, status: Some(503), ..Rule::default() };
    let bench = demanding(|_| {}).upstream(|options| options.knobs.rules.push(away)).start().await;
    bench.get(SELLERS).await.is(200).came("fwd=bypass; detail=keys");
    bench.get(SELLERS).await.is(200).came("fwd=bypass; detail=keys");
    assert_eq!(bench.proxy.inside.telemetry().count("key_fetches"), 1);
    bench.upstream.clear_rules();
    bench.clock.forward(PAUSE);
    until("it is read", || async {
        bench.get(SELLERS).await.field("cache-status") != "catproxy; fwd=bypass; detail=keys"
    })
    .await;
    bench.get(SELLERS).await.is(200).came("hit");
}

#[tokio::test]
async fn an_issuer_that_refuses_connections_is_one_without_keys() {
    let port = free_port();
    let bench = demanding(move |jwks| {
        jwks.identity.authority = format!("127.0.0.1:{port}").parse().unwrap();
    })
    .start()
    .await;
    bench.get(SELLERS).await.is(200).came("fwd=bypass; detail=keys");
}

/// A proxy that finds these documents in place of the stand-in's, and how it answers a good token.
async fn finding(upstream: &Running, discovery: Option<Rule>, keys: Option<Rule>) -> Reply {
    upstream.clear_rules();
    let shown = |target: &str, document: &Value| Rule {
        on: Matching::path(target),
        body: Some(document.to_string()),
        ..Rule::default()
    };
    let keys = keys.map(|keys| Rule { on: Matching::path(KEYS), ..keys });
    let keys = keys.unwrap_or(shown(KEYS, &published(upstream, KEYS).await));
    let discovery = discovery.map(|discovery| Rule { on: Matching::path(DISCOVERY), ..discovery });
    // The first of two rules counts, and both paths begin alike.
    upstream.rule(keys);
    upstream.knobs(|knobs| knobs.rules.extend(discovery));
    let (proxy, _) = demanding(|_| {}).proxy(upstream.url()).await;
    read(&proxy, upstream).await
}

async fn read(proxy: &Door, upstream: &Running) -> Reply {
    let token = format!("Bearer {}", upstream.token("demo"));
    proxy.send("GET", SELLERS, &[("Authorization", &token)], "").await
}

#[tokio::test]
async fn a_discovery_document_counts_only_if_it_is_the_issuers_and_names_keys_beside_it() {
    let upstream = FakeAbconnect::start(Options::default()).unwrap();
    let good = published(&upstream, DISCOVERY).await;
    let saying = |name: &str, value: &str| {
        let mut document = good.clone();
        document[name] = value.into();
        Rule { body: Some(document.to_string()), ..Rule::default() }
    };
    let (address, tls) = (upstream.addr(), upstream.url().replace("http:", "https:"));
    for document in [
        saying("issuer", "http://another.example"),
        saying("issuer", &format!("{}/", upstream.url())),
        saying("jwks_uri", &format!("http://localhost:{}{KEYS}", address.port())),
        saying("jwks_uri", &format!("http://127.0.0.1:{}{KEYS}", free_port())),
        saying("jwks_uri", &format!("{tls}{KEYS}")),
        saying("jwks_uri", KEYS),
        saying("jwks_uri", ""),
        Rule { body: Some("{}".to_owned()), ..Rule::default() },
        Rule { body: Some("no JSON".to_owned()), ..Rule::default() },
        Rule { html: true, ..Rule::default() },
        Rule { status: Some(302), ..Rule::default() },
        Rule { body: Some(format!("{good}{}", " ".repeat(300 * 1024))), ..Rule::default() },
    ] {
        let reply = finding(&upstream, Some(document.clone()), None).await;
        let status = reply.field("cache-status");
        assert_eq!(status, "catproxy; fwd=bypass; detail=keys", "{document:?}");
    }
    finding(&upstream, Some(saying("other", "x")), None).await.is(200).came("fwd=miss");
}

#[tokio::test]
async fn a_key_set_that_is_none_or_too_large_is_as_good_as_no_answer() {
    let upstream = FakeAbconnect::start(Options::default()).unwrap();
    let good = published(&upstream, KEYS).await;
    let body = |body: String| Rule { body: Some(body), ..Rule::default() };
    for (keys, detail) in [
        (body("{".to_owned()), "keys"),
        (body("{}".to_owned()), "keys"),
        (body("[]".to_owned()), "keys"),
        (body("null".to_owned()), "keys"),
        (body(r#"{"keys":{}}"#.to_owned()), "keys"),
        (body("[".repeat(100_000)), "keys"),
        (body(format!("{good}{}", " ".repeat(300 * 1024))), "keys"),
        (Rule { html: true, ..Rule::default() }, "keys"),
        (Rule { status: Some(307), ..Rule::default() }, "keys"),
        (Rule { truncate: Some(20), ..body(good.to_string()) }, "keys"),
        // A set without a key is one: the keys before are withdrawn.
        (body(r#"{"keys":[]}"#.to_owned()), "token"),
        (body(r#"{"keys":[1,{},{"kty":"RSA","n":"","e":""},{"kty":"oct","k":"x"}]}"#.to_owned()), "token"),
    ] {
        let reply = finding(&upstream, None, Some(keys.clone())).await;
        let status = reply.field("cache-status");
        assert_eq!(status, format!("catproxy; fwd=bypass; detail={detail}"), "{keys:?}");
    }
    let mut more = good.clone();
    more["keys"].as_array_mut().unwrap().extend([json!({ "kty": "new" }), json!(5)]);
    finding(&upstream, None, Some(body(more.to_string()))).await.is(200).came("fwd=miss");
}

/// A server that has one answer, whatever is asked; it ends with the test.
async fn answering(head: String, body: String) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer =
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n")
                && stream.read_buf(&mut asked).await.is_ok_and(|read| read > 0)
            {}
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn good_keys_count_only_in_a_200_of_json() {
    let upstream = FakeAbconnect::start(Options::default()).unwrap();
    let keys = published(&upstream, KEYS).await.to_string();
    for (head, counts) in [
        ("200 OK\r\nContent-Type: application/json", true),
        ("200 OK\r\nContent-Type: application/jwk-set+json; charset=utf-8", true),
        ("200 OK\r\nContent-Type: text/html", false),
        ("200 OK", false),
        ("203 Changed\r\nContent-Type: application/json", false),
        ("404 Not Found\r\nContent-Type: application/json", false),
        (
            &format!("302 Found\r\nContent-Type: application/json\r\nLocation: {}{KEYS}", upstream.url()),
            false,
        ),
    ] {
        let address = answering(head.to_owned(), keys.clone()).await;
        let setup = demanding(move |jwks| {
            jwks.identity.authority = address.to_string().parse().unwrap();
            jwks.keys = KeysAt::Keys("/keys".to_owned());
        });
        let (proxy, _) = setup.proxy(upstream.url()).await;
        let reply = read(&proxy, &upstream).await;
        reply.is(200).came(if counts { "fwd=miss" } else { "fwd=bypass; detail=keys" });
    }
}

#[tokio::test]
async fn keys_are_found_at_their_own_url_without_discovery() {
    let bench = warm(|jwks| jwks.keys = KeysAt::Keys(KEYS.to_owned())).await;
    bench.get(SELLERS).await.is(200).came("hit");
    bench.clock.forward(2 * KEYS_LIMIT);
    bench.get(SELLERS).await.is(200).came("hit");
    assert_eq!(bench.upstream.calls().len(), 1, "the keys, and no discovery");
}

#[tokio::test]
async fn beside_a_url_of_keys_an_issuer_may_be_any_text() {
    let bench = demanding(|jwks| {
        jwks.issuer = "urn:example".to_owned();
        jwks.keys = KeysAt::Keys(KEYS.to_owned());
    })
    .start()
    .await;
    let (header, mut claims) = bench.upstream.header_and_claims("demo");
    bench.get_as(&bench.upstream.sign(&header, &claims), SELLERS).await.came("fwd=bypass; detail=token");
    claims["iss"] = "urn:example".into();
    // Good here; the stand-in knows only its own issuer.
    bench.get_as(&bench.upstream.sign(&header, &claims), SELLERS).await.came("fwd=miss; fwd-status=401");
}

#[tokio::test]
async fn a_request_waits_for_keys_no_longer_than_their_timeout() {
    let on = Matching::path(IDENTITY);
    let hanging = Rule { on, hang: true, ..Rule::default() };
    let bench = demanding(|jwks| {
        jwks.keys_timeout = Duration::from_millis(200);
        jwks.identity.head_timeout = 10 * PATIENCE;
    })
    .upstream(|options| options.knobs.rules.push(hanging))
    .start()
    .await;
    bench.get(SELLERS).await.is(200).came("fwd=bypass; detail=keys");
}

#[tokio::test]
async fn after_a_failed_fetch_no_request_waits_for_the_next_one() {
    let bench = warm(|_| {}).await;
    let on = Matching::path(IDENTITY);
    bench.upstream.rule(Rule { on, status: Some(500), ..Rule::default() });
    bench.clock.forward(2 * KEYS_LIMIT);
    bench.get(SELLERS).await.is(200).came("hit");
    bench.upstream.clear_rules();
    let gate: Gate = bench.upstream.gate(Matching::path(IDENTITY));
    bench.clock.forward(PAUSE);
    bench.get(SELLERS).await.is(200).came("hit");
    gate.arrived(1).await;
    bench.get(SELLERS).await.is(200).came("hit");
    assert_eq!(gate.arrived_so_far(), 1);
}

#[tokio::test]
async fn a_hundred_invented_keys_make_one_fetch_in_a_while() {
    let bench = warm(|_| {}).await;
    let (mut header, mut claims) = bench.upstream.header_and_claims("demo");
    let mut invented = |from: usize, claims: &Value| -> Vec<_> {
        let tokens = (from..from + 100).map(|number| {
            header["kid"] = format!("invented-{number}").into();
            bench.upstream.sign(&header, claims)
        });
        tokens.map(|token| reading(&bench, SELLERS, &token)).collect()
    };
    for (round, expected) in [(0, 0), (1, 1), (2, 2)] {
        for read in invented(round * 100, &claims) {
            read.await.unwrap().is(401).came("fwd=bypass; detail=token");
        }
        assert_eq!(fetches(&bench.upstream), expected, "round {round}");
        bench.clock.forward(PAUSE);
    }
    // What is not even said to be from the issuer makes none.
    claims["iss"] = "http://another.example".into();
    for read in invented(300, &claims) {
        read.await.unwrap().is(401).came("fwd=bypass; detail=token");
    }
    assert_eq!(fetches(&bench.upstream), 2);
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_request_that_began_it_leaves() {
    let bench = warm(|jwks| jwks.algorithms.push(Algorithm::Es256)).await;
    bench.upstream.rotate_keys();
    bench.clock.forward(PAUSE);
    let gate = bench.upstream.gate(Matching::path(KEYS));
    let token = bench.upstream.token("demo");
    let first = reading(&bench, SELLERS, &token);
    gate.arrived(1).await;
    first.abort();
    let _ = first.await;
    gate.open();
    until("the new key counts", || async {
        bench.get_as(&token, SELLERS).await.field("cache-status").starts_with("catproxy; hit")
    })
    .await;
    assert_eq!(fetches(&bench.upstream), 1);
}

#[tokio::test]
async fn a_token_that_the_upstream_refuses_with_401_is_served_no_more() {
    let bench = warm(|_| {}).await;
    bench.get(CATALOGS).await.is(200);
    let (token, other) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    bench.upstream.revoke(&token);
    // What only the upstream knows is not seen.
    bench.get_as(&token, SELLERS).await.is(200).came("hit");
    bench.get_as(&token, "/api/Lot?PageSize=1").await.is(401);
    for target in [SELLERS, CATALOGS] {
        bench.get_as(&token, target).await.is(401).came("fwd=bypass; detail=refused");
        bench.get_as(&other, target).await.is(200).came("hit");
    }
}

#[tokio::test]
async fn a_token_that_was_refused_before_it_was_ever_checked_is_not_served() {
    let bench = warm(|_| {}).await;
    let token = bench.upstream.token("demo");
    bench.upstream.revoke(&token);
    bench.get_as(&token, "/api/Lot?PageSize=1").await.is(401);
    bench.get_as(&token, SELLERS).await.is(401).came("fwd=bypass; detail=refused");
}

#[tokio::test]
async fn a_403_counts_for_its_route_and_for_no_other() {
    let bench = warm(|_| {}).await;
    bench.get(CATALOGS).await.is(200);
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.is(200).came("hit");
    let on = Matching::path("/api/Seller").query("Name=a");
    bench.upstream.rule(Rule { on, status: Some(403), ..Rule::default() });
    bench.get_as(&token, "/api/Seller?Name=a").await.is(403);
    bench.get_as(&token, SELLERS).await.is(200).came("fwd=bypass; detail=refused");
    bench.get_as(&token, CATALOGS).await.is(200).came("hit");
}

#[tokio::test]
async fn a_token_that_the_upstream_refuses_leads_no_fill_twice() {
    let bench = demanding(|_| {}).start().await;
    let restricted = bench.upstream.token("restricted");
    bench.get_as(&restricted, SELLERS).await.is(403).came("fwd=miss; fwd-status=403");
    bench.get_as(&restricted, SELLERS).await.is(403).came("fwd=bypass; detail=refused");
}

#[tokio::test]
async fn who_is_refused_while_waiting_for_a_fill_is_not_served_from_it() {
    let bench = demanding(|_| {}).start().await;
    let (leader, joiner) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    let gate = bench.upstream.gate(Matching::path("/api/Seller").query("PageNumber=1&PageSize=500"));
    let first = reading(&bench, SELLERS, &leader);
    gate.arrived(1).await;
    let second = reading(&bench, SELLERS, &joiner);
    until("it has joined", || async { bench.proxy.inside.telemetry().count("joined") == 1 }).await;
    bench.upstream.revoke(&joiner);
    bench.get_as(&joiner, "/api/Lot?PageSize=1").await.is(401);
    gate.open();
    first.await.unwrap().is(200);
    second.await.unwrap().is(401);
}

#[tokio::test]
async fn a_hundred_tokens_on_a_cold_key_are_one_fill_and_no_question() {
    let bench = demanding(|_| {}).start().await;
    let gate = bench.upstream.gate(Matching::path("/api/Seller"));
    let reads: Vec<_> = (0..100).map(|_| reading(&bench, SELLERS, &bench.upstream.token("demo"))).collect();
    gate.arrived(1).await;
    until("all have joined", || async { bench.proxy.inside.telemetry().count("joined") == 99 }).await;
    gate.open();
    for read in reads {
        read.await.unwrap().is(200).came("fwd=miss");
    }
    assert_eq!(bench.upstream.calls_to("/api").len(), 2, "one fill of two pages");
}
