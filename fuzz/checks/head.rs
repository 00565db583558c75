//! Whatever a client sends on a connection, what goes upstream is a row of well-formed requests: each is one that the
//! server has read, in its order, with one framing and the upstream's name, or one of the fills' own making. The client
//! gets well-formed answers.

use std::sync::{Arc, Mutex, PoisonError};

use catproxy::{
    clock::Clock,
    config::{Config, StoreKind},
    dial::Dialler,
    guard,
    proxy::Proxy,
    respond,
};
use http::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::memory::{self, FIELDS, Memory, config, in_memory};

/// What the upstream says to everything: an empty page, which is a page for all.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 61\r\n\r\n\
    {\"items\":[],\"pageNumber\":1,\"totalPages\":1,  \"totalItems\":0  }";

/// Methods and targets as the server has read them.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

pub(super) fn check(bytes: &[u8]) {
    let config = config(|config| config.store.kind = StoreKind::Absent);
    in_memory(async {
        let seen = Seen::default();
        let heard = Arc::clone(&seen);
        let upstream = Memory::new(move |stream| upstream(stream, Arc::clone(&heard)));
        let answers = converse(&config, Dialler::of(upstream.clone()), bytes, &seen).await;
        upstream.ended().await;
        are_answers(&answers);
    });
}

/// What comes back to the client.
async fn converse(config: &Config, dialler: Dialler, bytes: &[u8], seen: &Seen) -> Vec<u8> {
    let proxy = Proxy::dialling(config, Clock::system(), dialler).expect("a proxy");
    let answer = |request: Request<Incoming>| {
        let (method, target) = (request.method(), request.uri());
        let refusal = guard::check(method, target, request.version(), request.headers(), &config.clients);
        let target = target.path_and_query().map_or("", |target| target.as_str()).to_owned();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push((method.to_string(), target));
        let proxy = proxy.clone();
        async move {
            match refusal {
                Ok(()) => proxy.handle(request, None).await,
                Err(refusal) => respond::refused(&refusal),
            }
        }
    };
    let answers = memory::converse(answer, bytes).await;
    proxy.settle().await;
    answers
}

/// One connection: each request is examined and answered.
async fn upstream(mut stream: DuplexStream, seen: Seen) {
    let mut bytes = Vec::new();
    loop {
        let Some(head) = read_head(&mut stream, &mut bytes).await else {
            assert!(bytes.is_empty(), "half a head");
            return;
        };
        head.is_sound(&seen);
        if !read_body(&mut stream, &mut bytes, &head).await || stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

struct Head {
    method: String,
    target: String,
    /// Names in lower case.
    fields: Vec<(String, Vec<u8>)>,
}

/// `None`: the connection has ended.
async fn read_head(stream: &mut DuplexStream, bytes: &mut Vec<u8>) -> Option<Head> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 2 * FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        if let httparse::Status::Complete(length) = request.parse(bytes).expect("a request") {
            assert_eq!(request.version, Some(1));
            let owned = |field: &httparse::Header<'_>| (field.name.to_lowercase(), field.value.to_vec());
            let head = Head {
                method: request.method.expect("a method").to_owned(),
                target: request.path.expect("a target").to_owned(),
                fields: request.headers.iter().map(owned).collect(),
            };
            bytes.drain(..length);
            return Some(head);
        }
        if stream.read_buf(bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

impl Head {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_slice()).collect()
    }

    fn is_sound(&self, seen: &Seen) {
        assert_eq!(self.values("host"), [b"catalog-api.abconnect.co"], "{:?}", self.fields);
        let (lengths, codings) = (self.values("content-length"), self.values("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "two framings: {:?}", self.fields);
        assert!(codings.iter().all(|coding| *coding == b"chunked"), "{:?}", self.fields);
        for name in ["keep-alive", "proxy-connection", "proxy-authorization", "http2-settings"] {
            assert!(self.values(name).is_empty(), "{name} went on");
        }
        assert!(
            self.target.starts_with('/') || (self.method == "OPTIONS" && self.target == "*"),
            "{}",
            self.target
        );
        if !self.is_seen(seen) {
            assert!(self.is_fill(), "{} {} was never asked for", self.method, self.target);
        }
    }

    /// Takes it, and what came before it, from what the server has read.
    fn is_seen(&self, seen: &Seen) -> bool {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = |(method, target): &(String, String)| *method == self.method && *target == self.target;
        let place = seen.iter().position(mine);
        place.map(|place| seen.drain(..=place)).is_some()
    }

    fn is_fill(&self) -> bool {
        let paged = ["/api/Seller?PageNumber=", "/api/Catalog?SellerIds="];
        self.method == "GET"
            && self.values("content-length").is_empty()
            && self.values("transfer-encoding").is_empty()
            && self.values("cookie").is_empty()
            && paged.iter().any(|target| self.target.starts_with(target))
            && self.values("user-agent").iter().all(|agent| agent.starts_with(b"catproxy/"))
    }
}

/// Reads the body that the head announces; whether it came whole.
async fn read_body(stream: &mut DuplexStream, bytes: &mut Vec<u8>, head: &Head) -> bool {
    if !head.values("transfer-encoding").is_empty() {
        loop {
            let Some(size) = read_chunk(stream, bytes).await else { return false };
            if size == 0 {
                return true;
            }
        }
    }
    let length = head.values("content-length").pop().map(|length| {
        let text = std::str::from_utf8(length).expect("digits");
        text.parse::<usize>().unwrap_or_else(|_| panic!("{text:?} is no length"))
    });
    take(stream, bytes, length.unwrap_or(0)).await.is_some()
}

/// The size of the next chunk, which is read; after the last one, trailers.
async fn read_chunk(stream: &mut DuplexStream, bytes: &mut Vec<u8>) -> Option<usize> {
    let line = read_line(stream, bytes).await?;
    let line = std::str::from_utf8(&line).expect("a size");
    let size = usize::from_str_radix(line, 16).unwrap_or_else(|_| panic!("{line:?} is no size"));
    if size == 0 {
        while !read_line(stream, bytes).await?.is_empty() {}
        return Some(0);
    }
    let chunk = take(stream, bytes, size + 2).await?;
    assert!(chunk.ends_with(b"\r\n"), "a chunk without its end");
    Some(size)
}

/// Without its CRLF.
async fn read_line(stream: &mut DuplexStream, bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
            let line = bytes[..end].to_vec();
            bytes.drain(..end + 2);
            return Some(line);
        }
        if stream.read_buf(bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

async fn take(stream: &mut DuplexStream, bytes: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    while bytes.len() < count {
        if stream.read_buf(bytes).await.unwrap_or(0) == 0 {
            // Half of it is no next request.
            bytes.clear();
            return None;
        }
    }
    Some(bytes.drain(..count).collect())
}

/// The first one is well formed; what follows depends on methods and lengths.
fn are_answers(bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 2 * FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    match answer.parse(bytes).expect("an answer") {
        httparse::Status::Complete(_) => {
            let status = answer.code.expect("a status");
            assert!((100..600).contains(&status) && status != 500, "{status}");
        }
        httparse::Status::Partial => assert!(bytes.is_empty(), "half a head"),
    }
}
