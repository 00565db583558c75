//! Plain requests, a GET without a body each, and their answers as bytes: what passes them on unread by hyper on either
//! side. The deadlines and the one retry are those of all requests.

mod buffer;
mod framing;
mod head;

use std::{
    fmt,
    future::{Future as _, poll_fn},
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf},
    sync::OwnedSemaphorePermit,
    time::Sleep,
};

pub use self::head::AnswerHead;
use self::{
    buffer::Buffer,
    framing::Framing,
    head::{Begins, Follows},
};
use super::{
    Upstream, UpstreamError, body::BodyError, broken::Broken, connect::Offer, http2::Http2, line::Line,
    pool::Pool,
};
use crate::deadline::{Deadline, Elapsed};

/// An answer whose head has come, and what was made of that.
#[derive(Debug)]
pub struct PlainAnswer<H> {
    /// What it is.
    pub status: StatusCode,
    /// What was made of its head.
    pub head: H,
    /// Still to come.
    pub body: PlainBody,
}

impl Upstream {
    /// Whether plain requests can be [asked](Self::ask): where the upstream speaks HTTP/1, as far as is known.
    #[must_use]
    pub fn takes_plain(&self) -> bool {
        self.http2.as_ref().is_none_or(Http2::is_first)
    }

    /// Sends a plain request, whose head this is, and waits for the answer's head, of which `make` makes something.
    /// Dropping the wait closes the connection.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask<H>(
        &self,
        request: &[u8],
        make: impl Fn(&AnswerHead<'_>) -> H,
    ) -> Result<PlainAnswer<H>, UpstreamError> {
        let mut place = Some(self.place().await?);
        if let Some(line) = self.pool.take(Duration::MAX) {
            match self.ask_on(line, request, &make, &mut place).await {
                // It has waited for too long, perhaps; a GET may be sent again.
                Err(UpstreamError::Broken(_)) => {}
                answered => return answered,
            }
        }
        let line = Box::pin(self.dial_line()).await?;
        self.ask_on(line, request, &make, &mut place).await
    }

    /// A connection on which HTTP/1 is spoken.
    async fn dial_line(&self) -> Result<Line, UpstreamError> {
        let limit = self.limits.connect_timeout;
        match Deadline::after(limit).within(self.connector.line(Offer::First)).await {
            Ok(connected) => connected.inspect_err(|_| {
                // It speaks HTTP/2 alone by now, perhaps: whoever comes next is to offer that as well.
                self.http2.iter().for_each(Http2::forget_first);
            }),
            Err(Elapsed) => Err(UpstreamError::ConnectLate(limit)),
        }
    }

