//! Passes the answer to a plain request on as it comes: each piece is written before the next one is read.

use std::{
    fmt::Write as _,
    future::{Future, poll_fn},
    io::IoSlice,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use http::Response;
use tokio::io::AsyncWrite as _;

use super::{
    seated::{Line, Seated},
    written,
};
use crate::{body::Body, forward::Passed, proxy::Passing, upstream::PlainBody};

/// After so much others have their turn, however much there is.
const TURN_BYTES: usize = 512 * 1024;
/// Pieces that are written at once: what is before a piece, it, and what is behind it.
const PIECES: usize = 3;

/// Passes a request on and its answer back; gives whether that was the last one. `None` where the connection is at its end
/// before the answer is whole.
pub(super) async fn relay<S: Line>(
    stream: &mut Seated<S>,
    passing: Passing,
    is_last: impl Fn() -> bool,
) -> Option<bool> {
    let answer = ask(stream, &passing).await?;
    let last = is_last();
    match answer {
        Ok(answer) => pass(stream, answer, last).await?,
        Err(answer) => written::write(stream, answer, last).await?,
    }
    Some(last)
}

/// Asks the upstream. `None` where the client leaves meanwhile, or the door ends its connection.
async fn ask<S: Line>(stream: &mut Seated<S>, passing: &Passing) -> Option<Result<Passed, Response<Body>>> {
    let mut asking = pin!(passing.pass());
    poll_fn(|context| {
        let Ok(answer) = catch_unwind(AssertUnwindSafe(|| asking.as_mut().poll(context))) else {
            return Poll::Ready(Some(Err(passing.failed())));
        };
        match answer {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => stream.poll_left(context).map(|()| None),
        }
    })
    .await
}

/// Writes an answer; `None` where the connection is at its end before it is whole.
async fn pass<S: Line>(stream: &mut Seated<S>, answer: Passed, last: bool) -> Option<()> {
    let Passed { mut head, in_chunks, body } = answer;
    head.put_slice(if last { b"connection: close\r\n\r\n" } else { b"\r\n" });
    let mut answer = Answer { before: head, body, behind: &[], in_chunks, is_framed: false, moved: 0 };
    // The head does not wait for a piece.
    answer.frame();
    poll_fn(|context| answer.poll(stream, context)).await.ok()?;
    stream.sent().await.ok()
}

/// What is still to be written.
struct Answer {
    before: BytesMut,
    body: PlainBody,
    behind: &'static [u8],
    in_chunks: bool,
    /// What stands around the present piece is there.
    is_framed: bool,
    /// Since others had their turn.
    moved: usize,
}

/// The client has left, or the upstream has broken off.
struct Gone;

impl Answer {
    fn poll<S: Line>(&mut self, stream: &mut Seated<S>, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        loop {
            if !self.is_framed {
                ready!(self.poll_piece(stream, context))?;
                self.frame();
            }
            ready!(self.poll_write(stream, context))?;
            if self.body.has_ended() {
                return Poll::Ready(Ok(()));
            }
            self.is_framed = false;
        }
    }

    /// Waits for the next piece, or the end.
    fn poll_piece<S: Line>(
        &mut self,
        stream: &mut Seated<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        if self.moved >= TURN_BYTES {
            self.moved = 0;
            context.waker().wake_by_ref();
            return stream.poll_left(context).map(|()| Err(Gone));
        }
        if let Poll::Ready(piece) = self.body.poll_piece(context) {
            return Poll::Ready(piece.map_err(|_| Gone));
        }
        self.moved = 0;
        // What was taken of the last piece may wait there still, and nobody else sends it on its way.
        if S::BUFFERS && matches!(Pin::new(&mut *stream).poll_flush(context), Poll::Ready(Err(_))) {
            return Poll::Ready(Err(Gone));
        }
        stream.poll_left(context).map(|()| Err(Gone))
    }

    /// Says what stands before and behind the present piece.
    fn frame(&mut self) {
        let bytes = self.body.piece().len();
        self.moved += bytes;
        self.is_framed = true;
        if !self.in_chunks {
            return;
        }
        if bytes > 0 {
            // What is written into memory does not fail.
            let _ = write!(self.before, "{bytes:x}\r\n");
        }
        self.behind = match (bytes > 0, self.body.has_ended()) {
            (true, false) => b"\r\n",
            (true, true) => b"\r\n0\r\n\r\n",
            (false, true) => b"0\r\n\r\n",
            (false, false) => b"",
        };
    }

    /// Writes all that is there.
    fn poll_write<S: Line>(
        &mut self,
        stream: &mut Seated<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        loop {
            let mut room = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            for piece in [&*self.before, self.body.piece(), self.behind] {
                if let (false, Some(slot)) = (piece.is_empty(), room.get_mut(count)) {
                    *slot = IoSlice::new(piece);
                    count += 1;
                }
            }
            let pieces = room.get(..count).unwrap_or_default();
            let stream = Pin::new(&mut *stream);
            let written = ready!(match pieces {
                [] => return Poll::Ready(Ok(())),
                [piece] => stream.poll_write(context, piece),
                pieces => stream.poll_write_vectored(context, pieces),
            });
            match written {
                Ok(bytes) if bytes > 0 => self.wrote(bytes),
                _ => return Poll::Ready(Err(Gone)),
            }
        }
    }

    fn wrote(&mut self, mut bytes: usize) {
        let before = bytes.min(self.before.len());
        self.before.advance(before);
        bytes -= before;
        let piece = bytes.min(self.body.piece().len());
        self.body.consume(piece);
        bytes -= piece;
        self.behind = self.behind.get(bytes..).unwrap_or_default();
    }
}
