//! What every test stands on: a proxy on a port of its own, the stand-in upstream, a real redis-server where
//! one is asked for, and a client that says exactly what it is told to.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use catproxy::{
    clock::Clock,
    config::{
        Config, Route, Stale,
        check::{Origin, Overrides, Setting, load},
        profile::Profile,
    },
    proxy::Proxy,
    server::{Server, Stopped, reload::Reload},
};
use fake_abconnect::{FakeAbconnect, Gate, Options, Running};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle};

/// No wait of a test is longer: what has not come by then does not come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// As whom the frontend asks for tokens.
pub const CLIENT: (&str, &str) = ("catproxy", "c1ient-s3cret");

type Change = Box<dyn FnOnce(&mut Config)>;

/// What a bench is made of, before it is.
pub struct Setup {
    profile: Profile,
    upstream: Options,
    redis_url: Option<String>,
    changes: Vec<Change>,
}

impl Setup {
    /// The `panels` profile with the memory store.
    pub fn new() -> Self {
        Self { profile: Profile::Panels, upstream: Options::default(), redis_url: None, changes: Vec::new() }
    }

    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    pub fn upstream(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.upstream);
        self
    }

    /// With entries in this server, or in memory.
    pub fn on(server: Option<&RedisServer>) -> Self {
        server.map_or_else(Self::new, |server| Self::new().redis(server))
    }

    /// Keeps entries in this server.
    pub fn redis(mut self, server: &RedisServer) -> Self {
        self.redis_url = Some(server.url());
        self
    }

    /// Keeps entries at this URL, whatever is there.
    pub fn redis_at(mut self, url: impl Into<String>) -> Self {
        self.redis_url = Some(url.into());
        self
    }

    pub fn config(mut self, change: impl FnOnce(&mut Config) + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Another configuration of every route.
    pub fn routes(self, change: impl Fn(&mut Route) + 'static) -> Self {
        self.config(move |config| {
            for route in &mut config.routes {
                change(Arc::get_mut(route).expect("a route that nobody runs yet"));
            }
        })
    }

    /// Entries are served so many seconds past their ttl.
    pub fn stale(self, while_revalidate: u64, if_error: u64) -> Self {
        let seconds = Duration::from_secs;
        let stale = Stale { while_revalidate: seconds(while_revalidate), if_error: seconds(if_error) };
        self.routes(move |route| route.stale = stale)
    }

    /// The upstream and a proxy in front of it.
    pub async fn start(mut self) -> Bench {
        let upstream = FakeAbconnect::start(std::mem::take(&mut self.upstream)).expect("the stand-in starts");
        let url = upstream.url().to_owned();
        let (proxy, clock) = self.proxy(&url).await;
        Bench { upstream, proxy, clock }
    }

    /// Only a proxy, in front of an upstream that there is already.
    pub async fn proxy(self, upstream: &str) -> (Door, TestClock) {
        let clock = TestClock::default();
        (Door::open(&self.configuration(upstream), clock.clock()).await, clock)
    }

    /// What a proxy in front of this upstream is started with.
    pub fn configuration(self, upstream: &str) -> Config {
        let memory = self.redis_url.is_none();
        let mut config = configuration(self.profile, upstream, self.redis_url);
        if memory {
            config.store.kind = catproxy::config::StoreKind::Memory { max_bytes: 256 << 20 };
        }
        // A busy machine is not a slow store: tests that are about the budget set their own.
        config.store.budget = Duration::from_secs(2);
        for change in self.changes {
            change(&mut config);
        }
        config
    }
}

fn configuration(profile: Profile, upstream: &str, redis_url: Option<String>) -> Config {
    let flag = |name, value: String| Some(Setting { value, origin: Origin::Flag(name) });
    let overrides = Overrides {
        listen: flag("--listen", "127.0.0.1:0".to_owned()),
        upstream: flag("--upstream", upstream.to_owned()),
        redis_url: redis_url.and_then(|url| flag("--redis-url", url)),
        ui_identity: flag("the stand-in", upstream.to_owned()),
        ui_client_id: flag("the test", CLIENT.0.to_owned()),
        ui_client_secret: flag("the test", CLIENT.1.to_owned()),
        ui_key: flag("the test", "07".repeat(32)),
        time_zone: flag("time zone", "UTC".to_owned()),
        ..Overrides::default()
    };
    let (config, _) = load(profile.source(), overrides).unwrap_or_else(|report| panic!("{report}"));
    config
}

