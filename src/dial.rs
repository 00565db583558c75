//! How connections are opened: by the system's TCP, or by whatever stands in its place, so that a whole proxy can be
//! run in memory. Knows no protocol and no deadline; the caller has both.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What stands in the place of the system's TCP.
pub trait Dial: Send + Sync {
    /// A connection to this host and port. Dropping the wait gives it up.
    fn dial(&self, host: &str, port: u16) -> Dialling;
}

/// A connection that is being opened.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Box<dyn Wire>>> + Send>>;

/// Bytes both ways, in order.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<W: AsyncRead + AsyncWrite + Send + Unpin> Wire for W {}

/// Opens connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Dialler(Option<Arc<dyn Dial>>);

impl Dialler {
    /// The system's TCP.
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// Anything else.
    pub fn of(dial: impl Dial + 'static) -> Self {
        Self(Some(Arc::new(dial)))
    }

    /// What stands in the place of the system's TCP, if anything does: for a client that opens its connections itself.
    #[must_use]
    pub fn replacement(&self) -> Option<&dyn Dial> {
        self.0.as_deref()
    }

    /// A connection, over TCP without delay; a name is resolved each time. Dropping the wait gives it up.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        match &self.0 {
            None => {
                let stream = TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Some(dial) => dial.dial(host, port).await.map(Stream::Other),
        }
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_none() { "Dialler(system)" } else { "Dialler(other)" })
    }
}

/// An open connection.
pub enum Stream {
    /// Of the system.
    Tcp(TcpStream),
    /// Of whatever stands in its place.
    Other(Box<dyn Wire>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Other(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Other(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::Other(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Other(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if matches!(self, Self::Tcp(_)) { "Stream(tcp)" } else { "Stream(other)" })
    }
}
