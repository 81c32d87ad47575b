//! Memory that the system refuses to our own code.

use super::OUT_OF_MEMORY;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;

/// The system's memory. Where it refuses some, the process ends with the exit code and the words of a resource failure, where Rust would abort with those of a bug.
///
/// What was recorded is kept as after `kill -9`. What settings make large is asked for before, so that a trial that is too large is an outcome and does not come here.
pub struct Memory;

// SAFETY: everything is the system allocator's, but for a refusal, after which nothing returns.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those of the system allocator.
        or_end(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

fn or_end(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        // Nothing here may ask for memory.
        let _ = writeln!(std::io::stderr(), "naslab: {size} bytes could not be had: {OUT_OF_MEMORY}. What was recorded is kept");
        signal_hook::low_level::exit(5);
    }
    block
}
