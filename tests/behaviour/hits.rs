//! Plain requests are answered or passed on by a short loop of our own, all else by hyper: nobody can tell which it was.

mod answers;
mod cases;
mod parked;

use std::time::Duration;

use catproxy::config::{Admission, VouchFor};
use fake_abconnect::Running;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use self::cases::{Case, FORWARDED, LIST, PASSED, Tokens};
use crate::{
    forwarding::wire::Wire,
    support::{Bench, Door, Setup},
};

/// What ends a connection that has not ended by then.
const LAST: &str = "GET /_fake/status/204 HTTP/1.1\r\nHost: z\r\nConnection: close\r\n\r\n";
/// Between two pieces, so that they are read one by one where the machine is not too busy; nothing fails where it is.
const PAUSE: Duration = Duration::from_millis(2);
/// An answer that was not read yet may be lost where the other end closes, and it may come before a body turns out to be
/// none: what differs must differ so often.
const ATTEMPTS: usize = 4;
const HANGS: &str = "it hangs";

/// A proxy whose copies and vouches outlast the test.
pub(crate) fn lasting(hit_loop: bool) -> Setup {
    let hour = Duration::from_secs(3600);
    let setup = Setup::new().routes(move |route| route.ttl = hour);
    setup.config(move |config| {
        config.clients.hit_loop = hit_loop;
        config.clients.relay_loop = hit_loop;
        config.admission = Admission::Upstream { vouch_limit: hour, vouch_for: VouchFor::Key };
    })
}

/// What is on the connection before a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    AHit,
    AForwardedRequest,
}

/// How a case is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    One,
    /// Cut after so many bytes.
    CutAt(usize),
    Bytes,
}

/// Both proxies, and the upstream that they have in common.
struct Pair {
    bench: Bench,
    hyper: Door,
    tokens: Tokens,
}

impl Pair {
    async fn start() -> Self {
        let bench = lasting(true).start().await;
        let (hyper, _) = lasting(false).proxy(bench.upstream.url()).await;
        let [known, second] = ["demo", "second"].map(|user| bench.upstream.token(user));
        let refused = bench.upstream.expired_token("demo");
        Self { bench, hyper, tokens: Tokens { known, second, refused } }
    }

    fn hit(&self) -> String {
        format!("GET {LIST} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", self.tokens.known)
    }

    /// What comes of a case that comes on this connection, and what has arrived upstream of it.
    async fn outcome(&self, proxy: &Door, mut client: Wire, words: &[u8], pieces: Pieces) -> String {
        proxy.get_as(&self.tokens.known, LIST).await.is(200);
        self.bench.upstream.clear_calls();
        let all = [words, LAST.as_bytes()].concat();
        match pieces {
            Pieces::One => drop(client.say_if_heard(&all).await),
            Pieces::CutAt(place) => {
                let (first, second) = all.split_at(place);
                let _ = client.say_if_heard(first).await;
                sleep(PAUSE).await;
                let _ = client.say_if_heard(second).await;
            }
            Pieces::Bytes => {
                for byte in &all {
                    let _ = client.say_if_heard([*byte]).await;
                    tokio::task::yield_now().await;
                }
            }
        }
        let heard = timeout(Duration::from_secs(10), client.rest()).await;
        let heard = heard.map_or_else(|_| HANGS.to_owned(), |heard| timeless(&heard));
        format!("{heard}\n{}", arrived(&self.bench.upstream))
    }

    async fn on(&self, proxy: &Door, behind: Behind) -> Wire {
        if behind == Behind::AHit {
            proxy.get_as(&self.tokens.known, LIST).await.is(200);
        }
        let stream = TcpStream::connect(proxy.address).await.expect("a connection");
        // Else what is cut is put together again.
        stream.set_nodelay(true).expect("a socket");
        let mut client = Wire::of(stream);
        let before = match behind {
            Behind::Nothing => return client,
            Behind::AHit => self.hit(),
            Behind::AForwardedRequest => FORWARDED.to_owned(),
        };
        client.say(before).await;
        client.message().await;
        client
    }

    /// How the answers differ, if they do.
    async fn difference(&self, case: &Case, behind: Behind, pieces: Pieces) -> Option<String> {
        let (name, words) = case;
        let (mut by_loop, mut by_hyper) = (Vec::new(), Vec::new());
        for _ in 0..ATTEMPTS {
            for (proxy, seen) in [(&self.bench.proxy, &mut by_loop), (&self.hyper, &mut by_hyper)] {
                seen.push(self.outcome(proxy, self.on(proxy, behind).await, words, pieces).await);
            }
            if [&by_loop, &by_hyper].iter().any(|seen| seen.iter().any(|one| one.starts_with(HANGS))) {
                break;
            }
            if by_loop.iter().any(|one| by_hyper.contains(one)) {
                return None;
            }
        }
        let (by_loop, by_hyper) = (by_loop.concat(), by_hyper.concat());
        Some(format!("{name} behind {behind:?} in {pieces:?}:\n--- loop\n{by_loop}\n--- hyper\n{by_hyper}"))
    }
}

