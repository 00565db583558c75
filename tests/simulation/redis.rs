//! A small Redis: what catproxy asks of one, and no more. Pure: time, bytes and clients come as arguments, and what it
//! says goes out as values. `conformance.rs` holds it against the real one.

use std::collections::{BTreeMap, BTreeSet};

/// What was done to the keys, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Set { key: String, value: Vec<u8>, until: Option<u64> },
    Gone { key: String },
    Flushed,
}

#[derive(Clone, Debug)]
struct Kept {
    value: Vec<u8>,
    until: Option<u64>,
}

#[derive(Debug, Default)]
struct Client {
    resp3: bool,
    prefixes: Vec<Vec<u8>>,
    unread: Vec<u8>,
}

/// What it refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Well,
    /// Full: nothing that needs memory.
    Full,
    /// Reads its data: no keys yet.
    Loading,
}

/// The server.
#[derive(Debug, Default)]
pub struct Redis {
    pub run_id: String,
    pub mood: Mood,
    data: BTreeMap<Vec<u8>, Kept>,
    clients: BTreeMap<u64, Client>,
    /// Changed since the last [`Redis::pushes`].
    changed: BTreeSet<Vec<u8>>,
    flushed: usize,
    done: Vec<Done>,
}

impl Redis {
    pub fn new(run_id: &str) -> Self {
        Self { run_id: run_id.to_owned(), ..Self::default() }
    }

    /// What it would write to a disk now.
    pub fn dump(&self) -> Dump {
        Dump(self.data.clone())
    }

    /// Another process with this data; nobody is connected to it.
    pub fn restart(&mut self, run_id: &str, dump: Dump) {
        let done = std::mem::take(&mut self.done);
        *self = Self { run_id: run_id.to_owned(), data: dump.0, done, ..Self::default() };
    }

    pub fn leave(&mut self, client: u64) {
        self.clients.remove(&client);
    }

    /// What happened since this was asked last.
    pub fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    /// A value that stands now.
    pub fn value(&self, key: &str, now: u64) -> Option<&[u8]> {
        let kept = self.data.get(key.as_bytes())?;
        kept.until.is_none_or(|until| until > now).then_some(kept.value.as_slice())
    }

    /// What a client sent; what it is answered.
    pub fn hear(&mut self, now: u64, client: u64, bytes: &[u8]) -> Vec<u8> {
        self.clients.entry(client).or_default().unread.extend_from_slice(bytes);
        let mut said = Vec::new();
        loop {
            let Some(state) = self.clients.get_mut(&client) else { return said };
            let Some((words, length)) = command(&state.unread) else { return said };
            state.unread.drain(..length);
            self.answer(now, client, &words, &mut said);
        }
    }

    /// By anybody: what it is answered, as a client of RESP2 would read it.
    pub fn command(&mut self, now: u64, words: &[&[u8]]) -> Vec<u8> {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        let mut said = Vec::new();
        self.answer(now, u64::MAX, &words, &mut said);
        self.clients.remove(&u64::MAX);
        said
    }

    /// What is to be pushed to whom, at the end of a turn of its loop.
    pub fn pushes(&mut self) -> Vec<(u64, Vec<u8>, Vec<String>)> {
        let changed = std::mem::take(&mut self.changed);
        let flushed = std::mem::take(&mut self.flushed);
        let mut pushes = Vec::new();
        for (id, client) in &self.clients {
            for _ in 0..if client.prefixes.is_empty() { 0 } else { flushed } {
                pushes.push((*id, b">2\r\n$10\r\ninvalidate\r\n_\r\n".to_vec(), vec!["*".to_owned()]));
            }
            for prefix in &client.prefixes {
                let keys: Vec<&Vec<u8>> = changed.iter().filter(|key| key.starts_with(prefix)).collect();
                if keys.is_empty() {
                    continue;
                }
                let mut push = format!(">2\r\n$10\r\ninvalidate\r\n*{}\r\n", keys.len()).into_bytes();
                keys.iter().for_each(|key| bulk(&mut push, key));
                let names = keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
                pushes.push((*id, push, names));
            }
        }
        pushes
    }

