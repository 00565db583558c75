//! The proxy as a process of its own, whose time the system counts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use catproxy::config::profile::Profile;
use tempfile::NamedTempFile;

use super::{free_port, until_it_listens};

/// A running `catproxy serve`; ended when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    child: Child,
    /// What each of its threads has had of a processor when it was last looked at, in nanoseconds.
    threads: RefCell<HashMap<OsString, u64>>,
    _config: NamedTempFile,
}

impl Proxy {
    /// The profile `panels` in front of this upstream, with room for all that a benchmark has; in memory where no Redis is
    /// given.
    pub(crate) fn start(upstream: &str, redis_url: Option<&str>) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let config = NamedTempFile::new().expect("a file");
        fs::write(config.path(), configuration(redis_url)).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_catproxy"))
            .arg("serve")
            .arg("--config")
            .arg(config.path())
            .args(["--listen", &address.to_string(), "--upstream", upstream])
            .env("CATPROXY_LOG", "error")
            .env("CATPROXY_TIME_ZONE", "UTC")
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the proxy starts");
        let proxy = Self { address, child, threads: RefCell::default(), _config: config };
        until_it_listens(address);
        proxy
    }

    /// The time that its threads have had of a processor. What one has had that has ended is what it had at the last look.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a process");
        let time = |thread: fs::DirEntry| -> Option<(OsString, u64)> {
            let told = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            Some((thread.file_name(), told.split(' ').next()?.parse().ok()?))
        };
        let mut known = self.threads.borrow_mut();
        known.extend(threads.flatten().filter_map(time));
        Duration::from_nanos(known.values().sum())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The profile with other values of some keys; an empty one leaves the key out.
fn configuration(redis_url: Option<&str>) -> String {
    let other = |section: &str, key: &str| -> Option<String> {
        let value = match (section, key, redis_url) {
            ("[clients]", "connections" | "connections-per-address", _) => "20000".to_owned(),
            // Of many connections each is asked seldom.
            ("[clients]", "head-timeout" | "idle-timeout", _) => "\"10m\"".to_owned(),
            ("[store]", "max-entry-bytes", _) => "\"64MiB\"".to_owned(),
            ("[store]", "redis-url", Some(url)) => format!("\"{url}\""),
            ("[store]", "kind", None) => "\"memory\"".to_owned(),
            ("[store]", "redis-url" | "near-bytes" | "near-limit", None) => String::new(),
            // Nothing ends while it is measured.
            ("[store]" | "[routes.sellers]", "ttl", _) | ("[admission]", "vouch-limit", _) => {
                "\"1h\"".to_owned()
            }
            _ => return None,
        };
        Some(value)
    };
    let (mut text, mut section, mut replaced) = (String::new(), "", 0);
    let source = Profile::Panels.source().text;
    for line in source.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        let other = other(section, key);
        replaced += usize::from(other.is_some());
        match other {
            Some(value) if value.is_empty() => {}
            Some(value) => text.push_str(&format!("{key} = {value}\n")),
            None => text.push_str(&format!("{line}\n")),
        }
    }
    assert!(replaced >= 9, "the profile has other keys now");
    text
}
