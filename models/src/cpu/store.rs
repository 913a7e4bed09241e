//! Memory of maps, used again: fresh pages from the system cost as much as the arithmetic on them.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use histoloom_core::memory;
use parking_lot::Mutex;

/// Buffers kept for later use; a network needs about a dozen at a time.
const KEPT: usize = 24;
/// Bytes kept for later use.
const KEPT_BYTES: usize = 192 << 20;

/// Buffers that nobody uses at present.
#[derive(Default)]
pub struct Store(Mutex<Vec<Vec<f32>>>);

/// Values that go back to their store when dropped.
pub struct Buffer {
    /// As long as it ever was, so that what is used again is not cleared again.
    values: Vec<f32>,
    length: usize,
    home: Arc<Store>,
}

impl Store {
    /// `length` values left from earlier use, for a caller that writes every one of them.
    pub fn stale(self: &Arc<Self>, length: usize) -> Buffer {
        let mut free = self.0.lock();
        let fitting = free.iter().enumerate().filter(|(_, v)| v.capacity() >= length && v.capacity() / 4 <= length);
        let best = fitting.min_by_key(|(_, v)| v.capacity()).map(|(i, _)| i);
        let taken = best.map(|i| free.swap_remove(i));
        drop(free);
        let mut values = taken.unwrap_or_default();
        if values.len() < length {
            memory::grow(&mut values, length);
        }
        Buffer { values, length, home: self.clone() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.home.0.lock();
        let bytes: usize = free.iter().map(|v| 4 * v.capacity()).sum();
        if free.len() < KEPT && bytes + 4 * self.values.capacity() <= KEPT_BYTES {
            free.push(std::mem::take(&mut self.values));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.values[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.length]
    }
}
