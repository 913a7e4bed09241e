//! Position embeddings on another grid. In: those of the grid trained on, `[c, side, side]`, and a height and width in patches. Out:
//! `[c, h, w]`. Cannot fail.
//!
//! As timm's `resample_abs_pos_embed` does: PyTorch's bicubic interpolation with antialiasing, which is PIL's. Its kernel has a = -0.5
//! (Keys 1981), is stretched by the scale where the grid shrinks, reads no further than the edge and is normalised there. DINOv2's own
//! code shifts the grid by 0.1 instead.

use histoloom_core::Planes;

/// Half the width of the cubic kernel.
const SUPPORT: f64 = 2.0;
const A: f64 = -0.5;

/// Interpolates. The grid trained on comes back as it is.
pub fn resampled(table: &Planes, height: usize, width: usize) -> Planes {
    if (table.height, table.width) == (height, width) {
        return table.clone();
    }
    let (rows, columns) = (taps(table.height, height), taps(table.width, width));
    let mut out = Planes::zeros(table.channels, height, width);
    for c in 0..table.channels {
        let wide: Vec<f64> = table.plane(c).chunks_exact(table.width).flat_map(|row| columns.iter().map(|t| t.of(row, 1))).collect();
        let wide: Vec<f32> = wide.iter().map(|v| *v as f32).collect(); // [side, width]
        for (y, line) in out.plane_mut(c).chunks_exact_mut(width).enumerate() {
            line.iter_mut().enumerate().for_each(|(x, to)| *to = rows[y].of(&wide[x..], width) as f32);
        }
    }
    out
}

/// What one value of the result is made of.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

impl Taps {
    fn of(&self, values: &[f32], step: usize) -> f64 {
        self.weights.iter().zip(values.iter().step_by(step).skip(self.first)).map(|(w, v)| w * f64::from(*v)).sum()
    }
}

fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let taps = |i: usize| {
        let centre = scale * (i as f64 + 0.5);
        let first = (centre - SUPPORT * stretch + 0.5).max(0.0) as usize;
        let end = ((centre + SUPPORT * stretch + 0.5) as usize).min(from);
        let raw: Vec<f64> = (first..end).map(|j| cubic((j as f64 - centre + 0.5) / stretch)).collect();
        let sum: f64 = raw.iter().sum();
        Taps { first, weights: raw.iter().map(|w| w / sum).collect() }
    };
    (0..to).map(taps).collect()
}

fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
