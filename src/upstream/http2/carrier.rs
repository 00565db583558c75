//! One connection of HTTP/2, and the place of a request on it.

use std::{
    error::Error as _,
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http2},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};

use super::{Http2, Inner, head};
use crate::{
    home::Home,
    upstream::{UpstreamError, body::RequestBody, broken::Broken, connect::Secured},
};

/// Requests at a time on one connection, whatever more the upstream would take: what all of them may have sent before
/// anybody reads it is bounded.
const STREAMS: usize = 100;
/// What may come of one answer before it is read. The connection has room for as much of each: an answer that nobody reads
/// holds up no other.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;
/// What waits of a request's body for the upstream to take it.
const SEND_BYTES: usize = 256 * 1024;
/// Bytes of an answer's head, as over HTTP/1.
const HEAD_BYTES: u32 = 512 * 1024;
/// How often a connection is asked for a sign of life, also one that carries nothing, and how long that may take: without
/// one it is at its end, and nobody waits on it for longer.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// What comes of a request: an answer's head, or why there is none.
type Sent = Result<Response<Incoming>, Box<Unanswered>>;

/// An open connection. It is closed when nobody has it any more and its last answer has ended.
pub(super) struct Carrier {
    sender: http2::SendRequest<RequestBody>,
    /// Requests that it may carry at a time, as the upstream has said last.
    limit: Arc<AtomicUsize>,
    load: Mutex<Load>,
    /// The upstream takes no request any more.
    gone: AtomicBool,
}

struct Load {
    streams: usize,
    /// When the last of them ended.
    since: Instant,
}

