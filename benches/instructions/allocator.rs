//! Memory at the same price each time. The system's allocator takes more or less work for the same, by what lies where;
//! this one gives again what was freed, by blocks whose size is a power of two.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr::{copy_nonoverlapping, null_mut},
};

/// As many as a size has bits.
const SIZES: usize = usize::BITS as usize;
/// What is asked to lie on more than its own size's boundary asks for this at most.
const ALIGNED: usize = 128;

thread_local! {
    /// For each size, by its logarithm: the block that was freed last, in which the one before it is named.
    static FREED: [Cell<*mut u8>; SIZES] = const { [const { Cell::new(null_mut()) }; SIZES] };
}

pub(crate) struct Again;

/// The block in which this fits.
fn block(layout: Layout) -> Layout {
    let size = layout.size().max(layout.align()).max(size_of::<*mut u8>()).next_power_of_two();
    Layout::from_size_align(size, size.min(ALIGNED).max(layout.align())).unwrap_or(layout)
}

fn with_freed<R>(block: Layout, work: impl FnOnce(&Cell<*mut u8>) -> R) -> R {
    FREED.with(|freed| work(&freed[block.size().trailing_zeros() as usize]))
}

#[expect(unsafe_code, reason = "an allocator that does the same each time")]
// SAFETY: a block is of the system's, as large as its list says, and either in a list or in use.
unsafe impl GlobalAlloc for Again {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = block(layout);
        with_freed(block, |freed| {
            let last = freed.get();
            if last.is_null() {
                // SAFETY: a block is not empty.
                return unsafe { System.alloc(block) };
            }
            // SAFETY: it was freed, and `dealloc` has written there.
            freed.set(unsafe { last.cast::<*mut u8>().read() });
            last
        })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        with_freed(block(layout), |freed| {
            // SAFETY: nobody uses it any more, and a pointer fits into every block.
            unsafe { pointer.cast::<*mut u8>().write(freed.get()) };
            freed.set(pointer);
        });
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if block(wanted) == block(layout) {
            return pointer;
        }
        // SAFETY: both are of this allocator, and as large as what is copied.
        unsafe {
            let fresh = self.alloc(wanted);
            if !fresh.is_null() {
                copy_nonoverlapping(pointer, fresh, size.min(layout.size()));
                self.dealloc(pointer, layout);
            }
            fresh
        }
    }
}
