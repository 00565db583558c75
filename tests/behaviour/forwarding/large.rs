//! Bodies far larger than the memory that they may take. The proxy is a process of its own here, so that what is
//! measured is its memory alone.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use fake_abconnect::{FakeAbconnect, Options, byte_at};
use ring::digest::{Context, SHA256};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{free_port, send, until};

const BODY: u64 = 1 << 30;
/// What the highest memory use may be above that after a small body.
const GROWTH: u64 = 32 << 20;
const PIECE: u64 = 256 * 1024;
/// After so many bytes those of the stand-in repeat.
const PERIOD: u64 = 251;

/// The program, serving; ended when dropped.
struct Process {
    child: Child,
    address: std::net::SocketAddr,
}

impl Process {
    async fn start(upstream: &str) -> Self {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
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
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends a body and gives what the upstream says of it, and its hash.
    async fn upload(&self, bytes: u64) -> (Value, String) {
        let mut stream = self.connect().await;
        let head = format!(
            "PUT /_fake/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("an open line");
        let (piece, mut hash) = (pattern(), Context::new(&SHA256));
        let mut left = bytes;
        while left > 0 {
            let piece = &piece[..usize::try_from(left.min(PIECE)).expect("a size")];
            hash.update(piece);
            stream.write_all(piece).await.expect("an open line");
            left -= piece.len() as u64;
        }
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("an answer");
        let echo = reply.split("\r\n\r\n").nth(1).expect("a body");
        let hash = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        (serde_json::from_str(echo).expect("JSON"), hash)
    }

    /// Reads a body and gives how many bytes of it came and were right.
    async fn download(&self, bytes: u64) -> u64 {
        let mut stream = self.connect().await;
        let request = format!("GET /_fake/bytes/{bytes} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("an open line");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        let (pattern, mut buffer) = (pattern(), vec![0; usize::try_from(PIECE).expect("a size")]);
        let mut right = 0;
        loop {
            let read = stream.read(&mut buffer).await.expect("a body");
            let from = usize::try_from(right % PERIOD).expect("a size");
            if read == 0 || buffer[..read] != pattern[from..from + read] {
                return right;
            }
            right += read as u64;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pattern() -> Vec<u8> {
    (0..PIECE + PERIOD).map(byte_at).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_a_gibibyte_passes_both_ways_within_32_mebibytes() {
    let upstream = FakeAbconnect::start(Options::default()).expect("the stand-in starts");
    let proxy = Process::start(upstream.url()).await;
    send(proxy.address, "GET", "/_fake/bytes/1000000", &[], "").await.is(200);
    proxy.upload(1_000_000).await;
    let before = proxy.peak();

    let begun = std::time::Instant::now();
    let (echo, hash) = proxy.upload(BODY).await;
    assert_eq!((&echo["bodyLength"], &echo["bodySha256"]), (&BODY.into(), &hash.into()));
    let (up, up_took) = (proxy.peak().saturating_sub(before), begun.elapsed());
    assert_eq!(proxy.download(BODY).await, BODY);
    let (both, both_took) = (proxy.peak().saturating_sub(before), begun.elapsed());

    println!("up {up} bytes more in {up_took:?}, up and down {both} in {both_took:?}");
    assert!(both < GROWTH, "{both} bytes more than {before}");
}
