//! A client with many connections, of which so many have a request on its way. It looks at nothing of an answer but its
//! length, its status and where it says that it comes from.

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// So many of them.
    pub(crate) async fn several(address: SocketAddr, count: usize) -> Vec<Self> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Self::open(address).await);
        }
        connections
    }

    /// One answer, whose `Cache-Status` has this in it.
    pub(crate) async fn ask(&mut self, request: &[u8], came: &str) {
        self.stream.write_all(request).await.expect("a request is taken");
        self.buffer.clear();
        let head = loop {
            self.read().await;
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head]).expect("text").to_ascii_lowercase();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let status = field("cache-status").unwrap_or_default();
        assert!(text.starts_with("http/1.1 200 ") && status.contains(came), "{came} was expected: {text}");
        let length: usize = field("content-length").expect("a length").parse().expect("a length");
        while self.buffer.len() < head + length {
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await.expect("an answer");
        assert!(read > 0, "the proxy has closed a connection");
    }
}

/// A request for this target.
pub(crate) fn request(target: &str, token: &str, more: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
        .into_bytes()
}

/// Asks for hits: `count` in all, `active` at a time, each connection and each request in turn.
pub(crate) async fn hits(connections: &mut [Connection], requests: &[Vec<u8>], active: usize, count: usize) {
    let each = connections.len().div_ceil(active.min(connections.len()));
    let workers = connections.len().div_ceil(each);
    let turns = count / workers;
    let workers = connections
        .chunks_mut(each)
        .enumerate()
        .map(|(place, connections)| worker(connections, requests, turns, (place, workers)));
    join_all(workers).await;
}

/// One of so many that ask by turns.
async fn worker(
    connections: &mut [Connection],
    requests: &[Vec<u8>],
    turns: usize,
    (place, workers): (usize, usize),
) {
    for turn in 0..turns {
        let connection = turn % connections.len();
        // A step that shares no factor with the number of requests meets them all, and none after its neighbour.
        let request = (turn * workers + place).wrapping_mul(7_919) % requests.len();
        connections[connection].ask(&requests[request], "hit").await;
    }
}
