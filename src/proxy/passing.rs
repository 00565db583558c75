//! A plain request that is passed on as bytes, and what is learnt of its answer.

use http::{HeaderValue, Method, Response, StatusCode, header};

use super::{Begun, Proxy, Sender, unforwarded};
use crate::{
    body::Body,
    classify::Reason,
    forward::{Passed, Plain},
    respond,
    telemetry::outcome::Outcome,
    upstream::UpstreamError,
};

/// More fields than the head of a plain request has, our own among them.
const LINES: usize = 64;

/// Such a request, read and not sent yet.
pub struct Passing {
    proxy: Proxy,
    reason: Reason,
    begun: Begun,
    /// For the upstream.
    head: Vec<u8>,
}

impl Proxy {
    /// A plain request that is to be [passed on](Passing::pass) for this reason. `None` where the upstream does not take it
    /// as it is.
    #[must_use]
    pub fn passing(&self, request: &Plain<'_>, reason: Reason) -> Option<Passing> {
        let forwarder = &self.0.forwarder;
        forwarder.takes_plain().then(|| Passing {
            proxy: self.clone(),
            reason,
            begun: Begun::plain(&Method::GET, request.target),
            head: forwarder.plain_head(request),
        })
    }

    /// An answer of our own that is not written by hyper, which would say the `Date`.
    pub(super) fn dated(&self, mut answer: Response<Body>) -> Response<Body> {
        answer.headers_mut().insert(header::DATE, self.date());
        answer
    }

    pub(super) fn date(&self) -> HeaderValue {
        respond::date_at(self.0.common.clock.now_ms())
    }

    /// What comes of a request with this head that was passed on as bytes for this reason.
    pub(super) fn passed(
        &self,
        passed: Result<(StatusCode, Passed), UpstreamError>,
        reason: Reason,
        head: &[u8],
        begun: &Begun,
    ) -> (StatusCode, Result<Passed, Response<Body>>) {
        self.note_upstream(begun.at(), passed.as_ref().err());
        let (status, answer) = match passed {
            Ok((status, passed)) => {
                self.heard(|| sender(head), status);
                (status, Ok(passed))
            }
            Err(error) => {
                let answer = self.dated(unforwarded(&error, reason));
                (answer.status(), Err(answer))
            }
        };
        self.note(None, Outcome::Forwarded(reason), begun, status);
        (status, answer)
    }
}

impl Passing {
    /// Asks the upstream. Returns with the answer's head; its body is still to come. Dropping the wait closes the connection to
    /// the upstream.
    ///
    /// # Errors
    /// What the client gets where the upstream gave no answer.
    pub async fn pass(&self) -> Result<Passed, Response<Body>> {
        let Self { proxy, reason, begun, head } = self;
        let (name, value) = respond::forwarded_field(*reason);
        let passed = proxy.0.forwarder.pass_plain(head, (&name, &value), || proxy.date()).await;
        proxy.passed(passed, *reason, head, begun).1
    }

    /// What the client gets where [passing it on](Self::pass) has panicked.
    #[must_use]
    pub fn failed(&self) -> Response<Body> {
        self.proxy.telemetry().panicked();
        self.proxy.dated(respond::internal())
    }
}

/// Who has sent a plain request with this head: read again, as few are refused.
fn sender(head: &[u8]) -> Sender {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut request = httparse::Request::new(&mut lines);
    // What was written here can be read.
    let _ = request.parse(head);
    let authorization = request.headers.iter().find(|line| line.name.eq_ignore_ascii_case("authorization"));
    Sender {
        authorization: authorization.and_then(|line| HeaderValue::from_bytes(line.value).ok()),
        target: request.path.and_then(|path| path.parse().ok()).unwrap_or_default(),
    }
}
