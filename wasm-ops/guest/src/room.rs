//! Memory for an op to work in. In: a number of values. Out: a slice of zeros that lives as long as the tile. Fails: `None` where the
//! memory is used up. Nothing is given back: an instance lives for one tile.

use core::mem::{size_of, take};

/// Memory to work in.
pub struct Room<'a> {
    free: &'a mut [u64],
}

/// Plain numbers, of which any bytes are a value.
pub trait Number: Copy + sealed::Sealed {
    /// Nothing.
    const ZERO: Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! numbers {
    ($($t:ty),*) => {$(
        impl sealed::Sealed for $t {}
        impl Number for $t {
            const ZERO: Self = 0 as $t;
        }
    )*};
}
numbers!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

impl<'a> Room<'a> {
    /// Over memory that is there.
    pub fn new(free: &'a mut [u64]) -> Self {
        Self { free }
    }

    /// `n` zeros. A multiple of 16 bytes is taken, so that slices begin where vectors of 16 bytes may.
    pub fn take<T: Number>(&mut self, n: usize) -> Option<&'a mut [T]> {
        let words = (n.checked_mul(size_of::<T>())?.checked_add(15)? / 16) * 2;
        let mut free = take(&mut self.free);
        if free.len() < words {
            free = more(words)?;
        }
        let (mine, rest) = free.split_at_mut(words);
        self.free = rest;
        // of plain numbers every pattern of bytes is a value, and u64 is aligned for all of them
        let (_, numbers, _) = unsafe { mine.align_to_mut::<T>() };
        let numbers = numbers.get_mut(..n)?;
        numbers.fill(T::ZERO);
        Some(numbers)
    }
}

#[cfg(target_arch = "wasm32")]
fn more(words: usize) -> Option<&'static mut [u64]> {
    crate::wasm::words(words)
}

#[cfg(not(target_arch = "wasm32"))]
fn more(_: usize) -> Option<&'static mut [u64]> {
    None
}
