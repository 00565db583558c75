//! The small Redis against the real one: the same commands, in the same pipelines, get the same bytes, replies as well
//! as pushes.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{dice::Dice, redis::Redis};

const PATIENCE: Duration = Duration::from_secs(20);
const KEYS: [&str; 4] = ["cat_gen_a", "cat_b", "cat_a", "other"];

/// A real server; it ends when dropped.
struct Server(Child, SocketAddr);

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--hz", "100"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server runs: `make test` installs it");
        Self(child, address)
    }

    fn connect(&self) -> Line {
        let began = Instant::now();
        loop {
            match TcpStream::connect(self.1) {
                Ok(stream) => {
                    stream.set_nodelay(true).expect("a socket");
                    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                    return Line { stream, unread: Vec::new() };
                }
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Line {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a server that listens");
    }

    /// The next reply or push, to the letter.
    fn next(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = frame(&self.unread) {
                return self.unread.drain(..length).collect();
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).expect("a server that answers");
            assert!(count > 0, "it closed the connection");
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }
}

/// How long the first whole value is.
fn frame(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..end - 2]).ok()?.parse::<i64>().ok();
    match bytes.first()? {
        b'$' | b'=' => match number()? {
            -1 => Some(end),
            length => Some(end + length as usize + 2).filter(|whole| *whole <= bytes.len()),
        },
        kind @ (b'*' | b'>' | b'%') => {
            let parts = number()? * if *kind == b'%' { 2 } else { 1 };
            (0..parts).try_fold(end, |at, _| Some(at + frame(bytes.get(at..)?)?))
        }
        _ => Some(end),
    }
}

fn spoken(words: &[String]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn command(dice: &mut Dice) -> Vec<String> {
    let key = dice.pick(&KEYS);
    let value = "x".repeat(dice.below(30) as usize) + "1";
    words(&match dice.below(12) {
        0 | 1 => format!("SET {key} {value} PX 500000"),
        2 => format!("SET {key} {value} NX PX 700000"),
        3 => format!("SET {key} {value}"),
        4 => format!("DEL {key}"),
        5 => format!("DEL {key} {}", dice.pick(&KEYS)),
        6 => format!("GET {key}"),
        7 => format!("GETRANGE {key} 0 {}", dice.below(20)),
        8 | 9 => format!("PTTL {key}"),
        10 => format!("PEXPIRE {key} 900000"),
        _ if dice.one_in(6) => "FLUSHALL".to_owned(),
        _ => "PING".to_owned(),
    })
}

/// A life that goes on while the test runs is the same if it is about the same.
fn rounded(frame: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(frame);
    match text.strip_prefix(':').and_then(|rest| rest.trim_end().parse::<i64>().ok()) {
        Some(left) if left > 100_000 => format!(":{}\r\n", (left + 99_999) / 100_000).into_bytes(),
        _ => frame.to_vec(),
    }
}

#[test]
fn the_small_redis_says_what_the_real_one_says() {
    let server = Server::start();
    for seed in 1..=40 {
        let mut dice = Dice::new(seed);
        let resp3 = dice.one_in(2);
        let (mut small, mut teller, mut follower) = (Redis::new("r"), server.connect(), server.connect());
        let mut both = |line: &mut Line, client: u64, pipeline: &[Vec<String>]| {
            let bytes: Vec<u8> = pipeline.iter().flat_map(|words| spoken(words)).collect();
            line.send(&bytes);
            let mut said = small.hear(1_000, client, &bytes);
            let mut replies = Vec::new();
            while let Some(length) = frame(&said) {
                replies.push(said.drain(..length).collect::<Vec<u8>>());
            }
            assert_eq!(replies.len(), pipeline.len(), "{pipeline:?}");
            let pushes: Vec<_> = small.pushes().into_iter().map(|(to, bytes, _)| (to, bytes)).collect();
            (replies, pushes)
        };
        let mut trials: Vec<Vec<Vec<String>>> = vec![vec![words("FLUSHALL")]];
        for _ in 0..60 {
            trials.push((0..=dice.below(4)).map(|_| command(&mut dice)).collect());
        }
        let hello = vec![words("HELLO 3")];
        if resp3 {
            both(&mut teller, 1, &hello);
            assert_eq!(teller.next().first(), Some(&b'%'));
        }
        both(&mut follower, 2, &hello);
        assert_eq!(follower.next().first(), Some(&b'%'));
        let track = vec![words("CLIENT TRACKING ON BCAST PREFIX cat_")];
        assert_eq!(both(&mut follower, 2, &track).0, [follower.next()]);
        for pipeline in trials {
            let (replies, pushes) = both(&mut teller, 1, &pipeline);
            for (place, reply) in replies.iter().enumerate() {
                let real = teller.next();
                assert_eq!(
                    String::from_utf8_lossy(&rounded(&real)),
                    String::from_utf8_lossy(&rounded(reply)),
                    "seed {seed}: {:?} in {pipeline:?}",
                    pipeline[place]
                );
            }
            // The answer to this comes after all that was pushed before.
            follower.send(&spoken(&words("PING")));
            let mut seen = Vec::new();
            loop {
                let real = follower.next();
                if real == b"+PONG\r\n" {
                    break;
                }
                seen.push(String::from_utf8_lossy(&real).into_owned());
            }
            let wanted: Vec<String> =
                pushes.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
            assert_eq!(seen, wanted, "seed {seed}: pushes after {pipeline:?}");
        }
    }
}

#[test]
fn the_real_redis_too_pushes_the_end_of_a_life() {
    let server = Server::start();
    let (mut teller, mut follower) = (server.connect(), server.connect());
    follower.send(&spoken(&words("HELLO 3")));
    follower.next();
    follower.send(&spoken(&words("CLIENT TRACKING ON BCAST PREFIX cat_")));
    follower.next();
    teller.send(&spoken(&words("SET cat_a 1 PX 5")));
    assert_eq!(teller.next(), b"+OK\r\n");
    let mut small = Redis::new("r");
    for text in ["HELLO 3", "CLIENT TRACKING ON BCAST PREFIX cat_", "SET cat_a 1 PX 5"] {
        small.hear(0, 2, &spoken(&words(text)));
    }
    let mut wanted = small.pushes();
    small.expire(5);
    wanted.extend(small.pushes());
    assert_eq!(wanted.len(), 2);
    for (_, push, _) in wanted {
        assert_eq!(follower.next(), push);
    }
}
