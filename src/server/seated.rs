//! A client's stream that tells the door what goes on in it, and ends when the door says so.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::io::poll_read_buf;

use super::{
    heads::Heads,
    seat::{Seat, Verdict},
    seats::Held,
};

/// What begins a connection of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Enough for most heads, so that they are read at once.
const AHEAD_BYTES: usize = 4096;
/// Head and body of a small answer are copied together: that costs less than telling the system of two pieces.
const JOINED_BYTES: usize = 8192;

thread_local! {
    static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Room for what is read ahead, between two who read.
    static SPARE: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// What a client is spoken with on: a socket, or a session on one.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// What it has taken may not be on its way before it is flushed; it tells the seat itself how that goes.
    const BUFFERS: bool;

    /// Waits until there may be something to be read; an error shows when it is.
    fn poll_something(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// When it is closed, what waits in the system is thrown away.
    fn reset(&self);

    /// Says that nothing more comes, as far as that can be said without waiting.
    fn end(&mut self);
}

impl Line for TcpStream {
    const BUFFERS: bool = false;

    fn poll_something(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_read_ready(context).map(drop)
    }

    fn reset(&self) {
        // A socket that refuses is closed as usual.
        let _ = self.set_zero_linger();
    }

    // To close it says so.
    fn end(&mut self) {}
}

/// Reads and writes fail with [`io::ErrorKind::TimedOut`] once its connection is to end. It gives its seat back when
/// dropped, as late as at the end of a tunnel.
pub(super) struct Seated<S: Line> {
    inner: S,
    /// Read to see what is spoken, and still to be given to who speaks it.
    ahead: BytesMut,
    /// So many bytes of it have been followed already.
    followed: usize,
    heads: Heads,
    held: Held,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    Http1,
    Http2,
}

impl<S: Line> Drop for Seated<S> {
    fn drop(&mut self) {
        // What a client does not take would be kept for it by the system, megabytes for as long as it likes.
        if self.seat().is_ended_amid_a_write() {
            self.inner.reset();
        }
    }
}

impl<S: Line> Seated<S> {
    pub(super) fn new(inner: S, held: Held) -> Self {
        Self { inner, ahead: BytesMut::new(), followed: 0, heads: Heads::default(), held }
    }

    pub(super) fn seat(&self) -> &Arc<Seat> {
        &self.held.seat
    }

    /// What was read and not given yet.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Gives back what was taken and not understood yet.
    pub(super) fn give_back(&mut self, bytes: &[u8]) {
        // Empty lines before a request say nothing (RFC 9112 section 2.2), and keep no connection from being parked.
        if bytes.iter().any(|byte| !b"\r\n".contains(byte)) {
            self.ahead = [bytes, &self.ahead].concat().as_slice().into();
            self.followed += bytes.len();
        }
    }

    /// Takes these many bytes off it, which are one whole head that has been understood; whether a body is behind it.
    pub(super) fn take_head(&mut self, bytes: usize, has_body: bool) {
        if !has_body && self.followed == 0 && self.heads.are_between() {
            self.heads.pass_over();
        } else {
            self.follow_ahead(bytes);
            self.seat().forget_spelling();
        }
        self.take_ahead(bytes);
    }

    /// Takes these many bytes off it, and frees its room after the last of it.
    fn take_ahead(&mut self, bytes: usize) {
        self.followed = self.followed.saturating_sub(bytes);
        self.ahead.advance(bytes.min(self.ahead.len()));
        self.spare_room();
    }

    /// Leaves the room of what was read ahead to others, where there is nothing in it. Room for more than most heads is
    /// freed.
    fn spare_room(&mut self) {
        if self.ahead.is_empty() {
            let mut room = std::mem::take(&mut self.ahead);
            if room.try_reclaim(AHEAD_BYTES) && room.capacity() < 2 * AHEAD_BYTES {
                SPARE.set(Some(room));
            }
        }
    }

    /// Follows what of the first so many bytes has not been followed yet.
    fn follow_ahead(&mut self, bytes: usize) {
        let ahead = std::mem::take(&mut self.ahead);
        self.follow(ahead.get(self.followed..bytes).unwrap_or_default());
        self.followed = self.followed.max(bytes);
        self.ahead = ahead;
    }

    /// Waits for the first bytes; `None` where the client, or the door, ends it before they tell anything.
    pub(super) fn poll_begin(&mut self, context: &mut Context<'_>) -> Poll<Option<Begins>> {
        loop {
            if ready!(self.poll_read_ahead(context)).is_none() {
                return Poll::Ready(None);
            }
            let known = self.ahead.len().min(PREFACE.len());
            if self.ahead.get(..known) != PREFACE.get(..known) {
                return Poll::Ready(Some(Begins::Http1));
            }
            if known == PREFACE.len() {
                return Poll::Ready(Some(Begins::Http2));
            }
            // While it may be either it is a head that has begun.
            self.follow_ahead(known);
        }
    }

    /// Waits for more to read ahead; `None` where the client, or the door, ends it before it comes. There is no buffer
    /// while there is nothing in it.
    pub(super) fn poll_read_ahead(&mut self, context: &mut Context<'_>) -> Poll<Option<()>> {
        if ready!(self.poll_something(context)).is_none() {
            return Poll::Ready(None);
        }
        let read = self.poll_fill(context);
        if read.is_pending() && self.seat().is_to_leave() {
            return Poll::Ready(None);
        }
        read.map(|read| read.ok().filter(|bytes| *bytes > 0).map(drop))
    }

    /// Waits until there is something to be read; `None` where the door ends it before that has come.
    pub(super) fn poll_something(&mut self, context: &mut Context<'_>) -> Poll<Option<()>> {
        self.seat().register(context.waker());
        let ready = self.inner.poll_something(context);
        // What has come by then is answered still.
        if self.seat().verdict() == Verdict::End || ready.is_pending() && self.seat().is_to_leave() {
            return Poll::Ready(None);
        }
        ready!(ready);
        self.seat().resume();
        Poll::Ready(Some(()))
    }

    /// While a request is answered: waits until its client leaves, or the door ends the connection. What comes meanwhile is
    /// read ahead, and then nobody is waited for.
    pub(super) fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if stay(self.seat(), context).is_err() {
            return Poll::Ready(());
        }
        if !self.ahead.is_empty() || self.inner.poll_something(context).is_pending() {
            return Poll::Pending;
        }
        match self.poll_fill(context) {
            Poll::Ready(Ok(1..)) | Poll::Pending => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(()),
        }
    }

    /// Reads ahead what there is; 0: the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ahead.is_empty() {
            self.ahead = SPARE.take().unwrap_or_default();
        }
        self.ahead.reserve(AHEAD_BYTES);
        let read = poll_read_buf(Pin::new(&mut self.inner), context, &mut self.ahead);
        self.spare_room();
        read
    }

    fn follow(&mut self, piece: &[u8]) {
        if piece.is_empty() || self.seat().is_tunnel() {
            return;
        }
        if let Some(place) = self.heads.follow(piece) {
            self.seat().note_ambiguous(place);
        }
        for (place, spelling) in self.heads.take_spelled() {
            self.seat().note_spelling(place, spelling);
        }
        self.seat().note_amid(!self.heads.are_between());
        if self.heads.are_in_head() {
            self.seat().heard_head();
        }
    }

    /// Notes how a write went, where the line does not.
    fn noted<T>(
        &self,
        outcome: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> Option<usize>,
        context: &Context<'_>,
    ) -> Poll<io::Result<T>> {
        if S::BUFFERS { outcome } else { noted(self.seat(), outcome, bytes, context) }
    }

    /// Says that the connection is at its end, before it is closed. Not after an answer without a length that was cut short:
    /// it would be taken for whole.
    pub(super) fn end(&mut self) {
        self.inner.end();
    }

    /// Waits until what was written is on its way.
    pub(super) async fn sent(&mut self) -> io::Result<()> {
        if S::BUFFERS {
            poll_fn(|context| Pin::new(&mut self.inner).poll_flush(context)).await
        } else {
            Ok(())
        }
    }

    /// Gives what was read ahead.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let piece = self.ahead.len().min(buffer.remaining());
        self.follow_ahead(piece);
        buffer.put_slice(self.ahead.get(..piece).unwrap_or_default());
        self.take_ahead(piece);
    }
}

