//! The upstream: the only module that dials out. Sends a request as it is given and hands back the answer's
//! head with its body still to come; knows nothing of routes, tokens or caching.
//!
//! Deadlines, each from when to when: `connect-timeout` from the first SYN to a usable connection;
//! `head-timeout` from the last piece of the request sent to the answer's head; `body-timeout` between two
//! pieces of a body, either way. A request that fails is not sent again, but for two cases: the
//! connection turned out to be closed before anything of it was written, or it is GET, HEAD or OPTIONS without
//! a body and met a stale pooled connection.

mod body;
mod connect;
mod pool;

use std::{io, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

use self::{
    body::Progress,
    connect::{Connection, Connector},
    pool::Pool,
};
pub use self::{
    body::{AnswerBody, BodyError, RequestBody},
    connect::UpstreamUnusable,
};
use crate::{
    config,
    deadline::{Deadline, Elapsed},
};

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
    Broken(#[source] hyper::Error),
    /// No head in time.
    #[error("no answer from the upstream within {0:?}")]
    Late(Duration),
    /// The client's body paused for too long; the upstream is not to blame.
    #[error("the client's body paused for too long")]
    ClientLate,
}

/// The one server behind this proxy.
pub struct Upstream {
    connector: Connector,
    pool: Pool,
    host: HeaderValue,
    limits: config::Upstream,
}

impl Upstream {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Where TLS cannot work as configured.
    pub fn new(config: &config::Upstream) -> Result<Self, UpstreamUnusable> {
        let host = HeaderValue::from_str(config.authority.as_str()).map_err(|_| UpstreamUnusable::Name)?;
        Ok(Self {
            connector: Connector::new(&config.authority, config.tls, config.ca_file.as_deref())?,
            pool: Pool::new(config.idle_connections, config.idle_timeout),
            host,
            limits: config.clone(),
        })
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
        let Some(connection) = self.pool.take().await else {
            return self.send_on(self.dial().await?, request).await.map_err(|failed| failed.error);
        };
        let replay = replay(&request);
        match self.send_on(connection, request).await {
            Ok(answer) => Ok(answer),
            Err(Failed { unsent: Some(request), .. }) => self.send_fresh(*request).await,
            Err(Failed { error: UpstreamError::Broken(error), .. }) => match replay {
                Some(request) => self.send_fresh(request).await,
                None => Err(UpstreamError::Broken(error)),
            },
            Err(failed) => Err(failed.error),
        }
    }

    async fn send_fresh(&self, request: Request<RequestBody>) -> Result<Response<AnswerBody>, UpstreamError> {
        self.send_on(self.dial().await?, request).await.map_err(|failed| failed.error)
    }

    async fn dial(&self) -> Result<Connection, UpstreamError> {
        let limit = self.limits.connect_timeout;
        match Deadline::after(limit).within(self.connector.connect()).await {
            Ok(connected) => connected,
            Err(Elapsed) => Err(UpstreamError::ConnectLate(limit)),
        }
    }

    async fn send_on(
        &self,
        mut connection: Connection,
        request: Request<RequestBody>,
    ) -> Result<Response<AnswerBody>, Failed> {
        let progress = request.body().progress();
        let answer = connection.try_send_request(request);
        tokio::pin!(answer);
        let head = loop {
            let by = progress.last() + self.limits.head_timeout;
            tokio::select! {
                biased;
                head = &mut answer => break head,
                () = tokio::time::sleep_until(by) => {
                    if progress.last() + self.limits.head_timeout <= Instant::now() {
                        return Err(UpstreamError::Late(self.limits.head_timeout).into());
                    }
                }
            }
        };
        match head {
            Ok(head) => Ok(self.receive(head, connection, progress)),
            Err(_) if progress.is_late() => Err(UpstreamError::ClientLate.into()),
            Err(mut error) => {
                let unsent = error.take_message().map(Box::new);
                Err(Failed { error: UpstreamError::Broken(error.into_error()), unsent })
            }
        }
    }

    fn receive(
        &self,
        head: Response<Incoming>,
        connection: Connection,
        progress: Progress,
    ) -> Response<AnswerBody> {
        let limit = self.limits.body_timeout;
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            // The connection now belongs to whoever takes the upgrade.
            let gone = Pool::new(0, Duration::ZERO);
            return head.map(|body| AnswerBody::new(body, limit, connection, gone, progress));
        }
        head.map(|body| AnswerBody::new(body, limit, connection, self.pool.clone(), progress))
    }
}

/// A failure, and the request where nothing of it was written.
struct Failed {
    error: UpstreamError,
    unsent: Option<Box<Request<RequestBody>>>,
}

impl From<UpstreamError> for Failed {
    fn from(error: UpstreamError) -> Self {
        Self { error, unsent: None }
    }
}

/// A copy of a request that may be sent twice.
fn replay(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let repeatable = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    (repeatable && request.body().is_empty()).then(|| {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        parts.extensions = request.extensions().clone();
        Request::from_parts(parts, RequestBody::empty())
    })
}
