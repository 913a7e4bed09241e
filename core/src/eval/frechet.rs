//! Frechet distance between two sets of embeddings. In: rows of features. Out: d^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2), with
//! covariances over n - 1 and no epsilon (the conventions of torch-fidelity, arXiv 1706.08500 eq. 6). Refused where there are not more
//! rows than features: the covariance would be singular and the number meaningless.

use crate::{Error, Result};

/// Rows of features of one length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Length of a row.
    pub channels: usize,
    /// `n * channels` values.
    pub data: Vec<f64>,
}

impl Features {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len() / self.channels.max(1)
    }

    /// Mean and covariance, row-major.
    fn moments(&self) -> (Vec<f64>, Vec<f64>) {
        let (n, d) = (self.rows() as f64, self.channels);
        let mut mean = vec![0.0; d];
        for row in self.data.chunks_exact(d) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / n);
        }
        let mut covariance = vec![0.0; d * d];
        for row in self.data.chunks_exact(d) {
            for i in 0..d {
                for j in 0..d {
                    covariance[i * d + j] += (row[i] - mean[i]) * (row[j] - mean[j]) / (n - 1.0);
                }
            }
        }
        (mean, covariance)
    }
}

/// The distance of two sets.
pub fn distance(a: &Features, b: &Features) -> Result<f64> {
    let d = a.channels;
    if b.channels != d || a.rows() <= d || b.rows() <= d {
        let why = format!("{} and {} rows of {} and {} features", a.rows(), b.rows(), d, b.channels);
        return Err(Error::parameter("n", why, "a Frechet distance needs more rows than features: evaluate more tiles"));
    }
    let ((m1, s1), (m2, s2)) = (a.moments(), b.moments());
    let means: f64 = m1.iter().zip(&m2).map(|(x, y)| (x - y).powi(2)).sum();
    let trace = |s: &[f64]| (0..d).map(|i| s[i * d + i]).sum::<f64>();
    // the eigenvalues of S1 S2 are those of the symmetric R S2 R, R = S1^1/2
    let root = power(&s1, d);
    let product = multiply(&multiply(&root, &s2, d), &root, d);
    let roots: f64 = eigen(product, d).0.iter().map(|l| l.max(0.0).sqrt()).sum();
    Ok(means + trace(&s1) + trace(&s2) - 2.0 * roots)
}

fn multiply(a: &[f64], b: &[f64], d: usize) -> Vec<f64> {
    (0..d * d).map(|i| (0..d).map(|k| a[i / d * d + k] * b[k * d + i % d]).sum()).collect()
}

/// The square root of a symmetric matrix without negative eigenvalues.
fn power(s: &[f64], d: usize) -> Vec<f64> {
    let (values, vectors) = eigen(s.to_vec(), d);
    let root: Vec<f64> = values.iter().map(|v| v.max(0.0).sqrt()).collect();
    (0..d * d).map(|i| (0..d).map(|k| vectors[i / d * d + k] * root[k] * vectors[i % d * d + k]).sum()).collect()
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix: Jacobi's rotations, which keep small eigenvalues exact.
fn eigen(mut a: Vec<f64>, d: usize) -> (Vec<f64>, Vec<f64>) {
    let mut v: Vec<f64> = (0..d * d).map(|i| f64::from(u8::from(i / d == i % d))).collect();
    let size: f64 = a.iter().map(|x| x * x).sum::<f64>();
    for _ in 0..100 {
        let off: f64 = (0..d * d).filter(|i| i / d != i % d).map(|i| a[i] * a[i]).sum();
        if off <= 1e-26 * size {
            break;
        }
        for p in 0..d {
            for q in p + 1..d {
                rotate(&mut a, &mut v, d, p, q);
            }
        }
    }
    ((0..d).map(|i| a[i * d + i]).collect(), v)
}

/// One rotation that makes a[p, q] zero.
fn rotate(a: &mut [f64], v: &mut [f64], d: usize, p: usize, q: usize) {
    let apq = a[p * d + q];
    if apq == 0.0 {
        return;
    }
    let theta = (a[q * d + q] - a[p * d + p]) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let t = if theta == 0.0 { 1.0 } else { t };
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for k in 0..d {
        let (x, y) = (a[k * d + p], a[k * d + q]);
        (a[k * d + p], a[k * d + q]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..d {
        let (x, y) = (a[p * d + k], a[q * d + k]);
        (a[p * d + k], a[q * d + k]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..d {
        let (x, y) = (v[k * d + p], v[k * d + q]);
        (v[k * d + p], v[k * d + q]) = (c * x - s * y, s * x + c * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_that_of_the_reference() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/frechet.json")).unwrap();
        let set = |key: &str| Features {
            channels: golden["channels"].as_u64().unwrap() as usize,
            data: golden[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect(),
        };
        let (a, b) = (set("a"), set("b"));
        let got = distance(&a, &b).unwrap();
        assert!((got - golden["distance"].as_f64().unwrap()).abs() < 1e-8 * got, "{got}");
        assert!(distance(&a, &a).unwrap().abs() < 1e-9);
        assert!((distance(&b, &a).unwrap() - got).abs() < 1e-9 * got);
        let few = Features { channels: 6, data: vec![0.5; 36] };
        assert!(distance(&few, &few).unwrap_err().to_string().contains("more rows than features"));
    }
}
