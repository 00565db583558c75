//! The program as a person starts it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use rustix::process::Signal;
use std::{
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStderr, Command, Output, Stdio},
};

fn catproxy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catproxy"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (Output, String, String) {
    let output = catproxy(arguments).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

/// A running `serve`, as far as its log was read.
struct Serving {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
}

impl Serving {
    /// Reads on until a line holds `what`, and gives that line.
    fn until(&mut self, what: &str) -> String {
        for line in self.log.by_ref() {
            self.said.push(line.expect("text"));
            if let Some(line) = self.said.last().filter(|line| line.contains(what)) {
                return line.clone();
            }
        }
        panic!("it ended without {what:?}: {:#?}", self.said);
    }
}

/// Runs `serve` until it says what is active; that line, and the process.
fn serving(arguments: &[&str], environment: &[(&str, &str)]) -> (String, Serving) {
    let mut child = catproxy(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat())
        .envs(environment.iter().copied())
        .spawn()
        .expect("it runs");
    let log = BufReader::new(child.stderr.take().expect("its log")).lines();
    let mut serving = Serving { child, log, said: Vec::new() };
    (serving.until(" -> "), serving)
}

fn tell(serving: &Serving, signal: Signal) {
    let id = rustix::process::Pid::from_raw(i32::try_from(serving.child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, signal).expect("a signal");
}

fn stop(mut serving: Serving) -> Option<i32> {
    tell(&serving, Signal::TERM);
    serving.child.wait().expect("its end").code()
}

/// An upstream that takes a request and never answers it, and where it is.
fn silent_upstream() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// The address on the start line.
fn address_in(line: &str) -> &str {
    line.split(" -> ").next().unwrap().rsplit(' ').next().unwrap()
}

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn what_takes_longer_than_the_time_to_drain_is_cut_off_and_the_exit_code_says_so() {
    let (upstream, url) = silent_upstream();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "[clients]\ndrain-timeout = \"100ms\"\n[upstream]\nurl = \"{url}\"\n[store]\nkind = \"memory\"\n{ROUTE}").unwrap();
    let (line, serving) = serving(&["--config", file.path().to_str().unwrap()], &[]);
    let mut client = TcpStream::connect(address_in(&line)).expect("a connection");
    client.write_all(REQUEST).unwrap();
    let _there = upstream.accept().expect("the request");
    assert_eq!(stop(serving), Some(3));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (upstream, url) = silent_upstream();
    let (line, mut serving) = serving(&["--upstream", &url, "--redis-url", "redis://127.0.0.1:1"], &[]);
    let mut client = TcpStream::connect(address_in(&line)).expect("a connection");
    client.write_all(REQUEST).unwrap();
    let _there = upstream.accept().expect("the request");
    tell(&serving, Signal::TERM);
    serving.until("a second signal ends it at once");
    tell(&serving, Signal::INT);
    serving.until("cut off");
    assert_eq!(serving.child.wait().expect("its end").code(), Some(3));
}

const ROUTE: &str = "[routes.one]\npath = \"/api/One\"\nkey = \"one\"\nfields = { id = \"$.id\" }\n";

#[test]
fn sighup_reads_the_file_again_and_a_bad_one_changes_nothing() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut put = |text: &str| {
        file.as_file().set_len(0).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        write!(file, "{text}").unwrap();
        file.path().to_str().unwrap().to_owned()
    };
    let good = format!("[upstream]\nurl = \"http://127.0.0.1:1\"\n[store]\nkind = \"memory\"\n{ROUTE}");
    let path = put(&good);
    let (line, mut serving) = serving(&["--config", &path], &[]);
    let address = address_in(&line).to_owned();
    put(&good.replace("/api/One", "api/One"));
    tell(&serving, Signal::HUP);
    serving.until("not reloaded; what ran before goes on");
    assert!(serving.until("routes.one.path").contains("error"), "{:?}", serving.said);
    put(&good.replace("routes.one", "routes.two"));
    tell(&serving, Signal::HUP);
    assert!(serving.until("reloaded: ").contains("routes two"), "{:?}", serving.said);
    // Where it listens takes a restart; given by a flag, it has not changed.
    assert!(get(&address).starts_with("HTTP/1.1 502 "));
    assert_eq!(stop(serving), Some(0));
}

