//! Reads a body once and captures, of each item, the values that the plan has slots for.
//!
//! A body may come in pieces of any size: it is read in *units* – an item, or a member beside the items – and a piece that
//! ends amid a unit is read up to there. Where a text stops to be JSON for good is therefore said at the body's end.
//!
//! What is on the way of no path is passed without a look inside; what is wanted is borrowed from the body. Only the
//! steps of a path recurse, and paths are short. A member's last occurrence counts, as it does for serde_json's `Value`.
//!
//! Not judged: bytes that are not UTF-8 in parts that are not kept. Judged although it does not count: an earlier list
//! under the same name.

mod item;
mod list;
mod pieces;
pub(crate) mod scan;

pub(super) use list::Level;
pub(super) use pieces::Unread;

use scan::{NotJson, Scan};

use super::path::Step;
use super::plan::Plan;
use super::text::Text;
use super::{ProjectError, ProjectedPage};

/// What is known of a body so far. Between two pieces it stands at the beginning of a unit.
#[derive(Debug)]
pub(super) struct Progress {
    /// The values that have begun and not ended, from the document inwards.
    levels: Vec<Level>,
    /// Directly behind the opening bracket of the innermost one.
    entered: bool,
    /// Bytes of the body that lie behind.
    read: usize,
    /// Bytes of the whole body, where that is known.
    length: Option<usize>,
    text: Text,
    page: ProjectedPage,
    /// There was an array where the items are.
    found: bool,
}

impl Progress {
    /// Before the first byte of a body of this kind.
    pub(super) fn new(plan: &Plan, level: Level, length: Option<usize>) -> Self {
        Progress {
            levels: vec![level],
            entered: false,
            read: 0,
            length,
            text: Text::default(),
            page: ProjectedPage { absent: vec![0; plan.width()], ..ProjectedPage::default() },
            found: false,
        }
    }

    /// Reads as many units as `text` has of what comes next; gives how many bytes of it they are. With `last` nothing
    /// comes behind it.
    pub(super) fn read(
        &mut self,
        plan: &Plan,
        steps: &[Step],
        text: &[u8],
        last: bool,
    ) -> Result<usize, ProjectError> {
        let json = Scan::new(text, self.entered);
        let mut reader = Reader { plan, steps, json, slots: vec![None; plan.slots], last, progress: self };
        let read = reader.units().map_err(|error| error.behind(self.read))?;
        self.read += read;
        Ok(read)
    }

    /// The page, once all of the body was read; `None` if there was no list.
    pub(super) fn finish(self) -> Option<ProjectedPage> {
        self.found.then(|| ProjectedPage { text: self.text.into_bytes(), ..self.page })
    }

    /// Forgets the items: what comes has the place of what came.
    fn restart(&mut self) {
        self.found = false;
        self.text.truncate(0);
        self.page.items.clear();
        self.page.identities.clear();
        self.page.absent.fill(0);
    }
}

/// Reads one piece.
struct Reader<'p, 'b> {
    plan: &'p Plan,
    /// From the document to the array of items.
    steps: &'p [Step],
    json: Scan<'b>,
    slots: Vec<Option<&'b str>>,
    last: bool,
    progress: &'p mut Progress,
}

impl Reader<'_, '_> {
    fn units(&mut self) -> Result<usize, ProjectError> {
        while !self.progress.levels.is_empty() {
            let unit = self.json.place();
            match self.unit() {
                Ok(()) => {}
                // It may be JSON with what is still to come.
                Err(ProjectError::Syntax { .. }) if !self.last => {
                    self.json.go_back(unit);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if self.progress.levels.is_empty() {
            self.json.end()?;
        }
        self.progress.entered = self.json.entered();
        Ok(self.json.offset())
    }

    /// Writes the item that is in the slots.
    fn write_item(&mut self) -> Result<(), ProjectError> {
        let Progress { page, text, read, length, .. } = &mut *self.progress;
        let item = page.items.len();
        if item > 0 {
            text.push(b",");
        }
        let start = text.len();
        self.plan.write(item, &self.slots, text, &mut page.absent)?;
        let span = |end: usize| u32::try_from(end).map_err(|_| ProjectError::TooLarge);
        page.items.push(span(start)?..span(text.len())?);
        page.identities.extend(self.plan.identity(item, &self.slots, text)?);
        let behind = *read + self.json.offset();
        text.came_from(behind, length.unwrap_or(2 * behind));
        Ok(())
    }
}

impl From<NotJson> for ProjectError {
    fn from(NotJson(offset): NotJson) -> Self {
        ProjectError::Syntax { offset }
    }
}

impl ProjectError {
    /// The same of a text that lies behind so many bytes.
    fn behind(self, bytes: usize) -> Self {
        match self {
            ProjectError::Syntax { offset } => ProjectError::Syntax { offset: bytes + offset },
            other => other,
        }
    }
}
