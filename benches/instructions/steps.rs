//! The steps that are measured, each ready to be done at once.

use std::{
    hint::black_box,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use catproxy::{
    classify::{Class, Classifier, PageAsked},
    page::keep,
    proxy::Proxy,
    server::Server,
};
use http::{Method, StatusCode, Uri, header};
use jiff::tz::TimeZone;
use tokio::{net::TcpListener, task::yield_now};

use crate::stage::{
    SELLERS, TODAY, catalogs, clock, collection, configuration, fetch, fields, request, runtime, upstream,
    warm,
};

/// Does a step of a request so many times; gives how often it ended as it should.
pub(crate) type Step = Box<dyn FnMut(usize) -> usize>;

fn each(mut once: impl FnMut() -> bool + 'static) -> Step {
    Box::new(move |times| (0..times).filter(|_| once()).count())
}

/// From a parsed head to what the request is.
pub(crate) fn classify(target: &str, expected: fn(&Class) -> bool) -> Step {
    let classifier = Classifier::new(&configuration("http://127.0.0.1:9"));
    // As long as a real one.
    let (uri, fields): (Uri, _) = (target.parse().expect("a target"), fields(&"t".repeat(1000)));
    each(move || expected(&classifier.classify(black_box(&Method::GET), black_box(&uri), &fields, false)))
}

/// A page of 500 sellers, cut to the panels' fields.
pub(crate) fn project() -> Step {
    let (body, route) = fetch(&upstream(), SELLERS);
    each(move || route.projection.page(black_box(&body)).is_ok_and(|page| page.items.len() == 500))
}

/// A page of 100 out of 500 sellers.
pub(crate) fn cut() -> Step {
    let (collection, _) = collection(&upstream(), SELLERS);
    let page = PageAsked { number: 2, size: 100 };
    each(move || !black_box(&collection).page(page).is_empty())
}

/// A page of the catalogs that have not ended: what is kept of all changes with the day, so a page is made of all.
pub(crate) fn keep_and_cut() -> Step {
    let upstream = upstream();
    let (collection, route) = collection(&upstream, &catalogs(upstream.seller_with_many_catalogs()));
    let page = PageAsked { number: 1, size: 200 };
    each(move || {
        let keep = route.keep.as_ref().expect("kept from a day");
        let whole = black_box(&collection).clone();
        let (kept, unreadable) = keep::from_today(whole, &keep.field, TODAY, &TimeZone::UTC);
        !kept.items.is_empty() && !kept.page(page).is_empty() && unreadable == 0
    })
}

/// A warm read from the memory store, from the parsed request to the dropping of the answer. `known`: the client has the
/// page already, and names its tag.
pub(crate) fn hit(times: usize, known: bool) -> Step {
    let (runtime, upstream) = (runtime(), upstream());
    let proxy = Proxy::new(&configuration(upstream.url()), clock()).expect("a proxy");
    let mut fields = fields(&upstream.token("demo"));
    let tag = runtime.block_on(warm(&proxy, &fields));
    let expected = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    if known {
        fields.insert(header::IF_NONE_MATCH, tag);
    }
    let mut requests: Vec<_> = (0..times).map(|_| request(SELLERS, &fields)).collect();
    upstream.clear_calls();
    Box::new(move |times| {
        let requests = requests.drain(requests.len() - times..);
        let right = runtime.block_on(async {
            let mut right = 0;
            for request in requests {
                right += usize::from(proxy.answer(request).await.status() == expected);
            }
            right
        });
        if upstream.calls().is_empty() { right } else { 0 }
    })
}

/// The same over a connection on the loopback, which has begun with a miss. The connection has the thread; the client,
/// which does nothing but write and read, has it in between. So who does what when is always the same.
pub(crate) fn hit_over_http() -> Step {
    let (runtime, upstream) = (runtime(), upstream());
    let bound = runtime.block_on(Server::bind(&configuration(upstream.url()), clock()));
    let server = bound.expect("the server starts");
    let mut client = runtime.block_on(connected(&server));
    let fields = fields(&upstream.token("demo"));
    let lines = fields.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().expect("text")));
    let request = format!("GET {SELLERS} HTTP/1.1\r\n{}\r\n", lines.collect::<String>());
    let mut answer = vec![0; 1 << 20];
    let mut ask = move || {
        // It answers as long as it is there.
        let _server = &server;
        client.write_all(request.as_bytes()).expect("a request is taken");
        loop {
            runtime.block_on(yield_now());
            match client.read(&mut answer) {
                Ok(length) => return answer[..length].starts_with(b"HTTP/1.1 200 OK\r\n"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
    };
    assert!(ask(), "the list is filled");
    upstream.clear_calls();
    Box::new(move |times| {
        let right = (0..times).filter(|_| ask()).count();
        if upstream.calls().is_empty() { right } else { 0 }
    })
}

/// A client's end of a connection whose other end the server has on this thread, instead of on one of its own.
async fn connected(server: &Server) -> TcpStream {
    let door = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = TcpStream::connect(door.local_addr().expect("a port")).expect("a connection");
    client.set_nodelay(true).expect("a socket");
    client.set_nonblocking(true).expect("a socket");
    let (accepted, peer) = door.accept().await.expect("a connection");
    accepted.set_nodelay(true).expect("a socket");
    server.serve(accepted, peer);
    client
}