    /// Drops what is past its life.
    pub fn expire(&mut self, now: u64) {
        let over = |kept: &Kept| kept.until.is_some_and(|until| until <= now);
        let keys: Vec<_> =
            self.data.iter().filter(|(_, kept)| over(kept)).map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.remove(key));
    }

    fn remove(&mut self, key: &[u8]) {
        if self.data.remove(key).is_some() {
            self.changed.insert(key.to_vec());
            self.done.push(Done::Gone { key: String::from_utf8_lossy(key).into_owned() });
        }
    }

    fn get(&mut self, now: u64, key: &[u8]) -> Option<&Kept> {
        if self.data.get(key).is_some_and(|kept| kept.until.is_some_and(|until| until <= now)) {
            self.remove(key);
        }
        self.data.get(key)
    }

    fn answer(&mut self, now: u64, client: u64, words: &[Vec<u8>], said: &mut Vec<u8>) {
        let upper: Vec<String> =
            words.iter().map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        let resp3 = self.clients.get(&client).is_some_and(|client| client.resp3);
        let about_keys = !matches!(upper.first(), Some(&("HELLO" | "CLIENT" | "INFO")));
        if self.mood == Mood::Loading && about_keys {
            return said.extend_from_slice(b"-LOADING Redis is loading the dataset in memory\r\n");
        }
        match (upper.as_slice(), words) {
            (["HELLO", "3", ..], _) => {
                self.clients.entry(client).or_default().resp3 = true;
                said.extend_from_slice(b"%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n");
            }
            (["CLIENT", "SETINFO", ..] | ["SELECT", _], _) => said.extend_from_slice(b"+OK\r\n"),
            (["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", _], [.., prefix]) => {
                self.clients.entry(client).or_default().prefixes.push(prefix.clone());
                said.extend_from_slice(b"+OK\r\n");
            }
            (["PING"], _) => said.extend_from_slice(b"+PONG\r\n"),
            (["INFO", ..], _) => {
                let text = format!("# Server\r\nredis_version:7.0.15\r\nrun_id:{}\r\n", self.run_id);
                if resp3 {
                    let length = text.len() + 4;
                    said.extend_from_slice(format!("={length}\r\ntxt:{text}\r\n").as_bytes());
                } else {
                    bulk(said, text.as_bytes());
                }
            }
            (["GET", _], [_, key]) => match self.get(now, key) {
                Some(kept) => bulk(said, &kept.value),
                None => said.extend_from_slice(nil(resp3)),
            },
            (["GETRANGE", _, from, to], [_, key, ..]) => {
                let (from, to) = (from.parse().unwrap_or(0), to.parse().unwrap_or(0usize));
                let value = self.get(now, key).map_or(&[][..], |kept| &kept.value);
                let to = value.len().min(to + 1);
                bulk(said, value.get(from..to).unwrap_or_default());
            }
            (["PTTL", _], [_, key]) => {
                let left = match self.get(now, key) {
                    None => -2,
                    Some(Kept { until: None, .. }) => -1,
                    Some(Kept { until: Some(until), .. }) => (until - now).cast_signed(),
                };
                integer(said, left);
            }
            (["SET", _, _, options @ ..], [_, key, value, ..]) => {
                self.set(now, key, value, options, resp3, said);
            }
            (["PEXPIRE", _, life], [_, key, _]) => {
                let until = now + life.parse::<u64>().unwrap_or(0);
                if self.get(now, key).is_none() {
                    return integer(said, 0);
                }
                if let Some(kept) = self.data.get_mut(key) {
                    kept.until = Some(until);
                }
                self.changed.insert(key.clone());
                integer(said, 1);
            }
            (["DEL", ..], [_, keys @ ..]) => {
                let mut count = 0;
                for key in keys {
                    if self.get(now, key).is_some() {
                        self.remove(key);
                        count += 1;
                    } else {
                        self.done.push(Done::Gone { key: String::from_utf8_lossy(key).into_owned() });
                    }
                }
                integer(said, count);
            }
            (["FLUSHALL"], _) => {
                self.data.clear();
                self.flushed += 1;
                self.done.push(Done::Flushed);
                said.extend_from_slice(b"+OK\r\n");
            }
            _ => said.extend_from_slice(b"-ERR unknown command\r\n"),
        }
    }

    fn set(&mut self, now: u64, key: &[u8], value: &[u8], options: &[&str], resp3: bool, said: &mut Vec<u8>) {
        if self.mood == Mood::Full {
            return said.extend_from_slice(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n");
        }
        if options.contains(&"NX") && self.get(now, key).is_some() {
            return said.extend_from_slice(nil(resp3));
        }
        let life = options.iter().position(|option| *option == "PX").and_then(|at| options.get(at + 1));
        let until = life.and_then(|life| life.parse::<u64>().ok()).map(|life| now + life);
        self.data.insert(key.to_vec(), Kept { value: value.to_vec(), until });
        self.changed.insert(key.to_vec());
        let key = String::from_utf8_lossy(key).into_owned();
        self.done.push(Done::Set { key, value: value.to_vec(), until });
        said.extend_from_slice(b"+OK\r\n");
    }
}

/// Data as of a moment.
#[derive(Clone, Debug, Default)]
pub struct Dump(BTreeMap<Vec<u8>, Kept>);

fn nil(resp3: bool) -> &'static [u8] {
    if resp3 { b"_\r\n" } else { b"$-1\r\n" }
}

fn bulk(said: &mut Vec<u8>, bytes: &[u8]) {
    said.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    said.extend_from_slice(bytes);
    said.extend_from_slice(b"\r\n");
}

fn integer(said: &mut Vec<u8>, number: i64) {
    said.extend_from_slice(format!(":{number}\r\n").as_bytes());
}

/// The first whole command in these bytes, and how many it takes.
fn command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let line = |from: usize| {
        let end = bytes.get(from..)?.windows(2).position(|pair| pair == b"\r\n")? + from;
        let number: usize = std::str::from_utf8(&bytes[from + 1..end]).ok()?.parse().ok()?;
        Some((number, end + 2))
    };
    let (count, mut at) = line(0)?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, from) = line(at)?;
        words.push(bytes.get(from..from + length)?.to_vec());
        bytes.get(from + length..from + length + 2)?;
        at = from + length + 2;
    }
    Some((words, at))
}
