//! Memory of exactly the size that the header promises, each in a heap block of its own, so that a sanitizer sees the first byte read or
//! written beyond it.

use std::ffi::c_char;

use histoloom::types::{HL_E_MEMORY, HL_E_POISONED, HL_OK};

use crate::bytes::Bytes;

/// What outputs hold before a call.
pub const MARK: u8 = 0xA5;
/// The same in a number.
pub const MARKS: u64 = 0xA5A5_A5A5_A5A5_A5A5;
/// A struct_size beyond this must be refused by itself.
const LARGEST_STRUCT_BYTES: usize = 4096;
/// Largest buffer that is given for a text or picture whose size was told.
const ROOM_BYTES: u64 = 1 << 16;

/// A struct as a host that declares `size` bytes passes it: where the library may read more than the leading number, it finds as many
/// bytes as were declared, those behind its own struct being `tail`.
pub fn declared<T: Copy>(value: &T, size: u32, tail: u8) -> Box<[u8]> {
    let (own, given) = (size_of::<T>(), size as usize);
    let there = if (own..=LARGEST_STRUCT_BYTES).contains(&given) { given } else { size_of::<u32>() };
    let mut out = vec![tail; there].into_boxed_slice();
    // SAFETY: both are as long as what is copied; the structs of the ABI have no padding.
    unsafe { std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast::<u8>(), out.as_mut_ptr(), there.min(own)) };
    out[..4].copy_from_slice(&size.to_le_bytes());
    out
}

/// A text with the NUL that ends it.
pub struct Text(Option<Box<[u8]>>);

impl Text {
    /// Of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Some(bytes.iter().copied().chain([0]).collect()))
    }

    /// NULL, one of some texts, or bytes of the input.
    pub fn any(b: &mut Bytes<'_>, known: &[&str]) -> Self {
        match b.byte() % 8 {
            0 => Self(None),
            1 => Self::of(b.piece()),
            _ => Self::of(b.pick(known).as_bytes()),
        }
    }

    /// For a call.
    pub fn as_ptr(&self) -> *const c_char {
        self.0.as_ref().map_or(std::ptr::null(), |t| t.as_ptr().cast())
    }
}

/// Calls what fills a buffer, with a buffer of any size or none. Checks that nothing is written on failure and nothing beyond what was
/// told on success.
pub fn fill(b: &mut Bytes<'_>, call: impl Fn(*mut u8, u64, *mut u64) -> i32) -> i32 {
    let told = |call: &dyn Fn(*mut u8, u64, *mut u64) -> i32| {
        let mut needed = 0;
        call(std::ptr::null_mut(), 0, &raw mut needed);
        needed
    };
    let cap = match b.byte() % 6 {
        0 => 0,
        1 => 1 + u64::from(b.byte()),
        2 => told(&call).saturating_sub(1),
        _ => told(&call) + u64::from(b.byte() % 2),
    };
    let cap = cap.min(ROOM_BYTES);
    let mut room = vec![MARK; cap as usize].into_boxed_slice();
    let (no_room, no_needed) = (b.once_in(16), b.once_in(16));
    let dst = if no_room { std::ptr::null_mut() } else { room.as_mut_ptr() };
    let mut needed = MARKS;
    let code = call(dst, cap, if no_needed { std::ptr::null_mut() } else { &raw mut needed });
    if code == HL_OK {
        assert!(!(no_needed || no_room && cap > 0), "NULL was taken");
        assert!(cap == 0 || needed <= cap, "{needed} bytes were told, {cap} given");
    } else {
        assert_eq!(needed, MARKS, "a size was told by a call that failed with {code}");
    }
    let written = if code == HL_OK && cap > 0 { needed as usize } else { 0 };
    assert!(room[written..].iter().all(|byte| *byte == MARK), "code {code}: written beyond {written} of {cap} bytes");
    code
}

/// The same for a text, which is UTF-8 and ends with its only NUL.
pub fn fill_text(b: &mut Bytes<'_>, call: impl Fn(*mut c_char, u64, *mut u64) -> i32) -> i32 {
    fill(b, |dst, cap, needed| {
        let code = call(dst.cast(), cap, needed);
        if code == HL_OK && cap > 0 {
            // SAFETY: on success both are there, and `needed` bytes of `dst` were written.
            let text = unsafe { std::slice::from_raw_parts(dst, *needed as usize) };
            let (nul, text) = text.split_last().expect("a text ends with NUL");
            assert!(*nul == 0 && !text.contains(&0) && std::str::from_utf8(text).is_ok(), "{text:?} is no text");
        }
        code
    })
}

/// The whole of a text that is told.
pub fn whole_text(call: impl Fn(*mut c_char, u64, *mut u64) -> i32) -> Result<String, i32> {
    let mut needed = 0;
    match call(std::ptr::null_mut(), 0, &raw mut needed) {
        HL_OK => {}
        code => return Err(code),
    }
    let mut room = vec![MARK; needed as usize];
    match call(room.as_mut_ptr().cast(), needed, &raw mut needed) {
        HL_OK => room.pop(),
        code => return Err(code),
    };
    Ok(String::from_utf8(room).expect("UTF-8"))
}

/// A code of the header, and none that tells a fault of ours.
pub fn check(code: i32) {
    assert!((HL_E_MEMORY..=HL_OK).contains(&code) || code == HL_E_POISONED, "code {code}: {}", last_error());
}

/// What the library says of the last failure.
pub fn last_error() -> String {
    // SAFETY: a buffer as the header wants it.
    whole_text(|dst, cap, needed| unsafe { histoloom::hl_last_error(dst, cap, needed) }).unwrap_or_default()
}