/// Fails where the connection is to end; else whoever works on it hears of that.
fn stay(seat: &Seat, context: &Context<'_>) -> io::Result<()> {
    seat.register(context.waker());
    if seat.verdict() == Verdict::End { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
}

/// Notes how a write went.
pub(super) fn noted<T>(
    seat: &Seat,
    outcome: Poll<io::Result<T>>,
    bytes: impl Fn(&T) -> Option<usize>,
    context: &Context<'_>,
) -> Poll<io::Result<T>> {
    match &outcome {
        Poll::Ready(Ok(written)) => bytes(written).into_iter().for_each(|bytes| seat.wrote(bytes)),
        Poll::Ready(Err(_)) => {}
        Poll::Pending => {
            seat.write_waits();
            stay(seat, context)?;
        }
    }
    outcome
}

impl<S: Line> AsyncRead for Seated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            self.give(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        match read {
            Poll::Ready(Ok(())) => self.follow(buffer.filled().get(before..).unwrap_or_default()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => stay(self.seat(), context)?,
        }
        read
    }
}

impl<S: Line> AsyncWrite for Seated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.noted(written, |bytes| Some(*bytes), context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        let written = if bytes <= JOINED_BYTES {
            JOINED.with_borrow_mut(|joined| {
                joined.clear();
                pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
                Pin::new(&mut self.inner).poll_write(context, joined)
            })
        } else {
            Pin::new(&mut self.inner).poll_write_vectored(context, pieces)
        };
        self.noted(written, |bytes| Some(*bytes), context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        // A socket has nothing to flush: that it says so moves nothing.
        self.noted(flushed, |()| None, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(context);
        self.noted(shut, |()| None, context)
    }
}
