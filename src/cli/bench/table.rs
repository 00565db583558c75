//! The table, and what it says in words; 80 columns.

use super::{
    look::{Look, digits},
    samples::{Kind, Measured, Row},
};

/// What is shown of a row's times.
const PERCENTILES: [f64; 5] = [0.0, 50.0, 90.0, 99.0, 100.0];

/// All rows, and what is to be known of them.
pub(super) fn table(lists: &[Measured], look: Look) -> String {
    let mut text = String::new();
    for list in lists {
        let [min, p50, p90, p99, max] = ["min", "p50", "p90", "p99", "max"];
        let named = format!(
            "{}{}",
            list.list,
            if list.keys > 1 { format!(" ({})", list.keys) } else { String::new() }
        );
        text += &format!(
            "{named:<13}{:>6}{min:>8}{p50:>8}{p90:>8}{p99:>8}{max:>8}{:>9}{:>9}\n",
            "reads", "reads/s", "bytes"
        );
        for row in list.rows() {
            text += &line(row, look);
        }
        for row in list.all_rows() {
            text += &note(row);
        }
        let (warm, cold) = (look.time(list.warm.percentile(50.0)), look.time(list.cold.percentile(50.0)));
        let ratio = digits(list.ratio());
        text += &format!("  a warm read takes {warm}, a cold one {cold} (p50): {ratio} times as fast\n\n");
    }
    text
}

fn line(row: &Row, look: Look) -> String {
    let times: String =
        PERCENTILES.iter().map(|percent| format!("{:>8}", look.time(row.percentile(*percent)))).collect();
    let (label, each_second) = (format!("  {}", row.kind), digits(row.each_second()));
    format!("{label:<13}{:>6}{times}{each_second:>9}{:>9}\n", row.count(), row.bytes_each())
}

/// What was left out of a row, and why.
fn note(row: &Row) -> String {
    match &row.last_discarded {
        Some(last) => {
            format!("  {}: {} discarded, the last one's Cache-Status: {last}\n", row.kind, row.discarded)
        }
        None if row.kind == Kind::NewToken && row.count() == 0 => {
            "  new token: left out, it takes --user or --other-token\n".to_owned()
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples::tests::measured, *};

    #[test]
    fn the_table_says_what_was_measured() {
        let text = table(&[measured(&[450_000], &[20_000, 21_000], &[100, 120, 5_000])], Look::Plain);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "sellers       reads     min     p50     p90     p99     max  reads/s    bytes",
                "  cold            1  450 ms  450 ms  450 ms  450 ms  450 ms     2.22     1000",
                "  new token       2 20.0 ms 20.0 ms 21.0 ms 21.0 ms 21.0 ms     48.8     1000",
                "  warm            3  100 us  120 us 5.00 ms 5.00 ms 5.00 ms      575     1000",
                "  a warm read takes 120 us, a cold one 450 ms (p50): 3749 times as fast",
                "",
            ]
        );
        assert!(lines.iter().all(|line| line.len() <= 80));
    }

    #[test]
    fn a_row_that_is_left_out_says_so() {
        let text = table(&[measured(&[450_000], &[], &[100])], Look::Plain);
        assert!(text.contains("  new token: left out, it takes --user or --other-token\n"), "{text}");
    }

    #[test]
    fn what_is_discarded_is_counted_and_named() {
        let mut all = measured(&[450_000], &[20_000], &[100]);
        let odd = measured(&[1], &[], &[]);
        assert!(odd.new_token.last_discarded.is_none());
        (all.warm.discarded, all.warm.last_discarded) = (2, Some("catproxy; fwd=miss".to_owned()));
        let text = table(&[all], Look::Plain);
        assert!(
            text.contains("  warm: 2 discarded, the last one's Cache-Status: catproxy; fwd=miss\n"),
            "{text}"
        );
    }
}
