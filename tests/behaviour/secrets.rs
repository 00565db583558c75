//! What is secret stands nowhere but where it belongs. The program runs as it is run, its log at its most talkative, and
//! everything that it prints, answers and stores is searched for everything that was entrusted to it, however coded.

mod echo;
mod evidence;
pub mod program;

use std::{fmt::Write as _, time::Duration};

use catproxy::{
    cli::options::Options as Given,
    config::{
        check::{Origin, Overrides, Setting, load},
        profile::Profile,
        secret::Secret,
    },
};
use clap::Parser as _;
use fake_abconnect::{Access, Close, FakeAbconnect, Matching, Options, Rule, Running, User};

use self::{echo::Echo, evidence::Evidence, program::Program};
use crate::support::{PATIENCE, RedisServer, Reply};

/// Whoever signs in.
const USER: &str = "sam";
const PASSWORD: &str = "pa55 w0rd+of/sam=é";
const WRONG_PASSWORD: &str = "wr0ng-pa55w0rd-of-sam";
const CLIENT_SECRET: &str = "c1ient+s3cret/of=catproxy";
const REDIS_USER: &str = "cat-user-0f-r3dis";
const REDIS_PASSWORD: &str = "r3dis-pa55w0rd-Ab";
const WRONG_REDIS_PASSWORD: &str = "wr0ng-r3dis-pa55w0rd";
const REFRESH_TOKEN: &str = "r3fresh-t0ken-0f-sam-9f8e7d";
const UNKNOWN_TOKEN: &str = "t0ken-0f-n0body-1a2b3c4d5e";
const COOKIE: &str = "c00kie-0f-another-site-77";
const API_KEY: &str = "ap1-k3y-in-a-field-4711";
const QUERY: &str = "t0ken-in-a-query-5812";
const BODY: &str = "b0dy-that-is-forwarded-3366";
const KEY: [u8; 32] = *b"\x01s3ssion-k3y-of-32-bytes-\xf0\xf1\xf2\xf3\xfe\xff\x00";
const SIGNING_KEY: &str = "c3ltbWV0cmljLWtleS1vZi10aGUtaXNzdWVyLTAx";

