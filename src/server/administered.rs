//! The server as its operator sees it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{answers::Office, seats::Seats};
use crate::{admin::Subject, proxy::Proxy};

/// What there is to see of a server.
pub(super) struct Administered {
    pub(super) office: Office,
    pub(super) seats: Seats,
    /// It was told to stop.
    pub(super) stopping: CancellationToken,
}

impl Subject for Administered {
    fn proxy(&self) -> Proxy {
        self.office.load().proxy.clone()
    }

    fn configuration(&self) -> Arc<str> {
        Arc::clone(&self.office.load().configuration)
    }

    fn connections(&self) -> usize {
        self.seats.count()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }
}
