//! What an upstream may answer to a request that is passed on: a client gets the same whoever has read it.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{HANGS, is_alike, lasting, lasting_lines};
use crate::{forwarding::wire::Wire, support::Door};

/// What comes behind a case, if the upstream's connection is still good, and ends the client's.
const AFTER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter";

/// What is asked, and what an upload brings.
const ASKED: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const UPLOAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const UPLOADED: &str = "hello";

/// An answer's bytes, and whether the upstream closes the connection behind them.
struct Case {
    name: String,
    bytes: Vec<u8>,
    closes: bool,
}

fn case(name: impl Into<String>, text: impl AsRef<[u8]>, closes: bool) -> Case {
    Case { name: name.into(), bytes: text.as_ref().to_vec(), closes }
}

fn all() -> Vec<Case> {
    let lines = status_lines().into_iter().map(|line| {
        let closes = line.starts_with("HTTP/1.0");
        case(line, format!("{line}\r\nContent-Length: 2\r\n\r\nok"), closes)
    });
    let fields = fields().into_iter().map(|field| {
        let text = format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 2\r\n\r\nok");
        case(format!("{field:.60}"), latin(&text), false)
    });
    lines.chain(fields).chain(lengths()).chain(chunks()).chain(interim()).chain(sizes()).collect()
}

fn status_lines() -> Vec<&'static str> {
    vec![
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 201 Made: here",
        "HTTP/1.1 299 Any",
        "HTTP/1.1 302 Found",
        "HTTP/1.1 401 Unauthorized",
        "HTTP/1.1 404 Gone Fishing",
        "HTTP/1.1 500 \u{fffd}",
        "HTTP/1.1 503 Service Unavailable",
        "HTTP/1.1 999 Top",
        "HTTP/1.1 1000 Much",
        "HTTP/1.1 099 Little",
        "HTTP/1.1 20 Short",
        "HTTP/1.1 -20 Less",
        "HTTP/1.1 abc Words",
        "HTTP/1.0 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.1  200 OK",
        " HTTP/1.1 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "",
    ]
}

fn fields() -> Vec<String> {
    let fields = [
        "X-One: 1",
        "x-one:1",
        "X-One:",
        "X-One : 1",
        " X-One: 1",
        ": 1",
        "X-One",
        "X-One: 1\r\n folded",
        "X-\u{e9}: 1",
        "X-One: \u{e9}",
        "X-One: \u{7f}",
        "X-One: \0",
        "X-One: a\rb",
        "X-One: a\nX-Two: b",
        "X@One: 1",
        "Set-Cookie: a=1\r\nSET-COOKIE: b=2",
        "Date: yesterday",
        "Via: 1.0 before\r\nVia: 1.1 then",
        "Cache-Status: before; hit",
        "Connection: X-One\r\nX-One: 1",
        "Connection: x-one, keep-alive\r\nX-One: 1\r\nX-Two: 2",
        "Connection: content-type, via\r\nContent-Type: a/b\r\nVia: 1.1 x",
        "Connection:\r\nConnection: X-One\r\nX-One: 1",
        "Connection: \u{e9}, ,",
        "Connection: close",
        "Connection: Upgrade\r\nUpgrade: h2c",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authenticate: Basic",
        "TE: trailers",
        "Trailer: X-One",
        "Content-Encoding: gzip",
    ];
    fields.map(ToOwned::to_owned).into()
}

