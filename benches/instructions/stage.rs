//! What the steps need around them: the stand-in upstream with always the same data, the proxy's configuration and clock,
//! and requests as a panel in a browser sends them.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use catproxy::{
    classify::{Class, Classifier},
    clock::Clock,
    config::{
        Config, Route, StoreKind,
        check::{Origin, Overrides, Setting, load},
        profile::Profile,
    },
    page::Collection,
    proxy::Proxy,
    upstream::RequestBody,
};
use fake_abconnect::{FakeAbconnect, Options, Running};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use jiff::{
    civil::{Date, date},
    tz::TimeZone,
};
use tokio::runtime::{Builder, Runtime};

/// The day of all data and of the proxy's clock.
pub(crate) const TODAY: Date = date(2026, 1, 15);
pub(crate) const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
/// Another page of it.
pub(crate) const SELLERS_ON: &str = "/api/Seller?PageNumber=2&PageSize=100";
/// Of no route.
pub(crate) const LOTS: &str = "/api/Lot?CatalogId=1&PageNumber=1&PageSize=100";
/// What a browser sends for a panel, beside the token.
const FIELDS: [(HeaderName, &str); 10] = [
    (header::HOST, "catalogs.example.com"),
    (header::CONNECTION, "keep-alive"),
    (header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (header::ACCEPT, "application/json, text/plain, */*"),
    (header::ACCEPT_LANGUAGE, "en-US,en;q=0.5"),
    (header::ACCEPT_ENCODING, "gzip, deflate, br, zstd"),
    (header::REFERER, "https://catalogs.example.com/panels"),
    (HeaderName::from_static("sec-fetch-dest"), "empty"),
    (HeaderName::from_static("sec-fetch-mode"), "cors"),
    (HeaderName::from_static("sec-fetch-site"), "same-origin"),
];

pub(crate) fn catalogs(seller: i32) -> String {
    format!("/api/Catalog?PageNumber=1&PageSize=200&SellerIds={seller}")
}

pub(crate) fn fields(token: &str) -> HeaderMap {
    let fixed = FIELDS.map(|(name, value)| (name, HeaderValue::from_static(value)));
    let authorization = HeaderValue::try_from(format!("Bearer {token}")).expect("a token");
    fixed.into_iter().chain([(header::AUTHORIZATION, authorization)]).collect()
}

pub(crate) fn request(target: &str, fields: &HeaderMap) -> Request<RequestBody> {
    let mut request = Request::new(RequestBody::empty());
    *request.uri_mut() = target.parse().expect("a target");
    *request.headers_mut() = fields.clone();
    request
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// It stands still; it is past by the stand-in's clock, so that its tokens are good by both.
pub(crate) fn clock() -> Clock {
    let morning = TODAY.at(9, 30, 0, 0).to_zoned(TimeZone::UTC).expect("a time").timestamp();
    let now = UNIX_EPOCH + Duration::from_secs(morning.as_second().unsigned_abs());
    Clock::from_fn(move || now)
}

/// 500 sellers, one of which has 230 catalogs; tokens as long as real ones.
pub(crate) fn upstream() -> Running {
    let options = Options { sellers: 500, today: Some(TODAY), token_bytes: 1000, ..Options::default() };
    FakeAbconnect::start_on_own_threads(options, 1).expect("the stand-in starts")
}

/// The profile `panels` with the memory store.
pub(crate) fn configuration(upstream: &str) -> Config {
    let flag = |name, value: &str| Some(Setting { value: value.to_owned(), origin: Origin::Flag(name) });
    let overrides = Overrides {
        listen: flag("--listen", "127.0.0.1:0"),
        upstream: flag("--upstream", upstream),
        time_zone: flag("time zone", "UTC"),
        ..Overrides::default()
    };
    let (mut config, _) = load(Profile::Panels.source(), overrides).expect("a configuration");
    config.store.kind = StoreKind::Memory { max_bytes: 256 << 20 };
    config
}

/// A page as the upstream answers it, and the route that it is of.
pub(crate) fn fetch(upstream: &Running, target: &str) -> (Bytes, Arc<Route>) {
    let config = configuration(upstream.url());
    let (uri, mut fields) = (target.parse().expect("a target"), fields(&upstream.token("demo")));
    let class = Classifier::new(&config).classify(&Method::GET, &uri, &fields, false);
    let Class::Read(read) = class else { panic!("{target} is no read") };
    // Such a request is forwarded, and its answer comes as it is.
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.remove(header::ACCEPT_ENCODING);
    let proxy = Proxy::new(&config, clock()).expect("a proxy");
    let body = runtime().block_on(async {
        let answer = proxy.answer(request(target, &fields)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{target}");
        answer.into_body().collect().await.expect("a whole body").to_bytes()
    });
    (body, Arc::clone(&read.route))
}

/// What the cache would have of this page, and the route that it is of.
pub(crate) fn collection(upstream: &Running, target: &str) -> (Collection, Arc<Route>) {
    let (body, route) = fetch(upstream, target);
    let page = route.projection.page(&body).expect("a page");
    let total = page.total_items.expect("a total");
    (Collection { text: page.text.into(), items: page.items, total, kept_from: None }, route)
}

/// Reads until nobody has to be asked; gives the page's tag.
pub(crate) async fn warm(proxy: &Proxy, fields: &HeaderMap) -> HeaderValue {
    for _ in 0..2 {
        let (head, body) = proxy.answer(request(SELLERS, fields)).await.into_parts();
        body.collect().await.expect("a whole body");
        let status = head.headers.get("cache-status").expect("where it came from");
        if status.as_bytes().starts_with(b"catproxy; hit") {
            return head.headers.get(header::ETAG).cloned().expect("a tag");
        }
    }
    panic!("the second read is no hit");
}
