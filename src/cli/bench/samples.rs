//! What was measured: rows of times, and the reads that are no times of what their row is about.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;
use http::StatusCode;

use super::{client::Answer, lists::List, origin::Origin, trouble::Trouble};

/// Times are kept to three digits,
const DIGITS: u8 = 3;
/// and up to an hour, in nanoseconds: more than any answer is waited for.
const LONGEST: u64 = 3_600_000_000_000;

/// What a row is the times of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads for which the proxy asked the API for the list.
    Cold,
    /// Reads from the cache, each the first one by its token: the API was asked whether that may read.
    NewToken,
    /// Reads from the cache.
    Warm,
}

impl Kind {
    fn takes(self, origin: Origin) -> bool {
        origin
            == match self {
                Self::Cold => Origin::Filled,
                Self::NewToken => Origin::Asked,
                Self::Warm => Origin::Cached,
            }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Cold => "cold",
            Self::NewToken => "new token",
            Self::Warm => "warm",
        })
    }
}

/// The times of one kind of reads of one list.
pub(super) struct Row {
    pub(super) list: List,
    pub(super) kind: Kind,
    times: Histogram<u64>,
    all: Duration,
    bytes: u64,
    /// Reads that turned out to be something else.
    pub(super) discarded: u64,
    /// What the last of these was.
    pub(super) last_discarded: Option<String>,
}

impl Row {
    pub(super) fn new(list: List, kind: Kind) -> Result<Self, Trouble> {
        let times = Histogram::new_with_max(LONGEST, DIGITS)?;
        Ok(Self { list, kind, times, all: Duration::ZERO, bytes: 0, discarded: 0, last_discarded: None })
    }

    /// Takes a read, or discards it.
    pub(super) fn take(&mut self, answer: &Answer) {
        let (status, bytes, took) = (answer.status, answer.bytes(), answer.took);
        match &answer.origin {
            Some((origin, _)) if status == StatusCode::OK && self.kind.takes(*origin) => {
                self.record(took, bytes);
            }
            Some((_, said)) => self.discard(said.clone()),
            None => self.discard(format!("none, with {}", status.as_u16())),
        }
    }

    fn record(&mut self, took: Duration, bytes: u64) {
        self.times.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.all += took;
        self.bytes += bytes;
    }

    fn discard(&mut self, said: String) {
        self.discarded += 1;
        self.last_discarded = Some(said);
    }

    /// The row, where anything of it counts.
    pub(super) fn or_trouble(self) -> Result<Self, Trouble> {
        if self.count() > 0 {
            return Ok(self);
        }
        let last = self.last_discarded.unwrap_or_default();
        Err(Trouble::Discarded { list: self.list, kind: self.kind, count: self.discarded, last })
    }

    /// Reads that count.
    pub(super) fn count(&self) -> u64 {
        self.times.len()
    }

    /// The time within which so many of a hundred reads were done, in nanoseconds; 0: the shortest, 100: the longest.
    pub(super) fn percentile(&self, percent: f64) -> u64 {
        if percent == 0.0 { self.times.min() } else { self.times.value_at_percentile(percent) }
    }

    /// How many took from `low` to less than `high` nanoseconds.
    pub(super) fn between(&self, low: u64, high: u64) -> u64 {
        self.times.count_between(low, high.saturating_sub(1))
    }

    /// One after the other, without a pause between them.
    pub(super) fn each_second(&self) -> f64 {
        if self.all.is_zero() { 0.0 } else { self.count() as f64 / self.all.as_secs_f64() }
    }

    /// Of a body, on the average.
    pub(super) fn bytes_each(&self) -> u64 {
        self.bytes / self.count().max(1)
    }
}

/// All about one list.
pub(super) struct Measured {
    pub(super) list: List,
    /// How many lists: one of the sellers, or one of each seller's catalogs.
    pub(super) keys: usize,
    pub(super) cold: Row,
    /// May be without a read that counts.
    pub(super) new_token: Row,
    pub(super) warm: Row,
}

