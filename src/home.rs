//! The runtime on which something was made. What belongs to no request – flights, the store's connections, those to the
//! upstream that many requests share – lives there, whichever runtime a request comes on: what they have to do at a time
//! is not bounded by a request.

use std::future::Future;

use tokio::{runtime::Handle, task::JoinHandle};

/// A runtime, or whichever one is there.
#[derive(Clone, Debug, Default)]
pub struct Home(Option<Handle>);

impl Home {
    /// The present runtime; outside of one, that of whoever has something to do.
    #[must_use]
    pub fn here() -> Self {
        Self(Handle::try_current().ok())
    }

    /// Does this work at home.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match &self.0 {
            Some(home) => home.spawn(work),
            None => tokio::spawn(work),
        }
    }
}
