//! Whatever an upstream answers, a fill makes a collection of it that keeps the bounds, or says why not; and passed on, it
//! is an answer of one hop. The bytes are all that the upstream says to each request.

use std::sync::Arc;

use bytes::Bytes;
use catproxy::{
    classify::{Class, Classifier, Read},
    clock::Clock,
    config::{Config, StoreKind},
    dial::Dialler,
    fill::{FillError, Filler},
    page::Collection,
    proxy::Proxy,
    telemetry::Telemetry,
    upstream::{RequestBody, Upstream},
};
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::memory::{Memory, config, in_memory};

const MAX_PAGE_BYTES: usize = 4096;
const MAX_ITEMS: usize = 20;
/// Of an error's body.
const ERROR_BYTES: usize = 1024 * 1024;

pub(super) fn check(bytes: &[u8]) {
    let config = config(|config| {
        config.store.kind = StoreKind::Absent;
        config.fill.max_page_bytes = MAX_PAGE_BYTES;
        config.fill.max_bytes = 2 * MAX_PAGE_BYTES;
        config.fill.max_items = MAX_ITEMS;
        config.fill.max_pages = 3;
    });
    let said = Bytes::copy_from_slice(bytes);
    in_memory(async {
        let upstream = Memory::new(move |stream| say(stream, said.clone()));
        let dialler = Dialler::of(upstream.clone());
        fill(&config, &dialler).await;
        forward(&config, dialler).await;
        upstream.ended().await;
    });
}

/// Says it after each head, and hangs up.
async fn say(mut stream: DuplexStream, said: Bytes) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let _ = stream.write_all(&said).await;
}

fn read(config: &Config, target: &'static str) -> Read {
    let (uri, fields) = (http::Uri::from_static(target), HeaderMap::new());
    match Classifier::new(config).classify(&Method::GET, &uri, &fields, false) {
        Class::Read(read) => read,
        other => panic!("{target} is {other:?}"),
    }
}

async fn fill(config: &Config, dialler: &Dialler) {
    let upstream = Arc::new(Upstream::new(&config.upstream, dialler).expect("an upstream"));
    let filler = Filler::new(config, upstream, Arc::new(Telemetry::default()));
    let read = read(config, "/api/Catalog?SellerIds=42");
    match filler.fill(&read, Some("Bearer x")).await {
        Ok(collection) => keeps_the_bounds(&collection),
        Err(error) => is_sound(&error),
    }
    match filler.ask(&read, Some("Bearer x")).await {
        Ok(total) => assert!(total.is_some(), "a list without a total"),
        Err(error) => is_sound(&error),
    }
}

fn keeps_the_bounds(collection: &Collection) {
    assert!(collection.items.len() <= MAX_ITEMS && collection.text.len() <= 2 * MAX_PAGE_BYTES);
    assert_eq!(collection.items.len() as u64, collection.total);
    for place in 0..collection.items.len() {
        let item = collection.item(place);
        assert!(item.starts_with(b"{") && serde_json::from_slice::<&RawValue>(item).is_ok(), "{item:?}");
    }
}

fn is_sound(error: &FillError) {
    if let FillError::Answered(answered) = error {
        assert!(answered.status.is_client_error() || answered.status.is_server_error());
        assert!(answered.body.len() <= ERROR_BYTES);
        let passed = [header::CONTENT_TYPE, header::WWW_AUTHENTICATE, header::RETRY_AFTER];
        assert!(answered.fields.keys().all(|name| passed.contains(name)), "{:?}", answered.fields);
    }
    assert!(!error.to_string().is_empty());
}

async fn forward(config: &Config, dialler: Dialler) {
    let proxy = Proxy::dialling(config, Clock::system(), dialler).expect("a proxy");
    for target in ["/api/Lot/1", "/api/Catalog?SellerIds=42"] {
        let request = Request::get(target)
            .header(header::HOST, "h")
            .header(header::AUTHORIZATION, "Bearer x")
            .body(RequestBody::empty());
        let answer = proxy.answer(request.expect("a request")).await;
        let fields = answer.headers();
        for name in ["keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "proxy-authenticate"] {
            assert!(!fields.contains_key(name), "{name} went on: {fields:?}");
        }
        assert_eq!(fields.get_all("cache-status").iter().count(), 1, "{fields:?}");
        // Whole or broken off.
        let _ = answer.into_body().collect().await;
    }
    proxy.settle().await;
}