fn key_in_hex() -> String {
    KEY.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What must stand nowhere, whoever's it is.
fn planted() -> Evidence {
    let mut evidence = Evidence::default();
    for secret in [
        PASSWORD,
        WRONG_PASSWORD,
        CLIENT_SECRET,
        REDIS_USER,
        REDIS_PASSWORD,
        WRONG_REDIS_PASSWORD,
        REFRESH_TOKEN,
        UNKNOWN_TOKEN,
        COOKIE,
        API_KEY,
        QUERY,
        BODY,
        SIGNING_KEY,
    ] {
        evidence.plant(secret.as_bytes());
    }
    evidence.plant(&KEY);
    evidence
}

fn redis_url(password: &str, port: u16) -> String {
    format!("redis://{REDIS_USER}:{password}@127.0.0.1:{port}")
}

/// A server with a user of its own, beside the one that tests use.
async fn redis() -> RedisServer {
    let mut redis = RedisServer::start().await;
    let password = format!(">{REDIS_PASSWORD}");
    redis.restart(&["--user", REDIS_USER, "on", &password, "~*", "&*", "+@all"]).await;
    redis
}

fn upstream() -> Running {
    let mut options =
        Options { client: Some(("cat".to_owned(), CLIENT_SECRET.to_owned())), ..Options::default() };
    options.users.push(User::new(USER, PASSWORD, Access::Full));
    FakeAbconnect::start(options).expect("the stand-in starts")
}

/// The program with all secrets that it can be given.
fn program(upstream: &str, redis_url: &str, more: &[(&str, &str)]) -> Program {
    let key = key_in_hex();
    let environment = [
        ("CATPROXY_UPSTREAM", upstream),
        ("CATPROXY_UI_IDENTITY_URL", upstream),
        ("CATPROXY_REDIS_URL", redis_url),
        ("CATPROXY_UI_CLIENT_ID", "cat"),
        ("CATPROXY_UI_CLIENT_SECRET", CLIENT_SECRET),
        ("CATPROXY_UI_KEY", &key),
    ];
    Program::serve(&[&environment, more].concat())
}

/// What a client asks, past the frontend, with whatever it has to hide.
async fn ask_of_the_proxy(door: &Program, tokens: &[&str], evidence: &mut Evidence) {
    let secrets = [
        ("Cookie", format!("sid={COOKIE}")),
        ("X-Api-Key", API_KEY.to_owned()),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        ("tracestate", format!("vendor={API_KEY}")),
    ];
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for token in tokens {
        let bearer = format!("Bearer {token}");
        let fields = [&[("Authorization", bearer.as_str())], secrets.as_slice()].concat();
        for (method, target, body) in [
            ("GET", "/api/Seller", ""),
            ("GET", "/api/Seller?PageNumber=2&PageSize=50", ""),
            ("HEAD", "/api/Catalog?SellerIds=42", ""),
            ("GET", "/api/Catalog?SellerIds=042", ""),
            ("GET", &format!("/api/Seller?access_token={QUERY}"), ""),
            ("GET", "/api/Lot?CatalogId=1", ""),
            ("POST", "/api/Lot/get-overrides", &format!("{{\"x\":\"{BODY}\"}}")),
            ("PUT", "/api/Seller/42", r#"{"name":"a","customerDisplayId":1,"isActive":true}"#),
            ("PUT", &format!("/api/Seller/x{QUERY}"), BODY),
            ("GET", "/api/Seller", ""),
            ("TRACE", "/api/Seller", ""),
        ] {
            let reply = door.send(method, target, &fields, body).await;
            evidence.reply(&format!("{method} {target}"), &reply);
        }
        let target = format!("/api/Lot/get-overrides?{QUERY}");
        evidence.reply("HTTP/2", &door.send_second(&target, &fields, BODY).await);
        for more in [("Cache-Control", "no-cache"), ("If-None-Match", "\"x\""), ("Accept-Encoding", "gzip")] {
            let reply = door.send("GET", "/api/Seller", &[&[more], fields.as_slice()].concat(), "").await;
            evidence.reply("GET /api/Seller", &reply);
        }
    }
    for head in [
        format!(
            "GET /api/Seller HTTP/1.1\r\nAuthorization: Bearer {UNKNOWN_TOKEN}\r\nConnection: close\r\n\r\n"
        ),
        format!("GET /api/Seller?{QUERY} HTTP/1.1\r\nHost: a\r\nAuthorization : {UNKNOWN_TOKEN}\r\n\r\n"),
        format!("GET http://{COOKIE}/ HTTP/1.1\r\nHost: a\r\nCookie: {COOKIE}\r\nConnection: close\r\n\r\n"),
        format!("{API_KEY}\r\n\r\n"),
    ] {
        evidence.add("a refusal", door.raw(head.as_bytes()).await);
    }
}

/// A person's browser.
#[derive(Default)]
struct Browser(Vec<(String, String)>);

impl Browser {
    async fn get(&mut self, door: &Program, target: &str, evidence: &mut Evidence) -> Reply {
        let reply =
            door.send("GET", target, &[("Cookie", &self.cookies()), ("Accept", "text/html")], "").await;
        self.take(&reply);
        evidence.reply(target, &reply);
        reply
    }

    async fn post(
        &mut self,
        door: &Program,
        target: &str,
        form: &[(&str, &str)],
        evidence: &mut Evidence,
    ) -> Reply {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let reply = door.send("POST", target, &[("Cookie", &self.cookies()), kind], &form).await;
        self.take(&reply);
        evidence.reply(target, &reply);
        reply
    }

    async fn sign_in(&mut self, door: &Program, password: &str, evidence: &mut Evidence) -> Reply {
        let page = self.get(door, "/ui/sign-in", evidence).await;
        let form = [("csrf", csrf(&page)), ("user", USER.to_owned()), ("password", password.to_owned())];
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.post(door, "/ui/sign-in", &form, evidence).await
    }

    fn cookies(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn take(&mut self, reply: &Reply) {
        for line in reply.fields.get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
            self.0.retain(|(known, _)| known != name);
            if !line.contains("Max-Age=0") {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

pub fn csrf(page: &Reply) -> String {
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let value = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    value.unwrap_or_else(|| panic!("a form in {page}")).to_owned()
}

const PAGES: [&str; 11] = [
    "/ui/",
    "/ui/status",
    "/ui/panel/status",
    "/ui/sellers/42/events/1?show=all",
    "/ui/panel/sellers",
    "/ui/panel/events?seller=42",
    "/ui/panel/lots?seller=42&event=1",
    "/ui/lot/1",
    "/ui/lot/nonsense",
    "/ui/nowhere",
    "/ui/sign-in?ended=away&back=/ui/status",
];

fn tokens_are(upstream: &Running, rule: Rule) {
    upstream.rule(Rule { on: Matching::path("/connect/token"), times: Some(1), ..rule });
}

/// Signing in badly and well, a token that is refreshed, all pages, and signing out.
async fn use_the_frontend(door: &Program, upstream: &Running, evidence: &mut Evidence) {
    let mut browser = Browser::default();
    browser.sign_in(door, WRONG_PASSWORD, evidence).await.is(422);
    for rule in [
        // A server that repeats what it was told.
        Rule { body: Some(format!("{{\"error\":\"{PASSWORD} {CLIENT_SECRET}\"}}")), ..Rule::default() },
        Rule {
            body: Some(format!("{{\"access_token\":\"{PASSWORD}\",\"expires_in\":\"{CLIENT_SECRET}\"}}")),
            ..Rule::default()
        },
        Rule { status: Some(503), ..Rule::default() },
        Rule { close: Some(Close::Reset), ..Rule::default() },
    ] {
        tokens_are(upstream, rule);
        browser.sign_in(door, PASSWORD, evidence).await.is(422);
    }
    for page in PAGES {
        browser.get(door, page, evidence).await;
    }
    // Near its end from the beginning: it is refreshed by the next request.
    for (expires, what) in [(1, "the sign-in"), (3600, "the refresh")] {
        let token = upstream.token(USER);
        evidence.plant_token(&token);
        let answer = serde_json::json!({
            "access_token": token,
            "refresh_token": REFRESH_TOKEN,
            "expires_in": expires,
            "token_type": "Bearer",
        });
        tokens_are(upstream, Rule { body: Some(answer.to_string()), ..Rule::default() });
        match what {
            "the sign-in" => {
                browser.sign_in(door, PASSWORD, evidence).await.is(303);
            }
            _ => refreshed(door, &mut browser, upstream, evidence).await,
        }
    }
    for page in PAGES {
        browser.get(door, page, evidence).await;
    }
    for rule in [
        Rule { status: Some(403), ..Rule::default() },
        Rule { status: Some(500), ..Rule::default() },
        Rule { html: true, ..Rule::default() },
        Rule { close: Some(Close::Reset), ..Rule::default() },
        Rule { status: Some(401), ..Rule::default() },
    ] {
        upstream.rule(Rule { on: Matching::path("/api/Lot/9"), times: Some(1), ..rule });
        browser.get(door, "/ui/lot/9", evidence).await;
    }
    browser.sign_in(door, PASSWORD, evidence).await.is(303);
    let page = browser.get(door, "/ui/", evidence).await;
    let cookies = browser.cookies();
    evidence.add("the cookies", cookies.into_bytes());
    browser.post(door, "/ui/sign-out", &[("csrf", &csrf(&page))], evidence).await;
    browser.post(door, "/ui/sign-in", &[("user", USER), ("password", PASSWORD)], evidence).await;
}

/// Asks until the token is near enough to its end to be refreshed.
async fn refreshed(door: &Program, browser: &mut Browser, upstream: &Running, evidence: &mut Evidence) {
    let asked =
        |call: &fake_abconnect::Call| String::from_utf8_lossy(&call.body_start).contains(REFRESH_TOKEN);
    for _ in 0..PATIENCE.as_millis() / 50 {
        browser.get(door, "/ui/", evidence).await.is(200);
        if upstream.calls_to("/connect/token").iter().any(asked) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no token is refreshed");
}

async fn a_whole_day(format: &str) {
    let (mut redis, upstream) = (redis().await, upstream());
    let mut evidence = planted();
    let log = [
        ("CATPROXY_LOG", "trace,access=trace"),
        ("RUST_LOG", "trace"),
        ("RUST_BACKTRACE", "1"),
        ("CATPROXY_LOG_FORMAT", format),
    ];
    #[cfg(feature = "otel")]
    let collector = crate::traces::collector::Collector::start().await;
    #[cfg(feature = "otel")]
    let endpoint = format!("http://{}", collector.address);
    #[cfg(feature = "otel")]
    let log = [&log[..], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]].concat();
    let door = program(upstream.url(), &redis_url(REDIS_PASSWORD, redis.port), &log);
    let tokens = [
        upstream.token(USER),
        upstream.token("second"),
        upstream.token("restricted"),
        upstream.expired_token(USER),
    ];
    tokens.iter().for_each(|token| evidence.plant_token(token));
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).chain([UNKNOWN_TOKEN]).collect();
    ask_of_the_proxy(&door, &tokens, &mut evidence).await;
    let keys = redis.keys().await;
    assert!(keys.iter().any(|key| key == "cat_sellers_all"), "{keys:?}");
    use_the_frontend(&door, &upstream, &mut evidence).await;
    // The identity server's answer to a forwarded question is its tokens, and nothing of ours stands beside them.
    let form = [("grant_type", "password"), ("username", USER), ("password", PASSWORD), ("client_id", "cat")];
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .append_pair("client_secret", CLIENT_SECRET)
        .finish();
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let granted = door.send("POST", "/connect/token", &[kind], &form).await;
    let token = granted.is(200).json()["access_token"].as_str().expect("a token").to_owned();
    evidence.reply("the head of /connect/token", &Reply { body: bytes::Bytes::new(), ..granted });
    evidence.plant_token(&token);
    for key in redis.keys().await {
        evidence.add(&key, redis.text(&key).await.unwrap_or_default().into_bytes());
        evidence.add("a key", key.into_bytes());
    }
    redis.kill();
    upstream.rule(Rule { close: Some(Close::Reset), times: Some(3), ..Rule::default() });
    ask_of_the_proxy(&door, &tokens, &mut evidence).await;
    let mut browser = Browser::default();
    browser.sign_in(&door, PASSWORD, &mut evidence).await.is(303);
    for page in PAGES {
        browser.get(&door, page, &mut evidence).await;
    }
    upstream.stop().await;
    ask_of_the_proxy(&door, &tokens, &mut evidence).await;
    for page in PAGES {
        browser.get(&door, page, &mut evidence).await;
    }
    let log = door.stop();
    assert!(log.lines().count() > 100 && log.contains("Redis is away"), "a log: {log}");
    assert!(log.contains("Headers {"), "the library for HTTP/2 says nothing");
    evidence.add("the log", log.into_bytes());
    #[cfg(feature = "otel")]
    {
        let spans = collector.spans();
        for name in ["guard", "forward", "fill", "fetch", "question", "read", "respond"] {
            assert!(spans.iter().any(|span| span.name == name), "no {name} among {} spans", spans.len());
        }
        evidence.add("what the collector of traces was sent", collector.bytes());
    }
    evidence.is_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_everything_in_it_leaves_no_secret_in_log_answers_or_store() {
    a_whole_day("people").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_json_is_no_more_talkative() {
    a_whole_day("json").await;
}

/// Servers that give back what they are told, where an error is expected to stand.
#[tokio::test(flavor = "multi_thread")]
async fn neighbours_that_repeat_what_they_are_told_make_nobody_print_it() {
    let (redis, upstream) = (redis().await, upstream());
    let good = redis_url(REDIS_PASSWORD, redis.port);
    let wrong = redis_url(WRONG_REDIS_PASSWORD, redis.port);
    let away = redis_url(REDIS_PASSWORD, 1);
    let echoes = [Echo::redis().await, Echo::http("HTTP/1.1 200 OK\r\n").await, Echo::http("").await];
    let [as_redis, fields, nonsense] = &echoes;
    let repeating = redis_url(REDIS_PASSWORD, as_redis.port);
    let http = |echo: &Echo| format!("http://127.0.0.1:{}", echo.port);
    for (upstream_url, redis_url) in [
        (upstream.url().to_owned(), &wrong),
        (upstream.url().to_owned(), &away),
        (upstream.url().to_owned(), &repeating),
        (http(fields), &good),
        (http(nonsense), &good),
    ] {
        let mut evidence = planted();
        let door = program(&upstream_url, redis_url, &[("CATPROXY_LOG", "trace,access=trace")]);
        let token = upstream.token(USER);
        evidence.plant_token(&token);
        ask_of_the_proxy(&door, &[&token, UNKNOWN_TOKEN], &mut evidence).await;
        let mut browser = Browser::default();
        browser.sign_in(&door, PASSWORD, &mut evidence).await;
        for page in PAGES {
            browser.get(&door, page, &mut evidence).await;
        }
        evidence.add("the log", door.stop().into_bytes());
        evidence.is_clean();
    }
    assert!(echoes.iter().all(|echo| echo.heard() > 0), "nobody was asked");
}

/// Whoever measures gives away a token, or a user and a password, to servers that may repeat them.
#[tokio::test(flavor = "multi_thread")]
async fn a_benchmark_prints_nothing_that_it_was_entrusted_with() {
    let upstream = upstream();
    let door = Program::serve(&[("CATPROXY_UPSTREAM", upstream.url()), ("REDIS_URL", "redis://127.0.0.1:1")]);
    let good = door.url();
    let mut urls = vec![good.clone(), upstream.url().to_owned()];
    let mut echoes = Vec::new();
    for line in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Status: catproxy; detail=",
        "HTTP/1.1 400 x\r\n",
    ] {
        let echo = Echo::http(line).await;
        urls.push(format!("http://127.0.0.1:{}", echo.port));
        echoes.push(echo);
    }
    let mut evidence = planted();
    let token = upstream.token(USER);
    evidence.plant_token(&token);
    let entrusted = [
        ("CATPROXY_BENCH_PASSWORD", PASSWORD),
        ("CATPROXY_UI_CLIENT_ID", "cat"),
        ("CATPROXY_UI_CLIENT_SECRET", CLIENT_SECRET),
        ("RUST_LOG", "trace"),
        ("RUST_BACKTRACE", "1"),
    ];
    let few = ["bench", "--samples", "1", "--warm-samples", "2", "--sellers", "1", "--url"];
    for url in &urls {
        for token in [&token, UNKNOWN_TOKEN] {
            let environment = [&entrusted[..], &[("CATPROXY_BENCH_TOKEN", token)]].concat();
            evidence.add(url, program::run(&[&few[..], &[url]].concat(), &environment));
        }
        let user = [&few[..], &[&good, "--user", USER, "--identity-url", url]].concat();
        evidence.add(url, program::run(&user, &entrusted));
    }
    evidence.add("the log", door.stop().into_bytes());
    evidence.is_clean();
    assert!(echoes.iter().all(|echo| echo.heard() > 1), "nobody was asked");
}

/// A key of an issuer that publishes what it should not.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_among_the_published_keys_is_not_printed() {
    let upstream = upstream();
    let keys =
        format!(r#"{{"keys":[{{"kty":"oct","kid":"{SIGNING_KEY}","k":"{SIGNING_KEY}","alg":"HS256"}}]}}"#);
    for body in [keys.clone(), keys.replace("oct", SIGNING_KEY), keys.replace("]}", "")] {
        let mut evidence = planted();
        upstream.rule(Rule {
            on: Matching::path("/jwks"),
            body: Some(body),
            times: Some(1),
            ..Rule::default()
        });
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("jwks.toml");
        let text = format!(
            "[upstream]\nurl = \"{url}\"\n[store]\nkind = \"memory\"\n[admission]\nmode = \"jwks\"\n\
             issuer = \"{url}\"\nkeys-url = \"{url}/jwks\"\naudience = \"catalog-api\"\n[routes.a]\n\
             path = \"/api/Seller\"\nkey = \"a\"\nfields.id = \"$.id\"\n",
            url = upstream.url()
        );
        std::fs::write(&file, text).expect("a file");
        let door = Program::serve(&[
            ("CATPROXY_CONFIG", file.to_str().expect("text")),
            ("CATPROXY_LOG", "trace,access=trace"),
        ]);
        let token = upstream.token(USER);
        evidence.plant_token(&token);
        ask_of_the_proxy(&door, &[&token, UNKNOWN_TOKEN], &mut evidence).await;
        evidence.add("the log", door.stop().into_bytes());
        evidence.is_clean();
    }
    assert!(!upstream.calls_to("/jwks").is_empty());
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_without_its_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.toml");
    let path = file.to_str().expect("text");
    let good = format!("redis://{REDIS_USER}:{REDIS_PASSWORD}@h");
    let mut evidence = planted();
    for line in [
        format!("redis-url = \"{good}:99999\""),
        format!("redis-url = \"{good}"),
        format!("redis-url = '{good}\""),
        format!("redis-url = {good}"),
        format!("redis-url = 'redis://{REDIS_USER}:\"'{REDIS_PASSWORD}@h"),
        format!("redis-url = [\"{good}\"]"),
        format!("redis-urI = \"{good}\""),
        format!("redis-url = \"{good}\" \"{good}\""),
        format!("redis-url = \"{good}\"\nredis-url = \"{good}\""),
        format!("redis-url = \"\"\"\n{good}/x y\"\"\""),
        format!("redis-url = \"redis:/{REDIS_USER}:{REDIS_PASSWORD}@h\""),
        format!("redis-url = \"{REDIS_USER}:{REDIS_PASSWORD}@h\""),
        format!("redis-url = \"http://{REDIS_USER}:{REDIS_PASSWORD}@h\""),
        format!("redis-url = \"redis+unix:///s?user={REDIS_USER}&pass={REDIS_PASSWORD}&db=x\""),
        format!("budget = \"{good}\""),
        format!("kind = \"{good}\""),
        format!("[\"{good}\"]"),
    ] {
        std::fs::write(&file, format!("[upstream]\nurl = \"http://h\"\n[store]\n{line}\n")).expect("a file");
        for command in ["check", "serve"] {
            evidence.add(&line, program::run(&[command, "--config", path], &[]));
        }
    }
    std::fs::write(&file, format!("[upstream]\nurl = \"http://{REDIS_USER}:{REDIS_PASSWORD}@h/x\"\n"))
        .expect("a file");
    evidence.add("an upstream", program::run(&["check", "--config", path], &[]));
    evidence.is_clean();
}

#[test]
fn what_is_wrong_with_the_environment_or_a_flag_is_said_without_its_secrets() {
    let mut evidence = planted();
    let url = |rest: &str| format!("redis://{REDIS_USER}:{REDIS_PASSWORD}@{rest}");
    let key = key_in_hex();
    for (name, value) in [
        ("CATPROXY_UI_KEY", &key[1..]),
        ("CATPROXY_UI_KEY", &format!("{key}!")),
        ("CATPROXY_UI_CLIENT_SECRET", CLIENT_SECRET),
        ("CATPROXY_REDIS_URL", &url("h:x")),
        ("REDIS_URL", &url("")),
        ("CATPROXY_UPSTREAM", &url("h")),
        ("CATPROXY_UI_IDENTITY_URL", &url("h")),
        ("CATPROXY_LISTEN", &url("h")),
        ("CATPROXY_PROFILE", &url("h")),
        ("CATPROXY_CONFIG", &url("h")),
        ("CATPROXY_LOG", &url("h")),
        ("CATPROXY_LOG_FORMAT", &url("h")),
        ("CATPROXY_PREFIX", &url("h")),
        ("CATPROXY_TIME_ZONE", &url("h")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &url("h").replace("redis", "http")),
        ("OTEL_TRACES_SAMPLER", &url("h")),
        ("OTEL_RESOURCE_ATTRIBUTES", &url("h")),
    ] {
        let away = [(name, value), ("CATPROXY_LISTEN", "256.0.0.1")];
        let environment = if name == "CATPROXY_LISTEN" { &away[..1] } else { &away };
        for command in ["check", "serve"] {
            evidence.add(name, program::run(&[command], environment));
        }
    }
    let (flag, typo) = (format!("--redis-url={}", url("h:x")), format!("--redis-urI={}", url("h")));
    for arguments in [
        &["serve", &flag][..],
        &["check", &flag],
        &["serve", &typo],
        &["serve", "--redis-urI", &url("h")],
        &["serve", "--redis-url", &url("h"), &url("h")],
        &["serve", &url("h")],
        &[&url("h")],
        &["serve", "--profile", &url("h")],
        &["serve", "--listen", &url("h")],
        &["serve", "--upstream", &url("h")],
        &["serve", "--config", &url("h")],
        &["check", "--redis-url", &url("h"), "--redis-url", &url("h")],
        &["project", "--route", &url("h")],
        &["bench", "--url", &url("h")],
        &["bench", "--url", "http://h", "--identity-url", &url("h")],
        &["bench", "--require", &url("h")],
        &["bench", "--token", UNKNOWN_TOKEN, "--sellers", "none"],
        &["bench", "--token", UNKNOWN_TOKEN, "--other-token", UNKNOWN_TOKEN, "--user", "sam"],
        &["bench", "--url", "http://127.0.0.1:1", "--token", UNKNOWN_TOKEN, "--other-token", COOKIE],
        &["demo", "--latency", &url("h")],
        &["demo", "--redis-url", &url("h:x")],
    ] {
        evidence.add(&arguments.join(" "), program::run(arguments, &[]));
    }
    evidence.is_clean();
}

#[test]
fn nothing_that_holds_a_secret_prints_it() {
    let mut evidence = planted();
    let flag = |value: &str| Some(Setting { value: value.to_owned(), origin: Origin::Flag("--x") });
    let overrides = Overrides {
        redis_url: flag(&redis_url(REDIS_PASSWORD, 1)),
        ui_client_id: flag("cat"),
        ui_client_secret: flag(CLIENT_SECRET),
        ui_key: flag(&key_in_hex()),
        ..Overrides::default()
    };
    evidence.add("overrides", format!("{overrides:?}{overrides:#?}").into_bytes());
    let (config, warnings) =
        load(Profile::CatalogUi.source(), overrides).unwrap_or_else(|report| panic!("{report}"));
    let shown = format!("{config:?}{config:#?}{warnings:?}{}{}", config.summary(), config.details());
    evidence.add("a configuration", shown.into_bytes());
    let url = redis_url(REDIS_PASSWORD, 1);
    let given = catproxy::cli::Cli::parse_from(["catproxy", "serve", "--redis-url", &url]);
    evidence.add("a command line", format!("{given:?}{given:#?}").into_bytes());
    let options = Given { redis_url: Some(url), ..Given::default() };
    evidence.add("options", format!("{options:?}{options:#?}").into_bytes());
    let secrets = (Secret::new(PASSWORD.to_owned()), Secret::new(KEY));
    evidence.add("secrets", format!("{secrets:?}{secrets:#?}{}{}", secrets.0, secrets.1).into_bytes());
    evidence.is_clean();
}

/// Without this, all of the above may search for nothing.
#[test]
fn a_secret_is_found_however_it_is_coded() {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzYW0iLCJqdGkiOiJhYmNkZWZnaCJ9.c2lnbmF0dXJlLW9mLXRoaXMtdG9rZW4tYmFzZTY0";
    for text in [
        format!("x{PASSWORD}y"),
        format!("{PASSWORD:?}"),
        format!("{:?}", PASSWORD.as_bytes()),
        form_urlencoded::byte_serialize(PASSWORD.as_bytes()).collect(),
        form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect::<String>().to_lowercase(),
        key_in_hex(),
        key_in_hex().to_uppercase(),
        STANDARD.encode(KEY),
        STANDARD.encode(format!("{USER}:{PASSWORD}")),
        URL_SAFE_NO_PAD.encode(format!("a{CLIENT_SECRET}bc")),
        STANDARD.encode(format!("ab{REDIS_PASSWORD}c")),
        format!("{KEY:?}"),
        serde_json::to_string(PASSWORD).expect("JSON"),
        token.to_owned(),
        token.split('.').nth(2).expect("a signature").to_owned(),
        STANDARD.encode(token),
    ] {
        let mut evidence = planted();
        evidence.plant_token(token);
        evidence.add("a text", text.clone().into_bytes());
        assert!(!evidence.found().is_empty(), "{text}");
    }
    let mut evidence = planted();
    evidence.add("a text", b"nothing of all that, and Bearer nobody".to_vec());
    assert!(evidence.found().is_empty());
}
