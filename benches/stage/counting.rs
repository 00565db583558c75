//! An allocator that counts, to see a peak.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Counts bytes; `realloc` is left to the trait, which takes the new buffer before it frees the old one.
pub(crate) struct Counting;

/// Bytes that are taken.
pub(crate) fn now() -> usize {
    NOW.load(Relaxed)
}

/// Forgets the peak so far; gives the bytes that are taken.
pub(crate) fn begin() -> usize {
    let now = now();
    MOST.store(now, Relaxed);
    now
}

/// The most bytes that were taken at a time since [`begin`].
pub(crate) fn most() -> usize {
    MOST.load(Relaxed)
}

#[expect(unsafe_code, reason = "an allocator that counts is the only way to see a peak")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`; the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
