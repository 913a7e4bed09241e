//! What comes in through C pointers, checked and copied, and the places that outputs go to. In: raw pointers under the promises of
//! the header. Out: owned values. Fails with `HL_E_ARGUMENT`, `HL_E_ABI`, `HL_E_UNSUPPORTED`, `HL_E_UTF8`, `HL_E_LIMIT`,
//! `HL_E_BUFFER`. Nothing is read past a struct's own size or a text's NUL; nothing is written on failure.

use std::ffi::c_char;

use crate::failure::{Failure, Result};
use crate::types::*;

/// A struct_size beyond this is garbage rather than a newer host.
const LARGEST_STRUCT_BYTES: usize = 4096;
/// Longest name, path or identifier, in bytes.
pub(crate) const TEXT_BYTES: usize = 64 << 10;

/// A struct of the ABI that hosts pass in.
///
/// # Safety
/// `repr(C)`, led by a `u32` that holds its size, and every pattern of zero bytes is a value of it.
pub unsafe trait Wire: Copy {
    /// Its name in C.
    const NAME: &'static str;
    /// Its size in the first version of the ABI.
    const SMALLEST: usize;
}

// SAFETY: plain numbers, pointers and optional function pointers behind a u32.
unsafe impl Wire for hl_host {
    const NAME: &'static str = "hl_host";
    const SMALLEST: usize = 48;
}

// SAFETY: plain numbers and pointers behind a u32.
unsafe impl Wire for hl_config {
    const NAME: &'static str = "hl_config";
    const SMALLEST: usize = 32;
}

// SAFETY: plain numbers behind a u32.
unsafe impl Wire for hl_region {
    const NAME: &'static str = "hl_region";
    const SMALLEST: usize = 64;
}

// SAFETY: plain numbers and pointers behind a u32.
unsafe impl Wire for hl_slide_desc {
    const NAME: &'static str = "hl_slide_desc";
    const SMALLEST: usize = 96;
}

/// Size of [`hl_progress`] in the first version of the ABI, which hosts may have been built for.
const PROGRESS_SMALLEST: usize = 96;

/// The size that a host says a struct has, if it can be.
fn own_size(given: usize, name: &str, smallest: usize) -> Result<usize> {
    if (smallest..=LARGEST_STRUCT_BYTES).contains(&given) {
        return Ok(given);
    }
    let why = format!("{name}.struct_size is {given}, {smallest} to {LARGEST_STRUCT_BYTES} can be; set it to sizeof({name})");
    Err(Failure::new(HL_E_ABI, why))
}

/// Copies min(struct_size, own size) bytes of a host's struct; the rest is zero.
///
/// # Safety
/// `from` is NULL or points to `struct_size` readable bytes, `struct_size` being the `u32` it begins with.
pub unsafe fn read_struct<T: Wire>(from: *const T) -> Result<T> {
    if from.is_null() {
        return Err(Failure::argument(T::NAME, "is NULL"));
    }
    // SAFETY: not NULL; the caller promises at least the leading u32. Hosts may hand in unaligned memory.
    let given = own_size(unsafe { from.cast::<u32>().read_unaligned() } as usize, T::NAME, T::SMALLEST)?;
    let own = size_of::<T>();
    let mut out = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: `given` bytes are readable by promise, `own` bytes are writable, the two do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), out.as_mut_ptr().cast::<u8>(), given.min(own)) };
    for at in own..given {
        // SAFETY: `at` is below `given`, all of which is readable by promise.
        if unsafe { from.cast::<u8>().add(at).read() } != 0 {
            let why = format!("byte {at} of {} is not 0; this library knows {own} bytes of it; use a newer library", T::NAME);
            return Err(Failure::new(HL_E_UNSUPPORTED, why));
        }
    }
    // SAFETY: zero bytes are a value of every `Wire` type, and so are the host's bytes for numbers and pointers.
    Ok(unsafe { out.assume_init() })
}

