//! A client that shows exactly what was on the wire.

use std::net::SocketAddr;

use fake_abconnect::{FakeAbconnect, Options, Running};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer on the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// What followed the head, chunks and all.
    pub(crate) raw_body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.raw_body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.raw_body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Sends these bytes on a connection of their own and reads to its end.
pub(crate) async fn exchange(addr: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    // A connection that is reset has said what it had to say.
    let _ = stream.read_to_end(&mut reply).await;
    reply
}

pub(crate) fn parse(reply: &[u8]) -> Reply {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&reply[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let field = |line: &str| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
    Reply { status, headers: lines.map(field).collect(), raw_body: reply[end + 4..].to_vec() }
}

/// A stand-in and a user who talks to it.
pub(crate) struct Bench {
    pub(crate) upstream: Running,
    pub(crate) token: String,
}

impl Bench {
    pub(crate) fn start() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let upstream = FakeAbconnect::start(options).unwrap();
        let token = upstream.token("demo");
        Self { upstream, token }
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, "").await
    }

    /// A request by this user, JSON if it has a body.
    pub(crate) async fn send(&self, method: &str, target: &str, body: &str) -> Reply {
        let content = match body {
            "" => String::new(),
            body => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
        };
        let token = &self.token;
        let fields = format!("Authorization: Bearer {token}\r\n{content}");
        self.raw(method, target, &fields, body).await
    }

    pub(crate) async fn raw(&self, method: &str, target: &str, fields: &str, body: &str) -> Reply {
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n{body}");
        parse(&exchange(self.upstream.addr(), request.as_bytes()).await)
    }
}
