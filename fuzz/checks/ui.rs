//! Whatever the address of a page is, and whatever the upstream says – the first line and the rest of the bytes –, a page
//! is whole and our own: nothing of either stands in it as markup or as a script, and nobody is led to another site.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use catproxy::{
    clock::Clock,
    config::{Client, Config, SessionKey, StoreKind, secret::Secret},
    dial::Dialler,
    proxy::Proxy,
    ui::{Ui, session::Sessions},
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    runtime::Runtime,
};

use super::memory::{self, Memory, converse};

/// What none of our pages holds, and what would be markup or a script if it stood in one as it was sent. A quote after an
/// equals sign is the page's own.
const MARKS: [&str; 5] = ["<q", "\"q=", "'q=", "href=\"javascript:", "src=\"javascript:"];
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A frontend in which somebody has signed in.
struct Stage {
    runtime: Runtime,
    ui: Ui,
    cookies: String,
    /// What the upstream says to everything.
    said: Arc<Mutex<Bytes>>,
    upstream: Memory,
}

pub(super) fn check(bytes: &[u8]) {
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    let stage = STAGE.get_or_init(|| Mutex::new(Stage::new())).lock().unwrap_or_else(PoisonError::into_inner);
    let mut halves = bytes.splitn(2, |byte| *byte == b'\n');
    let target = halves.next().unwrap_or_default();
    *stage.said.lock().unwrap_or_else(PoisonError::into_inner) =
        Bytes::copy_from_slice(halves.next().unwrap_or_default());
    let head = format!(" HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\nCookie: {}\r\n\r\n", stage.cookies);
    let request = [b"GET /ui/", target, head.as_bytes()].concat();
    let answers = stage.runtime.block_on(converse(|request| answer(stage.ui.clone(), request), &request));
    stage.upstream.forget();
    let answers = String::from_utf8_lossy(&answers);
    for mark in MARKS {
        let sent = |at: &usize| !answers[..*at].ends_with('=');
        let around = answers.match_indices(mark).map(|(at, _)| at).find(sent);
        let around = around.map(|at| answers[at..].chars().take(60).collect::<String>());
        assert_eq!(around, None, "{mark} came back");
    }
}

impl Stage {
    fn new() -> Self {
        let mut config = memory::config(|config| config.store.kind = StoreKind::Absent);
        let cookies = sign_in(&mut config);
        let (said, runtime) = (Arc::new(Mutex::new(Bytes::new())), memory::runtime());
        let words = Arc::clone(&said);
        let upstream = Memory::new(move |stream| say(stream, Arc::clone(&words)));
        let ui = {
            let _within = runtime.enter();
            let proxy =
                Proxy::dialling(&config, Clock::system(), Dialler::of(upstream.clone())).expect("a proxy");
            // Its style and scripts are coded here, which takes long.
            Ui::new(&config, proxy, Clock::system()).expect("a frontend")
        };
        Self { runtime, ui, cookies, said, upstream }
    }
}

/// The cookies of somebody whose token is good for days.
fn sign_in(config: &mut Config) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let ui = config.ui.as_mut().expect("it is on");
    ui.client = Some(Client { id: "c".to_owned(), secret: Secret::new("s".to_owned()) });
    ui.key = SessionKey::Given(Secret::new([7; 32]));
    ui.identity.tls = false;
    ui.identity.authority = listener.local_addr().expect("an address").to_string().parse().expect("a name");
    let identity = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = Vec::new();
        while !asked.windows(15).any(|end| end == b"&client_secret=") {
            let mut piece = [0; 1024];
            let count = stream.read(&mut piece).expect("a question");
            asked.extend_from_slice(&piece[..count]);
        }
        let token = br#"{"access_token":"t","token_type":"Bearer","expires_in":360000}"#;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            token.len()
        );
        stream.write_all(&[head.as_bytes(), token].concat()).expect("it is taken");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cookies = runtime.block_on(async {
        let sessions = Sessions::new(config, Clock::system()).expect("sessions");
        sessions.sign_in("u", "p", HERE).await.expect("somebody who has signed in").1
    });
    identity.join().expect("an identity server");
    let pair =
        |cookie: &http::HeaderValue| cookie.to_str().expect("text").split(';').next().map(str::to_owned);
    cookies.iter().filter_map(pair).collect::<Vec<_>>().join("; ")
}

async fn say(mut stream: DuplexStream, said: Arc<Mutex<Bytes>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        said.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), &said].concat()).await;
}

async fn answer(ui: Ui, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = ui.handle(request, None, HERE).await.into_parts();
    assert!(head.status != StatusCode::INTERNAL_SERVER_ERROR);
    is_our_own(&head.headers);
    let body = body.collect().await.expect("a whole page").to_bytes();
    Response::from_parts(head, Full::new(body))
}

fn is_our_own(fields: &HeaderMap) {
    for name in ["location", "hx-redirect"] {
        for value in fields.get_all(name) {
            let value = value.to_str().expect("text");
            assert!(value.starts_with("/ui/") && !value.contains("//"), "{name}: {value}");
        }
    }
    for cookie in fields.get_all("set-cookie") {
        let cookie = cookie.to_str().expect("text");
        assert!(cookie.contains("HttpOnly") && cookie.contains("Path=/ui"), "{cookie}");
    }
    let is_page = fields.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page && !fields.contains_key("location") {
        let policy = fields.get("content-security-policy").and_then(|policy| policy.to_str().ok());
        assert!(policy.is_some_and(|policy| policy.contains("default-src 'none'")), "{policy:?}");
    }
}
