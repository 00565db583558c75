//! Ends TLS, and HTTP/2 where the client chooses it, in front of an upstream that speaks neither.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Request, Response, Version, header, request::Parts};
use hyper::{body::Incoming, client::conn::http1, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

/// What came through it.
#[derive(Default)]
pub struct Seen {
    /// Connections of HTTP/1 and HTTP/2.
    pub first: AtomicUsize,
    pub second: AtomicUsize,
    /// Requests over HTTP/2, as they came.
    requests: Mutex<Vec<Parts>>,
    now: AtomicUsize,
    /// At a time, on all connections.
    most: AtomicUsize,
}

impl Seen {
    pub fn connections(&self) -> (usize, usize) {
        (self.first.load(Ordering::SeqCst), self.second.load(Ordering::SeqCst))
    }

    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<Parts> {
        self.requests.lock().expect("no panic").clone()
    }
}

/// Where it listens, and what comes through it.
pub struct Terminator {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
}

impl Terminator {
    /// Chooses among these protocols, and takes so many requests at a time on a connection.
    pub async fn start(
        authority: &Authority,
        upstream: SocketAddr,
        protocols: &[&[u8]],
        streams: u32,
    ) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server("127.0.0.1", protocols)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Seen>::default();
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?;
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        seen.second.fetch_add(1, Ordering::SeqCst);
                        let service = service_fn(move |request| pass(request, upstream, Arc::clone(&seen)));
                        let mut server = http2::Builder::new(TokioExecutor::new());
                        server.max_concurrent_streams(streams);
                        let _ = server.serve_connection(TokioIo::new(stream), service).await;
                        return Ok((0, 0));
                    }
                    seen.first.fetch_add(1, Ordering::SeqCst);
                    let mut inside = TcpStream::connect(upstream).await?;
                    tokio::io::copy_bidirectional(&mut stream, &mut inside).await
                });
            }
        });
        Self { address, seen }
    }
}

async fn pass(
    request: Request<Incoming>,
    upstream: SocketAddr,
    seen: Arc<Seen>,
) -> Result<Response<Incoming>, hyper::Error> {
    let (mut parts, body) = request.into_parts();
    seen.requests.lock().expect("no panic").push(parts.clone());
    let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(now, Ordering::SeqCst);
    let authority = parts.uri.authority().expect("an authority").to_string();
    parts.headers.insert(header::HOST, authority.parse().expect("a value"));
    parts.uri = parts.uri.path_and_query().expect("a path").as_str().parse().expect("a target");
    parts.version = Version::HTTP_11;
    let stream = TcpStream::connect(upstream).await.expect("the upstream listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(Request::from_parts(parts, body)).await;
    seen.now.fetch_sub(1, Ordering::SeqCst);
    let mut answer = answer?;
    for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
        answer.headers_mut().remove(name);
    }
    Ok(answer)
}
