//! Numbers, spans of time and amounts of bytes within their bounds.

use std::{ops::RangeInclusive, time::Duration};

use crate::config::{
    raw::Number,
    report::{Place, Problems, Text},
    units,
};

/// The duration, or the default where there is none; out of bounds is a problem.
pub(super) fn duration(
    text: Option<&Text>,
    default: Duration,
    bounds: RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Duration {
    let read = |text: &Text| {
        let duration = problems.parse(text, "a duration such as \"3s\"", units::duration)?;
        within(duration, &bounds, &text.key, &text.place, units::show_duration, problems)
    };
    text.and_then(read).unwrap_or(default)
}

/// The amount of bytes, or the default where there is none; out of bounds is a problem.
pub(super) fn bytes(
    text: Option<&Text>,
    default: u64,
    bounds: RangeInclusive<u64>,
    problems: &mut Problems,
) -> u64 {
    let read = |text: &Text| {
        let bytes = problems.parse(text, "a size such as \"16MiB\"", units::bytes)?;
        within(bytes, &bounds, &text.key, &text.place, units::show_bytes, problems)
    };
    text.and_then(read).unwrap_or(default)
}

/// [`bytes`] of what is held in memory.
pub(super) fn memory(
    text: Option<&Text>,
    default: u64,
    bounds: RangeInclusive<u64>,
    problems: &mut Problems,
) -> usize {
    usize::try_from(bytes(text, default, bounds, problems)).unwrap_or(usize::MAX)
}

/// The number, or the default where there is none; out of bounds is a problem.
pub(super) fn number<T: TryFrom<i64>>(
    number: Option<&Number>,
    default: T,
    bounds: RangeInclusive<i64>,
    problems: &mut Problems,
) -> T {
    let read = |number: &Number| {
        let value =
            within(number.value, &bounds, &number.key, &number.place, |bound| bound.to_string(), problems)?;
        T::try_from(value).ok()
    };
    number.and_then(read).unwrap_or(default)
}

fn within<T: PartialOrd + Copy>(
    value: T,
    bounds: &RangeInclusive<T>,
    key: &str,
    place: &Place,
    show: fn(T) -> String,
    problems: &mut Problems,
) -> Option<T> {
    if bounds.contains(&value) {
        return Some(value);
    }
    let (least, most) = (show(*bounds.start()), show(*bounds.end()));
    problems.add(place, format!("`{key}` is out of bounds"), format!("from {least} to {most}"));
    None
}
