//! What n examples can say of a rate. In: numbers of faults seen and missed. Out: exact binomial bounds, and which order statistic of
//! the scores of known faults is a threshold with a stated bound.

/// Confidence of every bound here.
pub const CONFIDENCE: f64 = 0.95;

/// P(Bin(n, p) <= k), summed in logarithms, which keeps it exact to rounding for the few thousand faults a calibration has.
pub fn binomial_cdf(k: usize, n: usize, p: f64) -> f64 {
    if p <= 0.0 || k >= n {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    let (lp, lq) = (p.ln(), (-p).ln_1p());
    let mut log_choose = 0.0;
    let mut sum = 0.0;
    for i in 0..=k {
        if i > 0 {
            log_choose += ((n - i + 1) as f64 / i as f64).ln();
        }
        sum += (log_choose + i as f64 * lp + (n - i) as f64 * lq).exp();
    }
    sum.min(1.0)
}

/// How many of `n` known faults a threshold may leave below it so that, with [`CONFIDENCE`], no more than a share `alpha` of all such
/// faults lies below: the largest k with P(Bin(n, alpha) >= k) >= [`CONFIDENCE`], for which the k-th smallest score is the threshold (it
/// counts as caught itself). 0 means that n is too small for any threshold.
pub fn order_statistic(n: usize, alpha: f64) -> usize {
    let at_least = |k: usize| 1.0 - if k == 0 { 0.0 } else { binomial_cdf(k - 1, n, alpha) };
    (1..=n).take_while(|k| at_least(*k) >= CONFIDENCE).last().unwrap_or(0)
}

/// The largest rate that is compatible with `k` of `n`: the upper end of the one-sided interval of Clopper and Pearson (Biometrika
/// 26:404, 1934), by bisection. 1 for no trials.
pub fn upper(k: usize, n: usize) -> f64 {
    if k >= n {
        return 1.0;
    }
    let (mut low, mut high) = (k as f64 / n as f64, 1.0);
    for _ in 0..60 {
        let mid = 0.5 * (low + high);
        if binomial_cdf(k, n, mid) > 1.0 - CONFIDENCE { low = mid } else { high = mid }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_statistics_are_the_published_ones() {
        for (n, k) in [(58, 0), (59, 1), (100, 2), (200, 5), (300, 9), (500, 17), (1000, 39)] {
            assert_eq!(order_statistic(n, 0.05), k, "n = {n}");
        }
        assert_eq!(order_statistic(0, 0.05), 0);
        // more faults may be missed where more is allowed
        let ks: Vec<usize> = [0.01, 0.02, 0.05, 0.1, 0.2].iter().map(|a| order_statistic(400, *a)).collect();
        assert!(ks.windows(2).all(|w| w[0] < w[1]), "{ks:?}");
    }

    #[test]
    fn the_upper_bound_is_clopper_and_pearson_s() {
        // 1 - 0.05^(1/n) for none seen; scipy.stats.beta.ppf(0.95, k + 1, n - k) for the others
        for (k, n, want) in [(0, 59, 1.0 - 0.05f64.powf(1.0 / 59.0)), (5, 200, 0.051_843_3), (13, 440, 0.046_564_3), (3, 10, 0.606_624_2)] {
            assert!((upper(k, n) - want).abs() < 1e-5, "{k} of {n}: {} instead of {want}", upper(k, n));
        }
        assert_eq!((upper(0, 0), upper(7, 7)), (1.0, 1.0));
    }

    #[test]
    fn the_cumulative_distribution_sums_to_one() {
        assert!((binomial_cdf(2, 5, 0.5) - 0.5).abs() < 1e-12);
        assert!((binomial_cdf(4, 5, 0.1) - (1.0 - 1e-5)).abs() < 1e-12);
        assert_eq!((binomial_cdf(0, 5, 0.0), binomial_cdf(0, 5, 1.0), binomial_cdf(5, 5, 0.3)), (1.0, 0.0, 1.0));
    }
}
