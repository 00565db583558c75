//! Replicas as processes, and the balancer before them.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use crate::support::{Reply, attempt, free_port, until};

pub struct Fleet {
    replicas: Vec<Replica>,
    upstream: String,
    redis_url: String,
}

struct Replica {
    address: SocketAddr,
    admin: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Fleet {
    pub async fn start(count: usize, upstream: &str, redis_url: &str) -> Self {
        let mut fleet =
            Self { replicas: Vec::new(), upstream: upstream.to_owned(), redis_url: redis_url.to_owned() };
        for _ in 0..count {
            let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
            let (address, admin) = (address(), address());
            let folder = tempfile::tempdir().expect("a folder");
            let child = fleet.spawn(address, admin, folder.path());
            fleet.replicas.push(Replica { address, admin, child, folder });
        }
        for replica in &fleet.replicas {
            replica.until_ready().await;
        }
        fleet
    }

    fn spawn(&self, address: SocketAddr, admin: SocketAddr, folder: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_catproxy"))
            .args(["serve", "--profile", "panels", "--upstream", &self.upstream])
            .args(["--redis-url", &self.redis_url])
            .args(["--listen", &address.to_string(), "--admin-listen", &admin.to_string()])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    }

    /// As an operator does it: SIGTERM, and once it has ended, anew. It has finished what it had begun.
    pub async fn restart(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        let id = Pid::from_raw(i32::try_from(replica.child.id()).expect("an id")).expect("an id");
        kill_process(id, Signal::TERM).expect("a signal");
        let mut ended = None;
        until("it ends", || {
            ended = replica.child.try_wait().expect("a child");
            std::future::ready(ended.is_some())
        })
        .await;
        assert_eq!(ended.and_then(|ended| ended.code()), Some(0), "all requests were finished");
        let (address, admin, folder) = (replica.address, replica.admin, replica.folder.path().to_owned());
        let child = self.spawn(address, admin, &folder);
        let replica = &mut self.replicas[place];
        replica.child = child;
        replica.until_ready().await;
    }

    /// Clients have got something from this replica, since it was started.
    pub async fn is_used(&self, place: usize) -> bool {
        self.replicas[place].near_hits().await > 0
    }

    pub async fn all_have_near_hits(&self) -> bool {
        for place in 0..self.replicas.len() {
            if !self.is_used(place).await {
                return false;
            }
        }
        true
    }

    pub async fn all_have_the_store(&self) -> bool {
        for replica in &self.replicas {
            if replica.status().await.json()["store"] != "redis" {
                return false;
            }
        }
        true
    }
}

impl Replica {
    async fn until_ready(&self) {
        until("it is ready, with its store", || async {
            match attempt(self.admin, "GET", "/readyz", &[], "").await {
                Ok(reply) => reply.status == 200 && reply.json()["store"] == "redis",
                Err(_) => false,
            }
        })
        .await;
    }

    async fn status(&self) -> Reply {
        attempt(self.admin, "GET", "/status", &[], "").await.expect("a status")
    }

    async fn near_hits(&self) -> u64 {
        let metrics = attempt(self.admin, "GET", "/metrics", &[], "").await.expect("metrics");
        let text = String::from_utf8(metrics.body.to_vec()).expect("a text");
        let near: BTreeMap<_, _> = text
            .lines()
            .filter(|line| line.starts_with("catproxy_requests_total") && line.contains("reason=\"near\""))
            .filter_map(|line| line.rsplit_once(' '))
            .collect();
        near.values().map(|count| count.parse::<u64>().expect("a number")).sum()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// HAProxy; ended when dropped.
pub struct Balancer {
    pub address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Balancer {
    /// Set up as it is shipped, but for the addresses.
    pub async fn start(fleet: &Fleet) -> Self {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/haproxy/haproxy.cfg");
        let shipped = fs::read_to_string(shipped).expect("a configuration");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        assert!(shipped.contains("    bind :8080\n") && shipped.contains("    server a "), "{shipped}");
        let mut text: String = shipped
            .replace("bind :8080", &format!("bind {address}"))
            .lines()
            .filter(|line| !line.trim_start().starts_with("server "))
            .map(|line| format!("{line}\n"))
            .collect();
        for (place, replica) in fleet.replicas.iter().enumerate() {
            text += &format!("    server s{place} {} port {}\n", replica.address, replica.admin.port());
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, text).expect("a file");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let child = Command::new("haproxy")
            .env("PATH", path)
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy runs: `make test` installs it");
        until("the balancer answers", || async { TcpStream::connect(address).await.is_ok() }).await;
        Self { address, child, _folder: folder }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