/// A text that ends with NUL, or `None` for NULL.
///
/// # Safety
/// `from` is NULL or points to readable bytes up to a NUL or to `limit` of them.
pub unsafe fn optional_text(from: *const c_char, limit: usize, name: &str) -> Result<Option<String>> {
    if from.is_null() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    loop {
        // SAFETY: no NUL was seen before this byte and it lies within the limit.
        let byte = unsafe { from.cast::<u8>().add(bytes.len()).read() };
        if byte == 0 {
            break;
        }
        if bytes.len() == limit {
            return Err(Failure::new(HL_E_LIMIT, format!("argument `{name}` is longer than {limit} bytes; shorten it")));
        }
        bytes.push(byte);
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|e| Failure::new(HL_E_UTF8, format!("argument `{name}` is not UTF-8: {e}; convert it first")))
}

/// A text that must be there.
///
/// # Safety
/// As [`optional_text`].
pub unsafe fn text(from: *const c_char, limit: usize, name: &str) -> Result<String> {
    // SAFETY: the same promise.
    unsafe { optional_text(from, limit, name) }?.ok_or_else(|| Failure::argument(name, "is NULL"))
}

/// `n` numbers; NULL is allowed for none.
///
/// # Safety
/// `from` is NULL or points to `n` readable numbers.
pub unsafe fn numbers(from: *const f64, n: usize, limit: usize, name: &str) -> Result<Vec<f64>> {
    if n > limit {
        return Err(Failure::new(HL_E_LIMIT, format!("`{name}` has {n} entries, the limit is {limit}")));
    }
    if from.is_null() && n > 0 {
        return Err(Failure::argument(name, "is NULL"));
    }
    // SAFETY: not NULL where n > 0, and n numbers are readable by promise.
    Ok((0..n).map(|i| unsafe { from.add(i).read_unaligned() }).collect())
}

/// Where one output value goes, later.
pub struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// Fails for NULL.
    ///
    /// # Safety
    /// `to` is NULL or writable for one `T` until this value is gone.
    pub unsafe fn new(to: *mut T, name: &str) -> Result<Self> {
        if to.is_null() { Err(Failure::argument(name, "is NULL")) } else { Ok(Self(to)) }
    }

    /// Writes it.
    pub fn write(&self, value: T) {
        // SAFETY: `new` was promised a writable place, and it is not NULL.
        unsafe { self.0.write_unaligned(value) }
    }
}

/// Where bytes go whose number the host asks for first, with `cap` = 0.
pub struct Buffer {
    dst: *mut u8,
    cap: u64,
    needed: Out<u64>,
}

impl Buffer {
    /// Fails for NULL in `needed`, and in `dst` unless `cap` is 0.
    ///
    /// # Safety
    /// `dst` is NULL or writable for `cap` bytes, `needed` is NULL or writable, both until this value is gone.
    pub unsafe fn new(dst: *mut u8, cap: u64, needed: *mut u64) -> Result<Self> {
        // SAFETY: the same promise.
        let needed = unsafe { Out::new(needed, "needed") }?;
        if dst.is_null() && cap > 0 {
            return Err(Failure::argument("dst", "is NULL although cap is not 0"));
        }
        Ok(Self { dst, cap, needed })
    }

    /// The same for a text.
    ///
    /// # Safety
    /// As [`Buffer::new`].
    pub unsafe fn text(dst: *mut c_char, cap: u64, needed: *mut u64) -> Result<Self> {
        // SAFETY: the same promise.
        unsafe { Self::new(dst.cast(), cap, needed) }
    }

    /// Whether only the size is asked for.
    pub fn asks_size(&self) -> bool {
        self.cap == 0
    }

    /// Writes a size that was asked for.
    pub fn tell(&self, bytes: usize) -> Result<()> {
        self.needed.write(bytes as u64);
        Ok(())
    }

    /// An error where so many bytes do not fit, for those who know it before they make them.
    pub fn check(&self, needed: usize) -> Result<()> {
        if self.cap == 0 || self.cap >= needed as u64 {
            return Ok(());
        }
        let why = format!("the buffer holds {} bytes, {needed} are needed; ask with cap = 0 first", self.cap);
        Err(Failure::new(HL_E_BUFFER, why))
    }

