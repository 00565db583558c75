//! Whether it is well, and what it lacks where it goes on all the same.

use std::time::Duration;

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Subject, answer};
use crate::{body::Body, cache::StoreHealth, proxy::Proxy};

/// 503 where it takes no requests any more. What is lacking of its neighbours is said and is no reason to send clients
/// elsewhere: every replica lacks the same, and each answers all the same.
pub(super) fn ready(subject: &dyn Subject) -> Response<Body> {
    let ready = !subject.is_stopping();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, Value::Object(readiness(subject, ready)).to_string())
}

/// The same, and what was counted; always 200.
pub(super) fn status(subject: &dyn Subject, uptime: Duration) -> Response<Body> {
    let mut all = readiness(subject, !subject.is_stopping());
    let counts = subject.proxy().telemetry().counts();
    let counts: Map<_, _> = counts.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    all.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
    all.insert("uptime_seconds".to_owned(), uptime.as_secs().into());
    all.insert("connections".to_owned(), subject.connections().into());
    all.insert("counts".to_owned(), counts.into());
    answer::json(StatusCode::OK, Value::Object(all).to_string())
}

fn readiness(subject: &dyn Subject, ready: bool) -> Map<String, Value> {
    let proxy = subject.proxy();
    let (store, upstream) = (store(&proxy), upstream(&proxy));
    let mut reasons = Vec::new();
    if !ready {
        reasons.push("told to stop: it finishes what it has begun and takes nobody in");
    }
    reasons.extend(match store {
        "away" => Some("Redis is away: lists come from the upstream until it is back"),
        "partly" => {
            Some("a server of the Redis Cluster is away: the lists of its keys come from the upstream")
        }
        "absent" => Some("the Redis URL is not usable: lists come from the upstream"),
        _ => None,
    });
    if upstream == "away" {
        reasons.push("the upstream did not answer the last call");
    }
    let all = json!({ "ready": ready, "reasons": reasons, "store": store, "upstream": upstream });
    if let Value::Object(all) = all { all } else { Map::new() }
}

fn store(proxy: &Proxy) -> &'static str {
    match proxy.store_health() {
        StoreHealth::Redis => "redis",
        StoreHealth::Partly => "partly",
        StoreHealth::Away => "away",
        StoreHealth::Memory => "memory",
        StoreHealth::Absent => "absent",
    }
}

fn upstream(proxy: &Proxy) -> &'static str {
    if proxy.telemetry().upstream_is_away() { "away" } else { "answers" }
}
