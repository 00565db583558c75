//! The program as a process of its own, so that what is measured is its memory alone.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use crate::support::{free_port, until};

/// The program, serving; ended when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// With the `panels` profile, in front of this upstream and without a store.
    pub async fn start(upstream: &str) -> Self {
        // Nobody is there.
        Self::start_on(upstream, "redis://127.0.0.1:1").await
    }

    /// With entries in this Redis.
    pub async fn start_on(upstream: &str, redis_url: &str) -> Self {
        Self::start_with(&["--profile", "panels", "--upstream", upstream, "--redis-url", redis_url]).await
    }

    /// With these arguments.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let child = Command::new(env!("CARGO_BIN_EXE_catproxy"))
            .args(["serve", "--listen", &address.to_string()])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        until("the program answers", || async { TcpStream::connect(address).await.is_ok() }).await;
        Self { child, address }
    }

    /// The most memory that it had so far.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).expect("an id")).expect("an id");
        kill_process(id, signal).expect("a signal");
    }

    /// Its exit code, once it has ended; `None` where a signal ended it.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        until("the program ends", || {
            status = self.child.try_wait().expect("a child");
            std::future::ready(status.is_some())
        })
        .await;
        status.and_then(|status| status.code())
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
