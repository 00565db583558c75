//! The clients, the upstream, the store, who may read, and the bounds of a fill.

use std::time::Duration;

use super::{Origin, Setting, base_url, choose, jwks, limits};
use crate::config::{
    Admission, Clients, Fill, Near, Route, Stale, Store, StoreKind, Upstream, VouchFor,
    raw::{RawAdmission, RawClients, RawFill, RawStore, RawUpstream},
    redis_url,
    report::{At, Fault, Place, Problems, Text},
    secret::Secret,
    units::show_duration,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const DEFAULT_REDIS: &str = "redis://127.0.0.1:6379";
const DEFAULT_PREFIX: &str = "cat_";

/// What clients may take of this process.
pub(super) fn clients(raw: &RawClients, problems: &mut Problems) -> Clients {
    let timeout = |text: Option<&Text>, default, problems: &mut Problems| {
        limits::duration(text, default, 10 * MS..=HOUR, problems)
    };
    Clients {
        connections: limits::number(raw.connections.as_ref(), 10_000, 1..=1_000_000, problems),
        connections_per_address: limits::number(
            raw.connections_per_address.as_ref(),
            1_000,
            1..=1_000_000,
            problems,
        ),
        head_timeout: timeout(raw.head_timeout.as_ref(), 15 * SECOND, problems),
        idle_timeout: timeout(raw.idle_timeout.as_ref(), MINUTE, problems),
        stall_timeout: timeout(raw.stall_timeout.as_ref(), 2 * MINUTE, problems),
        min_rate: limits::bytes(raw.min_rate.as_ref(), 500, 0..=GIB, problems),
        head_bytes: limits::memory(raw.head_bytes.as_ref(), 32 * KIB, 8 * KIB..=MIB, problems),
        head_fields: limits::number(raw.head_fields.as_ref(), 100, 10..=1_000, problems),
        target_bytes: limits::memory(raw.target_bytes.as_ref(), 16 * KIB, 256..=60 * KIB, problems),
        streams: limits::number(raw.streams.as_ref(), 100, 1..=1_000, problems),
        other_methods: raw.other_methods.as_ref().is_none_or(|switch| switch.value),
        hit_loop: raw.hit_loop.as_ref().is_none_or(|switch| switch.value),
        relay_loop: raw.relay_loop.as_ref().is_none_or(|switch| switch.value),
        drain_timeout: timeout(raw.drain_timeout.as_ref(), 10 * SECOND, problems),
    }
}

/// `None` where no usable URL is there, which is a problem.
pub(super) fn upstream(raw: RawUpstream, url: Option<Setting>, problems: &mut Problems) -> Option<Upstream> {
    if raw.url.is_none() && url.is_none() {
        problems.missing(
            "upstream.url",
            None,
            "add `url = \"https://…\"` below `[upstream]`, or give --upstream",
        );
    }
    let base = choose(raw.url, url, problems, |text, problems| {
        problems.parse(text, "a URL such as \"https://catalog.example\"", base_url)
    });
    let ca_file = raw.ca_file.as_ref().and_then(|file| super::ca_file(file, problems));
    let patience = 10 * MS..=10 * MINUTE;
    let connect_timeout =
        limits::duration(raw.connect_timeout.as_ref(), 3 * SECOND, 10 * MS..=5 * MINUTE, problems);
    let head_timeout = limits::duration(raw.head_timeout.as_ref(), 30 * SECOND, patience.clone(), problems);
    let body_timeout = limits::duration(raw.body_timeout.as_ref(), 30 * SECOND, patience, problems);
    let idle_timeout = limits::duration(raw.idle_timeout.as_ref(), 20 * SECOND, 10 * MS..=HOUR, problems);
    let idle_connections = limits::number(raw.idle_connections.as_ref(), 64, 0..=10_000, problems);
    let connections = limits::number(raw.connections.as_ref(), 1_000, 1..=100_000, problems);
    let (tls, authority) = base?;
    Some(Upstream {
        connections,
        tls,
        authority,
        ca_file,
        http2: raw.http2.is_none_or(|http2| http2.value),
        connect_timeout,
        head_timeout,
        body_timeout,
        idle_timeout,
        idle_connections,
    })
}

/// The store, and how long an entry lives where its route does not say.
pub(super) fn store(
    raw: RawStore,
    url: Option<Setting>,
    prefix: Option<Setting>,
    problems: &mut Problems,
) -> (Store, Duration) {
    let kind = store_kind(&raw, url, problems);
    let ca_file = raw.ca_file.as_ref().and_then(|file| super::ca_file(file, problems));
    if matches!(kind, StoreKind::Memory { .. }) {
        of_no_use(raw.ca_file.iter().map(named), "only with kind = \"redis\"", problems);
    }
    let near = near(&raw, &kind, problems);
    let prefix = choose(raw.prefix, prefix, problems, |text, problems| {
        problems.parse(text, "a prefix such as \"cat_\"", check_prefix)
    });
    let store = Store {
        near,
        ca_file,
        page_bytes: limits::bytes(raw.page_bytes.as_ref(), 32 * MIB, 0..=64 * GIB, problems),
        kind,
        prefix: prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        budget: limits::duration(raw.budget.as_ref(), 50 * MS, MS..=10 * SECOND, problems),
        max_entry_bytes: limits::memory(raw.max_entry_bytes.as_ref(), 4 * MIB, KIB..=512 * MIB, problems),
    };
    (store, ttl(raw.ttl.as_ref(), 300 * SECOND, problems))
}

fn near(raw: &RawStore, kind: &StoreKind, problems: &mut Problems) -> Option<Near> {
    let max_bytes = limits::bytes(raw.near_bytes.as_ref(), 64 * MIB, 0..=64 * GIB, problems);
    let limit = limits::duration(raw.near_limit.as_ref(), 5 * SECOND, 100 * MS..=MINUTE, problems);
    if matches!(kind, StoreKind::Memory { .. }) {
        for unused in [&raw.near_bytes, &raw.near_limit].into_iter().flatten() {
            let title = format!("`{}` is of no use here", unused.key);
            problems.add(&unused.place, title, "only with kind = \"redis\": memory is near as it is");
        }
        return None;
    }
    (max_bytes > 0).then_some(Near { max_bytes, limit })
}

/// How long past its ttl an entry may be served. At most a day: that and the ttl are
/// the greatest age of anything served.
pub(super) fn stale(
    while_revalidate: Option<&Text>,
    if_error: Option<&Text>,
    problems: &mut Problems,
) -> Stale {
    let mut window = |text| limits::duration(text, Duration::ZERO, Duration::ZERO..=DAY, problems);
    Stale { while_revalidate: window(while_revalidate), if_error: window(if_error) }
}

/// How long an entry lives.
pub(super) fn ttl(text: Option<&Text>, default: Duration, problems: &mut Problems) -> Duration {
    limits::duration(text, default, 100 * MS..=7 * DAY, problems)
}

fn store_kind(raw: &RawStore, url: Option<Setting>, problems: &mut Problems) -> StoreKind {
    let kind = raw.kind.as_ref().and_then(|kind| {
        problems.parse(kind, "a kind of store", |kind| match kind {
            "redis" => Ok(false),
            "memory" => Ok(true),
            _ => Err(Fault::whole("\"redis\" or \"memory\"")),
        })
    });
    let in_memory = kind.unwrap_or(false);
    let max_bytes = limits::bytes(raw.max_bytes.as_ref(), 256 * MIB, KIB..=64 * GIB, problems);
    if let Some(max_bytes) = raw.max_bytes.as_ref().filter(|_| !in_memory) {
        problems.add(&max_bytes.place, "`store.max-bytes` is of no use here", "only with kind = \"memory\"");
    }
    if let Some(url) = raw.redis_url.as_ref().filter(|_| in_memory) {
        problems.add(&url.place, "`store.redis-url` is of no use here", "only with kind = \"redis\"");
    }
    let from_file = raw.redis_url.as_ref().and_then(|url| usable(url, problems));
    let memory = StoreKind::Memory { max_bytes };
    let redis = |url| StoreKind::Redis(Secret::new(url));
    match url {
        None if in_memory => memory,
        None => redis(from_file.unwrap_or_else(|| DEFAULT_REDIS.to_owned())),
        Some(Setting { origin: Origin::Environment("REDIS_URL"), .. }) if in_memory => {
            // A name that other programs share; it does not say that this one should use a Redis.
            problems.warn(None, "REDIS_URL is not used: the configuration keeps entries in memory");
            memory
        }
        Some(Setting { value, origin: Origin::Environment(name) }) => match redis_url::read(&value) {
            Ok(_) => redis(value),
            Err(fault) => {
                problems.warn(None, format!("{name} is not usable ({fault}), so nothing is stored"));
                StoreKind::Absent
            }
        },
        Some(Setting { value, origin }) => {
            let url = problems.outside(origin.to_string(), value);
            problems.hide(&url.place);
            redis(usable(&url, problems).unwrap_or_default())
        }
    }
}

fn usable(url: &Text, problems: &mut Problems) -> Option<String> {
    problems.parse(url, "a Redis URL", |text| redis_url::read(text).map(|_| text.to_owned()))
}

fn check_prefix(text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.len() > 64 {
        return Err(Fault::whole(
            "from 1 to 64 characters, so that entries are told from other programs' keys",
        ));
    }
    match text.find(|character: char| !character.is_ascii_graphic()) {
        Some(offset) => Err(Fault::at(offset, "visible ASCII characters only")),
        None => Ok(text.to_owned()),
    }
}

/// Who may read. `None` where what the mode needs is missing, which is a problem.
pub(super) fn admission(raw: RawAdmission, problems: &mut Problems) -> Option<Admission> {
    let mode = raw.mode.as_ref().and_then(|mode| {
        problems.parse(mode, "a mode of admission", |mode| match mode {
            "upstream" => Ok(Mode::Upstream),
            "jwks" => Ok(Mode::Jwks),
            "open" => Ok(Mode::Open),
            _ => Err(Fault::whole("\"upstream\", \"jwks\" or \"open\"")),
        })
    });
    let vouch_limit = limits::duration(raw.vouch_limit.as_ref(), 300 * SECOND, 100 * MS..=DAY, problems);
    let vouch_for = raw.vouch_for.as_ref().and_then(|what| {
        problems.parse(what, "what a yes counts for", |what| match what {
            "key" => Ok(VouchFor::Key),
            "route" => Ok(VouchFor::Route),
            _ => Err(Fault::whole("\"key\" or \"route\"")),
        })
    });
    let mode =
        if mode.is_none() && raw.mode.is_some() { return None } else { mode.unwrap_or(Mode::Upstream) };
    if mode != Mode::Upstream {
        of_no_use(raw.vouch_for.iter().map(named), "only with mode = \"upstream\"", problems);
    }
    if mode == Mode::Open {
        let label = "only with mode = \"upstream\" or \"jwks\"";
        of_no_use(raw.vouch_limit.iter().map(named), label, problems);
    }
    if mode != Mode::Jwks {
        of_no_use(raw.jwks.named(), "only with mode = \"jwks\"", problems);
    }
    match mode {
        Mode::Upstream => Some(Admission::Upstream { vouch_limit, vouch_for: vouch_for.unwrap_or_default() }),
        Mode::Jwks => jwks::admission(raw.jwks, raw.place.as_ref(), vouch_limit, problems),
        Mode::Open => Some(Admission::Open),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Upstream,
    Jwks,
    Open,
}

fn named<T>(at: &At<T>) -> (&str, &Place) {
    (&at.key, &at.place)
}

fn of_no_use<'a>(keys: impl IntoIterator<Item = (&'a str, &'a Place)>, label: &str, problems: &mut Problems) {
    for (key, place) in keys {
        problems.add(place, format!("`{key}` is of no use here"), label);
    }
}

/// Warns where tokens are questioned while entries are still fresh: then a warm cache calls the upstream.
pub(super) fn compare_lives(
    admission: Option<&Admission>,
    place: Option<&Place>,
    routes: &[Route],
    problems: &mut Problems,
) {
    let Some(Admission::Upstream { vouch_limit, .. }) = admission else {
        return;
    };
    for route in routes.iter().filter(|route| route.ttl > *vouch_limit) {
        let (limit, ttl) = (show_duration(*vouch_limit), show_duration(route.ttl));
        let name = &route.name;
        let message = format!(
            "admission.vouch-limit ({limit}) is shorter than the ttl of {name} ({ttl}): the upstream is asked about \
             a token while entries are still fresh"
        );
        problems.warn(place, message);
    }
}

pub(super) fn fill(raw: RawFill, problems: &mut Problems) -> Fill {
    Fill {
        page_size: limits::number(raw.page_size.as_ref(), 500, 1..=500, problems),
        parallel_pages: limits::number(raw.parallel_pages.as_ref(), 4, 1..=64, problems),
        parallel_fills: limits::number(raw.parallel_fills.as_ref(), 16, 1..=1024, problems),
        waiting_fills: limits::number(raw.waiting_fills.as_ref(), 64, 0..=10_000, problems),
        max_pages: limits::number(raw.max_pages.as_ref(), 200, 1..=100_000, problems),
        max_items: limits::number(raw.max_items.as_ref(), 100_000, 1..=10_000_000, problems),
        max_page_bytes: limits::memory(raw.max_page_bytes.as_ref(), 16 * MIB, KIB..=GIB, problems),
        max_bytes: limits::memory(raw.max_bytes.as_ref(), 64 * MIB, KIB..=GIB, problems),
        timeout: limits::duration(raw.timeout.as_ref(), 60 * SECOND, 10 * MS..=HOUR, problems),
        too_large_for: limits::duration(raw.too_large_for.as_ref(), 5 * MINUTE, 10 * MS..=DAY, problems),
    }
}
