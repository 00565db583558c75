//! Targets as ASP.NET reads them: percent-decoded, names compared case-insensitively, the unknown ignored.

use crate::moment::Moment;
use crate::problem::Problem;

/// The query of a request, decoded, names in lower case, in the order sent.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decoded(name).to_lowercase(), form_decoded(value))
        });
        Self { pairs: pairs.collect() }
    }

    /// The first value of `name`; an empty one counts as not sent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        values.next().filter(|value| !value.is_empty())
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i32>, Problem> {
        self.text(name).map(|value| int(name, value)).transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        let read = |value: &str| match value.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(not_valid(name, value)),
        };
        self.text(name).map(read).transpose()
    }

    pub(crate) fn moment(&self, name: &str) -> Result<Option<Moment>, Problem> {
        let read = |value: &str| Moment::parse(value).ok_or_else(|| not_valid(name, value));
        self.text(name).map(read).transpose()
    }

    /// All values of a repeatable parameter, spelled `Name=1`, `Name[]=1` or `Name[0]=1`.
    pub(crate) fn ints(&self, name: &str) -> Result<Vec<i32>, Problem> {
        self.values(name).filter(|value| !value.is_empty()).map(|value| int(name, value)).collect()
    }

    /// All values of `name`.
    pub(crate) fn texts<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.values(name)
    }

    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let wanted = name.to_lowercase();
        self.pairs
            .iter()
            .filter(move |(given, _)| base_name(given) == wanted)
            .map(|(_, value)| value.as_str())
    }
}

fn base_name(name: &str) -> &str {
    match name.split_once('[') {
        Some((base, index)) if index.ends_with(']') => base,
        _ => name,
    }
}

/// A whole number as .NET parses one: a sign, leading zeros and white space are fine.
pub(crate) fn int(name: &str, value: &str) -> Result<i32, Problem> {
    value.trim().parse().map_err(|_| not_valid(name, value))
}

pub(crate) fn not_valid(name: &str, value: &str) -> Problem {
    Problem::invalid(name, format!("The value '{value}' is not valid."))
}

/// Decodes `%XX`; what is not a valid escape stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, escape(after)) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As [`decoded`], with `+` for a space: queries and forms.
pub(crate) fn form_decoded(text: &str) -> String {
    decoded(&text.replace('+', " "))
}

fn escape(after: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(after.get(..2)?).ok()?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_insensitive_and_values_decoded() {
        let query = Query::parse(Some("pagenumber=%32&NAME=a+b%26c&x"));
        assert_eq!(query.int("PageNumber").unwrap(), Some(2));
        assert_eq!(query.text("Name"), Some("a b&c"));
        assert_eq!(query.int("Id").unwrap(), None);
    }

    #[test]
    fn seller_ids_repeat_in_every_spelling_and_a_list_in_one_is_refused() {
        let query = Query::parse(Some("SellerIds=1&sellerids[]=2&SellerIds[1]=3"));
        assert_eq!(query.ints("SellerIds").unwrap(), [1, 2, 3]);
        assert!(Query::parse(Some("SellerIds=1,2")).ints("SellerIds").is_err());
    }

    #[test]
    fn numbers_read_as_dotnet_does_and_booleans_are_words() {
        assert_eq!(Query::parse(Some("Id=%20%2B042")).int("Id").unwrap(), Some(42));
        assert!(Query::parse(Some("Id=4294967296")).int("Id").is_err());
        assert!(Query::parse(Some("IsActive=1")).flag("IsActive").is_err());
        assert_eq!(Query::parse(Some("IsActive=True")).flag("IsActive").unwrap(), Some(true));
    }

    #[test]
    fn a_broken_escape_stays_as_it_is() {
        assert_eq!(decoded("a%2fb%zz%4"), "a/b%zz%4");
    }
}
