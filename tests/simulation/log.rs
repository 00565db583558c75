//! What was done, as far as the oracle asks for it, and the trace for people.

use std::collections::BTreeMap;

use crate::world::Note;

#[derive(Default)]
pub struct Log {
    tracing: bool,
    pub lines: Vec<String>,
    /// The upstream's answers to reads; an item in them names its answer by its place here.
    pub answers: Vec<Answered>,
    pub commits: Vec<Committed>,
    pub writes: BTreeMap<usize, Written>,
    /// By route: when its generation was taken from Redis, or all of Redis.
    pub voids: [Vec<u64>; 2],
    /// By route: the generation that was put last, and when.
    pub born: [Option<(Vec<u8>, u64)>; 2],
    pub pushes: Vec<Pushed>,
    /// When the upstream, or the way to it, was not well.
    upsets: Vec<(u64, u64)>,
    pub broken: Option<Broken>,
    pub counts: BTreeMap<&'static str, u64>,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    pub promise: &'static str,
    pub how: String,
}

/// The upstream's answer to a read.
#[derive(Clone, Debug)]
pub struct Answered {
    pub life: usize,
    pub collection: usize,
    pub version: usize,
    pub page: u32,
    pub size: u32,
    pub token: Option<usize>,
    pub status: u16,
    /// When the request left the proxy, when it came to the upstream, and when the answer's end came to the proxy.
    pub sent: u64,
    pub received: u64,
    pub arrived: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub struct Committed {
    pub collection: usize,
    pub version: usize,
    pub at: u64,
    pub write: Option<usize>,
}

/// A write through a proxy.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub life: usize,
    /// When its client got the answer's head, and its end.
    pub head: Option<u64>,
    pub end: Option<u64>,
    /// The head was the upstream's, and so was the last byte.
    pub passed: bool,
    pub whole: bool,
    /// How often the upstream got it.
    pub came: u32,
}

/// A process was told of another generation.
#[derive(Clone, Copy, Debug)]
pub struct Pushed {
    pub life: usize,
    pub route: usize,
    pub said: u64,
    pub arrived: u64,
}

impl Log {
    pub fn new(tracing: bool) -> Self {
        Self { tracing, ..Self::default() }
    }

    pub fn trace(&mut self, now: u64, say: impl FnOnce() -> String) {
        if self.tracing {
            self.lines.push(format!("{now:7} {}", say()));
        }
    }

    pub fn arrived(&mut self, note: Note, life: usize, now: u64) {
        match note {
            Note::Answer(serial) => self.answers[serial].arrived = Some(now),
            Note::Push(routes, said) => {
                self.pushes.extend(routes.into_iter().map(|route| Pushed { life, route, said, arrived: now }))
            }
        }
    }

    pub fn void_all(&mut self, now: u64) {
        self.voids.iter_mut().for_each(|voids| voids.push(now));
    }

    pub fn upset(&mut self, from: u64, to: u64) {
        self.upsets.push((from, to));
    }

    pub fn was_upset(&self, from: u64, to: u64) -> bool {
        self.upsets.iter().any(|(begin, end)| *begin <= to && from <= *end)
    }

    pub fn broke(&mut self, promise: &'static str, how: String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { promise, how });
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}
