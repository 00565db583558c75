//! Dates as an upstream may write them, from its page to the client's.

use catproxy::config::Admission;
use fake_abconnect::Rule;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{CATALOGS, at, ids, page_of};
use crate::support::{RedisServer, Setup};

/// By the clock of New York, where these dates are of today or later.
const NOON: &str = "2026-09-01T12:00:00[America/New_York]";

fn kept() -> Vec<Value> {
    vec![
        json!("2026-09-01T00:00:00"),
        json!("2026-09-01T23:59:59.856"),
        json!("2026-09-01T00:00:00.0000000"),
        json!("2026-09-01"),
        json!("2026-09-01T04:00:00Z"),
        json!("2026-09-01T00:00:00-04:00"),
        json!("2026-09-01T18:00:00.5+14:00"),
        json!("2026-09-02T00:00:00"),
        json!("9999-12-31T23:59:59.9999999"),
    ]
}

fn dropped() -> Vec<Value> {
    vec![
        json!("2026-08-31T23:59:59.9999999"),
        json!("2026-08-31"),
        json!("2026-09-01T03:59:59Z"),
        json!("2026-09-01T17:59:59.5+14:00"),
        json!("0001-01-01T00:00:00"),
        Value::Null,
    ]
}

fn unreadable() -> Vec<Value> {
    vec![
        json!(""),
        json!("soon"),
        json!("2026-02-30T00:00:00"),
        json!("01.09.2026"),
        json!(20_260_901),
        json!({}),
    ]
}

#[tokio::test]
async fn catalogs_are_kept_by_any_date_that_reads_and_those_that_do_not_are_counted_once_a_fill() {
    let server = RedisServer::start().await;
    let setup = || {
        Setup::new().config(|config| {
            config.time_zone = TimeZone::get("America/New_York").expect("a zone");
            config.admission = Admission::Open;
        })
    };
    let dates: Vec<Value> = [kept(), dropped(), unreadable()].concat();
    let (expected, bad) = (kept().len(), unreadable().len() as u64);
    let mut page: Value = serde_json::from_str(&page_of(&dates)).expect("a page");
    // One has no such field at all.
    page["items"].as_array_mut().expect("items").push(json!({ "id": 99, "title": "a" }));
    page["totalItems"] = json!(dates.len() + 1);
    for setup in [setup(), setup().redis(&server)] {
        let bench = setup.start().await;
        bench.clock.set(at(NOON));
        bench.upstream.rule(Rule { body: Some(page.to_string()), ..Rule::default() });
        let count = || bench.proxy.inside.telemetry().count("unreadable_dates");
        let cold = bench.get(CATALOGS).await;
        cold.came("fwd=miss");
        assert_eq!(ids(&cold), (1..=expected as i64).collect::<Vec<_>>());
        assert_eq!(cold.json()["totalItems"], expected);
        let shown: Vec<Value> = cold.items().iter().map(|item| item["startDate"].clone()).collect();
        assert_eq!(shown, kept(), "as they were written");
        assert_eq!(count(), bad);
        for target in [CATALOGS, "/api/Catalog?PageSize=2&SellerIds=42", CATALOGS] {
            bench.get(target).await.came("hit");
        }
        bench.clock.set(at("2026-09-01T23:59:00[America/New_York]"));
        bench.get("/api/Catalog?SellerIds=43").await.came("fwd=miss");
        assert_eq!(count(), 2 * bad, "once for each of two fills");
        bench.clock.set(at("2026-09-02T00:01:00[America/New_York]"));
        let next_day = bench.get("/api/Catalog?SellerIds=43").await;
        next_day.came("hit");
        assert_eq!(ids(&next_day), [8, 9]);
        assert_eq!(count(), 2 * bad, "and not for what is made of them");
    }
}
