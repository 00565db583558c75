//! The stream of a connection to the upstream, on which a request's head is spelled as its client has spelled it.
//!
//! Whoever writes on it has put all names in lower case, and says one head after the other: what comes after a head is
//! its body, and what comes next is told before. Where nothing is told, nothing is changed.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::spelling::Head;

/// Tells a stream how a head is spelled. Cheap to clone.
#[derive(Clone)]
pub(super) struct Speller(Arc<Mutex<Next>>);

struct Next {
    /// What is written next, and is to be spelled.
    head: Option<Head>,
    /// All that was to be written has been.
    clear: bool,
}

impl Speller {
    /// What is written next begins with this head, whole. To be said while it is [clear](Self::is_clear) only.
    pub(super) fn spell(&self, head: Option<Head>) {
        self.lock().head = head;
    }

    /// Whether nothing of what was said before is still to be written.
    pub(super) fn is_clear(&self) -> bool {
        self.lock().clear
    }

    /// Something is to be written. With what it begins, if that was said of it.
    fn begin(&self) -> Option<Head> {
        let mut next = self.lock();
        next.clear = false;
        next.head.take()
    }

    fn end(&self) {
        self.lock().clear = true;
    }

    fn lock(&self) -> MutexGuard<'_, Next> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that writes what it is given, but for the spelling of heads.
pub(super) struct Spelled<S> {
    stream: S,
    speller: Speller,
    /// What is written of a head in place of what is given.
    begun: Option<Begun>,
}

/// A head that is spelled, and has not been written whole.
struct Begun {
    head: Vec<u8>,
    written: usize,
}

impl Begun {
    fn rest(&self) -> &[u8] {
        self.head.get(self.written..).unwrap_or_default()
    }
}

impl<S> Spelled<S> {
    pub(super) fn over(stream: S) -> (Self, Speller) {
        let speller = Speller(Arc::new(Mutex::new(Next { head: None, clear: true })));
        (Self { stream, speller: speller.clone(), begun: None }, speller)
    }

    /// The stream, on which nothing is to be spelled any more.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// This piece is written now, and others after it.
    fn begin(&mut self, piece: &[u8]) {
        if let Some(head) = self.speller.begin() {
            self.begun = head.spelled(piece).map(|head| Begun { head, written: 0 });
        }
    }

    /// So many bytes were written. What is given next begins behind them.
    fn wrote(&mut self, bytes: usize) {
        if let Some(begun) = &mut self.begun {
            begun.written += bytes;
        }
        self.begun.take_if(|begun| begun.rest().is_empty());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Spelled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Spelled<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.begin(bytes);
        // What comes behind a head is given again.
        let bytes = this.begun.as_ref().map_or(bytes, Begun::rest);
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A head without a body: to tell the system of one piece costs it less.
        if let [piece] = pieces {
            return self.poll_write(context, piece);
        }
        let this = self.get_mut();
        this.begin(pieces.first().map_or(&[], |piece| &**piece));
        let (Some(begun), [first, others @ ..]) = (&this.begun, pieces) else {
            return Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        };
        let behind = first.get(begun.rest().len()..).unwrap_or_default();
        let own = [begun.rest(), behind].into_iter().filter(|piece| !piece.is_empty()).map(IoSlice::new);
        let pieces: Vec<_> = own.chain(others.iter().copied()).collect();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, &pieces))?;
        this.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // It is asked for when nothing is left.
        self.speller.end();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Buf as _;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::{super::spelling::Spelling, *};

    /// Takes so many bytes at a time, one after the other, and nothing in between; all at once where none is left.
    #[derive(Default)]
    struct Narrow {
        taken: Vec<u8>,
        widths: Vec<usize>,
        waits: bool,
        writes: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            if std::mem::take(&mut self.waits) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
            let width = self.widths.pop().unwrap_or(all.len()).min(all.len());
            self.taken.extend_from_slice(&all[..width]);
            self.waits = true;
            self.writes += 1;
            Poll::Ready(Ok(width))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// [`HEAD`] with these names.
    fn head(names: &[&str]) -> Option<Head> {
        let mut spelling = Spelling::default();
        names.iter().for_each(|name| spelling.add(name.as_bytes()));
        let fields = [("host", "a"), ("x-a", "x-a: b"), ("via", "me")];
        let fields =
            fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Some(Head::of(Arc::new(spelling), &fields.into_iter().collect()))
    }

    /// Writes these pieces as hyper does: what is left of them, until nothing is, and then asks for the flush.
    async fn write(stream: &mut Spelled<Narrow>, mut pieces: Vec<&[u8]>) {
        while !pieces.is_empty() {
            let given: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut written = poll_fn(|context| Pin::new(&mut *stream).poll_write_vectored(context, &given))
                .await
                .expect("room");
            assert!(!stream.speller.is_clear());
            for piece in &mut pieces {
                let off = written.min(piece.len());
                piece.advance(off);
                written -= off;
            }
            pieces.retain(|piece| !piece.is_empty());
        }
        stream.flush().await.expect("room");
        assert!(stream.speller.is_clear());
    }

    const HEAD: &str = "POST /a:b HTTP/1.1\r\nhost: a\r\nx-a: x-a: b\r\nvia: me\r\n\r\n";
    const SPELLED: &str = "POST /a:b HTTP/1.1\r\nHOST: a\r\nX-a: x-a: b\r\nvia: me\r\n\r\n";

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn a_head_is_spelled_and_its_body_is_not_however_little_is_taken(
            widths in proptest::collection::vec(1usize..40, 0..30),
            bodies in proptest::collection::vec("(host: a\r\n|\r\n|x-a:){0,9}", 0..4),
            joined: bool,
        ) {
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
                let (mut stream, speller) = Spelled::over(Narrow { widths, ..Narrow::default() });
                let whole = format!("{HEAD}{}", bodies.concat());
                let mut pieces = vec![HEAD.as_bytes()];
                pieces.extend(bodies.iter().map(|body| body.as_bytes()));
                pieces.retain(|piece| !piece.is_empty());
                let pieces = if joined { vec![whole.as_bytes()] } else { pieces };
                speller.spell(head(&["HOST", "X-a"]));
                write(&mut stream, pieces.clone()).await;
                write(&mut stream, pieces).await;
                speller.spell(head(&["Host"]));
                write(&mut stream, vec![HEAD.as_bytes()]).await;
                let expected = format!(
                    "{SPELLED}{body}{HEAD}{body}{}", HEAD.replace("host", "Host"), body = bodies.concat()
                );
                assert_eq!(String::from_utf8_lossy(&stream.stream.taken), expected);
            });
        }
    }

    #[tokio::test]
    async fn a_head_and_its_body_are_written_together() {
        let (mut stream, speller) = Spelled::over(Narrow::default());
        speller.spell(head(&["Host"]));
        write(&mut stream, vec![HEAD.as_bytes(), b"5\r\n", b"hello", b"\r\n0\r\n\r\n"]).await;
        assert_eq!(stream.stream.writes, 1);
    }
}
