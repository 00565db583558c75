//! `cargo bench --bench projection`: a page of 500 sellers, as the stand-in answers it, cut to three fields, whole and in
//! the pieces in which a fill has it from the network; next to it what serde_json takes to read the same bytes and keep
//! nothing, and the plain way: `serde_json::Value` and jsonpath-rust,
//! once as its documentation has it (`value.query("$.id")`) and once with the paths parsed before. All ways take turns in each round; the median
//! counts. Peaks are those of the allocator, the output included, and a buffer that grows counts with its old and its
//! new size. Ends with an error when a promise does not hold: some are about the panels' fields alone, that of the floor
//! is about all.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints, and fails by panicking")]

#[path = "stage/counting.rs"]
mod counting;

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use catproxy::project::{Field, Path, Projection, Source};
use counting::Counting;
use fake_abconnect::{FakeAbconnect, Options, Running};
use jsonpath_rust::JsonPath;
use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde::de::IgnoredAny;
use serde_json::Value;

const SELLERS: usize = 500;
const ROUNDS: usize = 101;
/// At least this many times faster than the plain way,
const FASTER: f64 = 8.0;
/// at most this many times as long as reading and keeping nothing; whatever the fields, and in pieces too,
const FLOOR: f64 = 1.25;
const FLOOR_OF_ALL: f64 = 1.5;
/// of this size,
const PIECE: usize = 64 * 1024;
/// and with a peak below this.
const PEAK: usize = 64 * 1024;

/// The panels' fields; then fields that lie deeper, as of both generations of the API.
const PANELS: [(&str, &[&str]); 3] =
    [("id", &["$.id"]), ("name", &["$.name"]), ("customerDisplayId", &["$.customerDisplayId"])];
const DEEPER: [(&str, &[&str]); 3] = [
    ("id", &["$.id"]),
    ("title", &["$.catalogs[9].title"]),
    (
        "number",
        &["$.number", "$.catalogs[0].platforms[0].platformCatalogId", "$.catalogs[0].customerCatalogId"],
    ),
];

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One way to read the page: what it is called, its output, its times and its peak.
struct Way<'w> {
    name: &'static str,
    run: Box<dyn Fn() -> Vec<u8> + 'w>,
    times: Vec<Duration>,
    peak: usize,
}

impl<'w> Way<'w> {
    fn new(name: &'static str, run: impl Fn() -> Vec<u8> + 'w) -> Self {
        Way { name, run: Box::new(run), times: Vec::new(), peak: 0 }
    }

    fn round(&mut self) {
        let before = counting::begin();
        let start = Instant::now();
        let output = black_box((self.run)());
        self.times.push(start.elapsed());
        self.peak = self.peak.max(counting::most() - before);
        drop(output);
    }

    /// In seconds.
    fn median(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64()
    }
}

