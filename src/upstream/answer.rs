//! The body of an answer, and the connection that it comes on.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    body::{BodyError, Progress, Timed, is_last},
    connection::Connection,
    http2::Stream,
    pool::Pool,
};
use crate::deadline::Pace;

/// What an answer comes on.
pub(super) enum Carried {
    /// A connection of its own, which is worked on where the answer is read.
    First(Connection),
    /// One that carries others, too, and is worked on elsewhere.
    Second {
        /// Until the answer has ended.
        _held: Stream,
    },
    /// A connection that goes on by itself.
    Alone,
}

/// A body, and what it comes on.
struct Driven {
    body: Incoming,
    /// [`Carried::Alone`] once all of it has come.
    carried: Carried,
}

impl Body for Driven {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        match &mut this.carried {
            Carried::First(connection) => connection.poll_answer(&mut this.body, context),
            Carried::Second { .. } => Pin::new(&mut this.body).poll_frame(context),
            Carried::Alone => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an upstream's answer. Read to its end, its connection goes back to the pool; dropped
/// before, the connection is closed, or over HTTP/2 its stream.
pub struct AnswerBody(Box<Lent>);

/// Boxed: an answer is handed on a dozen times until it is read.
struct Lent {
    body: Timed<Driven>,
    lent: Option<(Pool, Progress)>,
    /// Among the requests that are on their way, until this ends.
    place: Option<OwnedSemaphorePermit>,
    /// Why it broke off, until the reader hears of it.
    failed: Option<BodyError>,
}

impl AnswerBody {
    pub(super) fn new(body: Incoming, limit: Duration, carried: Carried, pool: Pool, sent: Progress) -> Self {
        let body = Driven { body, carried };
        let mut answer = Lent {
            body: Timed::new(body, limit, Pace::of(0)),
            lent: Some((pool, sent)),
            place: None,
            failed: None,
        };
        if answer.body.inner.is_end_stream() {
            answer.give_back();
        }
        Self(Box::new(answer))
    }

    /// Holds this place until it ends or is dropped.
    pub(super) fn hold(&mut self, place: OwnedSemaphorePermit) {
        self.0.place = self.0.lent.is_some().then_some(place);
    }
}

impl Lent {
    fn give_back(&mut self) {
        self.place = None;
        let carried = std::mem::replace(&mut self.body.inner.carried, Carried::Alone);
        let (Some((pool, sent)), Carried::First(mut connection)) = (self.lent.take(), carried) else {
            return;
        };
        if sent.has_ended() {
            connection.into_line().into_iter().for_each(|line| pool.put(line));
        } else {
            // It is still busy with the request's body, which may go on.
            connection.go_on_alone();
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
        let this = &mut *self.0;
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(this.body.poll(context)) {
            Some(Ok(frame)) => {
                if is_last(&frame, &this.body.inner) {
                    this.give_back();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                this.give_back();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                (this.lent, this.place, this.body.inner.carried) = (None, None, Carried::Alone);
                this.failed = Some(error);
                // A pause: at a failure hyper's server drops what it has not written yet, which may be all of it.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.body.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.inner.size_hint()
    }
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}
