//! What to look for in an item and what to write down: a tree of names and indexes that the reader follows, with a slot
//! for each value that is captured, and the output fields that are made from these slots.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use jsonpath_rust::parser::model::JpQuery;
use serde_json::Value;

use super::path::{Path, Step};
use super::text::Text;
use super::{Field, ProjectError, ProjectionError, Source};

/// How deep the objects of the output may nest.
const MAX_FIELD_DEPTH: usize = 16;

/// The slot of the item itself.
pub(super) const ITEM: usize = 0;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) root: Node,
    /// How many slots the reader has to hold.
    pub(super) slots: usize,
    fields: Vec<Output>,
    identity: Option<Alternative>,
    hasher: RandomState,
}

/// A place in the item that is on the way of a path.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) slot: usize,
    /// The value here is wanted itself, and not only what is in it.
    pub(super) captured: bool,
    children: Vec<(Step, Node)>,
}

#[derive(Debug)]
pub(super) struct Output {
    name: String,
    /// The name as it is written: in quotes, escaped, with its colon.
    pub(super) label: String,
    pub(super) value: Wanted,
}

#[derive(Debug)]
pub(super) enum Wanted {
    First(Vec<Alternative>),
    Object(Vec<Output>),
}

#[derive(Debug)]
pub(super) struct Alternative {
    pub(super) slot: usize,
    /// What is left of the path, to be searched for in the slot's value.
    pub(super) search: Option<Search>,
}

#[derive(Debug)]
pub(super) struct Search {
    pub(super) query: JpQuery,
    pub(super) path: String,
}

/// The values captured in one item, each as it was written.
pub(super) type Slots<'de> = [Option<&'de str>];

impl Plan {
    pub(super) fn new(fields: Vec<Field>, identity: Option<Path>) -> Result<Plan, ProjectionError> {
        let mut tree = Tree { root: Node::new(ITEM), slots: ITEM + 1 };
        let fields = tree.outputs(fields, &mut Vec::new())?;
        let identity = identity.map(|path| tree.alternative(&path));
        Ok(Plan { root: tree.root, slots: tree.slots, fields, identity, hasher: RandomState::new() })
    }

    /// How many fields the top level has.
    pub(super) fn width(&self) -> usize {
        self.fields.len()
    }

    /// The names of the top level's fields, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    /// Writes one item and counts the fields that it lacks. After an error the text ends somewhere in the item.
    pub(super) fn write(
        &self,
        item: usize,
        slots: &Slots<'_>,
        text: &mut Text,
        absent: &mut [u64],
    ) -> Result<(), ProjectError> {
        text.push(b"{");
        let mut comma = false;
        for (field, absent) in self.fields.iter().zip(absent) {
            let written = field.write(slots, text, comma).map_err(|fault| fault.at(item, &field.name))?;
            comma |= written;
            *absent += u64::from(!written);
        }
        text.push(b"}");
        Ok(())
    }

    /// The hash of what identifies the item. `text` is used to write it down, and left as it was.
    pub(super) fn identity(
        &self,
        item: usize,
        slots: &Slots<'_>,
        text: &mut Text,
    ) -> Result<Option<u64>, ProjectError> {
        let Some(identity) = &self.identity else {
            return Ok(None);
        };
        let start = text.len();
        let found = identity.write(slots, text).map_err(|fault| fault.at(item, "identity"))?;
        let written = text.since(start);
        let identity = (found && written != b"null").then(|| self.hasher.hash_one(written));
        text.truncate(start);
        Ok(identity)
    }
}

impl Node {
    fn new(slot: usize) -> Node {
        Node { slot, captured: false, children: Vec::new() }
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    pub(super) fn member(&self, name: &[u8]) -> Option<&Node> {
        self.child(|step| matches!(step, Step::Name(known) if known.as_bytes() == name))
    }

    pub(super) fn element(&self, index: usize) -> Option<&Node> {
        self.child(|step| matches!(step, Step::Element(known) if *known == index))
    }

    fn child(&self, is: impl Fn(&Step) -> bool) -> Option<&Node> {
        self.children.iter().find(|(step, _)| is(step)).map(|(_, node)| node)
    }

    /// Empties the slots here and below: what an earlier member of the same name left there does not count.
    pub(super) fn forget(&self, slots: &mut Slots<'_>) {
        if let Some(slot) = slots.get_mut(self.slot) {
            *slot = None;
        }
        for (_, node) in &self.children {
            node.forget(slots);
        }
    }
}

/// The tree while it grows.
struct Tree {
    root: Node,
    slots: usize,
}

impl Tree {
    /// `around` holds the names of the objects that these fields are in.
    fn outputs(
        &mut self,
        fields: Vec<Field>,
        around: &mut Vec<String>,
    ) -> Result<Vec<Output>, ProjectionError> {
        if fields.is_empty() {
            return Err(ProjectionError::NoFields {
                within: if around.is_empty() { "the item".to_owned() } else { around.join(".") },
            });
        }
        let mut names = HashSet::new();
        let mut outputs = Vec::with_capacity(fields.len());
        for Field { name, source } in fields {
            around.push(name.clone());
            if !names.insert(name.clone()) {
                return Err(ProjectionError::Twice { field: around.join(".") });
            }
            if around.len() > MAX_FIELD_DEPTH {
                return Err(ProjectionError::TooDeep { field: around.join("."), limit: MAX_FIELD_DEPTH });
            }
            let value = match source {
                Source::Paths(paths) if paths.is_empty() => {
                    return Err(ProjectionError::NoPath { field: around.join(".") });
                }
                Source::Paths(paths) => {
                    Wanted::First(paths.iter().map(|path| self.alternative(path)).collect())
                }
                Source::Object(fields) => Wanted::Object(self.outputs(fields, around)?),
            };
            around.pop();
            outputs.push(Output { label: format!("{}:", Value::from(name.as_str())), name, value });
        }
        Ok(outputs)
    }

    fn alternative(&mut self, path: &Path) -> Alternative {
        let slot = capture(&mut self.root, path.steps(), &mut self.slots);
        let search = path.rest().map(|query| Search { query: query.clone(), path: path.as_str().to_owned() });
        Alternative { slot, search }
    }
}

/// Marks the place that the steps lead to, making the way there; gives its slot.
fn capture(node: &mut Node, steps: &[Step], slots: &mut usize) -> usize {
    let Some((step, rest)) = steps.split_first() else {
        node.captured = true;
        return node.slot;
    };
    if let Some((_, child)) = node.children.iter_mut().find(|(known, _)| known == step) {
        return capture(child, rest, slots);
    }
    let mut child = Node::new(*slots);
    *slots += 1;
    let slot = capture(&mut child, rest, slots);
    node.children.push((step.clone(), child));
    slot
}
