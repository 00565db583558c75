//! What writes change, and that reads show it at once.

use crate::client::Bench;
use fake_abconnect::{Generation, Options};
use serde_json::{Value, json};

async fn sent(bench: &Bench, method: &str, target: &str, body: Value) -> Value {
    let reply = bench.send(method, target, &body.to_string()).await;
    assert_eq!(reply.status, 200, "{method} {target}: {}", reply.text());
    if reply.raw_body.is_empty() { Value::Null } else { reply.json() }
}

async fn total(bench: &Bench, target: &str) -> u64 {
    bench.get(target).await.json()["totalItems"].as_u64().unwrap()
}

fn second_generation() -> Bench {
    Bench::with(Options { generation: Generation::Second, ..Options::default() })
}

#[tokio::test]
async fn a_seller_is_added_changed_and_deleted_in_both_lists() {
    let bench = Bench::start();
    assert_eq!(total(&bench, "/api/Seller").await, 730);
    let added = sent(
        &bench,
        "POST",
        "/api/Seller",
        json!({"NAME": "New <Co>", "customerDisplayId": 9, "isActive": true}),
    )
    .await;
    assert_eq!((added["name"].as_str(), added["displayId"].is_null()), (Some("New <Co>"), true));
    assert_eq!(total(&bench, "/api/Seller").await, 731);
    let changed = json!({"name": null, "customerDisplayId": 10, "isActive": false});
    sent(&bench, "PUT", "/api/Seller/42", changed).await;
    let catalog = bench.get("/api/Catalog?SellerIds=42&PageSize=1").await.json()["items"][0].clone();
    assert_eq!(catalog["sellers"][0]["name"], Value::Null);
    assert_eq!(bench.send("DELETE", "/api/Seller/42", "").await.status, 204);
    assert_eq!(bench.send("DELETE", "/api/Seller/42", "").await.status, 404);
    assert_eq!(total(&bench, "/api/Catalog?SellerIds=42").await, 0);
    let orphan = bench.get(&format!("/api/Catalog/{}", catalog["id"])).await.json();
    assert_eq!(orphan["sellers"], json!([]));
}

#[tokio::test]
async fn a_catalog_moves_from_seller_to_seller_and_away() {
    let bench = Bench::start();
    let catalog = json!({"title": "New", "startDate": "2026-09-01T00:00:00", "endDate": "2026-09-02T00:00:00.5",
        "customerCatalogId": "N-1", "agent": "A", "sellerIds": [42, 2]});
    let added = sent(&bench, "POST", "/api/Catalog", catalog.clone()).await;
    assert_eq!(added["sellers"].as_array().unwrap().len(), 2);
    assert!(added.get("lots").is_none(), "writes answer without lots");
    assert_eq!(added["endDate"], "2026-09-02T00:00:00.5");
    assert_eq!(bench.get("/api/Seller/2").await.json()["catalogs"][0]["title"], "New");
    let mut moved = catalog;
    moved["sellerIds"] = json!([2]);
    let target = format!("/api/Catalog/{}", added["id"]);
    sent(&bench, "PUT", &target, moved).await;
    assert_eq!(total(&bench, "/api/Catalog?SellerIds=42").await, 230);
    assert_eq!(total(&bench, "/api/Catalog?SellerIds=2").await, 1);
    assert_eq!(bench.send("DELETE", &target, "").await.status, 204);
    assert_eq!(bench.get("/api/Seller/2").await.json()["catalogs"], json!([]));
}

