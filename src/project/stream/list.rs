//! The way from the document to the array of items, and the totals beside it: unit by unit, so that it can stop between
//! any two and go on where it was.

use super::{NotJson, Reader};
use crate::project::ProjectError;
use crate::project::path::Step;

/// A value that has begun and not ended, or begins now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::project) enum Level {
    /// The value to which so many steps lead comes next.
    Value(usize),
    /// In the object that so many steps lead to.
    Object(usize),
    /// In the array that so many steps lead to, before its element of this place.
    Array(usize, usize),
    /// In the array of items.
    Items,
    /// The document is one item.
    Item,
}

impl Reader<'_, '_> {
    /// Reads what comes next at the innermost level. Where it fails and more text may mend that, nothing has happened
    /// that does not happen again.
    pub(super) fn unit(&mut self) -> Result<(), ProjectError> {
        match self.progress.levels.last().copied() {
            Some(Level::Value(depth)) => self.begin(depth)?,
            Some(Level::Object(depth)) => self.member(depth)?,
            Some(Level::Array(depth, place)) => self.element(depth, place)?,
            Some(Level::Items) if self.json.element()? => self.item()?,
            Some(Level::Items) => self.leave(),
            Some(Level::Item) => {
                self.item()?;
                self.progress.found = true;
                self.leave();
            }
            None => {}
        }
        Ok(())
    }

    fn begin(&mut self, depth: usize) -> Result<(), ProjectError> {
        let level = match (self.json.peek(), self.steps.get(depth)) {
            (Some(b'['), None) => Level::Items,
            (Some(b'['), Some(Step::Element(_))) => Level::Array(depth, 0),
            (Some(b'{'), Some(Step::Name(_))) => Level::Object(depth),
            _ => {
                self.pass()?;
                self.leave();
                return Ok(());
            }
        };
        self.json.enter();
        self.progress.found |= level == Level::Items;
        self.leave();
        self.progress.levels.push(level);
        Ok(())
    }

    fn member(&mut self, depth: usize) -> Result<(), ProjectError> {
        let Some(name) = self.json.member()? else {
            self.leave();
            return Ok(());
        };
        match (name.text().as_deref(), self.steps.get(depth)) {
            (Some(name), Some(Step::Name(wanted))) if name == wanted.as_bytes() => {
                self.progress.restart();
                self.progress.levels.push(Level::Value(depth + 1));
            }
            (Some(b"totalItems"), _) if depth == 0 => self.progress.page.total_items = self.count()?,
            (Some(b"totalPages"), _) if depth == 0 => self.progress.page.total_pages = self.count()?,
            (Some(b"pageNumber"), _) if depth == 0 => self.progress.page.page_number = self.count()?,
            _ => self.pass()?,
        }
        Ok(())
    }

    fn element(&mut self, depth: usize, place: usize) -> Result<(), ProjectError> {
        if !self.json.element()? {
            self.leave();
            return Ok(());
        }
        let wanted = self.steps.get(depth) == Some(&Step::Element(place));
        if !wanted {
            self.pass()?;
        }
        self.leave();
        self.progress.levels.push(Level::Array(depth, place + 1));
        if wanted {
            self.progress.levels.push(Level::Value(depth + 1));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.progress.levels.pop();
    }

    /// A count is an integer that is not negative; anything else is none.
    fn count(&mut self) -> Result<Option<u64>, ProjectError> {
        self.json.peek();
        let start = self.json.offset();
        self.pass()?;
        Ok(self.json.since(start)?.parse().ok())
    }

    /// Goes past a value. A number that ends where the piece ends may go on in the next one.
    fn pass(&mut self) -> Result<(), ProjectError> {
        self.json.skip()?;
        if self.json.is_at_end() && !self.last {
            return Err(NotJson(self.json.offset()).into());
        }
        Ok(())
    }
}
