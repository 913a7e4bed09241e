//! Each GPU is compared once with the CPU before it is trusted: a driver may make something else of a kernel, silently. In: a device.
//! Out: nothing, or what differs.

use histoloom_core::{Planes, rng};

use crate::cpu::CpuOps;
use crate::ops::{After, Before, ConvSpec, Inverted, NORM_EPSILON, NormSpec, Ops};

/// Largest relative error accepted (RMS of the difference over RMS of the result).
pub const TOLERANCE: f64 = 1e-3;

/// A residual block with attention, one of a transformer and an inverted one on random numbers, and a map large enough for large tiles: every
/// kind of kernel the networks use.
fn sample<O: Ops>(ops: &O) -> histoloom_core::Result<Vec<Planes>> {
    let (c, side) = (32, 12);
    let x = Planes::new(c, side, side, rng::noise(1, 0, 0, c * side * side))?;
    let weight: Vec<f32> = rng::noise(2, 0, 0, c * c * 9).iter().map(|v| v * 0.06).collect();
    let wide: Vec<f32> = rng::noise(3, 0, 0, 3 * c * c).iter().map(|v| v * 0.17).collect();
    let zeros = vec![0.0; 3 * c];
    let spec = |weight, c_out, kernel, pad| ConvSpec { weight, bias: &zeros[..c_out], c_in: c, c_out, kernel, stride: 1, pad: (pad, pad) };
    let (conv, qkv) = (ops.conv_layer(&spec(&weight, c, 3, 1)), ops.conv_layer(&spec(&wide, 3 * c, 1, 0)));
    let norm = ops.norm_layer(&NormSpec { gamma: &vec![1.0; c], beta: &vec![0.1; c], groups: 8, epsilon: NORM_EPSILON });
    let x = ops.upload(&[x]);
    let depthwise = ops.depthwise_layer(&spec(&weight[..9 * c], c, 3, 1));
    let block = Inverted { expand: None, depthwise, project: ops.conv_layer(&spec(&wide[..c * c], c, 1, 0)), residual: true };
    let film = ops.upload(&[Planes::new(2 * c, 1, 1, rng::noise(5, 0, 0, 2 * c))?]);
    let h = ops.inverted(&x, &block);
    let h = ops.conv(&h, Before::NormFilmSilu(&norm, &film, 0), &conv, After::Add(&x));
    let h = ops.attention(&ops.conv(&h, Before::Norm(&norm), &qkv, After::Plain), 2);
    let first = ops.upload(&[Planes::new(c, 1, 5, rng::noise(4, 0, 0, c * 5))?]);
    let tokens = ops.prepend(&first, &ops.layer_norm(&h, &norm)); // [1, c, 1, 5 + side * side]
    let wide = ops.conv(&tokens, Before::Plain, &qkv, After::Gelu);
    let h = ops.without(&ops.gated(&ops.concat(&wide, &wide)), 5, side, side); // [1, 3c, side, side]
    let (h, x) = (ops.concat(&h, &x), ops.concat(&x, &x));
    let h = ops.pixel_shuffle2(&ops.concat(&ops.upsample2(&h), &ops.upsample2(&x)));
    let (side, c) = (128, 4); // a large tile a workgroup, and weights that half precision holds
    let weight: Vec<f32> = weight.iter().map(|v| half::f16::from_f32(*v).to_f32()).collect();
    let few = ConvSpec { weight: &weight[..64 * c * 9], bias: &zeros[..64], c_in: c, c_out: 64, kernel: 3, stride: 1, pad: (1, 1) };
    let large = ops.upload(&[Planes::new(c, side, side, rng::noise(6, 0, 0, c * side * side))?]);
    let large = ops.conv(&large, Before::Relu, &ops.conv_layer(&few), After::Silu);
    // a step of a sampler
    let both = ops.twice(&film);
    let step = ops.limited(&ops.mixed(&[(0.9, &ops.guided(&both, 3.0)), (-0.4, &film), (2.0, &film)]));
    Ok(ops.download_all(vec![h, large, step])?.concat())
}

/// Compares the device with the CPU engine.
pub fn compare<O: Ops>(ops: &O) -> Result<(), String> {
    let (ours, theirs) = (sample(&CpuOps::default()), sample(ops));
    let (ours, theirs) = (ours.map_err(|e| e.to_string())?, theirs.map_err(|e| e.to_string())?);
    let error = relative_error(&theirs, &ours);
    if error <= TOLERANCE { Ok(()) } else { Err(format!("its numbers differ from the CPU's by {error:.1e}, more than {TOLERANCE:.0e}")) }
}

/// RMS of a - b over RMS of b; infinite where shapes differ.
pub fn relative_error(a: &[Planes], b: &[Planes]) -> f64 {
    let same = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a.channels, a.height, a.width) == (b.channels, b.height, b.width));
    if !same {
        return f64::INFINITY;
    }
    let pairs = || a.iter().zip(b).flat_map(|(a, b)| a.data.iter().zip(&b.data));
    let difference: f64 = pairs().map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let size: f64 = pairs().map(|(_, b)| f64::from(*b).powi(2)).sum();
    let error = (difference / size.max(f64::MIN_POSITIVE)).sqrt();
    if error.is_finite() { error } else { f64::INFINITY }
}
