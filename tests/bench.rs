//! `catproxy bench` as a person runs it: against the program itself, before the stand-in upstream.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Output, Stdio},
};

use fake_abconnect::{Access, FakeAbconnect, Knobs, Matching, Options, Rule, Running, User};
use serde_json::Value;

const PASSWORD: &str = "pa55 w0rd+of/sam=é";
const CLIENT_SECRET: &str = "c1ient+s3cret/of=catproxy";

/// The fewest reads that fill all rows: of one seller's catalogs, and of all sellers.
const FEW: [&str; 6] = ["--samples", "1", "--warm-samples", "20", "--sellers", "1"];

fn catproxy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catproxy"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The stand-in, on threads of its own.
fn stand_in(knobs: Knobs) -> Running {
    let client = Some(("cat".to_owned(), CLIENT_SECRET.to_owned()));
    let mut options = Options { sellers: 40, client, knobs, ..Options::default() };
    options.users.push(User::new("sam", PASSWORD, Access::Full));
    FakeAbconnect::start_on_own_threads(options, 1).expect("the stand-in starts")
}

/// An API that takes its time, so that a cold read is slower than a warm one however busy the machine is.
fn slow() -> Knobs {
    Knobs { rules: vec![Rule { latency_ms: Some(300), ..Rule::default() }], ..Knobs::default() }
}

/// `catproxy serve` in front of this upstream, with entries in memory; ends when dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn before(upstream: &Running) -> Self {
        // The demo's configuration keeps entries in memory.
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.toml");
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--upstream", upstream.url(), "--config", file];
        let mut child = catproxy(&arguments).stdout(Stdio::null()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains(" -> ")).expect("it says where it listens");
        // Its log goes on, and must be read lest the pipe be full.
        std::thread::spawn(move || lines.for_each(drop));
        let address = line.split(" -> ").next().unwrap().rsplit(' ').next().unwrap();
        Self { child, url: format!("http://{address}") }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What it did, printed and complained about.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It could not measure, printed nothing but why, and that is this.
    fn fails(&self, why: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{}", self.err);
        assert!(self.err.starts_with("error: ") && self.err.contains(why), "{}", self.err);
    }
}

/// Runs `bench` against this proxy with this token.
fn bench(url: &str, token: &str, more: &[&str]) -> Said {
    let arguments = [&["bench", "--url", url], FEW.as_slice(), more].concat();
    Said::of(&catproxy(&arguments).env("CATPROXY_BENCH_TOKEN", token).output().expect("it runs"))
}

#[test]
fn a_user_gets_all_rows_and_no_secret_is_printed() {
    let upstream = stand_in(slow());
    let serving = Serving::before(&upstream);
    let arguments =
        ["bench", "--url", &serving.url, "--identity-url", upstream.url(), "--user", "sam", "--json"];
    let output = catproxy(&[&arguments, FEW.as_slice()].concat())
        .envs([
            ("CATPROXY_BENCH_PASSWORD", PASSWORD),
            ("CATPROXY_UI_CLIENT_ID", "cat"),
            ("CATPROXY_UI_CLIENT_SECRET", CLIENT_SECRET),
        ])
        .output()
        .unwrap();
    let said = Said::of(&output);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let told: Value = serde_json::from_str(&said.out).expect("one object");
    for (list, name) in told["lists"].as_array().unwrap().iter().zip(["sellers", "catalogs"]) {
        assert_eq!(list["list"], name);
        for (row, reads) in [("cold", 1), ("new_token", 1), ("warm", 20)] {
            assert_eq!((&list[row]["reads"], &list[row]["discarded"]), (&reads.into(), &0.into()), "{list}");
            assert!(list[row]["bytes"].as_u64().unwrap() > 30, "{list}");
        }
        assert!(list["cold"]["p50_us"].as_f64().unwrap() > 300_000.0, "{list}");
        assert!(list["ratio"].as_f64().unwrap() > 1.0, "{list}");
    }
    assert_eq!((told["calls_saved"].as_u64(), told["passed"].as_bool()), (Some(40), Some(true)));
    // The main token and one for each list.
    assert_eq!(upstream.calls_to("/connect/token").len(), 3);
    assert!(
        !said.out.contains("pa55") && !said.out.contains("eyJ") && !said.out.contains("s3cret"),
        "{}",
        said.out
    );
}

