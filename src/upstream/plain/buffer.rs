//! Room for what is read at a time: lent by the thread, and held by an answer only while something of it is in there.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
};

/// An answer's head must fit in; a large body passes in pieces of this size.
pub(super) const BYTES: usize = 64 * 1024;
/// Each thread keeps so many that nobody holds: mostly one is held at a time.
const SPARE: usize = 4;

thread_local! {
    static KEPT: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// [`BYTES`] of room. Dropped, it is the thread's again.
#[derive(Debug)]
pub(super) struct Buffer(Box<[u8]>);

impl Buffer {
    /// What is in there is of no meaning.
    pub(super) fn lent() -> Self {
        let kept = KEPT.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| vec![0; BYTES].into_boxed_slice()))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let room = std::mem::take(&mut self.0);
        // A thread that ends keeps nothing.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < SPARE {
                kept.push(room);
            }
        });
    }
}
