//! How a write is spelled: what is not understood changes every route, and its refusal proves little.

use fake_abconnect::{Generation, Matching, Rule};

use super::world::{EVERYWHERE, World};

const STAY: [bool; 2] = [true; 2];
const VOID: [bool; 2] = [false; 2];
/// Sellers stay, catalogs are void.
const LISTS: [bool; 2] = [true, false];

/// Sends writes, each to an upstream that answers it with a status, and sees which entries are left.
async fn leave(world: &mut World, writes: &[(&str, &str, u16, [bool; 2])]) {
    for (method, target, status, stay) in writes {
        world.warm().await;
        let on = Matching::path("/");
        world.bench.upstream.rule(Rule { on, status: Some(*status), ..Rule::default() });
        let after = format!("{method} {target} was answered {status}");
        world.write(method, target, "{}").await.is(*status);
        world.bench.upstream.clear_rules();
        if *status == 401 || *status == 403 {
            world.token = world.bench.upstream.token("demo");
        }
        assert_eq!(world.look(&after).await, *stay, "{}, {after}", world.name);
    }
}

#[tokio::test]
async fn a_known_write_is_known_in_any_case_and_with_any_query() {
    for (generation, kept) in EVERYWHERE {
        let mut world = World::start(generation, kept).await;
        leave(
            &mut world,
            &[
                ("PUT", "/API/catalog/1", 500, LISTS),
                ("put", "/api/Catalog/1", 500, LISTS),
                ("pUt", "/api/Catalog/1", 404, STAY),
                ("PATCH", "/api/Catalog/1", 500, LISTS),
                ("PROPFIND", "/api/Catalog/1", 500, LISTS),
                ("POST", "/api/Catalog?dryRun=true", 200, LISTS),
                ("POST", "/api/Catalog?", 200, LISTS),
                ("POST", "/api/Catalog?x=/api/Lot/1&_method=GET", 200, LISTS),
                ("POST", "/api/Catalog/1/merge/2", 200, LISTS),
                ("POST", "/api/Catalog/1/merge/2", 409, STAY),
                ("POST", "/api/Platform", 200, LISTS),
                ("DELETE", "/api/platform/1", 500, LISTS),
                ("POST", "/api/bulk/INSERT?x", 422, VOID),
                ("post", "/api/Bulk/upsert", 400, VOID),
                ("post", "/api/Bulk/upsert", 403, STAY),
                ("POST", "/api/Lot/1/merge/2", 200, STAY),
                ("POST", "/api/lot/ItemData?x=1", 500, STAY),
                ("POST", "/api/Lot/1/ClientItemData", 500, STAY),
                ("POST", "/API/LOT/GET-OVERRIDES", 500, STAY),
                ("POST", "/connect/token?x", 500, STAY),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn a_write_that_is_not_understood_changes_every_route() {
    for (generation, kept) in EVERYWHERE {
        let mut world = World::start(generation, kept).await;
        leave(
            &mut world,
            &[
                // Catalogs and lots only, were they spelled plainly.
                ("POST", "/api/Catalog/", 200, VOID),
                ("POST", "/api/Catalog;x", 200, VOID),
                ("POST", "/api/%43atalog", 200, VOID),
                ("POST", "//api/Catalog", 200, VOID),
                ("POST", "/api//Catalog", 200, VOID),
                ("POST", "/api/./Catalog", 200, VOID),
                ("POST", "/api/Lot/", 200, VOID),
                ("POST", "/api/Lot/../Seller", 200, VOID),
                ("POST", "/api/Lot/%2e%2e/Seller", 200, VOID),
                ("POST", "/api/Lot/..%2fSeller", 200, VOID),
                ("POST", "/api/Lot;/get-overrides", 200, VOID),
                ("POST", "/connect/token/", 200, VOID),
                ("POST", "/api/Unknown", 200, VOID),
                ("POST", "/", 500, VOID),
                ("FROB", "/api/Unknown/1", 500, VOID),
                ("DELETE", "/connect/token", 500, VOID),
                // A plain refusal of what is plainly something else.
                ("POST", "/api/Unknown", 404, STAY),
                ("FROB", "/api/Unknown/1", 405, STAY),
            ],
        )
        .await;
    }
}

/// A bulk write may be half done, and this may be one.
#[tokio::test]
async fn what_is_oddly_spelled_may_be_half_done_although_it_was_refused() {
    for (generation, kept) in EVERYWHERE {
        let mut world = World::start(generation, kept).await;
        let name = if generation == Generation::First { "insert" } else { "upsert" };
        let targets = [
            format!("/api/Bulk/{name}/"),
            format!("/api/Bulk/{name};x"),
            format!("/api/%42ulk/{name}"),
            format!("//api/Bulk/{name}"),
            format!("/api//Bulk/{name}"),
            format!("/api/Lot/../Bulk/{name}"),
        ];
        for target in &targets {
            leave(
                &mut world,
                &[
                    ("POST", target, 400, VOID),
                    ("POST", target, 422, VOID),
                    ("POST", target, 401, STAY),
                    ("POST", target, 403, STAY),
                ],
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_request_that_claims_another_method_or_target_changes_every_route() {
    let fields = [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "x-original-method",
    ];
    for (generation, kept) in EVERYWHERE {
        let mut world = World::start(generation, kept).await;
        for name in fields {
            // Harmless ones, were it not for the field. What it says is not looked at.
            let all = [
                ("GET", "/api/Seller?PageSize=1", 409, VOID),
                ("POST", "/api/Lot/get-overrides", 409, VOID),
                ("HEAD", "/api/Lot/1", 200, VOID),
                ("OPTIONS", "/api/Lot", 500, VOID),
                ("POST", "/connect/token", 400, VOID),
                ("GET", "/api/Seller?PageSize=1", 403, STAY),
            ];
            for (method, target, status, stay) in &all[..if name == fields[0] { 6 } else { 2 }] {
                world.warm().await;
                let on = Matching::path("/");
                world.bench.upstream.rule(Rule { on, status: Some(*status), ..Rule::default() });
                let after = format!("{method} {target} with {name} was answered {status}");
                world.write_with(method, target, (name, "GET"), "").await.is(*status);
                world.bench.upstream.clear_rules();
                world.token = world.bench.upstream.token("demo");
                assert_eq!(world.look(&after).await, *stay, "{}, {after}", world.name);
            }
        }
    }
}

/// Methods that write nothing, whatever the path.
#[tokio::test]
async fn what_is_no_write_leaves_the_entries() {
    for (generation, kept) in EVERYWHERE {
        let mut world = World::start(generation, kept).await;
        leave(
            &mut world,
            &[
                ("GET", "/api/Seller/", 200, STAY),
                ("GET", "/api/Catalog/1/merge/2", 500, STAY),
                ("HEAD", "/api/Bulk/insert", 500, STAY),
                ("OPTIONS", "/api/Seller", 500, STAY),
            ],
        )
        .await;
    }
}