impl Measured {
    /// How many times as fast a warm read is as a cold one, by their medians.
    pub(super) fn ratio(&self) -> f64 {
        self.cold.percentile(50.0) as f64 / self.warm.percentile(50.0).max(1) as f64
    }

    /// The rows that hold something.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        [&self.cold, &self.new_token, &self.warm].into_iter().filter(|row| row.count() > 0)
    }

    /// All rows.
    pub(super) fn all_rows(&self) -> [&Row; 3] {
        [&self.cold, &self.new_token, &self.warm]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row of reads that took so many microseconds, of 1000 bytes each.
    pub(in crate::cli::bench) fn row(kind: Kind, times: &[u64]) -> Row {
        let mut row = Row::new(List::Sellers, kind).unwrap();
        times.iter().for_each(|time| row.take(&answer(kind, *time)));
        row
    }

    pub(in crate::cli::bench) fn measured(cold: &[u64], new_token: &[u64], warm: &[u64]) -> Measured {
        Measured {
            list: List::Sellers,
            keys: 1,
            cold: row(Kind::Cold, cold),
            new_token: row(Kind::NewToken, new_token),
            warm: row(Kind::Warm, warm),
        }
    }

    fn answer(kind: Kind, micros: u64) -> Answer {
        let origin = match kind {
            Kind::Cold => Origin::Filled,
            Kind::NewToken => Origin::Asked,
            Kind::Warm => Origin::Cached,
        };
        Answer {
            status: StatusCode::OK,
            origin: Some((origin, "catproxy; said".to_owned())),
            body: vec![vec![0; 600].into(), vec![0; 400].into()],
            took: Duration::from_micros(micros),
        }
    }

    #[test]
    fn percentiles_are_those_of_the_reads_to_three_digits() {
        let times: Vec<u64> = (1..=1000).map(|time| time * 100).collect();
        let row = row(Kind::Warm, &times);
        for (percent, micros) in
            [(0.0, 100), (50.0, 50_000), (90.0, 90_000), (99.0, 99_000), (100.0, 100_000)]
        {
            let off = row.percentile(percent).abs_diff(micros * 1000) as f64 / (micros * 1000) as f64;
            assert!(off < 0.001, "p{percent}: {} ns", row.percentile(percent));
        }
        assert_eq!((row.count(), row.bytes_each()), (1000, 1000));
        assert!((row.each_second() - 1000.0 / 50.05).abs() < 0.01, "{}", row.each_second());
    }

    #[test]
    fn a_read_that_is_not_what_its_row_is_about_is_counted_and_no_time() {
        for (kind, other) in
            [(Kind::Cold, Kind::Warm), (Kind::Warm, Kind::NewToken), (Kind::NewToken, Kind::Warm)]
        {
            let mut row = row(kind, &[5]);
            row.take(&answer(other, 7));
            row.take(&Answer { status: StatusCode::BAD_GATEWAY, ..answer(kind, 9) });
            row.take(&Answer { origin: None, ..answer(kind, 9) });
            assert_eq!((row.count(), row.discarded), (1, 3), "{kind}");
            assert_eq!(row.last_discarded.as_deref(), Some("none, with 200"));
            assert!(row.percentile(100.0) < 5_010);
        }
    }

    #[test]
    fn a_row_of_discarded_reads_is_trouble_that_says_what_they_were() {
        let mut cold = row(Kind::Cold, &[]);
        cold.take(&answer(Kind::Warm, 1));
        let told = cold.or_trouble().err().map(|trouble| trouble.to_string()).unwrap_or_default();
        assert!(told.starts_with("all 1 cold reads of the sellers"), "{told}");
        assert!(told.ends_with("catproxy; said"), "{told}");
    }

    #[test]
    fn the_ratio_is_that_of_the_medians() {
        let ratio = measured(&[1000, 9000, 90_000], &[], &[1, 3, 800]).ratio();
        assert!((ratio - 3000.0).abs() < 10.0, "{ratio}");
    }
}
