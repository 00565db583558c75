//! The collector of traces, asked by the same client as the upstream. Where it is away a batch is sent again until it is
//! there, with pauses between that grow; that it is away is said once, and that it is back.

use std::{
    fmt,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use opentelemetry_http::{HttpClient, HttpError};

use crate::{
    config,
    deadline::Deadline,
    dial::Dialler,
    telemetry::Chain,
    upstream::{RequestBody, Upstream, UpstreamUnusable},
};

/// What it answers is a few numbers.
const ANSWER_BYTES: usize = 64 * 1024;
/// From a try to the next one: at first, and at most.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The collector.
pub(super) struct Collector {
    upstream: Upstream,
    url: String,
    target: String,
    timeout: Duration,
    /// It does not take what is sent, and the log says so.
    away: AtomicBool,
}

impl Collector {
    /// Connects to nothing yet.
    pub(super) fn new(traces: &config::Traces) -> Result<Self, UpstreamUnusable> {
        Ok(Self {
            upstream: Upstream::new(&traces.collector, &Dialler::system())?,
            url: format!("{}{}", traces.collector.url(), traces.target),
            target: traces.target.clone(),
            timeout: traces.collector.head_timeout,
            away: AtomicBool::new(false),
        })
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    async fn send(&self, fields: &HeaderMap, body: &Bytes) -> Result<Response<Bytes>, HttpError> {
        let mut pause = PAUSE;
        loop {
            let answered = self.attempt(fields, body.clone()).await;
            self.note(&answered);
            match answered {
                Ok(answer) if !may_pass(answer.status()) => return Ok(answer),
                Ok(_) | Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, fields: &HeaderMap, body: Bytes) -> Result<Response<Bytes>, HttpError> {
        let mut request = Request::post(&self.target).body(RequestBody::own(body))?;
        *request.headers_mut() = fields.clone();
        // Some of them may be what the collector is to be shown: no library prints them.
        request.headers_mut().values_mut().for_each(|value| value.set_sensitive(true));
        request.headers_mut().insert(header::HOST, self.upstream.host());
        let exchange = async {
            let (head, body) = self.upstream.send(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        Deadline::after(self.timeout).within(exchange).await?
    }

    /// Says once that it does not take what is sent, and once that it does again.
    fn note(&self, answered: &Result<Response<Bytes>, HttpError>) {
        let why = match answered {
            Ok(answer) if answer.status().is_success() => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the collector of traces takes them again");
                }
                return;
            }
            Ok(answer) => format!("it answers {}", answer.status()),
            Err(error) => Chain(&**error).to_string(),
        };
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!("the collector of traces does not take them: {why}");
        }
    }
}

/// What OTLP lets be sent again; any other refusal is one for good.
fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}

impl HttpClient for Collector {
    fn send_bytes<'c, 'f>(
        &'c self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'c: 'f,
        Self: 'f,
    {
        let (head, body) = request.into_parts();
        Box::pin(async move { self.send(&head.headers, &body).await })
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Collector").field("url", &self.url).finish_non_exhaustive()
    }
}