#[test]
fn the_start_line_says_what_is_active_and_sigterm_ends_it_well() {
    let (line, serving) =
        serving(&["--upstream", "http://127.0.0.1:1", "--redis-url", "redis://u:secret@127.0.0.1:1"], &[]);
    assert!(line.ends_with("strict SDK clients need --profile catalog-ui"), "{line}");
    for part in ["panels: 127.0.0.1:", "http://127.0.0.1:1", "sellers catalogs"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!serving.said.join("\n").contains("secret"));
    assert_eq!(stop(serving), Some(0));
}

#[test]
fn connections_for_which_there_are_no_descriptors_are_a_warning() {
    let start = format!(
        "ulimit -n 300; exec {} serve --listen 127.0.0.1:0 --upstream http://127.0.0.1:1 --redis-url redis://127.0.0.1:1",
        env!("CARGO_BIN_EXE_catproxy")
    );
    let mut child =
        Command::new("sh").args(["-c", &start]).env_clear().stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut serving = Serving { child, log, said: Vec::new() };
    let warning = serving.until("open files");
    assert!(
        warning.contains("allows 300 open files") && warning.contains("some 118 connections"),
        "{warning}"
    );
    serving.until(" -> ");
    assert_eq!(stop(serving), Some(0));
}

#[test]
fn the_profile_for_strict_clients_needs_no_such_note() {
    let (line, serving) = serving(
        &["--profile", "catalog-ui", "--upstream", "http://127.0.0.1:1"],
        &[("REDIS_URL", "redis://127.0.0.1:1")],
    );
    assert!(line.contains("catalog-ui: ") && !line.contains("strict"), "{line}");
    assert_eq!(stop(serving), Some(0));
}

#[test]
fn an_unusable_redis_url_in_the_environment_is_a_warning_and_no_store() {
    let (line, serving) = serving(&["--upstream", "http://127.0.0.1:1"], &[("REDIS_URL", "nonsense")]);
    let first = &serving.said[0];
    assert!(first.contains("WARN") && first.contains("REDIS_URL"), "{first}");
    assert!(line.contains("no store"), "{line}");
    assert_eq!(stop(serving), Some(0));
}

/// One request past all caching, and what came back.
fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!(
        "GET /api/Seller HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn redis_going_and_coming_back_are_a_line_each() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (url, folder) = (format!("redis://127.0.0.1:{port}"), tempfile::tempdir().unwrap());
    let (line, mut serving) = serving(&["--upstream", "http://127.0.0.1:1"], &[("REDIS_URL", &url)]);
    let address = line.split("panels: ").nth(1).unwrap().split(' ').next().unwrap();
    for _ in 0..20 {
        assert!(get(address).starts_with("HTTP/1.1 502 "), "there is no upstream");
    }
    let mut server = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server runs: `make test` installs it");
    serving.until("Redis is back");
    server.kill().unwrap();
    server.wait().unwrap();
    let about = serving.said.iter().filter(|line| line.contains("Redis ")).count();
    assert_eq!(about, 2, "{:#?}", serving.said);
    stop(serving);
}

#[test]
fn keys_that_are_not_to_be_had_at_the_start_are_one_line_and_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.toml");
    let text = "[upstream]\nurl = \"http://127.0.0.1:1\"\n[store]\nkind = \"memory\"\n[admission]\nmode = \"jwks\"\n\
                issuer = \"http://127.0.0.1:1\"\naudience = \"a\"\n[routes.a]\npath = \"/a\"\nkey = \"a\"\n\
                fields.id = \"$.id\"\n";
    std::fs::write(&file, text).unwrap();
    let (line, mut serving) = serving(&["--config", file.to_str().unwrap()], &[]);
    assert!(line.ends_with("admission jwks"), "{line}");
    let line = serving.until("no keys of");
    assert!(
        line.contains("WARN") && line.contains("http://127.0.0.1:1, all is forwarded: no connection"),
        "{line}"
    );
    assert_eq!(stop(serving), Some(0));
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (output, _, err) = run(&["serve", "--listen", &address, "--upstream", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains(&format!("cannot listen on {address}")), "{err}");
}

