//! What the admin listener says, for people.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How a proxy is.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) ready: bool,
    reasons: Vec<String>,
    store: String,
    upstream: String,
    version: String,
    uptime_seconds: u64,
    connections: u64,
    counts: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct Purged {
    routes: Vec<String>,
    key: Option<String>,
    acknowledged: bool,
}

impl Status {
    /// `None` where this is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// A few lines, none of them long.
    pub(super) fn told(&self, url: &str) -> String {
        let count = |name: &str| self.counts.get(name).copied().unwrap_or(0);
        let (reads, hits, calls) = (count("reads"), count("hits"), count("upstream_calls"));
        let part = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let (mean, lost) =
            (count("upstream_micros") as f64 / 1000.0 / calls.max(1) as f64, count("upstream_failures"));
        let upstream = match calls + lost {
            0 => "not called yet".to_owned(),
            all => {
                let calls = if all == 1 { "call" } else { "calls" };
                format!("{}; {all} {calls}, {lost} without an answer, {mean:.0} ms on average", self.upstream)
            }
        };
        let mut lines = vec![
            format!("catproxy {} at {url}, up {}", self.version, time(self.uptime_seconds)),
            String::new(),
            format!("ready        {}", if self.ready { "yes" } else { "no" }),
        ];
        lines.extend(self.reasons.iter().map(|reason| format!("             {reason}")));
        lines.extend([
            format!("store        {}", self.store),
            format!("upstream     {upstream}"),
            format!("connections  {}", self.connections),
            format!("reads        {reads}, {:.1} % of them from the cache", part(hits, reads)),
            format!("fills        {}, {} of them failed", count("fills"), count("failed_fills")),
        ]);
        lines.join("\n")
    }
}

/// `None` where this says nothing of a purge.
pub(super) fn purged(text: &str) -> Option<String> {
    let Purged { routes, key, acknowledged } = serde_json::from_str(text).ok()?;
    let what = key.unwrap_or_else(|| routes.join(", "));
    Some(if acknowledged {
        format!("purged: {what}")
    } else {
        format!(
            "purged in this process: {what}\nThe store has not acknowledged it: other replicas may not know."
        )
    })
}

/// The two greatest units.
fn time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_it_runs_has_the_two_greatest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (61, "1 min 1 s"),
            (3_599, "59 min 59 s"),
            (7_320, "2 h 2 min"),
            (266_400, "3 d 2 h"),
        ] {
            assert_eq!(time(seconds), text);
        }
    }
}