#[tokio::test]
async fn a_lot_joins_and_leaves_catalogs() {
    let bench = Bench::start();
    let catalog = bench.get("/api/Catalog?SellerIds=42&PageSize=1").await.json()["items"][0].clone();
    let path = format!("/api/Catalog/{}", catalog["id"]);
    let lots = catalog["lots"].as_array().unwrap().len();
    let lot = json!({"customerItemId": "mine", "imageLinks": ["http://pictures/1"],
        "initialData": {"Qty": 2, "l": 1.5, "value": 12}, "overridenData": [{"ITEMID": "x"}],
        "catalogs": [{"catalogId": catalog["id"], "lotNumber": "9999"}]});
    let added = sent(&bench, "POST", "/api/Lot", lot.clone()).await;
    assert_eq!(
        (&added["initialData"]["L"], &added["overridenData"][0]["ItemID"]),
        (&json!(1.5), &json!("x"))
    );
    assert_eq!(bench.get(&path).await.json()["lots"].as_array().unwrap().len(), lots + 1);
    let asked = json!({"customerItemIds": ["mine", "unknown"]});
    let overrides = sent(&bench, "POST", "/api/Lot/get-overrides", asked.clone()).await;
    assert_eq!(
        (overrides[0]["customerItemId"].as_str(), overrides.as_array().unwrap().len()),
        (Some("mine"), 1)
    );
    let target = format!("/api/Lot/{}", added["id"]);
    let mut away = lot;
    away["catalogs"] = json!([]);
    away["overridenData"] = Value::Null;
    let changed = sent(&bench, "PUT", &target, away).await;
    assert_eq!(
        changed["initialData"], added["initialData"],
        "an update does not touch what a lot was at first"
    );
    assert_eq!(sent(&bench, "POST", "/api/Lot/get-overrides", asked).await, json!([]));
    assert_eq!(bench.get(&path).await.json()["lots"], catalog["lots"]);
    assert_eq!(bench.send("DELETE", &target, "").await.status, 204);
    let made_up = &catalog["lots"][0]["id"];
    assert_eq!(bench.send("DELETE", &format!("/api/Lot/{made_up}"), "").await.status, 204);
    assert_eq!(bench.get(&format!("/api/Lot/{made_up}")).await.status, 404);
    assert_eq!(bench.get(&path).await.json()["lots"].as_array().unwrap().len(), lots - 1);
}

