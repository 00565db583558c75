//! Cold and warm times side by side, on a logarithmic scale; 80 columns.

use super::{
    look::Look,
    samples::{Measured, Row},
};

/// Columns of the longest bar.
const WIDTH: u64 = 24;
/// Columns of a bar and the count behind it.
const PANE: usize = 32;

/// One list's times: a line for each span from 1, 2 or 5 times a power of ten to the next, shortest first.
pub(super) fn histogram(list: &Measured, look: Look) -> String {
    let spans: Vec<Span> = spans().map(|(low, high)| Span::of(list, low, high)).collect();
    let is_empty = |span: &&Span| span.cold + span.warm == 0;
    let first = spans.iter().take_while(is_empty).count();
    let last = spans.len() - spans.iter().rev().take_while(is_empty).count();
    let most = |count: fn(&Span) -> u64| spans.iter().map(count).max().unwrap_or_default();
    let (most_cold, most_warm) = (most(|span| span.cold), most(|span| span.warm));
    let wall = if look == Look::Plain { "|" } else { "│" };
    let mut text = format!("{:<9} {:<PANE$}  cold\n", list.list.to_string(), "warm");
    for span in spans.iter().take(last).skip(first) {
        let (warm, gap) = bar(span.warm, most_warm, look);
        let (cold, _) = bar(span.cold, most_cold, look);
        let from = look.time(span.low);
        let line = format!("{from:>8} {wall}{}{gap} {wall}{}", look.green(&warm), look.blue(&cold));
        text += line.trim_end();
        text.push('\n');
    }
    text.push('\n');
    text
}

struct Span {
    low: u64,
    cold: u64,
    warm: u64,
}

impl Span {
    fn of(list: &Measured, low: u64, high: u64) -> Self {
        let count = |row: &Row| row.between(low, high);
        Self { low, cold: count(&list.cold), warm: count(&list.warm) }
    }
}

/// From 2 µs to 500 s in nanoseconds; the first one begins with nothing, the last one has no end.
fn spans() -> impl Iterator<Item = (u64, u64)> {
    const DECADES: std::ops::Range<u32> = 3..12;
    let inner = || DECADES.flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power))).skip(1);
    std::iter::once(0).chain(inner()).zip(inner().chain(std::iter::once(u64::MAX)))
}

/// A bar with its count, and what is missing to the pane's width.
fn bar(part: u64, most: u64, look: Look) -> (String, String) {
    let mut bar = look.bar(part, most, WIDTH);
    if part > 0 {
        bar += &format!(" {part}");
    }
    let gap = PANE.saturating_sub(bar.chars().count());
    (bar, " ".repeat(gap))
}

#[cfg(test)]
mod tests {
    use super::{super::samples::tests::measured, *};

    #[test]
    fn spans_follow_one_another_and_leave_nothing_out() {
        let spans: Vec<_> = spans().collect();
        assert_eq!(spans[..4], [(0, 2_000), (2_000, 5_000), (5_000, 10_000), (10_000, 20_000)]);
        assert!(spans.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!(spans.last().unwrap().1, u64::MAX);
    }

    #[test]
    fn each_read_is_in_one_line_and_the_longest_bar_is_as_long_as_may_be() {
        let warm = [vec![150; 40], vec![300; 10], vec![600]].concat();
        let text = histogram(&measured(&[1_500, 1_600], &[], &warm), Look::Plain);
        let line = |from, warm: String, cold: String| format!("{from:>8} |{warm:<32} |{cold}");
        let (bar, nothing) = ("#".repeat(24), String::new);
        let lines = [
            "sellers   warm                              cold".to_owned(),
            line("100 us", format!("{bar} 40"), nothing()),
            line("200 us", "###### 10".to_owned(), nothing()),
            line("500 us", "# 1".to_owned(), nothing()),
            line("1.00 ms", nothing(), format!("{bar} 2")),
            String::new(),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn no_line_is_longer_than_a_terminal_even_with_many_reads() {
        let text = histogram(&measured(&vec![20_000; 9_999], &[], &vec![100; 9_999]), Look::Rich);
        let bare = text.replace("\u{1b}[32m", "").replace("\u{1b}[34m", "").replace("\u{1b}[0m", "");
        assert!(bare.contains('█') && bare.lines().all(|line| line.chars().count() <= 80), "{bare}");
    }
}
