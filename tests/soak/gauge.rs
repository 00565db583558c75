//! What the process takes, with nothing to do.

use std::{alloc::System, fs, time::Duration};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::{
    bench::{Bench, IDLE},
    support::attempt,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// After the last request: longer than any idle time-out, and than the store's way back.
const REST: Duration = Duration::from_secs(4);
/// What is still on its way then comes soon, or is left for good.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of the whole process: replicas, stand-in, lines and soak.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// Bytes that were asked for and not given back.
    pub in_use: u64,
    /// What the system counts; the allocator keeps some of what was given back.
    pub resident: u64,
    pub tasks: u64,
    pub files: u64,
    pub upstream_connections: u64,
    pub redis_connections: u64,
}

impl Gauge {
    /// The counts by name, with how much more of each is no growth.
    pub fn rows(&self) -> [(&'static str, u64, u64); 6] {
        [
            ("memory in use, KiB", self.in_use / 1024, 4 * 1024),
            ("memory of the process (RSS), KiB", self.resident / 1024, 32 * 1024),
            ("tasks", self.tasks, 8),
            ("open files", self.files, 8),
            ("connections to the upstream", self.upstream_connections, 2),
            ("connections to Redis", self.redis_connections, 2),
        ]
    }

    /// Once all is at rest, and no more than `before` if that can be.
    pub async fn at_rest(bench: &Bench, before: Option<&Self>) -> Self {
        tokio::time::sleep(REST + IDLE).await;
        let began = tokio::time::Instant::now();
        loop {
            touch(bench).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let gauge = Self::now(bench).await;
            let settled = before.is_none_or(|before| gauge.growth(before).is_empty());
            if settled || began.elapsed() > PATIENCE {
                return gauge;
            }
        }
    }

    /// What is more than it was before, beyond what is no growth.
    pub fn growth(&self, before: &Self) -> Vec<String> {
        let rows = self.rows().into_iter().zip(before.rows());
        rows.filter(|((_, now, more), (_, then, _))| *now > then + more)
            .map(|((name, now, _), (_, then, _))| format!("{name}: {now}, and {then} before"))
            .collect()
    }

    async fn now(bench: &Bench) -> Self {
        let server = bench.server.lock().await;
        let info: String = redis::from_redis_value(server.command(&["INFO", "clients"]).await).unwrap();
        let clients = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        let metrics = tokio::runtime::Handle::current().metrics();
        Self {
            in_use: in_use(),
            resident: resident(),
            tasks: metrics.num_alive_tasks() as u64,
            files: fs::read_dir("/proc/self/fd").unwrap().count() as u64,
            upstream_connections: bench.upstream.connections() as u64,
            redis_connections: clients.unwrap().trim().parse().unwrap(),
        }
    }
}

/// A request through each replica: what has waited too long goes when something else comes.
async fn touch(bench: &Bench) {
    for replica in &bench.replicas {
        let token = format!("Bearer {}", bench.tokens.one(0));
        let fields = [("Authorization", token.as_str()), ("Cache-Control", "no-store")];
        let _ = attempt(replica.now().0, "GET", "/api/Seller?PageSize=1", &fields, "").await;
    }
}

fn in_use() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.bytes_allocated - stats.bytes_deallocated) as u64
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
