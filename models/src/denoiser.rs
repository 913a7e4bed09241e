//! The denoiser: a UNet over 16-channel latents, conditioned on a crop field. Reference: `reference/denoiser.py`.
//!
//! In: noisy latents x_t `[16, h, w]` and conditions `[56, h, w]` (core's `condition`), h and w multiples of 4. The condition enters
//! beside x_t, and through an encoder of its own whose features every block adds after its first convolution. Also in: time t in
//! [0, 1] and log2(mpp / 0.5). Out: the velocity v = noise - z of the straight path x_t = (1 - t) z + t noise (rectified flow, arXiv
//! 2209.03003). Widths are read from the weights.

use histoloom_core::{Planes, Result};

use crate::ops::{After, Before, ConvSpec, Ops};
use crate::weights::Weights;

/// Groups of every normalisation.
const GROUPS: usize = 16;
/// Channels of an attention head.
const HEAD: usize = 40;

/// Weights that turn the embedding into every block's scales and shifts, one block's after another's.
struct Films {
    /// Channels of the embedding.
    embedding: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// A residual block modulated by the embedding (FiLM, arXiv 1709.07871).
struct Res<O: Ops> {
    norm1: O::Norm,
    conv1: O::Conv,
    asked: O::Conv,
    /// The first of its scales and shifts among those of all blocks.
    film: usize,
    norm2: O::Norm,
    conv2: O::Conv,
    skip: Option<O::Conv>,
}

impl<O: Ops> Res<O> {
    /// `asked` is the width of what the condition says; the weights of scale and shift go to `films`.
    fn load(ops: &O, w: &Weights, name: &str, (c_in, c_out): (usize, usize), asked: usize, films: &mut Films) -> Result<Self> {
        let of = |part: &str| format!("{name}.{part}");
        let film = films.bias.len();
        films.weight.extend(w.values(&of("film.weight"), &[2 * c_out, films.embedding])?);
        films.bias.extend(w.values(&of("film.bias"), &[2 * c_out])?);
        Ok(Self {
            norm1: w.norm(ops, &of("norm1"), c_in, GROUPS)?,
            conv1: w.conv(ops, &of("conv1"), c_in, c_out, 3, 1)?,
            asked: w.conv(ops, &of("asked"), asked, c_out, 1, 1)?,
            film,
            norm2: w.norm(ops, &of("norm2"), c_out, GROUPS)?,
            conv2: w.conv(ops, &of("conv2"), c_out, c_out, 3, 1)?,
            skip: if c_in == c_out { None } else { Some(w.conv(ops, &of("skip"), c_in, c_out, 1, 1)?) },
        })
    }

    /// `films` are the scales and shifts of all blocks, `asked` what the condition says to this one.
    fn forward(&self, ops: &O, x: &O::Map, films: &O::Map, asked: &O::Map) -> O::Map {
        let h = ops.conv(x, Before::NormSilu(&self.norm1), &self.conv1, After::Add(asked));
        let skip = self.skip.as_ref().map(|s| ops.conv(x, Before::Plain, s, After::Plain));
        ops.conv(&h, Before::NormFilmSilu(&self.norm2, films, self.film), &self.conv2, After::Add(skip.as_ref().unwrap_or(x)))
    }
}

/// Self-attention over all cells.
struct Attention<O: Ops> {
    norm: O::Norm,
    qkv: O::Conv,
    out: O::Conv,
    heads: usize,
}

impl<O: Ops> Attention<O> {
    fn load(ops: &O, w: &Weights, name: &str, c: usize) -> Result<Self> {
        Ok(Self {
            norm: w.norm(ops, &format!("{name}.norm"), c, GROUPS)?,
            qkv: w.linear(ops, &format!("{name}.qkv"), c, 3 * c)?,
            out: w.linear(ops, &format!("{name}.out"), c, c)?,
            heads: c / HEAD,
        })
    }

