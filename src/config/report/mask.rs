//! Takes the secrets out of a text that is about to be shown, character by character and byte for byte, so that carets
//! and columns stay right.

use std::ops::Range;

/// The text with a star for each character of a secret: what follows `://` in a known secret (or all of it),
/// and user, password and `pass=` of any URL, for those that nobody could parse.
pub(super) fn hide(text: &str, secrets: impl Iterator<Item = Range<usize>>) -> String {
    let mut hidden: Vec<Range<usize>> = secrets.map(|secret| after_scheme(text, secret)).collect();
    for (start, _) in text.match_indices("://") {
        let start = start + 3;
        let all = text.get(start..).unwrap_or("");
        let rest = all.split(['"', '\'', '\n']).next().unwrap_or("");
        // A password may have a quote in it.
        let word = all.split(|symbol: char| symbol.is_whitespace()).next().unwrap_or("");
        hidden.extend(rest.rfind('@').max(word.rfind('@')).map(|at| start..start + at));
        hidden.extend(rest.find("pass=").map(|at| start + at + 5..start + rest.len()));
    }
    let star = |(at, character): (usize, char)| {
        let secret = hidden.iter().any(|range| range.contains(&at)) && !"\"'\r\n".contains(character);
        if secret { star_of(character.len_utf8()) } else { character }
    };
    text.char_indices().map(star).collect()
}

/// A star of so many bytes.
fn star_of(bytes: usize) -> char {
    match bytes {
        1 => '*',
        2 => '\u{66d}',
        3 => '\u{2217}',
        _ => '\u{1f7b6}',
    }
}

fn after_scheme(text: &str, secret: Range<usize>) -> Range<usize> {
    let scheme = text.get(secret.clone()).and_then(|value| value.find("://"));
    secret.start + scheme.map_or(0, |end| end + 3)..secret.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_secret_is_left_and_no_byte_moves() {
        let text = "url = \"redis://:hünter\u{feff}🦀@h\" # x";
        let masked = hide(text, std::iter::once(6..text.len() - 4));
        assert_eq!(masked.len(), text.len());
        assert_eq!(masked.chars().count(), text.chars().count());
        assert_eq!(masked, "url = \"redis://**\u{66d}****\u{2217}\u{1f7b6}**\" # x");
    }

    #[test]
    fn user_and_password_of_any_url_are_hidden() {
        assert_eq!(hide("https://me:pw@host/", std::iter::empty()), "https://*****@host/");
        assert_eq!(hide("'redis://me:p'w\"x@h' 'a", std::iter::empty()), "'redis://****'*\"*@h' 'a");
        assert_eq!(hide("redis://me:p@'w@h", std::iter::empty()), "redis://*****'*@h");
        assert_eq!(hide("unix:///s?pass=pw\"", std::iter::empty()), "unix:///s?pass=**\"");
    }
}
