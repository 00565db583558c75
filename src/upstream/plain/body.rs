//! The body of an answer to a plain request.

use std::{
    fmt,
    ops::Range,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{io::AsyncRead, sync::OwnedSemaphorePermit};

use super::{
    super::{UpstreamError, body::BodyError, broken::Broken, line::Line, pool::Pool},
    buffer::Buffer,
    coming::Came,
    framing::Framing,
    poll_read,
    upload::{Stopped, Upload},
};
use crate::deadline::{Pace, Patience};

/// The body of an answer to a plain request, read piece by piece: the next one comes when all of the last was
/// [consumed](Self::consume). Read to its end, its connection waits for another request where it takes one; dropped before,
/// it is closed.
pub struct PlainBody {
    /// `None` once nobody needs it any more.
    line: Option<Line>,
    framing: Framing,
    /// Nothing more is to come.
    ended: bool,
    /// The connection takes another request.
    stays: bool,
    /// Something of the request may still be to be sent.
    uploading: bool,
    /// `None` while there is nothing in it.
    buffer: Option<Buffer>,
    /// The piece.
    data: Range<usize>,
    patience: Patience,
    pool: Pool,
    /// Among the requests that are on their way, until this ends.
    place: Option<OwnedSemaphorePermit>,
}

impl PlainBody {
    /// Behind the head that came on this connection. It must not pause for longer than `limit`. `early`: not all of the request
    /// had been sent. Who answers then may take what follows for another request, so the connection carries none.
    pub(super) fn of(
        came: Came,
        early: bool,
        line: Line,
        limit: Duration,
        pool: Pool,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let Came { follows, bytes, buffer } = came;
        let mut body = Self {
            line: Some(line),
            framing: follows.framing,
            ended: false,
            stays: follows.stays && !early,
            uploading: early,
            buffer: Some(buffer),
            data: 0..0,
            patience: Patience::new(limit, Pace::of(0)),
            pool,
            place,
        };
        body.take(follows.bytes..bytes);
        body
    }

    /// The bytes that have come and were not consumed. None: nothing has come yet, or all has.
    #[must_use]
    pub fn piece(&self) -> &[u8] {
        self.buffer.as_ref().and_then(|buffer| buffer.get(self.data.clone())).unwrap_or_default()
    }

    /// Whether nothing is to come behind the piece.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended && !self.framing.is_broken()
    }

    /// So many bytes of the piece are done with.
    pub fn consume(&mut self, bytes: usize) {
        self.data.start = self.data.end.min(self.data.start + bytes);
        if self.data.is_empty() {
            self.buffer = None;
        }
    }

    /// Waits for the next piece, or the end, where the last piece was consumed.
    ///
    /// # Errors
    /// Why the body is not whole.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while self.data.is_empty()
            && !self.ended
            && let Some(line) = &mut self.line
        {
            let mut buffer = Buffer::lent();
            let Poll::Ready(read) = poll_read(line, context, &mut buffer) else {
                return self.patience.poll_spent(context).map(|spent| Err(spent.into()));
            };
            let read = read.map_err(|error| BodyError::Broken(error.into()))?;
            self.patience.moved(read as u64);
            if read == 0 {
                self.framing.close().map_err(BodyError::Broken)?;
                self.end(false);
            } else {
                self.buffer = Some(buffer);
                self.take(0..read);
            }
        }
        let broken = self.data.is_empty() && self.framing.is_broken();
        Poll::Ready(if broken { Err(BodyError::Broken(Broken::Chunks)) } else { Ok(()) })
    }

    /// Moves what is still to be sent of the request, whose answer has begun early; ready when that is over. What the
    /// upstream does not take any more is thrown away.
    ///
    /// # Errors
    /// [`UpstreamError::ClientLate`] and [`UpstreamError::ClientBroken`].
    pub fn poll_upload(
        &mut self,
        upload: &mut Upload,
        client: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<Result<(), UpstreamError>> {
        let stopped = match &mut self.line {
            Some(line) if !upload.is_in_vain() => ready!(upload.poll(client, line, context)).err(),
            _ => {
                upload.give_up();
                None
            }
        };
        match stopped {
            Some(Stopped::Client(error)) => return Poll::Ready(Err(error)),
            Some(Stopped::Upstream(_)) => upload.give_up(),
            None => {}
        }
        if upload.is_in_vain() {
            self.let_go();
            ready!(upload.poll_rest(client, context))?;
        }
        self.let_go();
        Poll::Ready(Ok(()))
    }

    /// Nothing of the request is to be sent any more.
    fn let_go(&mut self) {
        self.uploading = false;
        if self.ended {
            self.line = None;
        }
    }

    /// These bytes of the buffer have come.
    fn take(&mut self, read: Range<usize>) {
        let bytes = self.buffer.as_deref_mut().and_then(|buffer| buffer.get_mut(read.clone()));
        let (data, taken) = self.framing.take(bytes.unwrap_or_default());
        self.data = read.start + data.start..read.start + data.end;
        if self.data.is_empty() {
            self.buffer = None;
        }
        if self.framing.is_broken() {
            self.end(false);
        } else if self.framing.has_ended() {
            // What comes behind it answers nothing that was asked.
            self.end(taken == read.len());
        }
    }

    /// Nothing more is to come; its connection goes on if it is `clean`.
    fn end(&mut self, clean: bool) {
        self.ended = true;
        self.place = None;
        if self.uploading {
            return;
        }
        if let Some(line) = self.line.take().filter(|_| clean && self.stays) {
            self.pool.put(line);
        }
    }
}

impl fmt::Debug for PlainBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PlainBody").field("framing", &self.framing).finish_non_exhaustive()
    }
}
