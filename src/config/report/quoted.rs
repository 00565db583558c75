//! From a place in a string's value to the place in the file where it is spelled.

/// The offset in `raw`, a TOML string with its quotes, of what stands for the byte `offset` of its
/// value; past the end of the value, that of the closing quote.
pub(super) fn locate(raw: &str, offset: usize) -> usize {
    let Some(quote) = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| raw.starts_with(quote)) else {
        return offset.min(raw.len());
    };
    let mut at = quote.len();
    let rest = raw.get(at..).unwrap_or("");
    if quote.len() == 3 {
        at += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    let mut passed = 0;
    while let Some((spelled, meant)) = piece(raw.get(at..).unwrap_or(""), quote.starts_with('"')) {
        if meant > 0 && passed + meant > offset {
            break;
        }
        at += spelled;
        passed += meant;
    }
    at.min(raw.len())
}

/// The bytes that the first character is spelled with, and those of its value.
fn piece(rest: &str, escapes: bool) -> Option<(usize, usize)> {
    let first = rest.chars().next()?;
    let plain = (first.len_utf8(), first.len_utf8());
    if first != '\\' || !escapes {
        return Some(plain);
    }
    let after = rest.get(1..).unwrap_or("");
    let digits = match after.chars().next() {
        None => return Some(plain),
        Some('x') => 2,
        Some('u') => 4,
        Some('U') => 8,
        Some(white) if white.is_ascii_whitespace() => {
            return Some((1 + after.len() - after.trim_start().len(), 0));
        }
        Some(_) => return Some((2, 1)),
    };
    let code = after.get(1..=digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    Some((2 + digits, code.and_then(char::from_u32).map_or(1, char::len_utf8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_value_is_found_in_every_kind_of_string() {
        for raw in [
            r#""$.a!b""#,
            r#"'$.a!b'"#,
            "\"\"\"\n$.a!b\"\"\"",
            "'''\r\n$.a!b'''",
            r#""$.\u00e9!b""#,
            r#""\x24.\U0001F600\t\"!b""#,
            "\"\"\"$.\\\n   a!b\"\"\"",
            r"'$.\!b'",
        ] {
            let value: toml::Table = toml::from_str(&format!("k = {raw}")).expect(raw);
            let value = value["k"].as_str().expect(raw);
            let found = locate(raw, value.find('!').expect(raw));
            assert_eq!(raw.get(found..=found), Some("!"), "{raw}");
        }
    }

    #[test]
    fn the_end_of_a_value_is_not_past_its_string() {
        assert_eq!(locate("\"ab\"", 2), 3);
        assert_eq!(locate("\"ab\"", 99), 4);
        assert_eq!(locate("", 1), 0);
    }
}
