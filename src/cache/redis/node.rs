//! One server of the store, with a breaker of its own: what it does not do costs its own keys, and nobody waits for it.
//!
//! Connections are multiplexed. A caller takes one from the pool, clones its handle and gives it back at
//! once, so that a slow command never holds a place.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bb8_redis::bb8;
use redis::{ErrorKind, Pipeline, RedisError, ServerErrorKind, Value, aio::ConnectionLike as _};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    CONNECT_TIMEOUT,
    connector::{Connector, Handle, Role},
    server::{Address, Server},
};
use crate::{
    cache::{breaker::Breaker, fault::Fault},
    deadline::{Deadline, Elapsed},
    home::Home,
};

/// Connections of a pool, all shared.
const CONNECTIONS: u32 = 2;

type Pool = bb8::Pool<Connector>;

/// What all nodes of a store have together.
#[derive(Clone, Default)]
pub(super) struct Common {
    /// Commands sent since the start, probes not counted.
    pub(super) commands: Arc<AtomicU64>,
    /// A node does not do its work, or has other keys than was thought.
    pub(super) doubted: Arc<Notify>,
}

/// Which connections a command goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    /// By connections of its own, so that it stalls nobody.
    Large,
}

/// What a node has answered, and the `run_id` of the process that did.
pub(super) struct Answer {
    pub(super) run_id: Arc<str>,
    /// Refusals of single commands among them.
    pub(super) replies: Vec<Value>,
}

/// A server that has keys of the store.
pub(super) struct Node {
    /// No other node has it that there is at the same time.
    pub(super) number: u8,
    pub(super) address: Option<Address>,
    small: Pool,
    large: Pool,
    connector: Connector,
    breaker: Breaker,
    common: Common,
    life: CancellationToken,
    _life: DropGuard,
}

impl Node {
    /// Connects when it is first asked, or by [`Node::greet`].
    pub(super) fn new(number: u8, server: Server, role: Role, common: Common) -> Self {
        let (address, connector) = (server.address(), Connector::new(server, role));
        let life = CancellationToken::new();
        Self {
            number,
            address,
            small: pool(connector.clone()),
            large: pool(connector.at(Home::here())),
            connector,
            breaker: Breaker::default(),
            common,
            _life: life.clone().drop_guard(),
            life,
        }
    }

    /// Connects before the first request does. Where that fails the breaker opens at once, so that a
    /// server that was never there costs no request anything.
    pub(super) async fn greet(&self) {
        if !probe(&self.connector).await && self.breaker.open() {
            self.report_away(Fault::Connection);
        }
    }

    pub(super) fn server(&self) -> &Server {
        &self.connector.server
    }

    /// It must be a master.
    pub(super) fn is_of_several(&self) -> bool {
        self.connector.role() != Role::Any
    }

    /// It is known not to answer.
    pub(super) fn is_away(&self) -> bool {
        self.breaker.is_open()
    }

    /// Returns once it may be asked again.
    pub(super) async fn back(&self) {
        self.breaker.closed().await;
    }

    /// Which server process is there.
    pub(super) async fn run_id(&self, by: Deadline) -> Result<Arc<str>, Fault> {
        Ok(self.connection(Size::Small, by).await?.run_id)
    }

    /// Sends a pipeline and gives the replies, with the `run_id` of the server that gave them.
    pub(super) async fn ask(&self, size: Size, pipeline: &Pipeline, by: Deadline) -> Result<Answer, Fault> {
        let mut handle = self.connection(size, by).await?;
        let count = pipeline.len();
        self.common.commands.fetch_add(count as u64, Ordering::Relaxed);
        match by.within(handle.connection.req_packed_commands(pipeline, 0, count)).await {
            Ok(Ok(replies)) => self.judge(&handle, replies),
            Ok(Err(error)) => Err(self.failed(Some(&handle), fault_of(&error))),
            Err(Elapsed) => Err(self.failed(Some(&handle), Fault::Late)),
        }
    }

    /// An answer is an answer, even a refusal; but a server that cannot serve yet counts as away, and
    /// one that became read-only, or has not the key, is to be looked up again.
    fn judge(&self, handle: &Handle, replies: Vec<Value>) -> Result<Answer, Fault> {
        let mut fault = None;
        for reply in &replies {
            let Value::ServerError(error) = reply else { continue };
            match error.kind() {
                Some(
                    ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown,
                ) => fault = Some(Fault::Unready),
                Some(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain) => {
                    self.common.doubted.notify_one();
                    fault = fault.or(Some(Fault::Moved));
                }
                Some(ServerErrorKind::ReadOnly) => {
                    handle.broken.store(true, Ordering::Relaxed);
                    self.common.doubted.notify_one();
                }
                _ => {}
            }
        }
        if fault == Some(Fault::Unready) {
            return Err(self.failed(None, Fault::Unready));
        }
        self.breaker.answered();
        match fault {
            Some(fault) => Err(fault),
            None => Ok(Answer { run_id: Arc::clone(&handle.run_id), replies }),
        }
    }

    async fn connection(&self, size: Size, by: Deadline) -> Result<Handle, Fault> {
        if self.breaker.is_open() {
            return Err(Fault::Open);
        }
        let pool = if size == Size::Small { &self.small } else { &self.large };
        for _ in 0..=CONNECTIONS {
            match by.within(pool.get()).await {
                // Broken ones are thrown away when given back; one may lie in the pool still.
                Ok(Ok(pooled)) if pooled.broken.load(Ordering::Relaxed) => {}
                Ok(Ok(pooled)) => return Ok(pooled.clone()),
                Ok(Err(_)) => return Err(self.failed(None, Fault::Connection)),
                Err(Elapsed) => return Err(self.failed(None, Fault::Late)),
            }
        }
        Err(self.failed(None, Fault::Connection))
    }

    fn failed(&self, handle: Option<&Handle>, fault: Fault) -> Fault {
        if let Some(handle) = handle {
            handle.broken.store(true, Ordering::Relaxed);
        }
        if self.breaker.failed() {
            self.report_away(fault);
        }
        fault
    }

    /// Says once that the server is away, and once that it is back.
    fn report_away(&self, fault: Fault) {
        self.common.doubted.notify_one();
        let server = self.address.as_ref().map(tracing::field::display);
        tracing::warn!(server, reason = %fault, "Redis is away: lists come from the upstream until it is back");
        let (breaker, connector, address) =
            (self.breaker.clone(), self.connector.clone(), self.address.clone());
        let probing = async move {
            breaker.probe_until_back(|| probe(&connector)).await;
            tracing::info!(server = address.as_ref().map(tracing::field::display), "Redis is back");
        };
        // Where it is no node any more, nobody asks for it.
        tokio::spawn(self.life.clone().run_until_cancelled_owned(probing));
    }
}

fn pool(connector: Connector) -> Pool {
    bb8::Pool::builder()
        .max_size(CONNECTIONS)
        .retry_connection(false)
        .test_on_check_out(false)
        .max_lifetime(None)
        .idle_timeout(None)
        .connection_timeout(CONNECT_TIMEOUT)
        .build_unchecked(connector)
}

/// Whether it does its work, and says so in time.
async fn probe(connector: &Connector) -> bool {
    matches!(Deadline::after(CONNECT_TIMEOUT).within(connector.probe()).await, Ok(Ok(())))
}

fn fault_of(error: &RedisError) -> Fault {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown,
        ) => Fault::Unready,
        _ if error.is_timeout() => Fault::Late,
        _ => Fault::Connection,
    }
}
