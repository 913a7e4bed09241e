//! The allocator of this library's own code: the system's, with a part of the address space held back for when it has no more. What is held
//! back is never touched, so that it takes no memory where the system overcommits. The host's own allocations are not concerned, unless it
//! is a Rust program that links this crate statically.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicUsize, Ordering};

use histoloom_core::memory::{self, Spare};

use crate::failure::Result;

/// What is held back: more than any step of a job allocates in ways that cannot fail.
const HELD: Layout = match Layout::from_size_align(64 << 20, 4096) {
    Ok(layout) => layout,
    Err(_) => Layout::new::<u8>(),
};

#[global_allocator]
static ALLOCATOR: Careful = Careful {
    held: AtomicPtr::new(ptr::null_mut()),
    giving: AtomicUsize::new(0),
    fails_in: AtomicI64::new(0),
    short: AtomicBool::new(false),
};

struct Careful {
    held: AtomicPtr<u8>,
    /// Threads that are about to give up what is held.
    giving: AtomicUsize,
    /// Allocations until one fails for a test, 0 or less = none.
    fails_in: AtomicI64,
    /// Whether such a test is on, in which nothing can be held back any more.
    short: AtomicBool,
}

/// Holds memory back, [`histoloom_core::Error::Memory`] where there is none. Also asked at every step of every job from the first time on.
pub fn hold_back() -> Result<()> {
    memory::watch(Spare { is_there: || ALLOCATOR.has_room(), bytes: HELD.size() });
    Ok(memory::check()?)
}

/// Lets the n-th allocation from now fail once, as the system's would, after which nothing can be held back; 0 ends that.
pub fn fail_in(n: i64) {
    ALLOCATOR.fails_in.store(n, Ordering::SeqCst);
    ALLOCATOR.short.store(false, Ordering::SeqCst);
}

impl Careful {
    /// Whether memory is held back, now at the latest.
    fn has_room(&self) -> bool {
        if !self.held.load(Ordering::Acquire).is_null() {
            return true;
        }
        if self.short.load(Ordering::Relaxed) {
            return false;
        }
        // SAFETY: the layout is not empty.
        let new = unsafe { System.alloc(HELD) };
        if new.is_null() {
            return !self.held.load(Ordering::Acquire).is_null(); // another thread may have been first
        }
        if self.held.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: allocated above, given to nobody.
            unsafe { System.dealloc(new, HELD) };
        }
        true
    }

    /// What `f` allocates; after a failure, once more with what was held back.
    fn allocate(&self, f: impl Fn() -> *mut u8) -> *mut u8 {
        let failing = self.fails_in.load(Ordering::Relaxed) > 0 && self.fails_in.fetch_sub(1, Ordering::Relaxed) == 1;
        if failing {
            self.short.store(true, Ordering::Relaxed);
        } else {
            let got = f();
            if !got.is_null() {
                return got;
            }
        }
        self.giving.fetch_add(1, Ordering::AcqRel);
        let held = self.held.swap(ptr::null_mut(), Ordering::AcqRel);
        if !held.is_null() {
            // SAFETY: allocated with this layout in `has_room`; the swap gave it to this thread alone.
            unsafe { System.dealloc(held, HELD) };
        }
        self.giving.fetch_sub(1, Ordering::AcqRel);
        while self.giving.load(Ordering::Acquire) > 0 {
            std::thread::yield_now(); // another thread has taken it and not yet freed it
        }
        f()
    }
}

// SAFETY: every pointer is the system allocator's, asked for with the caller's layout; nothing here allocates or unwinds.
unsafe impl GlobalAlloc for Careful {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.allocate(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.allocate(|| unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; a realloc that failed leaves `old` as it was.
        self.allocate(|| unsafe { System.realloc(old, layout, size) })
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(old, layout) }
    }
}
