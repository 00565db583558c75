//! The ways through one item to the values that are wanted.

use super::Reader;
use crate::project::ProjectError;
use crate::project::plan::Node;

impl<'p> Reader<'p, '_> {
    /// Reads one item and writes it.
    pub(super) fn item(&mut self) -> Result<(), ProjectError> {
        if self.json.peek() != Some(b'{') {
            self.json.skip()?;
            return Err(ProjectError::NotAnObject { item: self.progress.page.items.len() });
        }
        self.slots.fill(None);
        self.value(&self.plan.root)?;
        self.write_item()
    }

    /// Reads a value that a path leads to or through. One in which there is nothing to follow is no fault.
    fn value(&mut self, node: &'p Node) -> Result<(), ProjectError> {
        let first = self.json.peek();
        let start = self.json.offset();
        match first {
            Some(b'{') if !node.is_leaf() => self.members(node)?,
            Some(b'[') if !node.is_leaf() => self.elements(node)?,
            _ => self.json.skip()?,
        }
        if node.captured
            && let Some(slot) = self.slots.get_mut(node.slot)
        {
            *slot = Some(self.json.since(start)?);
        }
        Ok(())
    }

    fn members(&mut self, node: &'p Node) -> Result<(), ProjectError> {
        self.json.enter();
        while let Some(name) = self.json.member()? {
            match name.text().and_then(|name| node.member(&name)) {
                Some(member) => {
                    member.forget(&mut self.slots);
                    self.value(member)?;
                }
                None => self.json.skip()?,
            }
        }
        Ok(())
    }

    fn elements(&mut self, node: &'p Node) -> Result<(), ProjectError> {
        self.json.enter();
        for index in 0.. {
            if !self.json.element()? {
                break;
            }
            match node.element(index) {
                Some(element) => self.value(element)?,
                None => self.json.skip()?,
            }
        }
        Ok(())
    }
}
