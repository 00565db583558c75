//! One connection, from its first byte to its last: HTTP/1.1, or HTTP/2 where the client begins with it.
//!
//! A connection that is not used is *parked*: all that is kept of it is the socket and its seat; what speaks HTTP on it,
//! with its buffers, is made anew when something comes.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::{
    answers::Answerer,
    plain::{self, Left},
    seat::{Seat, Verdict},
    seated::{Begins, Line, Seated},
};
use crate::config::Clients;

/// What a client of HTTP/2 may send of one body, and of all together, before it is taken.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What hyper allows of itself, and has room for at once; to set any bound costs each request some hundred instructions.
const HYPERS_FIELDS: usize = 100;
/// What waits of an answer for a client of HTTP/2 to take it.
const SEND_BYTES: usize = 64 * 1024;
/// Requests that were broken off before they were looked at, and those that were ill-formed: a client with more of them
/// is not a slow one but an attacker (CVE-2023-44487, CVE-2025-8671).
const RESET_STREAMS: usize = 20;
const ERROR_STREAMS: usize = 100;
/// In requests.
const LONGEST_STAY: u64 = 64;
/// How often a connection of HTTP/2 with requests on it is asked for a sign of life. It has as long for that as for
/// taking an answer, behind which the question may stand.
const PING: Duration = Duration::from_secs(20);

/// Answers what comes on a connection until it ends, by itself or because its seat is told so.
pub(super) async fn converse<S: Line>(mut stream: Seated<S>, answerer: Answerer, limits: Arc<Clients>) {
    match poll_fn(|context| stream.poll_begin(context)).await {
        Some(Begins::Http1) => {}
        Some(Begins::Http2) => return Box::pin(over_http2(stream, answerer, &limits)).await,
        None => return stream.end(),
    }
    let mut stay = Stay::new(limits.hit_loop || limits.relay_loop);
    loop {
        if stay.ends() {
            match plain::answer(&mut stream, &answerer, &limits).await {
                Left::Ended => return stream.end(),
                Left::Unread { answered } => stay.begin(answered),
            }
        }
        // Boxed, so that a parked connection has no room for it.
        match Box::pin(over_http1(stream, answerer.clone(), &limits, stay)).await {
            Some(freed) => stream = freed,
            None => return,
        }
        if stream.ahead().is_empty() && poll_fn(|context| stream.poll_read_ahead(context)).await.is_none() {
            return stream.end();
        }
    }
}

/// For how many requests hyper keeps a connection; then the next one may be answered without it. Twice as many each time
/// that none was, so that one whose requests only look plain is hardly read twice, and one that has only begun with such
/// comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stay(Option<u64>);

impl Stay {
    /// `ends`: any request may be answered without hyper at all.
    fn new(ends: bool) -> Self {
        Self(ends.then_some(0))
    }

    fn ends(self) -> bool {
        self.0.is_some()
    }

    /// The next one; `answered`: requests were answered since the last one.
    fn begin(&mut self, answered: bool) {
        let next = |requests: u64| if answered { 1 } else { (2 * requests).clamp(1, LONGEST_STAY) };
        self.0 = self.0.map(next);
    }

    fn is_over(self, requests: u64) -> bool {
        self.0.is_some_and(|stay| requests >= stay)
    }
}

/// Gives the stream back between two requests, where it is to be parked or its stay is over.
async fn over_http1<S: Line>(
    stream: Seated<S>,
    answerer: Answerer,
    limits: &Clients,
    stay: Stay,
) -> Option<Seated<S>> {
    let seat = Arc::clone(stream.seat());
    let before = seat.begun();
    let mut builder = http1::Builder::new();
    // The seats keep the time. How names are spelled is read along (`heads`): that costs less than to let hyper keep it.
    builder.header_read_timeout(None).max_buf_size(limits.head_bytes);
    if limits.head_fields != HYPERS_FIELDS {
        builder.max_headers(limits.head_fields);
    }
    // Where it is to leave already, the answer to what has come says that it is the last one.
    let mut told = Told { to_leave: seat.verdict() == Verdict::Leave };
    builder.keep_alive(!told.to_leave);
    let mut connection = builder.serve_connection(TokioIo::new(stream), answerer).with_upgrades();
    let freed = poll_fn(|context| {
        match told.hear(&seat, context) {
            Verdict::Stay => {}
            Verdict::Leave => {
                // What has come is read first: hyper closes a connection of which it has read nothing.
                if Pin::new(&mut connection).poll(context).is_ready() {
                    return Poll::Ready(false);
                }
                Pin::new(&mut connection).graceful_shutdown();
            }
            Verdict::End => return Poll::Ready(false),
        }
        // A connection's error is its client's: it left, or sent what is no HTTP.
        match Pin::new(&mut connection).poll(context) {
            Poll::Ready(_) => Poll::Ready(false),
            // Polled just now, it has written all that it had, or it is in use.
            Poll::Pending if seat.may_park() || stay.is_over(seat.begun() - before) && seat.is_unused() => {
                Poll::Ready(true)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if !freed {
        // Where the stream lives on, somebody else has it.
        seat.become_tunnel();
        return None;
    }
    let parts = connection.into_parts()?;
    let mut stream = parts.io.into_inner();
    // What came while it was judged is read as what comes later is.
    stream.give_back(&parts.read_buf);
    seat.resume();
    Some(stream)
}

async fn over_http2<S: Line>(stream: Seated<S>, answerer: Answerer, limits: &Clients) {
    let seat = Arc::clone(stream.seat());
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(RESET_STREAMS)
            .max_local_error_reset_streams(ERROR_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BYTES)
            .keep_alive_interval(PING)
            .keep_alive_timeout(limits.stall_timeout)
            .serve_connection(TokioIo::new(stream), answerer)
    );
    let mut told = Told::default();
    poll_fn(|context| {
        match told.hear(&seat, context) {
            Verdict::Stay => {}
            Verdict::Leave => connection.as_mut().graceful_shutdown(),
            Verdict::End => return Poll::Ready(()),
        }
        connection.as_mut().poll(context).map(drop)
    })
    .await;
}

/// What a connection has been told.
#[derive(Default)]
struct Told {
    to_leave: bool,
}

impl Told {
    /// What the connection is told now that it was not told before. Not left to the stream: while nobody reads or
    /// writes, nobody would hear of it.
    fn hear(&mut self, seat: &Seat, context: &Context<'_>) -> Verdict {
        seat.register(context.waker());
        match seat.verdict() {
            Verdict::Leave if std::mem::replace(&mut self.to_leave, true) => Verdict::Stay,
            verdict => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stay_is_twice_as_long_each_time_until_a_request_is_answered_without_hyper() {
        let mut stay = Stay::new(true);
        let mut lengths = |answered: &[bool]| {
            let length = |answered: &bool| {
                stay.begin(*answered);
                (0..).find(|requests| stay.is_over(*requests))
            };
            answered.iter().filter_map(length).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&[false; 9]), [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(lengths(&[true, true, false, false]), [1, 1, 2, 4]);
    }

    #[test]
    fn a_stay_has_no_end_where_all_is_for_hyper() {
        let mut stay = Stay::new(false);
        stay.begin(false);
        assert!(!stay.ends() && !stay.is_over(u64::MAX));
    }
}
