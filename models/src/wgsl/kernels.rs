//! The kernels' source: WGSL files of this folder, with a head of constants that says which variant is meant.

use std::fmt::Write as _;

/// A kernel, and which variant of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kernel {
    /// A convolution.
    Conv {
        /// Side of the kernel.
        kernel: usize,
        /// Output channels and pixels of a workgroup: 64 or 32.
        tile: usize,
        /// 0 plain, 1 ReLU, 2 SiLU, 3 norm, 4 norm and SiLU.
        before: u8,
        /// 0 plain, 1 SiLU, 2 ReLU6, 3 GELU, 4 a map added, 5 a value a channel added.
        after: u8,
        /// Whether the input is read as twice its size.
        up: bool,
        /// Whether weights lie in half precision.
        half: bool,
    },
    /// The numbers of a group normalisation.
    Norm,
    /// Attention with so many fours of channels a head.
    Attention(usize),
    /// Layer normalisation.
    LayerNorm,
    /// A function of `each.wgsl`.
    Each(&'static str),
}

/// Floats of workgroup memory that every device has (WebGPU's default limit of 16 KiB).
const WORKGROUP_FLOATS: usize = 16 * 1024 / 4;

impl Kernel {
    /// Its WGSL.
    pub(super) fn source(self) -> String {
        let half = matches!(self, Self::Conv { half: true, .. });
        let common = include_str!("common.wgsl").replace("WEIGHT", if half { "f16" } else { "f32" });
        match self {
            Self::Conv { kernel, tile, before, after, up, half } => {
                let (quads, body) = (tile / 4, include_str!("conv.wgsl"));
                let head = format!(
                    "const K: u32 = {kernel}u;\nconst TILE: u32 = {tile}u;\nconst DEPTH: u32 = {quads}u;\nconst BEFORE: u32 = {before}u;\n\
                     const AFTER: u32 = {after}u;\nconst UP: bool = {up};\n"
                );
                let mut unrolled = String::new();
                for k in 0..quads {
                    let _ = writeln!(
                        unrolled,
                        "{{ let a = weights[{k}u * QUADS + local.y]; let v = inputs[{k}u * QUADS + local.x]; \
                         acc0 += a.x * v; acc1 += a.y * v; acc2 += a.z * v; acc3 += a.w * v; }}"
                    );
                }
                let enable = if half { "enable f16;\n" } else { "" };
                format!("{enable}{common}{head}{}", body.replace("UNROLLED", &unrolled))
            }
            Self::Norm => format!("{common}{}", include_str!("norm.wgsl")),
            Self::Attention(fours) => {
                let keys = (WORKGROUP_FLOATS / (8 * fours)).clamp(1, 32);
                format!("{common}const D4: u32 = {fours}u;\nconst KEYS: u32 = {keys}u;\n{}", include_str!("attention.wgsl"))
            }
            Self::LayerNorm => format!("{common}{}", include_str!("layer_norm.wgsl")),
            Self::Each(what) => format!("{common}{}", include_str!("each.wgsl").replace("WHAT", what)),
        }
    }
}

/// What a kernel is told, as `Params` of `common.wgsl`.
#[derive(Clone, Copy, Default)]
pub(super) struct Params {
    pub b: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
    pub c_out: usize,
    pub oh: usize,
    pub ow: usize,
    pub stride: usize,
    pub pad: usize,
    pub groups: usize,
    pub epsilon: f32,
    pub film: bool,
    pub n: usize,
    pub wide: usize,
    pub period: usize,
    /// Factors.
    pub k: [f32; 3],
}

/// Bytes of [`Params`] on the device.
pub(super) const PARAMS_BYTES: usize = 80;

impl Params {
    /// As the device reads them.
    pub(super) fn bytes(&self) -> [u8; PARAMS_BYTES] {
        let u = |v: usize| v as u32;
        let words = [
            u(self.b),
            u(self.c),
            u(self.h),
            u(self.w),
            u(self.c_out),
            u(self.oh),
            u(self.ow),
            u(self.stride),
            u(self.pad),
            u(self.groups),
            self.epsilon.to_bits(),
            u32::from(self.film),
            u(self.n),
            u(self.wide),
            u(self.period),
            self.k[0].to_bits(),
            self.k[1].to_bits(),
            self.k[2].to_bits(),
            0,
            0,
        ];
        let mut bytes = [0; PARAMS_BYTES];
        bytes.as_chunks_mut().0.iter_mut().zip(words).for_each(|(to, word)| *to = word.to_ne_bytes());
        bytes
    }
}
