//! The keys of routes. Different collections must have different keys, within a route and across routes.
//!
//! A parameter's value is a positive decimal without leading zeros, so between two parameters a single
//! character that is no digit keeps them apart.

use crate::config::{KeyPart, raw::nearest::nearest, report::Fault};

/// Reads a key such as `orders_of_{OrderId}`; each of the parameters must stand in it.
pub(super) fn parse(text: &str, parameters: &[String]) -> Result<Vec<KeyPart>, Fault> {
    if text.is_empty() {
        return Err(Fault::whole("at least one character"));
    }
    if text.starts_with("gen_") {
        return Err(Fault::at(0, "`gen_` begins the keys of generations"));
    }
    let mut parts = Vec::new();
    let mut offset = 0;
    while let Some(rest) = text.get(offset..).filter(|rest| !rest.is_empty()) {
        let length = if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find('}').ok_or_else(|| Fault::at(offset, "`}` is missing"))?;
            let name = inner.get(..end).unwrap_or("");
            parts.push(KeyPart::Parameter(index(name, offset, parameters)?));
            end + 2
        } else {
            let end = rest.find('{').unwrap_or(rest.len());
            let literal = rest.get(..end).unwrap_or(rest);
            if let Some(at) = literal.find(|character: char| !is_plain(character)) {
                return Err(Fault::at(offset + at, "a key is letters, digits, `-_.:~/` and `{parameter}`"));
            }
            parts.push(KeyPart::Literal(literal.to_owned()));
            end
        };
        if !kept_apart(&parts) {
            return Err(Fault::at(offset, "two parameters need a character between them that is no digit"));
        }
        offset += length;
    }
    let missing = (0..parameters.len()).find(|index| !parts.contains(&KeyPart::Parameter(*index)));
    match missing.and_then(|index| parameters.get(index)) {
        Some(name) => {
            Err(Fault::whole(format!("`{{{name}}}` is missing: every parameter stands in the key")))
        }
        None => Ok(parts),
    }
}

/// Whether some values give both keys the same text.
pub(super) fn collide(a: &[KeyPart], b: &[KeyPart]) -> bool {
    let (a, b) = (steps(a), steps(b));
    // The pairs of places that one common text can lead to.
    let mut reached = vec![(0, 0)];
    let mut next = 0;
    while let Some(&(i, j)) = reached.get(next) {
        next += 1;
        let (x, y) = (a.get(i), b.get(j));
        if x.is_none() && y.is_none() {
            return true;
        }
        let after = |at: usize, step: &Step| if step.many { at } else { at + 1 };
        let mut pairs = Vec::new();
        if x.is_some_and(|x| x.many) {
            pairs.push((i + 1, j));
        }
        if y.is_some_and(|y| y.many) {
            pairs.push((i, j + 1));
        }
        if let (Some(x), Some(y)) = (x, y)
            && x.first.max(y.first) <= x.last.min(y.last)
        {
            pairs.push((after(i, x), after(j, y)));
        }
        for pair in pairs {
            if !reached.contains(&pair) {
                reached.push(pair);
            }
        }
    }
    false
}

/// One byte of a range, or any number of such bytes.
struct Step {
    first: u8,
    last: u8,
    many: bool,
}

fn steps(key: &[KeyPart]) -> Vec<Step> {
    let steps = |part: &KeyPart| match part {
        KeyPart::Literal(text) => {
            text.bytes().map(|byte| Step { first: byte, last: byte, many: false }).collect::<Vec<_>>()
        }
        KeyPart::Parameter(_) => {
            vec![Step { first: b'1', last: b'9', many: false }, Step { first: b'0', last: b'9', many: true }]
        }
    };
    key.iter().flat_map(steps).collect()
}

fn kept_apart(parts: &[KeyPart]) -> bool {
    match parts {
        [.., KeyPart::Parameter(_), KeyPart::Parameter(_)] => false,
        [.., KeyPart::Parameter(_), KeyPart::Literal(between), KeyPart::Parameter(_)] => {
            !between.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => true,
    }
}

fn index(name: &str, offset: usize, parameters: &[String]) -> Result<usize, Fault> {
    parameters.iter().position(|parameter| parameter == name).ok_or_else(|| {
        let help = nearest(name, parameters.iter().map(String::as_str));
        let help = help.map(|meant| format!("did you mean `{{{meant}}}`?"));
        Fault::at(offset, "no parameter of the path or the query has this name").help(help)
    })
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.:~/".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<KeyPart> {
        let parameters: Vec<_> = ["a", "b"].map(String::from).into();
        let named = parameters.iter().filter(|name| text.contains(&format!("{{{name}}}"))).cloned();
        let Ok(key) = parse(text, &named.collect::<Vec<_>>()) else { panic!("{text}") };
        key
    }

    #[test]
    fn a_key_is_literals_and_parameters_in_turn() {
        let literal = |text: &str| KeyPart::Literal(text.to_owned());
        let parts = vec![literal("x_"), KeyPart::Parameter(0), literal("_"), KeyPart::Parameter(1)];
        assert_eq!(key("x_{a}_{b}"), parts);
    }

    #[test]
    fn a_key_that_would_mix_collections_is_refused() {
        let parameters = ["a".to_owned(), "b".to_owned()];
        for text in
            ["", "x", "{a}", "{a}{b}", "{a}1{b}", "{a}_{c}", "{a}_{b", "{a} {b}", "gen_{a}_{b}", "ü{a}_{b}"]
        {
            assert!(parse(text, &parameters).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_collide_where_one_text_fits_both() {
        for (a, b, collision) in [
            ("sellers_all", "sellers_all", true),
            ("sellers_all", "sellers_some", false),
            ("seller_{a}", "seller_42", true),
            ("seller_{a}", "seller_042", false),
            ("seller_{a}", "seller_all", false),
            ("s{a}", "s1{a}", true),
            ("s{a}_{b}", "s{a}", false),
            ("s{a}_1", "s{a}_{b}", true),
            ("catalogs_seller_{a}", "seller_{a}", false),
        ] {
            assert_eq!(collide(&key(a), &key(b)), collision, "{a} {b}");
            assert_eq!(collide(&key(b), &key(a)), collision, "{b} {a}");
        }
    }
}
