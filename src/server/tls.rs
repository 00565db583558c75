//! TLS for clients: the handshake, under the time that a seat gives for a first head; and the certificate, which is
//! exchanged when its files are others, without a connection being closed.
//!
//! Nothing is taken before the handshake has ended (no early data), so nothing can be replayed. Sessions are resumed by
//! tickets of this process: nothing is kept for them.

mod secured;

use std::{
    fmt,
    fs::{self, Metadata},
    future::poll_fn,
    io,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::{
    ServerConfig,
    crypto::ring::{Ticketer, default_provider},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::ReadBuf,
    net::TcpStream,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsAcceptor;

pub(super) use self::secured::Secured;
use self::secured::Watched;
use super::{
    seat::{Seat, Verdict},
    seated::Seated,
    seats::Held,
};
use crate::{
    aside::aside,
    clock::Clock,
    config::{
        self,
        certificate::{Certificate, Flaw},
    },
    telemetry::Telemetry,
};

/// How often it is looked whether the files are others. Who renews certificates tells nobody.
const LOOK: Duration = Duration::from_secs(1);
/// What is offered: HTTP/2 first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// To a client that speaks HTTP in the clear, which is a mistake in an address.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nCache-Control: no-store\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 103\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"this port speaks TLS: use https://\"}";
/// So much of what such a client has said is read: a socket that is closed with more would be reset, and the answer lost.
const READ_BEFORE: usize = 64 * 1024;

/// The certificate in use, and how clients come by it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls(Arc<Inner>);

struct Inner {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    source: Mutex<Source>,
    clock: Clock,
    telemetry: Arc<Telemetry>,
}

/// What new handshakes show.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Where the certificate is from.
struct Source {
    files: config::Tls,
    /// The files, as they were when they were read last.
    seen: Seen,
    /// What was wrong with them then.
    warned: Option<String>,
}

/// By what files are told from what they were before.
type Seen = [Option<(SystemTime, u64, u64)>; 2];

/// A certificate that was read, and where.
pub(super) struct Loaded {
    certificate: Certificate,
    files: config::Tls,
    seen: Seen,
}

/// Why clients cannot be spoken to by TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsUnusable {
    /// The files.
    #[error("{}", Flaws(.0))]
    Files(Vec<Flaw>),
    /// TLS itself.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// Reading them panicked.
    #[error("the files could not be read")]
    Unread,
}

/// What is wrong with the files, in a line.
struct Flaws<'f>(&'f [Flaw]);

