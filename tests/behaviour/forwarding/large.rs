//! Bodies far larger than the memory that they may take.

use fake_abconnect::{FakeAbconnect, Options, byte_at};
use ring::digest::{Context, SHA256};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{process::Process, support::send};

const BODY: u64 = 1 << 30;
/// What the highest memory use may be above that after a small body.
const GROWTH: u64 = 32 << 20;
const PIECE: u64 = 256 * 1024;
/// After so many bytes those of the stand-in repeat.
const PERIOD: u64 = 251;

/// What is sent and received by a client of it.
impl Process {
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