#[tokio::test]
async fn a_bulk_insert_makes_sellers_catalogs_and_lots() {
    let bench = Bench::start();
    let known = bench.upstream.seller(42).unwrap()["customerDisplayId"].clone();
    let catalog = json!({"customerCatalogId": "B-1", "title": "Bulk", "startDate": "2026-09-01T00:00:00",
        "endDate": "2026-09-02T00:00:00", "sellers": [{"customerDisplayId": known}, {"name": "Fresh",
        "customerDisplayId": -5, "isActive": true}], "lots": [{"customerItemId": "b1", "lotNumber": "1"},
        {"customerItemId": "b2", "lotNumber": "2"}]});
    assert_eq!(sent(&bench, "POST", "/api/Bulk/insert", json!({"catalogs": [catalog]})).await, Value::Null);
    let page = bench.get("/api/Catalog?CustomerCatalogId=b-1").await.json();
    let made = &page["items"][0];
    assert_eq!((made["sellers"].as_array().unwrap().len(), made["lots"].as_array().unwrap().len()), (2, 2));
    assert_eq!(total(&bench, "/api/Seller").await, 731);
    assert_eq!(total(&bench, "/api/Catalog?SellerIds=42").await, 231);
    assert_eq!(total(&bench, "/api/Lot?CustomerItemId=b2").await, 1);
    assert_eq!(bench.send("POST", "/api/Bulk/insert", r#"{"catalogs":[]}"#).await.status, 400);
}

#[tokio::test]
async fn a_bulk_upsert_finds_what_it_knows_and_notes_what_differs() {
    let bench = second_generation();
    let bulk = |weight: i32| {
        json!({"catalogs": [{"customerCatalogId": "U-1", "title": "Upsert", "startDate": "2026-09-01T00:00:00",
            "endDate": "2026-09-02T00:00:00", "seller": {"name": "Fresh", "customerDisplayId": -5},
            "lots": [{"customerItemId": "u1", "lotNumber": "1", "data": {"Wgt": weight}}]}]})
    };
    let first = sent(&bench, "POST", "/api/Bulk/upsert", bulk(1)).await;
    assert_eq!(first[0]["platforms"], json!([{"platformId": 1, "platformCatalogId": "U-1"}]));
    assert_eq!(sent(&bench, "POST", "/api/Bulk/upsert", bulk(1)).await, first);
    assert_eq!(sent(&bench, "POST", "/api/Bulk/upsert", bulk(2)).await, first);
    let items = format!("/api/Lot/{}/ClientItemData", first[0]["lots"][0]["id"]);
    let noted = bench.get(&items).await.json();
    assert_eq!(
        (noted["totalItems"].as_u64(), &noted["items"][0]["clientItemData"][0]["Wgt"]),
        (Some(1), &json!(2))
    );
    let said = sent(&bench, "POST", &items, json!({"clientItemData": [{"Qty": 3}]})).await;
    assert_eq!((said["createdBy"].as_i64(), said["modifiedBy"].is_null()), (Some(1), true));
    assert_eq!(bench.send("DELETE", &format!("{items}/{}", said["id"]), "").await.status, 204);
    assert_eq!(total(&bench, &items).await, 1);
    assert_eq!(total(&bench, "/api/Catalog?PlatformCatalogId=u-1").await, 1);
}

#[tokio::test]
async fn merged_catalogs_join_their_lots_by_number() {
    let bench = second_generation();
    let page = bench.get("/api/Catalog?SellerIds=42&PageSize=2").await.json();
    let (target, source) = (&page["items"][0], &page["items"][1]);
    let lots = |catalog: &Value| catalog["lots"].as_array().unwrap().len();
    let path = format!("/api/Catalog/{}/merge/{}", target["id"], source["id"]);
    let merged = bench.send("POST", &path, "").await.json();
    assert_eq!(lots(&merged), lots(target).max(lots(source)));
    assert_eq!(bench.get(&format!("/api/Catalog/{}", source["id"])).await.status, 404);
    assert_eq!(total(&bench, "/api/Catalog?SellerIds=42").await, 229);
    assert_eq!(bench.send("POST", &path, "").await.status, 404);
    let (one, two) = (&merged["lots"][0]["id"], &merged["lots"][1]["id"]);
    let lot = bench.send("POST", &format!("/api/Lot/{one}/merge/{two}"), "").await.json();
    assert_eq!(lot["id"], *one);
    assert_eq!(bench.get(&format!("/api/Lot/{two}")).await.status, 404);
    assert_eq!(bench.send("POST", &format!("/api/Lot/{one}/merge/{one}"), "").await.status, 400);
}

#[tokio::test]
async fn platforms_and_second_generation_catalogs_are_written() {
    let bench = second_generation();
    let platform =
        sent(&bench, "POST", "/api/Platform", json!({"name": "P", "partnerId": 7, "isActive": true})).await;
    let path = format!("/api/Platform/{}", platform["id"]);
    sent(&bench, "PUT", &path, json!({"name": "Q", "partnerId": 8, "isActive": false})).await;
    assert_eq!(total(&bench, "/api/Platform?PartnerId=8&Name=q").await, 1);
    let catalog = json!({"agentCompanyIds": ["0f8fad5b-d9cb-469f-a165-70867728950e"], "title": "T",
        "startDate": "2026-09-01T00:00:00", "endDate": "2026-09-02T00:00:00", "isCompleted": true, "sellerId": 42,
        "platforms": [{"platformId": platform["id"], "platformCatalogId": "pc"}]});
    let added = sent(&bench, "POST", "/api/Catalog", catalog).await;
    assert_eq!((&added["seller"]["id"], &added["isCompleted"]), (&json!(42), &json!(true)));
    let found = bench.get("/api/Catalog?AgentCompanyId=0F8FAD5B-D9CB-469F-A165-70867728950E").await.json();
    assert_eq!(found["items"][0]["id"], added["id"]);
    assert_eq!(bench.send("DELETE", &path, "").await.status, 204);
    let left = bench.get(&format!("/api/Catalog/{}", added["id"])).await.json();
    assert_eq!(left["platforms"], json!([]));
}
