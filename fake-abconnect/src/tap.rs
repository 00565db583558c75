//! The connection under hyper: passes bytes on and notes the heads as they were spelled.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::head::Framer;
use crate::locks::lock;

/// What is known of a connection beside its stream.
#[derive(Debug, Default)]
pub(crate) struct Line {
    state: Mutex<State>,
    upgraded: AtomicBool,
    resets: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    heads: VecDeque<Vec<u8>>,
    flushes: u64,
    awaiting_flush: Option<Waker>,
}

impl Line {
    /// The bytes of the oldest head that was not taken yet.
    pub(crate) fn take_head(&self) -> Vec<u8> {
        lock(&self.state).heads.pop_front().unwrap_or_default()
    }

    /// How often everything written so far had gone to the socket.
    pub(crate) fn flushes(&self) -> u64 {
        lock(&self.state).flushes
    }

    /// Ready once there were more than `before` flushes.
    pub(crate) fn poll_flushed(&self, before: u64, context: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.flushes > before {
            return Poll::Ready(());
        }
        state.awaiting_flush = Some(context.waker().clone());
        Poll::Pending
    }

    /// From here on the stream is not HTTP.
    pub(crate) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// When it ends, the connection is reset, not closed.
    pub(crate) fn reset(&self) {
        self.resets.store(true, Ordering::Relaxed);
    }

    fn flushed(&self) {
        let mut state = lock(&self.state);
        state.flushes += 1;
        if let Some(waker) = state.awaiting_flush.take() {
            waker.wake();
        }
    }
}

/// A stream that reads along.
pub(crate) struct Tap {
    stream: TcpStream,
    framer: Framer,
    line: Arc<Line>,
}

impl Tap {
    pub(crate) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self { stream, framer: Framer::new(), line }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if self.line.resets.load(Ordering::Relaxed) {
            // Should it fail, the connection is closed and not reset, and there is nobody to tell.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if read.is_ready() && !this.line.upgraded.load(Ordering::Relaxed) {
            let bytes = buf.filled().get(before..).unwrap_or_default();
            this.framer.feed(bytes, |head| lock(&this.line.state).heads.push_back(head));
        }
        read
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            this.line.flushed();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.line.resets.load(Ordering::Relaxed) {
            // A proper end is just what must not be sent.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
