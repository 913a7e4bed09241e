//! A sentence put together without allocation. In: words and whole numbers. Out: text of at most 240 bytes; what does not fit is cut.

/// A sentence.
pub struct Text {
    bytes: [u8; 240],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; 240], len: 0 }
    }
}

impl Text {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds words.
    #[must_use]
    pub fn words(mut self, words: &str) -> Self {
        for b in words.bytes().filter(u8::is_ascii) {
            if let Some(to) = self.bytes.get_mut(self.len) {
                *to = b;
                self.len += 1;
            }
        }
        self
    }

    /// Adds a whole number.
    #[must_use]
    pub fn number(self, n: u32) -> Self {
        let (mut digits, mut at, mut rest) = ([0u8; 10], 10, n);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let text = core::str::from_utf8(&digits[at..]).unwrap_or("");
        self.words(text)
    }

    /// Adds a number with one digit behind the point.
    #[must_use]
    pub fn tenths(self, x: f32) -> Self {
        let n = (x * 10.0 + 0.5) as u32;
        self.number(n / 10).words(".").number(n % 10)
    }

    /// The sentence.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn numbers_and_words_make_a_sentence_and_never_overflow() {
        assert_eq!(Text::new().number(0).words(" of ").number(u32::MAX).words(", ").tenths(2.04).as_str(), "0 of 4294967295, 2.0");
        assert_eq!((0..99).fold(Text::new(), |t, _| t.words("abcdef")).as_str().len(), 240);
    }
}
