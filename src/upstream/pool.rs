//! Connections to the upstream that wait for their next request. The last one used is taken first, so
//! that the others age and go.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::connect::Connection;

/// Unused connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    idle: Mutex<VecDeque<(Connection, Instant)>>,
    limit: usize,
    idle_timeout: Duration,
}

impl Pool {
    pub(super) fn new(limit: usize, idle_timeout: Duration) -> Self {
        Self(Arc::new(Inner { idle: Mutex::default(), limit, idle_timeout }))
    }

    /// A connection that has waited for less than `idle` and was good when last heard of; it may break all
    /// the same.
    pub(super) async fn take(&self, idle: Duration) -> Option<Connection> {
        let limit = idle.min(self.0.idle_timeout);
        loop {
            let (mut connection, _) = self.lock().pop_back_if(|(_, since)| since.elapsed() < limit)?;
            // Its last answer was read to the end, so it is ready as soon as its task has run, or closed.
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    /// Takes back a connection whose answer was read to the end.
    pub(super) fn put(&self, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let mut idle = self.lock();
        while idle.front().is_some_and(|(oldest, since)| {
            oldest.is_closed() || since.elapsed() >= self.0.idle_timeout || idle.len() >= self.0.limit
        }) {
            idle.pop_front();
        }
        if self.0.limit > 0 {
            idle.push_back((connection, Instant::now()));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Connection, Instant)>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
