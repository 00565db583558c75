//! The way from the document to the array of items, and the totals beside it.

use super::Reader;
use crate::project::ProjectError;
use crate::project::path::Step;

impl Reader<'_, '_> {
    /// Follows the steps from the document, where the totals are, to the array of items.
    pub(super) fn document(&mut self, steps: &[Step]) -> Result<(), ProjectError> {
        self.down(steps, true)
    }

    fn down(&mut self, steps: &[Step], top: bool) -> Result<(), ProjectError> {
        match (self.json.peek(), steps) {
            (Some(b'['), []) => self.items(),
            (Some(b'['), [Step::Element(wanted), steps @ ..]) => self.element(*wanted, steps),
            (Some(b'{'), [Step::Name(wanted), steps @ ..]) => self.member(wanted, steps, top),
            _ => Ok(self.json.skip()?),
        }
    }

    fn items(&mut self) -> Result<(), ProjectError> {
        self.found = true;
        self.json.enter();
        while self.json.element()? {
            self.item()?;
        }
        Ok(())
    }

    fn element(&mut self, wanted: usize, steps: &[Step]) -> Result<(), ProjectError> {
        self.json.enter();
        for index in 0.. {
            if !self.json.element()? {
                break;
            }
            if index == wanted { self.down(steps, false)? } else { self.json.skip()? }
        }
        Ok(())
    }

    fn member(&mut self, wanted: &str, steps: &[Step], top: bool) -> Result<(), ProjectError> {
        self.json.enter();
        while let Some(name) = self.json.member()? {
            match name.text().as_deref() {
                Some(name) if name == wanted.as_bytes() => {
                    self.restart();
                    self.down(steps, false)?;
                }
                Some(b"totalItems") if top => self.page.total_items = self.count()?,
                Some(b"totalPages") if top => self.page.total_pages = self.count()?,
                Some(b"pageNumber") if top => self.page.page_number = self.count()?,
                _ => self.json.skip()?,
            }
        }
        Ok(())
    }

    /// A count is an integer that is not negative; anything else is none.
    fn count(&mut self) -> Result<Option<u64>, ProjectError> {
        self.json.peek();
        let start = self.json.offset();
        self.json.skip()?;
        Ok(self.json.since(start)?.parse().ok())
    }
}
