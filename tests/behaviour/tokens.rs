//! Who may read: at no time does a request see cached data whose token the upstream would refuse.

use std::time::Duration;

use catproxy::config::{Admission, VouchFor, profile::Profile};
use fake_abconnect::{Matching, Rule};

use tokio::task::JoinHandle;

use crate::support::{Bench, Reply, Setup, arrived, send, until};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";

fn page_of(total: usize) -> String {
    let items: Vec<String> = (1..=total).map(|id| format!("{{\"id\":{id}}}")).collect();
    format!(r#"{{"items":[{}],"pageNumber":1,"totalPages":1,"totalItems":{total}}}"#, items.join(","))
}

/// A read that goes on while the test does something else.
fn reading(bench: &Bench, target: &str, token: &str) -> JoinHandle<Reply> {
    bench.reading(token, target, &[])
}

#[tokio::test]
async fn a_second_token_is_asked_for_with_one_small_question() {
    let bench = Setup::new().start().await;
    bench.get(SELLERS).await.came("fwd=miss");
    bench.upstream.clear_calls();
    let second = bench.upstream.token("second");
    bench.get_as(&second, SELLERS).await.is(200).came("hit");
    bench.get_as(&second, SELLERS).await.is(200).came("hit");
    let calls = bench.upstream.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].target, "/api/Seller?PageNumber=1&PageSize=1");
}

#[tokio::test]
async fn no_cached_byte_goes_to_a_token_that_the_upstream_refuses() {
    let bench = Setup::new().profile(Profile::CatalogUi).start().await;
    let good = bench.upstream.token("demo");
    let many = bench.upstream.seller_with_many_catalogs();
    let targets =
        [SELLERS.to_owned(), format!("/api/Catalog?SellerIds={many}"), format!("/api/Seller/{many}")];
    for target in &targets {
        bench.get_as(&good, target).await.is(200);
        bench.get_as(&bench.upstream.token("restricted"), target).await.is(403);
        bench.get_as(&bench.upstream.expired_token("demo"), target).await.is(401);
        bench.get_as("not.a.token", target).await.is(401);
        bench.proxy.send("GET", target, &[], "").await.is(401).came("fwd=bypass; detail=token");
        let basic = [("Authorization", "Basic ZGVtbzpkZW1v")];
        bench.proxy.send("GET", target, &basic, "").await.is(401).came("fwd=bypass; detail=token");
        let bearer = format!("Bearer {good}");
        let two = [("Authorization", bearer.as_str()), ("Authorization", "Bearer x")];
        bench.proxy.send("GET", target, &two, "").await.came("fwd=bypass; detail=token");
        bench.get_as(&good, target).await.is(200).came("hit");
    }
    // The right to one route is none to another.
    let partial = bench.upstream.token("partial");
    bench.get_as(&partial, &targets[1]).await.is(200).came("hit");
    bench.get_as(&partial, SELLERS).await.is(403);
}

#[tokio::test]
async fn a_vouch_ends_with_its_limit() {
    let limit = Duration::from_millis(300);
    let bench = Setup::new()
        .config(move |config| {
            config.admission = Admission::Upstream { vouch_limit: limit, vouch_for: VouchFor::Key }
        })
        .start()
        .await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.is(200);
    bench.upstream.revoke(&token);
    let refused = async {
        while bench.get_as(&token, SELLERS).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(limit * 10, refused).await.expect("the revoked token is refused");
}

#[tokio::test]
async fn a_vouch_ends_with_the_token() {
    let bench = Setup::new().start().await;
    let short = bench.upstream.token_for_seconds("demo", 6);
    bench.get_as(&short, SELLERS).await.is(200);
    let refused = async {
        while bench.get_as(&short, SELLERS).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), refused).await.expect("the expired token is refused");
}

#[tokio::test]
async fn a_401_anywhere_forgets_the_token_and_nobody_elses() {
    let bench = Setup::new().start().await;
    let (token, other) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    bench.get_as(&token, SELLERS).await.is(200);
    bench.get_as(&other, SELLERS).await.is(200).came("hit");
    bench.upstream.revoke(&token);
    bench.get_as(&token, SELLERS).await.is(200).came("hit");
    bench.get_as(&token, "/api/Lot?PageSize=1").await.is(401);
    bench.get_as(&token, SELLERS).await.is(401);
    bench.upstream.clear_calls();
    bench.get_as(&other, SELLERS).await.is(200).came("hit");
    assert!(bench.upstream.calls().is_empty(), "the other token is still vouched for");
}

