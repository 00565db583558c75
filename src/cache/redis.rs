//! The store in Redis. Never trusted, never waited for: every command is under the caller's budget, every
//! failure is a [`Fault`], and after a few of them in a row nothing is sent until a probe succeeds.
//!
//! Connections are multiplexed. A caller takes one from the pool, clones its handle and gives it back at
//! once, so that a slow command never holds a place.

mod connector;
mod entries;
mod listing;
mod server;
mod tracking;

use std::{
    fmt, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bb8_redis::bb8;
use redis::{
    Client, ConnectionAddr, ErrorKind, Pipeline, RedisError, ServerErrorKind, TlsCertificates, Value,
    aio::ConnectionLike as _,
};

use self::{
    connector::{Connector, Handle},
    server::Server,
};
use super::{
    breaker::Breaker,
    entry::{Entry, Shape},
    fault::Fault,
    generation::Generation,
    near::Near,
    snapshot::{Keys, Snapshot},
};
use crate::{
    deadline::{Deadline, Elapsed},
    dial::Dialler,
    home::Home,
    supervise,
};

/// Connections of a pool, all shared.
const CONNECTIONS: u32 = 2;
/// A token is far shorter: whatever else somebody put under a generation's key, no more of it is read.
const TOKEN_BYTES: usize = 1024;
/// An entry of so many bytes is written or read in less time than it takes to have that done elsewhere. What is larger
/// stalls nobody: it goes by connections of its own, which live at home, and is coded and decoded aside.
const SMALL_BYTES: usize = 64 * 1024;
/// From the first SYN to a connection that is ready for commands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

type Pool = bb8::Pool<Connector>;

/// Entries in a Redis server.
pub(super) struct Redis {
    pool: Pool,
    /// For large entries.
    large: Pool,
    connector: Connector,
    breaker: Breaker,
    max_entry_bytes: usize,
    commands: AtomicU64,
}

impl Redis {
    /// A store at `url`, whose certificate, where it has one, is of an authority in `ca_file` or else of the system's;
    /// connects when it is first asked, or by [`Redis::greet`].
    ///
    /// # Errors
    /// Where the URL is not a Redis URL, which the text does not repeat, or the file is of no use.
    pub(super) fn new(
        url: &str,
        ca_file: Option<&Path>,
        max_entry_bytes: usize,
        dialler: Dialler,
    ) -> Result<Self, UnusableRedis> {
        // The redis crate brings rustls without a provider; a second call finds the first one's and leaves it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(url, ca_file)?;
        let connector = Connector::new(Server { client, dialler });
        Ok(Self {
            pool: pool(connector.clone()),
            large: pool(connector.at(Home::here())),
            connector,
            breaker: Breaker::default(),
            max_entry_bytes,
            commands: AtomicU64::new(0),
        })
    }

    /// Connects before the first request does. Where that fails the breaker opens at once, so that a
    /// server that was never there costs no request anything.
    pub(super) async fn greet(&self) {
        if !probe(&self.connector).await && self.breaker.open() {
            self.report_away(Fault::Connection);
        }
    }

    /// Follows the server's invalidations for the copies near, until the task is dropped.
    pub(super) fn follow(&self, prefix: &str, near: Arc<Near>) -> impl Future<Output = ()> + Send + 'static {
        let (server, prefix) = (self.connector.server.clone(), prefix.to_owned());
        let follow = move || tracking::follow(server.clone(), prefix.clone(), Arc::clone(&near));
        supervise::until_done("following Redis", follow)
    }

    /// It is known not to answer.
    pub(super) fn is_away(&self) -> bool {
        self.breaker.is_open()
    }

    /// Returns once the server may be asked again.
    pub(super) async fn back(&self) {
        self.breaker.closed().await;
    }

    pub(super) async fn look(&self, keys: &Keys, shape: &Shape, by: Deadline) -> Result<Snapshot, Fault> {
        let small = SMALL_BYTES.min(self.max_entry_bytes);
        let mut pipeline = redis::pipe();
        pipeline.cmd("GETRANGE").arg(&keys.generation).arg(0).arg(TOKEN_BYTES);
        entries::get(&mut pipeline, &keys.entry, small);
        let (run_id, mut replies) = self.ask(&self.pool, pipeline, by).await?;
        let generation = match replies.drain(..1.min(replies.len())).next() {
            Some(Value::BulkString(bytes)) => Generation::read(&bytes, &run_id),
            _ => None,
        };
        if matches!(replies.first(), Some(Value::BulkString(bytes)) if bytes.len() > small) {
            let mut pipeline = redis::pipe();
            // Whatever somebody put there: no more than an entry may have is read. Cut off, it does not decode.
            entries::get(&mut pipeline, &keys.entry, self.max_entry_bytes);
            replies = self.ask(&self.large, pipeline, by).await?.1;
        }
        Ok(Snapshot { generation, entry: entries::got(replies, shape).await })
    }

    pub(super) async fn establish(
        &self,
        key: &str,
        life: Duration,
        by: Deadline,
    ) -> Result<Generation, Fault> {
        let set_and_read = |token: &Generation| {
            let mut pipeline = redis::pipe();
            pipeline.cmd("SET").arg(key).arg(token.as_str()).arg("NX").arg("PX").arg(milliseconds(life));
            pipeline.cmd("GETRANGE").arg(key).arg(0).arg(TOKEN_BYTES);
            pipeline
        };
        let run_id = self.connection(&self.pool, by).await?.run_id;
        for attempt in 0..2 {
            // A new one each time: a token that may have stood there for a moment is never put there again.
            let token = Generation::random(&run_id).map_err(|_| Fault::Internal)?;
            let (run_id, mut replies) = self.ask(&self.pool, set_and_read(&token), by).await?;
            if let Some(Value::BulkString(bytes)) = replies.pop() {
                if let Some(generation) = Generation::read(&bytes, &run_id) {
                    return Ok(generation);
                }
                // It takes nothing now, and nothing is there.
                if bytes.is_empty() && matches!(replies.first(), Some(Value::ServerError(_))) {
                    return Err(Fault::Refused);
                }
            }
            // Another server's token, or something that is none: voiding it is always safe.
            if attempt == 0 {
                self.delete(&[key.to_owned()], by).await?;
            }
        }
        Err(Fault::Refused)
    }

    pub(super) async fn put(
        &self,
        keys: &Keys,
        entry: &Arc<Entry>,
        ttl: Duration,
        life: Duration,
        by: Deadline,
    ) -> Result<(), Fault> {
        let set = entries::set(keys, entry, ttl, self.max_entry_bytes).await?;
        let is_small = entry.collection.text.len() <= SMALL_BYTES;
        let pool = if is_small { &self.pool } else { &self.large };
        let (_, replies) = self.ask(pool, set, by).await?;
        if let Some(Value::ServerError(_)) = replies.last() {
            return Err(Fault::Refused);
        }
        // Renewed at half its life and not at each fill: a change of its life is a push to all replicas.
        if let Some(Value::Int(left)) = replies.first()
            && u64::try_from(*left).is_ok_and(|left| left < milliseconds(life) / 2)
        {
            let mut pipeline = redis::pipe();
            pipeline.cmd("PEXPIRE").arg(&keys.generation).arg(milliseconds(life));
            self.ask(&self.pool, pipeline, by).await?;
        }
        Ok(())
    }

    pub(super) async fn delete(&self, keys: &[String], by: Deadline) -> Result<(), Fault> {
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("DEL").arg(key);
        }
        let (_, replies) = self.ask(&self.pool, pipeline, by).await?;
        let acknowledged =
            replies.len() == keys.len() && replies.iter().all(|reply| matches!(reply, Value::Int(_)));
        if acknowledged { Ok(()) } else { Err(Fault::Refused) }
    }

    /// Sends a pipeline and gives the replies, refusals of single commands among them, with the
    /// `run_id` of the server that gave them.
    async fn ask(
        &self,
        pool: &Pool,
        pipeline: Pipeline,
        by: Deadline,
    ) -> Result<(Arc<str>, Vec<Value>), Fault> {
        let mut handle = self.connection(pool, by).await?;
        let count = pipeline.len();
        self.commands.fetch_add(count as u64, Ordering::Relaxed);
        match by.within(handle.connection.req_packed_commands(&pipeline, 0, count)).await {
            Ok(Ok(replies)) => self.judge(&handle, replies),
            Ok(Err(error)) => Err(self.failed(Some(&handle), fault_of(&error))),
            Err(Elapsed) => Err(self.failed(Some(&handle), Fault::Late)),
        }
    }

    /// An answer is an answer, even a refusal; but a server that cannot serve yet counts as away, and
    /// one that became read-only is to be looked up again.
    fn judge(&self, handle: &Handle, replies: Vec<Value>) -> Result<(Arc<str>, Vec<Value>), Fault> {
        let mut unready = false;
        for reply in &replies {
            let Value::ServerError(error) = reply else { continue };
            match error.kind() {
                Some(
                    ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown,
                ) => {
                    unready = true;
                }
                Some(ServerErrorKind::ReadOnly) => handle.broken.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
        if unready {
            return Err(self.failed(None, Fault::Unready));
        }
        self.breaker.answered();
        Ok((Arc::clone(&handle.run_id), replies))
    }

    async fn connection(&self, pool: &Pool, by: Deadline) -> Result<Handle, Fault> {
        if self.breaker.is_open() {
            return Err(Fault::Open);
        }
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

    /// Says once that the store is away, and once that it is back.
    fn report_away(&self, fault: Fault) {
        tracing::warn!(reason = %fault, "Redis is away: lists come from the upstream until it is back");
        let (breaker, connector) = (self.breaker.clone(), self.connector.clone());
        tokio::spawn(async move {
            breaker.probe_until_back(|| probe(&connector)).await;
            tracing::info!("Redis is back");
        });
    }

    /// Commands sent since the start, probes not counted.
    #[must_use]
    pub(super) fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Redis").field("breaker", &self.breaker).finish_non_exhaustive()
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

/// Whether a connection can be had that answers. Not through the pool, which waits where a connect is refused.
async fn probe(connector: &Connector) -> bool {
    use bb8::ManageConnection as _;
    let asked = async { connector.connect().await?.ping().await };
    matches!(Deadline::after(CONNECT_TIMEOUT).within(asked).await, Ok(Ok(())))
}

/// Who speaks with the server at this URL. Authorities are of use only where that is by TLS.
fn client(url: &str, ca_file: Option<&Path>) -> Result<Client, UnusableRedis> {
    let client = Client::open(url).map_err(|error| UnusableRedis::Url(error.kind()))?;
    let ConnectionAddr::TcpTls { .. } = client.get_connection_info().addr() else { return Ok(client) };
    let Some(file) = ca_file else { return Ok(client) };
    let unusable = |why: String| UnusableRedis::CaFile { file: file.display().to_string(), why };
    let authorities = fs::read(file).map_err(|error| unusable(error.to_string()))?;
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(authorities) };
    Client::build_with_tls(url, certificates).map_err(|error| unusable(error.to_string()))
}

/// Why a Redis cannot be used; its URL may hold a password and is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum UnusableRedis {
    /// The URL.
    #[error("not a usable Redis URL ({0:?})")]
    Url(ErrorKind),
    /// The file of certificate authorities.
    #[error("store.ca-file {file}: {why}")]
    CaFile {
        /// Its path.
        file: String,
        /// What is wrong with it.
        why: String,
    },
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

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
