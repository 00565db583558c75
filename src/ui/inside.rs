//! Asks the proxy, in process, as any client would over the network: through the same admission and the same
//! cache, with the user's own token.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;

use super::trouble::Trouble;
use crate::{
    body::Body,
    proxy::Proxy,
    trace::{self, Step},
    upstream::RequestBody,
};

/// More than any list or object has; beyond, it is not read.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Events older than this are shown at once and then fetched anew.
pub(super) const OLD: Duration = Duration::from_secs(30);
const PLAIN: HeaderValue = HeaderValue::from_static("identity");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Asks for one user.
#[derive(Clone)]
pub(super) struct Inside {
    proxy: Proxy,
    host: HeaderValue,
    authorization: HeaderValue,
}

/// How new an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// As the proxy has it.
    Usual,
    /// Fetched anew, within the proxy's bound.
    Newest,
    /// The upstream's own, past the cache.
    Untouched,
}

/// Where an answer came from, for the badge of a panel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    pub(super) cached: bool,
    pub(super) age: Duration,
    pub(super) took: Duration,
    pub(super) store_away: bool,
}

impl Source {
    /// The whole of two that were needed together: as old as the older, from the cache if both are. How long all
    /// of it took, [`Source::since`] says.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            cached: self.cached && other.cached,
            age: self.age.max(other.age),
            took: self.took.max(other.took),
            store_away: self.store_away || other.store_away,
        }
    }

    pub(super) fn since(self, began: Instant) -> Self {
        Self { took: began.elapsed(), ..self }
    }

    pub(super) fn is_old(&self) -> bool {
        self.cached && self.age > OLD
    }

    /// For the badge: tenths of a millisecond while they matter.
    pub(super) fn took_text(&self) -> String {
        let ms = self.took.as_secs_f64() * 1e3;
        if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
    }

    pub(super) fn age_text(&self) -> String {
        match self.age.as_secs() {
            seconds @ 0..60 => format!("{seconds} s old"),
            seconds => format!("{} min old", seconds / 60),
        }
    }
}

impl Inside {
    pub(super) fn new(proxy: Proxy, host: HeaderValue, authorization: HeaderValue) -> Self {
        Self { proxy, host, authorization }
    }

    /// What is at this path and query.
    ///
    /// # Errors
    /// [`Trouble`], for a person.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        target: &str,
        wanted: Wanted,
    ) -> Result<(T, Source), Trouble> {
        let began = Instant::now();
        let request = self.request(target, wanted).map_err(|_| Trouble::Unreadable)?;
        let reading = trace::begin(Step::Read);
        let answer = reading.around(async { self.proxy.answer(request).await }).await;
        let (status, mut source) = (answer.status(), source(&answer));
        let body = read(answer).await?;
        source.took = began.elapsed();
        if status != StatusCode::OK {
            return Err(Trouble::of(status));
        }
        serde_json::from_slice(&body).map(|value| (value, source)).map_err(|_| Trouble::Unreadable)
    }

    fn request(&self, target: &str, wanted: Wanted) -> Result<Request<RequestBody>, http::Error> {
        let mut request = Request::get(target)
            .header(header::HOST, self.host.clone())
            .header(header::ACCEPT, JSON)
            .header(header::ACCEPT_ENCODING, PLAIN)
            .header(header::AUTHORIZATION, self.authorization.clone());
        match wanted {
            Wanted::Usual => {}
            Wanted::Newest => request = request.header(header::CACHE_CONTROL, "no-cache"),
            Wanted::Untouched => request = request.header(header::CACHE_CONTROL, "no-store"),
        }
        request.body(RequestBody::empty())
    }
}

async fn read(answer: Response<Body>) -> Result<Bytes, Trouble> {
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|_| Trouble::Away)
}

/// What the answer's fields say; how long it took is not known yet.
fn source(answer: &Response<Body>) -> Source {
    let field =
        |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let status = field("cache-status");
    Source {
        cached: status.contains("; hit"),
        age: Duration::from_secs(field("age").parse().unwrap_or(0)),
        took: Duration::ZERO,
        store_away: status.contains("detail=store-away"),
    }
}

/// Calls of the same kind, some at a time, in order.
pub(super) async fn each<T, R, F: Future<Output = R>>(
    values: Vec<T>,
    at_a_time: usize,
    call: impl Fn(T) -> F,
) -> Vec<R> {
    use futures_util::StreamExt as _;
    futures_util::stream::iter(values).map(call).buffered(at_a_time).collect().await
}
