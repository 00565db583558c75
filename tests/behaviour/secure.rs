//! Clients that speak TLS are served as those who do not; certificates come and go, and nobody's connection with them.

mod client;

use std::{fs, path::Path, time::Duration};

use catproxy::{
    config::{Config, Tls},
    server::Stopped,
};
use fake_abconnect::Matching;
use rustix::process::Signal;
use rustls::{ProtocolVersion, version};
use tempfile::TempDir;
use tokio::{net::TcpSocket, time::sleep};

use self::client::{Client, Guest};
use crate::{
    authority::{Authority, Certified},
    forwarding::wire::{RawUpstream, Wire, in_time},
    process::Process,
    support::{Bench, Setup, arrived, until},
};

const LIST: &str = "/api/Seller?PageNumber=1&PageSize=5";
const NAME: &str = "127.0.0.1";
const BOTH: [&str; 2] = ["http/1.1", "h2"];
/// As long as no connection is parked earlier, and all are later.
const PARKED: Duration = Duration::from_millis(1200);
const HANDSHAKE: &str = "GET /_fake/websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A proxy with a certificate, and who trusts that.
struct Secure {
    bench: Bench,
    authority: Authority,
    folder: TempDir,
}

impl Secure {
    async fn start() -> Self {
        Self::with(Setup::new()).await
    }

    async fn with(setup: Setup) -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
        let files = authority.certify(NAME).write(folder.path());
        let bench = setup.config(move |config| config.tls = Some(files)).start().await;
        Self { bench, authority, folder }
    }

    fn client(&self, protocols: &[&str]) -> Client {
        Client::of(self.authority.client(protocols), self.bench.proxy.address)
    }

    /// A raw client of HTTP/1.1.
    async fn wire(&self) -> Wire {
        Wire::of(self.client(&["http/1.1"]).connect().await.expect("a handshake"))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn shakes(&self, outcome: &str) -> u64 {
        let counted = self.bench.proxy.inside.telemetry().handshakes();
        counted.iter().find(|(name, _)| *name == outcome).map_or(0, |(_, count)| *count)
    }

    /// Waits until so many handshakes have ended so: that is counted when the client has heard of it.
    async fn counts(&self, outcome: &str, count: u64) {
        until(outcome, || async { self.shakes(outcome) == count }).await;
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self) -> Vec<u8> {
        self.client(&[]).shown().await
    }

    /// Waits until new connections are shown this one.
    async fn shows(&self, certified: &Certified) {
        let wanted = certified.certificate.der();
        until("the other certificate is shown", || async { self.shown().await == wanted.as_ref() }).await;
    }

    fn read(&self) -> String {
        let token = self.bench.upstream.token("demo");
        format!("GET {LIST} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
    }
}

#[tokio::test]
async fn a_list_is_filled_and_then_hit_in_either_version() {
    let secure = Secure::start().await;
    let token = secure.bench.upstream.token("demo");
    for (protocol, first) in [("http/1.1", "fwd=miss; stored"), ("h2", "hit")] {
        let mut guest = Guest::come(&secure.client(&[protocol])).await;
        guest.get_as(&token, LIST).await.is(200).came(first);
        for _ in 0..3 {
            guest.get_as(&token, LIST).await.is(200).came("hit");
        }
    }
    assert_eq!(secure.shakes("full") + secure.shakes("resumed"), 2);
}

#[tokio::test]
async fn the_client_chooses_the_version_and_the_proxy_prefers_the_second() {
    let secure = Secure::start().await;
    for (offered, chosen) in [
        (&[][..], None),
        (&["http/1.1"][..], Some("http/1.1")),
        (&["h2"], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["spdy/1", "http/1.1"], Some("http/1.1")),
    ] {
        let stream = secure.client(offered).connect().await.expect("a handshake");
        let found = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(found.as_deref(), chosen, "{offered:?}");
        let mut guest = Guest::on(stream).await;
        guest.get_as("x", "/_fake/status/204").await.is(204);
    }
    secure.client(&["spdy/1"]).connect().await.expect_err("nothing in common");
    secure.counts("refused", 1).await;
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_sessions_resumed() {
    let secure = Secure::start().await;
    for (version, name) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let client = Client::speaking(version, &secure.authority, secure.bench.proxy.address);
        for resumed in [false, true] {
            let stream = client.connect().await.expect("a handshake");
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(name));
            let kind = session.handshake_kind().expect("an end of the handshake");
            assert_eq!(kind == rustls::HandshakeKind::Resumed, resumed, "{name:?}");
            // The ticket comes before the answer.
            let mut guest = Guest::on(stream).await;
            guest.get_as("x", "/_fake/status/204").await.is(204);
        }
    }
    assert_eq!((secure.shakes("full"), secure.shakes("resumed")), (2, 2));
}