    /// Takes the place for the answer's body.
    async fn ask_on<H>(
        &self,
        mut line: Line,
        request: &[u8],
        make: &impl Fn(&AnswerHead<'_>) -> H,
        place: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<PlainAnswer<H>, UpstreamError> {
        let limit = self.limits.head_timeout;
        let answer = async {
            line.write_all(request).await.map_err(Broken::Stream)?;
            line.flush().await.map_err(Broken::Stream)?;
            head_on(&mut line, make).await
        };
        let Ok(answer) = Deadline::after(limit).within(answer).await else {
            return Err(UpstreamError::Late(limit));
        };
        let (Came { follows, bytes, buffer }, head) = answer?;
        let body = PlainBody {
            line: Some(line),
            framing: follows.framing,
            stays: follows.stays,
            buffer: Some(buffer),
            data: 0..0,
            limit: self.limits.body_timeout,
            wait: None,
            pool: self.pool.clone(),
            place: place.take(),
        };
        Ok(PlainAnswer { status: follows.status, head, body: body.behind(follows.bytes, bytes) })
    }
}

/// A head, and the bytes that have come with it.
struct Came {
    follows: Follows,
    /// Of both.
    bytes: usize,
    buffer: Buffer,
}

/// Waits for an answer's head. While nothing of it has come nothing is held for it.
async fn head_on<H>(
    line: &mut Line,
    make: &impl Fn(&AnswerHead<'_>) -> H,
) -> Result<(Came, H), UpstreamError> {
    let (mut begun, mut filled) = (None, 0);
    poll_fn(|context| {
        loop {
            let mut buffer = begun.take().unwrap_or_else(Buffer::lent);
            let room = buffer.get_mut(filled..).unwrap_or_default();
            if room.is_empty() {
                return Poll::Ready(Err(Broken::HeadBytes { allowed: buffer::BYTES }.into()));
            }
            let read = poll_read(line, context, room);
            if filled > 0 && read.is_pending() {
                begun = Some(buffer);
                return Poll::Pending;
            }
            match ready!(read) {
                Ok(0) => return Poll::Ready(Err(Broken::Short.into())),
                Ok(more) => filled += more,
                Err(error) => return Poll::Ready(Err(Broken::Stream(error).into())),
            }
            match head::read(buffer.get(..filled).unwrap_or_default(), make) {
                Ok(Begins::Whole(follows, head)) => {
                    return Poll::Ready(Ok((Came { follows, bytes: filled, buffer }, head)));
                }
                Ok(Begins::Part { interim }) => {
                    // Whoever never says anything else is late at some time.
                    buffer.copy_within(interim..filled, 0);
                    filled -= interim;
                    begun = Some(buffer).filter(|_| filled > 0);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    })
    .await
}

/// Reads what there is, into this room. 0: the connection was closed.
fn poll_read(line: &mut Line, context: &mut Context<'_>, room: &mut [u8]) -> Poll<std::io::Result<usize>> {
    let mut room = ReadBuf::new(room);
    ready!(Pin::new(line).poll_read(context, &mut room))?;
    Poll::Ready(Ok(room.filled().len()))
}

/// The body of an answer to a plain request, read piece by piece: the next one comes when all of the last was
/// [consumed](Self::consume). Read to its end, its connection waits for another request; dropped before, it is closed.
pub struct PlainBody {
    /// `None` once nothing more is to come.
    line: Option<Line>,
    framing: Framing,
    /// The connection takes another request.
    stays: bool,
    /// `None` while there is nothing in it.
    buffer: Option<Buffer>,
    /// The piece.
    data: Range<usize>,
    limit: Duration,
    /// Armed while a piece is waited for.
    wait: Option<Pin<Box<Sleep>>>,
    pool: Pool,
    /// Among the requests that are on their way, until this ends.
    place: Option<OwnedSemaphorePermit>,
}

impl PlainBody {
    /// Of what was read, all behind a head of so many bytes is the body's.
    fn behind(mut self, head: usize, read: usize) -> Self {
        self.take(head..read);
        self
    }

    /// The bytes that have come and were not consumed. None: nothing has come yet, or all has.
    #[must_use]
    pub fn piece(&self) -> &[u8] {
        self.buffer.as_ref().and_then(|buffer| buffer.get(self.data.clone())).unwrap_or_default()
    }

    /// Whether nothing is to come behind the piece.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.line.is_none() && !self.framing.is_broken()
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
            && let Some(line) = &mut self.line
        {
            let mut buffer = Buffer::lent();
            let Poll::Ready(read) = poll_read(line, context, &mut buffer) else {
                let limit = self.limit;
                let wait = self.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                ready!(wait.as_mut().poll(context));
                return Poll::Ready(Err(BodyError::Idle(limit)));
            };
            self.wait = None;
            match read.map_err(|error| BodyError::Broken(error.into()))? {
                0 => {
                    self.framing.close().map_err(BodyError::Broken)?;
                    self.end(false);
                }
                read => {
                    self.buffer = Some(buffer);
                    self.take(0..read);
                }
            }
        }
        let broken = self.data.is_empty() && self.framing.is_broken();
        Poll::Ready(if broken { Err(BodyError::Broken(Broken::Chunks)) } else { Ok(()) })
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
        self.place = None;
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
