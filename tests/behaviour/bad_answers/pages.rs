//! Pages that are no list, or no whole one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::scripted::{LIST, READ, Scripted, TOKEN, json};
use crate::support::{RedisServer, Setup, until};

/// One page, with these numbers in its envelope.
fn counting(total: &str, pages: &str) -> String {
    format!(r#"{{"items":[{{"id":1,"name":"a"}}],"pageNumber":1,"totalPages":{pages},"totalItems":{total}}}"#)
}

/// Page `number` of `pages`, with these ids.
fn page(number: usize, pages: usize, total: usize, ids: &[usize]) -> Vec<u8> {
    let items: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":{id},"name":"n"}}"#)).collect();
    let items = items.join(",");
    json(format!(r#"{{"items":[{items}],"pageNumber":{number},"totalPages":{pages},"totalItems":{total}}}"#))
}

fn asks_for(target: &str, page: usize) -> bool {
    target.contains(&format!("PageNumber={page}&"))
}

/// It comes through as it is, twice, so nothing of it is kept; and a list that follows it is read.
async fn is_passed_on(body: impl Into<Vec<u8>>, why: &str) {
    let body = body.into();
    let (bad, good) = (json(&body), json(LIST));
    let healed = Arc::new(AtomicBool::new(false));
    let is_healed = Arc::clone(&healed);
    let setup = Setup::new().config(|config| config.fill.too_large_for = Duration::from_millis(10));
    let upstream =
        Scripted::answering(
            setup,
            move |_, _| {
                if is_healed.load(Ordering::SeqCst) { good.clone() } else { bad.clone() }
            },
        )
        .await;
    let shown: String = String::from_utf8_lossy(&body).chars().take(120).collect();
    for _ in 0..2 {
        let reply = upstream.get().await;
        let status = reply.field("cache-status");
        assert!(status == format!("catproxy; fwd=bypass; detail={why}"), "{status} for {shown}");
        reply.is(200);
        assert!(reply.body == body, "byte for byte: {shown}");
    }
    healed.store(true, Ordering::SeqCst);
    until("the list is read", || async {
        upstream.get().await.is(200).field("cache-status").starts_with("catproxy; fwd=miss; stored")
    })
    .await;
}

#[tokio::test]
async fn totals_that_are_no_count_or_a_wrong_one_make_no_list() {
    for total in
        ["-1", "1e999", "1.0", "1e0", "\"1\"", "18446744073709551616", "null", "[]", "0", "2", "true", "NaN"]
    {
        is_passed_on(counting(total, "1"), "unfit").await;
    }
    for pages in ["-1", "1e999", "1.5", "\"1\"", "18446744073709551616", "null", "{}", "Infinity"] {
        is_passed_on(counting("1", pages), "unfit").await;
    }
}

#[tokio::test]
async fn totals_beyond_the_bounds_are_believed_and_too_large() {
    for (total, pages) in [
        ("100001", "1"),
        ("18446744073709551615", "1"),
        ("1", "201"),
        ("1", "4294967297"),
        ("1", "18446744073709551615"),
    ] {
        is_passed_on(counting(total, pages), "too-large").await;
    }
}

#[tokio::test]
async fn a_document_that_is_not_json_to_its_last_byte_makes_no_list() {
    for body in [
        format!("\u{feff}{LIST}"),
        format!("{LIST}x"),
        format!("{LIST}{LIST}"),
        format!("{LIST}\0"),
        LIST.replace("\"a\"", "NaN"),
        LIST.replace("\"a\"", "'a'"),
        LIST.replace("\"a\"", "\"a\nb\""),
        LIST.replace("}]", "},]"),
        String::new(),
        "null".to_owned(),
    ] {
        is_passed_on(body, "unfit").await;
    }
    let mut not_utf8 = LIST.replace("\"a\"", "\"?\"").into_bytes();
    let place = not_utf8.iter().position(|byte| *byte == b'?').unwrap();
    not_utf8[place] = 0xff;
    is_passed_on(not_utf8, "unfit").await;
}

#[tokio::test]
async fn what_json_allows_is_kept_as_it_is_however_odd() {
    let server = RedisServer::start().await;
    for name in [
        r#""\ud800""#,
        r#""\udc00\ud800 x""#,
        r#""\u0000""#,
        "1e999",
        "-0.0",
        "{\"a\":1,\"a\":2}",
        "\"\u{2028}\"",
    ] {
        for setup in [Setup::new(), Setup::new().redis(&server)] {
            let body = LIST.replace("\"a\"", name);
            let upstream = Scripted::answering(setup, move |_, _| json(&body)).await;
            let _ = server.command(&["FLUSHALL"]).await;
            until("it is kept", || async {
                let reply = upstream.get().await;
                let text = String::from_utf8(reply.is(200).body.to_vec()).unwrap();
                assert!(text.contains(&format!(r#""name":{name}"#)), "{text}");
                reply.field("cache-status").starts_with("catproxy; hit")
            })
            .await;
        }
    }
}

#[tokio::test]
async fn of_two_members_with_one_name_the_last_counts_in_the_envelope_too() {
    let body = LIST.replace("\"totalItems\":1", "\"totalItems\":7,\"totalItems\":1");
    let upstream = Scripted::answering(Setup::new(), move |_, _| json(&body)).await;
    upstream.get().await.is(200).came("fwd=miss; stored");
    upstream.get().await.is(200).came("hit");
    is_passed_on(LIST.replace("\"totalItems\":1", "\"totalItems\":1,\"totalItems\":7"), "unfit").await;
}

#[tokio::test]
async fn a_million_levels_harm_nobody_wherever_they_are() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(1_000_000), close.repeat(1_000_000));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        is_passed_on(LIST.replace("\"a\"", &deep(open, close)), "unfit").await;
        is_passed_on(deep(open, close), "unfit").await;
        is_passed_on(LIST.replace("[{", &format!("{}[{{", open.repeat(1_000_000))), "unfit").await;
        let ignored = LIST.replace("\"a\"", &format!("\"a\",\"more\":{}", deep(open, close)));
        let upstream = Scripted::answering(Setup::new(), move |_, _| json(&ignored)).await;
        upstream.get().await.is(200).came("fwd=miss; stored");
        upstream.get().await.is(200).came("hit");
    }
}

#[tokio::test]
async fn pages_that_repeat_or_lack_items_make_no_list() {
    for (what, number, ids) in [
        ("the first page again", 1, &[1, 2][..]),
        ("its items again", 2, &[1, 2]),
        ("one item again", 2, &[2, 3]),
        ("one too few", 2, &[3]),
        ("one too many", 2, &[3, 4, 5]),
    ] {
        let upstream = Scripted::answering(Setup::new(), move |target, _| {
            if asks_for(target, 2) { page(number, 2, 4, ids) } else { page(1, 2, 4, &[1, 2]) }
        })
        .await;
        let reply = upstream.get().await;
        assert_eq!(reply.field("cache-status"), "catproxy; fwd=bypass; detail=unfit", "{what}");
        let fills = upstream.targets().iter().filter(|target| asks_for(target, 2)).count();
        assert_eq!(fills, 2, "{what}: it is read once more, and then forwarded");
    }
}

#[tokio::test]
async fn a_list_that_is_another_at_each_page_is_read_once_more_and_then_forwarded() {
    // Somebody inserts an item at the front between any two requests, or deletes one.
    for grows in [true, false] {
        let upstream = Scripted::answering(Setup::new(), move |target, before| {
            let total = if grows { 4 + before } else { 40 - before };
            if asks_for(target, 2) { page(2, 2, total, &[3, 4]) } else { page(1, 2, total, &[1, 2]) }
        })
        .await;
        upstream.get().await.is(200).came("fwd=bypass; detail=unfit");
        let targets = upstream.targets();
        assert_eq!(targets.len(), 5, "two walks of two pages, and the client's own request: {targets:?}");
        assert_eq!(targets.last().map(String::as_str), Some(READ));
        assert_eq!(upstream.count("fills"), 1);
    }
}

#[tokio::test]
async fn a_list_that_has_changed_once_is_read_whole_the_second_time() {
    // Deleted between the pages of the first walk: no total tells it, for another was inserted.
    let upstream = Scripted::answering(Setup::new(), |target, before| match before {
        0 => page(1, 2, 4, &[1, 2]),
        1 => page(2, 2, 4, &[2, 3]),
        _ if asks_for(target, 2) => page(2, 2, 4, &[2, 3]),
        _ => page(1, 2, 4, &[0, 1]),
    })
    .await;
    let reply = upstream.get().await;
    reply.is(200).came("fwd=miss; stored");
    let ids: Vec<_> = reply.items().iter().map(|item| item["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [0, 1, 2, 3]);
    upstream.proxy.get_as(TOKEN, READ).await.came("hit");
}
