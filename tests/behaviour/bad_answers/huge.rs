//! Pages that are far larger than a page may be: as they come, or once they are decoded. The proxy is a process of its
//! own, so that what is measured is its memory alone.

use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::scripted::{LIST, READ, TOKEN, answer};
use crate::{
    process::Process,
    support::{PATIENCE, send},
};

/// What the highest memory use may be above that after a small list: the bound of a page while it grows by
/// doubling, the decoder's window, and the pieces of a body that is passed on.
const GROWTH: u64 = 64 << 20;
const MIB: u64 = 1 << 20;

/// An upstream that says this to anybody, piece by piece, after it has said `LIST` to the first one.
async fn upstream(lines: String, piece: Vec<u8>, pieces: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut first = true;
        while let Ok((stream, _)) = listener.accept().await {
            if std::mem::replace(&mut first, false) {
                let list = answer(&format!("Content-Length: {}\r\nConnection: close\r\n", LIST.len()), LIST);
                tokio::spawn(say(stream, list, Vec::new(), 0));
            } else {
                tokio::spawn(say(stream, answer(&lines, ""), piece.clone(), pieces));
            }
        }
    });
    url
}

async fn say(mut stream: TcpStream, head: Vec<u8>, piece: Vec<u8>, pieces: u64) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    stream.write_all(&head).await.ok()?;
    for _ in 0..pieces {
        stream.write_all(&piece).await.ok()?;
    }
    stream.shutdown().await.ok()
}

/// Asks for another list than before, and gives how many bytes of it came.
async fn read(process: &Process, seller: usize) -> u64 {
    let mut stream = process.connect().await;
    let request = format!(
        "GET /api/Catalog?SellerIds={seller}&PageNumber=1&PageSize=7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut head, mut body, mut buffer) = (Vec::new(), 0, vec![0; 64 * 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("detail=too-large"), "{head}");
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        body += length as u64;
    }
    body
}

/// Two of them are passed on, but for so many bytes at the end, and take no more memory than one may. Gives how much that
/// was.
async fn is_bounded(what: &str, lines: String, piece: Vec<u8>, pieces: u64, lost: u64) -> String {
    let bytes = piece.len() as u64 * pieces - lost;
    let process = Process::start(&upstream(lines, piece, pieces).await).await;
    send(process.address, "GET", READ, &[("Authorization", &format!("Bearer {TOKEN}"))], "").await.is(200);
    let before = process.peak();
    for seller in 1..=2 {
        let asked = tokio::time::timeout(PATIENCE, read(&process, seller));
        let came = asked.await.unwrap_or_else(|_| panic!("{what}: no answer in time"));
        assert!(came >= bytes, "{what}: {came} of {bytes} bytes came");
    }
    let growth = process.peak().saturating_sub(before);
    assert!(growth < GROWTH, "{what}: {growth} bytes more than {before}");
    format!("{what}: {growth} bytes more than {before}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_100_megabytes_is_passed_on_however_it_is_framed() {
    let piece = vec![b' '; 100_000];
    let chunk = [b"186a0\r\n".as_slice(), &piece, b"\r\n"].concat();
    for (lines, piece, lost) in [
        ("Content-Length: 100000000\r\nConnection: close\r\n", &piece, 0),
        ("Connection: close\r\n", &piece, 0),
        // Its last chunk never comes, so it is broken off: what hyper has not written by then it drops.
        ("Transfer-Encoding: chunked\r\nConnection: close\r\n", &chunk, MIB),
    ] {
        println!("{}", is_bounded(lines.trim_end(), lines.to_owned(), piece.clone(), 1000, lost).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_a_gibibyte_when_it_is_decoded_is_passed_on_coded() {
    for coding in ["gzip", "br", "zstd"] {
        let zeros = tokio::io::BufReader::with_capacity(1 << 20, tokio::io::repeat(0).take(1024 * MIB));
        let mut coded = Vec::new();
        match coding {
            "gzip" => GzipEncoder::new(zeros).read_to_end(&mut coded).await,
            "br" => {
                BrotliEncoder::with_quality(zeros, async_compression::Level::Fastest)
                    .read_to_end(&mut coded)
                    .await
            }
            _ => ZstdEncoder::new(zeros).read_to_end(&mut coded).await,
        }
        .unwrap();
        println!("{coding}: a GiB in {} bytes", coded.len());
        let lines =
            format!("Content-Encoding: {coding}\r\nContent-Length: {}\r\nConnection: close\r\n", coded.len());
        println!("{}", is_bounded(coding, lines, coded, 1, 0).await);
    }
}
