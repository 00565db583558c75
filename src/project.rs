//! Cuts the fields that are wanted out of the upstream's JSON, while it is parsed.
//!
//! Pure: bytes in, bytes out; no clock, no socket. Names and indexes are followed in one pass that keeps nothing but
//! the values asked for, as they were written: `1.10` stays `1.10`, thirty digits stay thirty, dates and escapes are
//! not touched. What a path cannot say in names and indexes (`[*]`, `[-1]`, `..`, filters) runs through jsonpath-rust
//! on the subtree that it needs; there alone a value goes through `serde_json::Value`: numbers become `i64`, `u64` or
//! `f64` (`1.10` becomes `1.1`, more than 17 digits are cut), members are sorted, the last of two members with one name
//! stays, and a number beyond `f64` is an error.
//!
//! It does not judge what it reads: a value that is `null` is a value, and one that is not there is left out and counted.

pub mod path;
mod plan;
mod stream;
mod text;
mod write;

use std::ops::Range;

use path::Step;
pub use path::{Path, PathError};
use plan::Plan;
pub(crate) use stream::scan::Scan;
use stream::{Level, Progress, Unread};

/// One field of the output.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in the output.
    pub name: String,
    /// Where its value comes from.
    pub source: Source,
}

/// Where the value of a field comes from; the root `$` of every path is the item.
#[derive(Clone, Debug)]
pub enum Source {
    /// The first path that matches counts. One match of it is copied, several become an array.
    Paths(Vec<Path>),
    /// An object of its own; left out when none of its fields matched.
    Object(Vec<Field>),
}

/// Compiled once: where the items are, the fields of the output in order, and the path that identifies an item.
#[derive(Debug)]
pub struct Projection {
    /// The steps to the array of items, and the path as it was written; `None` for a single object.
    items: Option<(Vec<Step>, Path)>,
    plan: Plan,
}

/// A body that is being read, piece by piece. It goes on with the projection that it was begun with.
#[derive(Debug)]
pub struct Reading {
    progress: Progress,
    unread: Unread,
}

/// What is left of one answer of the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectedPage {
    /// The items, joined by commas, without brackets; compact but for the blanks inside of copied values.
    pub text: Vec<u8>,
    /// Where each item is in `text`.
    pub items: Vec<Range<u32>>,
    /// A hash (SipHash under a key of the projection's own) of the text that identifies an item. An item without one,
    /// or with `null`, has no entry. Hashes of two projections cannot be compared.
    pub identities: Vec<u64>,
    /// For each field of the top level, in order: how many items lacked it.
    pub absent: Vec<u64>,
    /// `totalItems` of the document, if it is an integer that is not negative.
    pub total_items: Option<u64>,
    /// `totalPages`, likewise.
    pub total_pages: Option<u64>,
    /// `pageNumber`, likewise.
    pub page_number: Option<u64>,
}

/// Why fields do not make a projection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    /// The items are not the elements of one array.
    #[error("the items are names and indexes from the front and then [*], as in $.items[*], not {path}")]
    Items {
        /// The path as it was written.
        path: String,
    },
    /// There is nothing to put out.
    #[error("{within} has no fields")]
    NoFields {
        /// The object that would be empty: `the item`, or the name of a field.
        within: String,
    },
    /// A field without a source.
    #[error("field {field} has no path")]
    NoPath {
        /// Its name, with the names of the objects around it.
        field: String,
    },
    /// Two fields of one object have the same name.
    #[error("field {field} is there twice")]
    Twice {
        /// Its name, with the names of the objects around it.
        field: String,
    },
    /// Objects in objects in objects.
    #[error("field {field} is nested more than {limit} deep")]
    TooDeep {
        /// Its name, with the names of the objects around it.
        field: String,
        /// How deep fields may nest.
        limit: usize,
    },
}

