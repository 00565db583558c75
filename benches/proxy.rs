//! `cargo bench --bench proxy`: lists read through the whole proxy, over HTTP on the loopback, in front of the stand-in
//! upstream, which answers every read 50 ms late. The client keeps its connection; a time is from the request to the last
//! byte of the body, and the list is one page for the upstream too.
//!
//! *cold*: after a write through the proxy. *new token*: the list is stored, and the upstream is asked whether the token
//! may read it. *warm*: the same token again, from the memory store, from Redis without copies in the process, and from
//! a copy in the process (*near*); the commands to Redis and the upstream calls of all warm reads are counted. *told*: how
//! long after the answer to a write through one proxy another one on the same Redis knows of it. Then without Redis:
//! nothing listens at its address, or its process is frozen (SIGSTOP) while the proxy holds connections to it; next to
//! them, the same request to the upstream itself. Answers whose `Cache-Status` is not what their row says are not counted
//! in it, but next to it.
//!
//! Ends with an error when warm is not 20 times faster than cold, or a read of a copy has asked anybody. A redis-server is
//! started where there is one, on a port of its own and without persistence.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

mod stage;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use catproxy::clock::Clock;
use catproxy::server::Server;
use fake_abconnect::{FakeAbconnect, Matching, Options, Rule, Running};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use stage::redis::RedisServer;
use stage::{configuration, free_port, word};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// How late the upstream answers a read.
const LATENCY: Duration = Duration::from_millis(50);
/// At least this many times faster than cold is warm.
const FASTER: f64 = 20.0;
/// Samples of a row: those that wait for the upstream, and those that do not.
const SLOW: usize = 40;
const FAST: usize = 2000;
/// So many failures in a row, and the proxy asks Redis no more: until then a read may cost the store's budget, 50 ms.
const NOTICED: usize = 5;

