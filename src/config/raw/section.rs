//! A table of the file, read key by key; what was not asked for in the end is unknown.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{RawField, RawSource, nearest::nearest};
use crate::config::report::{At, Place, Problems, Text};

/// A whole number of the file.
pub(crate) type Number = At<i64>;
/// A number of the file, whole or not.
pub(crate) type Fraction = At<f64>;
/// A true or false of the file.
pub(crate) type Switch = At<bool>;

/// A table and the keys that were asked of it so far.
pub(super) struct Section<'t> {
    /// The full name with a dot at the end; empty at the top.
    name: String,
    /// Where the section's own key stands; `None` at the top and where the section is missing.
    place: Option<Place>,
    table: DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    pub(super) fn new(name: String, place: Option<Place>, table: DeTable<'t>) -> Self {
        Self { name, place, table, known: Vec::new() }
    }

    /// A string. `what` completes "`key` is not …".
    pub(super) fn text(&mut self, key: &'static str, what: &str, problems: &mut Problems) -> Option<Text> {
        let (_, value) = self.take(key)?;
        text(self.full(key), value, what, problems)
    }

    /// Where the table's own key stands.
    pub(super) fn place(&self) -> Option<Place> {
        self.place.clone()
    }

    /// A string, or an array of at least one.
    pub(super) fn one_or_more(
        &mut self,
        key: &'static str,
        what: &str,
        problems: &mut Problems,
    ) -> Option<At<Vec<Text>>> {
        let (_, value) = self.take(key)?;
        let (name, span) = (self.full(key), value.span());
        let place = Problems::in_file(span.clone());
        match value.into_inner() {
            DeValue::Array(values) if values.is_empty() => {
                problems.mistyped(&name, &place, what, "nothing stands here".to_owned());
                None
            }
            DeValue::Array(values) => {
                let texts = values.into_iter().filter_map(|value| text(name.clone(), value, what, problems));
                let texts: Vec<_> = texts.collect();
                (!texts.is_empty()).then_some(At { key: name, value: texts, place })
            }
            other => {
                let only = text(name.clone(), Spanned::new(span, other), what, problems)?;
                Some(At { key: name, value: vec![only], place })
            }
        }
    }

    /// A table of strings, each with its key.
    pub(super) fn pairs(
        &mut self,
        key: &'static str,
        what: &str,
        problems: &mut Problems,
    ) -> Option<At<Vec<(Text, Text)>>> {
        let (place, section) = self.present(key, problems)?;
        let mut pairs = Vec::new();
        for (key, value) in section.table {
            let place = Problems::in_file(key.span());
            let full = format!("{}{}", section.name, key.get_ref());
            let name = At { key: full.clone(), value: key.into_inner().into_owned(), place };
            pairs.extend(text(full, value, what, problems).map(|value| (name, value)));
        }
        Some(At { key: self.full(key), value: pairs, place })
    }

    /// An array of strings; empty where the key is missing.
    pub(super) fn texts(&mut self, key: &'static str, what: &str, problems: &mut Problems) -> Vec<Text> {
        let Some((_, value)) = self.take(key) else {
            return Vec::new();
        };
        let name = self.full(key);
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(values) => {
                values.into_iter().filter_map(|value| text(name.clone(), value, what, problems)).collect()
            }
            other => {
                refuse(&name, &Spanned::new(span, other), what, problems);
                Vec::new()
            }
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &'static str, problems: &mut Problems) -> Option<Number> {
        let (_, value) = self.take(key)?;
        let name = self.full(key);
        let place = Problems::in_file(value.span());
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        if number.is_none() {
            refuse(&name, &value, "a whole number without quotes", problems);
        }
        number.map(|value| At { key: name, value, place })
    }

    /// A number, whole or not.
    pub(super) fn fraction(&mut self, key: &'static str, problems: &mut Problems) -> Option<Fraction> {
        let (_, value) = self.take(key)?;
        let key = self.full(key);
        let number = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            refuse(&key, &value, "a number without quotes", problems);
        }
        number.map(|number| At { key, value: number, place: Problems::in_file(value.span()) })
    }

    /// True or false.
    pub(super) fn switch(&mut self, key: &'static str, problems: &mut Problems) -> Option<Switch> {
        let (_, value) = self.take(key)?;
        let key = self.full(key);
        match *value.get_ref() {
            DeValue::Boolean(is) => Some(At { key, value: is, place: Problems::in_file(value.span()) }),
            _ => {
                refuse(&key, &value, "true or false without quotes", problems);
                None
            }
        }
    }

    /// A table; where it is missing, one without keys.
    pub(super) fn section(&mut self, key: &'static str, problems: &mut Problems) -> Section<'t> {
        let empty = Section::new(format!("{}.", self.full(key)), None, DeTable::new());
        self.present(key, problems).map_or(empty, |(_, section)| section)
    }

    /// A table, with the place of its key, where there is one.
    pub(super) fn present(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<(Place, Section<'t>)> {
        let (place, value) = self.take(key)?;
        let section = table(self.full(key), place.clone(), value, problems)?;
        Some((place, section))
    }

    /// All keys as tables, in the order of the file, each with its name.
    pub(super) fn into_sections(self, problems: &mut Problems) -> Vec<(Text, Section<'t>)> {
        let mut sections = Vec::new();
        for (key, value) in self.table {
            let place = Problems::in_file(key.span());
            let name = At {
                key: format!("{}{}", self.name, key.get_ref()),
                value: key.into_inner().into_owned(),
                place,
            };
            if let Some(section) = table(name.key.clone(), name.place.clone(), value, problems) {
                sections.push((name, section));
            }
        }
        sections
    }

    /// A table of fields: each a JSONPath, an array of them, or again such a table.
    pub(super) fn fields(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<Vec<RawField>>> {
        let (place, section) = self.present(key, problems)?;
        Some(At { key: self.full(key), value: fields(section, problems), place })
    }

    /// Shows of no key that nobody asked for what stands there: it may be a secret that belongs elsewhere.
    pub(super) fn hide_unknown(&self, problems: &mut Problems) {
        for value in self.table.values() {
            problems.hide(&Problems::in_file(value.span()));
        }
    }

    /// Notes the keys that nobody asked for.
    pub(super) fn finish(self, problems: &mut Problems) {
        for (key, value) in self.table {
            let place = Problems::in_file(key.span());
            let word = key.into_inner();
            if ["pass", "secret", "token"].iter().any(|sign| word.to_ascii_lowercase().contains(sign)) {
                problems.hide(&Problems::in_file(value.span()));
            }
            let help =
                nearest(&word, self.known.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
            let help = help.unwrap_or_else(|| format!("the keys here are {}", self.known.join(", ")));
            problems.add_with_help(
                &place,
                format!("`{}{word}` is not a key", self.name),
                "unknown",
                Some(help),
            );
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.name)
    }

    fn take(&mut self, key: &'static str) -> Option<(Place, Spanned<DeValue<'t>>)> {
        self.known.push(key);
        let (key, value) = self.table.remove_entry(key)?;
        Some((Problems::in_file(key.span()), value))
    }
}

fn fields(section: Section<'_>, problems: &mut Problems) -> Vec<RawField> {
    if section.table.is_empty()
        && let Some(place) = &section.place
    {
        let name = section.name.trim_end_matches('.');
        problems.add(place, format!("`{name}` keeps nothing"), "name at least one field");
    }
    let mut found = Vec::new();
    for (key, value) in section.table {
        let place = Problems::in_file(key.span());
        let full = format!("{}{}", section.name, key.get_ref());
        let source = match value.get_ref() {
            DeValue::Table(_) => table(full.clone(), place.clone(), value, problems)
                .map(|section| RawSource::Object(fields(section, problems))),
            _ => paths(&full, value, problems).map(RawSource::Paths),
        };
        if let Some(source) = source {
            found.push(RawField {
                name: At { key: full, value: key.into_inner().into_owned(), place },
                source,
            });
        }
    }
    found
}

fn paths(name: &str, value: Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Vec<Text>> {
    const WHAT: &str = "a JSONPath, an array of JSONPaths, or a table of fields";
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(values) if values.is_empty() => {
            problems.add(
                &Problems::in_file(span),
                format!("`{name}` comes from nowhere"),
                "name at least one path",
            );
            None
        }
        DeValue::Array(values) => Some(
            values.into_iter().filter_map(|value| text(name.to_owned(), value, WHAT, problems)).collect(),
        ),
        other => text(name.to_owned(), Spanned::new(span, other), WHAT, problems).map(|path| vec![path]),
    }
}

fn text(name: String, value: Spanned<DeValue<'_>>, what: &str, problems: &mut Problems) -> Option<Text> {
    let place = Problems::in_file(value.span());
    match value.get_ref() {
        DeValue::String(text) => Some(At { key: name, value: text.clone().into_owned(), place }),
        _ => {
            refuse(&name, &value, what, problems);
            None
        }
    }
}

fn table<'t>(
    name: String,
    place: Place,
    value: Spanned<DeValue<'t>>,
    problems: &mut Problems,
) -> Option<Section<'t>> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Some(Section::new(format!("{name}."), Some(place), table)),
        other => {
            refuse(&name, &Spanned::new(span, other), "a table", problems);
            None
        }
    }
}

fn refuse(name: &str, value: &Spanned<DeValue<'_>>, what: &str, problems: &mut Problems) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let place = Problems::in_file(value.span());
    problems.mistyped(name, &place, what, format!("{found} stands here"));
}
