//! What came of a write: done, refused, perhaps done, perhaps half done.

use std::time::Duration;

use fake_abconnect::{Close, Generation, Matching, Rule};
use serde_json::json;

use super::world::{EVERYWHERE, SELLERS, World, catalog};
use crate::forwarding::wire::Wire;
use crate::support::{Bench, send, until};

const NEW_SELLER: &str = r#"{"name":"Fresh","customerDisplayId":77,"isActive":true}"#;

fn bulk(generation: Generation) -> &'static str {
    match generation {
        Generation::First => "/api/Bulk/insert",
        Generation::Second => "/api/Bulk/upsert",
    }
}

#[tokio::test]
async fn only_a_certain_refusal_leaves_the_entries() {
    // (status, a plain write leaves the entries, a bulk write does)
    let outcomes = [
        (200, false, false),
        (201, false, false),
        (202, false, false),
        (301, false, false),
        (302, false, false),
        (303, false, false),
        (307, false, false),
        (308, false, false),
        (400, true, false),
        (401, true, true),
        (403, true, true),
        (404, true, false),
        (405, true, false),
        (408, false, false),
        (409, true, false),
        (422, true, false),
        (429, true, false),
        (500, false, false),
        (502, false, false),
        (503, false, false),
        (504, false, false),
    ];
    for (generation, kept) in EVERYWHERE {
        let mut world = World::start(generation, kept).await;
        world.warm().await;
        for (status, plain, bulky) in outcomes {
            for (method, target, stays) in
                [("PUT", "/api/Seller/42", plain), ("POST", bulk(generation), bulky)]
            {
                let on = Matching::all().method(method);
                world.bench.upstream.rule(Rule { on, status: Some(status), ..Rule::default() });
                let after = format!("{method} {target} was answered {status}");
                world.write(method, target, "{}").await.is(status);
                world.bench.upstream.clear_rules();
                // After a 401 another token is wanted: the question for it leaves the entry as it is.
                world.token = world.bench.upstream.token("demo");
                assert_eq!(world.look(&after).await, [stays; 2], "{}, {after}", world.name);
            }
        }
    }
}

#[tokio::test]
async fn a_write_whose_answer_breaks_off_is_in_the_next_read() {
    // What the upstream has done it does not say, or not to the end.
    let breaks = [
        ("closed before the head", Rule { close: Some(Close::Unanswered), ..Rule::default() }),
        ("reset before the head", Rule { close: Some(Close::Reset), ..Rule::default() }),
        ("cut after the head", Rule { truncate: Some(0), ..Rule::default() }),
        ("cut in the body", Rule { truncate: Some(10), ..Rule::default() }),
        ("reset in the body", Rule { truncate: Some(10), close: Some(Close::Reset), ..Rule::default() }),
        ("cut in a chunked body", Rule { truncate: Some(10), chunked: true, ..Rule::default() }),
    ];
    for (generation, kept) in EVERYWHERE {
        let world = World::start(generation, kept).await;
        for (name, rule) in &breaks {
            world.warm().await;
            let on = Matching::path("/api/Seller").method("POST");
            world.bench.upstream.rule(Rule { on, ..rule.clone() });
            let (token, length) = (&world.token, NEW_SELLER.len());
            let request = format!(
                "POST /api/Seller HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{NEW_SELLER}"
            );
            let before = world.bench.upstream.sellers().len();
            Wire::saying(&world.bench.proxy, request).await.rest().await;
            world.bench.upstream.clear_rules();
            let done = world.bench.upstream.sellers().len() > before;
            assert_eq!(done, rule.truncate.is_some(), "{name}");
            assert_eq!(world.look(name).await, [false; 2], "{}, {name}", world.name);
        }
    }
}

#[tokio::test]
async fn a_write_that_is_not_answered_in_time_voids() {
    for (generation, kept) in EVERYWHERE {
        // Long enough for reads on a busy machine.
        let limit = Duration::from_secs(2);
        let setup =
            |setup: crate::support::Setup| setup.config(move |config| config.upstream.head_timeout = limit);
        let world = World::with(generation, kept, setup).await;
        world.warm().await;
        world.bench.upstream.rule(Rule { on: Matching::all().method("PUT"), hang: true, ..Rule::default() });
        world.write("PUT", "/api/Seller/42", "{}").await.is(504);
        assert_eq!(world.look("our own 504").await, [false; 2], "{}", world.name);
    }
}