#[test]
fn check_shows_each_field_on_a_line_of_its_own_a_table_of_fields_whole() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let routes = r#"
        [upstream]
        url = "http://127.0.0.1:1"
        [routes.catalogs]
        path = "/api/Catalog"
        key = "catalogs"
        keep = { date = "starts", from = "today" }
        [routes.catalogs.fields]
        "a \"}, b" = "$['a, }']"
        seller = { id = ["$.seller.id", "$.sellers[0].id"], at = { city = "$.city" } }
        starts = "$.startDate"
    "#;
    write!(file, "{routes}").unwrap();
    let (output, out, _) = run(&["check", "--config", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let shown: Vec<_> = out.lines().skip_while(|line| !line.starts_with("route ")).take(7).collect();
    assert_eq!(
        shown,
        [
            "route          catalogs for 5m",
            r#"  list path="/api/Catalog" query=[] key="catalogs""#,
            r#"  items="$.items[*]" identity="$.id""#,
            r#"    "a \"}, b": ["$['a, }']"]"#,
            r#"    "seller": {"id": ["$.seller.id", "$.sellers[0].id"], "at": {"city": ["$.city"]}}"#,
            r#"    "starts": ["$.startDate"]"#,
            r#"  keep="starts" from today"#,
        ]
    );
}

#[test]
fn check_exits_by_what_it_found() {
    assert_eq!(run(&["check"]).0.status.code(), Some(0));
    assert_eq!(run(&["check", "--profile", "catalog-ui"]).0.status.code(), Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "lisen = 1\n").unwrap();
    let (output, _, err) = run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("did you mean `listen`?"), "{err}");
}

#[test]
fn project_shows_what_is_kept_and_what_that_saves() {
    let mut child = catproxy(&["project", "--route", "sellers"]).stdin(Stdio::piped()).spawn().unwrap();
    let page = br#"{"items":[{"id":2,"name":null,"customerDisplayId":1.10,"catalogs":[1,2,3]}],"totalItems":1,"totalPages":1}"#;
    child.stdin.take().unwrap().write_all(page).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "[{\"id\":2,\"name\":null,\"customerDisplayId\":1.10}]\n"
    );
    let err = String::from_utf8(output.stderr).unwrap();
    for part in ["before        106 bytes", "after          47 bytes", "saved          59 bytes"] {
        assert!(err.contains(part), "{err}");
    }
}

#[test]
fn no_command_is_help_and_an_error() {
    let (output, _, err) = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err.contains("Usage: catproxy"), "{err}");
}

/// A running `serve` with an admin listener in front of nobody, and that listener's base.
fn administered(environment: &[(&str, &str)]) -> (Serving, String) {
    let arguments = ["--upstream", "http://127.0.0.1:1", "--admin-listen", "127.0.0.1:0"];
    let (line, serving) = serving(&arguments, environment);
    let address = line.split(", admin ").nth(1).and_then(|rest| rest.split(';').next()).expect("its address");
    let url = format!("http://{address}");
    (serving, url)
}

