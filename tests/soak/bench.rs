//! What the soak stands on: one Redis, one upstream, two replicas, and a line wherever something can break.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use catproxy::config::Config;
use fake_abconnect::{FakeAbconnect, Options, Running};

use crate::{
    history::History,
    line::Line,
    report::Report,
    support::{Door, RedisServer, Setup, TestClock},
    troubles::Troubles,
};

pub const REPLICAS: usize = 2;
pub const SELLERS: usize = 40;
/// Also the greatest age of anything that is served.
pub const TTL: Duration = Duration::from_secs(4);
/// How long the upstream's yes to a token is remembered.
pub const VOUCH_LIMIT: Duration = Duration::from_secs(5);
/// A fill, its turn included.
pub const FILL_TIMEOUT: Duration = Duration::from_secs(4);
/// Pages, and copies of entries: the pages of some minutes would fill more.
const CACHED: u64 = 512 * 1024;
/// Unused connections to the upstream.
pub const IDLE: Duration = Duration::from_secs(2);

pub struct Bench {
    pub report: Arc<Report>,
    pub upstream: Running,
    /// To the upstream, for both replicas: an entry's shape names it.
    pub origin: Line,
    pub origin_troubles: Troubles,
    pub server: tokio::sync::Mutex<RedisServer>,
    pub replicas: Vec<Replica>,
    pub history: History,
    pub tokens: Tokens,
}

/// A replica, however often it is started anew.
pub struct Replica {
    pub redis: Line,
    /// Of that line, and of Redis behind it.
    pub redis_troubles: Troubles,
    /// While it is started anew.
    pub restarts: Troubles,
    pub clock: TestClock,
    config: Config,
    door: Mutex<Door>,
    life: AtomicU64,
}

impl Bench {
    pub async fn start(report: Arc<Report>) -> Self {
        let server = RedisServer::start().await;
        let options = Options { sellers: SELLERS, log_calls: false, ..Options::default() };
        let upstream = FakeAbconnect::start(options).expect("the stand-in starts");
        let origin = Line::to_address(upstream.addr());
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            let redis = Line::to(&server).await;
            let (config, clock) = (configuration(&redis.url(), &origin.http()), TestClock::default());
            let door = Mutex::new(Door::open(&config, clock.clock()).await);
            replicas.push(Replica {
                redis,
                redis_troubles: Troubles::default(),
                restarts: Troubles::default(),
                clock,
                config,
                door,
                life: AtomicU64::new(0),
            });
        }
        let history = History::of(&upstream);
        let tokens = Tokens::of(&upstream);
        let (server, origin_troubles) = (tokio::sync::Mutex::new(server), Troubles::default());
        Self { report, upstream, origin, origin_troubles, server, replicas, history, tokens }
    }
}

impl Replica {
    /// Where it is now, and in which of its lives.
    pub fn now(&self) -> (SocketAddr, u64) {
        let door = self.door.lock().unwrap();
        (door.address, self.life.load(Ordering::SeqCst))
    }

    /// The same configuration and clock in a new process' stead; the old one finishes what it has.
    pub async fn restart(&self) {
        let new = Door::open(&self.config, self.clock.clock()).await;
        let old = {
            let mut door = self.door.lock().unwrap();
            self.life.fetch_add(1, Ordering::SeqCst);
            std::mem::replace(&mut *door, new)
        };
        let _ = old.close().await;
    }
}

fn configuration(redis: &str, origin: &str) -> Config {
    let setup = Setup::new().redis_at(redis).routes(|route| {
        route.ttl = TTL;
        // Clocks cross midnight here, and what is kept then is another test's matter.
        route.keep = None;
    });
    let setup = setup.config(|config| {
        config.fill.page_size = 15;
        config.fill.timeout = FILL_TIMEOUT;
        config.fill.parallel_fills = 4;
        config.fill.waiting_fills = 4;
        config.store.budget = Duration::from_millis(500);
        // What is bounded by bytes is full when all is warm: growth after that is none of it.
        config.store.page_bytes = CACHED;
        config.store.near.iter_mut().for_each(|near| near.max_bytes = CACHED);
        config.upstream.connect_timeout = Duration::from_secs(1);
        config.upstream.head_timeout = Duration::from_millis(1500);
        config.upstream.body_timeout = Duration::from_millis(1500);
        config.upstream.idle_timeout = IDLE;
        let catproxy::config::Admission::Upstream { vouch_limit, .. } = &mut config.admission else {
            panic!("the upstream says who may read")
        };
        *vouch_limit = VOUCH_LIMIT;
    });
    setup.configuration(origin)
}

/// Tokens that the clients share. They are few, and so is what is remembered of them.
pub struct Tokens {
    good: Mutex<Vec<String>>,
    /// Good for nothing.
    pub restricted: String,
}

impl Tokens {
    const COUNT: usize = 6;

    fn of(upstream: &Running) -> Self {
        let good = Mutex::new((0..Self::COUNT).map(|_| upstream.token("demo")).collect());
        Self { good, restricted: upstream.token("restricted") }
    }

    pub fn one(&self, place: usize) -> String {
        self.good.lock().unwrap()[place % Self::COUNT].clone()
    }

    /// A new one in its place; gives the old one.
    pub fn renew(&self, place: usize, upstream: &Running) -> String {
        std::mem::replace(&mut self.good.lock().unwrap()[place % Self::COUNT], upstream.token("demo"))
    }
}
