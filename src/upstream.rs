//! The upstream: the only module that dials out. Sends a request as it is given and hands back the answer's
//! head with its body still to come; knows nothing of routes, tokens or caching.
//!
//! Deadlines, each from when to when: `connect-timeout` from the first SYN to a usable connection;
//! `head-timeout` from the last piece of the request sent to the answer's head; `body-timeout` between two
//! pieces of a body, either way. A request that fails is not sent again, but for these cases: the
//! connection turned out to be closed before anything of it was written; it is GET, HEAD or OPTIONS without
//! a body and met a stale pooled connection, or a connection of HTTP/2 that broke; or the upstream says over HTTP/2
//! that it has not looked at it. Over HTTP/1 any other request is given a pooled connection only while that is fresh.

mod answer;
mod body;
mod broken;
mod connect;
mod connection;
mod http2;
mod line;
mod plain;
mod pool;
mod spelled;
mod spelling;

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::unconstrained,
    time::Instant,
};

pub use self::{
    answer::AnswerBody,
    body::{BodyError, RequestBody},
    broken::Broken,
    connect::UpstreamUnusable,
    plain::{AnswerHead, PlainAnswer, PlainBody, Sent, Upload},
    spelling::Spelling,
};
use self::{
    answer::Carried,
    body::{ClientFault, Progress},
    connect::{Connector, Offer, Opened},
    connection::Connection,
    http2::{Http2, Stream, Unanswered, Way},
    line::Line,
    pool::Pool,
};
use crate::{
    config,
    deadline::{Deadline, Elapsed},
    dial::Dialler,
};

/// A pooled connection that has waited longer carries no request that must not be sent twice: servers
/// close what has been idle for some seconds, and may do so while the request is on its way.
const FRESH: Duration = Duration::from_secs(1);
/// How often a request is sent over HTTP/2 where the upstream says that it has done nothing with it.
const TRIES: usize = 3;

/// Why there is no answer. Its text is for the log; a client is told less.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection: refused, unreachable, unknown name, TLS.
    #[error("no connection to the upstream")]
    Connect(#[source] io::Error),
    /// No connection in time.
    #[error("no connection to the upstream within {0:?}")]
    ConnectLate(Duration),
    /// The connection broke before an answer's head was read, or what came was no HTTP.
    #[error("the upstream broke off")]
    Broken(#[from] Broken),
    /// As many requests as there may be at a time are on their way already.
    #[error("no place among upstream.connections within {0:?}")]
    Crowded(Duration),
    /// No head in time.
    #[error("no answer from the upstream within {0:?}")]
    Late(Duration),
    /// An answer that cannot be passed on.
    #[error("the upstream's answer has {0}")]
    Unfit(&'static str),
    /// The client's body paused for too long; the upstream is not to blame.
    #[error("the client's body paused for too long")]
    ClientLate,
    /// The client's body broke off or was no HTTP; the upstream is not to blame.
    #[error("the client's body broke off")]
    ClientBroken,
}

/// Connections to an upstream. One of HTTP/2 counts as busy once for each request that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// On which a request is on its way, or its answer.
    pub busy: usize,
    /// That wait for their next request, or are closed by now.
    pub idle: usize,
    /// That may be busy at a time.
    pub most: usize,
}

impl UpstreamError {
    /// In a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::ConnectLate(_) => "connect-late",
            Self::Broken(_) => "broken",
            Self::Crowded(_) => "crowded",
            Self::Late(_) => "late",
            Self::Unfit(_) => "unfit",
            Self::ClientLate => "client-late",
            Self::ClientBroken => "client-broken",
        }
    }
}

/// One server that is dialled: the one behind this proxy, or the one that publishes keys.
pub struct Upstream {
    connector: Arc<Connector>,
    pool: Pool,
    /// Where the upstream may choose it.
    http2: Option<Http2>,
    /// For requests on their way, until their answers have ended; over HTTP/1 each has a connection of its own.
    places: Arc<Semaphore>,
    host: HeaderValue,
    limits: config::Upstream,
}

impl Upstream {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Where TLS cannot work as configured.
    pub fn new(config: &config::Upstream, dialler: &Dialler) -> Result<Self, UpstreamUnusable> {
        let host = HeaderValue::from_str(config.authority.as_str()).map_err(|_| UpstreamUnusable::Name)?;
        let connector =
            Connector::new(&config.authority, config.tls, config.ca_file.as_deref(), dialler.clone())?;
        let (connector, pool) =
            (Arc::new(connector), Pool::new(config.idle_connections, config.idle_timeout));
        let http2 = (config.tls && config.http2)
            .then(|| Http2::new(config, Arc::clone(&connector), host.clone(), pool.clone()));
        Ok(Self {
            connector,
            pool,
            http2,
            places: Arc::new(Semaphore::new(config.connections)),
            host,
            limits: config.clone(),
        })
    }

