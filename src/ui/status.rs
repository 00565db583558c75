//! What the proxy does, in numbers and two small charts. No keys, no names, nobody's calls.

use askama::Template;

use super::{
    assets::Addresses,
    history::{History, Step, sum},
};
use crate::{cache::StoreHealth, proxy::Proxy};

/// Of a chart, in the units of its drawing.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 96.0;
/// Steps of a chart: an hour.
const STEPS: usize = 120;

/// The page around the numbers.
#[derive(Template)]
#[template(path = "status.html")]
pub(super) struct Page<'p> {
    pub(super) assets: &'p Addresses,
    pub(super) user: &'p str,
    pub(super) csrf: &'p str,
    pub(super) status: Status,
}

/// The numbers, fetched again every few seconds.
#[derive(Template)]
#[template(path = "status_now.html")]
pub(super) struct Status {
    store: (&'static str, bool),
    upstream: (&'static str, bool),
    hit_rate: String,
    latency: String,
    reads: u64,
    calls_saved: u64,
    rates: Chart,
    latencies: Chart,
}

/// A line over time; gaps where nothing happened.
pub(super) struct Chart {
    lines: Vec<String>,
    top: String,
}

impl Status {
    pub(super) fn of(proxy: &Proxy, history: &History) -> Self {
        let steps = history.steps();
        let hour = sum(&steps);
        let store = match proxy.store_health() {
            StoreHealth::Redis => ("Redis answers", true),
            StoreHealth::Partly => {
                ("A server of the Redis Cluster is away; its lists come from ABConnect", false)
            }
            StoreHealth::Away => ("Redis is away; lists come from ABConnect", false),
            StoreHealth::Memory => ("In this process's memory", true),
            StoreHealth::Absent => ("There is none; lists come from ABConnect", false),
        };
        let away = proxy.telemetry().upstream_is_away();
        let rates: Vec<_> = steps.iter().map(Step::hit_rate).collect();
        let latencies: Vec<_> = steps.iter().map(Step::latency).collect();
        let slowest = latencies.iter().flatten().copied().fold(10.0, f64::max);
        Self {
            store,
            upstream: if away {
                ("The last call was not answered", false)
            } else {
                ("ABConnect answers", true)
            },
            hit_rate: hour.hit_rate().map_or_else(|| "–".to_owned(), |rate| format!("{rate:.0} %")),
            latency: hour.latency().map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms")),
            reads: hour.reads,
            calls_saved: hour.hits,
            rates: Chart::new(&rates, 100.0, "100 %".to_owned()),
            latencies: Chart::new(&latencies, slowest, format!("{slowest:.0} ms")),
        }
    }
}

impl Chart {
    fn new(values: &[Option<f64>], most: f64, top: String) -> Self {
        let first = STEPS.saturating_sub(values.len());
        let mut lines = Vec::new();
        let mut line: Vec<String> = Vec::new();
        for (place, value) in values.iter().enumerate() {
            match value {
                Some(value) => {
                    let x = (first + place) as f64 * WIDTH / STEPS as f64;
                    let y = HEIGHT - (value / most).clamp(0.0, 1.0) * HEIGHT;
                    // A single step is a short line, so that it can be seen.
                    line.push(format!("{x:.1},{y:.1} {:.1},{y:.1}", x + WIDTH / STEPS as f64));
                }
                None if line.is_empty() => {}
                None => lines.push(std::mem::take(&mut line).join(" ")),
            }
        }
        if !line.is_empty() {
            lines.push(line.join(" "));
        }
        Self { lines, top }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_gap_where_nothing_happened_and_ends_at_its_right() {
        let chart = Chart::new(&[Some(100.0), None, Some(50.0), Some(0.0)], 100.0, String::new());
        assert_eq!(chart.lines, ["464.0,0.0 468.0,0.0", "472.0,48.0 476.0,48.0 476.0,96.0 480.0,96.0"]);
    }
}
