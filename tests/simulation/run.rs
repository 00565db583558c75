//! One run: the proxies, the driver of the world around them, the steps, and how all is well again at the end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use catproxy::{
    clock::Clock,
    config::{
        Admission, Config, Near, Stale, VouchFor,
        check::{Origin, Overrides, Setting, load},
        profile::Profile,
    },
    dial::Dialler,
    proxy::Proxy,
    upstream::RequestBody,
};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use crate::{
    log::{Broken, Written},
    oracle::{self, Answer, Got},
    schedule::{Action, COLLECTIONS, Change, Commit, Demand, Kind, Outcome, Reading, Setup, Step, Writing},
    world::{Dials, Event, REDIS_PORT, Shared, wall},
};

/// How long a proxy keeps an unused connection to the upstream.
pub const IDLE_MS: u64 = 4_000;
/// No request may take longer, whatever happens: each of its waits has a limit.
const LIMIT: Duration = Duration::from_secs(30);

/// How a run ended.
pub struct Ended {
    pub broken: Option<Broken>,
    pub trace: Vec<String>,
    pub counts: BTreeMap<&'static str, u64>,
    pub virtual_ms: u64,
}

/// Runs these steps in a world of its own.
pub fn run(setup: &Setup, steps: &[Step], tracing: bool) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    let ended = runtime.block_on(async {
        let world = Shared::new(setup, tracing);
        let run = Arc::new(Run {
            world: world.clone(),
            setup: setup.clone(),
            steps: steps.to_vec(),
            replicas: Mutex::default(),
            done: Notify::new(),
        });
        for replica in 0..setup.replicas {
            let process = run.start(replica);
            run.replicas().push(process);
        }
        let driver = tokio::spawn(drive(Arc::clone(&run)));
        run.whole().await;
        driver.abort();
        let mut world = world.lock();
        Ended {
            broken: world.log.broken.take(),
            trace: std::mem::take(&mut world.log.lines),
            counts: std::mem::take(&mut world.log.counts),
            virtual_ms: world.now(),
        }
    });
    runtime.shutdown_background();
    ended
}

struct Run {
    world: Shared,
    setup: Setup,
    steps: Vec<Step>,
    replicas: Mutex<Vec<Process>>,
    /// The last step was begun, or a promise was broken.
    done: Notify,
}

/// A replica as it runs now.
struct Process {
    life: usize,
    proxy: Proxy,
    requests: Vec<JoinHandle<()>>,
}

