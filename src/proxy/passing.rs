//! A plain request that is passed on as bytes, and what is learnt of its answer.

use http::{HeaderValue, Response, header};
use tokio::time::Instant;

use super::{Begun, Proxy, Sender, unforwarded};
use crate::{
    body::Body,
    classify::Reason,
    forward::{Passed, Plain},
    respond,
    telemetry::outcome::Outcome,
};

/// More fields than a plain request has.
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
            begun: Begun::get(request.target),
            head: forwarder.plain_head(request),
        })
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
        let inner = &proxy.0;
        let date = || respond::date_at(inner.common.clock.now_ms());
        let (name, value) = respond::forwarded_field(*reason);
        let sent = Instant::now();
        let passed = inner.forwarder.pass_plain(head, (&name, &value), date).await;
        proxy.note_upstream(sent, passed.as_ref().err());
        let (status, answer) = match passed {
            Ok((status, passed)) => {
                proxy.heard(|| sender(head), status);
                (status, Ok(passed))
            }
            Err(error) => {
                let mut answer = unforwarded(&error, *reason);
                answer.headers_mut().insert(header::DATE, date());
                (answer.status(), Err(answer))
            }
        };
        proxy.note(None, Outcome::Forwarded(*reason), begun, status);
        answer
    }

    /// The proxy that passes it on.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
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
