//! The result as one JSON object, for programs. Fields may be added; those that are here keep their meaning.

use std::io;

use serde::Serialize;

use super::{
    lists::List,
    options::Bench,
    samples::{Measured, Row},
};

/// All that was measured.
#[derive(Serialize)]
struct Report<'r> {
    /// The proxy.
    url: &'r str,
    /// Items that a page may have.
    page_size: u32,
    /// The sellers, then the catalogs.
    lists: Vec<OfList>,
    /// Calls of the API that warm reads saved, at least: one each.
    calls_saved: u64,
    /// `--require`, or null.
    require: Option<f64>,
    /// Whether no list's ratio is below that.
    passed: bool,
}

#[derive(Serialize)]
struct OfList {
    /// `sellers` or `catalogs`.
    list: List,
    /// How many lists these are: of catalogs, one for each seller.
    keys: usize,
    cold: OfRow,
    /// Reads that were the first ones by their token.
    new_token: OfRow,
    warm: OfRow,
    /// The median of the cold times by that of the warm ones.
    ratio: f64,
}

#[derive(Serialize)]
struct OfRow {
    /// Reads that count; 0: none was to be had, and there are no times.
    reads: u64,
    /// Reads that turned out to be something else.
    discarded: u64,
    #[serde(flatten)]
    times: Option<Times>,
}

/// In microseconds.
#[derive(Serialize)]
struct Times {
    min_us: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    max_us: f64,
    /// One after the other.
    reads_per_second: f64,
    /// Of a body, on the average.
    bytes: u64,
}

/// Writes the object and a line's end.
pub(super) fn write(out: impl io::Write, bench: &Bench, url: &str, lists: &[Measured]) -> io::Result<()> {
    let report = Report {
        url,
        page_size: bench.page_size,
        lists: lists.iter().map(OfList::of).collect(),
        calls_saved: lists.iter().map(|list| list.warm.count()).sum(),
        require: bench.require,
        passed: lists.iter().all(|list| list.ratio() >= bench.require.unwrap_or(0.0)),
    };
    let mut out = out;
    serde_json::to_writer(&mut out, &report)?;
    out.write_all(b"\n")
}

impl OfList {
    fn of(measured: &Measured) -> Self {
        Self {
            list: measured.list,
            keys: measured.keys,
            cold: OfRow::of(&measured.cold),
            new_token: OfRow::of(&measured.new_token),
            warm: OfRow::of(&measured.warm),
            ratio: measured.ratio(),
        }
    }
}

impl OfRow {
    fn of(row: &Row) -> Self {
        let micros = |percent| row.percentile(percent) as f64 / 1e3;
        let times = || Times {
            min_us: micros(0.0),
            p50_us: micros(50.0),
            p90_us: micros(90.0),
            p99_us: micros(99.0),
            max_us: micros(100.0),
            reads_per_second: row.each_second(),
            bytes: row.bytes_each(),
        };
        Self { reads: row.count(), discarded: row.discarded, times: (row.count() > 0).then(times) }
    }
}
