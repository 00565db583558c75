//! The ways through one item to the values that are wanted.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Name, Reader, enter, is_container};
use crate::project::ProjectError;
use crate::project::plan::{ITEM, Node};

/// Reads a value that a path leads to or through.
pub(super) struct At<'r, 'p, 'de> {
    pub(super) reader: &'r mut Reader<'p, 'de>,
    pub(super) node: &'p Node,
}

impl At<'_, '_, '_> {
    /// A value in which there is nothing to follow. That is no fault, but for the item itself.
    fn no_object<E: Error>(self) -> Result<(), E> {
        if self.node.slot == ITEM {
            let item = self.reader.page.items.len();
            return Err(self.reader.refuse(ProjectError::NotAnObject { item }));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for At<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let At { reader, node } = self;
        if !node.captured && !reader.careful {
            return json.deserialize_any(At { reader, node });
        }
        let value = <&RawValue>::deserialize(json)?.get();
        if node.captured
            && let Some(slot) = reader.slots.get_mut(node.slot)
        {
            *slot = Some(value);
        }
        let inside = At { reader, node };
        if !is_container(value) {
            return inside.no_object();
        }
        if node.slot == ITEM || !node.is_leaf() { enter(value, inside) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for At<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let At { reader, node } = self;
        while let Some(found) = members.next_key_seed(Name(|name: &[u8]| node.member(name)))? {
            if let Some(node) = found {
                node.forget(&mut reader.slots);
                members.next_value_seed(At { reader: &mut *reader, node })?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        if self.node.slot == ITEM {
            return self.no_object();
        }
        let At { reader, node } = self;
        for index in 0.. {
            let more = match node.element(index) {
                Some(node) => elements.next_element_seed(At { reader: &mut *reader, node })?.is_some(),
                None => elements.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.no_object()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.no_object()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.no_object()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.no_object()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.no_object()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.no_object()
    }
}
