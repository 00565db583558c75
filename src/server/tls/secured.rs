//! A client's stream within TLS, and the socket below it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::HandshakeKind;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::super::{
    seat::Seat,
    seated::{Line, noted},
};

/// What is read and written within a session of TLS.
pub(in super::super) struct Secured(Box<TlsStream<Watched>>);

impl Secured {
    pub(super) fn new(stream: TlsStream<Watched>) -> Self {
        Self(Box::new(stream))
    }

    /// Whether the client has brought a ticket of an earlier session.
    pub(super) fn is_resumed(&self) -> bool {
        self.0.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TlsStream<Watched>> {
        Pin::new(&mut *self.get_mut().0)
    }
}

impl Line for Secured {
    const BUFFERS: bool = true;

    fn poll_something(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (watched, session) = self.0.get_mut();
        // More may have come than was asked for, of which the socket knows nothing any more.
        match session.reader().into_first_chunk() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                watched.0.poll_read_ready(context).map(drop)
            }
            _ => Poll::Ready(()),
        }
    }

    fn reset(&self) {
        let _ = self.0.get_ref().0.0.set_zero_linger();
    }

    fn end(&mut self) {
        let (watched, session) = self.0.get_mut();
        session.send_close_notify();
        // Where there is no room for it the client hears of the end by the socket alone.
        let _ = session.write_tls(&mut AtOnce(&watched.0));
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

/// A socket that tells its seat how writes go: above it, what was written may only have been taken into a buffer.
pub(super) struct Watched(TcpStream, Arc<Seat>);

impl Watched {
    pub(super) fn new(stream: TcpStream, seat: Arc<Seat>) -> Self {
        Self(stream, seat)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(context, bytes);
        noted(&self.1, written, |bytes| Some(*bytes), context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write_vectored(context, pieces);
        noted(&self.1, written, |bytes| Some(*bytes), context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Writes what the system takes at once.
struct AtOnce<'s>(&'s TcpStream);

impl io::Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
