//! `POST /purge`, `POST /refresh` and `PUT /log`: what an operator has done.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::answer::{self, problem};
use crate::{
    body::Body,
    deadline::Deadline,
    proxy::{
        Proxy,
        operate::{Purge, Purged},
    },
    telemetry::log::{self, Filter, Unfiltered},
    upstream::is_json,
};

/// An order with a long token is far smaller.
const ORDER_BYTES: usize = 64 * 1024;
/// From an order's head to its end.
const ORDER_LIMIT: Duration = Duration::from_secs(10);

/// What is to be emptied, as it is said: exactly one of these.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PurgeOrder {
    All(bool),
    Route(String),
    Key(String),
}

/// What is to be fetched anew.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshOrder {
    key: String,
    /// `None` for an upstream that asks for none.
    token: Option<String>,
}

/// What is to be logged.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogOrder {
    filter: String,
}

pub(super) async fn purge(proxy: &Proxy, fields: &HeaderMap, body: Incoming) -> Response<Body> {
    let what = match order(fields, body).await {
        Ok(PurgeOrder::All(true)) => Purge::All,
        Ok(PurgeOrder::All(false)) => {
            return problem(StatusCode::BAD_REQUEST, "all is true, or there are route or key");
        }
        Ok(PurgeOrder::Route(name)) => Purge::Route(name),
        Ok(PurgeOrder::Key(key)) => Purge::Key(key),
        Err(answer) => return *answer,
    };
    match proxy.purge(&what).await {
        Ok(purged) => said(&purged),
        Err(unknown) => problem(StatusCode::NOT_FOUND, &unknown.to_string()),
    }
}

/// 202 where not every replica knows of it yet.
fn said(purged: &Purged) -> Response<Body> {
    let Purged { routes, key, acknowledged } = purged;
    tracing::info!(?routes, key, acknowledged, "purged by an operator");
    let status = if *acknowledged { StatusCode::OK } else { StatusCode::ACCEPTED };
    let all = json!({ "routes": routes, "key": key, "acknowledged": acknowledged });
    answer::json(status, all.to_string())
}

pub(super) async fn refresh(proxy: &Proxy, fields: &HeaderMap, body: Incoming) -> Response<Body> {
    let RefreshOrder { key, token } = match order(fields, body).await {
        Ok(order) => order,
        Err(answer) => return *answer,
    };
    let authorization = match token.as_deref().map(said_by).transpose() {
        Ok(authorization) => authorization,
        Err(wrong) => return problem(StatusCode::BAD_REQUEST, wrong),
    };
    let fetched = match proxy.refresh(&key, authorization).await {
        Ok(fetched) => fetched,
        Err(unknown) => return problem(StatusCode::NOT_FOUND, &unknown.to_string()),
    };
    let came =
        fetched.headers().get("cache-status").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if fetched.status() != StatusCode::OK {
        let detail = format!("not fetched: a client of this token would get {} ({came})", fetched.status());
        return problem(StatusCode::BAD_GATEWAY, &detail);
    }
    answer::json(StatusCode::OK, json!({ "key": key, "cache_status": came }).to_string())
}

/// The filter in office.
pub(super) fn filter() -> Response<Body> {
    match log::filter() {
        Some(filter) => answer::json(StatusCode::OK, json!({ "filter": filter.text() }).to_string()),
        None => problem(StatusCode::CONFLICT, &Unfiltered::NoLog.to_string()),
    }
}

pub(super) async fn change_filter(fields: &HeaderMap, body: Incoming) -> Response<Body> {
    let LogOrder { filter } = match order(fields, body).await {
        Ok(order) => order,
        Err(answer) => return *answer,
    };
    match Filter::parse(&filter).and_then(log::change) {
        Ok(()) => self::filter(),
        Err(unfiltered @ Unfiltered::Part(_)) => problem(StatusCode::BAD_REQUEST, &unfiltered.to_string()),
        Err(unfiltered @ Unfiltered::NoLog) => problem(StatusCode::CONFLICT, &unfiltered.to_string()),
    }
}

/// How a client says its token.
fn said_by(token: &str) -> Result<HeaderValue, &'static str> {
    let wrong = "token: visible characters of ASCII, at least one";
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong);
    }
    HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| wrong)
}

/// An order's JSON, or what is wrong with it.
async fn order<T: DeserializeOwned>(fields: &HeaderMap, body: Incoming) -> Result<T, Box<Response<Body>>> {
    let wrong = |status, detail: &str| Err(Box::new(problem(status, detail)));
    if !is_json(fields) {
        return wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, "an order is application/json");
    }
    let read = Limited::new(body, ORDER_BYTES).collect();
    let text: Bytes = match Deadline::after(ORDER_LIMIT).within(read).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return wrong(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("an order has {ORDER_BYTES} bytes at most"),
            );
        }
        Ok(Err(_)) => return wrong(StatusCode::BAD_REQUEST, "the order broke off"),
        Err(_) => return wrong(StatusCode::REQUEST_TIMEOUT, "the order did not come in time"),
    };
    // Serde would take an array of an object's values for that object.
    if !text.trim_ascii_start().starts_with(b"{") {
        return wrong(StatusCode::BAD_REQUEST, "an order is a JSON object");
    }
    serde_json::from_slice(&text).or_else(|error| wrong(StatusCode::BAD_REQUEST, &error.to_string()))
}