    fn forward(&self, ops: &O, x: &O::Map) -> O::Map {
        let qkv = ops.conv(x, Before::Norm(&self.norm), &self.qkv, After::Plain); // [b, 3c, h, w]
        ops.conv(&ops.attention(&qkv, self.heads), Before::Plain, &self.out, After::Add(x))
    }
}

/// What the condition says to each block; it does not depend on x or t.
pub struct Asked<O: Ops> {
    down: [Vec<O::Map>; 3],
    mid: [O::Map; 2],
    up: [Vec<O::Map>; 3],
}

impl<O: Ops> Clone for Asked<O> {
    fn clone(&self) -> Self {
        Self { down: self.down.clone(), mid: self.mid.clone(), up: self.up.clone() }
    }
}

/// The network on a device.
pub struct Denoiser<O: Ops> {
    features: usize,
    time1: O::Conv,
    time2: O::Conv,
    mpp: O::Conv,
    films: O::Conv,
    input: O::Conv,
    ask: [O::Conv; 3],
    down0: Vec<Res<O>>,
    pool0: O::Conv,
    down1: Vec<Res<O>>,
    pool1: O::Conv,
    down2: Vec<(Res<O>, Attention<O>)>,
    mid: (Res<O>, Attention<O>, Res<O>),
    up2: Vec<Res<O>>,
    grow1: O::Conv,
    up1: Vec<Res<O>>,
    grow0: O::Conv,
    up0: Vec<Res<O>>,
    norm: O::Norm,
    output: O::Conv,
    /// Latent channels.
    pub channels: usize,
    /// Channels of the condition.
    pub condition_channels: usize,
}

impl<O: Ops> Denoiser<O> {
    /// Takes the weights, named as in the reference.
    pub fn load(ops: &O, w: &Weights) -> Result<Self> {
        let c_in = w.shape("input.weight")?.get(1).copied().unwrap_or(0);
        let (w0, channels) = (w.shape("input.weight")?[0], w.shape("output.weight")?[0]);
        let (w1, w2) = (w.shape("down1.0.conv1.weight")?[0], w.shape("down2.0.conv1.weight")?[0]);
        let e = 4 * w0;
        let condition_channels = c_in.saturating_sub(channels);
        let asked = w.shape("ask0.weight")?[0];
        let mut films = Films { embedding: e, weight: Vec::new(), bias: Vec::new() };
        let mut one = |name: &str, c_in: usize, c_out: usize| Res::load(ops, w, name, (c_in, c_out), asked, &mut films);
        let mut two = |name: &str, first: usize, second: usize, c: usize| -> Result<Vec<Res<O>>> {
            Ok(vec![one(&format!("{name}.0"), first, c)?, one(&format!("{name}.1"), second, c)?])
        };
        let (down0, down1, down2) = (two("down0", w0, w0, w0)?, two("down1", w0, w1, w1)?, two("down2", w1, w2, w2)?);
        let (up2, up1, up0) = (two("up2", 2 * w2, 2 * w2, w2)?, two("up1", 2 * w1, 2 * w1, w1)?, two("up0", 2 * w0, 2 * w0, w0)?);
        let (mid1, mid2) = (one("mid1", w2, w2)?, one("mid2", w2, w2)?);
        let (weight, bias) = (&films.weight[..], &films.bias[..]);
        let films = ops.conv_layer(&ConvSpec { weight, bias, c_in: e, c_out: bias.len(), kernel: 1, stride: 1, pad: (0, 0) });
        let attention = |i: usize| Attention::load(ops, w, &format!("attn2.{i}"), w2);
        Ok(Self {
            features: w0,
            time1: w.linear(ops, "time1", w0, e)?,
            time2: w.linear(ops, "time2", e, e)?,
            mpp: w.linear(ops, "mpp", w0, e)?,
            films,
            input: w.conv(ops, "input", c_in, w0, 3, 1)?,
            ask: [
                w.conv(ops, "ask0", condition_channels, asked, 3, 1)?,
                w.conv(ops, "ask1", asked, asked, 3, 2)?,
                w.conv(ops, "ask2", asked, asked, 3, 2)?,
            ],
            down0,
            pool0: w.conv(ops, "pool0", w0, w0, 3, 2)?,
            down1,
            pool1: w.conv(ops, "pool1", w1, w1, 3, 2)?,
            down2: down2.into_iter().zip([attention(0)?, attention(1)?]).collect(),
            mid: (mid1, Attention::load(ops, w, "mid_attn", w2)?, mid2),
            up2,
            grow1: w.conv(ops, "grow1", w2, w1, 3, 1)?,
            up1,
            grow0: w.conv(ops, "grow0", w1, w0, 3, 1)?,
            up0,
            norm: w.norm(ops, "norm", w0, GROUPS)?,
            output: w.conv(ops, "output", w0, channels, 3, 1)?,
            channels,
            condition_channels,
        })
    }

    /// Scales and shifts of all blocks at this time and resolution, `[1, n, 1, 1]`.
    fn modulation(&self, ops: &O, t: f32, log2_mpp: f32) -> O::Map {
        let time = ops.upload(&[scalar_features(1000.0 * t, self.features)]);
        let mpp = ops.upload(&[scalar_features(100.0 * log2_mpp, self.features)]);
        let h = ops.conv(&time, Before::Plain, &self.time1, After::Silu);
        let h = ops.conv(&h, Before::Plain, &self.time2, After::Plain);
        let embedding = ops.conv(&mpp, Before::Plain, &self.mpp, After::Add(&h)); // [1, e, 1, 1]
        ops.conv(&embedding, Before::Silu, &self.films, After::Plain)
    }