#[tokio::test]
async fn a_write_that_finds_no_upstream_voids() {
    for (generation, kept) in EVERYWHERE {
        let world = World::start(generation, kept).await;
        world.warm().await;
        let World { name, bench, server: _server, token, .. } = world;
        let Bench { upstream, proxy, .. } = bench;
        let authorization = format!("Bearer {token}");
        // What is cached is to be seen without the upstream.
        let fields = [("Authorization", authorization.as_str()), ("Cache-Control", "only-if-cached")];
        upstream.stop().await;
        proxy.send("GET", SELLERS, &fields, "").await.is(200).came("hit");
        proxy.send("PUT", "/api/Seller/42", &fields, "{}").await.is(502);
        let reply = proxy.send("GET", SELLERS, &fields, "").await;
        assert_eq!(reply.status, 504, "{name}: {reply:?}");
        reply.came("detail=only-if-cached");
    }
}

#[tokio::test]
async fn a_client_that_leaves_does_not_cancel_its_write() {
    for (generation, kept) in EVERYWHERE {
        let world = World::start(generation, kept).await;
        let upstream = &world.bench.upstream;
        for when in ["before it is done", "after it is done"] {
            world.warm().await;
            let posts = Matching::path("/api/Seller").method("POST");
            let gate =
                if when.starts_with("before") { upstream.gate_before(posts) } else { upstream.gate(posts) };
            let (address, token) = (world.bench.proxy.address, format!("Bearer {}", world.token));
            let writer = tokio::spawn(async move {
                let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
                send(address, "POST", "/api/Seller", &fields, NEW_SELLER).await
            });
            gate.arrived(1).await;
            let before = upstream.sellers().len() - usize::from(when.starts_with("after"));
            writer.abort();
            let _ = writer.await;
            gate.open();
            until(&format!("{}: a client left {when}, and the list is fresh", world.name), || async {
                world.read(SELLERS).await.items().len() == before + 1
            })
            .await;
            world.look(when).await;
        }
    }
}

#[tokio::test]
async fn every_write_of_the_api_is_in_the_next_read_and_voids_what_it_may_change() {
    for (generation, kept) in EVERYWHERE {
        let world = World::start(generation, kept).await;
        let [first, second] = world.catalogs;
        let known = world.bench.upstream.seller(42).expect("a seller")["customerDisplayId"].clone();
        let one = json!({ "name": "Bulky", "customerDisplayId": 9001, "isActive": true });
        let two = json!({ "name": "Known", "customerDisplayId": known, "isActive": true });
        let mut of_new = catalog("Bulk");
        (of_new["sellers"], of_new["seller"]) = (json!([two, one]), one.clone());
        let bulky = json!({ "catalogs": [of_new] }).to_string();
        let (titled, other) = (catalog("Titled").to_string(), catalog("Another").to_string());
        let (at_first, at_second) = (format!("/api/Catalog/{first}"), format!("/api/Catalog/{second}"));
        let last = world.bench.upstream.sellers().pop().expect("a seller")["id"].clone();
        let at_last = format!("/api/Seller/{last}");
        let merge = format!("/api/Catalog/{first}/merge/{second}");
        // (write, whether sellers stay, whether catalogs stay)
        let mut writes = vec![
            ("POST", "/api/Seller", NEW_SELLER, [false, false]),
            ("PUT", "/api/Seller/42", NEW_SELLER, [false, false]),
            ("DELETE", &at_last, "", [false, false]),
            ("POST", "/api/Catalog", &other, [true, false]),
            ("PUT", &at_first, &titled, [true, false]),
            ("POST", bulk(generation), &bulky, [false, false]),
            ("POST", "/api/Lot", "{}", [true, true]),
            ("PUT", "/api/Lot/1", "{}", [true, true]),
        ];
        match generation {
            Generation::First => writes.push(("POST", "/api/Lot/get-overrides", "{}", [true, true])),
            Generation::Second => writes.extend([
                ("POST", "/api/Lot/ItemData", "{}", [true, true]),
                ("POST", "/api/Lot/1/ClientItemData", "{}", [true, true]),
                ("POST", "/api/Lot/1/merge/2", "", [true, true]),
                ("POST", "/api/Platform", "{}", [true, false]),
                ("PUT", "/api/Platform/1", "{}", [true, false]),
                ("POST", &merge, "", [true, false]),
            ]),
        }
        let gone = if generation == Generation::First { &at_second } else { &at_first };
        writes.push(("DELETE", "/api/Lot/3", "", [true, true]));
        writes.push(("DELETE", gone, "", [true, false]));
        for (method, target, body, stay) in writes {
            world.warm().await;
            let reply = world.write(method, target, body).await;
            let after = format!("{method} {target}");
            assert!(reply.status.is_success(), "{}, {after}: {reply:?}", world.name);
            assert_eq!(world.look(&after).await, stay, "{}, {after}", world.name);
        }
        world.warm().await;
        let login = "grant_type=password&username=demo&password=demo";
        world.write("POST", "/connect/token", login).await;
        assert_eq!(world.look("a login").await, [true; 2], "{}", world.name);
    }
}