#[tokio::test]
async fn who_speaks_in_the_clear_is_told_so_and_heard_no_further() {
    let secure = Secure::start().await;
    for words in [secure.read(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()] {
        let mut client = Wire::saying(&secure.bench.proxy, words).await;
        let (head, body) = client.message().await;
        assert_eq!(head.is(400).field("connection"), Some("close"));
        assert!(body.contains("this port speaks TLS"), "{body}");
        client.is_closed().await;
    }
    secure.counts("http", 2).await;
    assert_eq!(secure.bench.upstream.calls().len(), 0);
}

#[tokio::test]
async fn what_is_neither_is_closed() {
    let secure = Secure::start().await;
    for words in [&b"\0\0\0\0\0\0\0\0"[..], b"\x16\x03\x01\xff\xff\xff\xff", b"\x15\x03\x01\x00\x02\x02\x28"]
    {
        let mut client = Wire::saying(&secure.bench.proxy, words).await;
        let rest = client.rest().await;
        // An alert at the most.
        assert!(rest.len() <= 7, "{rest:?}");
    }
    secure.counts("refused", 3).await;
}

#[tokio::test]
async fn a_handshake_has_the_time_of_a_first_head() {
    let setup = Setup::new().config(|config| config.clients.head_timeout = Duration::from_millis(600));
    let secure = Secure::with(setup).await;
    let (silent, mut half) = (Wire::to(&secure.bench.proxy).await, Wire::to(&secure.bench.proxy).await);
    half.say(b"\x16\x03\x01\x01\x00\x01").await;
    let mut idle = secure.wire().await;
    for mut client in [silent, half] {
        client.is_closed().await;
    }
    idle.is_closed().await;
    secure.counts("late", 2).await;
}

#[tokio::test]
async fn a_connection_that_was_not_used_for_a_while_is_answered() {
    for hit_loop in [true, false] {
        let secure =
            Secure::with(Setup::new().config(move |config| config.clients.hit_loop = hit_loop)).await;
        let (mut client, read) = (secure.wire().await, secure.read());
        for _ in 0..3 {
            // Two in one record, and the beginning of a third.
            let (begin, rest) = read.split_at(11);
            client.say(format!("{read}{read}{begin}")).await;
            client.message().await.0.is(200);
            client.message().await.0.is(200);
            client.say(rest).await;
            client.message().await.0.is(200);
            sleep(PARKED).await;
        }
        client.say("GET /_fake/status/204 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await.is(204);
    }
}

/// More answers than the system takes, so that some are kept by the session; more requests than are read at a time.
#[tokio::test]
async fn who_asks_for_much_and_reads_later_gets_all_of_it() {
    let secure = Secure::start().await;
    let page = "/api/Seller?PageNumber=1&PageSize=500";
    let read = secure.read().replace(LIST, page);
    let mut client = secure.wire().await;
    client.say(&read).await;
    let (_, first) = client.message().await;
    let count = 12_000_000 / first.len();
    client.say(read.repeat(count)).await;
    for _ in 0..count {
        let (head, body) = client.message().await;
        assert!(head.is(200).field("cache-status").is_some_and(|status| status.contains("hit")));
        assert_eq!(body.len(), first.len());
    }
    client.say("GET /_fake/status/204 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.is(204);
}

/// What was taken off the socket and not read yet is not waited for: here, behind as many bytes as are read at a time.
#[tokio::test]
async fn requests_that_come_in_one_record_are_all_read() {
    let secure = Secure::start().await;
    let read = secure.read();
    let padding = "x".repeat(1024 - read.len() - "X-Padding: \r\n".len());
    let read = read.replace("\r\n\r\n", &format!("\r\nX-Padding: {padding}\r\n\r\n"));
    assert_eq!(read.len(), 1024);
    let mut client = secure.wire().await;
    // With the second one there is a page at hand.
    for count in [1, 1, 12] {
        client.say(read.repeat(count)).await;
        for _ in 0..count {
            client.message().await.0.is(200);
        }
        client = secure.wire().await;
    }
}

/// Of the last answer a part is kept by the session where the system takes no more: it goes out when there is room again,
/// though nothing is written behind it.
#[tokio::test]
async fn the_end_of_an_answer_is_not_kept_back() {
    let secure = Secure::start().await;
    let read = secure.read().replace(LIST, "/api/Seller?PageNumber=1&PageSize=500");
    let mut first = secure.wire().await;
    first.say(&read).await;
    first.message().await.0.is(200);
    let hits = || secure.bench.count("hits");
    // One of these numbers is just more than the system takes for a client that reads nothing.
    for count in 1..=12 {
        let (mut client, before) = (secure.wire().await, hits());
        for asked in 1..=count {
            // Each by itself, as the loop of hits answers it; the last ones wait where there is no room.
            client.say(&read).await;
            let looked_at = until("it is answered", || async { hits() == before + asked });
            let _ = tokio::time::timeout(Duration::from_millis(200), looked_at).await;
        }
        for _ in 0..count {
            client.message().await.0.is(200);
        }
    }
}

#[tokio::test]
async fn bodies_of_any_size_come_whole_both_ways() {
    let secure = Secure::start().await;
    for protocol in BOTH {
        let mut guest = Guest::come(&secure.client(&[protocol])).await;
        let large = guest.get_as("x", "/_fake/bytes/10000000").await;
        assert_eq!(large.is(200).body.len(), 10_000_000);
        let echoed = guest.send("POST", "/_fake/echo", "x", &"b".repeat(1_000_000)).await;
        assert_eq!(echoed.is(200).json()["bodyLength"], 1_000_000);
    }
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_put_out() {
    let setup = Setup::new().config(|config| config.clients.stall_timeout = Duration::from_millis(700));
    let secure = Secure::with(setup).await;
    let mut client = secure.wire().await;
    client.say("GET /_fake/bytes/30000000 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.is(200);
    until("it is put out", || async { secure.bench.count("ended_connections") == 1 }).await;
    assert!(client.rest().await.len() < 30_000_000);
}

#[tokio::test]
async fn a_write_voids_what_was_cached() {
    let secure = Secure::start().await;
    let token = secure.bench.upstream.token("demo");
    for (protocol, name) in BOTH.into_iter().zip(["Renamed", "Renamed again"]) {
        let mut guest = Guest::come(&secure.client(&[protocol])).await;
        guest.get_as(&token, "/api/Seller?PageNumber=1&PageSize=500").await.is(200);
        let body = format!(r#"{{"name":"{name}","customerDisplayId":1,"isActive":true}}"#);
        guest.send("PUT", "/api/Seller/42", &token, &body).await.is(200);
        let after = guest.get_as(&token, "/api/Seller?PageNumber=1&PageSize=500").await;
        after.came("fwd=miss");
        assert!(String::from_utf8_lossy(&after.body).contains(name));
    }
}

#[tokio::test]
async fn bytes_go_both_ways_through_a_websocket() {
    let secure = Secure::start().await;
    let mut client = secure.wire().await;
    client.say(format!("{HANDSHAKE}early")).await;
    client.head().await.is(101);
    assert_eq!(client.exactly(5).await, "early");
    client.say("more").await;
    assert_eq!(client.exactly(4).await, "more");
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_says_the_end() {
    let secure = Secure::start().await;
    let gate = secure.bench.upstream.gate(Matching::path("/_fake/status/200"));
    let mut first = secure.wire().await;
    first.say("GET /_fake/status/200 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut second = Guest::come(&secure.client(&["h2"])).await;
    let mut idle = secure.wire().await;
    idle.say(secure.read()).await;
    idle.message().await.0.is(200);
    let mut parked = secure.wire().await;
    parked.say(secure.read()).await;
    parked.message().await.0.is(200);
    sleep(PARKED).await;
    let second = tokio::spawn(async move { second.get_as("x", "/_fake/status/200").await.is(200).status });
    arrived(&gate, 2).await;
    let stopped = secure.bench.proxy.close();
    // A session that ends without a word is an error here.
    assert!(idle.ends_in_order().await && parked.ends_in_order().await, "the unused ones");
    gate.open();
    first.message().await.0.is(200);
    assert!(first.ends_in_order().await, "the one in flight");
    second.await.expect("an answer");
    assert_eq!(in_time("the end", stopped).await.expect("no panic"), Stopped::Drained);
}

#[tokio::test]
async fn a_reload_shows_another_certificate_to_who_comes_then() {
    let secure = Secure::start().await;
    let mut before = secure.wire().await;
    let other = tempfile::tempdir().expect("a folder");
    let certified = secure.authority.certify(NAME);
    let files = certified.write(other.path());
    let change = move |config: &mut Config| config.tls = Some(files);
    let config = Setup::new().config(change).configuration(secure.bench.upstream.url());
    assert_ne!(secure.shown().await, certified.certificate.der().as_ref());
    secure.bench.proxy.reload.exchange(&config).await.expect("a configuration that runs");
    assert_eq!(secure.shown().await, certified.certificate.der().as_ref());
    before.say(secure.read()).await;
    before.message().await.0.is(200);
    // From now on these files are looked at.
    let renewed = secure.authority.certify(NAME);
    renewed.write(other.path());
    secure.shows(&renewed).await;
}

#[tokio::test]
async fn a_hangup_has_other_files_read_and_closes_nobody() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let certified = ["before", "after"].map(|name| {
        let folder = folder.path().join(name);
        fs::create_dir(&folder).expect("a folder");
        let certified = authority.certify(NAME);
        (certified.write(&folder), certified)
    });
    let file = folder.path().join("my.toml");
    let configure = |files: &Tls| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        let text = format!(
            "[clients.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n[upstream]\nurl = \"http://127.0.0.1:1\"\n\
             [store]\nkind = \"memory\"\n[routes.a]\npath = \"/a\"\nkey = \"a\"\nfields = {{ id = \"$.id\" }}\n"
        );
        fs::write(&file, text).expect("a file");
    };
    let [(files, before), (others, after)] = &certified;
    configure(files);
    let program = Process::start_with(&["--config", &file.display().to_string()]).await;
    let client = Client::of(authority.client(&[]), program.address);
    assert_eq!(client.shown().await, before.certificate.der().as_ref());
    let mut open = Wire::of(client.connect().await.expect("a handshake"));
    configure(others);
    program.signal(Signal::HUP);
    until("the other one is shown", || async { client.shown().await == after.certificate.der().as_ref() })
        .await;
    open.say("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    open.head().await.is(502);
}

#[tokio::test]
async fn files_that_do_not_do_are_no_reload() {
    let secure = Secure::start().await;
    let before = secure.shown().await;
    let nowhere = secure.path().join("nowhere.pem");
    let change = move |config: &mut Config| {
        config.tls = Some(Tls { certificate: nowhere.clone(), key: nowhere });
        config.routes.clear();
    };
    let config = Setup::new().config(change).configuration(secure.bench.upstream.url());
    secure.bench.proxy.reload.exchange(&config).await.expect_err("no such file");
    assert_eq!(secure.shown().await, before);
    // Nor is the rest of it in office.
    let mut client = secure.wire().await;
    client.say(secure.read()).await;
    assert_eq!(client.message().await.0.field("cache-status"), Some("catproxy; fwd=miss; stored"));
}

#[tokio::test]
async fn a_certificate_that_is_renewed_is_shown_by_itself_and_nobody_is_closed() {
    let secure = Secure::start().await;
    let mut before = secure.wire().await;
    let renewed = secure.authority.certify(NAME);
    renewed.write(secure.path());
    secure.shows(&renewed).await;
    before.say(secure.read()).await;
    before.message().await.0.is(200);
}

#[tokio::test]
async fn half_a_renewal_changes_nothing_and_the_other_half_all() {
    let secure = Secure::start().await;
    let before = secure.shown().await;
    let renewed = secure.authority.certify(NAME);
    renewed.write_certificate(secure.path());
    // Twice as long as it takes to look.
    sleep(Duration::from_millis(2200)).await;
    assert_eq!(secure.shown().await, before, "the key is that of the one before");
    fs::remove_file(secure.path().join("privkey.pem")).expect("a file");
    sleep(Duration::from_millis(1200)).await;
    assert_eq!(secure.shown().await, before, "there is no key");
    renewed.write_key(secure.path());
    secure.shows(&renewed).await;
}

#[tokio::test]
async fn until_when_the_certificate_is_good_is_known() {
    let secure = Secure::start().await;
    // 4096-01-01, of all that the authority signs.
    assert_eq!(secure.bench.proxy.inside.telemetry().certificate_until(), Some(67_090_118_400));
}

/// A piece that was taken into the session goes on its way though nothing comes behind it.
#[tokio::test]
async fn an_answer_that_pauses_has_come_as_far_as_it_was_passed_on() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let files = authority.certify(NAME).write(folder.path());
    let (upstream, proxy) =
        RawUpstream::behind(Setup::new().config(move |config| config.tls = Some(files))).await;
    let guest = Client::of(authority.client(&["http/1.1"]), proxy.address);
    // Of all these some end where the system has no more room for a while.
    for bytes in (1..=24).map(|step| step * 150_000) {
        let mut client = Wire::of(guest.connect().await.expect("a handshake"));
        client.say("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let mut there = upstream.accept().await;
        there.head().await;
        let said = async {
            there.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes + 1)).await;
            there.say("x".repeat(bytes)).await;
            there
        };
        let heard = async {
            client.head().await.is(200);
            client.exactly(bytes).await;
        };
        let (mut there, ()) = tokio::join!(said, heard);
        there.say("y").await;
        assert_eq!(client.rest().await, "y", "behind {bytes}");
    }
}

/// Of an answer that is written while its upload goes on the end waits in the session for a client that says all before it
/// listens: that one is heard meanwhile.
#[tokio::test]
async fn an_upload_goes_on_while_the_end_of_an_early_answer_waits() {
    const BODY: usize = 3_000_000;
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let files = authority.certify(NAME).write(folder.path());
    let (upstream, proxy) =
        RawUpstream::behind(Setup::new().config(move |config| config.tls = Some(files))).await;
    let guest = Client::of(authority.client(&["http/1.1"]), proxy.address);
    // One of these sizes is just more than the system takes for a client that reads nothing.
    for answer in (1..=24).map(|step| step * 24_000) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(16 * 1024).expect("room to read");
        socket.set_send_buffer_size(64 * 1024).expect("room to write");
        let mut client = Wire::of(guest.connect_on(socket).await.expect("a handshake"));
        client.say(format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n")).await;
        let mut there = upstream.accept().await;
        there.head().await;
        there.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {answer}\r\n\r\n")).await;
        there.say("y".repeat(answer)).await;
        let body = "x".repeat(BODY);
        tokio::join!(client.say(&body), there.exactly(BODY));
        assert_eq!(client.message().await.1.len(), answer);
    }
}
