//! HTTP/2 to the upstream, where that chooses it in the handshake of TLS: connections that carry many requests at a time.
//!
//! Whoever needs one waits for the one that is being opened, so that many requests that come at once open one and not
//! many; only beyond what a connection may carry another one is opened. Which protocol is spoken is known after the first
//! handshake; it is offered anew in each, so that an upstream may change its mind.
//!
//! A connection is worked on by tasks of its own at home: it is nobody's request, and what comes on it for all of them is
//! more than a thread that serves clients should do at a time. (One of HTTP/1 belongs to its request, and is worked on
//! where that is.)

mod carrier;
mod head;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderValue, uri::Authority};
use tokio::sync::watch;

use self::carrier::Carrier;
pub(super) use self::carrier::{Stream, Unanswered};
use super::{
    UpstreamError,
    connect::{Connector, Offer, Opened, Secured},
    pool::Pool,
};
use crate::{
    config,
    deadline::{Deadline, Elapsed},
    home::Home,
};

/// All connections of HTTP/2 to an upstream, and the way to one. Cheap to clone.
#[derive(Clone)]
pub(super) struct Http2(Arc<Inner>);

struct Inner {
    connector: Arc<Connector>,
    authority: Authority,
    /// What `Host` says over HTTP/1.
    host: HeaderValue,
    /// Takes a connection that turned out to be of HTTP/1.
    pool: Pool,
    home: Home,
    connect_timeout: Duration,
    idle_timeout: Duration,
    /// Connections that carry nothing are kept for a while.
    keeps: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    carriers: Vec<Arc<Carrier>>,
    /// The connection that is being opened for all who wait.
    opening: Option<watch::Receiver<Option<Outcome>>>,
    /// The upstream has chosen HTTP/1, as far as is known.
    first: bool,
}

/// What came of opening a connection: one more carries requests, or it is known that none will. Or why not.
type Outcome = Result<(), Failure>;

/// An error that all hear who have waited.
#[derive(Clone, Debug)]
enum Failure {
    Late,
    Io(io::ErrorKind, String),
}

/// How a request gets there.
pub(super) enum Way {
    /// On a connection of its own.
    First,
    /// On one that carries others, too.
    Second(Stream),
}

impl Http2 {
    pub(super) fn new(
        config: &config::Upstream,
        connector: Arc<Connector>,
        host: HeaderValue,
        pool: Pool,
    ) -> Self {
        Self(Arc::new(Inner {
            connector,
            authority: config.authority.clone(),
            host,
            pool,
            home: Home::here(),
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
            keeps: config.idle_connections > 0,
            state: Mutex::default(),
        }))
    }

    /// Connections that carry nothing.
    pub(super) fn idle(&self) -> usize {
        self.0.lock().carriers.iter().filter(|carrier| carrier.is_unused()).count()
    }

    /// Whether the upstream has chosen HTTP/1, as far as is known.
    pub(super) fn is_first(&self) -> bool {
        self.0.lock().first
    }

    /// What the upstream chooses is to be asked anew.
    pub(super) fn forget_first(&self) {
        self.0.lock().first = false;
    }

    /// The way of the next request, once that is known. Dropping the wait stops nothing that others wait for.
    pub(super) async fn way(&self) -> Result<Way, UpstreamError> {
        let limit = self.0.connect_timeout;
        let by = Deadline::after(limit);
        loop {
            let mut opening = match self.at_once() {
                Ok(way) => return Ok(way),
                Err(opening) => opening,
            };
            let opened = by.within(opening.wait_for(Option::is_some)).await;
            match opened.map(|opened| opened.ok().and_then(|opened| opened.clone())) {
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(failure))) => return Err(failure.into_error(limit)),
                // Whoever opened it panicked.
                Ok(None) => {
                    return Err(Failure::Io(io::ErrorKind::Other, "given up".to_owned()).into_error(limit));
                }
                Err(Elapsed) => return Err(UpstreamError::ConnectLate(limit)),
            }
        }
    }

    /// The way where it is known, or what to wait for.
    fn at_once(&self) -> Result<Way, watch::Receiver<Option<Outcome>>> {
        let mut state = self.0.lock();
        state.carriers.retain(|carrier| carrier.is_open());
        if let Some(stream) = state.carriers.iter().find_map(|carrier| Stream::on(carrier, self)) {
            return Ok(Way::Second(stream));
        }
        if state.first {
            return Ok(Way::First);
        }
        let under_way = state.opening.clone().filter(|opening| opening.has_changed().is_ok());
        let opening = under_way.unwrap_or_else(|| self.open());
        state.opening = Some(opening.clone());
        Err(opening)
    }

    /// Opens a connection for all who need one.
    fn open(&self) -> watch::Receiver<Option<Outcome>> {
        let (told, opening) = watch::channel(None);
        let http2 = self.clone();
        self.0.home.spawn(async move {
            let opened = Deadline::after(http2.0.connect_timeout).within(http2.opened()).await;
            let outcome = opened.unwrap_or(Err(Failure::Late));
            // Whoever comes from here on does not hear of it any more.
            http2.0.lock().opening = None;
            told.send_replace(Some(outcome));
        });
        opening
    }

    async fn opened(&self) -> Outcome {
        match self.0.connector.connect(Offer::Both).await.map_err(Failure::of)? {
            Opened::First(line) => {
                self.0.pool.put(line);
                self.0.lock().first = true;
                Ok(())
            }
            Opened::Second(stream) => self.take_over(stream).await.map_err(Failure::of),
        }
    }

    /// From here on requests are carried on this stream, on which the upstream has chosen HTTP/2.
    pub(super) async fn take_over(&self, stream: Secured) -> Result<(), UpstreamError> {
        let carrier = Carrier::over(stream, &self.0.home, Arc::downgrade(&self.0)).await?;
        let mut state = self.0.lock();
        state.first = false;
        state.carriers.push(carrier);
        Ok(())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No request comes on this connection any more; it is closed when the last has ended.
    fn let_go(&self, carrier: &Arc<Carrier>) {
        self.lock().carriers.retain(|other| !Arc::ptr_eq(other, carrier));
    }
}

impl Failure {
    fn of(error: UpstreamError) -> Self {
        match error {
            UpstreamError::ConnectLate(_) => Self::Late,
            UpstreamError::Connect(error) => Self::Io(error.kind(), error.to_string()),
            other => Self::Io(io::ErrorKind::Other, other.to_string()),
        }
    }

    fn into_error(self, limit: Duration) -> UpstreamError {
        match self {
            Self::Late => UpstreamError::ConnectLate(limit),
            Self::Io(kind, text) => UpstreamError::Connect(io::Error::new(kind, text)),
        }
    }
}
