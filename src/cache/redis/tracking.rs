//! Follows what a Redis server says of its keys (`CLIENT TRACKING`, RESP3) and keeps the copies near true.
//!
//! A connection of its own on which nothing else is asked: pushes come in the order of what happened, and the
//! answer to a heartbeat after all pushes of what happened before it. Where the server does not answer, the
//! lease of the copies runs out by itself; nobody has to notice in time.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use tokio::{sync::Notify, time::Instant};

use super::{CONNECT_TIMEOUT, connector, server::Server};
use crate::{cache::near::Near, deadline::Deadline};

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

/// Follows the server until dropped. Never ends by itself.
pub(in crate::cache) async fn follow(server: Server, prefix: String, near: Arc<Near>) {
    let server = server.in_resp3();
    let (mut pause, mut warned) = (FIRST_PAUSE, false);
    loop {
        let began = Instant::now();
        let Err(ended) = session(&server, &prefix, &near).await;
        near.lapse();
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

async fn session(server: &Server, prefix: &str, near: &Arc<Near>) -> Result<std::convert::Infallible, Ended> {
    let gone = Arc::new(Notify::new());
    let by = Deadline::after(CONNECT_TIMEOUT);
    let connecting = async {
        let mut connection = connect(server, Arc::clone(near), Arc::clone(&gone)).await?;
        track(&mut connection, prefix).await?;
        let run_id = connector::run_id(&mut connection).await?;
        Ok::<_, RedisError>((connection, run_id))
    };
    let (mut connection, run_id) = by.within(connecting).await.map_err(|_| Ended::Gone)??;
    // What was read before the server was followed may have changed unsaid.
    near.clear();
    loop {
        let sent = Instant::now();
        tokio::select! {
            beat = Deadline::after(LEASE).within(beat(&mut connection)) => beat.map_err(|_| Ended::Gone)??,
            () = gone.notified() => return Err(Ended::Gone),
        }
        near.prolong(sent + LEASE, &run_id);
        tokio::select! {
            () = tokio::time::sleep_until(sent + BEAT) => {}
            () = gone.notified() => return Err(Ended::Gone),
        }
    }
}

async fn connect(
    server: &Server,
    near: Arc<Near>,
    gone: Arc<Notify>,
) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(LEASE))
        .set_push_sender(move |push: PushInfo| {
            match push.kind {
                PushKind::Invalidate => invalidate(&near, &push.data),
                PushKind::Disconnection => {
                    near.lapse();
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

async fn beat(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    redis::cmd("PING").query_async(connection).await
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
