//! Reads a body once and captures, of each item, the values that the plan has slots for.
//!
//! What is on the way of no path is skipped by serde_json's `IgnoredAny`, which neither allocates nor recurses; what is
//! wanted is borrowed from the body as a `RawValue`. Only the steps of a path recurse, and paths are short.
//!
//! A value *on the way* of a path is looked at as what it is, and that fails for a few valid scalars: `1e309` does not
//! fit into a number, `"\ud800"` not into a string. A body that fails is therefore read once more with care: values on
//! the way are then borrowed raw first and entered second, which is right for every body and slower for deep paths.
//!
//! Not judged: bytes that are not UTF-8 in parts that are skipped, control characters in names. Judged although it does
//! not count: an earlier list under the same name.

mod item;
mod list;

use std::fmt;

use item::At;
use list::Down;
use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::path::Step;
use super::plan::Plan;
use super::text::Text;
use super::{ProjectError, ProjectedPage};

/// The page that a body holds at these steps; `None` if there is no list.
pub(super) fn list(plan: &Plan, steps: &[Step], body: &[u8]) -> Result<Option<ProjectedPage>, ProjectError> {
    let reader = twice(plan, body, |reader, body| Down { reader, steps, top: true }.deserialize(body))?;
    Ok(reader.found.then(|| reader.finish()))
}

/// The one item that a body is.
pub(super) fn object(plan: &Plan, body: &[u8]) -> Result<ProjectedPage, ProjectError> {
    Ok(twice(plan, body, |reader, body| Item(reader).deserialize(body))?.finish())
}

/// Reads the whole body; if it seems not to be JSON, once more with care.
fn twice<'p, 'de>(
    plan: &'p Plan,
    body: &'de [u8],
    read: impl Fn(
        &mut Reader<'p, 'de>,
        &mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>,
    ) -> serde_json::Result<()>,
) -> Result<Reader<'p, 'de>, ProjectError> {
    let once = |careful| {
        let mut reader = Reader::new(plan, body, careful);
        let mut json = serde_json::Deserializer::from_slice(body);
        match read(&mut reader, &mut json).and_then(|()| json.end()) {
            Ok(()) => Ok(Ok(reader)),
            Err(error) => match reader.refused.take() {
                Some(refused) => Err(refused),
                None => Ok(Err(error)),
            },
        }
    };
    match once(false)? {
        Ok(reader) => Ok(reader),
        Err(_) => {
            once(true)?.map_err(|source| ProjectError::Syntax { offset: offset(&source, body), source })
        }
    }
}

/// The byte that serde_json means by a line and a column, both counted from 1.
fn offset(error: &serde_json::Error, body: &[u8]) -> usize {
    let lines_before = error.line().saturating_sub(1);
    let start: usize = body.split_inclusive(|byte| *byte == b'\n').take(lines_before).map(<[u8]>::len).sum();
    if error.is_eof() { body.len() } else { (start + error.column().saturating_sub(1)).min(body.len()) }
}

struct Reader<'p, 'de> {
    plan: &'p Plan,
    body: &'de [u8],
    careful: bool,
    slots: Vec<Option<&'de str>>,
    text: Text,
    page: ProjectedPage,
    /// There was an array where the items are.
    found: bool,
    /// The body is JSON, but not what it should be; serde's errors have no room for that.
    refused: Option<ProjectError>,
}

impl<'p, 'de> Reader<'p, 'de> {
    fn new(plan: &'p Plan, body: &'de [u8], careful: bool) -> Self {
        Reader {
            plan,
            body,
            careful,
            slots: vec![None; plan.slots],
            text: Text::default(),
            page: ProjectedPage { absent: vec![0; plan.width()], ..ProjectedPage::default() },
            found: false,
            refused: None,
        }
    }

    /// Forgets the items: what comes has the place of what came.
    fn restart(&mut self) {
        self.found = false;
        self.text.truncate(0);
        self.page.items.clear();
        self.page.identities.clear();
        self.page.absent.fill(0);
    }

    /// Writes the item that is in the slots.
    fn write_item(&mut self) -> Result<(), ProjectError> {
        let item = self.page.items.len();
        if item > 0 {
            self.text.push(b",");
        }
        let start = self.text.len();
        self.plan.write(item, &self.slots, &mut self.text, &mut self.page.absent)?;
        let span = |end: usize| u32::try_from(end).map_err(|_| ProjectError::TooLarge);
        self.page.items.push(span(start)?..span(self.text.len())?);
        self.page.identities.extend(self.plan.identity(item, &self.slots, &mut self.text)?);
        if let Some(last) =
            self.slots.iter().flatten().map(|value| value.as_bytes().as_ptr_range().end as usize).max()
        {
            self.text.came_from(last.saturating_sub(self.body.as_ptr() as usize), self.body.len());
        }
        Ok(())
    }

    fn refuse<E: Error>(&mut self, why: ProjectError) -> E {
        self.refused = Some(why);
        E::custom("refused")
    }

    fn finish(self) -> ProjectedPage {
        ProjectedPage { text: self.text.into_bytes(), ..self.page }
    }
}

/// Reads one item and writes it.
struct Item<'r, 'p, 'de>(&'r mut Reader<'p, 'de>);

impl<'de> DeserializeSeed<'de> for Item<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Item(reader) = self;
        reader.slots.fill(None);
        let node = &reader.plan.root;
        At { reader: &mut *reader, node }.deserialize(json)?;
        reader.write_item().map_err(|why| reader.refuse(why))
    }
}

/// Reads a member's name, escapes undone, and gives what the function makes of it. Read as bytes, because a name that
/// is no string (half a surrogate pair) is no fault of a page that does not need it.
struct Name<F>(F);

impl<'de, T, F: FnOnce(&[u8]) -> T> DeserializeSeed<'de> for Name<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        json.deserialize_bytes(self)
    }
}

impl<T, F: FnOnce(&[u8]) -> T> Visitor<'_> for Name<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<T, E> {
        Ok((self.0)(name))
    }
}

/// Whether a value's text is that of an array or an object.
fn is_container(value: &str) -> bool {
    value.starts_with(['[', '{'])
}

/// Reads a value that was borrowed raw, and so is known to be JSON.
fn enter<'de, E: Error>(value: &'de str, inside: impl Visitor<'de, Value = ()>) -> Result<(), E> {
    serde_json::Deserializer::from_str(value).deserialize_any(inside).map_err(E::custom)
}
