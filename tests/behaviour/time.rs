//! What time does to entries: days that end, clocks that step or differ, and answers that come late.

mod clocks;
mod dates;
mod midnight;

use serde_json::{Value, json};

use crate::support::Reply;

const CATALOGS: &str = "/api/Catalog?PageNumber=1&PageSize=500&SellerIds=42";

/// The upstream's only page of catalogs, with these dates; `null` where a catalog has none.
fn page_of(dates: &[Value]) -> String {
    let items: Vec<Value> = dates
        .iter()
        .enumerate()
        .map(|(place, date)| json!({ "id": place + 1, "title": "a", "startDate": date }))
        .collect();
    let total = items.len();
    json!({ "items": items, "pageNumber": 1, "totalPages": 1, "totalItems": total }).to_string()
}

fn ids(reply: &Reply) -> Vec<i64> {
    reply.is(200).items().iter().map(|item| item["id"].as_i64().expect("an id")).collect()
}

/// A moment by the clock of a place.
fn at(moment: &str) -> jiff::Timestamp {
    moment.parse::<jiff::Zoned>().expect(moment).timestamp()
}