#[tokio::test]
async fn an_answer_to_a_question_sent_before_a_forgetting_does_not_vouch() {
    let bench = Setup::new().start().await;
    bench.get(SELLERS).await.is(200);
    let token = bench.upstream.token("second");
    let gate = bench.upstream.gate(Matching::path("/api/Seller").query("PageSize=1"));
    let late = {
        let (address, token) = (bench.proxy.address, format!("Bearer {token}"));
        tokio::spawn(async move { send(address, "GET", SELLERS, &[("Authorization", &token)], "").await })
    };
    gate.arrived(1).await;
    bench.upstream.revoke(&token);
    bench.get_as(&token, "/api/Lot?PageSize=1").await.is(401);
    gate.open();
    late.await.unwrap().is(200);
    bench.get_as(&token, SELLERS).await.is(401);
}

#[tokio::test]
async fn a_hundred_tokens_on_a_cold_key_are_one_fill_and_ninety_nine_questions() {
    let bench = Setup::new().start().await;
    let gate = bench.upstream.gate(Matching::path("/api/Seller"));
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let (address, token) = (bench.proxy.address, format!("Bearer {}", bench.upstream.token("demo")));
            tokio::spawn(async move { send(address, "GET", SELLERS, &[("Authorization", &token)], "").await })
        })
        .collect();
    gate.arrived(100).await;
    gate.open();
    for request in requests {
        request.await.unwrap().is(200);
    }
    assert_eq!(
        bench.upstream.calls_that(&Matching::all().query("PageSize=500")).len(),
        2,
        "one fill of two pages"
    );
    let questions = bench
        .upstream
        .calls_to("/api/Seller")
        .iter()
        .filter(|call| call.target.ends_with("PageSize=1"))
        .count();
    assert_eq!(questions, 99);
}

#[tokio::test]
async fn a_4xx_of_a_fill_is_its_leaders_alone() {
    let bench = Setup::new().start().await;
    let first = Matching::path("/api/Seller").query("PageSize=500");
    bench.upstream.rule(Rule { on: first.clone(), status: Some(403), times: Some(1), ..Rule::default() });
    let gate = bench.upstream.gate(first);
    let ask = |token: String| {
        let address = bench.proxy.address;
        tokio::spawn(async move {
            send(address, "GET", SELLERS, &[("Authorization", &format!("Bearer {token}"))], "").await
        })
    };
    let leader = ask(bench.upstream.token("demo"));
    gate.arrived(1).await;
    let follower = ask(bench.upstream.token("second"));
    bench.upstream.wait_for_calls(&Matching::path("/api/Seller").query("PageSize=1"), 1).await;
    gate.open();
    leader.await.unwrap().is(403);
    follower.await.unwrap().is(200).came("fwd=miss");
}

