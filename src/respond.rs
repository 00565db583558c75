//! All answers of our own, and the only place where a failure becomes a status. Heads are built here, never
//! taken from an upstream's answer but for the few fields of its own errors; what a client is told names no
//! inside address.

pub mod coded;
mod condition;
mod made;
pub mod rendered;
pub mod status;
pub mod text;

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use self::{
    made::Made,
    rendered::Rendered,
    status::{Because, CACHE_STATUS, CacheStatus},
    text::Text,
};
use crate::{
    body::Body,
    cache::Entry,
    classify::{Reason, coding::Coding},
    fill::{Answered, FillError},
    guard::Refusal,
    upstream::UpstreamError,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
/// A shared cache must not keep what is for one token; the client must ask again.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
/// An error is of this moment.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const VARY: HeaderValue = HeaderValue::from_static("Accept-Encoding, Authorization");

thread_local! {
    static DATES: Made<u64> = const { Made::new() };
    static AGES: Made<u64> = const { Made::new() };
}

/// A read that is answered from an entry.
#[derive(Debug)]
pub struct Served {
    /// The entry.
    pub entry: Arc<Entry>,
    /// How old it is.
    pub age: Duration,
    /// Where it came from.
    pub status: CacheStatus,
}

/// The page, or the object, that was asked for; to a request that has it already (`If-None-Match`), that it has
/// not changed. `now_ms` is the wall clock's, in milliseconds since 1970. The request's fields are done with: their
/// room is the answer's.
#[must_use]
pub fn page(served: &Served, rendered: &Rendered, request: HeaderMap, now_ms: u64) -> Response<Body> {
    let (status, body) = content(rendered, &request);
    let mut fields = request;
    fields.clear();
    say(served, rendered, status, now_ms, |name, value| {
        fields.insert(name, value.clone());
    });
    let mut answer = Response::new(Body::Own(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = fields;
    answer
}

/// The same as bytes.
#[must_use]
pub fn page_text(served: &Served, rendered: &Rendered, request: &HeaderMap, now_ms: u64) -> Text {
    let (status, body) = content(rendered, request);
    let mut text = Text::new(status, body);
    say(served, rendered, status, now_ms, |name, value| text.say(name, value));
    text
}

/// A page for a request with these fields.
fn content(rendered: &Rendered, request: &HeaderMap) -> (StatusCode, Bytes) {
    if condition::has(request, &rendered.etag) {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        (StatusCode::OK, rendered.body.clone())
    }
}

/// What an answer with a page, of this status, says beside its length.
fn say(
    served: &Served,
    rendered: &Rendered,
    status: StatusCode,
    now_ms: u64,
    mut field: impl FnMut(&HeaderName, &HeaderValue),
) {
    if status == StatusCode::OK {
        field(&header::CONTENT_TYPE, &JSON);
        if rendered.coding != Coding::Identity {
            field(&header::CONTENT_ENCODING, &HeaderValue::from_static(rendered.coding.name()));
        }
    }
    field(&header::ETAG, &rendered.etag);
    field(&header::CACHE_CONTROL, &PRIVATE);
    field(&header::VARY, &VARY);
    let age = served.age.as_secs();
    AGES.with(|ages| ages.with(age, age, || age.into(), |value| field(&header::AGE, value)));
    // When it was got from the upstream: `Date` and `Age` tell the same (RFC 9110 section 6.6.1).
    let got = Duration::from_millis(now_ms).saturating_sub(served.age).as_secs();
    with_date(got, |value| field(&header::DATE, value));
    served.status.with_value(|value| field(&CACHE_STATUS, value));
}

/// Has this second since 1970 used as an HTTP date (RFC 9110 section 5.6.7).
fn with_date<T>(second: u64, used: impl FnOnce(&HeaderValue) -> T) -> T {
    let made = || {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        HeaderValue::try_from(date).unwrap_or(HeaderValue::from_static(""))
    };
    DATES.with(|dates| dates.with(second, second, made, used))
}

/// A request that takes only what is cached, and there is nothing (RFC 9111 section 5.2.1.7).
#[must_use]
pub fn not_cached() -> Response<Body> {
    let mut answer =
        problem(StatusCode::GATEWAY_TIMEOUT, "not cached, and only a cached answer was asked for");
    answer.headers_mut().insert(CACHE_STATUS, CacheStatus::NotCached.value());
    answer
}

/// Why there is no page: the upstream's own answer where it gave one. `because` says why it was asked.
#[must_use]
pub fn failed(error: &FillError, because: Because) -> Response<Body> {
    let (mut answer, status) = match error {
        FillError::Answered(answered) => (passed_on(answered), Some(answered.status)),
        FillError::Upstream(error) => (unanswered(error), None),
        FillError::Late(_) => (too_slow(), None),
        FillError::Truncated
        | FillError::TooLarge(_)
        | FillError::Busy
        | FillError::Unfit(_)
        | FillError::Contradiction(_) => (broken_off(), None),
    };
    answer.headers_mut().insert(CACHE_STATUS, CacheStatus::Failed { because, status }.value());
    answer
}

/// The upstream's answer to a request that was passed on, which says that it is that. Caches before this
/// one may have said their part.
#[must_use]
pub fn forwarded(mut answer: Response<Body>, reason: Reason) -> Response<Body> {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().append(CACHE_STATUS, CacheStatus::Bypass(reason).value());
    }
    answer
}

/// What an answer that is passed on as bytes says beside its own fields.
#[must_use]
pub fn forwarded_field(reason: Reason) -> (HeaderName, HeaderValue) {
    (CACHE_STATUS, CacheStatus::Bypass(reason).value())
}

/// `Date` for an answer that has none, at this time of the wall clock's, in milliseconds since 1970.
#[must_use]
pub fn date_at(now_ms: u64) -> HeaderValue {
    with_date(now_ms / 1_000, HeaderValue::clone)
}

/// The upstream gave no answer to a request that was passed on.
#[must_use]
pub fn unforwarded(error: &UpstreamError, reason: Reason) -> Response<Body> {
    let mut answer = unanswered(error);
    answer.headers_mut().insert(CACHE_STATUS, CacheStatus::Bypass(reason).value());
    answer
}

/// A request that no proxy should pass.
#[must_use]
pub fn refused(refusal: &Refusal) -> Response<Body> {
    let status = match refusal {
        Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::TargetLength { .. } => StatusCode::URI_TOO_LONG,
        Refusal::Host | Refusal::Authority | Refusal::Target | Refusal::Framing => StatusCode::BAD_REQUEST,
    };
    let mut answer = problem(status, &refusal.to_string());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = HeaderValue::from_static("GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE");
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    answer
}

/// Our own failure; what it was is in the log.
#[must_use]
pub fn internal() -> Response<Body> {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "catproxy failed to answer this request")
}

fn passed_on(answered: &Arc<Answered>) -> Response<Body> {
    let mut answer = Response::new(Body::Own(answered.body.clone()));
    *answer.status_mut() = answered.status;
    *answer.headers_mut() = answered.fields.clone();
    answer.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    answer
}

fn unanswered(error: &UpstreamError) -> Response<Body> {
    match error {
        UpstreamError::Connect(_) => problem(StatusCode::BAD_GATEWAY, "ABConnect cannot be reached"),
        UpstreamError::Broken(_) | UpstreamError::Unfit(_) => broken_off(),
        UpstreamError::ConnectLate(_) | UpstreamError::Late(_) => too_slow(),
        UpstreamError::Crowded(_) => {
            let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait for ABConnect");
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            answer
        }
        UpstreamError::ClientLate => {
            problem(StatusCode::REQUEST_TIMEOUT, "the request's body paused for too long")
        }
        UpstreamError::ClientBroken => problem(StatusCode::BAD_REQUEST, "the request's body is broken"),
    }
}

fn broken_off() -> Response<Body> {
    problem(StatusCode::BAD_GATEWAY, "ABConnect broke off its answer")
}

fn too_slow() -> Response<Body> {
    problem(StatusCode::GATEWAY_TIMEOUT, "ABConnect did not answer in time")
}

/// ProblemDetails (RFC 9457), as the upstream's own errors are.
#[must_use]
pub fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    let mut answer = own(status, PROBLEM, body.to_string().into());
    answer.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    answer
}

fn own(status: StatusCode, media: HeaderValue, body: Bytes) -> Response<Body> {
    let mut fields = HeaderMap::with_capacity(8);
    fields.insert(header::CONTENT_TYPE, media);
    let mut answer = Response::new(Body::Own(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = fields;
    answer
}