impl fmt::Display for Flaws<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, flaw) in self.0.iter().enumerate() {
            write!(out, "{}{flaw}", if place == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl Tls {
    /// # Errors
    /// Where the files do not do.
    pub(super) async fn new(
        files: &config::Tls,
        clock: Clock,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, TlsUnusable> {
        let Loaded { certificate, files, seen } = load(files.clone()).await?;
        telemetry.certificate_good_until(certificate.not_after);
        let shown = Arc::new(Shown(ArcSwap::from_pointee(certificate.key)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Shown>::clone(&shown));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.ticketer = Ticketer::new()?;
        let source = Mutex::new(Source { files, seen, warned: None });
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self(Arc::new(Inner { acceptor, shown, source, clock, telemetry })))
    }

    /// Puts this certificate in office: handshakes that come then show it.
    pub(super) fn put(&self, Loaded { certificate, files, seen }: Loaded) {
        *self.source() = Source { files, seen, warned: None };
        self.show(certificate);
    }

    fn show(&self, Certificate { key, not_before, not_after }: Certificate) {
        self.0.telemetry.certificate_good_until(not_after);
        let shown = Arc::new(key);
        let before = self.0.shown.0.swap(Arc::clone(&shown));
        // A reload reads the same one again.
        if before.cert == shown.cert {
            return;
        }
        let until = i64::try_from(not_after).ok().and_then(|second| Timestamp::from_second(second).ok());
        let until = until.map_or_else(|| "ever".to_owned(), |until| until.to_string());
        let now = self.0.clock.now_ms() / 1_000;
        if (not_before..=not_after).contains(&now) {
            tracing::info!("clients are shown another certificate, which is good until {until}");
        } else {
            tracing::warn!("clients are shown a certificate that is not good now (good until {until})");
        }
    }

    /// Looks after the files: once they are others and fit one another, they are in use. For ever, until dropped.
    pub(super) async fn look_after(&self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            looks.tick().await;
            let tls = self.clone();
            // Files may be far away.
            aside(move || tls.look()).await;
        }
    }

    /// The whole of it under the lock: a reload may name other files meanwhile.
    fn look(&self) {
        let mut source = self.source();
        let seen = seen(&source.files);
        if seen == source.seen {
            return;
        }
        source.seen = seen;
        match Certificate::read(&source.files) {
            Ok(certificate) => {
                source.warned = None;
                self.show(certificate);
            }
            Err(flaws) => {
                let flaws = Flaws(&flaws).to_string();
                if source.warned.as_ref() != Some(&flaws) {
                    tracing::warn!("the certificate was changed, and the one before stays in use: {flaws}");
                    source.warned = Some(flaws);
                }
            }
        }
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.0.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shakes hands with a client; `None` where that came to nothing. It has until its seat waits no longer for a first
    /// head.
    pub(super) async fn welcome(&self, stream: TcpStream, held: Held) -> Option<Seated<Secured>> {
        let handshake = self.handshake(stream, &held.seat).await;
        let outcome = match &handshake {
            Ok(secured) if secured.is_resumed() => "resumed",
            Ok(_) => "full",
            Err(failed) => failed.kind(),
        };
        self.0.telemetry.handshake(outcome);
        handshake.ok().map(|secured| Seated::new(secured, held))
    }

    async fn handshake(&self, mut stream: TcpStream, seat: &Arc<Seat>) -> Result<Secured, Failed> {
        if poll_fn(|context| waited(poll_first(&mut stream, context), seat, context))
            .await?
            .is_ascii_alphabetic()
        {
            tell_to_speak_tls(&stream);
            return Err(Failed::Http);
        }
        let mut accept = self.0.acceptor.accept(Watched::new(stream, Arc::clone(seat)));
        let accepted = poll_fn(|context| waited(Pin::new(&mut accept).poll(context), seat, context)).await?;
        Ok(Secured::new(accepted))
    }
}

/// The files as they are now, read aside.
pub(super) async fn load(files: config::Tls) -> Result<Loaded, TlsUnusable> {
    let read = move || {
        // Looked at before: what changes while they are read is seen the next time.
        let seen = seen(&files);
        Certificate::read(&files).map(|certificate| Loaded { certificate, files, seen })
    };
    aside(read).await.ok_or(TlsUnusable::Unread)?.map_err(TlsUnusable::Files)
}

fn seen(files: &config::Tls) -> Seen {
    let state = |file: &Path| {
        let found = fs::metadata(file).ok()?;
        Some((found.modified().ok()?, found.len(), number(&found)))
    };
    [state(&files.certificate), state(&files.key)]
}

/// Of another file at the same path.
fn number(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

/// Why there is no session.
enum Failed {
    /// The client speaks HTTP in the clear.
    Http,
    /// The client left.
    Left,
    /// Its seat waits no longer.
    Late,
    /// Client and server have nothing in common, or the client has sent what is no TLS.
    Refused,
}

impl Failed {
    fn kind(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Left => "left",
            Self::Late => "late",
            Self::Refused => "refused",
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => {
                tracing::debug!("a handshake failed: {error}");
                Self::Refused
            }
            io::ErrorKind::TimedOut => Self::Late,
            _ => Self::Left,
        }
    }
}

/// As long as the seat waits.
fn waited<T>(polled: Poll<io::Result<T>>, seat: &Seat, context: &Context<'_>) -> Poll<Result<T, Failed>> {
    seat.register(context.waker());
    match polled {
        Poll::Pending if seat.verdict() == Verdict::End || seat.is_to_leave() => {
            Poll::Ready(Err(Failed::Late))
        }
        polled => polled.map_err(Failed::from),
    }
}

/// The first byte, which stays where it is.
fn poll_first(stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<io::Result<u8>> {
    let mut byte = [0];
    let peeked = stream.poll_peek(context, &mut ReadBuf::new(&mut byte));
    peeked.map(|peeked| match (peeked?, byte) {
        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        (_, [byte]) => Ok(byte),
    })
}

fn tell_to_speak_tls(stream: &TcpStream) {
    let mut read = 0;
    let mut buffer = [0; 4096];
    while let (Ok(bytes @ 1..), true) = (stream.try_read(&mut buffer), read < READ_BEFORE) {
        read += bytes;
    }
    // Its buffer is empty, so this is all written or the client is gone.
    let _ = stream.try_write(SPEAK_TLS);
}
