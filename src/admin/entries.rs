//! `GET /entries`: what is in the store, a bounded piece at a time.

use std::time::Duration;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{self, problem};
use crate::{
    body::Body,
    cache::list::{Listed, Unlisted},
    proxy::Proxy,
};

const LIMIT: usize = 100;
const GREATEST_LIMIT: usize = 1000;

pub(super) async fn list(proxy: &Proxy, query: Option<&str>) -> Response<Body> {
    let asked = match Asked::read(query.unwrap_or_default()) {
        Ok(asked) => asked,
        Err(wrong) => return problem(StatusCode::BAD_REQUEST, &wrong),
    };
    match proxy.entries(asked.from.as_deref(), asked.limit).await {
        Ok(listing) => {
            let entries: Vec<_> = listing.entries.iter().map(entry).collect();
            let all = json!({ "entries": entries, "next": listing.next });
            answer::json(StatusCode::OK, all.to_string())
        }
        Err(unlisted @ Unlisted::Place) => problem(StatusCode::BAD_REQUEST, &format!("from: {unlisted}")),
        Err(unlisted @ Unlisted::Store(_)) => problem(StatusCode::SERVICE_UNAVAILABLE, &unlisted.to_string()),
    }
}

fn entry(listed: &Listed) -> Value {
    json!({
        "key": listed.key,
        "route": listed.route,
        "bytes": listed.bytes,
        "age_ms": listed.age.map(milliseconds),
        "left_ms": listed.left.map(milliseconds),
        "valid": listed.valid,
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    from: Option<String>,
    limit: usize,
}

impl Asked {
    fn read(query: &str) -> Result<Self, String> {
        let (mut from, mut limit) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let twice = match &*name {
                "from" if value.is_empty() => return Err("from: the `next` of the answer before".to_owned()),
                "from" => from.replace(value.into_owned()).is_some(),
                "limit" => {
                    // A sign parses, too.
                    let digits =
                        Some(&*value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
                    let number = digits.and_then(|digits| digits.parse().ok());
                    let number = number.filter(|number| (1..=GREATEST_LIMIT).contains(number));
                    let number = number.ok_or(format!("limit: a number from 1 to {GREATEST_LIMIT}"))?;
                    limit.replace(number).is_some()
                }
                _ => return Err(format!("{name:?} is not known here; from and limit are")),
            };
            if twice {
                return Err(format!("{name} stands there twice"));
            }
        }
        Ok(Self { from, limit: limit.unwrap_or(LIMIT) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_of_a_query_is_said() {
        let asked = |from: Option<&str>, limit| Ok(Asked { from: from.map(str::to_owned), limit });
        assert_eq!(Asked::read(""), asked(None, 100));
        assert_eq!(Asked::read("limit=1000&from=cat_a%26b"), asked(Some("cat_a&b"), 1000));
        for (query, word) in [
            ("limit=0", "1 to 1000"),
            ("limit=1001", "1 to 1000"),
            ("limit=-1", "1 to 1000"),
            ("limit=%2B1", "1 to 1000"),
            ("limit=", "1 to 1000"),
            ("limit=x", "1 to 1000"),
            ("limit=1&limit=2", "twice"),
            ("from=a&from=b", "twice"),
            ("from=", "the `next`"),
            ("size=3", "\"size\" is not known"),
        ] {
            let said = Asked::read(query).unwrap_err();
            assert!(said.contains(word), "{query}: {said}");
        }
    }
}
