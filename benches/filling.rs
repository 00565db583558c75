//! `cargo bench --bench filling`: what fills cost who is not waiting for them. Whole fills through the proxy, from an
//! upstream in a process of its own: 100,000 sellers on 200 pages, pages of 16 MiB in each coding, 100,000 dates to be read,
//! entries of 4 MiB into Redis and out of it.
//!
//! *longest poll*: requests are answered on a runtime of one thread, and the proxy was made on another one. Between any
//! two tasks of the first one a *beat* runs, which reads the thread's own CPU time: the longest between two beats is that
//! of all tasks that ran in between, so the longest poll is no longer. *peak* and *kept*: of the allocator, the output
//! included; a buffer that grows counts with its old and its new size. *CPU*: of the whole process, the network and the
//! beats included, so it is shown and promised nothing. The median of some rounds counts.
//!
//! Ends with an error when a promise does not hold. Without a redis-server here, that part is skipped.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

mod stage;

use std::future::poll_fn;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use catproxy::clock::Clock;
use catproxy::config::Config;
use catproxy::proxy::Proxy;
use catproxy::upstream::RequestBody;
use http::Request;
use http_body_util::BodyExt as _;
use rustix::time::{ClockId, clock_gettime};
use stage::counting::{self, Counting};
use stage::redis::RedisServer;
use stage::upstream::{Asked, Page, Upstream};
use stage::{configuration, median, word};
use tokio::runtime::{Builder, Runtime};

/// No poll of a runtime that answers requests takes so long.
const LONGEST_POLL: Duration = Duration::from_millis(1);
/// At its peak a fill has no more than a page for each that is being read, and this many times what is kept.
const KEPT: f64 = 1.25;
/// What everything else takes: connections and their buffers.
const REST: usize = 1024 * 1024;
const MIB: f64 = 1024.0 * 1024.0;

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
const CATALOGS: &str = "/api/Catalog?PageNumber=1&PageSize=500&SellerIds=42";

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is filled.
struct Scene {
    name: &'static str,
    target: &'static str,
    asked: Asked,
    /// How many pages there are.
    pages: usize,
    in_redis: bool,
}

/// What one answer took.
struct Cost {
    took: Duration,
    cpu: Duration,
    /// `None` where no beat ran.
    longest_poll: Option<Duration>,
    peak: usize,
    kept: usize,
}

/// Whether the promises hold.
struct Kept {
    polls: bool,
    memory: bool,
}

