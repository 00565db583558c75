//! An answer whose head is waited for.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use super::{
    super::{UpstreamError, broken::Broken, line::Line},
    buffer::{self, Buffer},
    head::{self, AnswerHead, Begins, Follows},
    poll_read,
};

/// What has come of it. While that is nothing, nothing is held for it.
#[derive(Debug, Default)]
pub(super) struct Coming {
    begun: Option<Buffer>,
    filled: usize,
}

/// A head, and the bytes that have come with it.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) follows: Follows,
    /// Of both.
    pub(super) bytes: usize,
    pub(super) buffer: Buffer,
}

impl Coming {
    /// Waits for the head, of which `make` makes something.
    pub(super) async fn head<H>(
        &mut self,
        line: &mut Line,
        make: &impl Fn(&AnswerHead<'_>) -> H,
    ) -> Result<(Came, H), UpstreamError> {
        poll_fn(|context| self.poll_head(line, make, context)).await
    }

    pub(super) fn poll_head<H>(
        &mut self,
        line: &mut Line,
        make: &impl Fn(&AnswerHead<'_>) -> H,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Came, H), UpstreamError>> {
        loop {
            let mut buffer = self.begun.take().unwrap_or_else(Buffer::lent);
            let room = buffer.get_mut(self.filled..).unwrap_or_default();
            if room.is_empty() {
                return Poll::Ready(Err(Broken::HeadBytes { allowed: buffer::BYTES }.into()));
            }
            let read = poll_read(line, context, room);
            if self.filled > 0 && read.is_pending() {
                self.begun = Some(buffer);
                return Poll::Pending;
            }
            match ready!(read) {
                Ok(0) => return Poll::Ready(Err(Broken::Short.into())),
                Ok(more) => self.filled += more,
                Err(error) => return Poll::Ready(Err(Broken::Stream(error).into())),
            }
            match head::read(buffer.get(..self.filled).unwrap_or_default(), make)? {
                Begins::Whole(follows, head) => {
                    return Poll::Ready(Ok((Came { follows, bytes: self.filled, buffer }, head)));
                }
                Begins::Part { interim } => {
                    // Whoever never says anything else is late at some time.
                    buffer.copy_within(interim..self.filled, 0);
                    self.filled -= interim;
                    self.begun = Some(buffer).filter(|_| self.filled > 0);
                }
            }
        }
    }
}
