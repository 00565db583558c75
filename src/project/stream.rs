//! Reads a body once and captures, of each item, the values that the plan has slots for.
//!
//! What is on the way of no path is passed without a look inside; what is wanted is borrowed from the body. Only the
//! steps of a path recurse, and paths are short. A member's last occurrence counts, as it does for serde_json's `Value`.
//!
//! Not judged: bytes that are not UTF-8 in parts that are not kept. Judged although it does not count: an earlier list
//! under the same name.

mod item;
mod list;
mod scan;

use scan::{NotJson, Scan};

use super::path::Step;
use super::plan::Plan;
use super::text::Text;
use super::{ProjectError, ProjectedPage};

/// The page that a body holds at these steps; `None` if there is no list.
pub(super) fn list(plan: &Plan, steps: &[Step], body: &[u8]) -> Result<Option<ProjectedPage>, ProjectError> {
    let mut reader = Reader::new(plan, body);
    reader.document(steps)?;
    reader.json.end()?;
    Ok(reader.found.then(|| reader.finish()))
}

/// The one item that a body is.
pub(super) fn object(plan: &Plan, body: &[u8]) -> Result<ProjectedPage, ProjectError> {
    let mut reader = Reader::new(plan, body);
    reader.item()?;
    reader.json.end()?;
    Ok(reader.finish())
}

struct Reader<'p, 'b> {
    plan: &'p Plan,
    json: Scan<'b>,
    length: usize,
    slots: Vec<Option<&'b str>>,
    text: Text,
    page: ProjectedPage,
    /// There was an array where the items are.
    found: bool,
}

impl<'p, 'b> Reader<'p, 'b> {
    fn new(plan: &'p Plan, body: &'b [u8]) -> Self {
        Reader {
            plan,
            json: Scan::new(body),
            length: body.len(),
            slots: vec![None; plan.slots],
            text: Text::default(),
            page: ProjectedPage { absent: vec![0; plan.width()], ..ProjectedPage::default() },
            found: false,
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
        self.text.came_from(self.json.offset(), self.length);
        Ok(())
    }

    fn finish(self) -> ProjectedPage {
        ProjectedPage { text: self.text.into_bytes(), ..self.page }
    }
}

impl From<NotJson> for ProjectError {
    fn from(NotJson(offset): NotJson) -> Self {
        ProjectError::Syntax { offset }
    }
}
