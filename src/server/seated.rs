//! A client's stream that tells the door what goes on in it, and ends when the door says so.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    heads::Heads,
    seat::{Seat, Verdict},
    seats::Held,
};

/// Reads and writes fail with [`io::ErrorKind::TimedOut`] once its connection is to end. It gives its seat back when
/// dropped, as late as at the end of a tunnel.
pub(super) struct Seated {
    inner: TcpStream,
    heads: Heads,
    held: Held,
}

impl Drop for Seated {
    fn drop(&mut self) {
        // What a client does not take would be kept for it by the system, megabytes for as long as it likes. A socket
        // that refuses is closed as usual.
        if self.seat().is_ended_amid_a_write() {
            let _ = self.inner.set_zero_linger();
        }
    }
}

impl Seated {
    pub(super) fn new(inner: TcpStream, held: Held) -> Self {
        Self { inner, heads: Heads::default(), held }
    }

    pub(super) fn seat(&self) -> &Arc<Seat> {
        &self.held.seat
    }

    fn hear(&mut self, piece: &[u8]) {
        if piece.is_empty() || self.seat().is_tunnel() {
            return;
        }
        if let Some(place) = self.heads.follow(piece) {
            self.seat().note_ambiguous(place);
        }
        if self.heads.are_in_head() {
            self.seat().heard_head();
        }
    }

    /// Fails where the connection is to end; else whoever works on it hears of that.
    fn stay(&self, context: &Context<'_>) -> io::Result<()> {
        self.seat().register(context.waker());
        if self.seat().verdict() == Verdict::End { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// Notes how a write went.
    fn noted<T>(
        &self,
        outcome: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> Option<usize>,
        context: &Context<'_>,
    ) -> Poll<io::Result<T>> {
        match &outcome {
            Poll::Ready(Ok(written)) => bytes(written).into_iter().for_each(|bytes| self.seat().wrote(bytes)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                self.seat().write_waits();
                self.stay(context)?;
            }
        }
        outcome
    }
}

impl AsyncRead for Seated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        match read {
            Poll::Ready(Ok(())) => self.hear(buffer.filled().get(before..).unwrap_or_default()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.stay(context)?,
        }
        read
    }
}

impl AsyncWrite for Seated {
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
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
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