fn lengths() -> Vec<Case> {
    let of = |fields: &str, body: &str, closes| {
        case(format!("{fields} {body:?}"), format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}"), closes)
    };
    let bare = |status: &str, fields: &str| {
        case(format!("{status} {fields}"), format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n"), false)
    };
    vec![
        of("Content-Length: 0", "", false),
        of("Content-Length: 2", "ok", true),
        of("Content-Length: 2", "o", true),
        of("Content-Length: 2", "", true),
        of("Content-Length: 2", "okHTTP/1.1 200 OK\r\n\r\n", false),
        of("Content-Length: 2\r\nContent-Length: 2", "ok", false),
        of("Content-Length: 2, 2", "ok", false),
        of("Content-Length: 2\r\nContent-Length: 3", "ok", false),
        of("Content-Length: 2, 3", "ok", false),
        of("Content-Length: +2", "ok", false),
        of("Content-Length: -2", "ok", false),
        of("Content-Length: 0x2", "ok", false),
        of("Content-Length: 2 ", "ok", false),
        of("Content-Length:", "ok", true),
        of("Content-Length: 99999999999999999999", "ok", true),
        of("Content-Length: 18446744073709551615", "ok", true),
        of("Content-Length: 000002", "ok", false),
        of("X-One: 1", "until the end", true),
        of("X-One: 1", "", true),
        of("Connection: keep-alive", "until the end", true),
        bare("204 No Content", "X-One: 1"),
        bare("204 No Content", "Content-Length: 0"),
        bare("204 No Content", "Content-Length: none"),
        bare("304 Not Modified", "ETag: \"a\""),
        bare("205 Reset Content", "Content-Length: 0"),
    ]
}

fn chunks() -> Vec<Case> {
    let of = |fields: &str, body: &str, closes| {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {fields}\r\n\r\n");
        case(format!("{fields} {body:.60?}"), format!("{head}{body}"), closes)
    };
    let ok = "2\r\nok\r\n0\r\n\r\n";
    let mut cases: Vec<_> = [
        "chunked",
        "CHUNKED",
        "Chunked ",
        "chunked\r\nContent-Length: 2",
        "chunked\r\nContent-Length: two",
        "chunked\r\nContent-Length: 2\r\nContent-Length: 3",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked, chunked",
        "gzip, chunked",
        "gzip",
        "identity",
        "",
        "chunked;x=1",
        "\"chunked\"",
    ]
    .iter()
    .map(|fields| of(fields, ok, true))
    .collect();
    cases.extend(
        [
            ok,
            "0\r\n\r\n",
            "1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            "02\r\nok\r\n000\r\n\r\n",
            "2;a=b;c=\"d\"\r\nok\r\n0;e\r\n\r\n",
            "2 \r\nok\r\n0\r\n\r\n",
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "2\r\nok\r\n0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n",
            "2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "2\r\nok0\r\n\r\n",
            "2\r\nok\r\n",
            "2\r\nok\r\n0\r\n",
            "2\r\nok\r\n0\r\n\n",
            "2\r\nok\r\n0\r\n\r\r\n",
            "2\r\nok\r\n0\r\nA: b\n\r\n",
            "2\r\nok\r\nzz\r\n",
            "2\r\no",
            "3\r\nok\r\n0\r\n\r\n",
            "ffffffffffffffffff\r\nok\r\n",
            "ffffffffffffffff\r\nok\r\n",
            "-2\r\nok\r\n0\r\n\r\n",
            "0x2\r\nok\r\n0\r\n\r\n",
            " 2\r\nok\r\n0\r\n\r\n",
            "\r\n2\r\nok\r\n0\r\n\r\n",
        ]
        .map(|body| of("chunked", body, true)),
    );
    cases.extend([
        of("chunked", ok, false),
        case("chunks over 1.0", format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{ok}"), true),
    ]);
    cases
}

fn interim() -> Vec<Case> {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    vec![
        case("100", format!("HTTP/1.1 100 Continue\r\n\r\n{ok}"), false),
        case("103s", format!("{}{ok}", "HTTP/1.1 103 Hints\r\nLink: <a>\r\n\r\n".repeat(3)), false),
        case(
            "101",
            format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{ok}"),
            true,
        ),
        case("150", format!("HTTP/1.1 150 Odd\r\nContent-Length: 2\r\n\r\n{ok}"), false),
        case("100 alone", "HTTP/1.1 100 Continue\r\n\r\n", true),
        case("bare line feeds", ok.replace("\r\n", "\n"), false),
        case("an empty line before", format!("\r\n{ok}"), false),
        case("half a head", "HTTP/1.1 200 OK\r\nContent-", true),
        case("nothing", "", true),
    ]
}

fn sizes() -> Vec<Case> {
    let fields = |count: usize| (1..count).map(|at| format!("X-{at}: 1\r\n")).collect::<String>();
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let many = [99, 100, 101, 500].map(|count| case(format!("{count} fields"), head(&fields(count)), false));
    let long = [1_000, 10_000, 60_000]
        .map(|bytes| case(format!("{bytes} bytes"), head(&format!("X: {}\r\n", "x".repeat(bytes))), false));
    let large = [70_000, 300_000].map(|bytes| {
        let body = "x".repeat(bytes);
        case(
            format!("a body of {bytes}"),
            format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{body}"),
            false,
        )
    });
    many.into_iter().chain(long).chain(large).collect()
}

fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect()
}

/// Answers `/N` with the case at that place, and all else with [`AFTER`]; one request after the other on a connection.
async fn upstream(cases: Arc<Vec<Case>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&cases)));
        }
    });
    url
}