fn main() -> ExitCode {
    if let Some(ended) = stage::upstream::serve_if_asked() {
        return ended;
    }
    // Without `--bench` (as `cargo test --all-targets` calls it) it only shows that it runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (scenes, rounds) = if measured { (scenes(1), 5) } else { (scenes(100), 1) };
    let redis = RedisServer::start();
    println!("{:<36}{:>8}{:>8}{:>8}{:>9}  longest polls", "", "MB read", "ms", "CPU ms", "x ignored");
    let mut kept = Kept { polls: true, memory: true };
    for scene in scenes.iter().filter(|scene| redis.is_some() || !scene.in_redis) {
        play(scene, rounds, redis.as_ref(), &mut kept);
    }
    if redis.is_none() {
        println!("no redis-server here: entries in Redis are skipped");
    }
    println!();
    println!("{}: no poll of {} ms where requests are answered", word(kept.polls), LONGEST_POLL.as_millis());
    println!("{}: a page's bytes for each page that is read, and {KEPT} x what is kept", word(kept.memory));
    if measured && !(kept.polls && kept.memory) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// All of them, with so much less to do.
fn scenes(less: usize) -> Vec<Scene> {
    let sellers = |sellers: usize| Asked { sellers: sellers / less, ..Asked::default() };
    let page = |page: Page| Asked { sellers: 1, page: Some(page), ..Asked::default() };
    let fat = || page(Page::Fat(500 / less));
    let scene = |name, target, asked: Asked, in_redis| {
        let pages = asked.page.map_or(asked.sellers.div_ceil(500), |_| 1);
        Scene { name, target, asked, pages, in_redis }
    };
    vec![
        scene("100,000 sellers", SELLERS, sellers(100_000), false),
        scene("20,000 sellers in gzip", SELLERS, Asked { gzip: true, ..sellers(20_000) }, false),
        scene("20,000 sellers in br", SELLERS, Asked { brotli: true, ..sellers(20_000) }, false),
        scene("a page of 16 MB", SELLERS, fat(), false),
        scene("a page of 16 MB, chunked", SELLERS, Asked { chunked: true, ..fat() }, false),
        scene("a page of 16 MB in gzip", SELLERS, Asked { gzip: true, ..fat() }, false),
        scene("a page of 16 MB in br", SELLERS, Asked { brotli: true, ..fat() }, false),
        scene("100,000 dates", CATALOGS, page(Page::Dates(100_000 / less)), false),
        scene("60,000 sellers, in Redis", SELLERS, sellers(60_000), true),
    ]
}

/// Measures a scene and prints it.
fn play(scene: &Scene, rounds: usize, redis: Option<&RedisServer>, kept: &mut Kept) {
    let upstream = Upstream::start(&scene.asked);
    let page = upstream.body(scene.target);
    let ignored = best(|| {
        serde_json::from_slice::<serde::de::IgnoredAny>(&page).expect("JSON");
    });
    let url = redis.filter(|_| scene.in_redis).map(RedisServer::url);
    let mut config = configuration(&upstream.url, url);
    config.store.max_entry_bytes = 16 << 20;
    let (mut filled, mut found) = (Vec::new(), Vec::new());
    for round in 0..2 * rounds {
        // Each time an empty store.
        config.store.prefix = format!("cat_{round}_");
        let beats = round % 2 == 0;
        filled.push(answered(&config, &upstream.token, scene.target, "fwd=miss", beats));
        if scene.in_redis {
            found.push(answered(&config, &upstream.token, scene.target, "hit", beats));
        }
    }
    let read = page.len() * scene.pages;
    let ignored = ignored.as_secs_f64() * scene.pages as f64;
    let polls = print(scene.name, read, Some(ignored), &filled);
    kept.polls &= polls < LONGEST_POLL;
    if scene.in_redis {
        kept.polls &= print("  and out of it", 0, None, &found) < LONGEST_POLL;
    } else {
        let parallel = config.fill.parallel_pages.min(scene.pages);
        kept.memory &= fits(&filled, page.len() * parallel);
    }
}

/// The shortest of some times.
fn best(mut work: impl FnMut()) -> Duration {
    let time = |()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    [(); 9].map(time).into_iter().min().unwrap_or_default()
}

/// Prints a line, and gives the longest poll: the median of the rounds.
fn print(name: &str, read: usize, ignored: Option<f64>, costs: &[Cost]) -> Duration {
    let polls: Vec<f64> =
        costs.iter().filter_map(|cost| cost.longest_poll).map(|poll| poll.as_secs_f64() * 1e6).collect();
    // The beats take all of a processor's time: what a fill takes is seen without them.
    let alone = || costs.iter().filter(|cost| cost.longest_poll.is_none());
    let took = median(alone().map(|cost| cost.took.as_secs_f64() * 1e3).collect());
    let cpu = median(alone().map(|cost| cost.cpu.as_secs_f64() * 1e3).collect());
    let times = ignored.map_or(String::new(), |ignored| format!("{:.2}", cpu / 1e3 / ignored));
    let shown: Vec<String> = polls.iter().map(|poll| format!("{poll:.0}")).collect();
    println!("{name:<36}{:>8.1}{took:>8.0}{cpu:>8.1}{times:>9}  {} us", read as f64 / 1e6, shown.join(", "));
    Duration::from_secs_f64(median(polls) / 1e6)
}

/// Whether the peaks are no higher than so much for what is read, and what is kept.
fn fits(costs: &[Cost], reading: usize) -> bool {
    let peak = costs.iter().map(|cost| cost.peak).min().unwrap_or_default();
    let kept = costs.iter().map(|cost| cost.kept).min().unwrap_or_default();
    let may = reading as f64 + KEPT * kept as f64 + REST as f64;
    println!(
        "  peak {:.1} MiB; it may be {:.1}: {:.1} for what is read, {:.1} are kept",
        peak as f64 / MIB,
        may / MIB,
        reading as f64 / MIB,
        kept as f64 / MIB
    );
    peak as f64 <= may
}

/// One answer of a new proxy, whose `Cache-Status` says this.
fn answered(config: &Config, token: &str, target: &str, came: &str, beats: bool) -> Cost {
    let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let here = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let proxy = proxy(config, &home);
    let beat = Beat::default();
    let cost = here.block_on(async {
        let beating = beats.then(|| tokio::spawn(beat.clone().run()));
        let request = Request::get(target)
            .header("Host", "proxy")
            .header("Authorization", format!("Bearer {token}"))
            .body(RequestBody::empty())
            .expect("a request");
        let before = counting::begin();
        let (start, cpu) = (Instant::now(), cpu_time(ClockId::ProcessCPUTime));
        let answering = proxy.clone();
        // A task like any connection's, so that the beat gets its turns.
        let asked = tokio::spawn(async move {
            let (head, body) = answering.answer(request).await.into_parts();
            body.collect().await.expect("a whole body");
            head
        });
        let head = asked.await.expect("an answer");
        let took = start.elapsed();
        let status = head.headers.get("cache-status").map_or("", |value| value.to_str().expect("text"));
        assert!(status.contains(came), "{target} is {status}, not {came}");
        // A put may go on.
        proxy.settle().await;
        let cpu = cpu_time(ClockId::ProcessCPUTime) - cpu;
        let peak = counting::most() - before;
        beat.stop();
        if let Some(beating) = beating {
            beating.await.expect("a beat");
        }
        let kept = counting::now().saturating_sub(before);
        Cost { took, cpu, longest_poll: beats.then(|| beat.longest()), peak, kept }
    });
    drop(proxy);
    here.shutdown_background();
    home.shutdown_background();
    cost
}

/// A proxy that was made on this runtime, and has its connections.
fn proxy(config: &Config, home: &Runtime) -> Proxy {
    let config = config.clone();
    let made = home.spawn(async move {
        let proxy = Proxy::new(&config, Clock::system()).expect("a proxy");
        proxy.greet().await;
        proxy
    });
    home.block_on(made).expect("a proxy")
}

/// A task that is never done, and reads its thread's time at each of its turns.
#[derive(Clone, Default)]
struct Beat(Arc<(AtomicU64, AtomicBool)>);

impl Beat {
    async fn run(self) {
        let (longest, stopped) = &*self.0;
        let mut last = cpu_time(ClockId::ThreadCPUTime);
        poll_fn(|context| {
            let between = cpu_time(ClockId::ThreadCPUTime) - last;
            longest.fetch_max(u64::try_from(between.as_nanos()).unwrap_or(u64::MAX), Relaxed);
            if stopped.load(Relaxed) {
                return Poll::Ready(());
            }
            // To the end of the queue: whoever is in it has its turn before the next one.
            context.waker().wake_by_ref();
            last = cpu_time(ClockId::ThreadCPUTime);
            Poll::Pending
        })
        .await;
    }

    fn stop(&self) {
        self.0.1.store(true, Relaxed);
    }

    fn longest(&self) -> Duration {
        Duration::from_nanos(self.0.0.load(Relaxed))
    }
}

fn cpu_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
