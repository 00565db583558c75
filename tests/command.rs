//! The program as a person starts it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
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

/// Runs `serve` until it says what is active; the line, and the process.
fn serving(arguments: &[&str], environment: &[(&str, &str)]) -> (Vec<String>, Child) {
    let mut child = catproxy(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat())
        .envs(environment.iter().copied())
        .spawn()
        .expect("it runs");
    let mut lines = Vec::new();
    for line in BufReader::new(child.stderr.as_mut().expect("its log")).lines() {
        lines.push(line.expect("text"));
        if lines.last().is_some_and(|line| line.contains(" -> ")) {
            return (lines, child);
        }
    }
    panic!("it ended without a word of what is active: {lines:#?}");
}

fn stop(mut child: Child) -> Option<i32> {
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
    child.wait().expect("its end").code()
}

#[test]
fn the_start_line_says_what_is_active_and_sigterm_ends_it_well() {
    let (lines, child) =
        serving(&["--upstream", "http://127.0.0.1:1", "--redis-url", "redis://u:secret@127.0.0.1:1"], &[]);
    let line = lines.last().unwrap();
    assert!(line.ends_with("strict SDK clients need --profile catalog-ui"), "{line}");
    for part in ["panels: 127.0.0.1:", "http://127.0.0.1:1", "sellers catalogs"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!lines.join("\n").contains("secret"));
    assert_eq!(stop(child), Some(0));
}

#[test]
fn the_profile_for_strict_clients_needs_no_such_note() {
    let (lines, child) = serving(
        &["--profile", "catalog-ui", "--upstream", "http://127.0.0.1:1"],
        &[("REDIS_URL", "redis://127.0.0.1:1")],
    );
    assert!(lines.last().unwrap().contains("catalog-ui: ") && !lines.last().unwrap().contains("strict"));
    assert_eq!(stop(child), Some(0));
}

#[test]
fn an_unusable_redis_url_in_the_environment_is_a_warning_and_no_store() {
    let (lines, child) = serving(&["--upstream", "http://127.0.0.1:1"], &[("REDIS_URL", "nonsense")]);
    assert!(lines[0].contains("WARN") && lines[0].contains("REDIS_URL"), "{lines:#?}");
    assert!(lines.last().unwrap().contains("no store"), "{lines:#?}");
    assert_eq!(stop(child), Some(0));
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
