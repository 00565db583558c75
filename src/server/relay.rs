//! Passes a plain request on, and its answer back as it comes: each piece is written before the next one is read.

use std::{
    fmt::Write as _,
    future::{Future, poll_fn},
    io::IoSlice,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use http::Response;
use tokio::io::AsyncWrite as _;

use super::{
    seat::{Seat, Verdict, Visit},
    seated::{Line, Seated},
    written,
};
use crate::{
    body::{Afterwards, Body},
    forward::{Passed, Sent},
    proxy::{Passing, Uploading},
    respond::text::Text,
    upstream::{PlainBody, Upload, UpstreamError},
};

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
        Ok(answer) => drop(pass(stream, answer, None, last).await?),
        Err(answer) => written::write(stream, Text::of(answer)?, last).await?,
    }
    Some(last)
}

/// Passes an upload on and its answer back, and lets go of the visit; gives whether that was the last one. `None` where the
/// connection is at its end before both are whole.
pub(super) async fn upload<S: Line>(
    stream: &mut Seated<S>,
    (uploading, mut upload): (Uploading, Upload),
    visit: Visit,
    is_last: impl Fn() -> bool,
) -> Option<bool> {
    let answer = match send(stream, &uploading, &mut upload).await {
        Some(sent) => {
            let mut answer = pin!(uploading.answered(sent));
            poll_fn(|context| match answer.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => stream.poll_left(context).map(|()| None),
            })
            .await?
        }
        None => Err(uploading.failed().await),
    };
    if answer.is_err() {
        upload.give_up();
        // What has come already is no reason to close the connection.
        let _ = poll_fn(|context| Poll::Ready(upload.poll_rest(stream, context))).await;
    }
    // Behind what is thrown away nothing is waited for.
    let last = is_last() || upload.is_in_vain() && !upload.is_read();
    let body = match answer {
        Ok(answer) => Some(pass(stream, answer, Some(&mut upload), last).await?),
        Err(answer) => written::write(stream, Text::of(answer)?, last).await.map(|()| None)?,
    };
    drop(visit);
    if !upload.is_over() {
        finish(stream, body, &mut upload).await?;
    }
    Some(last)
}

/// Moves what is left of an upload after its answer: to the upstream as long as that takes it, else nowhere. A connection
/// that is closed with something unread takes the answer along.
async fn finish<S: Line>(
    stream: &mut Seated<S>,
    mut body: Option<PlainBody>,
    upload: &mut Upload,
) -> Option<()> {
    let seat = Arc::clone(stream.seat());
    poll_fn(|context| {
        if is_ended(&seat, context) {
            return Poll::Ready(None);
        }
        let moved = match &mut body {
            Some(body) => body.poll_upload(upload, stream, context),
            None => upload.poll_rest(stream, context),
        };
        moved.map(Result::ok)
    })
    .await
}

/// Whether the door ends the connection; whoever polls this hears of that.
fn is_ended(seat: &Seat, context: &Context<'_>) -> bool {
    seat.register(context.waker());
    seat.verdict() == Verdict::End
}

/// Sends an upload; `None` where that has panicked.
async fn send<S: Line>(
    stream: &mut Seated<S>,
    uploading: &Uploading,
    upload: &mut Upload,
) -> Option<Result<Sent, UpstreamError>> {
    let seat = Arc::clone(stream.seat());
    let mut sending = pin!(uploading.send(upload, stream));
    poll_fn(|context| {
        // While it is the upstream that is waited for nobody else would hear of it.
        if is_ended(&seat, context) {
            return Poll::Ready(Some(Err(UpstreamError::ClientBroken)));
        }
        match catch_unwind(AssertUnwindSafe(|| sending.as_mut().poll(context))) {
            Ok(sent) => sent.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
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

/// Writes an answer, and moves the rest of its request meanwhile; gives its body, read to the end, for what is still to be
/// sent there. `None` where the connection is at its end before it is whole.
async fn pass<S: Line>(
    stream: &mut Seated<S>,
    answer: Passed,
    upload: Option<&mut Upload>,
    last: bool,
) -> Option<PlainBody> {
    let Passed { mut head, in_chunks, body, after } = answer;
    head.put_slice(if last { b"connection: close\r\n\r\n" } else { b"\r\n" });
    let mut answer = Answer {
        before: head,
        body,
        behind: &[],
        in_chunks,
        is_framed: false,
        moved: 0,
        gone: false,
        after,
        upload: upload.filter(|upload| !upload.is_over()),
    };
    // The head does not wait for a piece.
    answer.frame();
    poll_fn(|context| answer.poll(stream, context)).await.ok()?;
    Some(answer.body)
}

/// What is still to be written.
struct Answer<'u> {
    before: BytesMut,
    body: PlainBody,
    behind: &'static [u8],
    in_chunks: bool,
    /// What stands around the present piece is there.
    is_framed: bool,
    /// Since others had their turn.
    moved: usize,
    /// There will be no next piece.
    gone: bool,
    /// Before its client hears of the end.
    after: Option<Afterwards>,
    /// The rest of its request.
    upload: Option<&'u mut Upload>,
}

/// The client has left, or the upstream has broken off.
struct Gone;

impl Answer<'_> {
    fn poll<S: Line>(&mut self, stream: &mut Seated<S>, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if let Poll::Ready(Err(_)) = self.poll_upload(stream, context) {
            (self.gone, self.is_framed) = (true, false);
        }
        loop {
            if !self.is_framed {
                self.gone = self.gone || ready!(self.poll_piece(stream, context)).is_err();
                if self.gone || self.body.has_ended() {
                    ready!(self.poll_after(context));
                }
                if self.gone {
                    return Poll::Ready(Err(Gone));
                }
                self.frame();
            }
            ready!(self.poll_write(stream, context))?;
            if self.body.has_ended() {
                // An upload beside it goes on while its client takes the end.
                return if S::BUFFERS { self.poll_flush(stream, context) } else { Poll::Ready(Ok(())) };
            }
            self.is_framed = false;
        }
    }

    /// Moves the rest of its request, if there is one; ready when that is over.
    fn poll_upload<S: Line>(
        &mut self,
        stream: &mut Seated<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        if let Some(upload) = self.upload.as_deref_mut() {
            ready!(self.body.poll_upload(upload, stream, context)).map_err(|_| Gone)?;
            self.upload = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush<S: Line>(
        &self,
        stream: &mut Seated<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        Pin::new(stream).poll_flush(context).map_err(|_| Gone)
    }

    fn poll_after(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.after.as_mut().map_or(Poll::Ready(()), |after| after.poll(context))
    }

    /// Ready where the client leaves; one that is sending is heard of by that.
    fn poll_left<S: Line>(&self, stream: &mut Seated<S>, context: &mut Context<'_>) -> Poll<()> {
        match self.upload {
            Some(_) if is_ended(stream.seat(), context) => Poll::Ready(()),
            Some(_) => Poll::Pending,
            None => stream.poll_left(context),
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
            return self.poll_left(stream, context).map(|()| Err(Gone));
        }
        if let Poll::Ready(piece) = self.body.poll_piece(context) {
            return Poll::Ready(piece.map_err(|_| Gone));
        }
        self.moved = 0;
        // What was taken of the last piece may wait there still, and nobody else sends it on its way.
        if S::BUFFERS && matches!(self.poll_flush(stream, context), Poll::Ready(Err(_))) {
            return Poll::Ready(Err(Gone));
        }
        self.poll_left(stream, context).map(|()| Err(Gone))
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