    /// Conditions `[b, 56, h, w]`, heard at every depth.
    pub fn asked(&self, ops: &O, condition: &[Planes]) -> Asked<O> {
        let c0 = ops.conv(&ops.upload(condition), Before::Plain, &self.ask[0], After::Silu); // [b, asked, h, w]
        let c1 = ops.conv(&c0, Before::Plain, &self.ask[1], After::Silu);
        let c2 = ops.conv(&c1, Before::Plain, &self.ask[2], After::Silu);
        let one = |r: &Res<O>, c: &O::Map| ops.conv(c, Before::Plain, &r.asked, After::Plain);
        let all = |level: &[Res<O>], c: &O::Map| level.iter().map(|r| one(r, c)).collect();
        let down2 = self.down2.iter().map(|(r, _)| one(r, &c2)).collect();
        Asked {
            down: [all(&self.down0, &c0), all(&self.down1, &c1), down2],
            mid: [one(&self.mid.0, &c2), one(&self.mid.2, &c2)],
            up: [all(&self.up0, &c0), all(&self.up1, &c1), all(&self.up2, &c2)],
        }
    }

    /// Noisy latents and conditions, `[b, 16 + 56, h, w]`, and what was [`Denoiser::asked`] of the latter; out comes `[b, 16, h, w]`.
    pub fn forward(&self, ops: &O, joined: &O::Map, asked: &Asked<O>, t: f32, log2_mpp: f32) -> O::Map {
        let e = &self.modulation(ops, t, log2_mpp);
        let mut skips = Vec::new();
        let mut x = ops.conv(joined, Before::Plain, &self.input, After::Plain);
        let [down0, down1, down2] = &asked.down;
        for (r, asked) in self.down0.iter().zip(down0) {
            x = r.forward(ops, &x, e, asked);
            skips.push(x.clone());
        }
        x = ops.conv(&x, Before::Plain, &self.pool0, After::Plain); // [b, w0, h/2, w/2]
        for (r, asked) in self.down1.iter().zip(down1) {
            x = r.forward(ops, &x, e, asked);
            skips.push(x.clone());
        }
        x = ops.conv(&x, Before::Plain, &self.pool1, After::Plain); // [b, w1, h/4, w/4]
        for ((r, a), asked) in self.down2.iter().zip(down2) {
            x = a.forward(ops, &r.forward(ops, &x, e, asked));
            skips.push(x.clone());
        }
        x = self.mid.0.forward(ops, &x, e, &asked.mid[0]);
        x = self.mid.2.forward(ops, &self.mid.1.forward(ops, &x), e, &asked.mid[1]);
        let [up0, up1, up2] = &asked.up;
        x = rise(ops, &self.up2, x, &mut skips, e, up2);
        x = ops.conv(&ops.upsample2(&x), Before::Plain, &self.grow1, After::Plain); // [b, w1, h/2, w/2]
        x = rise(ops, &self.up1, x, &mut skips, e, up1);
        x = ops.conv(&ops.upsample2(&x), Before::Plain, &self.grow0, After::Plain); // [b, w0, h, w]
        x = rise(ops, &self.up0, x, &mut skips, e, up0);
        ops.conv(&x, Before::NormSilu(&self.norm), &self.output, After::Plain)
    }
}

/// Residual blocks that take back what the way down left.
fn rise<O: Ops>(ops: &O, level: &[Res<O>], mut x: O::Map, skips: &mut Vec<O::Map>, e: &O::Map, asked: &[O::Map]) -> O::Map {
    for (r, asked) in level.iter().zip(asked) {
        let joined = skips.pop().map_or_else(|| x.clone(), |s| ops.concat(&x, &s));
        x = r.forward(ops, &joined, e, asked);
    }
    x
}

/// `[n, 1, 1]`: cosines, then sines of x at n/2 geometric frequencies from 1 down to 1e-4 (arXiv 1706.03762).
pub(crate) fn scalar_features(x: f32, n: usize) -> Planes {
    let half = n / 2;
    let mut out = Planes::zeros(n, 1, 1);
    for i in 0..half {
        let a = x * (-(10000.0f32.ln()) * i as f32 / half as f32).exp();
        out.data[i] = a.cos();
        out.data[half + i] = a.sin();
    }
    out
}
