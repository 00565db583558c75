//! `cargo bench --bench growth`: what becomes of a warm hit when everything around it grows. The proxy is a process of its
//! own with the profile `panels`, and so is the upstream; a figure is the time of a processor that the proxy takes for a
//! hit, read from the system.
//!
//! *sellers*: how many the list has, 100 of which are read. *entries*: how many lists are stored, and read in turn; from
//! memory, and from copies of what is in Redis. *connections*: how many are open, 64 of which have a request on its way,
//! each in turn. *filling*: how many other lists are being filled at the same time, again and again; what that takes by
//! itself is taken off. And what a fill takes for 1,000 items of a list.
//!
//! The machine is never quiet: by turns with each figure the same is measured of another proxy that has one list of 100
//! sellers and 64 connections, and only the ratio of the two is judged. Ends with an error when hits are not flat.
//! Writes `charts/growth.json` and `charts/growth.svg`. With the name of a curve (`-- connections`) measures only that and
//! writes nothing.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

#[path = "../stage/mod.rs"]
mod stage;

mod chart;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chart::{Curve, Point};
use stage::load::{Connection, hits, request};
use stage::proxy::Proxy;
use stage::redis::RedisServer;
use stage::upstream::{Asked, Page, Upstream};
use stage::{median, word};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// The dearest hit of a curve takes at most this many times what the cheapest does,
const FLAT: f64 = 1.3;
/// or this, where each one comes on a connection, or is of a list, of which the processor's caches know nothing any more:
/// 10,000 lists are 100 MB.
const FLAT_COLD: f64 = 1.5;
/// How often each of the lists is filled that are being filled. What was filled within the last second is new enough.
const FILL_AGAIN: Duration = Duration::from_millis(2_000);
/// Requests on their way at a time.
const ACTIVE: usize = 64;
const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=100";

/// How much is measured.
struct Extent {
    pairs: usize,
    hits: usize,
    sellers: Vec<usize>,
    entries: Vec<usize>,
    connections: Vec<usize>,
    filling: Vec<usize>,
}

impl Extent {
    fn whole() -> Self {
        Self {
            pairs: 15,
            hits: 4_000,
            sellers: vec![100, 1_000, 10_000, 100_000],
            entries: vec![1, 10, 100, 1_000, 10_000],
            connections: vec![1, 64, 1_000, 10_000],
            filling: vec![0, 1, 2, 4, 8, 16],
        }
    }

    /// Only to show that it runs.
    fn little() -> Self {
        let few = || vec![1, 2];
        Self { pairs: 1, hits: 128, sellers: vec![100], entries: few(), connections: few(), filling: few() }
    }
}

fn main() -> ExitCode {
    if let Some(ended) = stage::upstream::serve_if_asked() {
        return ended;
    }
    // Without `--bench` (as `cargo test --all-targets` calls it) it only shows that it runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let named: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |curve: &str| named.is_empty() || named.iter().any(|name| name == curve);
    let extent = if measured { Extent::whole() } else { Extent::little() };
    let client = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let control = Control::start(&client);
    println!("{:<34}{:>10}{:>12}{:>12}", "CPU us a hit", "", "here", "x control");
    let (mut curves, mut fills) = (Vec::new(), None);
    if wanted("sellers") {
        let (hits, all) = sellers(&client, &control, &extent);
        curves.push(hits);
        fills = Some(all);
    }
    if wanted("entries") {
        curves.push(entries(&client, &control, &extent, None));
        match RedisServer::start() {
            Some(redis) => curves.push(entries(&client, &control, &extent, Some(&redis))),
            None => println!("no redis-server here: entries in Redis are skipped"),
        }
    }
    if wanted("connections") {
        curves.push(connections(&client, &control, &extent));
    }
    if wanted("filling") {
        curves.push(filling(&client, &control, &extent));
    }
    if let Some(fills) = &fills {
        fills.print();
    }
    println!();
    let mut flat = true;
    for curve in &curves {
        let is_cold = curve.name == "connections" || curve.name.starts_with("entries");
        let (spread, most) = (curve.spread(), if is_cold { FLAT_COLD } else { FLAT });
        flat &= spread <= most;
        println!("{}: over {}: {spread:.2} times as much, {most} at most", word(spread <= most), curve.name);
    }
    if let Some(fills) = fills.filter(|_| measured && named.is_empty()) {
        write(&curves, &fills.curve());
    }
    if measured && !flat { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn write(curves: &[Curve], fills: &Curve) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("growth.json"), chart::json(curves, fills)).expect("a file");
    std::fs::write(folder.join("growth.svg"), chart::svg(curves, fills)).expect("a file");
}

/// A proxy with its upstream and its client's connections.
struct Stage {
    proxy: Proxy,
    upstream: Upstream,
    connections: Vec<Connection>,
}

