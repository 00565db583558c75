//! What benchmarks are played on: an upstream in a process of its own, a redis-server, a configuration.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub(crate) mod counting;
pub(crate) mod load;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod upstream;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use catproxy::config::check::{Origin, Overrides, Setting, load};
use catproxy::config::profile::Profile;
use catproxy::config::{Config, StoreKind};

/// The profile `panels` in front of this upstream; with the memory store where no Redis is given.
pub(crate) fn configuration(upstream: &str, redis_url: Option<String>) -> Config {
    let flag = |name, value: String| Some(Setting { value, origin: Origin::Flag(name) });
    let in_memory = redis_url.is_none();
    let overrides = Overrides {
        listen: flag("--listen", "127.0.0.1:0".to_owned()),
        upstream: flag("--upstream", upstream.to_owned()),
        redis_url: redis_url.and_then(|url| flag("--redis-url", url)),
        time_zone: flag("time zone", "UTC".to_owned()),
        ..Overrides::default()
    };
    let (mut config, _) = load(Profile::Panels.source(), overrides).expect("a configuration");
    if in_memory {
        config.store.kind = StoreKind::Memory { max_bytes: 1 << 30 };
    }
    config
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Waits until somebody listens there.
pub(crate) fn until_it_listens(address: SocketAddr) {
    let start = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody listens on {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn word(holds: bool) -> &'static str {
    if holds { "holds" } else { "DOES NOT HOLD" }
}

/// The middle one of an odd number of figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
