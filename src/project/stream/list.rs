//! The way from the document to the array of items, and the totals beside it.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Item, Name, Reader, enter, is_container};
use crate::project::path::Step;

/// Follows the steps from the document to the array of items.
pub(super) struct Down<'r, 'p, 'de, 's> {
    pub(super) reader: &'r mut Reader<'p, 'de>,
    pub(super) steps: &'s [Step],
    /// At the document itself, where the totals are.
    pub(super) top: bool,
}

/// What a member of an object on the way to the items is.
enum Envelope {
    Step,
    TotalItems,
    TotalPages,
    PageNumber,
    Other,
}

impl<'de> DeserializeSeed<'de> for Down<'_, '_, 'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if !self.reader.careful {
            return json.deserialize_any(self);
        }
        let value = <&RawValue>::deserialize(json)?.get();
        if is_container(value) { enter(value, self) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Down<'_, '_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Down { reader, steps, top } = self;
        let (next, rest) = match steps.split_first() {
            Some((Step::Name(name), rest)) => (Some(name.as_bytes()), rest),
            _ => (None, steps),
        };
        let kind = |name: &[u8]| match name {
            name if Some(name) == next => Envelope::Step,
            b"totalItems" if top => Envelope::TotalItems,
            b"totalPages" if top => Envelope::TotalPages,
            b"pageNumber" if top => Envelope::PageNumber,
            _ => Envelope::Other,
        };
        while let Some(kind) = members.next_key_seed(Name(kind))? {
            match kind {
                Envelope::Step => {
                    reader.restart();
                    members.next_value_seed(Down { reader: &mut *reader, steps: rest, top: false })?;
                }
                Envelope::TotalItems => reader.page.total_items = count(members.next_value()?),
                Envelope::TotalPages => reader.page.total_pages = count(members.next_value()?),
                Envelope::PageNumber => reader.page.page_number = count(members.next_value()?),
                Envelope::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Down { reader, steps, .. } = self;
        match steps.split_first() {
            None => {
                reader.found = true;
                while elements.next_element_seed(Item(&mut *reader))?.is_some() {}
                Ok(())
            }
            Some((Step::Element(wanted), rest)) => {
                for _ in 0..*wanted {
                    if elements.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(());
                    }
                }
                elements.next_element_seed(Down { reader, steps: rest, top: false })?;
                skip(elements)
            }
            Some((Step::Name(_), _)) => skip(elements),
        }
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// A count is an integer that is not negative; anything else is none.
fn count(value: &RawValue) -> Option<u64> {
    value.get().parse().ok()
}

fn skip<'de, A: SeqAccess<'de>>(mut elements: A) -> Result<(), A::Error> {
    while elements.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}
