//! Elementary functions that the compiler can vectorise and that give the same bits on every platform.

/// exp(x) to 2e-7 relative, by 2^n times a polynomial of degree 6 on [-ln2/2, ln2/2] (coefficients: Cephes expf).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let pushed = x * std::f32::consts::LOG2_E + 12_582_912.0; // 1.5 * 2^23 pushes the fraction out: the low bits are the integer
    let n = pushed - 12_582_912.0;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.000_000_3e-1;
    let y = p * r * r + r + 1.0;
    y * f32::from_bits(pushed.to_bits().wrapping_add(127) << 23)
}

/// x / (1 + exp(-x)).
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_agrees_with_the_standard_library_over_its_range() {
        for i in -8700..=8800 {
            let x = i as f32 * 0.01;
            let (a, b) = (super::exp(x), x.exp());
            assert!((a - b).abs() <= 3e-7 * b, "exp({x}) = {a}, not {b}");
        }
    }
}
