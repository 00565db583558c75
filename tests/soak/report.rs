//! What was done so far, now and then in a line, and in a table at the end.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{gauge::Gauge, history::Held};

/// Between two lines of progress.
const NOW_AND_THEN: Duration = Duration::from_secs(10);
/// Violations that are told; the others are counted.
const TOLD: usize = 20;

pub struct Report {
    seed: u64,
    began: Instant,
    answers: AtomicU64,
    hits: AtomicU64,
    near: AtomicU64,
    fills: AtomicU64,
    passed_on: AtomicU64,
    failed: AtomicU64,
    writes: AtomicU64,
    faults: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl Report {
    pub fn new(seed: u64) -> Self {
        let none = AtomicU64::default;
        Self {
            seed,
            began: Instant::now(),
            answers: none(),
            hits: none(),
            near: none(),
            fills: none(),
            passed_on: none(),
            failed: none(),
            writes: none(),
            faults: none(),
            violations: Mutex::default(),
        }
    }

    /// With success, and this `Cache-Status`.
    pub fn answered(&self, how: &str) {
        add(&self.answers);
        let kind = match how {
            _ if how.contains("; hit") && how.contains("detail=near") => &self.near,
            _ if how.contains("; hit") => &self.hits,
            _ if how.contains("fwd=bypass") => &self.passed_on,
            _ => &self.fills,
        };
        add(kind);
    }

    /// An honest error, while something was broken.
    pub fn failed(&self) {
        add(&self.failed);
    }

    pub fn wrote(&self) {
        add(&self.writes);
    }

    pub fn broke(&self) {
        add(&self.faults);
    }

    /// Something was not as it is promised.
    pub fn violation(&self, what: String) {
        let mut violations = self.violations.lock().unwrap();
        if violations.len() < TOLD {
            println!("VIOLATION {:.3} s: {what}", self.began.elapsed().as_secs_f64());
        }
        violations.push(what);
    }

    pub fn is_clean(&self) -> bool {
        self.violations.lock().unwrap().is_empty()
    }

    pub async fn tell_now_and_then(&self) {
        loop {
            tokio::time::sleep(NOW_AND_THEN).await;
            println!(
                "{:>5} s {:>9} answers {:>6} writes {:>4} faults {:>6} errors {:>3} violations",
                self.began.elapsed().as_secs(),
                grouped(get(&self.answers)),
                grouped(get(&self.writes)),
                get(&self.faults),
                grouped(get(&self.failed)),
                self.violations.lock().unwrap().len(),
            );
        }
    }

    /// The end: what was done, what was held, and what the process takes. What has grown is a violation.
    pub fn close(&self, before: &Gauge, after: &Gauge, held: &Held) {
        let line = |name: &str, count: u64, of: &str| println!("  {name:<34} {:>12}  {of}", grouped(count));
        let answers = get(&self.answers);
        println!("\nAnswers{:>41}", grouped(answers));
        for (name, count) in [
            ("from a copy in the process", get(&self.near)),
            ("from an entry in Redis", get(&self.hits)),
            ("filled", get(&self.fills)),
            ("passed on", get(&self.passed_on)),
        ] {
            line(name, count, &format!("{:.1} %", 100.0 * count as f64 / answers.max(1) as f64));
        }
        line("honest errors under a fault", get(&self.failed), "beside these");
        println!("\nWrites{:>42}", grouped(get(&self.writes)));
        line("seen at once by the same replica", get(&held.at_once), "sellers on pages within a ttl");
        line("seen within 2 s by the other", get(&held.across), "");
        line("seen within a ttl and 1 s", get(&held.in_time), "written past, or Redis away");
        println!("\nFaults{:>42}", grouped(get(&self.faults)));
        println!("\nAt rest                                   after warm-up      at the end");
        for ((name, then, _), (_, now, _)) in before.rows().into_iter().zip(after.rows()) {
            println!("  {name:<34} {:>18} {:>15}", grouped(then), grouped(now));
        }
        for grown in after.growth(before) {
            self.violation(format!("left behind: {grown}"));
        }
        let violations = self.violations.lock().unwrap().len();
        println!("\n{violations} violations, seed {}, {} s", self.seed, self.began.elapsed().as_secs());
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// 1234567 as 1,234,567.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|part| str::from_utf8(part).unwrap()).collect();
    parts.join(",")
}
