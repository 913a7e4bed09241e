//! What happens to a convolution's input: activation or group normalisation, done while it is copied into a zero-padded map.

use histoloom_core::vectorized;
use rayon::prelude::*;

use super::store::Buffer;
use super::{CpuOps, Map, chunk_of, math};
use crate::ops::{Before, NormSpec};

/// Group normalisation, or the weights of a layer normalisation.
pub struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    groups: usize,
    epsilon: f32,
}

impl Norm {
    pub(super) fn new(s: &NormSpec<'_>) -> Self {
        Self { gamma: s.gamma.to_vec(), beta: s.beta.to_vec(), groups: s.groups, epsilon: s.epsilon }
    }

    /// What it was made of.
    pub(super) fn spec(&self) -> NormSpec<'_> {
        NormSpec { gamma: &self.gamma, beta: &self.beta, groups: self.groups, epsilon: self.epsilon }
    }

    /// Scale and offset for every channel of one item `[h * w, c]`, film included.
    fn affine(&self, item: &[f32], film: Option<&[f32]>) -> Affine {
        let c = self.gamma.len();
        let size = c / self.groups;
        let count = (item.len() / self.groups) as f64;
        let mean: Vec<f32> = grouped(&channel_sums(item, &vec![0.0; c], |v, _| v), size, count);
        let centres: Vec<f32> = (0..c).map(|k| mean[k / size]).collect();
        let variance: Vec<f32> = grouped(&channel_sums(item, &centres, |v, m| (v - m) * (v - m)), size, count);
        let mut a = Affine { scale: vec![0.0; c], offset: vec![0.0; c] };
        for k in 0..c {
            let s = self.gamma[k] / (variance[k / size] + self.epsilon).sqrt();
            let (film_scale, film_shift) = film.map_or((1.0, 0.0), |f| (1.0 + f[k], f[c + k]));
            a.scale[k] = s * film_scale;
            a.offset[k] = (self.beta[k] - mean[k / size] * s) * film_scale + film_shift;
        }
        a
    }
}

/// y = x * scale + offset, a channel.
struct Affine {
    scale: Vec<f32>,
    offset: Vec<f32>,
}

/// Mean over each group of `size` channels.
fn grouped(sums: &[f64], size: usize, count: f64) -> Vec<f32> {
    sums.chunks_exact(size).map(|g| (g.iter().sum::<f64>() / count) as f32).collect()
}

/// Pixels whose values are summed in single precision.
const RUN: usize = 64;

/// For every channel, the sum over pixels of f(value, centre): in f32 over runs of pixels, by as many threads as there are, then in f64.
fn channel_sums(item: &[f32], centres: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f64> {
    let c = centres.len();
    let mut sums = vec![0.0f32; item.len().div_ceil(RUN * c) * c];
    let chunk = chunk_of(sums.len() / c, 4, rayon::current_num_threads());
    sums.par_chunks_mut(chunk * c).zip(item.par_chunks(chunk * RUN * c)).for_each(|(sums, item)| {
        vectorized!({
            for (run, pixels) in sums.chunks_exact_mut(c).zip(item.chunks(RUN * c)) {
                for pixel in pixels.chunks_exact(c) {
                    run.iter_mut().zip(pixel).zip(centres).for_each(|((r, v), m)| *r += f(*v, *m));
                }
            }
        });
    });
    let mut total = vec![0.0f64; c];
    for run in sums.chunks_exact(c) {
        total.iter_mut().zip(run).for_each(|(t, r)| *t += f64::from(*r));
    }
    total
}

/// A zero-padded map `[b, height, width, channels]`, or the map itself where nothing had to be done.
pub(super) struct Source<'a> {
    own: Option<Buffer>,
    map: &'a Map,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Source<'_> {
    /// The values.
    pub fn data(&self) -> &[f32] {
        self.own.as_deref().unwrap_or(&self.map.data)
    }
}

/// Copies a map into one of this height and width, `first` zero pixels above and left of it and the rest below and right, applying
/// `before` to every value.
pub(super) fn framed<'a>(x: &'a Map, first: usize, (height, width): (usize, usize), before: &Before<'_, CpuOps>) -> Source<'a> {
    let channels = x.channels;
    if matches!(before, Before::Plain) && (height, width) == (x.height, x.width) {
        return Source { own: None, map: x, height, width, channels };
    }
    let affine = affines(x, before);
    let (row, item) = (width * channels, height * width * channels);
    let mut data = x.room(x.items * item);
    data.par_chunks_mut(row).enumerate().for_each(|(i, line)| {
        let (b, y) = (i / height, i % height);
        if y < first || y >= first + x.height {
            line.fill(0.0);
            return;
        }
        line[..first * channels].fill(0.0);
        line[(first + x.width) * channels..].fill(0.0);
        let from = (b * x.height + y - first) * x.width * channels;
        let from = &x.data[from..from + x.width * channels];
        let to = &mut line[first * channels..][..x.width * channels];
        vectorized!(fill(to, from, before, affine.get(b)));
    });
    Source { own: Some(data), map: x, height, width, channels }
}

fn affines(x: &Map, before: &Before<'_, CpuOps>) -> Vec<Affine> {
    let (norm, film) = match before {
        Before::Plain | Before::Relu | Before::Silu => return Vec::new(),
        Before::Norm(n) | Before::NormSilu(n) => (*n, None),
        Before::NormFilmSilu(n, f, first) => (*n, Some(&f.data[*first..])),
    };
    x.data.par_chunks_exact(x.area() * x.channels).map(|item| norm.affine(item, film)).collect()
}

/// One row of pixels.
#[inline(always)]
fn fill(to: &mut [f32], from: &[f32], before: &Before<'_, CpuOps>, affine: Option<&Affine>) {
    match (before, affine) {
        (Before::Relu, _) => to.iter_mut().zip(from).for_each(|(t, v)| *t = v.max(0.0)),
        (Before::Silu, _) => to.iter_mut().zip(from).for_each(|(t, v)| *t = math::silu(*v)),
        (Before::Norm(_), Some(a)) => scaled(to, from, a, |v| v),
        (Before::NormSilu(_) | Before::NormFilmSilu(..), Some(a)) => scaled(to, from, a, math::silu),
        _ => to.copy_from_slice(from),
    }
}

#[inline(always)]
fn scaled(to: &mut [f32], from: &[f32], a: &Affine, f: impl Fn(f32) -> f32) {
    let c = a.scale.len();
    for (to, from) in to.chunks_exact_mut(c).zip(from.chunks_exact(c)) {
        for (((t, v), s), o) in to.iter_mut().zip(from).zip(&a.scale).zip(&a.offset) {
            *t = f(v * s + o);
        }
    }
}
