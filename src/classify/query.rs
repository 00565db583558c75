//! A query as plain pairs. One that needs decoding is not read but refused: its request is forwarded.

use super::Reason;

/// The pairs of a query in order, spelled plainly.
#[derive(Debug, Default)]
pub(super) struct Pairs<'q>(Vec<(&'q str, &'q str)>);

impl<'q> Pairs<'q> {
    /// Splits `name=value&…`. Names are letters, digits and `-_.`; a pair without `=` or an empty pair is
    /// not understood.
    pub(super) fn parse(query: &'q str) -> Result<Self, Reason> {
        let pair = |part: &'q str| {
            part.split_once('=').filter(|(name, _)| {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            })
        };
        query.split('&').map(pair).collect::<Option<_>>().map(Self).ok_or(Reason::Query)
    }

    /// The value of `name` in any case; twice is not understood.
    pub(super) fn once(&self, name: &str) -> Result<Option<&'q str>, Reason> {
        let mut values = self.0.iter().filter(|(mine, _)| mine.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (first, None) => Ok(first.map(|(_, value)| *value)),
            _ => Err(Reason::Query),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