#[test]
fn the_ratio_that_is_required_decides_the_exit_code() {
    let upstream = stand_in(slow());
    let (serving, token) = (Serving::before(&upstream), upstream.token("demo"));
    let said = bench(&serving.url, &token, &["--require", "3"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    for part in [
        "sellers       reads",
        "  cold            1",
        "  warm           20",
        "times as fast",
        "left out",
        "40 calls",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in {}", said.out);
    }
    assert!(said.out.is_ascii() && said.out.lines().all(|line| line.len() <= 80), "{}", said.out);
    let said = bench(&serving.url, &token, &["--require", "1000000"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.starts_with("error: sellers: ") && said.err.contains("1000000 times are required"),
        "{}",
        said.err
    );
    assert!(said.out.contains("catalogs"), "what was measured is told all the same: {}", said.out);
}

#[test]
fn a_token_on_the_command_line_is_taken_with_a_warning_and_not_repeated() {
    let upstream = stand_in(Knobs::default());
    let serving = Serving::before(&upstream);
    let (token, other) = (upstream.token("demo"), upstream.token("second"));
    let said = bench(&serving.url, "", &["--token", &token, "--other-token", &other, "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.starts_with("warning: ") && said.err.lines().count() == 1, "{}", said.err);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&told["lists"][0]["new_token"]["reads"], &told["lists"][1]["new_token"]["reads"]),
        (&1.into(), &1.into())
    );
    assert!(!said.err.contains("eyJ") && !said.out.contains("eyJ"));
}

#[test]
fn what_was_not_filled_is_no_cold_read() {
    let upstream = stand_in(Knobs::default());
    let (serving, token) = (Serving::before(&upstream), upstream.token("demo"));
    let said = bench(&serving.url, &token, &[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    upstream.rule(Rule { on: Matching::path("/api/Seller"), status: Some(503), ..Rule::default() });
    bench(&serving.url, &token, &[]).fails("all 1 cold reads of the sellers had to be discarded");
}

#[test]
fn who_is_asked_and_by_whom_is_trouble_that_is_named() {
    let upstream = stand_in(Knobs::default());
    let serving = Serving::before(&upstream);
    bench(&serving.url, "t0ken-0f-n0body", &[]).fails("the token is not accepted (401)");
    bench(&serving.url, &upstream.token("restricted"), &[]).fails("may not read the sellers (403)");
    bench(&serving.url, "", &[]).fails("CATPROXY_BENCH_TOKEN");
    bench(&serving.url, "two words", &[]).fails("fits into no request");
    bench(upstream.url(), &upstream.token("demo"), &[]).fails("is not catproxy");
    let said = bench("http://127.0.0.1:1", "x", &[]);
    said.fails("no proxy at http://127.0.0.1:1: ");
    assert!(!said.err.contains("upstream"), "the proxy is not this person's upstream: {}", said.err);
    upstream.knobs(|knobs| knobs.sellers = Some(0));
    let serving = Serving::before(&upstream);
    bench(&serving.url, &upstream.token("demo"), &[]).fails("there are no sellers");
}

#[test]
fn a_user_without_password_or_client_is_trouble_that_is_named() {
    let user = |environment: &[(&str, &str)]| {
        let output = catproxy(&["bench", "--user", "sam", "--identity-url", "http://127.0.0.1:1"])
            .envs(environment.iter().copied())
            .output();
        Said::of(&output.unwrap())
    };
    let client = [("CATPROXY_UI_CLIENT_ID", "cat"), ("CATPROXY_UI_CLIENT_SECRET", CLIENT_SECRET)];
    user(&[]).fails("CATPROXY_UI_CLIENT_ID");
    user(&client).fails("CATPROXY_BENCH_PASSWORD is not set");
    let said = user(&[client[0], client[1], ("CATPROXY_BENCH_PASSWORD", PASSWORD)]);
    said.fails("no token for this user: the identity server is away");
    assert!(!said.err.contains("pa55") && !said.err.contains("s3cret"), "{}", said.err);
}