#[test]
fn status_and_purge_speak_with_the_admin_listener_of_a_proxy_that_runs() {
    let (serving, url) = administered(&[("REDIS_URL", "")]);
    let (output, out, err) = run(&["status", "--url", &url]);
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
    for part in
        [&format!("at {url}, up "), "ready        yes", "store        absent", "reads        0, 0.0 %"]
    {
        assert!(out.contains(part), "{out}");
    }
    assert!(out.lines().all(|line| line.chars().count() < 80), "{out}");
    let (_, json, _) = run(&["status", "--json", "--url", &url]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    for (arguments, code, said) in [
        (&["--all"][..], 0, "purged: sellers, catalogs\n"),
        (&["--route", "sellers"], 0, "purged: sellers\n"),
        (&["--key", "cat_sellers_all"], 0, "purged: cat_sellers_all\n"),
        (&["--route", "seller"], 1, "no route is named \"seller\"; there are sellers, catalogs\n"),
        (&["--key", "x"], 1, "no route has such a key as \"x\"\n"),
        (&[], 2, "required"),
        (&["--all", "--route", "sellers"], 2, "cannot be used with"),
    ] {
        let (output, out, err) = run(&[&["purge", "--url", &url], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
        assert!(format!("{out}{err}").contains(said), "{arguments:?}: {out}{err}");
    }
    assert_eq!(stop(serving), Some(0));
}

#[test]
fn who_asks_an_admin_listener_takes_its_token_from_the_environment() {
    let token = ("CATPROXY_ADMIN_TOKEN", "hunter2-hunter2-hunter2");
    let (serving, url) = administered(&[token]);
    let (output, _, err) = run(&["status", "--url", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("say the admin token"), "{err}");
    let output = catproxy(&["status"]).envs([token, ("CATPROXY_ADMIN_URL", &url)]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(serving.said.iter().all(|line| !line.contains("hunter2")), "{:?}", serving.said);
    assert_eq!(stop(serving), Some(0));
}

#[test]
fn where_no_admin_listener_is_it_is_said_what_to_do() {
    for (url, word) in [("http://127.0.0.1:1", "--admin-listen"), ("127.0.0.1:1", "begins with")] {
        let (output, _, err) = run(&["status", "--url", url]);
        assert_eq!(output.status.code(), Some(1));
        assert!(err.contains(word), "{err}");
    }
}

/// Says these bytes and gives the whole answer: the other end is told to close.
fn answered(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("a whole answer");
    answer
}

fn ordered(address: &str, method: &str, order: &str) -> String {
    let length = order.len();
    answered(
        address,
        &format!(
            "{method} /log HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{order}"
        ),
    )
}

#[test]
fn the_access_log_has_a_line_for_each_request_where_it_is_asked_for_before_or_while_it_runs() {
    let arguments = ["--upstream", "http://127.0.0.1:1", "--admin-listen", "127.0.0.1:0"];
    for (filter, is_on) in [("info,access=info", true), ("debug", false)] {
        let environment =
            [("CATPROXY_LOG", filter), ("CATPROXY_LOG_FORMAT", "json"), ("REDIS_URL", "redis://127.0.0.1:1")];
        let (line, mut serving) = serving(&arguments, &environment);
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let message = line["fields"]["message"].as_str().expect("a message").to_owned();
        let admin =
            message.split(", admin ").nth(1).and_then(|rest| rest.split(';').next()).expect("its address");
        let clients = address_in(&message).to_owned();
        let ask = |target: &str| {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            answered(&clients, &request)
        };
        if !is_on {
            // Nobody has asked for its line.
            ask("/api/Before");
            let changed = ordered(admin, "PUT", r#"{"filter":"warn,access=info"}"#);
            assert!(
                changed.starts_with("HTTP/1.1 200 ") && changed.contains("warn,access=info"),
                "{changed}"
            );
        }
        assert!(ask("/api/Lot?secret=hunter2").starts_with("HTTP/1.1 502 "));
        let line: serde_json::Value = serde_json::from_str(&serving.until("\"access\"")).expect("JSON");
        let fields = &line["fields"];
        for (name, value) in [
            ("method", "GET"),
            ("path", "/api/Lot"),
            ("route", "none"),
            ("outcome", "forwarded"),
            ("reason", "no-route"),
        ] {
            assert_eq!(fields[name], value, "{line}");
        }
        assert_eq!(fields["status"], 502, "{line}");
        assert!(fields["micros"].is_u64(), "{line}");
        assert!(serving.said.iter().all(|line| !line.contains("hunter2")), "{:#?}", serving.said);
        let refused = ordered(admin, "PUT", r#"{"filter":"loud"}"#);
        assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("is no level"), "{refused}");
        assert!(ordered(admin, "GET", "").contains("access=info"));
        assert_eq!(stop(serving), Some(0));
    }
}

/// Starts `serve` as systemd does: with this descriptor as the first passed one, of so many, for the process that
/// `LISTEN_PID` names in the shell's words.
fn passed(descriptor: impl Into<std::os::fd::OwnedFd>, count: usize, pid: &str, listen: &str) -> Child {
    let launch = format!(
        "exec 3<&0 4<&0 </dev/null; LISTEN_FDS={count} LISTEN_PID={pid} exec {} serve --listen {listen} --upstream \
         http://127.0.0.1:1 --redis-url redis://127.0.0.1:1",
        env!("CARGO_BIN_EXE_catproxy")
    );
    Command::new("sh")
        .args(["-c", &launch])
        .env_clear()
        .stdin(Stdio::from(descriptor.into()))
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs")
}

#[test]
fn a_passed_socket_is_listened_on_and_listen_is_not() {
    let (door, taken) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, taken) = (door.local_addr().unwrap().to_string(), taken);
    let mut child = passed(door, 1, "$$", &taken.local_addr().unwrap().to_string());
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut serving = Serving { child, log, said: Vec::new() };
    assert_eq!(address_in(&serving.until(" -> ")), address);
    for _ in 0..20 {
        assert!(get(&address).starts_with("HTTP/1.1 502 "), "there is no upstream");
    }
    assert_eq!(stop(serving), Some(0));
}

#[test]
fn what_was_passed_to_another_process_is_left_alone() {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    let mut child = passed(door, 1, "1", "127.0.0.1:0");
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut serving = Serving { child, log, said: Vec::new() };
    assert_ne!(address_in(&serving.until(" -> ")), address);
    assert_eq!(stop(serving), Some(0));
}

#[test]
fn what_was_passed_and_is_of_no_use_is_an_error_that_says_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let unix = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(door.local_addr().unwrap()).unwrap();
    let cases = [
        (passed(unix, 1, "$$", "127.0.0.1:0"), "not a valid tcp socket"),
        (passed(connected, 1, "$$", "127.0.0.1:0"), "nobody can connect to it"),
        (passed(door, 2, "$$", "127.0.0.1:0"), "2 sockets were passed by LISTEN_FDS"),
    ];
    for (child, what) in cases {
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains(what) && err.contains("one ListenStream="), "{err}");
    }
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_reloads_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let told = || {
        let mut bytes = [0; 4096];
        let length = manager.recv(&mut bytes).expect("it is told");
        String::from_utf8(bytes[..length].to_vec()).expect("text")
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "[upstream]\nurl = \"http://127.0.0.1:1\"\n[store]\nkind = \"memory\"\n{ROUTE}").unwrap();
    let (line, serving) =
        serving(&["--config", file.path().to_str().unwrap()], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let ready = told();
    let status = ready.strip_prefix("READY=1\nSTATUS=").unwrap_or_else(|| panic!("{ready}"));
    assert!(line.ends_with(status.trim_end()), "{ready}");
    for (text, what) in [("", " routes one"), ("nonsense", "STATUS=not reloaded; what ran before goes on")] {
        write!(file, "{text}").unwrap();
        tell(&serving, Signal::HUP);
        let reloading = told();
        let moment =
            reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").map(|rest| rest.trim_end().parse::<u64>());
        assert!(matches!(moment, Some(Ok(1..))), "{reloading}");
        let ready = told();
        assert!(ready.starts_with("READY=1\n") && ready.contains(what), "{ready}");
    }
    tell(&serving, Signal::TERM);
    assert_eq!(told(), "STOPPING=1\n");
    let mut serving = serving;
    assert_eq!(serving.child.wait().expect("its end").code(), Some(0));
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let script = run(&["completions", "bash"]).1;
    let completed = |words: &[&str]| {
        let asked = format!(
            "{script}\nCOMP_WORDS=({}); COMP_CWORD={}; _catproxy catproxy \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"; complete -p catproxy",
            words.join(" "),
            words.len() - 1
        );
        let output = Command::new("bash").args(["--norc", "-c", &asked]).output().expect("bash runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for (words, expected) in [
        (&["catproxy", "se"][..], "serve\n"),
        (&["catproxy", "serve", "--prof"], "--profile\n"),
        (&["catproxy", "serve", "--profile", "cat"], "catalog-ui\n"),
        (&["catproxy", "purge", "--r"], "--route\n"),
    ] {
        let all = completed(words);
        assert!(all.starts_with(expected), "{words:?}: {all}");
        assert!(all.ends_with("-F _catproxy catproxy\n"), "{all}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let (output, script, _) = run(&["completions", shell]);
        assert!(output.status.success() && script.contains("redis-url"), "{shell}: {script}");
    }
}

#[test]
fn man_pages_of_the_program_and_its_commands_are_sound() {
    let (_, overview, _) = run(&["man"]);
    assert!(
        overview.contains("catproxy\\-serve(1)") && !overview.contains("catproxy\\-help(1)"),
        "{overview}"
    );
    let listed: Vec<_> =
        overview.lines().filter_map(|line| line.strip_prefix("catproxy\\-")?.strip_suffix("(1)")).collect();
    assert!(listed.len() > 5, "{overview}");
    for of in listed.iter().map(|name| Some(*name)).chain([None]) {
        let (output, page, err) = run(&[&["man"], of.as_slice()].concat());
        assert!(output.status.success(), "{err}");
        let title = of.map_or_else(|| "catproxy".to_owned(), |name| format!("catproxy-{name}"));
        assert!(page.contains(&format!(".TH {title} 1 ")), "{page}");
        // Where groff is not installed, the program's text is all there is to look at.
        let Ok(mut groff) = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        else {
            continue;
        };
        groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let output = groff.wait_with_output().unwrap();
        assert!(output.stderr.is_empty() && output.stdout.len() > 200, "{title}: {output:?}");
    }
    let (output, _, err) = run(&["man", "nothing"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err.contains("there are serve, check"), "{err}");
}