/// Without what goes on with time, and without the number that the stand-in gives a failure.
fn timeless(answers: &str) -> String {
    let mut parts = answers.split("\"traceId\":\"");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('"').map_or(part, |(_, after)| after));
    lasting_lines(&rest.fold(first, |before, after| before + after))
}

fn lasting_lines(answers: &str) -> String {
    let of = |line: &str| {
        // In the order in which they were sent; what has arrived is compared elsewhere.
        if let Some((before, echoed)) = line.split_once("\"headers\":[") {
            return format!("{before}{}", echoed.split_once("]]").map_or("", |(_, after)| after));
        }
        let is = |name: &str| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if is("date:") || is("age:") {
            return line.split(':').next().unwrap_or_default().to_owned();
        }
        match line.split_once("; ttl=") {
            Some((before, after)) => {
                format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            None => line.to_owned(),
        }
    };
    let mut lines: Vec<String> = answers.split("\r\n").map(of).collect();
    // Fields of different names may stand in any order (RFC 9110 section 5.3).
    for head in lines.split_mut(String::is_empty) {
        if let Some((_, fields)) = head.split_first_mut() {
            fields.sort_by_key(|line| name_of(line));
        }
    }
    lines.join("\r\n")
}

fn name_of(line: &str) -> String {
    line.split(':').next().unwrap_or_default().to_ascii_lowercase()
}

/// What has arrived upstream.
fn arrived(upstream: &Running) -> String {
    let calls = upstream.calls();
    let of = |call: &fake_abconnect::Call| {
        let body = String::from_utf8_lossy(&call.body_start).into_owned();
        let mut fields = call.headers.clone();
        fields.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        format!("{} {} {fields:?} {} {body}", call.method, call.target, call.body_length)
    };
    calls.iter().map(of).collect::<Vec<_>>().join("\n")
}

/// Whether it has all been judged, and alike.
fn is_alike(judged: usize, least: usize, flaws: &[String]) {
    assert!(judged >= least, "{judged}");
    assert!(flaws.is_empty(), "{} of {judged}:\n\n{}", flaws.len(), flaws.join("\n\n"));
}

#[tokio::test]
async fn whatever_comes_in_place_of_a_plain_read_is_answered_alike() {
    is_answered_alike(|tokens| cases::all(tokens, LIST)).await;
}

#[tokio::test]
async fn whatever_comes_in_place_of_a_plain_request_is_passed_on_alike() {
    is_answered_alike(|tokens| cases::all(tokens, PASSED)).await;
}

#[tokio::test]
async fn whatever_comes_in_place_of_an_upload_is_passed_on_alike() {
    is_answered_alike(cases::uploads).await;
}

async fn is_answered_alike(cases: impl Fn(&Tokens) -> Vec<Case>) {
    let pair = Pair::start().await;
    let (cases, mut flaws) = (cases(&pair.tokens), Vec::new());
    for case in &cases {
        for behind in [Behind::Nothing, Behind::AHit, Behind::AForwardedRequest] {
            flaws.extend(pair.difference(case, behind, Pieces::One).await);
        }
    }
    is_alike(cases.len(), 200, &flaws);
}

fn of_all_kinds(tokens: &Tokens) -> Vec<Case> {
    [cases::all(tokens, LIST), cases::all(tokens, PASSED), cases::uploads(tokens)].concat()
}

#[tokio::test]
async fn where_it_is_cut_makes_no_difference() {
    let (pair, mut flaws) = (Pair::start().await, Vec::new());
    let cases = of_all_kinds(&pair.tokens);
    for case in &cases {
        let length = case.1.len();
        for place in [1, length / 2, length] {
            flaws.extend(pair.difference(case, Behind::AHit, Pieces::CutAt(place)).await);
        }
        flaws.extend(pair.difference(case, Behind::Nothing, Pieces::CutAt(length / 3)).await);
    }
    is_alike(cases.len(), 600, &flaws);
}

#[tokio::test]
async fn byte_by_byte_is_no_other_request() {
    let pair = Pair::start().await;
    // What hyper says to a beginning of HTTP/2 depends on how much of it has come.
    let fits = |case: &Case| case.1.len() < 1500 && case.0 != "HTTP/2";
    let cases: Vec<_> = of_all_kinds(&pair.tokens).into_iter().filter(fits).collect();
    let mut flaws = Vec::new();
    for case in &cases {
        flaws.extend(pair.difference(case, Behind::AHit, Pieces::Bytes).await);
    }
    is_alike(cases.len(), 540, &flaws);
}

#[tokio::test]
async fn a_browser_is_shown_the_frontend_whatever_stands_behind_the_path() {
    for by_loop in [true, false] {
        let bench = lasting(by_loop).start().await;
        for target in ["/", "/?x=1", "/ui", "/ui?x=1"] {
            let reply = bench.proxy.send("GET", target, &[("Accept", "text/html")], "").await;
            assert!(!reply.fields.contains_key("cache-status"), "{target} went upstream: {reply:?}");
        }
    }
}
