//! Both ends of the proxy as raw sockets: a test says the bytes of the client and of the upstream itself.

use std::{
    future::Future,
    net::SocketAddr,
    ops::{Deref, DerefMut},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    net::{TcpListener, TcpStream},
};

use crate::support::{Door, PATIENCE, Setup};

/// An upstream that does only what a test makes it do.
pub(crate) struct RawUpstream {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl RawUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        Self { listener, address }
    }

    /// With a proxy in front of it.
    pub(crate) async fn behind(setup: Setup) -> (Self, Door) {
        let upstream = Self::start().await;
        let (proxy, _) = setup.proxy(&format!("http://{}", upstream.address)).await;
        (upstream, proxy)
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Wire {
        let (stream, _) = in_time("a connection from the proxy", self.listener.accept()).await.expect("one");
        Wire::of(stream)
    }

    /// Whether there is a connection that was not accepted yet.
    pub(crate) async fn is_called(&self) -> bool {
        tokio::select! {
            biased;
            _ = self.listener.accept() => true,
            () = tokio::task::yield_now() => false,
        }
    }
}

/// How much [`Wire::while_pouring`] says at a time.
const PIECE: usize = 64 * 1024;

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One end of a connection.
pub(crate) struct Wire {
    ear: Ear,
    mouth: WriteHalf<Box<dyn Stream>>,
}

impl Wire {
    pub(crate) fn of(stream: impl Stream + 'static) -> Self {
        let (line, mouth) = split(Box::new(stream) as Box<dyn Stream>);
        Self { ear: Ear { line, came: Vec::new() }, mouth }
    }

    /// A client of this proxy.
    pub(crate) async fn to(proxy: &Door) -> Self {
        Self::of(TcpStream::connect(proxy.address).await.expect("a connection to the proxy"))
    }

    /// A client of this proxy that has said this.
    pub(crate) async fn saying(proxy: &Door, words: impl AsRef<[u8]>) -> Self {
        let mut client = Self::to(proxy).await;
        client.say(words).await;
        client
    }

    pub(crate) async fn say(&mut self, words: impl AsRef<[u8]>) {
        let said = async {
            self.mouth.write_all(words.as_ref()).await?;
            // What TLS has taken may not be on its way.
            self.mouth.flush().await
        };
        in_time("room for what is said", said).await.expect("an open line");
    }

    /// Says it as long as the other end takes it; false where that has closed.
    pub(crate) async fn say_if_heard(&mut self, words: impl AsRef<[u8]>) -> bool {
        in_time("room for what is said", self.mouth.write_all(words.as_ref())).await.is_ok()
    }

    /// What `listen` gives, while this end says as much as the other end takes.
    pub(crate) async fn while_pouring<T>(&mut self, listen: impl AsyncFnOnce(&mut Ear) -> T) -> T {
        let pour = async {
            while self.mouth.write_all(&[b'x'; PIECE]).await.is_ok() {}
            std::future::pending().await
        };
        tokio::select! {
            heard = pour => heard,
            heard = listen(&mut self.ear) => heard,
        }
    }
}

impl Deref for Wire {
    type Target = Ear;

    fn deref(&self) -> &Ear {
        &self.ear
    }
}

impl DerefMut for Wire {
    fn deref_mut(&mut self) -> &mut Ear {
        &mut self.ear
    }
}

/// What has come from the other end, and what will.
pub(crate) struct Ear {
    line: ReadHalf<Box<dyn Stream>>,
    came: Vec<u8>,
}

impl Ear {
    /// The next head, as it stood on the wire.
    pub(crate) async fn head(&mut self) -> Head {
        Head(self.until("\r\n\r\n").await)
    }

    /// The next head and the body that it announces.
    pub(crate) async fn message(&mut self) -> (Head, String) {
        let head = self.head().await;
        let body = match head.field("content-length") {
            Some(length) => self.exactly(length.parse().expect("a length")).await,
            None if head.field("transfer-encoding") == Some("chunked") => self.until("0\r\n\r\n").await,
            None => String::new(),
        };
        (head, body)
    }

    /// What comes up to this mark, and the mark.
    pub(crate) async fn until(&mut self, mark: &str) -> String {
        loop {
            let found = self.came.windows(mark.len()).position(|bytes| bytes == mark.as_bytes());
            if let Some(start) = found {
                return self.take(start + mark.len());
            }
            assert!(self.read().await, "the end came before {mark:?}: {:?}", text(&self.came));
        }
    }

    /// Whether this has come by now.
    pub(crate) async fn has_come(&mut self, mark: &str) -> bool {
        tokio::select! {
            biased;
            _ = self.line.read_buf(&mut self.came) => {}
            () = tokio::task::yield_now() => {}
        }
        text(&self.came).contains(mark)
    }

    pub(crate) async fn exactly(&mut self, bytes: usize) -> String {
        while self.came.len() < bytes {
            assert!(self.read().await, "the end came before {bytes} bytes: {:?}", text(&self.came));
        }
        self.take(bytes)
    }

    /// All that comes until the other end closes or resets.
    pub(crate) async fn rest(&mut self) -> String {
        while self.read().await {}
        self.take(self.came.len())
    }

    /// Whether the other end closes as its protocol demands, and nothing more comes.
    pub(crate) async fn ends_in_order(&mut self) -> bool {
        let read = in_time("the end", self.line.read_buf(&mut self.came)).await;
        matches!(read, Ok(0)) && self.came.is_empty()
    }

    /// Waits for the other end to close; nothing more may come.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) -> impl Future<Output = ()> {
        let here = std::panic::Location::caller();
        async move {
            let rest = self.rest().await;
            assert!(rest.is_empty(), "{here}: {rest:?} came before the end");
        }
    }

    fn take(&mut self, bytes: usize) -> String {
        let rest = self.came.split_off(bytes);
        text(&std::mem::replace(&mut self.came, rest))
    }

    async fn read(&mut self) -> bool {
        let read = in_time("what the other end says", self.line.read_buf(&mut self.came)).await;
        // A reset is an end as well.
        read.is_ok_and(|bytes| bytes > 0)
    }
}

/// A head as it stood on the wire, the empty line included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head(pub(crate) String);

impl Head {
    /// The request or status line.
    pub(crate) fn line(&self) -> &str {
        self.0.lines().next().expect("a first line")
    }

    /// The names and values of the fields, as spelled.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.0.trim_end().lines().skip(1);
        lines.map(|line| line.split_once(':').map_or((line, ""), |(name, value)| (name, value.trim())))
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The only field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands twice in {self:?}");
        all.first().copied()
    }

    /// Asserts that this is an answer with this status.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.line().split(' ').nth(1), Some(status.to_string().as_str()), "{self:?}");
        self
    }
}

/// Bytes as they are: each is a character.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// What a test waits for comes soon, or it fails.
pub(crate) async fn in_time<F: Future>(what: &str, event: F) -> F::Output {
    tokio::time::timeout(PATIENCE, event).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}