/// An upstream and a proxy in front of it.
pub struct Bench {
    pub upstream: Running,
    pub proxy: Door,
    pub clock: TestClock,
}

impl Bench {
    /// A GET with a fresh token of the user `demo`.
    pub async fn get(&self, target: &str) -> Reply {
        self.get_as(&self.upstream.token("demo"), target).await
    }

    /// A GET with this token.
    pub async fn get_as(&self, token: &str, target: &str) -> Reply {
        self.proxy.get_as(token, target).await
    }

    /// A GET with this token and more fields.
    pub async fn get_with(&self, token: &str, target: &str, fields: &[(&str, &str)]) -> Reply {
        self.proxy.send_as(token, "GET", target, fields).await
    }

    /// A GET that goes on while the test does something else.
    pub fn reading(&self, token: &str, target: &str, fields: &[(&str, &str)]) -> JoinHandle<Reply> {
        self.proxy.reading(token, target, fields)
    }

    /// Gives seller 42 this name past the proxy: nothing is voided by it.
    pub async fn rename_past_the_proxy(&self, name: &str) {
        let token = format!("Bearer {}", self.upstream.token("demo"));
        let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        let body = format!(r#"{{"name":"{name}","customerDisplayId":1,"isActive":true}}"#);
        send(self.upstream.addr(), "PUT", "/api/Seller/42", &fields, &body).await.is(200);
    }

    /// How often this was counted.
    pub fn count(&self, name: &str) -> u64 {
        self.proxy.inside.telemetry().count(name)
    }

    /// A write with a fresh token of the user `demo`.
    pub async fn write(&self, method: &str, target: &str, body: &str) -> Reply {
        let token = format!("Bearer {}", self.upstream.token("demo"));
        let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        self.proxy.send(method, target, &fields, body).await
    }
}

/// A running proxy; it stops when dropped.
pub struct Door {
    pub address: SocketAddr,
    /// The operator's listener, where the configuration has one.
    pub admin: Option<SocketAddr>,
    pub inside: Proxy,
    pub reload: Reload,
    stop: Option<oneshot::Sender<()>>,
    stopped: Option<JoinHandle<Stopped>>,
}

impl Door {
    pub async fn open(config: &Config, clock: Clock) -> Self {
        let server = Server::bind(config, clock).await.expect("the proxy starts");
        let (address, inside, reload) = (server.address(), server.proxy(), server.reload());
        let admin = server.admin_address();
        let (stop, stopped) = oneshot::channel();
        let stopped = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { address, admin, inside, reload, stop: Some(stop), stopped: Some(stopped) }
    }

    /// Tells it to stop; the result says when and how it has.
    pub fn close(mut self) -> JoinHandle<Stopped> {
        self.stopped.take().expect("it is closed once")
    }

    /// A GET with this token.
    pub async fn get_as(&self, token: &str, target: &str) -> Reply {
        self.send("GET", target, &[("Authorization", &format!("Bearer {token}"))], "").await
    }

