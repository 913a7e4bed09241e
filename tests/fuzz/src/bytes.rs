//! A target's bytes, taken from the front. Where there are no more, numbers are 0 and pieces are empty, so every input is a whole one.

/// What is left.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// All of them.
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `n`, or as many as there are.
    pub fn take(&mut self, n: usize) -> &'a [u8] {
        let (first, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        first
    }

    /// A piece whose length stands before it in two bytes, little endian.
    pub fn piece(&mut self) -> &'a [u8] {
        let n = self.number(2) as usize;
        self.take(n)
    }

    /// All that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// One.
    pub fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// A number of so many bytes, at most 8, little endian.
    pub fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    /// One of some values.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }
}
