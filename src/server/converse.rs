//! One connection, from its first byte to its last: HTTP/1.1, or HTTP/2 where the client begins with it.

use std::{
    convert::Infallible,
    future::{Future as _, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};

use super::{
    answers::{Office, answer},
    seat::Verdict,
    seated::Seated,
};
use crate::config::Clients;

/// What a client of HTTP/2 may send of one body, and of all together, before it is taken.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What waits of an answer for a client of HTTP/2 to take it.
const SEND_BYTES: usize = 64 * 1024;
/// Requests that were broken off before they were looked at, and those that were ill-formed: a client with more of them
/// is not a slow one but an attacker (CVE-2023-44487, CVE-2025-8671).
const RESET_STREAMS: usize = 20;
const ERROR_STREAMS: usize = 100;
/// How often a connection of HTTP/2 with requests on it is asked for a sign of life. It has as long for that as for
/// taking an answer, behind which the question may stand.
const PING: Duration = Duration::from_secs(20);

/// Answers what comes on a connection until it ends, by itself or because its seat is told so.
pub(super) async fn converse(stream: Seated, office: Office, limits: Arc<Clients>) {
    let seat = Arc::clone(stream.seat());
    let builder = builder(&limits);
    let service = service_fn(|request| {
        let work = answer(Arc::clone(&office), request, Arc::clone(&seat));
        async move { Ok::<_, Infallible>(work.await) }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut leaving = false;
    poll_fn(|context| {
        seat.register(context.waker());
        // Not left to the stream: while nobody reads or writes, nobody would hear of it.
        if seat.verdict() == Verdict::End {
            return Poll::Ready(());
        }
        if !leaving && seat.verdict() >= Verdict::Leave {
            leaving = true;
            connection.as_mut().graceful_shutdown();
        }
        // A connection's error is its client's: it left, or sent what is no HTTP.
        connection.as_mut().poll(context).map(drop)
    })
    .await;
    // Where the stream lives on, somebody else has it.
    seat.become_tunnel();
}

fn builder(limits: &Clients) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).preserve_header_case(true);
    builder
        .http1()
        // The seats keep the time.
        .header_read_timeout(None)
        .max_headers(limits.head_fields)
        .max_buf_size(limits.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(ERROR_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(limits.stall_timeout);
    builder
}