    /// One request on a connection of its own.
    pub async fn send(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Reply {
        send(self.address, method, target, fields, body).await
    }

    /// One request without a body, with this token.
    pub async fn send_as(&self, token: &str, method: &str, target: &str, fields: &[(&str, &str)]) -> Reply {
        let token = format!("Bearer {token}");
        self.send(method, target, &[&[("Authorization", token.as_str())], fields].concat(), "").await
    }

    /// A GET that goes on while the test does something else.
    pub fn reading(&self, token: &str, target: &str, fields: &[(&str, &str)]) -> JoinHandle<Reply> {
        let (address, target) = (self.address, target.to_owned());
        let mut owned = vec![("Authorization".to_owned(), format!("Bearer {token}"))];
        owned.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        tokio::spawn(async move {
            let fields: Vec<_> = owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            send(address, "GET", &target, &fields, "").await
        })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

/// One request on a connection of its own, and the whole answer.
pub async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Reply {
    let asked = attempt(address, method, target, fields, body);
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time").expect("a whole answer")
}

/// One request on a connection of its own, which may come to nothing.
pub async fn attempt(
    address: SocketAddr,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Result<Reply, Unanswered> {
    let stream = TcpStream::connect(address).await.map_err(|_| Unanswered::No)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header("Host", address.to_string());
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request");
    let (head, body) = sender.send_request(request).await.map_err(|_| Unanswered::No)?.into_parts();
    match body.collect().await {
        Ok(body) => Ok(Reply { status: head.status, fields: head.headers, body: body.to_bytes() }),
        Err(_) => Err(Unanswered::Broken(head.status)),
    }
}

/// There is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Not even a head.
    No,
    /// A head with this status, and not all of the body that it promised.
    Broken(StatusCode),
}

/// A read that goes on while the test does something else.
pub fn reading(proxy: &Door, token: &str, target: &str, field: (&str, &str)) -> JoinHandle<Reply> {
    let (address, token, target) = (proxy.address, format!("Bearer {token}"), target.to_owned());
    let field = (field.0.to_owned(), field.1.to_owned());
    tokio::spawn(async move {
        let fields = [("Authorization", token.as_str()), (&field.0, &field.1)];
        send(address, "GET", &target, &fields, "").await
    })
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub fields: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().expect("a field of text"))
    }

    /// `Age` in seconds.
    pub fn age(&self) -> u64 {
        self.field("age").parse().expect("an Age")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// Asserts where it came from: the beginning of `Cache-Status` after the cache's name.
    #[track_caller]
    pub fn came(&self, how: &str) -> &Self {
        let status = self.field("cache-status");
        assert!(
            status.starts_with(&format!("catproxy; {how}")),
            "{how} was expected, not {status:?}: {self:?}"
        );
        self
    }

    /// Asserts where it came from: all of `Cache-Status`, which must be what RFC 9211 allows, but for a ttl.
    #[track_caller]
    pub fn was(&self, how: &str) -> &Self {
        let parameters = self.cache_status();
        let shown: Vec<String> = parameters
            .into_iter()
            .filter(|(name, _)| name != "ttl")
            .map(|(name, value)| if value.is_empty() { name } else { format!("{name}={value}") })
            .collect();
        assert_eq!(shown.join("; "), how, "{self:?}");
        self
    }

    /// The `ttl` of `Cache-Status`, in seconds.
    #[track_caller]
    pub fn ttl(&self) -> i64 {
        let ttl = self.cache_status().into_iter().find(|(name, _)| name == "ttl");
        ttl.unwrap_or_else(|| panic!("a ttl in {self:?}")).1.parse().expect("a number")
    }

    /// The parameters of our member of `Cache-Status`, which must be the only one; `""` for those without a
    /// value. Read as strictly as RFC 8941 section 4.2 asks for.
    #[track_caller]
    fn cache_status(&self) -> Vec<(String, String)> {
        let field = self.field("cache-status");
        let mut parts = field.split(';');
        assert_eq!(parts.next(), Some("catproxy"), "{self:?}");
        let of = |characters: &str, text: &str, more: &str| {
            let fits = |symbol: char| symbol.is_ascii_alphanumeric() || more.contains(symbol);
            text.starts_with(|first: char| first.is_ascii_alphabetic() || characters.contains(first))
                && text.chars().all(fits)
        };
        let token = |text: &str| of("*", text, "!#$%&'*+-.^_`|~:/");
        let integer = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            (1..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
        };
        let read = |part: &str| {
            let (name, value) =
                part.trim_start_matches(' ').split_once('=').unwrap_or((part.trim_start(), ""));
            let good = match name {
                "hit" | "stored" | "collapsed" => value.is_empty(),
                "fwd" | "detail" => token(value),
                "ttl" | "fwd-status" => integer(value),
                _ => false,
            };
            assert!(good, "{part:?} in {field:?}");
            (name.to_owned(), value.to_owned())
        };
        let read: Vec<_> = parts.map(read).collect();
        let has = |wanted: &str| read.iter().filter(|(name, _)| name == wanted).count();
        assert!(read.iter().all(|(name, _)| has(name) == 1), "{field:?}");
        assert!(has("hit") + has("fwd") <= 1, "RFC 9211 section 2.2: one of both, in {field:?}");
        read
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    pub fn items(&self) -> Vec<Value> {
        self.json()["items"].as_array().expect("items").clone()
    }
}

/// A clock that stands where it is put, and goes on from there with real time.
#[derive(Clone, Default)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub fn clock(&self) -> Clock {
        let shift = Arc::clone(&self.0);
        Clock::from_fn(move || {
            // Wrapping: a step back is a large step forward.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
            UNIX_EPOCH + Duration::from_millis(now.wrapping_add(shift.load(Ordering::SeqCst)))
        })
    }

    pub fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    pub fn back(&self, by: Duration) {
        self.0.fetch_sub(by.as_millis() as u64, Ordering::SeqCst);
    }

    /// Puts it to this moment.
    pub fn set(&self, moment: jiff::Timestamp) {
        let ahead = moment.as_millisecond().wrapping_sub(jiff::Timestamp::now().as_millisecond());
        self.0.store(ahead as u64, Ordering::SeqCst);
    }
}

static FENCES: AtomicU64 = AtomicU64::new(0);

/// A real redis-server on a port of its own, without persistence; ended when dropped.
pub struct RedisServer {
    pub port: u16,
    child: Option<Child>,
    folder: tempfile::TempDir,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[&str]) -> Self {
        let port = free_port();
        let mut server = Self { port, child: None, folder: tempfile::tempdir().expect("a folder") };
        server.restart(settings).await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it again on the same port, with more settings; what it held is gone.
    pub async fn restart(&mut self, settings: &[&str]) {
        self.kill();
        // Another server that speaks the same, such as valkey-server.
        let program = std::env::var("TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let child = Command::new(program)
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--dir", &self.folder().display().to_string()])
            .args(settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server runs: `make test` installs it");
        self.child = Some(child);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        until("redis-server answers", || async { TcpStream::connect(address).await.is_ok() }).await;
    }

    /// Where it keeps what it does not keep in memory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A frozen one cannot be waited for before it is gone; SIGKILL takes it all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// It accepts connections and says nothing any more.
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.as_ref().expect("it runs").id();
        let id = rustix::process::Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id");
        rustix::process::kill_process(id, signal).expect("a signal");
    }

    /// One command, and the wait until this proxy has been told of all that has happened up to it.
    pub async fn command_told(&self, words: &[&str], proxy: &Proxy) -> redis::Value {
        let mut told = proxy.told_by_store().expect("copies in the process");
        let followed = told.wait_for(|told| told.count > 0);
        let followed = tokio::time::timeout(PATIENCE, followed).await;
        let before = followed.expect("a connection").expect("a proxy").count;
        // Pushes come in order: the one for this key is the last.
        let fence = format!("cat_fence_{}", FENCES.fetch_add(1, Ordering::Relaxed));
        let reply = self.command(words).await;
        self.command(&["SET", &fence, "", "PX", "1"]).await;
        let fenced = told.wait_for(|told| told.of(&fence, before));
        tokio::time::timeout(PATIENCE, fenced).await.expect("a push").expect("a proxy");
        reply
    }

    /// One command on a connection of its own.
    pub async fn command(&self, words: &[&str]) -> redis::Value {
        self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same, of a server that may refuse it or close the connection.
    pub async fn try_command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url()).expect("a URL");
        // Half a gigabyte takes its time to be there on a busy machine.
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let connection = client.get_multiplexed_async_connection_with_config(&patient);
        let mut connection = connection.await?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await
    }

    /// All keys, sorted.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            redis::from_redis_value(self.command(&["KEYS", "*"]).await).expect("keys");
        keys.sort();
        keys
    }

    pub async fn text(&self, key: &str) -> Option<String> {
        redis::from_redis_value(self.command(&["GET", key]).await).expect("a text")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free, and that nobody else is given: of none that the system chooses by itself, and of no other test
/// of this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let first = u64::from(std::process::id()) * 97;
    loop {
        let candidate = first + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(candidate % 20_000).expect("small");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Asks again and again until it is so; fails the test where it does not become so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let asking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, asking).await.is_ok(), "in vain: {what}");
}

/// Waits until so many requests have come to this gate.
pub async fn arrived(gate: &Gate, count: usize) {
    let arrived = tokio::time::timeout(PATIENCE, gate.arrived(count)).await;
    assert!(arrived.is_ok(), "in vain: {count} requests at {gate:?}, not {}", gate.arrived_so_far());
}

/// Runs it anew until it took less time than that: what is promised for so long cannot be seen where the machine
/// stood still meanwhile. What it gives is to be judged afterwards.
pub async fn within<T, F: Future<Output = T>>(limit: Duration, mut run: impl FnMut() -> F) -> T {
    loop {
        let began = Instant::now();
        let ended = run().await;
        if began.elapsed() < limit {
            return ended;
        }
    }
}
