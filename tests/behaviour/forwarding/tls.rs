//! An upstream behind TLS is believed only with a certificate of an authority that is trusted.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::wire::{RawUpstream, Wire};
use crate::{
    authority::Authority,
    support::{Bench, Door, Setup},
};

impl Authority {
    /// Ends TLS for `name` in front of an upstream.
    pub(crate) async fn terminate(&self, name: &str, upstream: SocketAddr) -> SocketAddr {
        self.terminate_after(Duration::ZERO, name, upstream).await
    }

    /// Lets every handshake wait for so long.
    async fn terminate_after(&self, pause: Duration, name: &str, upstream: SocketAddr) -> SocketAddr {
        let config = self.server(name, &[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((outside, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    let mut outside = acceptor.accept(outside).await?;
                    let mut inside = TcpStream::connect(upstream).await?;
                    tokio::io::copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        address
    }

    /// A proxy that trusts this authority alone, in front of `terminator`.
    async fn trusted_in_front_of(&self, terminator: SocketAddr) -> Door {
        self.trusted(Setup::new(), terminator).await
    }

    pub(super) async fn trusted(&self, setup: Setup, terminator: SocketAddr) -> Door {
        let file = self.file();
        let path = file.path().to_owned();
        let setup = setup.config(move |config| config.upstream.ca_file = Some(path));
        setup.proxy(&format!("https://{terminator}")).await.0
    }
}

async fn bench() -> Bench {
    Setup::new().start().await
}

#[tokio::test]
async fn an_upstream_of_the_trusted_authority_is_reached_and_its_connection_kept() {
    let (bench, authority) = (bench().await, Authority::new());
    let terminator = authority.terminate("127.0.0.1", bench.upstream.addr()).await;
    let proxy = authority.trusted_in_front_of(terminator).await;
    for _ in 0..3 {
        let reply = proxy.send("POST", "/_fake/echo", &[], "hello").await;
        assert_eq!(reply.is(200).json()["bodyLength"], 5);
        let token = format!("Bearer {}", bench.upstream.token("demo"));
        let list = "/api/Seller?PageNumber=1&PageSize=5";
        proxy.send("GET", list, &[("Authorization", &token)], "").await.is(200);
    }
    let large = proxy.send("GET", "/_fake/bytes/3000000", &[], "").await;
    assert_eq!(large.is(200).body.len(), 3_000_000);
    assert_eq!(bench.upstream.connections(), 1);
    assert_eq!(bench.upstream.calls()[0].header("host"), Some(terminator.to_string().as_str()));
}

/// A piece that was taken into the session goes on its way though nothing comes behind it.
#[tokio::test]
async fn an_upload_that_pauses_has_arrived_as_far_as_it_was_sent() {
    let (upstream, authority) = (RawUpstream::start().await, Authority::new());
    let terminator = authority.terminate("127.0.0.1", upstream.address).await;
    let proxy = authority.trusted_in_front_of(terminator).await;
    // Of all these some end where the system has no more room for a while.
    for bytes in (1..=16).map(|step| step * 1_000_000) {
        let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", bytes + 1);
        let mut client = Wire::saying(&proxy, head).await;
        let mut there = upstream.accept().await;
        there.head().await;
        {
            let mut said = pin!(client.say("x".repeat(bytes)));
            let taken_at_once = tokio::time::timeout(Duration::from_millis(100), &mut said).await.is_ok();
            let all_said = async {
                if !taken_at_once {
                    said.await;
                }
            };
            tokio::join!(all_said, there.exactly(bytes));
        }
        client.say("y").await;
        assert_eq!(there.exactly(1).await, "y", "behind {bytes}");
    }
}

#[tokio::test]
async fn an_upstream_of_another_authority_or_name_is_a_502_and_hears_nothing() {
    let (bench, authority) = (bench().await, Authority::new());
    let strangers = Authority::new().terminate("127.0.0.1", bench.upstream.addr()).await;
    let misnamed = authority.terminate("b.example", bench.upstream.addr()).await;
    for terminator in [strangers, misnamed, bench.upstream.addr()] {
        let proxy = authority.trusted_in_front_of(terminator).await;
        let reply = proxy.send("GET", "/_fake/echo", &[], "").await;
        assert_eq!(reply.is(502).field("content-type"), "application/problem+json");
        assert!(!format!("{reply:?}").contains("127.0.0.1"), "{reply:?}");
    }
    assert_eq!(bench.upstream.calls().len(), 0);
}

#[tokio::test]
async fn the_time_to_connect_is_not_taken_from_the_time_to_answer() {
    let (bench, authority) = (bench().await, Authority::new());
    let slow = Duration::from_millis(600);
    let terminator = authority.terminate_after(slow, "127.0.0.1", bench.upstream.addr()).await;
    let setup = Setup::new().config(|config| config.upstream.head_timeout = Duration::from_millis(400));
    let proxy = authority.trusted(setup, terminator).await;
    proxy.send("GET", "/_fake/echo", &[], "").await.is(200);

    let setup = Setup::new().config(|config| config.upstream.connect_timeout = Duration::from_millis(200));
    let proxy = authority.trusted(setup, terminator).await;
    proxy.send("GET", "/_fake/echo", &[], "").await.is(504);
}
