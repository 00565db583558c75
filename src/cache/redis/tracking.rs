//! Follows what a Redis server says of its keys (`CLIENT TRACKING`, RESP3) and keeps the copies near true.
//!
//! A connection of its own on which nothing else is asked: pushes come in the order of what happened, and the
//! answer to a heartbeat after all pushes of what happened before it. Where the server does not answer, the
//! lease of the copies runs out by itself; nobody has to notice in time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::{CONNECT_TIMEOUT, connector, server::Server, topology::Topology};
use crate::{cache::near::Near, deadline::Deadline, supervise};

/// Between two heartbeats.
const BEAT: Duration = Duration::from_millis(250);
/// How long a heartbeat proves, from when it was sent. Under a second: that is what is promised of a server that
/// is gone without a word.
const LEASE: Duration = Duration::from_millis(900);
const _: () = assert!(LEASE.as_millis() < 1000 && BEAT.as_millis() * 3 < LEASE.as_millis());
/// Between two attempts to connect; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// Where the server refuses to be followed, which time may mend but not soon.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// Follows all servers that have keys, as they come and go, until dropped.
pub(in crate::cache) async fn follow(
    mut topology: watch::Receiver<Topology>,
    prefix: String,
    near: Arc<Near>,
) {
    let mut followed: HashMap<u8, AbortOnDropHandle<()>> = HashMap::new();
    loop {
        let nodes = topology.borrow_and_update().nodes().to_vec();
        followed.retain(|number, _| nodes.iter().any(|node| node.number == *number));
        for node in nodes {
            followed.entry(node.number).or_insert_with(|| {
                let (server, number) = (node.server().clone().in_resp3(), node.number);
                let (prefix, near, master) = (prefix.clone(), Arc::clone(&near), node.is_of_several());
                let one = move || {
                    let near = Arc::clone(&near);
                    follow_one(server.clone(), prefix.clone(), Followed { number, master, near })
                };
                AbortOnDropHandle::new(tokio::spawn(supervise::until_done("following Redis", one)))
            });
        }
        if topology.changed().await.is_err() {
            return;
        }
    }
}

/// The copies near, as far as one server's keys are concerned.
#[derive(Clone)]
struct Followed {
    number: u8,
    /// It must be a master.
    master: bool,
    near: Arc<Near>,
}

/// Follows the server until dropped. Never ends by itself.
async fn follow_one(server: Server, prefix: String, followed: Followed) {
    let (mut pause, mut warned) = (FIRST_PAUSE, false);
    loop {
        let began = Instant::now();
        let Err(ended) = session(&server, &prefix, &followed).await;
        pause = match ended {
            Ended::Refused(error) => {
                if !std::mem::replace(&mut warned, true) {
                    let code = error.code().unwrap_or("an error");
                    tracing::warn!(code, "Redis refuses CLIENT TRACKING: no copies are kept in this process");
                }
                REFUSED_PAUSE
            }
            Ended::Gone if began.elapsed() > LAST_PAUSE => FIRST_PAUSE,
            Ended::Gone => (pause * 2).min(LAST_PAUSE),
        };
        tokio::time::sleep(pause).await;
    }
}

/// Pushes arrive; when that ends, by whatever, copies lapse.
struct Live<'a>(&'a Followed);

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.near.lapse(self.0.number);
    }
}

/// Why a server is not followed any more.
enum Ended {
    /// It does not answer, or the connection broke.
    Gone,
    /// It answered that it will not.
    Refused(RedisError),
}

impl From<RedisError> for Ended {
    fn from(error: RedisError) -> Self {
        // One that is loading, or waits for its master, will answer otherwise soon.
        let refused = matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
                | ErrorKind::Extension
        );
        if refused { Self::Refused(error) } else { Self::Gone }
    }
}

async fn session(
    server: &Server,
    prefix: &str,
    followed: &Followed,
) -> Result<std::convert::Infallible, Ended> {
    let gone = Arc::new(Notify::new());
    let by = Deadline::after(CONNECT_TIMEOUT);
    let connecting = async {
        let mut connection = connect(server, followed.clone(), Arc::clone(&gone)).await?;
        track(&mut connection, prefix).await?;
        let run_id = connector::run_id(&mut connection).await?;
        Ok::<_, RedisError>((connection, run_id))
    };
    let (mut connection, run_id) = by.within(connecting).await.map_err(|_| Ended::Gone)??;
    // What was read before the server was followed may have changed unsaid.
    followed.near.clear();
    let _live = Live(followed);
    loop {
        let sent = Instant::now();
        tokio::select! {
            beat = Deadline::after(LEASE).within(beat(&mut connection, followed.master)) => beat.map_err(|_| Ended::Gone)??,
            () = gone.notified() => return Err(Ended::Gone),
        }
        followed.near.prolong(followed.number, sent + LEASE, &run_id);
        tokio::select! {
            () = tokio::time::sleep_until(sent + BEAT) => {}
            () = gone.notified() => return Err(Ended::Gone),
        }
    }
}

async fn connect(
    server: &Server,
    followed: Followed,
    gone: Arc<Notify>,
) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(LEASE))
        .set_push_sender(move |push: PushInfo| {
            match push.kind {
                PushKind::Invalidate => invalidate(&followed.near, &push.data),
                PushKind::Disconnection => {
                    followed.near.lapse(followed.number);
                    gone.notify_one();
                }
                _ => {}
            }
            Ok::<_, std::convert::Infallible>(())
        });
    server.connect(config).await
}

async fn track(connection: &mut MultiplexedConnection, prefix: &str) -> Result<(), RedisError> {
    let mut tracking = redis::cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(prefix);
    tracking.query_async(connection).await
}

/// What is pushed by a replica is what its master has, which may not be what is asked for.
async fn beat(connection: &mut MultiplexedConnection, master: bool) -> Result<(), RedisError> {
    match master {
        true => connector::demand_master(connection).await,
        false => redis::cmd("PING").query_async(connection).await,
    }
}

/// Keys in one array, or nil where all keys are gone.
fn invalidate(near: &Near, data: &[Value]) {
    for part in data {
        match part {
            Value::Array(keys) => keys.iter().for_each(|key| match key {
                Value::BulkString(key) => near.pushed(key),
                _ => near.clear(),
            }),
            _ => near.clear(),
        }
    }
}