/// One event after the other; each when nobody has anything left to do.
async fn drive(run: Arc<Run>) {
    let wake = Arc::clone(&run.world.lock().wake);
    loop {
        let (due, start) = {
            let world = run.world.lock();
            (world.due(), world.start)
        };
        let Some(due) = due else {
            wake.notified().await;
            continue;
        };
        tokio::select! {
            biased;
            () = wake.notified() => continue,
            () = tokio::time::sleep_until(start + Duration::from_millis(due)) => {}
        }
        let event = run.world.lock().pop();
        match event {
            Some(Event::Step(place)) => run.step(place),
            Some(event) => run.world.lock().perform(event),
            None => {}
        }
        if run.world.lock().log.broken.is_some() {
            run.done.notify_one();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Run {
    fn replicas(&self) -> std::sync::MutexGuard<'_, Vec<Process>> {
        self.replicas.lock().expect("no panic")
    }

    fn start(&self, replica: usize) -> Process {
        let life = self.world.lock().born(replica);
        let dialler = Dialler::of(Dials { world: self.world.clone(), life });
        let clock = clock(&self.setup, replica, self.world.lock().start);
        let proxy = Proxy::dialling(&config(&self.setup), clock, dialler).expect("a proxy");
        let greeting = proxy.clone();
        tokio::spawn(async move { greeting.greet().await });
        Process { life, proxy, requests: Vec::new() }
    }

    /// All steps, and then a time in which all is well, after which all must be.
    async fn whole(self: &Arc<Self>) {
        {
            let mut world = self.world.lock();
            world.upstream.writes = self
                .steps
                .iter()
                .filter_map(
                    |step| if let Action::Write(write) = &step.action { Some(write.clone()) } else { None },
                )
                .collect();
            for (place, step) in self.steps.iter().enumerate() {
                world.schedule(step.at, Event::Step(place));
            }
        }
        // Each event has its moment, so the last step may come later than it was meant to.
        if !self.steps.is_empty() {
            self.done.notified().await;
        }
        if self.is_broken() {
            return;
        }
        self.recover().await;
    }

    /// Until this moment, or until a promise is broken.
    async fn until(&self, at: u64) {
        let start = self.world.lock().start;
        tokio::select! {
            () = self.done.notified() => {}
            () = tokio::time::sleep_until(start + Duration::from_millis(at)) => {}
        }
    }

    fn is_broken(&self) -> bool {
        self.world.lock().log.broken.is_some()
    }

    fn step(self: &Arc<Self>, place: usize) {
        let step = &self.steps[place];
        if place + 1 == self.steps.len() {
            self.done.notify_one();
        }
        self.world.lock().trace(|| format!("step {place}: {:?}", step.action));
        match &step.action {
            Action::Read(reading) => self.begin_read(reading.clone()),
            Action::Write(writing) => {
                let before = self.steps[..place].iter();
                let number = before.filter(|step| matches!(step.action, Action::Write(_))).count();
                self.begin_write(number, writing);
            }
            Action::Restart { replica } => {
                let mut replicas = self.replicas();
                self.world.lock().killed(replicas[*replica].life);
                replicas[*replica].requests.iter().for_each(JoinHandle::abort);
                replicas[*replica] = self.start(*replica);
            }
            action => self.world.lock().act(action),
        }
    }

    fn begin_read(self: &Arc<Self>, reading: Reading) {
        let (life, proxy) = self.process(reading.replica);
        let (run, replica) = (Arc::clone(self), reading.replica);
        let task = tokio::spawn(async move {
            run.read(life, &proxy, reading).await;
        });
        self.replicas()[replica].requests.push(task);
    }

    fn begin_write(self: &Arc<Self>, number: usize, writing: &Writing) {
        let (life, proxy) = self.process(writing.replica);
        let (run, replica, writing) = (Arc::clone(self), writing.replica, writing.clone());
        let task = tokio::spawn(async move { run.write(life, &proxy, number, &writing).await });
        self.replicas()[replica].requests.push(task);
    }

    fn process(&self, replica: usize) -> (usize, Proxy) {
        let replicas = self.replicas();
        (replicas[replica].life, replicas[replica].proxy.clone())
    }

    /// One read, judged; the `Cache-Status` of its answer.
    async fn read(&self, life: usize, proxy: &Proxy, reading: Reading) -> String {
        let mut target = if reading.collection == 0 {
            "/api/Seller?".to_owned()
        } else {
            format!("/api/Catalog?SellerIds={}&", reading.collection)
        };
        target += &format!("PageNumber={}&PageSize={}", reading.page, reading.size);
        let directive = match reading.demand {
            Demand::Plain => None,
            Demand::NoCache => Some("no-cache".to_owned()),
            Demand::MaxAge(seconds) => Some(format!("max-age={seconds}")),
            Demand::OnlyIfCached => Some("only-if-cached".to_owned()),
            Demand::NoStore => Some("no-store".to_owned()),
        };
        let mut request = Request::get(target)
            .header("host", "catproxy")
            .header("authorization", format!("Bearer t{}", reading.token));
        if let Some(directive) = directive {
            request = request.header("cache-control", directive);
        }
        let request = request.body(RequestBody::empty()).expect("a request");
        let began = self.world.lock().now();
        let exchange = async {
            let answer = proxy.answer(request).await;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Response::from_parts(head, body))
        };
        let timed = tokio::time::timeout(LIMIT, exchange).await;
        let mut world = self.world.lock();
        let ended = world.now();
        let Ok(answer) = timed else {
            world.log.broke("every request ends", format!("{reading:?} begun at {began}"));
            return String::new();
        };
        let answer = answer.map(|answer| seen(&answer));
        let status = answer.as_ref().map_or(String::new(), |answer| answer.cache_status.clone());
        let got = Got { reading, life, began, ended, answer };
        world.log.count("reads");
        if status.contains("hit") {
            world.log.count(if status.contains("near") { "near hits" } else { "hits" });
        }
        world.trace(|| {
            let answer = got.answer.as_ref();
            let body = answer.map_or_else(String::new, |answer| {
                String::from_utf8_lossy(&answer.body).chars().take(300).collect()
            });
            let code = answer.map_or(0, |answer| answer.status);
            format!("life {life} answers {:?}, begun at {began}: {code} {status} {body}", got.reading)
        });
        oracle::judge(&mut world, &got);
        status
    }

    async fn write(&self, life: usize, proxy: &Proxy, number: usize, writing: &Writing) {
        let target = match writing.kind {
            Kind::Seller => format!("/api/Seller/{number}"),
            Kind::Catalog => format!("/api/Catalog/{number}"),
            Kind::Bulk => format!("/api/Bulk/{number}"),
            Kind::Unknown => format!("/api/Odd/{number}"),
        };
        let request = Request::put(target)
            .header("host", "catproxy")
            .header("authorization", format!("Bearer t{}", writing.token))
            .body(RequestBody::empty())
            .expect("a request");
        {
            let mut world = self.world.lock();
            world.log.count("writes");
            world.log.writes.insert(
                number,
                Written { life, head: None, end: None, passed: false, whole: false, came: 0 },
            );
        }
        let exchange = async {
            let answer = proxy.answer(request).await;
            let status = answer.status().as_u16();
            let passed = answer.headers().contains_key("via");
            self.wrote(number, status, |written, now| {
                (written.head, written.passed) = (Some(now), passed);
            });
            let whole = answer.into_body().collect().await.is_ok() && passed;
            self.wrote(number, status, |written, now| (written.end, written.whole) = (Some(now), whole));
        };
        if tokio::time::timeout(LIMIT, exchange).await.is_err() {
            self.world.lock().log.broke("every request ends", format!("write {number}"));
        }
    }

    fn wrote(&self, number: usize, status: u16, note: impl Fn(&mut Written, u64)) {
        let mut world = self.world.lock();
        let now = world.now();
        if let Some(written) = world.log.writes.get_mut(&number) {
            note(written, now);
        }
        let written = world.log.writes.get(&number).copied();
        world.trace(|| format!("write {number} answered {status}: {written:?}"));
    }

    /// All faults are over, and all tokens are good: everything must come back to what it does on a good day.
    async fn recover(self: &Arc<Self>) {
        let calm_at = {
            let mut world = self.world.lock();
            world.upstream.allow_all();
            world.calm_at.max(world.now()) + IDLE_MS + 4_000
        };
        self.until(calm_at).await;
        for collection in 0..COLLECTIONS {
            for replica in 0..self.setup.replicas {
                self.recovered(replica, collection).await;
                if self.is_broken() {
                    return;
                }
            }
        }
        let last = self.world.lock().upstream.writes.len();
        let changes = (0..COLLECTIONS).map(|collection| (collection, Change::Rename)).collect();
        let (kind, outcome, commit) = (Kind::Seller, Outcome::Status(200, 0), Commit::Before(0));
        let writing = Writing { replica: 0, token: 0, kind, changes, outcome, commit };
        self.world.lock().upstream.writes.push(writing.clone());
        let (life, proxy) = self.process(0);
        self.write(life, &proxy, last, &writing).await;
        let now = self.world.lock().now();
        self.until(now + 150).await;
        for replica in 0..self.setup.replicas {
            let (life, proxy) = self.process(replica);
            let read = |collection| Reading {
                replica,
                token: 0,
                collection,
                page: 1,
                size: 100,
                demand: Demand::Plain,
            };
            self.read(life, &proxy, read(0)).await;
            self.read(life, &proxy, read(1)).await;
        }
    }

    /// The list is served from the cache again, from near where copies are kept.
    async fn recovered(&self, replica: usize, collection: usize) {
        let (life, proxy) = self.process(replica);
        let reading = Reading { replica, token: 0, collection, page: 1, size: 100, demand: Demand::Plain };
        let mut seen = Vec::new();
        // Two tokens that saw different totals are told apart for as long as a yes counts.
        for _ in 0..60 + self.setup.vouch_limit / 500 {
            let status = self.read(life, &proxy, reading.clone()).await;
            if self.is_broken() {
                return;
            }
            let good = if self.setup.near { "detail=near" } else { "catproxy; hit" };
            if status.contains(good) {
                return;
            }
            let differs = status.contains("detail=differs");
            seen.push(status);
            let now = self.world.lock().now();
            self.until(now + if differs { 500 } else { 120 }).await;
        }
        let mut world = self.world.lock();
        world.log.broke(
            "when all faults are over, reads are hits again",
            format!("replica {replica}, collection {collection}: {seen:?}"),
        );
    }
}

fn seen(answer: &Response<Bytes>) -> Answer {
    let field = |name: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    Answer {
        status: answer.status().as_u16(),
        cache_status: field("cache-status"),
        age: field("age").parse().ok(),
        body: answer.body().to_vec(),
    }
}

/// The wall clock of a replica: it goes with virtual time.
fn clock(setup: &Setup, replica: usize, start: Instant) -> Clock {
    let first = Duration::from_millis(wall(setup, replica, 0));
    Clock::from_fn(move || UNIX_EPOCH + first + start.elapsed())
}

fn config(setup: &Setup) -> Config {
    let flag = |value: String| Some(Setting { value, origin: Origin::Flag("simulation") });
    let overrides = Overrides {
        upstream: flag("http://upstream:80".to_owned()),
        redis_url: flag(format!("redis://redis:{REDIS_PORT}")),
        time_zone: flag("UTC".to_owned()),
        ..Overrides::default()
    };
    let (mut config, _) =
        load(Profile::Panels.source(), overrides).unwrap_or_else(|report| panic!("{report}"));
    let ms = Duration::from_millis;
    config.ui = None;
    config.upstream.connect_timeout = ms(500);
    // Longer than a flight without a generation is joined.
    config.upstream.head_timeout = ms(2_000);
    config.upstream.body_timeout = ms(1_000);
    config.upstream.idle_timeout = ms(IDLE_MS);
    config.store.near = setup.near.then(|| Near { max_bytes: 1 << 20, limit: ms(setup.near_limit) });
    config.fill.page_size = setup.fill_page;
    config.fill.parallel_pages = setup.parallel_pages;
    config.fill.timeout = ms(3_000);
    config.admission = if setup.open {
        Admission::Open
    } else {
        let vouch_for = if setup.vouch_for_route { VouchFor::Route } else { VouchFor::Key };
        Admission::Upstream { vouch_limit: ms(setup.vouch_limit), vouch_for }
    };
    for route in &mut config.routes {
        let route = Arc::get_mut(route).expect("a route that nobody runs yet");
        route.ttl = ms(setup.ttl);
        route.stale = Stale { while_revalidate: ms(setup.while_revalidate), if_error: ms(setup.if_error) };
    }
    config
}