impl Stage {
    fn start(client: &Runtime, asked: &Asked, connections: usize, redis: Option<&RedisServer>) -> Self {
        let upstream = Upstream::start(asked);
        let proxy = Proxy::start(&upstream.url, redis.map(RedisServer::url).as_deref());
        let connections = client.block_on(Connection::several(proxy.address, connections));
        Self { proxy, upstream, connections }
    }

    fn request(&self, target: &str) -> Vec<u8> {
        request(target, &self.upstream.token, "")
    }

    /// Reads each of these for the first time.
    fn fill(&self, client: &Runtime, requests: &[Vec<u8>]) {
        client.block_on(async {
            let mut readers = JoinSet::new();
            for part in requests.chunks(requests.len().div_ceil(16)) {
                let (part, address) = (part.to_vec(), self.proxy.address);
                readers.spawn(async move {
                    let mut connection = Connection::open(address).await;
                    for request in part {
                        connection.ask(&request, "fwd=miss").await;
                    }
                });
            }
            readers.join_all().await;
        });
    }

    /// In microseconds of the proxy's for a hit.
    fn hits(&mut self, client: &Runtime, requests: &[Vec<u8>], active: usize, count: usize) -> f64 {
        let before = self.proxy.cpu();
        client.block_on(hits(&mut self.connections, requests, active, count));
        // The next ones are asked on those that follow.
        let used = (count / active).min(self.connections.len());
        self.connections.rotate_left(used);
        (self.proxy.cpu() - before).as_secs_f64() * 1e6 / count as f64
    }
}

/// What does not grow.
struct Control(std::cell::RefCell<(Stage, Vec<Vec<u8>>)>);

impl Control {
    fn start(client: &Runtime) -> Self {
        let stage = Stage::start(client, &Asked { sellers: 100, ..Asked::default() }, ACTIVE, None);
        let requests = vec![stage.request(SELLERS)];
        stage.fill(client, &requests);
        Self((stage, requests).into())
    }

    fn hits(&self, client: &Runtime, count: usize) -> f64 {
        let (stage, requests) = &mut *self.0.borrow_mut();
        stage.hits(client, requests, ACTIVE, count)
    }
}

/// Measures by turns with the control, and prints a line.
fn point(
    client: &Runtime,
    control: &Control,
    extent: &Extent,
    (name, at): (&str, usize),
    mut measure: impl FnMut() -> f64,
) -> Point {
    let pairs: Vec<(f64, f64)> =
        (0..extent.pairs).map(|_| (control.hits(client, extent.hits), measure())).collect();
    let value = median(pairs.iter().map(|(_, value)| *value).collect());
    let ratio = median(pairs.iter().map(|(control, value)| value / control).collect());
    println!("{name:<34}{at:>10}{value:>12.1}{ratio:>12.2}");
    Point { at, value, ratio }
}

/// What a fill takes for 1,000 items: milliseconds, and of a processor.
struct Fills {
    points: Vec<Point>,
    cpu: Vec<f64>,
}

impl Fills {
    fn print(&self) {
        println!("\n{:<34}{:>10}{:>12}{:>12}", "a fill, for 1,000 items", "sellers", "ms", "CPU ms");
        for (point, cpu) in self.points.iter().zip(&self.cpu) {
            println!("{:<34}{:>10}{:>12.2}{cpu:>12.2}", "", point.at, point.value);
        }
    }

    fn curve(&self) -> Curve {
        Curve::new("sellers", "ms to fill 1,000 items", self.points.clone())
    }
}

fn sellers(client: &Runtime, control: &Control, extent: &Extent) -> (Curve, Fills) {
    let mut fills = Fills { points: Vec::new(), cpu: Vec::new() };
    let points = extent.sellers.iter().map(|&sellers| {
        let mut stage = Stage::start(client, &Asked { sellers, ..Asked::default() }, ACTIVE, None);
        let requests = vec![stage.request(SELLERS)];
        stage.fill(client, &requests);
        let (took, cpu) = fill_anew(client, &stage, sellers);
        fills.points.push(Point { at: sellers, value: took, ratio: 1.0 });
        fills.cpu.push(cpu);
        point(client, control, extent, ("sellers in the list", sellers), || {
            stage.hits(client, &requests, ACTIVE, extent.hits)
        })
    });
    let points = points.collect();
    (Curve::new("sellers", "CPU µs a hit", points), fills)
}

/// Milliseconds for 1,000 items, by the clock and of a processor: the median of some fills.
fn fill_anew(client: &Runtime, stage: &Stage, sellers: usize) -> (f64, f64) {
    let anew = request(SELLERS, &stage.upstream.token, "Cache-Control: no-cache\r\n");
    let fill = |()| {
        // What was filled within the last second is new enough.
        std::thread::sleep(Duration::from_millis(1_100));
        let (start, cpu) = (Instant::now(), stage.proxy.cpu());
        client
            .block_on(async { Connection::open(stage.proxy.address).await.ask(&anew, "fwd=request").await });
        let thousands = sellers as f64 / 1e3;
        let took = start.elapsed().as_secs_f64() * 1e3 / thousands;
        (took, (stage.proxy.cpu() - cpu).as_secs_f64() * 1e3 / thousands)
    };
    let fills = [(); 3].map(fill);
    (
        median(fills.iter().map(|(took, _)| *took).collect()),
        median(fills.iter().map(|(_, cpu)| *cpu).collect()),
    )
}

