//! Memory around what a call gets: buffers between guard bytes, inputs that end where the process's memory ends, outputs filled with
//! 0xA5 before a call that must leave them alone.

use std::ptr::null_mut;

use crate::ffi::hl_progress;

/// Outputs and guards hold this before a call.
pub const FILL: u8 = 0xA5;
/// Guard bytes on either side of a buffer.
const GUARD: usize = 64;
const PAGE: usize = 4096;

/// A buffer between guard bytes.
pub struct Guarded {
    bytes: Vec<u8>,
}

impl Guarded {
    /// Of some bytes, filled with one.
    pub fn filled(cap: usize, fill: u8) -> Self {
        let mut bytes = vec![FILL; cap + 2 * GUARD];
        bytes[GUARD..GUARD + cap].fill(fill);
        Self { bytes }
    }

    /// Of some bytes, filled with [`FILL`].
    pub fn new(cap: usize) -> Self {
        Self::filled(cap, FILL)
    }

    /// Where it begins.
    pub fn ptr(&mut self) -> *mut u8 {
        self.bytes[GUARD..].as_mut_ptr()
    }

    /// Its bytes.
    pub fn content(&self) -> &[u8] {
        &self.bytes[GUARD..self.bytes.len() - GUARD]
    }

    /// Whether nothing was written before and behind it.
    pub fn guards_hold(&self) -> bool {
        let end = self.bytes.len() - GUARD;
        self.bytes[..GUARD].iter().chain(&self.bytes[end..]).all(|b| *b == FILL)
    }

    /// Whether nothing was written at all.
    pub fn untouched(&self) -> bool {
        self.bytes.iter().all(|b| *b == FILL)
    }
}

/// A copy of bytes that ends where readable memory ends: reading one more crashes.
pub struct Fence {
    base: *mut libc::c_void,
    mapped: usize,
    at: *const u8,
}

impl Fence {
    /// Copies them; `None` where the system has no memory for it.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let readable = bytes.len().next_multiple_of(PAGE).max(PAGE);
        let mapped = readable + PAGE;
        // SAFETY: new pages of our own.
        let base =
            unsafe { libc::mmap(null_mut(), mapped, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
        if base == libc::MAP_FAILED {
            return None;
        }
        let at = base.cast::<u8>().wrapping_add(readable - bytes.len());
        // SAFETY: `at` has room for them before the last page, which is closed afterwards.
        let closed = unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
            libc::mprotect(base.cast::<u8>().wrapping_add(readable).cast(), PAGE, libc::PROT_NONE)
        };
        (closed == 0).then_some(Self { base, mapped, at })
    }

    /// Where the copy begins.
    pub fn ptr<T>(&self) -> *const T {
        self.at.cast()
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        // SAFETY: the pages that `new` mapped.
        unsafe { libc::munmap(self.base, self.mapped) };
    }
}

/// The bytes of a struct of the header.
pub fn bytes_of<T: Copy>(value: &T) -> Vec<u8> {
    // SAFETY: the structs of the header have no padding, so all their bytes are set.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }.to_vec()
}

/// Outputs of every kind, filled.
pub struct Outputs {
    pub handle: u64,
    pub needed: u64,
    pub width: u32,
    pub height: u32,
    pub buffer: Guarded,
    /// An `hl_progress` and a tail.
    pub progress: Guarded,
}

impl Outputs {
    /// All filled.
    pub fn new() -> Self {
        let fill = u64::from_ne_bytes([FILL; 8]);
        let progress = Guarded::new(size_of::<hl_progress>() + 64);
        Self { handle: fill, needed: fill, width: fill as u32, height: fill as u32, buffer: Guarded::new(64), progress }
    }

    /// The progress struct with a size set in it.
    pub fn progress_of(&mut self, struct_size: u32) -> *mut hl_progress {
        let to = self.progress.ptr().cast::<u32>();
        // SAFETY: the buffer is larger than a u32.
        unsafe { to.write_unaligned(struct_size) };
        to.cast()
    }

    /// Takes the size out of the progress struct again.
    pub fn forget_size(&mut self) {
        self.progress_of(u32::from_ne_bytes([FILL; 4]));
    }

    /// Whether nothing was written.
    pub fn untouched(&self) -> bool {
        let fill = u64::from_ne_bytes([FILL; 8]);
        let numbers = [self.handle, self.needed, self.width.into(), self.height.into()];
        numbers == [fill, fill, u64::from(fill as u32), u64::from(fill as u32)] && self.buffer.untouched() && self.progress.untouched()
    }
}
