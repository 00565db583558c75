//! How things look: in a terminal with colours and in Unicode, else plain.

/// How output is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// ASCII without colours: for files, pipes, and who asks for it by NO_COLOR.
    Plain,
    /// For a terminal.
    Rich,
}

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

impl Look {
    /// Three digits and a unit, at most 7 characters up to an hour.
    pub(super) fn time(self, nanos: u64) -> String {
        let micro = if self == Self::Plain { "us" } else { "µs" };
        let (value, unit) = match nanos {
            0..1_000_000 => (nanos as f64 / 1e3, micro),
            1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "ms"),
            _ => (nanos as f64 / 1e9, "s"),
        };
        format!("{} {unit}", digits(value))
    }

    /// A bar of a share of `width`; what is more than nothing is seen.
    pub(super) fn bar(self, part: u64, whole: u64, width: u64) -> String {
        if part == 0 {
            return String::new();
        }
        let eighths = (part * width * 8).div_ceil(whole.max(1));
        match self {
            Self::Plain => "#".repeat(eighths.div_ceil(8) as usize),
            Self::Rich => {
                let last = EIGHTHS.get((eighths % 8) as usize).copied().unwrap_or_default();
                "█".repeat((eighths / 8) as usize) + last
            }
        }
    }

    /// A text as it is, in blue.
    pub(super) fn blue(self, text: &str) -> String {
        self.coloured(text, 34)
    }

    /// A text as it is, in green.
    pub(super) fn green(self, text: &str) -> String {
        self.coloured(text, 32)
    }

    fn coloured(self, text: &str, code: u8) -> String {
        match self {
            Self::Rich if !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

/// A number to three digits, but whole from 100 on.
pub(super) fn digits(value: f64) -> String {
    let places = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_the_unit_that_fits() {
        for (nanos, text) in [
            (0, "0.00 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (123_456, "123 µs"),
            (1_234_567, "1.23 ms"),
            (999_949_999, "1000 ms"),
            (12_345_678_901, "12.3 s"),
        ] {
            assert_eq!(Look::Rich.time(nanos), text);
        }
        assert_eq!(Look::Plain.time(1_500), "1.50 us");
    }

    #[test]
    fn a_bar_is_as_long_as_its_share_and_never_invisible() {
        assert_eq!(Look::Rich.bar(0, 100, 10), "");
        assert_eq!(Look::Rich.bar(100, 100, 10), "█".repeat(10));
        assert_eq!(Look::Rich.bar(25, 100, 10), "██▌");
        assert_eq!(Look::Rich.bar(1, 1_000_000, 10), "▏");
        assert_eq!(Look::Plain.bar(1, 1_000_000, 10), "#");
        assert_eq!(Look::Plain.bar(25, 100, 10), "###");
    }

    #[test]
    fn plain_is_plain() {
        assert_eq!(Look::Plain.blue("x") + &Look::Plain.green("y"), "xy");
        assert_eq!(Look::Rich.green("x"), "\u{1b}[32mx\u{1b}[0m");
    }
}