async fn answer(mut stream: TcpStream, cases: Arc<Vec<Case>>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if head.starts_with("POST") {
            stream.read_exact(&mut [0; UPLOADED.len()]).await.ok()?;
        }
        let place: Option<usize> = head.split(' ').nth(1)?.trim_start_matches('/').parse().ok();
        let (bytes, closes) = match place.and_then(|place| cases.get(place)) {
            Some(case) => (case.bytes.as_slice(), case.closes),
            None => (AFTER.as_bytes(), false),
        };
        stream.write_all(bytes).await.ok()?;
        if closes {
            stream.shutdown().await.ok()?;
            // What is still on its way would be lost with a connection that is closed before it was read.
            let _ = stream.read_to_end(&mut Vec::new()).await;
            return None;
        }
    }
}

/// What a client that asks so hears of the case at this place, and behind it.
async fn heard(proxy: &Door, asked: &str, place: usize) -> String {
    let request = asked.replacen(" / ", &format!(" /{place} "), 1);
    let requests = request + "GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut client = Wire::saying(proxy, requests).await;
    let heard = timeout(Duration::from_secs(10), client.rest()).await;
    heard.map_or_else(|_| HANGS.to_owned(), |heard| unframed(&heard))
}

/// Each head in one order, and each body without its chunks.
fn unframed(heard: &str) -> String {
    let (mut rest, mut out) = (heard, String::new());
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let head = lasting_lines(head).to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let (body, behind) = if head.contains("transfer-encoding: chunked") {
            unchunked(after)
        } else {
            let length = length.unwrap_or(0).min(after.len());
            (after[..length].to_owned(), &after[length..])
        };
        out += &format!("{head}\n[{} bytes] {body:.100}\n", body.len());
        rest = behind;
    }
    out + rest
}

fn unchunked(mut rest: &str) -> (String, &str) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size of ours");
        if size == 0 {
            return (body + " and the end", after.strip_prefix("\r\n").unwrap_or(after));
        }
        let size = size.min(after.len());
        body += &after[..size];
        rest = after[size..].strip_prefix("\r\n").unwrap_or_default();
    }
    (body, rest)
}

#[tokio::test]
async fn whatever_is_answered_to_a_plain_request_is_passed_on_alike() {
    is_passed_on_alike(ASKED).await;
}

#[tokio::test]
async fn whatever_is_answered_to_an_upload_is_passed_on_alike() {
    is_passed_on_alike(UPLOAD).await;
}

async fn is_passed_on_alike(asked: &str) {
    let cases = Arc::new(all());
    let url = upstream(Arc::clone(&cases)).await;
    let ((relay, _), (hyper, _)) = (lasting(true).proxy(&url).await, lasting(false).proxy(&url).await);
    let mut flaws = Vec::new();
    for (place, case) in cases.iter().enumerate() {
        let [by_relay, by_hyper] = [heard(&relay, asked, place).await, heard(&hyper, asked, place).await];
        if by_relay != by_hyper || by_relay == HANGS {
            flaws.push(format!("{}:\n--- relay\n{by_relay}\n--- hyper\n{by_hyper}", case.name));
        }
    }
    is_alike(cases.len(), 100, &flaws);
}
