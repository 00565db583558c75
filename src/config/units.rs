//! Spans of time and amounts of bytes, as a person writes them: a whole number and its unit.

use std::time::Duration;

use super::report::Fault;

/// Reads `50ms`, `3s`, `5m`, `1h` or `1d`.
pub(crate) fn duration(text: &str) -> Result<Duration, Fault> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    whole(text, &UNITS, "ms, s, m, h and d", "s").map(Duration::from_millis)
}

/// Reads `64KiB`, `16MiB` or `1GiB` (1024 each), `10KB` or `2MB` (1000 each), or `512B`.
pub(crate) fn bytes(text: &str) -> Result<u64, Fault> {
    const UNITS: [(&str, u64); 6] =
        [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000)];
    whole(text, &UNITS, "B, KiB, MiB, GiB, KB and MB", "MiB")
}

fn whole(text: &str, units: &[(&str, u64)], names: &str, usual: &str) -> Result<u64, Fault> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if digits == 0 {
        return Err(Fault::at(0, "a whole number comes first"));
    }
    if unit.is_empty() {
        return Err(Fault::at(digits, format!("a unit is missing: `{number}{usual}`?")));
    }
    if unit.starts_with(['.', ',']) {
        return Err(Fault::at(digits, "the number is whole; take a smaller unit"));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let same = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let help = same.map(|(name, _)| format!("did you mean `{number}{name}`?"));
        return Err(Fault::at(digits, format!("the units are {names}")).help(help));
    };
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    number.ok_or_else(|| Fault::whole("this number is too large"))
}

/// The shortest text that [`duration`] reads as this.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    exact(ms, &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)])
}

/// The shortest text that [`bytes`] reads as this.
pub(crate) fn show_bytes(bytes: u64) -> String {
    exact(bytes, &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
}

fn exact(number: u64, units: &[(&str, u64)]) -> String {
    let unit =
        units.iter().find(|(_, factor)| number != 0 && number.is_multiple_of(*factor)).or(units.last());
    unit.map_or_else(String::new, |(name, factor)| format!("{}{name}", number / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_and_its_unit_are_read_and_shown() {
        for text in ["50ms", "3s", "5m", "1h", "1d", "90s"] {
            assert_eq!(duration(text).ok().map(show_duration).as_deref(), Some(text));
        }
        for text in ["512B", "64KiB", "16MiB", "1GiB"] {
            assert_eq!(bytes(text).ok().map(show_bytes).as_deref(), Some(text));
        }
        assert_eq!(bytes("10KB").ok(), Some(10_000));
        assert_eq!(bytes("2MB").ok(), Some(2_000_000));
        assert_eq!(show_duration(Duration::ZERO), "0ms");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in
            ["", "5", "s", "5M", "1.5s", "-1s", "5 s", "5 minutes", "1h30m", "٥s", "99999999999999999d"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["16", "16M", "16mib", "16 MiB", "99999999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
