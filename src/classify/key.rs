//! A collection's key, from its parameters and back.

use std::sync::Arc;

use super::canonical;
use crate::config::KeyPart;

/// The key without the prefix.
pub(super) fn key_of(parts: &[KeyPart], parameters: &[String]) -> Arc<str> {
    if let [KeyPart::Literal(only)] = parts {
        return only.as_str().into();
    }
    let mut key = String::new();
    for part in parts {
        key.push_str(match part {
            KeyPart::Literal(literal) => literal,
            KeyPart::Parameter(place) => parameters.get(*place).map_or("", String::as_str),
        });
    }
    key.into()
}

/// The parameters, in the order of their places, that give this key; `None` where no parameters do.
#[must_use]
pub fn parameters_of(parts: &[KeyPart], key: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    read(parts, key, &mut found)?;
    found.sort_unstable();
    Some(found.into_iter().map(|(_, value)| value.to_owned()).collect())
}

/// Notes each parameter's place and value, the last one first.
fn read<'k>(parts: &[KeyPart], key: &'k str, found: &mut Vec<(usize, &'k str)>) -> Option<()> {
    let Some((first, rest)) = parts.split_first() else {
        return key.is_empty().then_some(());
    };
    match first {
        KeyPart::Literal(literal) => read(rest, key.strip_prefix(literal.as_str())?, found),
        KeyPart::Parameter(place) => {
            let digits = key.bytes().take_while(u8::is_ascii_digit).count();
            // What follows may begin with a digit itself.
            let (value, ()) = (1..=digits).rev().find_map(|length| {
                let (value, after) = key.split_at_checked(length)?;
                canonical(value)?;
                Some((value, read(rest, after, found)?))
            })?;
            found.push((*place, value));
            Some(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn literal(text: &str) -> KeyPart {
        KeyPart::Literal(text.to_owned())
    }

    #[test]
    fn a_key_gives_back_its_parameters_and_no_other_key_does() {
        let parts = [literal("of_"), KeyPart::Parameter(1), literal("_5_"), KeyPart::Parameter(0)];
        assert_eq!(parameters_of(&parts, "of_42_5_7"), Some(vec!["7".to_owned(), "42".to_owned()]));
        for other in
            ["", "of_", "of_42_5_", "of_042_5_7", "of_42_5_7x", "of_42_6_7", "Of_42_5_7", "of_4\u{b2}_5_7"]
        {
            assert_eq!(parameters_of(&parts, other), None, "{other}");
        }
        assert_eq!(parameters_of(&[literal("all")], "all"), Some(vec![]));
    }

    #[test]
    fn a_literal_that_begins_with_a_digit_is_not_taken_for_a_parameters_end() {
        let parts = [KeyPart::Parameter(0), literal("1x")];
        assert_eq!(parameters_of(&parts, "211x"), Some(vec!["21".to_owned()]));
        assert_eq!(parameters_of(&parts, "1x"), None);
    }

    proptest! {
        #[test]
        fn whatever_the_parameters_their_key_gives_them_back(a in 1u32..=i32::MAX as u32, b in 1u32..=i32::MAX as u32) {
            let parameters = vec![a.to_string(), b.to_string()];
            let parts = [KeyPart::Parameter(1), literal(":1"), KeyPart::Parameter(0), literal("/")];
            let key = key_of(&parts, &parameters);
            // Where the literal's digit could be the parameter's there may be two readings; they give the same key.
            let back = parameters_of(&parts, &key).expect("parameters");
            prop_assert_eq!(key_of(&parts, &back), key);
        }
    }
}