/// As the panels ask for them.
const LISTS: [(&str, &str); 2] = [
    ("sellers", "/api/Seller?PageNumber=1&PageSize=500"),
    ("catalogs", "/api/Catalog?PageNumber=1&PageSize=200&SellerIds=42"),
];
const WRITE: (&str, &str) = ("/api/Seller/42", r#"{"name":"Bench","customerDisplayId":42,"isActive":true}"#);

fn main() -> ExitCode {
    // Without `--bench` (as `cargo test --all-targets` calls it) it only shows that it runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (slow, fast) = if measured { (SLOW, FAST) } else { (2, 2) };
    let upstream = upstream();
    let client = Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!(
        "{:<38}{:>6}{:>9}{:>9}{:>9}{:>8}",
        format!("upstream {} ms late; times in ms", LATENCY.as_millis()),
        "n",
        "min",
        "p50",
        "p99",
        "x"
    );
    let mut ratios = Vec::new();
    let mut redis = RedisServer::start();
    let mut silent = true;
    for store in [Store::Memory, Store::Redis, Store::Near] {
        let url = redis.as_ref().map(RedisServer::url);
        if store != Store::Memory && url.is_none() {
            println!("\nno redis-server here: {store:?} is skipped");
            continue;
        }
        let proxy = Proxy::start(&upstream, store, url);
        for (list, target) in LISTS {
            println!();
            let (ratio, asked) = client.block_on(warmth(store, list, target, &upstream, &proxy, slow, fast));
            ratios.push((format!("{list} from {store:?}"), ratio));
            silent &= store != Store::Near || asked == (0, 0);
        }
    }
    if let Some(redis) = &redis {
        println!();
        let pair = [(); 2].map(|()| Proxy::start(&upstream, Store::Near, Some(redis.url())));
        client.block_on(told(&upstream, &pair, fast / 10));
    }
    let nowhere = Proxy::start(&upstream, Store::Near, Some(format!("redis://127.0.0.1:{}", free_port())));
    let frozen = redis.as_mut().map(|redis| {
        let proxy = Proxy::start(&upstream, Store::Near, Some(redis.url()));
        client.block_on(rehearse(&upstream, &proxy));
        redis.freeze();
        proxy
    });
    for (list, target) in LISTS {
        println!();
        client.block_on(without_redis(list, target, &upstream, &nowhere, frozen.as_ref(), slow));
    }
    println!();
    let mut holds = silent;
    println!("{}: a read of a copy asks neither Redis nor the upstream", word(silent));
    for (what, ratio) in ratios {
        holds &= ratio >= FASTER;
        println!(
            "{}: {what}: warm at least {FASTER} times faster than cold: {ratio:.0}",
            word(ratio >= FASTER)
        );
    }
    if measured && !holds { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Where the proxy keeps entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Memory,
    /// Without copies in the process.
    Redis,
    /// With them.
    Near,
}

/// Cold, a new token, warm; gives how many times faster than cold warm is, by the medians, and how many commands and
/// upstream calls all warm reads made.
async fn warmth(
    store: Store,
    list: &str,
    target: &str,
    upstream: &Running,
    proxy: &Proxy,
    slow: usize,
    fast: usize,
) -> (f64, (u64, u64)) {
    let mut client = Client::new(proxy.address);
    let token = upstream.token("demo");
    let mut cold = Row::new(format!("{store:?}, {list}: cold"), "fwd=miss");
    for _ in 0..=slow {
        client.write(&upstream.token("demo")).await;
        cold.add(client.read(&token, target).await);
    }
    let mut other = Row::new(format!("{store:?}, {list}: new token"), "asked");
    for _ in 0..=slow {
        other.add(client.read(&upstream.token("demo"), target).await);
    }
    let mut warm =
        Row::new(format!("{store:?}, {list}: warm"), if store == Store::Near { "near" } else { "hit" });
    // The token is known from here on, and there is a copy where one is kept.
    for _ in 0..2 {
        client.read(&token, target).await;
    }
    upstream.clear_calls();
    upstream.log_calls(true);
    let commands = proxy.inside.store_commands();
    for _ in 0..=fast {
        warm.add(client.read(&token, target).await);
    }
    let asked = (proxy.inside.store_commands() - commands, upstream.calls().len() as u64);
    upstream.log_calls(false);
    for row in [&cold, &other, &warm] {
        row.print(cold.median());
    }
    println!("  all warm reads: {} commands to Redis, {} upstream calls", asked.0, asked.1);
    (cold.median() / warm.median(), asked)
}

/// A write through one proxy, and when another one on the same Redis knows of it.
async fn told(upstream: &Running, [one, other]: &[Proxy; 2], times: usize) {
    let (mut client, token) = (Client::new(one.address), upstream.token("demo"));
    let mut told = other.inside.told_by_store().expect("copies in the process");
    told.wait_for(|told| told.count > 0).await.expect("a proxy");
    let mut row = Row::new("told of a write, after its answer".to_owned(), "");
    for _ in 0..=times.max(1) {
        // A write voids what stands: a fill makes it stand.
        client.read(&token, LISTS[0].1).await;
        let before = told.borrow_and_update().count;
        client.write(&token).await;
        let answered = Instant::now();
        told.wait_for(|told| told.of("cat_gen_sellers", before)).await.expect("a proxy");
        row.add(Sample { took: answered.elapsed(), cache_status: String::new() });
    }
    row.print(LATENCY.as_secs_f64() * 1e3);
}

/// The same list from the upstream itself and from proxies that have no Redis. With the first list they still find that
/// out: those reads are a row of their own.
async fn without_redis(
    list: &str,
    target: &str,
    upstream: &Running,
    nowhere: &Proxy,
    frozen: Option<&Proxy>,
    slow: usize,
) {
    let token = upstream.token("demo");
    let row = |how: &str| Row::new(format!("{list}: {how}"), "store-away");
    let mut direct = (Client::new(upstream.addr()), Row::new(format!("{list}: the upstream itself"), ""));
    let mut others = vec![(Client::new(nowhere.address), row("Redis refuses"))];
    others.extend(frozen.map(|frozen| (Client::new(frozen.address), row("Redis frozen"))));
    let mut first = Vec::new();
    if target == LISTS[0].1 {
        for (client, later) in &mut others {
            let mut row = Row { name: format!("{}, first reads", later.name), rehearsed: true, ..row("") };
            for _ in 0..NOTICED.min(slow) {
                row.add(client.read(&token, target).await);
            }
            first.push(row);
        }
    }
    // All take turns: what the machine does beside costs each of them the same.
    for _ in 0..=slow {
        for (client, row) in std::iter::once(&mut direct).chain(&mut others) {
            row.add(client.read(&token, target).await);
        }
    }
    let base = direct.1.median();
    let later = others.iter().map(|(_, row)| row);
    for row in std::iter::once(&direct.1).chain(later).chain(&first) {
        row.print(base);
    }
}

/// One read, so that the proxy has its connections.
async fn rehearse(upstream: &Running, proxy: &Proxy) {
    let [(_, target), _] = LISTS;
    Client::new(proxy.address).read(&upstream.token("demo"), target).await;
}

/// 500 sellers, one of which has 230 catalogs; late for reads alone.
fn upstream() -> Running {
    let options = Options { sellers: 500, log_calls: false, ..Options::default() };
    let upstream = FakeAbconnect::start_on_own_threads(options, 1).expect("the stand-in starts");
    upstream.rule(Rule {
        on: Matching::path("/api").method("GET"),
        latency_ms: Some(LATENCY.as_millis() as u64),
        ..Rule::default()
    });
    // A write is believed, and changes nothing: the stand-in would have to make its pages anew, which is no latency.
    upstream.rule(Rule { on: Matching::path("/api").method("PUT"), status: Some(200), ..Rule::default() });
    upstream
}

/// A proxy with the profile `panels`, on threads of its own; they end with it.
struct Proxy {
    address: SocketAddr,
    inside: catproxy::proxy::Proxy,
    _threads: Runtime,
}

impl Proxy {
    /// With Redis at this URL, where it is not the memory store.
    fn start(upstream: &Running, store: Store, redis_url: Option<String>) -> Proxy {
        let threads = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let mut config = configuration(upstream.url(), redis_url.filter(|_| store != Store::Memory));
        if store == Store::Redis {
            config.store.near = None;
        }
        let server = threads.block_on(Server::bind(&config, Clock::system())).expect("the proxy starts");
        let (address, inside) = (server.address(), server.proxy());
        threads.spawn(server.run(std::future::pending()));
        Proxy { address, inside, _threads: threads }
    }
}

/// A client that keeps its connection.
struct Client {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// How long an answer took, and where it says that it came from.
struct Sample {
    took: Duration,
    cache_status: String,
}

impl Client {
    fn new(address: SocketAddr) -> Client {
        Client { address, sender: None }
    }

    async fn read(&mut self, token: &str, target: &str) -> Sample {
        self.exchange("GET", token, target, "").await
    }

    async fn write(&mut self, token: &str) {
        let (target, body) = WRITE;
        self.exchange("PUT", token, target, body).await;
    }

    async fn exchange(&mut self, method: &str, token: &str, target: &str, body: &'static str) -> Sample {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("Host", self.address.to_string())
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .expect("a request");
        let sender = self.sender().await;
        let start = Instant::now();
        let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
        body.collect().await.expect("a whole body");
        let took = start.elapsed();
        assert!(head.status.is_success(), "{method} {target}: {}", head.status);
        let cache_status = head.headers.get("cache-status").map_or("", |value| value.to_str().expect("text"));
        Sample { took, cache_status: cache_status.to_owned() }
    }

    /// The connection; a new one where there is none, or none any more.
    async fn sender(&mut self) -> &mut SendRequest<Full<Bytes>> {
        let usable = match self.sender.as_mut() {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(self.address).await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a handshake");
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender.as_mut().expect("a connection")
    }
}

/// One line of the table.
struct Row {
    name: String,
    /// What `Cache-Status` must say.
    came: &'static str,
    times: Vec<Duration>,
    others: usize,
    rehearsed: bool,
}

impl Row {
    fn new(name: String, came: &'static str) -> Row {
        Row { name, came, times: Vec::new(), others: 0, rehearsed: false }
    }

    /// The first sample is the rehearsal.
    fn add(&mut self, sample: Sample) {
        if !std::mem::replace(&mut self.rehearsed, true) {
            return;
        }
        // A hit for which the upstream was asked is not a warm one.
        let status = &sample.cache_status;
        let fits = status.contains(self.came) && (self.came != "hit" || !status.contains("detail"));
        if fits { self.times.push(sample.took) } else { self.others += 1 }
    }

    /// In milliseconds, by the nearest rank.
    fn percentile(&self, percent: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    fn median(&self) -> f64 {
        self.percentile(50)
    }

    fn print(&self, base: f64) {
        let (n, min, median, p99) =
            (self.times.len(), self.percentile(0), self.median(), self.percentile(99));
        let ratio = base / median;
        let others = if self.others == 0 { String::new() } else { format!("\n  ({} others)", self.others) };
        println!("{:<38}{n:>6}{min:>9.3}{median:>9.3}{p99:>9.3}{ratio:>8.2}{others}", self.name);
    }
}
