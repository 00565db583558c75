//! Clients that write and read through the balancer, and the judge of what they got.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use fake_abconnect::Running;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch, task::JoinHandle};

use crate::support::{PATIENCE, Reply, send};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
/// The seller that is renamed.
const SELLER: u64 = 42;
const READERS: usize = 6;
/// What is promised of a write that the store has heard of, for whoever reads through another replica.
const PROMISED: Duration = Duration::from_secs(1);
/// A write that a replica could not tell the store of is told once it can: after all are on the new master, they look again
/// for it within this.
pub const AFTER_FAILOVER: Duration = Duration::from_secs(3);

/// What was written and read, and when.
#[derive(Default)]
pub struct Oracle {
    /// When the answer to the write of each version had come; version 0 was there from the beginning.
    written: Mutex<Vec<Instant>>,
    read: Mutex<Vec<Read>>,
    count: watch::Sender<usize>,
    failover: Mutex<(Option<Instant>, Option<Instant>)>,
}

struct Read {
    began: Instant,
    version: usize,
    how: String,
}

impl Oracle {
    /// Waits for so many more reads.
    pub async fn reads(&self, count: usize) {
        let mut counted = self.count.subscribe();
        let wanted = *counted.borrow() + count;
        let came = counted.wait_for(|counted| *counted >= wanted);
        tokio::time::timeout(PATIENCE, came).await.expect("reads come").expect("an oracle");
    }

    pub fn begin_of_failover(&self) {
        self.failover.lock().expect("a lock").0 = Some(Instant::now());
    }

    pub fn end_of_failover(&self) {
        self.failover.lock().expect("a lock").1 = Some(Instant::now());
    }

    /// From when on everybody must see a write that was answered then.
    fn due(&self, answered: Instant) -> Instant {
        match *self.failover.lock().expect("a lock") {
            (Some(began), Some(ended)) if (began - PROMISED..=ended).contains(&answered) => {
                ended + AFTER_FAILOVER
            }
            _ => answered + PROMISED,
        }
    }

    /// Nothing older was read than is promised.
    pub fn judge(&self) {
        let due: Vec<Instant> =
            self.written.lock().expect("a lock").iter().map(|answered| self.due(*answered)).collect();
        let reads = self.read.lock().expect("a lock");
        assert!(due.len() > 20 && reads.len() > 1000, "{} writes, {} reads", due.len(), reads.len());
        let mut hits = 0;
        for Read { began, version, how } in reads.iter() {
            let expected = due.iter().rposition(|due| due <= began).map_or(0, |place| place + 1);
            assert!(
                *version >= expected,
                "version {version} of {expected} was read by {how:?}, {:?} after it was due",
                due[expected - 1].elapsed() - began.elapsed()
            );
            hits += usize::from(how.contains("hit"));
        }
        assert!(hits * 2 > reads.len(), "it is a cache: {hits} hits of {} reads", reads.len());
    }
}

/// Clients.
pub struct Load {
    stop: [Arc<AtomicBool>; 2],
    writer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
}

impl Load {
    /// A writer and some readers, half of whom keep their connections; they fail where a request does.
    pub fn start(address: SocketAddr, upstream: &Running, oracle: &Arc<Oracle>) -> Self {
        let stop: [Arc<AtomicBool>; 2] = Default::default();
        let token = format!("Bearer {}", upstream.token("demo"));
        let mut readers = Vec::new();
        for reader in 0..READERS {
            let (stop, oracle, token) = (Arc::clone(&stop[1]), Arc::clone(oracle), token.clone());
            readers.push(tokio::spawn(async move {
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let reply = if reader % 2 == 0 {
                        send(address, "GET", SELLERS, &[("Authorization", &token)], "").await
                    } else {
                        read_by(&mut kept, address, &token).await
                    };
                    oracle.note(began, &reply);
                }
            }));
        }
        let (stopped, oracle) = (Arc::clone(&stop[0]), Arc::clone(oracle));
        let writer = tokio::spawn(async move {
            for version in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let body = format!(r#"{{"name":"v{version}","customerDisplayId":1,"isActive":true}}"#);
                let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
                send(address, "PUT", &format!("/api/Seller/{SELLER}"), &fields, &body).await.is(200);
                oracle.written.lock().expect("a lock").push(Instant::now());
                // Some reads of it, by copies mostly.
                oracle.reads(20).await;
            }
        });
        Self { stop, writer, readers }
    }

    /// Ends it; no request has failed.
    pub async fn stop(self) {
        let [writer, readers] = &self.stop;
        // The writer waits for readers.
        writer.store(true, Ordering::Relaxed);
        self.writer.await.expect("no write fails");
        readers.store(true, Ordering::Relaxed);
        for reader in self.readers {
            reader.await.expect("no read fails");
        }
    }
}

impl Oracle {
    fn note(&self, began: Instant, reply: &Reply) {
        let items = reply.is(200).items();
        let seller = items.iter().find(|item| item["id"] == SELLER).expect("the seller");
        let name = seller["name"].as_str().expect("a name");
        let version = name.strip_prefix('v').and_then(|version| version.parse().ok()).unwrap_or(0);
        let how = reply.field("cache-status").to_owned();
        self.read.lock().expect("a lock").push(Read { began, version, how });
        self.count.send_modify(|count| *count += 1);
    }
}

/// By a connection that is kept from one read to the next.
async fn read_by(kept: &mut Option<SendRequest<Full<Bytes>>>, address: SocketAddr, token: &str) -> Reply {
    if kept.as_ref().is_none_or(SendRequest::is_closed) {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        *kept = Some(sender);
    }
    let sender = kept.as_mut().expect("a connection");
    sender.ready().await.expect("a connection that is kept");
    let request = Request::builder().uri(SELLERS).header("Host", address.to_string());
    let request = request.header("Authorization", token).body(Full::new(Bytes::new())).expect("a request");
    let asked = async {
        let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        Reply { status: head.status, fields: head.headers, body }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")
}