#[tokio::test]
async fn totals_that_differ_between_tokens_end_sharing() {
    let bench = Setup::new().start().await;
    let answer =
        |total| Rule { on: Matching::path("/api/Seller"), body: Some(page_of(total)), ..Rule::default() };
    let (wide, narrow) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    bench.upstream.rule(answer(3));
    bench.get_as(&wide, SELLERS).await.came("fwd=miss");
    bench.upstream.clear_rules();
    bench.upstream.rule(answer(2));
    let refilled = bench.get_as(&narrow, SELLERS).await;
    refilled.came("fwd=request; stored; detail=total");
    assert_eq!(refilled.items().len(), 2);
    // From here on the wide token is told 3, and the narrow one, asked again at once, still 2.
    bench.upstream.clear_rules();
    bench.upstream.rule(Rule { times: Some(1), ..answer(3) });
    bench.upstream.rule(Rule { times: Some(2), ..answer(2) });
    bench.upstream.rule(answer(3));
    let back = bench.get_as(&wide, SELLERS).await;
    back.came("fwd=bypass; detail=differs");
    assert_eq!(back.items().len(), 3);
    bench.get_as(&narrow, SELLERS).await.came("fwd=bypass; detail=differs");
    assert_eq!(bench.proxy.inside.telemetry().count("differing"), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_when_it_is_asked_for_anothers_sake_is_served_no_more() {
    let bench = Setup::new().start().await;
    let answer =
        |total| Rule { on: Matching::path("/api/Seller"), body: Some(page_of(total)), ..Rule::default() };
    let (wide, narrow) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    bench.upstream.rule(answer(3));
    bench.get_as(&wide, SELLERS).await.came("fwd=miss");
    bench.upstream.clear_rules();
    bench.upstream.rule(answer(2));
    bench.get_as(&narrow, SELLERS).await.came("fwd=request; stored; detail=total");
    // The wide token is told 3, the narrow one, asked again at once, is refused; then there are 2 for all.
    let question = || Matching::path("/api/Seller").query("PageSize=1");
    let gate = bench.upstream.gate(question());
    bench.upstream.clear_rules();
    bench.upstream.rule(Rule { on: question(), ..answer(3) });
    bench.upstream.rule(answer(2));
    let reading = bench.reading(&wide, SELLERS, &[]);
    arrived(&gate, 1).await;
    gate.release(1);
    arrived(&gate, 2).await;
    bench.upstream.clear_rules();
    bench.upstream.rule(Rule { on: question(), status: Some(401), ..Rule::default() });
    bench.upstream.rule(answer(2));
    gate.open();
    reading.await.unwrap().came("fwd=request; stored; detail=total");
    bench.get_as(&narrow, SELLERS).await.is(401);
}

#[tokio::test]
async fn a_list_that_grows_and_shrinks_past_the_proxy_is_no_difference_between_tokens() {
    let bench = Setup::new().start().await;
    for total in [3, 4, 3, 4] {
        bench.upstream.clear_rules();
        bench.upstream.rule(Rule {
            on: Matching::path("/api/Seller"),
            body: Some(page_of(total)),
            ..Rule::default()
        });
        let reply = bench.get(SELLERS).await;
        assert_eq!(reply.items().len(), total);
    }
    assert_eq!(bench.proxy.inside.telemetry().count("differing"), 0);
}

#[tokio::test]
async fn in_mode_open_everybody_reads() {
    let bench = Setup::new().config(|config| config.admission = Admission::Open).start().await;
    bench.get(SELLERS).await.is(200).came("fwd=miss");
    bench.proxy.send("GET", SELLERS, &[], "").await.is(200).came("hit");
}

#[tokio::test]
async fn a_yes_for_a_route_counts_for_all_its_keys_where_that_is_configured() {
    let limit = Duration::from_secs(300);
    for (vouch_for, questions) in [(VouchFor::Key, 2), (VouchFor::Route, 1)] {
        let admission = Admission::Upstream { vouch_limit: limit, vouch_for };
        let bench = Setup::new().config(move |config| config.admission = admission).start().await;
        let (first, second) = (bench.upstream.token("demo"), bench.upstream.token("second"));
        let targets = ["/api/Catalog?SellerIds=42", "/api/Catalog?SellerIds=2"];
        for target in targets {
            bench.get_as(&first, target).await.is(200).came("fwd=miss");
        }
        bench.upstream.clear_calls();
        for target in targets {
            bench.get_as(&second, target).await.is(200).came("hit");
        }
        assert_eq!(bench.upstream.calls().len(), questions, "{vouch_for:?}");
    }
}

#[tokio::test]
async fn a_forgotten_token_does_not_share_the_fill_that_it_led() {
    let bench = Setup::new().start().await;
    let list = format!("/api/Catalog?SellerIds={}", bench.upstream.seller_with_many_catalogs());
    let token = bench.upstream.token("demo");
    let gate = bench.upstream.gate(Matching::path("/api/Catalog"));
    let first = reading(&bench, &list, &token);
    gate.arrived(1).await;
    bench.upstream.revoke(&token);
    bench.get_as(&token, "/api/Lot?PageSize=1").await.is(401);
    let second = reading(&bench, &list, &token);
    gate.arrived(2).await;
    gate.open();
    second.await.unwrap().is(401);
    // The first fill was accepted before; its request is asked about anew, since the token was forgotten.
    first.await.unwrap().is(401);
    bench.get_as(&token, &list).await.is(401);
}

#[tokio::test]
async fn a_401_of_a_fill_is_heard_though_its_client_left() {
    let bench = Setup::new().start().await;
    let list = format!("/api/Catalog?SellerIds={}", bench.upstream.seller_with_many_catalogs());
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.is(200);
    bench.upstream.revoke(&token);
    let gate = bench.upstream.gate(Matching::path("/api/Catalog"));
    let first = reading(&bench, &list, &token);
    gate.arrived(1).await;
    first.abort();
    let _ = first.await;
    bench.get_as(&token, SELLERS).await.is(200).came("hit");
    gate.open();
    until("the token is refused", || async { bench.get_as(&token, SELLERS).await.status == 401 }).await;
}

#[tokio::test]
async fn who_loses_the_right_while_waiting_for_a_fill_is_not_served_from_it() {
    let bench = Setup::new().start().await;
    let (leader, joiner) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    bench.get_as(&leader, SELLERS).await.is(200);
    bench.get_as(&joiner, SELLERS).await.is(200);
    // Changes nothing but the generation.
    bench
        .write("PUT", "/api/Seller/42", r#"{"name":"A","customerDisplayId":1,"isActive":true}"#)
        .await
        .is(200);
    let gate = bench.upstream.gate(Matching::path("/api/Seller").query("PageNumber=1&PageSize=500"));
    let first = reading(&bench, SELLERS, &leader);
    gate.arrived(1).await;
    let second = reading(&bench, SELLERS, &joiner);
    until("it has joined", || async { bench.proxy.inside.telemetry().count("joined") == 1 }).await;
    bench.upstream.revoke(&joiner);
    bench.get_as(&joiner, "/api/Lot?PageSize=1").await.is(401);
    gate.open();
    first.await.unwrap().is(200);
    second.await.unwrap().is(401);
}

#[tokio::test]
async fn a_yes_that_is_lost_while_the_fill_still_flies_counts_for_nothing() {
    let bench = Setup::new().start().await;
    let (leader, joiner) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    let gate = bench.upstream.gate(Matching::path("/api/Seller").query("PageNumber=1&PageSize=500"));
    let first = reading(&bench, SELLERS, &leader);
    gate.arrived(1).await;
    let second = reading(&bench, SELLERS, &joiner);
    let question = Matching::path("/api/Seller").query("PageNumber=1&PageSize=1");
    until("it was asked for", || async { bench.upstream.calls_that(&question).len() == 1 }).await;
    bench.upstream.revoke(&joiner);
    bench.get_as(&joiner, "/api/Lot?PageSize=1").await.is(401);
    gate.open();
    first.await.unwrap().is(200);
    second.await.unwrap().is(401);
}

#[tokio::test]
async fn the_spelling_of_the_scheme_makes_no_other_token() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.is(200);
    bench.upstream.revoke(&token);
    let other = format!("bearer {token}");
    bench.proxy.send("GET", "/api/Lot?PageSize=1", &[("Authorization", &other)], "").await.is(401);
    bench.get_as(&token, SELLERS).await.is(401);
}

#[tokio::test]
async fn a_token_too_long_to_be_one_is_forwarded() {
    let bench = Setup::new().start().await;
    let reply = bench.get_as(&"a".repeat(9000), SELLERS).await;
    reply.is(401).came("fwd=bypass; detail=token");
}

#[tokio::test]
async fn a_403_forgets_the_token_for_its_route_and_for_no_other() {
    let bench = Setup::new().start().await;
    let list = "/api/Catalog?SellerIds=42";
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.is(200);
    bench.get_as(&token, list).await.is(200);
    let on = Matching::path("/api/Seller").query("Name=a");
    bench.upstream.rule(Rule { on, status: Some(403), ..Rule::default() });
    bench.get_as(&token, "/api/Seller?Name=a").await.is(403).came("fwd=bypass");
    bench.upstream.clear_calls();
    bench.get_as(&token, list).await.is(200).came("hit");
    assert!(bench.upstream.calls().is_empty(), "the other route's yes still counts");
    bench.get_as(&token, SELLERS).await.is(200).came("hit");
    assert_eq!(bench.upstream.calls().len(), 1, "this route's is asked for anew");
}

#[tokio::test]
async fn a_token_that_its_route_refused_meanwhile_asks_for_itself_beside_the_fill_that_it_led() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let gate = bench.upstream.gate(Matching::path("/api/Seller").query("PageNumber=1&PageSize=500"));
    let first = reading(&bench, SELLERS, &token);
    gate.arrived(1).await;
    let on = Matching::path("/api/Seller").query("Name=a");
    bench.upstream.rule(Rule { on, status: Some(403), ..Rule::default() });
    bench.get_as(&token, "/api/Seller?Name=a").await.is(403);
    let second = reading(&bench, SELLERS, &token);
    let question = Matching::path("/api/Seller").query("PageNumber=1&PageSize=1");
    until("it asks", || async { !bench.upstream.calls_that(&question).is_empty() }).await;
    gate.open();
    first.await.unwrap().is(200);
    second.await.unwrap().is(200);
}

#[tokio::test]
async fn a_401_to_a_question_is_heard_though_its_client_left() {
    let bench = Setup::new().start().await;
    let list = "/api/Catalog?SellerIds=42";
    let token = bench.upstream.token("demo");
    bench.get_as(&token, list).await.is(200);
    bench.get_as(&bench.upstream.token("second"), SELLERS).await.is(200);
    bench.upstream.revoke(&token);
    let gate = bench.upstream.gate(Matching::path("/api/Seller"));
    let asking = reading(&bench, SELLERS, &token);
    gate.arrived(1).await;
    asking.abort();
    let _ = asking.await;
    bench.get_as(&token, list).await.is(200).came("hit");
    gate.open();
    until("the token is refused", || async { bench.get_as(&token, list).await.status == 401 }).await;
}

#[tokio::test]
async fn an_object_that_a_second_token_asks_for_is_the_answer_to_its_question() {
    let bench = Setup::new().profile(Profile::CatalogUi).start().await;
    let (first, second) = (bench.upstream.token("demo"), bench.upstream.token("second"));
    let target = "/api/Seller/42";
    bench.get_as(&first, target).await.is(200).came("fwd=miss");
    // Past the proxy: nothing is voided by it.
    let authorization = format!("Bearer {first}");
    let fields = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let body = r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#;
    send(bench.upstream.addr(), "PUT", target, &fields, body).await.is(200);
    bench.upstream.clear_calls();
    let asked = bench.get_as(&second, target).await;
    asked.is(200).came("fwd=request; stored; detail=question");
    assert_eq!(asked.json()["name"], "Renamed");
    assert_eq!(bench.upstream.calls().len(), 1);
    let shared = bench.get_as(&first, target).await;
    shared.came("hit");
    assert_eq!(shared.body, asked.body);
}

#[tokio::test]
async fn an_entry_that_ends_while_the_question_is_out_is_filled_anew() {
    let bench = Setup::new().start().await;
    bench.get(SELLERS).await.is(200);
    bench.clock.forward(Duration::from_millis(299_500));
    let gate = bench.upstream.gate(Matching::path("/api/Seller"));
    let asking = reading(&bench, SELLERS, &bench.upstream.token("second"));
    gate.arrived(1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    gate.open();
    asking.await.unwrap().is(200).came("fwd=stale");
}

#[tokio::test]
async fn who_is_refused_while_its_own_fill_flies_is_not_served_from_it() {
    let bench = Setup::new().profile(Profile::CatalogUi).start().await;
    let token = bench.upstream.token("demo");
    let gate = bench.upstream.gate(Matching::path("/api/Seller/42"));
    let read = reading(&bench, "/api/Seller/42", &token);
    gate.arrived(1).await;
    bench.upstream.revoke(&token);
    bench.get_as(&token, "/api/Lot?PageSize=1").await.is(401);
    gate.open();
    read.await.unwrap().is(401);
}

#[tokio::test]
async fn tokens_that_ask_for_a_cold_object_at_the_same_time_get_each_their_own_answer() {
    let bench = Setup::new().profile(Profile::CatalogUi).start().await;
    let gate = bench.upstream.gate(Matching::path("/api/Seller/42"));
    let reads = ["demo", "second"].map(|user| reading(&bench, "/api/Seller/42", &bench.upstream.token(user)));
    until("both ask", || async { gate.arrived_so_far() == 2 }).await;
    gate.open();
    for read in reads {
        read.await.unwrap().is(200).came("fwd=miss");
    }
    assert_eq!(bench.upstream.calls().len(), 2);
}

#[tokio::test]
async fn a_hit_says_whether_the_upstream_was_asked_for_it() {
    let bench = Setup::new().start().await;
    bench.get(SELLERS).await.is(200);
    let token = bench.upstream.token("second");
    let asked = bench.get_as(&token, SELLERS).await;
    assert!(asked.came("hit; ttl=").field("cache-status").ends_with("; detail=asked"));
    let remembered = bench.get_as(&token, SELLERS).await;
    assert!(!remembered.came("hit; ttl=").field("cache-status").contains("detail"));
}