    /// The connections, as they are used now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (most, free) = (self.limits.connections, self.places.available_permits());
        let idle = self.pool.count() + self.http2.as_ref().map_or(0, Http2::idle);
        Usage { busy: most.saturating_sub(free), idle, most }
    }

    /// What `Host` says upstream.
    #[must_use]
    pub fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// How long a body may pause.
    #[must_use]
    pub fn body_timeout(&self) -> Duration {
        self.limits.body_timeout
    }

    /// Sends a request whose target is a path and query, and waits for the answer's head. Dropping the
    /// wait closes the connection.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, request: Request<RequestBody>) -> Result<Response<AnswerBody>, UpstreamError> {
        let place = self.place().await?;
        let mut answer = match &self.http2 {
            None => self.send_first(request, Offer::First).await?,
            Some(http2) => self.send_as_chosen(request, http2).await?,
        };
        answer.body_mut().hold(place);
        Ok(answer)
    }

    /// A place among the requests on their way.
    async fn place(&self) -> Result<OwnedSemaphorePermit, UpstreamError> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let limit = self.limits.connect_timeout;
        let place = Deadline::after(limit).within(Arc::clone(&self.places).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or(UpstreamError::Crowded(limit))
    }

    /// Sends a request by the protocol that the upstream chooses. Boxed, as not every upstream may choose.
    fn send_as_chosen<'s>(
        &'s self,
        request: Request<RequestBody>,
        http2: &'s Http2,
    ) -> Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, UpstreamError>> + Send + 's>> {
        Box::pin(async move {
            // There is no such thing in HTTP/2 as we speak it.
            if request.headers().contains_key(header::UPGRADE) {
                return self.send_first(request, Offer::First).await;
            }
            match http2.way().await? {
                Way::First => self.send_first(request, Offer::Both).await,
                Way::Second(stream) => self.send_second(stream, request, http2).await,
            }
        })
    }

    /// Sends a request over HTTP/2, and again where that is safe.
    async fn send_second(
        &self,
        mut stream: Stream,
        mut request: Request<RequestBody>,
        http2: &Http2,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let (repeatable, replay) = (is_repeatable(&request), again(&request).map(Box::new));
            let failed = match self.send_on_stream(stream, request).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            // What broke off may have been done; it is tried once more at the most.
            let replay = replay.filter(|_| failed.unprocessed || repeatable && failed.is_broken());
            match failed.unsent.or(replay).filter(|_| tries > 0) {
                Some(next) => request = *next,
                None => return Err(failed.error),
            }
            if !failed.unprocessed {
                tries = tries.min(1);
            }
            stream = match http2.way().await? {
                Way::First => return self.send_first(request, Offer::Both).await,
                Way::Second(stream) => stream,
            };
        }
    }

    async fn send_on_stream(
        &self,
        stream: Stream,
        request: Request<RequestBody>,
    ) -> Result<Response<AnswerBody>, Failed> {
        let progress = request.body().progress();
        progress.begin();
        let head = self.head(stream.send(request), &progress).await?;
        match (head, progress.fault()) {
            (Ok(head), _) => Ok(self.receive_on(head, Carried::Second { _held: stream }, progress)),
            (Err(_), Some(fault)) => Err(fault_of(fault).into()),
            (Err(unanswered), None) => {
                let Unanswered { error, unsent, unprocessed } = *unanswered;
                let unsent = unsent.map(Box::new);
                Err(Failed {
                    error: UpstreamError::Broken(error.into()),
                    unprocessed: unprocessed || unsent.is_some(),
                    unsent,
                })
            }
        }
    }

    async fn send_first(
        &self,
        request: Request<RequestBody>,
        offer: Offer,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let repeatable = is_repeatable(&request);
        let Some(line) = self.pool.take(if repeatable { Duration::MAX } else { FRESH }) else {
            return self.send_fresh(request, offer).await;
        };
        let replay = repeatable.then(|| Box::new(copy(&request)));
        match self.send_on(line, request).await {
            Ok(answer) => Ok(answer),
            Err(Failed { unsent: Some(request), .. }) => self.send_fresh(*request, offer).await,
            Err(Failed { error: UpstreamError::Broken(error), .. }) => match replay {
                Some(request) => self.send_fresh(*request, offer).await,
                None => Err(UpstreamError::Broken(error)),
            },
            Err(failed) => Err(failed.error),
        }
    }

    /// Boxed: most requests find a connection, and need no room for this.
    fn send_fresh(
        &self,
        request: Request<RequestBody>,
        offer: Offer,
    ) -> Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, UpstreamError>> + Send + '_>> {
        Box::pin(async move {
            let sent = match (self.dial(offer).await?, &self.http2) {
                (Opened::First(line), _) => self.send_on(line, request).await,
                (Opened::Second(stream), Some(http2)) => {
                    // It has changed its mind since it was asked last.
                    http2.take_over(stream).await?;
                    return self.send_as_chosen(request, http2).await;
                }
                (Opened::Second(_), None) => {
                    Err(UpstreamError::Unfit("a protocol that was not offered").into())
                }
            };
            sent.map_err(|failed| failed.error)
        })
    }

    async fn dial(&self, offer: Offer) -> Result<Opened, UpstreamError> {
        let limit = self.limits.connect_timeout;
        match Deadline::after(limit).within(self.connector.connect(offer)).await {
            Ok(connected) => connected,
            Err(Elapsed) => Err(UpstreamError::ConnectLate(limit)),
        }
    }

    async fn send_on(
        &self,
        line: Line,
        request: Request<RequestBody>,
    ) -> Result<Response<AnswerBody>, Failed> {
        let mut connection = Connection::over(line).await?;
        let progress = request.body().progress();
        progress.begin();
        let head = self.head(connection.send(request), &progress).await?;
        match (head, progress.fault()) {
            (Ok(head), _) if has_other_codings(head.headers()) => {
                Err(UpstreamError::Unfit("a transfer coding other than chunked").into())
            }
            (Ok(head), _) => Ok(self.receive(head, connection, progress)),
            (Err(_), Some(fault)) => Err(fault_of(fault).into()),
            (Err(mut error), None) => {
                let unsent = error.take_message().map(Box::new);
                Err(Failed {
                    error: UpstreamError::Broken((*error).into_error().into()),
                    unsent,
                    unprocessed: false,
                })
            }
        }
    }

    /// Waits for what comes of a request, as long as the upstream takes its body and then answers in time.
    async fn head<F: Future>(&self, answer: F, progress: &Progress) -> Result<F::Output, UpstreamError> {
        let (head, body) = (self.limits.head_timeout, self.limits.body_timeout);
        tokio::pin!(answer);
        loop {
            // What the body waits for may change meanwhile; what is due then is so after this at the earliest.
            let again = Instant::now() + head.min(body);
            let by = progress.due(head, body).map_or(again, |due| due.min(again));
            tokio::select! {
                biased;
                outcome = &mut answer => return Ok(outcome),
                // An upstream that never stops saying something leaves nothing of this task's budget for the clock.
                () = unconstrained(tokio::time::sleep_until(by)) => {
                    if progress.due(head, body).is_some_and(|due| due <= Instant::now()) {
                        return Err(UpstreamError::Late(if progress.has_ended() { head } else { body }));
                    }
                }
            }
        }
    }

    fn receive(
        &self,
        head: Response<Incoming>,
        mut connection: Connection,
        progress: Progress,
    ) -> Response<AnswerBody> {
        let limit = self.limits.body_timeout;
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            // The connection now belongs to whoever takes the upgrade.
            let gone = Pool::new(0, Duration::ZERO);
            connection.go_on_alone();
            return head.map(|body| AnswerBody::new(body, limit, Carried::Alone, gone, progress));
        }
        if !progress.has_ended() {
            // A client that sends first and reads later would wait for itself.
            connection.go_on_alone();
        }
        self.receive_on(head, Carried::First(connection), progress)
    }

    fn receive_on(
        &self,
        head: Response<Incoming>,
        carried: Carried,
        progress: Progress,
    ) -> Response<AnswerBody> {
        let limit = self.limits.body_timeout;
        head.map(|body| AnswerBody::new(body, limit, carried, self.pool.clone(), progress))
    }
}

