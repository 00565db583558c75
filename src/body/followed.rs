//! What is to be done after the upstream's answer and before the client sees its end.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::upstream::{AnswerBody, BodyError};

/// Passes the upstream's body on, but holds its last piece back until the work is done; where it breaks off, the
/// news of that.
pub struct Followed {
    body: AnswerBody,
    /// The last piece, or why there is none.
    held: Option<Result<Frame<Bytes>, BodyError>>,
    /// The upstream has said all that it will.
    ended: bool,
    after: Afterwards,
}

/// Work that is to be done once, by whoever polls it or, where that is dropped before, in a task of its own.
pub struct Afterwards(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Afterwards {
    /// This work.
    #[must_use]
    pub fn of(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }

    /// Does it; ready when it is done.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(work) = &mut self.0 {
            ready!(work.as_mut().poll(context));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

impl fmt::Debug for Afterwards {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Afterwards").field("done", &self.0.is_none()).finish()
    }
}

impl Followed {
    pub(super) fn new(body: AnswerBody, after: Afterwards) -> Self {
        Self { body, held: None, ended: false, after }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.ended {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) if !self.body.is_end_stream() => return Poll::Ready(Some(Ok(frame))),
                last => self.held = last,
            }
            self.ended = true;
        }
        ready!(self.after.poll(context));
        Poll::Ready(self.held.take())
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.ended && self.after.0.is_none() && self.held.is_none()
    }

    /// Asked before the first piece is sent.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Followed").field("ended", &self.ended).finish_non_exhaustive()
    }
}
