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
use http::{HeaderMap, Method, StatusCode, Uri, header};
use jiff::tz::TimeZone;
use tokio::{net::TcpListener, runtime::Runtime, task::yield_now};

use crate::stage::{
    LOTS, SELLERS, SELLERS_ON, TODAY, catalogs, clock, collection, configuration, fetch, fields, request,
    runtime, upstream, warm,
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

/// The same over a connection on the loopback, which hyper had for the first requests, as their pages were not made yet. The connection has the thread; the client, which does nothing but write and read, has it in between. So
/// who does what when is always the same.
pub(crate) fn hit_over_http() -> Step {
    let upstream = upstream();
    let mut client = Client::of_server_before(upstream.url());
    let fields = fields(&upstream.token("demo"));
    let [other, request] = [SELLERS_ON, SELLERS].map(|target| plain_text("GET", target, &fields));
    let mut ask = move |request: &[u8]| {
        client.send(request);
        client.receive().starts_with(OK)
    };
    assert!(ask(&other) && ask(&request) && ask(&request), "both pages are made");
    let mut ask = move || ask(&request);
    upstream.clear_calls();
    Box::new(move |times| {
        let right = (0..times).filter(|_| ask()).count();
        if upstream.calls().is_empty() { right } else { 0 }
    })
}

/// Over such a connection what is of no route.
pub(crate) fn forward_over_http() -> Step {
    passed_on(plain_text("GET", LOTS, &fields(&"t".repeat(1000))), b"GET /api/Lot?")
}

/// Over such a connection a write with a body.
pub(crate) fn upload_over_http() -> Step {
    let (body, mut fields) = ([b'x'; 1000], fields(&"t".repeat(1000)));
    fields.insert(header::CONTENT_LENGTH, body.len().into());
    passed_on([plain_text("POST", LOTS, &fields).as_slice(), &body].concat(), b"POST /api/Lot?")
}

/// A request that goes to the upstream, and the answer of that, which has this thread in between, too.
fn passed_on(request: Vec<u8>, line: &'static [u8]) -> Step {
    let door = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = Client::of_server_before(&format!("http://{}", door.local_addr().expect("a port")));
    let answer = answer_of(1000);
    client.send(&request);
    client.let_work();
    let (mut upstream, _) = door.accept().expect("the request's connection");
    upstream.set_nonblocking(true).expect("a socket");
    let mut sent = true;
    each(move || {
        if !std::mem::take(&mut sent) {
            client.send(&request);
        }
        let asked = client.received_by(&mut upstream).starts_with(line);
        upstream.write_all(&answer).expect("an answer is taken");
        asked && client.receive().starts_with(OK)
    })
}

/// How an answer that is right begins.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// A request as it is on the wire.
fn plain_text(method: &str, target: &str, fields: &HeaderMap) -> Vec<u8> {
    let lines = fields.iter().map(|(name, value)| {
        let (name, value) = (as_browsers_spell(name.as_str()), value.to_str().expect("text"));
        format!("{name}: {value}\r\n")
    });
    format!("{method} {target} HTTP/1.1\r\n{}\r\n", lines.collect::<String>()).into_bytes()
}

/// `User-Agent`: what is all in lower case may cost less.
fn as_browsers_spell(name: &str) -> String {
    let mut begins = true;
    let spelled = name.chars().map(|letter| {
        let spelled = if begins { letter.to_ascii_uppercase() } else { letter };
        begins = letter == '-';
        spelled
    });
    spelled.collect()
}

/// An upstream's answer with a body of so many bytes.
fn answer_of(bytes: usize) -> Vec<u8> {
    let fields = "Content-Type: application/json; charset=utf-8\r\nDate: Thu, 15 Jan 2026 09:30:00 GMT\r\n\
                  Server: Kestrel\r\nStrict-Transport-Security: max-age=2592000\r\nX-Powered-By: ASP.NET\r\n";
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes)).into_bytes()
}

/// A client whose connection the server has on this thread, instead of on one of its own: it works when it is let.
struct Client {
    stream: TcpStream,
    runtime: Runtime,
    /// It answers as long as it is there.
    _server: Server,
    buffer: Vec<u8>,
}

impl Client {
    fn of_server_before(upstream: &str) -> Self {
        let runtime = runtime();
        let (server, stream) = runtime.block_on(async {
            let server = Server::bind(&configuration(upstream), clock()).await.expect("the server starts");
            let door = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let stream = TcpStream::connect(door.local_addr().expect("a port")).expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            stream.set_nonblocking(true).expect("a socket");
            let (accepted, peer) = door.accept().await.expect("a connection");
            accepted.set_nodelay(true).expect("a socket");
            server.serve(accepted, peer);
            (server, stream)
        });
        Self { stream, runtime, _server: server, buffer: vec![0; 1 << 20] }
    }

    fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("a request is taken");
    }

    fn let_work(&self) {
        for _ in 0..100 {
            self.runtime.block_on(yield_now());
        }
    }

    /// What comes of it.
    fn receive(&mut self) -> &[u8] {
        read(&mut self.stream, &self.runtime, &mut self.buffer)
    }

    /// What comes of it to an upstream.
    fn received_by(&mut self, upstream: &mut TcpStream) -> &[u8] {
        read(upstream, &self.runtime, &mut self.buffer)
    }
}

/// The next piece that comes on a stream, as the server on this runtime goes on.
fn read<'a>(stream: &mut TcpStream, runtime: &Runtime, buffer: &'a mut [u8]) -> &'a [u8] {
    loop {
        runtime.block_on(yield_now());
        match stream.read(buffer) {
            Ok(length) => return &buffer[..length],
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }
}