/// Why a body is not what the projection was made for. Nothing of the body's content is in the text.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Not JSON, or not UTF-8 in what is kept, or bytes after the document.
    #[error("the body is not JSON at byte {offset}")]
    Syntax {
        /// The byte of the body at which it stops to be JSON.
        offset: usize,
    },
    /// There is no array where the items should be.
    #[error("the body has no list at {path}")]
    NoList {
        /// The path of the items.
        path: String,
    },
    /// The projection is that of a single object, and a page was to be read.
    #[error("a single object has no pages")]
    NoPages,
    /// An element of the list (or, read as a single object, the document) is not an object.
    #[error("item {item} is not an object")]
    NotAnObject {
        /// Counted from 0.
        item: usize,
    },
    /// A value that would be kept is nested too deep.
    #[error("item {item}, field {field}: nested more than {limit} deep")]
    TooDeep {
        /// Counted from 0.
        item: usize,
        /// The field of the top level; `identity` for the path that identifies the item.
        field: String,
        /// How deep a value may nest.
        limit: usize,
    },
    /// A path that is not streamed met a value that it cannot read.
    #[error("item {item}, field {field}: the value at {path} cannot be searched")]
    Search {
        /// Counted from 0.
        item: usize,
        /// The field of the top level; `identity` for the path that identifies the item.
        field: String,
        /// The path as it was written.
        path: String,
        /// What jsonpath-rust or serde_json could not do.
        source: SearchError,
    },
    /// The output is larger than spans can say.
    #[error("the projected page is larger than 4 GiB")]
    TooLarge,
}

/// What failed in a search.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The subtree does not fit into a `Value`: a number beyond `f64`, half a surrogate pair, more than 127 levels.
    #[error(transparent)]
    Read(serde_json::Error),
    /// jsonpath-rust gave something that is not a part of the subtree.
    #[error("jsonpath-rust gave no node")]
    NoNode,
}

impl Projection {
    /// For the pages of a list. `items` is names and indexes and then `[*]`; `identity` is read in each item.
    pub fn list(items: Path, fields: Vec<Field>, identity: Path) -> Result<Projection, ProjectionError> {
        let Some(steps) = items.steps_to_elements() else {
            return Err(ProjectionError::Items { path: items.as_str().to_owned() });
        };
        let plan = Plan::new(fields, Some(identity))?;
        Ok(Projection { items: Some((steps.to_vec(), items)), plan })
    }

    /// For one object, which is the whole document.
    pub fn single(fields: Vec<Field>) -> Result<Projection, ProjectionError> {
        Ok(Projection { items: None, plan: Plan::new(fields, None)? })
    }

    /// The names of the top level's fields, in the order of [`ProjectedPage::absent`].
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.plan.names()
    }

    /// Projects a page of a list.
    pub fn page(&self, body: &[u8]) -> Result<ProjectedPage, ProjectError> {
        if self.items.is_none() {
            return Err(ProjectError::NoPages);
        }
        self.whole(Level::Value(0), body)
    }

    /// Projects a document that is one object with these fields: the answer has exactly one item and no totals.
    pub fn object(&self, body: &[u8]) -> Result<ProjectedPage, ProjectError> {
        self.whole(Level::Item, body)
    }

    /// Begins to read a page of a list or, where the projection is that of a single object, a document; of this length,
    /// if it is known.
    #[must_use]
    pub fn begin(&self, length: Option<usize>) -> Reading {
        let level = if self.items.is_some() { Level::Value(0) } else { Level::Item };
        Reading { progress: Progress::new(&self.plan, level, length), unread: Unread::default() }
    }

    /// Reads the next piece. Of all pieces nothing is kept but what is wanted of whole items, and the beginning of one
    /// that is not whole.
    ///
    /// # Errors
    /// As soon as an item cannot be projected; a body that is no JSON is refused at its end, if not before.
    pub fn read(&self, reading: &mut Reading, piece: &[u8]) -> Result<(), ProjectError> {
        reading.unread.read(&mut reading.progress, &self.plan, self.steps(), piece)
    }

    /// Ends with what all pieces together are: the same that [`Projection::page`] or [`Projection::object`] gives of
    /// the whole.
    ///
    /// # Errors
    /// As theirs.
    pub fn end(&self, reading: Reading) -> Result<ProjectedPage, ProjectError> {
        let Reading { mut progress, unread } = reading;
        unread.end(&mut progress, &self.plan, self.steps())?;
        progress.finish().ok_or_else(|| self.no_list())
    }

    fn whole(&self, level: Level, body: &[u8]) -> Result<ProjectedPage, ProjectError> {
        let mut progress = Progress::new(&self.plan, level, Some(body.len()));
        progress.read(&self.plan, self.steps(), body, true)?;
        progress.finish().ok_or_else(|| self.no_list())
    }

    /// From the document to the array of items.
    fn steps(&self) -> &[Step] {
        self.items.as_ref().map_or(&[], |(steps, _)| steps)
    }

    fn no_list(&self) -> ProjectError {
        let path = self.items.as_ref().map_or("$", |(_, path)| path.as_str());
        ProjectError::NoList { path: path.to_owned() }
    }
}