fn entries(client: &Runtime, control: &Control, extent: &Extent, redis: Option<&RedisServer>) -> Curve {
    let most = extent.entries.iter().copied().max().unwrap_or(1);
    let asked = Asked { sellers: 1, page: Some(Page::Dates(10)), ..Asked::default() };
    let mut stage = Stage::start(client, &asked, ACTIVE, redis);
    let catalogs = |seller: usize| format!("/api/Catalog?PageNumber=1&PageSize=100&SellerIds={seller}");
    let requests: Vec<Vec<u8>> = (1..=most).map(|seller| stage.request(&catalogs(seller))).collect();
    let name = if redis.is_some() { "entries, copies of Redis" } else { "entries" };
    let mut filled = 0;
    let points = extent.entries.iter().map(|&entries| {
        stage.fill(client, &requests[filled..entries]);
        filled = entries;
        point(client, control, extent, (name, entries), || {
            stage.hits(client, &requests[..entries], ACTIVE, extent.hits)
        })
    });
    let points = points.collect();
    Curve::new(name, "CPU µs a hit", points)
}

fn connections(client: &Runtime, control: &Control, extent: &Extent) -> Curve {
    let points = extent.connections.iter().map(|&connections| {
        let asked = Asked { sellers: 100, ..Asked::default() };
        let mut stage = Stage::start(client, &asked, connections, None);
        let requests = vec![stage.request(SELLERS)];
        stage.fill(client, &requests);
        point(client, control, extent, ("connections", connections), || {
            stage.hits(client, &requests, ACTIVE, extent.hits)
        })
    });
    let points: Vec<Point> = points.collect();
    // One by itself is woken for each request: only with as many requests on their way they compare.
    let many: Vec<Point> = points.iter().filter(|point| point.at >= ACTIVE).cloned().collect();
    Curve { judged: many, ..Curve::new("connections", "CPU µs a hit", points) }
}

fn filling(client: &Runtime, control: &Control, extent: &Extent) -> Curve {
    // Each fill reads a page of 0.7 MB that is long in coming.
    let asked = Asked { sellers: 1, page: Some(Page::Dates(5_000)), latency_ms: 500, ..Asked::default() };
    let mut stage = Stage::start(client, &asked, ACTIVE, None);
    let requests = vec![stage.request(SELLERS)];
    stage.fill(client, &requests);
    let points = extent.filling.iter().map(|&keys| {
        let _fillers = Fillers::start(client, &stage, keys);
        // Each has begun, and each has ended once.
        rest(client, FILL_AGAIN);
        point(client, control, extent, ("lists being filled", keys), || {
            // Each list is filled once in both.
            let before = stage.proxy.cpu();
            rest(client, FILL_AGAIN);
            let alone = (stage.proxy.cpu() - before).as_secs_f64() / FILL_AGAIN.as_secs_f64();
            let (start, mut rounds, mut all) = (Instant::now(), 0, 0.0);
            while start.elapsed() < FILL_AGAIN {
                all += stage.hits(client, &requests, ACTIVE, extent.hits);
                rounds += 1;
            }
            let hits = f64::from(rounds) * extent.hits as f64;
            all / f64::from(rounds) - alone * start.elapsed().as_secs_f64() * 1e6 / hits
        })
    });
    let points = points.collect();
    Curve::new("lists being filled", "CPU µs a hit", points)
}

/// Waits, while the client's tasks go on.
fn rest(client: &Runtime, time: Duration) {
    client.block_on(async { tokio::time::sleep(time).await });
}

/// Clients who want the newest, each of a list of its own; ended when dropped.
struct Fillers {
    _tasks: JoinSet<()>,
}

impl Fillers {
    fn start(client: &Runtime, stage: &Stage, keys: usize) -> Self {
        let mut fillers = JoinSet::new();
        for key in 1..=keys {
            let target = format!("/api/Catalog?PageNumber=1&PageSize=100&SellerIds={key}");
            let anew = request(&target, &stage.upstream.token, "Cache-Control: no-cache\r\n");
            let address = stage.proxy.address;
            let filler = async move {
                let mut connection = Connection::open(address).await;
                let mut turns = tokio::time::interval(FILL_AGAIN);
                loop {
                    turns.tick().await;
                    connection.ask(&anew, "fwd=").await;
                }
            };
            fillers.spawn_on(filler, client.handle());
        }
        Self { _tasks: fillers }
    }
}
