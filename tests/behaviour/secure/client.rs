//! Clients that speak TLS with a proxy, and HTTP within it.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, SupportedProtocolVersion,
    pki_types::{IpAddr, ServerName},
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{authority::Authority, forwarding::wire::in_time, support::Reply};

/// How a proxy is reached.
pub struct Client {
    connector: TlsConnector,
    address: SocketAddr,
}

impl Client {
    pub fn of(config: ClientConfig, address: SocketAddr) -> Self {
        Self { connector: TlsConnector::from(Arc::new(config)), address }
    }

    /// Speaks this version alone.
    pub fn speaking(
        version: &'static SupportedProtocolVersion,
        authority: &Authority,
        address: SocketAddr,
    ) -> Self {
        let trusting = authority.client(&[]);
        let config = ClientConfig::builder_with_provider(Arc::clone(trusting.crypto_provider()))
            .with_protocol_versions(&[version])
            .expect("a configuration")
            .with_root_certificates(authority.roots())
            .with_no_client_auth();
        Self::of(config, address)
    }

    /// The certificate that a new connection is shown.
    pub async fn shown(&self) -> Vec<u8> {
        let stream = self.connect().await.expect("a handshake");
        stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
    }

    pub async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        self.connect_on(TcpSocket::new_v4()?).await
    }

    /// On this socket.
    pub async fn connect_on(&self, socket: TcpSocket) -> io::Result<TlsStream<TcpStream>> {
        let stream = socket.connect(self.address).await?;
        let name = ServerName::IpAddress(IpAddr::from(self.address.ip()));
        in_time("a handshake", self.connector.connect(name, stream)).await
    }
}

/// A connection on which one request follows the other, in the version that was chosen.
pub enum Guest {
    First(http1::SendRequest<Full<Bytes>>),
    Second(http2::SendRequest<Full<Bytes>>),
}

impl Guest {
    pub async fn come(client: &Client) -> Self {
        Self::on(client.connect().await.expect("a handshake")).await
    }

    pub async fn on(stream: TlsStream<TcpStream>) -> Self {
        let second = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        if second {
            let made = http2::handshake(TokioExecutor::new(), stream).await.expect("a connection");
            tokio::spawn(made.1);
            Self::Second(made.0)
        } else {
            let made = http1::handshake(stream).await.expect("a connection");
            tokio::spawn(made.1);
            Self::First(made.0)
        }
    }

    pub async fn get_as(&mut self, token: &str, target: &str) -> Reply {
        self.send("GET", target, token, "").await
    }

    pub async fn send(&mut self, method: &str, target: &str, token: &str, body: &str) -> Reply {
        let request = Request::builder()
            .method(method)
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/json");
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let answer = match self {
            Self::First(sender) => {
                let request = request.uri(target).header("Host", "a").body(body).expect("a request");
                in_time("room", sender.ready()).await.expect("an open connection");
                in_time("an answer", sender.send_request(request)).await
            }
            Self::Second(sender) => {
                let target: Uri = format!("https://a{target}").parse().expect("a target");
                let request = request.uri(target).body(body).expect("a request");
                in_time("an answer", sender.send_request(request)).await
            }
        };
        let (head, body) = answer.expect("an answer").into_parts();
        let body = in_time("a body", body.collect()).await.expect("a whole body").to_bytes();
        Reply { status: head.status, fields: head.headers, body }
    }
}
