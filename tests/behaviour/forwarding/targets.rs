//! Methods and targets go up as they are spelled.

use super::wire::{RawUpstream, Wire};
use crate::support::Setup;

const NOTHING: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// What the upstream reads as request lines when a client says these.
async fn request_lines(lines: &[&str]) -> Vec<String> {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let mut client = Wire::to(&proxy).await;
    let (mut there, mut seen): (Option<Wire>, Vec<String>) = (None, Vec::new());
    for line in lines {
        client.say(format!("{line}\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")).await;
        let there = match &mut there {
            Some(there) => there,
            none => none.insert(upstream.accept().await),
        };
        let head = there.head().await;
        seen.push(head.line().to_owned());
        there.say(NOTHING).await;
        client.head().await.is(204);
    }
    seen
}

#[tokio::test]
async fn a_target_is_passed_on_exactly_as_it_is_spelled() {
    let targets = [
        "/",
        "//x",
        "//evil.example/x",
        "///",
        "/a//b",
        "/a/../b",
        "/..",
        "/a/./b",
        "/%2e%2e/%2E/x",
        "/a%2Fb",
        "/%00",
        "/%zz",
        "/%",
        "/a;p=1",
        "/a:80@b",
        "/a\\b",
        "/\u{e9}t\u{e9}",
        "/api/Seller/",
        "/api/%53eller",
        "/?",
        "/a?",
        "/a??b",
        "/a?b=1&b=2&&=&%",
        "/a?q=[]{}|^",
        "/a?x=http://y/../z",
        "/a?+%20%2B",
        "/A?B=c",
    ];
    let lines = targets.map(|target| format!("GET {target} HTTP/1.1"));
    let said: Vec<&str> = lines.iter().map(String::as_str).collect();
    let seen = request_lines(&said).await;
    // On the wire a character is as many bytes as UTF-8 makes of it.
    let expected: Vec<String> = lines.iter().map(|line| line.bytes().map(char::from).collect()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn an_absolute_target_is_passed_on_as_its_path_and_query() {
    let seen = request_lines(&[
        "GET http://a.example/x?y=%2f HTTP/1.1",
        "GET http://A.example HTTP/1.1",
        "GET http://a.example?q HTTP/1.1",
        "GET https://a.example//evil.example/ HTTP/1.1",
    ])
    .await;
    assert_eq!(
        seen,
        ["GET /x?y=%2f HTTP/1.1", "GET / HTTP/1.1", "GET /?q HTTP/1.1", "GET //evil.example/ HTTP/1.1"]
    );
}

#[tokio::test]
async fn a_method_is_passed_on_exactly_as_it_is_spelled() {
    let lines = [
        "OPTIONS * HTTP/1.1",
        "get /a HTTP/1.1",
        "PURGE /a HTTP/1.1",
        "M-SEARCH /a HTTP/1.1",
        "PATCH /a HTTP/1.1",
    ];
    assert_eq!(request_lines(&lines).await, lines);
}