fn main() -> ExitCode {
    // Without `--bench` (as `cargo test --all-targets` calls it) it only shows that it runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let rounds = if measured { ROUNDS } else { 1 };
    // It stays, idle, until the end: were it to stop meanwhile, what it frees would be in the peaks.
    let upstream = FakeAbconnect::start_on_own_threads(Options::default(), 1).expect("the stand-in starts");
    let body = sellers(&upstream);
    println!("{SELLERS} sellers, {:.2} MB, median of {rounds} rounds", body.len() as f64 / 1e6);
    let panels = compare("panels: three fields of the top level", &body, &PANELS, rounds);
    let deeper = compare("deeper: two of three inside of the catalogs", &body, &DEEPER, rounds);
    let [ours, _, floor, plain, _] = &panels;
    let within = |[whole, pieces, floor, ..]: &[Way<'_>; 5]| {
        whole.median().max(pieces.median()) / floor.median() <= FLOOR_OF_ALL
    };
    let promises = [
        (
            format!("at least {FASTER} times faster than {}", plain.name),
            plain.median() / ours.median() >= FASTER,
        ),
        (format!("at most {FLOOR} times as long as {}", floor.name), ours.median() / floor.median() <= FLOOR),
        (
            format!("at most {FLOOR_OF_ALL} times as long, whatever the fields, whole and in pieces"),
            within(&panels) && within(&deeper),
        ),
        (format!("a peak below {} KiB", PEAK / 1024), ours.peak < PEAK),
    ];
    println!();
    for (promise, holds) in &promises {
        println!("{}: {promise}", if *holds { "holds" } else { "DOES NOT HOLD" });
    }
    if measured && !promises.iter().all(|(_, holds)| *holds) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Measures all ways with these fields: ours, whole and in pieces; the floor; the plain one as documented, and at its
/// best.
fn compare<'w>(
    title: &str,
    body: &'w [u8],
    fields: &'w [(&'w str, &'w [&'w str])],
    rounds: usize,
) -> [Way<'w>; 5] {
    let projection = Rc::new(projection(fields));
    let of_pieces = Rc::clone(&projection);
    let parsed: Vec<Vec<JpQuery>> = fields
        .iter()
        .map(|(_, paths)| paths.iter().map(|path| parse_json_path(path).expect("a path")).collect())
        .collect();
    let mut ways = [
        Way::new("catproxy", move || projection.page(body).expect("a page").text),
        Way::new("catproxy, in pieces", move || {
            let mut reading = of_pieces.begin(Some(body.len()));
            body.chunks(PIECE).for_each(|piece| of_pieces.read(&mut reading, piece).expect("a page"));
            of_pieces.end(reading).expect("a page").text
        }),
        Way::new("IgnoredAny", move || {
            serde_json::from_slice::<IgnoredAny>(body).expect("JSON");
            Vec::new()
        }),
        Way::new("Value, paths as text", move || {
            plain(body, fields, |field, item| {
                let first = |path: &&str| item.query(path).expect("nodes").first().copied();
                fields.get(field)?.1.iter().find_map(first)
            })
        }),
        Way::new("Value, paths parsed", move || {
            plain(body, fields, |field, item| {
                let first = |path| js_path_process(path, item).expect("nodes").first().map(|node| node.val);
                parsed.get(field)?.iter().find_map(first)
            })
        }),
    ];
    let [ours, pieces, _, theirs, _] = &ways;
    let read = |way: &Way<'_>| {
        let text = [b"[", (way.run)().as_slice(), b"]"].concat();
        serde_json::from_slice::<Value>(&text).expect("JSON")
    };
    assert_eq!(read(ours), read(theirs), "both ways give the same items");
    assert_eq!(read(ours), read(pieces), "and in pieces");
    for _ in 0..rounds {
        ways.iter_mut().for_each(Way::round);
    }
    println!("\n{title}\n{:24}{:>12}{:>14}{:>10}", "", "time", "peak", "ratio");
    let [ours, ..] = &ways;
    for way in &ways {
        let (time, peak) = (way.median() * 1e6, way.peak as f64 / 1024.0);
        println!("{:24}{time:>9.0} us{peak:>10.1} KiB{:>10.2}", way.name, way.median() / ours.median());
    }
    ways
}

fn projection(fields: &[(&str, &[&str])]) -> Projection {
    let path = |text: &str| Path::parse(text).expect("a path");
    let field = |(name, paths): &(&str, &[&str])| Field {
        name: (*name).to_owned(),
        source: Source::Paths(paths.iter().map(|text| path(text)).collect()),
    };
    Projection::list(path("$.items[*]"), fields.iter().map(field).collect(), path("$.id"))
        .expect("a projection")
}

/// How one would write it without this crate: the whole page as a `Value`, a query for each field of each item.
fn plain<F>(body: &[u8], fields: &[(&str, &[&str])], find: F) -> Vec<u8>
where
    F: for<'v> Fn(usize, &'v Value) -> Option<&'v Value>,
{
    let page: Value = serde_json::from_slice(body).expect("JSON");
    let items = page.get("items").and_then(Value::as_array).expect("a list");
    let mut text = Vec::new();
    for item in items {
        let start: &[u8] = if text.is_empty() { b"{" } else { b",{" };
        text.extend_from_slice(start);
        let mut comma = "";
        for (index, (name, _)) in fields.iter().enumerate() {
            if let Some(value) = find(index, item) {
                text.extend_from_slice(format!("{comma}\"{name}\":").as_bytes());
                serde_json::to_writer(&mut text, value).expect("JSON");
                comma = ",";
            }
        }
        text.push(b'}');
    }
    text
}

/// The body of the stand-in's answer.
fn sellers(upstream: &Running) -> Vec<u8> {
    let mut stream = TcpStream::connect(upstream.addr()).expect("a connection");
    let token = upstream.token("demo");
    write!(
        stream,
        "GET /api/Seller?PageNumber=1&PageSize={SELLERS} HTTP/1.1\r\nHost: upstream\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "a page of sellers");
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    answer.split_off(head)
}
