//! Connections to the upstream that wait for their next request. The last one used is taken first, so
//! that the others age and go.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use tokio::time::Instant;

use super::line::{self, Line};

/// Unused connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    idle: Mutex<VecDeque<Waiting>>,
    limit: usize,
    idle_timeout: Duration,
}

struct Waiting {
    line: Line,
    since: Instant,
    /// That has used it last.
    thread: ThreadId,
}

impl Pool {
    pub(super) fn new(limit: usize, idle_timeout: Duration) -> Self {
        Self(Arc::new(Inner { idle: Mutex::default(), limit, idle_timeout }))
    }

    /// A connection that has waited for less than `idle` and was good when last heard of; it may break all the same.
    /// Rather one that this thread has used: no other one is woken then by what comes on it.
    pub(super) fn take(&self, idle: Duration) -> Option<Line> {
        let (limit, here) = (idle.min(self.0.idle_timeout), thread::current().id());
        loop {
            let now = Instant::now();
            let mut waiting = self.lock();
            let is_young = |waiting: &Waiting| now.saturating_duration_since(waiting.since) < limit;
            let own = waiting.iter().rposition(|waiting| waiting.thread == here && is_young(waiting));
            let place = own.or_else(|| waiting.iter().rposition(is_young))?;
            let taken = waiting.remove(place);
            drop(waiting);
            if let Some(Waiting { mut line, .. }) = taken
                && line::is_silent(&mut line)
            {
                return Some(line);
            }
        }
    }

    /// Takes back a connection whose answer was read to the end, whoever has read it.
    pub(super) fn put(&self, line: Line) {
        if self.0.limit == 0 {
            return;
        }
        let (since, thread) = (Instant::now(), thread::current().id());
        let mut idle = self.lock();
        while idle.front().is_some_and(|oldest| {
            since.saturating_duration_since(oldest.since) >= self.0.idle_timeout || idle.len() >= self.0.limit
        }) {
            idle.pop_front();
        }
        idle.push_back(Waiting { line, since, thread });
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
