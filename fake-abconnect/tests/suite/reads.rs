//! What reading the data shows, in both generations.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::client::Bench;
use fake_abconnect::{FakeAbconnect, Generation, Options};
use serde_json::Value;

fn second_generation() -> Bench {
    Bench::with(Options { generation: Generation::Second, ..Options::default() })
}

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn ids(page: &Value) -> Vec<i64> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn the_pages_of_the_seller_list_joined_are_all_sellers() {
    let bench = Bench::start();
    let first = bench.get("/api/Seller?PageSize=500&PageNumber=1").await;
    assert_eq!((first.status, first.header("content-type")), (200, Some("application/json; charset=utf-8")));
    let second = bench.get("/API/seller?pagesize=500&pagenumber=2&unknown=1").await.json();
    let page = first.json();
    assert_eq!((page["totalItems"].as_u64(), page["totalPages"].as_u64()), (Some(730), Some(2)));
    assert_eq!((page["hasPreviousPage"].as_bool(), page["hasNextPage"].as_bool()), (Some(false), Some(true)));
    let mut joined = page["items"].as_array().unwrap().clone();
    joined.extend(second["items"].as_array().unwrap().clone());
    assert_eq!(joined, bench.upstream.sellers());
}

#[tokio::test]
async fn five_hundred_sellers_are_about_nine_tenths_of_a_megabyte_of_plain_ascii() {
    let body = Bench::start().get("/api/Seller?PageSize=500").await.raw_body;
    assert!((800_000..1_000_000).contains(&body.len()), "{}", body.len());
    assert!(body.is_ascii());
    let text = String::from_utf8(body).unwrap();
    assert!(text.starts_with(r#"{"items":[{"id":2,"name":""#), "{}", &text[..100]);
    assert!(text.contains(r"\u003Cscript\u003Ealert(\u0027sold\u0027)\u003C/script\u003E"));
    assert!(text.contains(r#""displayId":null"#) && text.contains(r#""name":null"#));
}

#[tokio::test]
async fn the_special_sellers_have_many_catalogs_around_today_and_none() {
    let bench = Bench::start();
    let many = bench.upstream.seller_with_many_catalogs();
    let page = bench.get(&format!("/api/Catalog?PageNumber=1&PageSize=500&SellerIds={many}")).await.json();
    assert_eq!(page["items"].as_array().unwrap(), &bench.upstream.catalogs_of(many));
    let today = jiff::Timestamp::now().to_string()[..10].to_owned();
    let starts: Vec<&str> =
        page["items"].as_array().unwrap().iter().map(|item| item["startDate"].as_str().unwrap()).collect();
    assert_eq!((starts.len(), starts.iter().filter(|start| **start >= today.as_str()).count()), (230, 115));
    assert!(starts.contains(&format!("{today}T00:00:00").as_str()));
    let none = bench.upstream.seller_without_catalogs();
    let page = bench.get(&format!("/api/Catalog?SellerIds={none}")).await.json();
    assert_eq!((page["totalItems"].as_u64(), page["totalPages"].as_u64()), (Some(0), Some(0)));
    assert_eq!(bench.get(&format!("/api/Seller/{none}")).await.json()["catalogs"], serde_json::json!([]));
}

#[tokio::test]
async fn sellers_and_catalogs_of_generation_one_have_its_fields() {
    let bench = Bench::start();
    let seller = bench.get("/api/Seller/42").await.json();
    let seller_fields = ["catalogs", "customerDisplayId", "displayId", "id", "isActive", "name"];
    assert_eq!(names(&seller), seller_fields.into());
    let core = ["agent", "customerCatalogId", "endDate", "id", "isCompleted", "startDate", "title"];
    assert_eq!(names(&seller["catalogs"][0]), core.into());
    let catalog = bench.get(&format!("/api/Catalog/{}", seller["catalogs"][0]["id"])).await.json();
    let expanded: BTreeSet<&str> = core.into_iter().chain(["lots", "sellers"]).collect();
    assert_eq!(names(&catalog), expanded);
    assert_eq!(catalog["sellers"][0]["id"], 42);
    let lot = bench.get(&format!("/api/Lot/{}", catalog["lots"][0]["id"])).await.json();
    let lot_fields = ["catalogs", "customerItemId", "id", "imageLinks", "initialData", "overridenData"];
    assert_eq!(names(&lot), lot_fields.into());
    assert_eq!(lot["catalogs"][0]["catalogId"], catalog["id"]);
    assert_eq!(lot["catalogs"][0]["lotNumber"], catalog["lots"][0]["lotNumber"]);
    assert!(lot["initialData"].get("Wgt").is_some() && lot["initialData"].get("forceCrate").is_some());
}

#[tokio::test]
async fn generation_two_has_one_seller_platforms_and_company_ids() {
    let bench = second_generation();
    let page = bench.get("/api/Catalog?SellerIds=42&PageSize=1").await.json();
    let catalog = &page["items"][0];
    let fields = [
        "agentCompanyIds",
        "endDate",
        "id",
        "isCompleted",
        "lots",
        "platforms",
        "seller",
        "startDate",
        "title",
    ];
    assert_eq!(names(catalog), fields.into());
    assert_eq!(catalog["seller"]["id"], 42);
    let lot = bench.get(&format!("/api/Lot/{}", catalog["lots"][0]["id"])).await.json();
    let lot_fields = ["catalogs", "id", "imageLinks", "initialData", "itemData", "platforms"];
    assert_eq!(names(&lot), lot_fields.into());
    assert!(lot["initialData"].get("value").is_none());
    let platforms = bench.get("/api/Platform?IsActive=true").await.json();
    assert_eq!(ids(&platforms), [1, 2, 3]);
    let item = lot["platforms"][0]["platformItemId"].as_str().unwrap();
    let found = bench.get(&format!("/api/Lot?PlatformItemId={item}")).await.json();
    assert_eq!(ids(&found), [lot["id"].as_i64().unwrap()]);
    let asked = format!(r#"{{"partnerId":101,"CustomerItemIds":["{item}","none"]}}"#);
    let data = bench.send("POST", "/api/Lot/ItemData", &asked).await.json();
    assert_eq!(data[0]["initialData"], lot["initialData"]);
    assert_eq!(data.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn filters_choose() {
    let bench = Bench::start();
    let all = bench.upstream.sellers();
    let named = bench.get("/api/Seller?Name=%3CSCRIPT%3E").await.json();
    assert_eq!(named["totalItems"], 1);
    let display_id = &all[7]["customerDisplayId"];
    let by_display = bench.get(&format!("/api/Seller?CustomerDisplayId={display_id}")).await.json();
    assert_eq!(by_display["items"][0], all[7]);
    let inactive = all.iter().filter(|seller| seller["isActive"] == false).count();
    assert_eq!(bench.get("/api/Seller?isactive=FALSE").await.json()["totalItems"], inactive);
    let both = bench.get("/api/Catalog?SellerIds=42&SellerIds=3&PageSize=500").await.json();
    assert!(both["totalItems"].as_u64() > Some(230), "{}", both["totalItems"]);
    let running = bench.get("/api/Catalog?SellerIds=42&IsCompleted=false&PageSize=1").await.json();
    assert_eq!(running["totalItems"], 118);
    let today = jiff::Timestamp::now().to_string()[..10].to_owned();
    let coming = bench.get(&format!("/api/Catalog?SellerIds=42&StartDate={today}")).await.json();
    assert_eq!(coming["totalItems"], 115);
    let ended = bench.get(&format!("/api/Catalog?SellerIds=42&EndDate={today}T00:00:00Z")).await.json();
    assert_eq!(ended["totalItems"], 112);
}

#[tokio::test]
async fn lots_are_found_by_item_and_by_number() {
    let bench = Bench::start();
    let lot = bench.get("/api/Lot/1234").await.json();
    let item = lot["customerItemId"].as_str().unwrap();
    assert_eq!(bench.get(&format!("/api/Lot?CustomerItemId={item}")).await.json()["items"][0], lot);
    let numbered = bench.get("/api/Lot?LotNumber=37A&PageSize=500").await.json();
    let lots = numbered["items"].as_array().unwrap();
    assert!(lots.len() == 500 && lots.iter().all(|lot| lot["catalogs"][0]["lotNumber"] == "37A"));
    let last = bench.get("/api/Lot?PageSize=1").await.json()["totalItems"].as_u64().unwrap();
    assert_eq!(
        ids(&bench.get(&format!("/api/Lot?PageSize=1&PageNumber={last}")).await.json()),
        [last as i64]
    );
}

#[tokio::test]
async fn pictures_of_lots_can_be_fetched_without_a_token() {
    let bench = Bench::start();
    let links = (1..50).map(|id| bench.upstream.lot(id).unwrap()["imageLinks"][0]["link"].clone());
    let link = links.filter_map(|link| link.as_str().map(str::to_owned)).next().unwrap();
    let target = link.strip_prefix(bench.upstream.url()).unwrap();
    let picture = bench.raw("GET", target, "", "").await;
    assert_eq!((picture.status, picture.header("content-type")), (200, Some("image/svg+xml")));
    assert!(picture.text().starts_with("<svg"));
}

#[tokio::test]
async fn the_same_seed_and_day_give_the_same_data_and_a_start_is_quick() {
    let options = || Options {
        today: Some(jiff::civil::date(2026, 5, 17)),
        public_url: Some("http://fake".to_owned()),
        ..Options::default()
    };
    let before = Instant::now();
    let one = FakeAbconnect::start(options()).unwrap();
    let took = before.elapsed();
    let two = FakeAbconnect::start(options()).unwrap();
    let other = FakeAbconnect::start(Options { seed: 2, ..options() }).unwrap();
    assert_eq!((one.sellers(), one.lot(77)), (two.sellers(), two.lot(77)));
    assert_ne!(one.sellers(), other.sellers());
    assert_eq!(one.seller(42).unwrap()["catalogs"].as_array().unwrap().len(), 230);
    assert!(took.as_millis() < 1500, "took {took:?}");
}

#[tokio::test]
async fn some_catalogs_have_two_thousand_lots() {
    let bench = Bench::start();
    let most = bench.upstream.catalogs().iter().map(|c| c["lots"].as_array().unwrap().len()).max();
    assert_eq!(most, Some(2000));
}
