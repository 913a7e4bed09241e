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

/// erf(x) to 5e-7 relative, as a quotient of polynomials on [-3.83, 3.83], beyond which it is 1 in f32 (coefficients: Eigen).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let s = x * x;
    let mut p = -2.726_142_3e-10;
    for c in [2.770_681_4e-8, -2.101_024e-6, -5.692_506_6e-5, -7.349_906_4e-4, -2.954_6e-3, -1.609_603_3e-2] {
        p = p * s + c;
    }
    let mut q = -1.456_607_2e-5;
    for c in [-2.133_740_5e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        q = q * s + c;
    }
    // GELU multiplies what is left of 1 + erf far on the left by x, so it must be nothing
    if x.abs() > 3.832_507 { 1.0f32.copysign(x) } else { x * p / q }
}

/// x (1 + erf(x / sqrt 2)) / 2.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Sums kept side by side: as many as the widest register holds, whatever the machine, so that the result is the same on all.
const SIDE: usize = 16;

/// The sum of f(value), always in the same order.
#[inline(always)]
pub fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (whole, rest) = values.as_chunks::<SIDE>();
    let mut sums = [0.0; SIDE];
    for part in whole {
        sums.iter_mut().zip(part).for_each(|(s, v)| *s += f(*v));
    }
    sums.iter_mut().zip(rest).for_each(|(s, v)| *s += f(*v));
    sums.iter().sum()
}

/// The largest value.
#[inline(always)]
pub fn top(values: &[f32]) -> f32 {
    let (whole, rest) = values.as_chunks::<SIDE>();
    let mut tops = [f32::NEG_INFINITY; SIDE];
    let larger = |t: &mut f32, v: &f32| *t = if *v > *t { *v } else { *t };
    for part in whole {
        tops.iter_mut().zip(part).for_each(|(t, v)| larger(t, v));
    }
    tops.iter_mut().zip(rest).for_each(|(t, v)| larger(t, v));
    tops.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b))
}

#[cfg(test)]
mod tests {
    /// By its Taylor series in f64.
    fn erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn erf_and_gelu_agree_with_their_series() {
        for i in -4500..=4500 {
            let x = i as f32 * 0.001;
            let (ours, exact) = (f64::from(super::erf(x)), erf(f64::from(x)));
            assert!((ours - exact).abs() <= 5e-7 * exact.abs(), "erf({x}) = {ours}, not {exact}");
            let (ours, exact) = (f64::from(super::gelu(x)), 0.5 * f64::from(x) * (1.0 + erf(f64::from(x) / 2.0f64.sqrt())));
            assert!((ours - exact).abs() <= 1e-6, "gelu({x}) = {ours}, not {exact}");
        }
        assert_eq!((super::gelu(-30.0), super::gelu(30.0)), (0.0, 30.0));
    }

    #[test]
    fn sums_and_tops_are_those_of_a_plain_loop_at_any_length() {
        for n in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..n).map(|i| ((i * 37) % 101) as f32 - 60.0).collect();
            assert_eq!(super::sum(&values, |v| v * v), values.iter().map(|v| v * v).sum::<f32>(), "{n}");
            assert_eq!(super::top(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max), "{n}");
        }
    }

    #[test]
    fn exp_agrees_with_the_standard_library_over_its_range() {
        for i in -8700..=8800 {
            let x = i as f32 * 0.01;
            let (a, b) = (super::exp(x), x.exp());
            assert!((a - b).abs() <= 3e-7 * b, "exp({x}) = {a}, not {b}");
        }
    }
}
