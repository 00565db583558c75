//! The program as a process of its own, so that what is measured is its memory alone.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tokio::net::TcpStream;

use crate::support::{free_port, until};

/// The program, serving; ended when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// With the `panels` profile, in front of this upstream.
    pub async fn start(upstream: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let child = Command::new(env!("CARGO_BIN_EXE_catproxy"))
            .args(["serve", "--profile", "panels", "--upstream", upstream])
            // Nobody is there: a store is not what is measured.
            .args(["--listen", &address.to_string(), "--redis-url", "redis://127.0.0.1:1"])
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