    /// Writes the bytes, or only their number where that was asked for.
    pub fn fill(&self, bytes: &[u8]) -> Result<()> {
        self.check(bytes.len())?;
        if self.cap > 0 {
            // SAFETY: `new` was promised `cap` writable bytes, which are enough; `bytes` is memory of ours.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.dst, bytes.len()) };
        }
        self.tell(bytes.len())
    }

    /// Writes a text and the NUL that ends it; a NUL inside ends it early.
    pub fn fill_text(&self, text: &str) -> Result<()> {
        let text = text.split('\0').next().unwrap_or_default();
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        self.fill(&bytes)
    }
}

/// Writes a progress struct as far as the host knows it.
///
/// # Safety
/// `to` is NULL or points to `struct_size` writable bytes, `struct_size` being the `u32` it begins with.
pub unsafe fn write_progress(to: *mut hl_progress, make: impl FnOnce() -> hl_progress) -> Result<()> {
    if to.is_null() {
        return Err(Failure::argument("progress", "is NULL"));
    }
    // SAFETY: not NULL; the leading u32 is readable by promise.
    let given = unsafe { to.cast::<u32>().read_unaligned() };
    let known = own_size(given as usize, "hl_progress", PROGRESS_SMALLEST)?.min(size_of::<hl_progress>());
    let value = hl_progress { struct_size: given, ..make() };
    // SAFETY: `given` bytes are writable by promise, which `known` does not pass; `value` is ours and as large at least.
    unsafe { std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), to.cast::<u8>(), known) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct that has grown by a field since its first version.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Grown {
        struct_size: u32,
        first: u32,
        added: u64,
    }

    // SAFETY: plain numbers behind a u32.
    unsafe impl Wire for Grown {
        const NAME: &'static str = "grown";
        const SMALLEST: usize = 8;
    }

    #[test]
    fn structs_of_older_and_newer_hosts_are_read_as_far_as_both_know_them() {
        let read = |bytes: &mut [u32]| {
            bytes[0] = 4 * bytes.len() as u32;
            // SAFETY: so many bytes are readable.
            unsafe { read_struct(bytes.as_ptr().cast::<Grown>()) }.map(|g| (g.first, g.added))
        };
        assert_eq!(read(&mut [0, 7]).ok(), Some((7, 0)), "of the first version");
        assert_eq!(read(&mut [0, 7, 5, 0]).ok(), Some((7, 5)));
        assert_eq!(read(&mut [0, 7, 5, 0, 0, 0]).ok(), Some((7, 5)), "of a later version that sets nothing new");
        assert_eq!(read(&mut [0, 7, 5, 0, 1, 0]).map_err(|f| f.code), Err(HL_E_UNSUPPORTED));
        assert_eq!(read(&mut [0]).map_err(|f| f.code), Err(HL_E_ABI));
    }

    #[test]
    fn progress_is_written_as_far_as_the_host_knows_it() {
        let mut room = [0xAAu8; 200];
        for given in [PROGRESS_SMALLEST as u32, 200] {
            room.fill(0xAA);
            room[..4].copy_from_slice(&given.to_ne_bytes());
            // SAFETY: zero bytes are a value of it.
            let told = hl_progress { state: 2, ..unsafe { std::mem::zeroed() } };
            // SAFETY: `given` bytes are writable.
            unsafe { write_progress(room.as_mut_ptr().cast(), || told) }.unwrap_or_else(|f| panic!("{}", f.code));
            assert_eq!((room[..4].to_vec(), room[4]), (given.to_ne_bytes().to_vec(), 2));
            assert!(room[size_of::<hl_progress>().min(given as usize)..].iter().all(|b| *b == 0xAA), "nothing behind it");
        }
        room[..4].copy_from_slice(&95u32.to_ne_bytes());
        // SAFETY: never written.
        assert!(unsafe { write_progress(room.as_mut_ptr().cast(), || unreachable!()) }.is_err());
    }
}
