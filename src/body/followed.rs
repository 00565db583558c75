//! A passed body after which something is to be done before the client sees its end.

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
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Followed {
    pub(super) fn new(body: AnswerBody, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { body, held: None, ended: false, work: Some(Box::pin(work)) }
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
        if let Some(work) = &mut self.work {
            ready!(work.as_mut().poll(context));
            self.work = None;
        }
        Poll::Ready(self.held.take())
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.ended && self.work.is_none() && self.held.is_none()
    }

    /// Asked before the first piece is sent.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.work.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Followed").field("ended", &self.ended).finish_non_exhaustive()
    }
}
