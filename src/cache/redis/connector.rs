//! Connections to Redis: shared, known by the server process behind them, and honest about being broken.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bb8_redis::bb8;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, aio::MultiplexedConnection};
use tokio_util::task::AbortOnDropHandle;

use super::{CONNECT_TIMEOUT, server::Server};
use crate::{
    deadline::{Deadline, Elapsed},
    home::Home,
};

/// Beyond all callers' budgets: it only ends what nobody waits for any more.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A shared connection.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) connection: MultiplexedConnection,
    /// Shared by all clones and the pool: a connection that failed once is not used again.
    pub(super) broken: Arc<AtomicBool>,
    /// Of the server process behind it.
    pub(super) run_id: Arc<str>,
}

impl Handle {
    pub(super) async fn ping(&mut self) -> Result<(), RedisError> {
        redis::cmd("PING").query_async(&mut self.connection).await
    }

    /// A Cluster that is down answers a PING all the same.
    async fn serves(&mut self) -> Result<(), RedisError> {
        let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut self.connection).await?;
        if info.contains("cluster_state:ok") { Ok(()) } else { Err(unfit("the Cluster is down")) }
    }
}

/// Opens connections, and knows honestly which are broken.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) server: Server,
    /// Where connections live; by default where they are asked for.
    home: Home,
    /// What it must be.
    role: Role,
    /// It was said why the server cannot be used.
    warned: Arc<AtomicBool>,
}

/// What a server must be to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Whatever it is: nobody said that there is another.
    Any,
    /// A master: a replica gets back from its own what was deleted on it.
    Master,
    /// A master of a Cluster, and that serves.
    ClusterMaster,
}

impl Connector {
    pub(super) fn new(server: Server, role: Role) -> Self {
        Self { server, home: Home::default(), role, warned: Arc::default() }
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The same, whose connections live at home.
    pub(super) fn at(&self, home: Home) -> Self {
        Self { home, ..self.clone() }
    }
}

impl bb8::ManageConnection for Connector {
    type Connection = Handle;
    type Error = RedisError;

    async fn connect(&self) -> Result<Handle, RedisError> {
        // The pool waits for one that is being made, and makes no other meanwhile.
        let connector = self.clone();
        let ready = AbortOnDropHandle::new(self.home.spawn(async move { connector.ready().await }));
        let failed = |kind: io::ErrorKind| Err(io::Error::from(kind).into());
        match Deadline::after(CONNECT_TIMEOUT).within(ready).await {
            Ok(ended) => ended.unwrap_or_else(|_| failed(io::ErrorKind::Other)),
            Err(Elapsed) => failed(io::ErrorKind::TimedOut),
        }
    }

    async fn is_valid(&self, handle: &mut Handle) -> Result<(), RedisError> {
        handle.ping().await
    }

    fn has_broken(&self, handle: &mut Handle) -> bool {
        handle.broken.load(Ordering::Relaxed)
    }
}

impl Connector {
    /// Whether it does its work, as far as that can be told. Not through a pool, which waits where a connect is refused.
    pub(super) async fn probe(&self) -> Result<(), RedisError> {
        use bb8::ManageConnection as _;
        let mut handle = self.connect().await?;
        match self.role {
            Role::Any | Role::Master => handle.ping().await,
            Role::ClusterMaster => handle.serves().await,
        }
    }

    /// A connection that is ready for commands.
    async fn ready(&self) -> Result<Handle, RedisError> {
        // Commands are bounded by their callers' budgets.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connected = self.server.connect(config).await;
        let mut connection = connected.inspect_err(|error| self.report_login(error))?;
        let run_id = run_id(&mut connection).await.inspect_err(|error| self.report_run_id(error))?;
        if self.role != Role::Any {
            demand_master(&mut connection).await?;
        }
        Ok(Handle { connection, broken: Arc::default(), run_id })
    }

    /// A refused login is nothing that time mends.
    fn report_login(&self, error: &RedisError) {
        if error.kind() == ErrorKind::AuthenticationFailed && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("Redis refuses the login: see the user and password of the Redis URL");
        }
    }

    /// A server that does not tell its `run_id` is not used: after its restart nobody could tell that what it
    /// holds is old.
    fn report_run_id(&self, error: &RedisError) {
        let by_server = !error.is_io_error() && !error.is_timeout();
        if by_server && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("Redis does not tell its run_id (an ACL without +info?): nothing is stored in it");
        }
    }
}

/// Which server process is behind a connection.
pub(super) async fn run_id(connection: &mut MultiplexedConnection) -> Result<Arc<str>, RedisError> {
    let info: String = redis::cmd("INFO").arg("server").query_async(connection).await?;
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    run_id.map(|run_id| run_id.trim().into()).ok_or_else(|| unfit("INFO without run_id"))
}

/// Fails where the server is a replica.
pub(super) async fn demand_master(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let info: String = redis::cmd("INFO").arg("replication").query_async(connection).await?;
    if info.contains("role:master") { Ok(()) } else { Err(unfit("a replica")) }
}

fn unfit(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dial::{Dial, Dialler, Dialling, Wire};
    use bb8::ManageConnection as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::Instant,
    };

    /// A server that says hello and then nothing.
    struct Dumb;

    impl Dial for Dumb {
        fn dial(&self, _: &str, _: u16) -> Dialling {
            let (near, mut far) = tokio::io::duplex(4096);
            tokio::spawn(async move {
                let _ = far.read(&mut [0; 4096]).await;
                let _ = far.write_all(b"+OK\r\n+OK\r\n").await;
                std::future::pending::<()>().await;
            });
            Box::pin(async { Ok(Box::new(near) as Box<dyn Wire>) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_after_its_hello_is_given_up_in_time() {
        let server = Server::new("redis://redis", None, Dialler::of(Dumb)).unwrap();
        let connector = Connector::new(server, Role::Any);
        let began = Instant::now();
        assert!(connector.connect().await.is_err());
        assert_eq!(began.elapsed(), CONNECT_TIMEOUT);
    }
}
