//! Midnight: an entry kept from yesterday is cut down where it is read, in the zone that is configured.

use std::time::Duration;

use catproxy::config::Admission;
use fake_abconnect::Rule;
use jiff::tz::TimeZone;
use serde_json::json;

use super::{CATALOGS, at, ids, page_of};
use crate::support::{RedisServer, Setup, until};

fn zone_of(moment: &str) -> TimeZone {
    moment.parse::<jiff::Zoned>().expect(moment).time_zone().clone()
}

#[tokio::test]
async fn midnight_in_the_configured_zone_cuts_an_entry_down_without_an_upstream_call() {
    // Half a minute before midnight; its day and the next; two instants with an offset, the last of the one day
    // and the first of the other.
    let midnights = [
        ("2026-03-07T23:59:30[America/New_York]", "2026-03-07", "2026-03-08", "04:59:59Z", "05:00:00Z"),
        // The end of a day of 23 hours, on which summer time began.
        ("2026-03-08T23:59:30[America/New_York]", "2026-03-08", "2026-03-09", "03:59:59Z", "04:00:00Z"),
        // Of 25 hours.
        ("2026-11-01T23:59:30[America/New_York]", "2026-11-01", "2026-11-02", "04:59:59Z", "05:00:00Z"),
        // There is no midnight: the clock goes from 23:59:59 to 01:00:00.
        ("2026-03-07T23:59:30[America/Havana]", "2026-03-07", "2026-03-08", "04:59:59Z", "05:00:00Z"),
        (
            "2026-06-30T23:59:30[Asia/Kathmandu]",
            "2026-06-30",
            "2026-07-01",
            "00:00:00+05:46",
            "00:00:00+05:45",
        ),
        ("2026-12-31T23:59:30[UTC]", "2026-12-31", "2027-01-01", "00:00:00+00:01", "00:00:00Z"),
    ];
    for (moment, today, tomorrow, before, after) in midnights {
        for in_redis in [false, true] {
            let server = RedisServer::start().await;
            let setup = Setup::new().config(move |config| {
                config.time_zone = zone_of(moment);
                config.admission = Admission::Open;
                if let Some(near) = &mut config.store.near {
                    near.limit = Duration::from_secs(60);
                }
            });
            let bench = if in_redis { setup.redis(&server) } else { setup }.start().await;
            bench.clock.set(at(moment));
            let dates = [
                json!("2026-01-01T00:00:00"),
                json!(format!("{today}T00:00:00")),
                json!(format!("{tomorrow}T00:00:00")),
                json!(format!("{tomorrow}T{before}")),
                json!(format!("{today}T23:59:59.9999999")),
                json!(format!("{tomorrow}T{after}")),
            ];
            bench.upstream.rule(Rule { body: Some(page_of(&dates)), ..Rule::default() });
            let name = format!("{moment}, in Redis: {in_redis}");
            // Until it comes from the cache, and where there are copies in the process from one of them.
            let cached = async |expected: &[i64]| {
                until(&format!("{name}: it is cached"), || async {
                    let reply = bench.get(CATALOGS).await;
                    assert_eq!(ids(&reply), expected, "{name}: {reply:?}");
                    let status = reply.field("cache-status");
                    status.starts_with("catproxy; hit") && (!in_redis || status.ends_with("; detail=near"))
                })
                .await;
                bench.get(CATALOGS).await
            };
            let day = cached(&[2, 3, 4, 5, 6]).await;
            assert_eq!(day.json()["totalItems"], 5, "{name}");
            bench.upstream.clear_calls();
            bench.clock.forward(Duration::from_secs(60));
            let night = cached(&[3, 6]).await;
            assert_eq!(night.json()["totalItems"], 2, "{name}");
            assert_ne!(night.field("etag"), day.field("etag"), "{name}");
            let small = bench.get("/api/Catalog?PageNumber=2&PageSize=1&SellerIds=42").await;
            assert_eq!(ids(&small), [6], "{name}");
            assert_eq!(small.json()["totalPages"], 2, "{name}");
            assert_eq!(small.json()["hasNextPage"], false, "{name}");
            for (tag, status) in [(day.field("etag"), 200), (night.field("etag"), 304)] {
                let known = bench.proxy.send("GET", CATALOGS, &[("If-None-Match", tag)], "").await;
                assert_eq!(known.status, status, "{name}");
            }
            assert!(bench.upstream.calls().is_empty(), "{name}: {:?}", bench.upstream.calls());
        }
    }
}

#[tokio::test]
async fn midnight_elsewhere_changes_nothing() {
    // Midnight in UTC.
    let moment = "2026-03-08T19:59:30[America/New_York]";
    let setup = Setup::new().config(move |config| {
        config.time_zone = zone_of(moment);
        config.admission = Admission::Open;
    });
    let bench = setup.start().await;
    bench.clock.set(at(moment));
    let dates = [json!("2026-03-07T23:00:00"), json!("2026-03-08T00:00:00"), json!("2026-03-09T00:00:00")];
    bench.upstream.rule(Rule { body: Some(page_of(&dates)), ..Rule::default() });
    let before = bench.get(CATALOGS).await;
    assert_eq!(ids(&before), [2, 3]);
    bench.clock.forward(Duration::from_secs(60));
    let after = bench.get(CATALOGS).await;
    after.came("hit");
    assert_eq!((&after.body, after.field("etag")), (&before.body, before.field("etag")));
}
