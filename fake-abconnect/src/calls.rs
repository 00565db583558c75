//! The log of the calls received.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use crate::head::Head;
use crate::locks::lock;
use crate::matching::Matching;

/// How many bytes of a body the log keeps.
const BODY_START: usize = 1024;

/// One call, as it came in. A copy: it does not change when the rest of the body arrives.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Counts all calls of this stand-in from 1, in the order of arrival.
    pub number: u64,
    /// The method as spelled.
    pub method: String,
    /// The target as spelled: path and query, or a whole URL if the client sent one.
    pub target: String,
    /// The fields in order, names as spelled. Bytes that are not UTF-8 are read as Latin-1.
    pub headers: Vec<(String, String)>,
    /// How much of the body has been read so far.
    pub body_length: u64,
    /// The first bytes of the body: at most 1024.
    #[serde(serialize_with = "as_text")]
    pub body_start: Bytes,
    /// When the head had arrived.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: Timestamp,
}

fn as_text<S: serde::Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&String::from_utf8_lossy(bytes))
}

fn as_rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

impl Call {
    /// The path as spelled.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The first field of this name; case does not count.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What has been read of one body.
#[derive(Debug, Default)]
pub(crate) struct BodySeen {
    seen: Mutex<(u64, Vec<u8>)>,
}

impl BodySeen {
    pub(crate) fn add(&self, bytes: &[u8]) {
        let mut seen = lock(&self.seen);
        seen.0 += bytes.len() as u64;
        let room = BODY_START.saturating_sub(seen.1.len());
        seen.1.extend(bytes.iter().take(room));
    }
}

struct Entry {
    number: u64,
    head: Head,
    body: Arc<BodySeen>,
    at: Timestamp,
}

impl Entry {
    fn fits(&self, matching: &Matching) -> bool {
        matching.fits(&self.head.method, &self.head.target)
    }

    fn call(&self) -> Call {
        let (body_length, body_start) = {
            let seen = lock(&self.body.seen);
            (seen.0, Bytes::copy_from_slice(&seen.1))
        };
        let Head { method, target, headers } = self.head.clone();
        Call { number: self.number, method, target, headers, body_length, body_start, at: self.at }
    }
}

/// A bounded ring of calls.
pub(crate) struct Log {
    on: AtomicBool,
    limit: usize,
    entries: Mutex<VecDeque<Entry>>,
    /// The number of the latest call; tells waiters to look again.
    latest: watch::Sender<u64>,
}

impl Log {
    pub(crate) fn new(on: bool, limit: usize) -> Self {
        let entries = Mutex::new(VecDeque::new());
        Self { on: AtomicBool::new(on), limit, entries, latest: watch::Sender::new(0) }
    }

    pub(crate) fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Logs a call; what is read of its body is to be added to the result.
    pub(crate) fn add(&self, head: Head) -> Arc<BodySeen> {
        let body = Arc::new(BodySeen::default());
        let mut entries = lock(&self.entries);
        let number = *self.latest.borrow() + 1;
        if entries.len() >= self.limit {
            entries.pop_front();
        }
        entries.push_back(Entry { number, head, body: Arc::clone(&body), at: Timestamp::now() });
        self.latest.send_replace(number);
        body
    }

    pub(crate) fn calls(&self, matching: &Matching) -> Vec<Call> {
        lock(&self.entries).iter().filter(|entry| entry.fits(matching)).map(Entry::call).collect()
    }

    pub(crate) fn clear(&self) {
        lock(&self.entries).clear();
    }

    /// Waits until the log has at least `count` calls that fit, and gives them.
    pub(crate) async fn wait_for(&self, matching: &Matching, count: usize) -> Vec<Call> {
        let mut latest = self.latest.subscribe();
        loop {
            latest.mark_unchanged();
            let fitting = lock(&self.entries).iter().filter(|entry| entry.fits(matching)).count();
            if fitting >= count || latest.changed().await.is_err() {
                return self.calls(matching);
            }
        }
    }
}
