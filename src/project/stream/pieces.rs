//! Between two pieces of a body: what of the first one was not read, because a unit ends in the second.

use super::Progress;
use crate::project::ProjectError;
use crate::project::path::Step;
use crate::project::plan::Plan;

/// So much of the next piece is put behind what was not read, to find the unit's end. More than most items have.
const LOOK_AHEAD: usize = 4 * 1024;

/// The beginning of a unit.
#[derive(Debug, Default)]
pub(in crate::project) struct Unread {
    bytes: Vec<u8>,
    /// So long it was when its end was looked for in vain.
    tried: usize,
}

impl Unread {
    /// Reads the next piece, but for what may go on in the one after it.
    pub(in crate::project) fn read(
        &mut self,
        progress: &mut Progress,
        plan: &Plan,
        steps: &[Step],
        mut piece: &[u8],
    ) -> Result<(), ProjectError> {
        while !self.bytes.is_empty() && !piece.is_empty() {
            // Twice as much each time: however long a unit is, it is gone through twice at most.
            let before = self.bytes.len();
            let (ahead, rest) = piece.split_at(piece.len().min(before.max(LOOK_AHEAD)));
            self.bytes.extend_from_slice(ahead);
            if self.bytes.len() < 2 * self.tried {
                piece = rest;
                continue;
            }
            let read = progress.read(plan, steps, &self.bytes, false)?;
            if read < before {
                self.bytes.drain(..read);
                self.tried = self.bytes.len();
                piece = rest;
            } else {
                self.bytes.clear();
                self.tried = 0;
                piece = piece.get(read - before..).unwrap_or_default();
            }
        }
        if !piece.is_empty() {
            let read = progress.read(plan, steps, piece, false)?;
            self.bytes.extend_from_slice(piece.get(read..).unwrap_or_default());
        }
        Ok(())
    }

    /// Nothing comes any more.
    pub(in crate::project) fn end(
        self,
        progress: &mut Progress,
        plan: &Plan,
        steps: &[Step],
    ) -> Result<(), ProjectError> {
        progress.read(plan, steps, &self.bytes, true).map(|_| ())
    }
}