/// Whether a head announces JSON, of whatever kind.
#[must_use]
pub fn is_json(fields: &HeaderMap) -> bool {
    let text = fields.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json"
        || media == "text/json"
        || (media.starts_with("application/") && media.ends_with("+json"))
}

/// A failure, and the request where nothing of it was written.
struct Failed {
    error: UpstreamError,
    unsent: Option<Box<Request<RequestBody>>>,
    /// The upstream has done nothing with it.
    unprocessed: bool,
}

impl Failed {
    fn is_broken(&self) -> bool {
        matches!(self.error, UpstreamError::Broken(_))
    }
}

impl From<UpstreamError> for Failed {
    fn from(error: UpstreamError) -> Self {
        Self { error, unsent: None, unprocessed: false }
    }
}

fn fault_of(fault: ClientFault) -> UpstreamError {
    match fault {
        ClientFault::Late => UpstreamError::ClientLate,
        ClientFault::Broken => UpstreamError::ClientBroken,
    }
}

/// Whether a request may be sent a second time.
fn is_repeatable(request: &Request<RequestBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && request.body().is_empty()
}

/// A request as it is before anything of it was sent, if it can be had twice: a client's body cannot.
fn again(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let body = request.body().again()?;
    Some(copy(request).map(|_| body))
}

/// A copy of a request without a body.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.headers = request.headers().clone();
    Request::from_parts(parts, RequestBody::empty().behind(request.body().spelling().cloned()))
}

/// Whether a body is coded for this hop in a way that cannot be undone here.
fn has_other_codings(fields: &HeaderMap) -> bool {
    let mut lines = fields.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |line: &HeaderValue| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    lines.next().is_some_and(|line| !is_chunked(line)) || lines.next().is_some()
}