impl Carrier {
    /// Speaks HTTP/2 on this stream, at home. Returns once the upstream has said how many requests it takes at a time.
    pub(super) async fn over(
        stream: Secured,
        home: &Home,
        of: Weak<Inner>,
    ) -> Result<Arc<Self>, UpstreamError> {
        let crew = Crew { home: home.clone(), moved: Arc::default() };
        let (sender, connection) = http2::Builder::new(crew.clone())
            .timer(TokioTimer::new())
            .initial_max_send_streams(0)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BYTES)
            .max_header_list_size(HEAD_BYTES)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Broken::from)?;
        let limit = Arc::new(AtomicUsize::new(0));
        let mut work = Box::pin(work(connection, Arc::clone(&limit)));
        poll_fn(|context| {
            crew.moved.register(context.waker());
            match work.as_mut().poll(context) {
                Poll::Ready(Ok(())) => {
                    Poll::Ready(Err(UpstreamError::Connect(io::ErrorKind::UnexpectedEof.into())))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(UpstreamError::Broken(error.into()))),
                Poll::Pending if limit.load(Ordering::Relaxed) > 0 => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await?;
        let load = Mutex::new(Load { streams: 0, since: Instant::now() });
        let carrier = Arc::new(Self { sender, limit, load, gone: AtomicBool::new(false) });
        home.spawn(work);
        home.spawn(close_when_unused(of, Arc::downgrade(&carrier)));
        Ok(carrier)
    }

    /// Whether it takes further requests, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.gone.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.load().streams == 0
    }

    /// Since when it carries nothing.
    fn unused_since(&self) -> Option<Instant> {
        let load = self.load();
        (load.streams == 0).then_some(load.since)
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works on the requests of a connection until that has ended, and notes how many it may carry.
async fn work(
    connection: http2::Connection<TokioIo<Secured>, RequestBody, Crew>,
    limit: Arc<AtomicUsize>,
) -> Result<(), hyper::Error> {
    let mut connection = pin!(connection);
    poll_fn(|context| {
        let ended = connection.as_mut().poll(context);
        limit.store(connection.current_max_send_streams().min(STREAMS), Ordering::Relaxed);
        ended
    })
    .await
}

/// Lets a connection go that has carried nothing for as long as one is kept.
async fn close_when_unused(of: Weak<Inner>, carrier: Weak<Carrier>) {
    loop {
        let due = {
            let (Some(all), Some(carrier)) = (of.upgrade(), carrier.upgrade()) else { return };
            // Under the lock by which requests come on it.
            let mut state = all.lock();
            let now = Instant::now();
            match carrier.unused_since().map(|since| since + all.idle_timeout) {
                Some(due) if due <= now => {
                    state.carriers.retain(|other| !Arc::ptr_eq(other, &carrier));
                    return;
                }
                Some(due) => due,
                None => now + all.idle_timeout,
            }
        };
        sleep_until(due).await;
    }
}

/// Does what hyper has to do beside the requests, at home.
#[derive(Clone)]
struct Crew {
    home: Home,
    /// Woken when something has been done.
    moved: Arc<AtomicWaker>,
}

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for Crew {
    fn execute(&self, work: F) {
        let moved = Arc::clone(&self.moved);
        self.home.spawn(async move {
            let mut work = pin!(work);
            poll_fn(|context| {
                let done = work.as_mut().poll(context);
                moved.wake();
                done
            })
            .await
        });
    }
}

/// A request's place on a connection, held until its answer has ended.
pub(in crate::upstream) struct Stream {
    carrier: Arc<Carrier>,
    of: Http2,
}

impl Stream {
    /// A place, if there is one.
    pub(super) fn on(carrier: &Arc<Carrier>, of: &Http2) -> Option<Self> {
        let mut load = carrier.load();
        if load.streams >= carrier.limit.load(Ordering::Relaxed) {
            return None;
        }
        load.streams += 1;
        drop(load);
        Some(Self { carrier: Arc::clone(carrier), of: of.clone() })
    }

    /// Sends a request, which is as for HTTP/1, and waits for its answer's head.
    pub(in crate::upstream) fn send(&self, request: Request<RequestBody>) -> impl Future<Output = Sent> {
        let request = head::to_second(request, &self.of.0.authority);
        let sent = self.carrier.sender.clone().try_send_request(request);
        async move { sent.await.map_err(|error| Box::new(self.failed(error))) }
    }

    fn failed(&self, mut error: TrySendError<Request<RequestBody>>) -> Unanswered {
        let unsent = error.take_message().map(|request| head::to_first(request, &self.of.0.host));
        let error = error.into_error();
        let end = End::of(&error);
        if unsent.is_some() || end != End::Stream && end != End::Refused {
            self.carrier.gone.store(true, Ordering::Relaxed);
        }
        let unprocessed = matches!(end, End::Refused | End::Left);
        Unanswered { error, unsent, unprocessed }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut load = self.carrier.load();
        load.streams -= 1;
        load.since = Instant::now();
        let is_unused = load.streams == 0;
        drop(load);
        if is_unused && !self.of.0.keeps {
            self.of.0.let_go(&self.carrier);
        }
    }
}

/// A request that was not answered.
pub(in crate::upstream) struct Unanswered {
    pub(in crate::upstream) error: hyper::Error,
    /// The request, as for HTTP/1, where nothing of it was written.
    pub(in crate::upstream) unsent: Option<Request<RequestBody>>,
    /// The upstream has said that it has done nothing with it (RFC 9113 section 8.7).
    pub(in crate::upstream) unprocessed: bool,
}

/// How far the end of a request's answer reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was the stream's alone.
    Stream,
    /// The upstream has not looked at the stream.
    Refused,
    /// The upstream leaves, and has not looked at the stream.
    Left,
    /// The connection's.
    Connection,
}

impl End {
    fn of(error: &hyper::Error) -> Self {
        let mut cause = error.source();
        while let Some(source) = cause {
            if let Some(error) = source.downcast_ref::<h2::Error>() {
                return match (error.is_remote(), error.reason()) {
                    (true, Some(h2::Reason::REFUSED_STREAM)) if error.is_reset() => Self::Refused,
                    // Of a GOAWAY only those streams hear that are behind the last one that it names.
                    (true, _) if error.is_go_away() => Self::Left,
                    _ if error.is_reset() => Self::Stream,
                    _ => Self::Connection,
                };
            }
            cause = source.source();
        }
        Self::Connection
    }
}
