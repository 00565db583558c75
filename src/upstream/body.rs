//! Bodies on their way to and from the upstream: streamed piece by piece, never gathered, each under a
//! deadline between two pieces.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::{connect::Connection, pool::Pool};

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The sender stopped, broke off, or sent what is no HTTP.
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("nothing of the body came within {0:?}")]
    Idle(Duration),
}

/// A body that must not pause for longer than a limit. The clock runs only while somebody waits for the
/// next piece: a reader that is slow itself does not make the sender late.
#[derive(Debug)]
struct Timed {
    inner: Incoming,
    limit: Duration,
    /// Armed while a piece is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Timed {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::Idle(limit))))
    }
}

/// How far a request's body has got; shared with whoever waits for the answer.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<ProgressInner>);

#[derive(Debug)]
struct ProgressInner {
    last: Mutex<Instant>,
    ended: AtomicBool,
    late: AtomicBool,
}

impl Progress {
    fn new(ended: bool) -> Self {
        Self(Arc::new(ProgressInner {
            last: Mutex::new(Instant::now()),
            ended: AtomicBool::new(ended),
            late: AtomicBool::new(false),
        }))
    }

    /// When the last piece was handed over.
    pub(super) fn last(&self) -> Instant {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing of it is still to be sent.
    pub(super) fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }

    /// The client paused for too long.
    pub(super) fn is_late(&self) -> bool {
        self.0.late.load(Ordering::Acquire)
    }

    fn note(&self, ended: bool) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        if ended {
            self.0.ended.store(true, Ordering::Release);
        }
    }
}

/// The body of a request to the upstream.
#[derive(Debug)]
pub struct RequestBody {
    client: Option<Timed>,
    progress: Progress,
}

impl RequestBody {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self { client: None, progress: Progress::new(true) }
    }

    /// The client's body, which must not pause for longer than `limit`.
    #[must_use]
    pub fn of_client(body: Incoming, limit: Duration) -> Self {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self { client: Some(Timed { inner: body, limit, timer: None }), progress: Progress::new(false) }
    }

    /// True where there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.client.is_none()
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(client) = &mut this.client else { return Poll::Ready(None) };
        let frame = ready!(client.poll(context));
        match &frame {
            Some(Ok(_)) => this.progress.note(client.inner.is_end_stream()),
            Some(Err(BodyError::Idle(_))) => this.progress.0.late.store(true, Ordering::Release),
            Some(Err(BodyError::Broken(_))) => {}
            None => this.progress.note(true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.client.as_ref().is_none_or(|client| client.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.client.as_ref().map_or_else(|| SizeHint::with_exact(0), |client| client.inner.size_hint())
    }
}

/// The body of an upstream's answer. Read to its end, its connection goes back to the pool; dropped
/// before, the connection is closed.
pub struct AnswerBody {
    body: Timed,
    lent: Option<(Connection, Pool, Progress)>,
}

impl AnswerBody {
    pub(super) fn new(
        body: Incoming,
        limit: Duration,
        connection: Connection,
        pool: Pool,
        sent: Progress,
    ) -> Self {
        let mut answer =
            Self { body: Timed { inner: body, limit, timer: None }, lent: Some((connection, pool, sent)) };
        if answer.body.inner.is_end_stream() {
            answer.give_back();
        }
        answer
    }

    fn give_back(&mut self) {
        // A connection that is still busy with a request's body is not ready for the next one.
        if let Some((connection, pool, sent)) = self.lent.take()
            && sent.has_ended()
        {
            pool.put(connection);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.body.poll(context));
        match &frame {
            Some(Ok(_)) if !self.body.inner.is_end_stream() => {}
            Some(Err(_)) => self.lent = None,
            Some(Ok(_)) | None => self.give_back(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.inner.size_hint()
    }
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}
