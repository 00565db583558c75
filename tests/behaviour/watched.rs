//! A master, its replica, and real Sentinels that watch over them.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::support::{RedisServer, free_port, until};

/// As the Sentinels call the master.
pub const NAME: &str = "my-master";

/// A real Sentinel; ended when dropped.
pub struct Sentinel {
    pub port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    /// Watches over a master, of which it speaks to who knows the password.
    pub fn start(master: u16, quorum: u8, more: &str) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        let file: PathBuf = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 3000\n{more}\n"
        );
        fs::write(&file, text).expect("a file");
        let program = std::env::var("TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let child = Command::new(program)
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        Self { port, child, _folder: folder }
    }

    pub async fn command(&self, words: &[&str]) -> Option<redis::Value> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut command = redis::cmd("SENTINEL");
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut connection).await.ok()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A master, a replica, and three Sentinels that can replace the one by the other.
pub struct Watched {
    pub master: RedisServer,
    pub replica: RedisServer,
    pub sentinels: Vec<Sentinel>,
}

impl Watched {
    pub async fn start() -> Self {
        Self::start_with_others(0).await.0
    }

    /// With so many more replicas, which never become masters.
    pub async fn start_with_others(count: usize) -> (Self, Vec<RedisServer>) {
        let master = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]).await;
        let port = master.port.to_string();
        let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]).await;
        let mut others = Vec::new();
        for _ in 0..count {
            let settings = ["--replicaof", "127.0.0.1", &port, "--replica-priority", "0"];
            others.push(RedisServer::start_with(&settings).await);
        }
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(master.port, 2, "")).collect();
        for sentinel in &sentinels {
            until("they know of each other and of the replica", || async {
                let known = |words: [&'static str; 2]| async move {
                    match sentinel.command(&words).await {
                        Some(redis::Value::Array(known)) => known.len(),
                        _ => 0,
                    }
                };
                known(["SENTINELS", NAME]).await == 2 && known(["REPLICAS", NAME]).await == 1 + count
            })
            .await;
        }
        until("the replica has what its master has", || has_caught_up(&replica)).await;
        (Self { master, replica, sentinels }, others)
    }

    /// Makes the replica the master, though that is well.
    pub async fn fail_over(&self) {
        self.sentinels[0].command(&["FAILOVER", NAME]).await.expect("it begins");
        until("the replica is the master", || is_master(&self.replica)).await;
    }

    /// One of them is not there, and does not matter.
    pub fn url(&self) -> String {
        url_of([free_port()].into_iter().chain(self.sentinels.iter().map(|sentinel| sentinel.port)))
    }

    /// The same in another order.
    pub fn url_from_the_last(&self) -> String {
        url_of(self.sentinels.iter().rev().map(|sentinel| sentinel.port))
    }
}

fn url_of(ports: impl Iterator<Item = u16>) -> String {
    let hosts: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
    format!("redis+sentinel://{}/{NAME}", hosts.join(","))
}

/// Whether it is a replica that has what its master has.
pub async fn has_caught_up(server: &RedisServer) -> bool {
    let info = server.try_command(&["INFO", "replication"]).await;
    let info: String =
        info.and_then(|info| redis::from_redis_value(info).map_err(Into::into)).unwrap_or_default();
    info.contains("role:slave") && info.contains("master_link_status:up")
}

pub async fn is_master(server: &RedisServer) -> bool {
    // Whoever becomes one closes its connections.
    let role = server.try_command(&["ROLE"]).await;
    let master = redis::Value::BulkString(b"master".to_vec());
    matches!(role, Ok(redis::Value::Array(parts)) if parts[0] == master)
}
