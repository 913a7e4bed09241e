//! A counter-based random generator: the number at a position depends on seed and position only, never on who drew before.
//!
//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The same on every device and thread
//! count, because it is always evaluated on the host.

const M0: u64 = 0xD251_1F53;
const M1: u64 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;

/// Philox4x32 with ten rounds: four random words for a counter and a key.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let p0 = M0 * u64::from(counter[0]);
        let p1 = M1 * u64::from(counter[2]);
        counter = [(p1 >> 32) as u32 ^ counter[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ counter[3] ^ key[1], p0 as u32];
        key = [key[0].wrapping_add(W0), key[1].wrapping_add(W1)];
    }
    counter
}

/// A stream of random numbers for one purpose: its position is the counter, so streams never overlap.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    lane: [u32; 2],
    next: u64,
    words: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of `seed` for a purpose named by two numbers, for instance (tile, step).
    pub fn new(seed: u64, tile: u32, step: u32) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], lane: [tile, step], next: 0, words: [0; 4], used: 4 }
    }

    /// 32 random bits.
    pub fn word(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox([self.next as u32, (self.next >> 32) as u32, self.lane[0], self.lane[1]], self.key);
            self.next += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform in [0, 1) with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        let (a, b) = (u64::from(self.word() >> 5), u64::from(self.word() >> 6));
        ((a << 26) + b) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..n; n = 0 gives 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Puts a list in random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        (1..list.len()).rev().for_each(|i| list.swap(i, self.below(i + 1)));
    }
}

/// `n` standard normal numbers (Box-Muller) for a seed, tile and step.
pub fn noise(seed: u64, tile: u32, step: u32, n: usize) -> Vec<f32> {
    let mut s = Stream::new(seed, tile, step);
    let mut out = Vec::with_capacity(n + 1);
    while out.len() < n {
        let r = (-2.0 * (1.0 - s.uniform()).ln()).sqrt();
        let a = std::f64::consts::TAU * s.uniform();
        out.push((r * a.cos()) as f32);
        out.push((r * a.sin()) as f32);
    }
    out.truncate(n);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_known_answers() {
        // kat_vectors of the Random123 distribution, philox4x32 10 rounds
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn noise_is_standard_normal_and_depends_on_every_argument() {
        let x = noise(7, 1, 2, 100_000);
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
        let var = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.02, "mean {mean}, variance {var}");
        assert_eq!(x[..8], noise(7, 1, 2, 8)[..]);
        for other in [noise(8, 1, 2, 8), noise(7, 2, 2, 8), noise(7, 1, 3, 8)] {
            assert_ne!(x[..8], other[..]);
        }
    }
}
