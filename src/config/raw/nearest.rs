//! The known word that was probably meant.

/// The candidate nearest to `word`, if it is near enough to be a slip.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let word = plain(word);
    let slips = (word.chars().count() / 3).max(1);
    let near = candidates.into_iter().map(|candidate| (distance(&word, &plain(candidate)), candidate));
    let (distance, candidate) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= slips).then_some(candidate)
}

/// Characters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut before: (Option<char>, Vec<usize>) = (None, Vec::new());
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let of = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut least =
                (of(&row, j) + usize::from(x != *y)).min(of(&row, j + 1) + 1).min(of(&next, j) + 1);
            let swapped =
                j.checked_sub(1).filter(|before_j| b.get(*before_j) == Some(&x) && before.0 == Some(*y));
            if let Some(before_j) = swapped {
                least = least.min(of(&before.1, before_j) + 1);
            }
            next.push(least);
        }
        before = (Some(x), row);
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_another_word_does_not() {
        let keys = ["listen", "time-zone", "ttl", "path", "prefix"];
        for (typed, meant) in [
            ("lsiten", "listen"),
            ("timezone", "time-zone"),
            ("time_zone", "time-zone"),
            ("tll", "ttl"),
            ("Path", "path"),
        ] {
            assert_eq!(nearest(typed, keys), Some(meant));
        }
        for typed in ["colour", "x", ""] {
            assert_eq!(nearest(typed, keys), None, "{typed}");
        }
    }
}
