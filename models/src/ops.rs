//! What our networks are made of. A network is written once against [`Ops`]; [`crate::cpu`] runs it on processor cores and
//! [`crate::burn_ops`] on whatever device burn drives (and on burn-flex, which checks the former).
//!
//! In: layers with weights in PyTorch's layout, activations as [`Planes`]. Out: activations as [`Planes`]. Nothing here returns an
//! error: shapes are checked when weights are loaded and inputs accepted, devices that fail are caught by [`crate::runner`].

use histoloom_core::Planes;

/// A convolution (or, with kernel 1, a linear layer a pixel) with its weights.
pub struct ConvSpec<'a> {
    /// `[c_out, c_in / groups, k, k]`, flattened; groups are 1, or c_in for a depthwise convolution.
    pub weight: &'a [f32],
    /// `[c_out]`.
    pub bias: &'a [f32],
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step in pixels.
    pub stride: usize,
    /// Zero pixels before (left, above) and after (right, below) the map.
    pub pad: (usize, usize),
}

/// A normalisation with its weights: of groups of channels over all pixels, or of all channels at each pixel ([`Ops::layer_norm`]).
pub struct NormSpec<'a> {
    /// `[c]`.
    pub gamma: &'a [f32],
    /// `[c]`.
    pub beta: &'a [f32],
    /// Number of groups, a divisor of c; [`Ops::layer_norm`] does not look at it.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f32,
}

/// PyTorch's default epsilon, that of our own networks.
pub const NORM_EPSILON: f32 = 1e-5;

/// What happens to a convolution's input first.
pub enum Before<'a, O: Ops> {
    /// Nothing.
    Plain,
    /// max(x, 0).
    Relu,
    /// silu(x), x / (1 + exp(-x)).
    Silu,
    /// Group normalisation alone.
    Norm(&'a O::Norm),
    /// silu(group normalisation).
    NormSilu(&'a O::Norm),
    /// silu(group normalisation * (1 + scale) + shift), scale and shift being the channels from this one on of a map `[1, n, 1, 1]`: first
    /// those of all c scales, then c shifts.
    NormFilmSilu(&'a O::Norm, &'a O::Map, usize),
}

/// What happens to a convolution's output.
pub enum After<'a, O: Ops> {
    /// Nothing.
    Plain,
    /// x / (1 + exp(-x)).
    Silu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x (1 + erf(x / sqrt 2)) / 2, exactly and not by its tanh approximation.
    Gelu,
    /// Another map of the same shape is added.
    Add(&'a O::Map),
    /// `[1, c, 1, 1]` is added to every pixel of every item.
    AddToAll(&'a O::Map),
}

/// MobileNet's inverted residual: expand, depthwise, project, and the input added where `residual`.
pub struct Inverted<O: Ops> {
    /// 1x1, absent where the expansion is 1.
    pub expand: Option<O::Conv>,
    /// Depthwise k x k.
    pub depthwise: O::Depthwise,
    /// 1x1, linear.
    pub project: O::Conv,
    /// Whether the input is added to the output.
    pub residual: bool,
}

/// The operations, on maps `[b, c, h, w]`.
pub trait Ops: Send + Sync + Sized + 'static {
    /// Activations on the device.
    type Map: Clone + Send;
    /// A convolution on the device.
    type Conv: Send + Sync;
    /// A depthwise convolution on the device.
    type Depthwise: Send + Sync;
    /// A normalisation on the device.
    type Norm: Send + Sync;

    /// Puts a convolution's weights onto the device.
    fn conv_layer(&self, spec: &ConvSpec<'_>) -> Self::Conv;
    /// Puts a depthwise convolution's weights onto the device; followed by ReLU6 wherever it is used.
    fn depthwise_layer(&self, spec: &ConvSpec<'_>) -> Self::Depthwise;
    /// Puts a normalisation's weights onto the device.
    fn norm_layer(&self, spec: &NormSpec<'_>) -> Self::Norm;

    /// Items of one shape to the device.
    fn upload(&self, items: &[Planes]) -> Self::Map;
    /// Back to the host, one block an item.
    fn download(&self, map: Self::Map) -> histoloom_core::Result<Vec<Planes>>;

    /// Several maps back to the host at once.
    fn download_all(&self, maps: Vec<Self::Map>) -> histoloom_core::Result<Vec<Vec<Planes>>> {
        maps.into_iter().map(|m| self.download(m)).collect()
    }
    /// Whether coming back to the host costs so much that a whole way from noise to picture is better made without it.
    fn in_one_go(&self) -> bool {
        false
    }
    /// Whether the device is surely no slow one, before anything was timed.
    fn surely_fast(&self) -> bool {
        false
    }

    /// Runs `f` over a long list of items in batches of the size that suits the device, bounding its memory.
    fn in_batches<I: Sync, T: Send>(
        &self,
        items: &[I],
        f: impl Fn(&Self, &[I]) -> histoloom_core::Result<Vec<T>> + Sync,
    ) -> histoloom_core::Result<Vec<T>>;

    /// `after(conv(before(x)))`.
    fn conv(&self, x: &Self::Map, before: Before<'_, Self>, layer: &Self::Conv, after: After<'_, Self>) -> Self::Map;
    /// An inverted residual block: ReLU6 after expand and after depthwise.
    fn inverted(&self, x: &Self::Map, block: &Inverted<Self>) -> Self::Map;
    /// Sum of two maps; where b is of one item, it is added to every item of a.
    fn add(&self, a: &Self::Map, b: &Self::Map) -> Self::Map;
    /// The sum of one to three maps of one shape times factors.
    fn mixed(&self, terms: &[(f32, &Self::Map)]) -> Self::Map;
    /// All items, then all items again.
    fn twice(&self, x: &Self::Map) -> Self::Map;
    /// u + scale (c - u), where c are the first half of the items and u the second.
    fn guided(&self, v: &Self::Map, scale: f32) -> Self::Map;
    /// 4 tanh(x / 4).
    fn limited(&self, x: &Self::Map) -> Self::Map;
    /// Channels of a, then of b.
    fn concat(&self, a: &Self::Map, b: &Self::Map) -> Self::Map;
    /// Nearest neighbour, twice the size.
    fn upsample2(&self, x: &Self::Map) -> Self::Map;
    /// `[b, 4c, h, w]` to `[b, c, 2h, 2w]`, channels ordered as PyTorch's `pixel_shuffle`.
    fn pixel_shuffle2(&self, x: &Self::Map) -> Self::Map;
    /// softmax(q k^T / sqrt(d)) v over all pixels, for each of `heads`; in `[b, 3c, h, w]` = q, k, v, each head after head. The d
    /// channels of a head are a multiple of 4.
    fn attention(&self, qkv: &Self::Map, heads: usize) -> Self::Map;
    /// Layer normalisation of the channels of each pixel (arXiv 1607.06450).
    fn layer_norm(&self, x: &Self::Map, norm: &Self::Norm) -> Self::Map;
    /// silu(first half of the channels) times the second: `[b, 2c, h, w]` to `[b, c, h, w]` (SwiGLU, arXiv 2002.05202).
    fn gated(&self, x: &Self::Map) -> Self::Map;
    /// The pixels of one item `[1, c, 1, p]` before those of every item of `[b, c, h, w]`, in one row: `[b, c, 1, p + h w]`.
    fn prepend(&self, first: &Self::Map, x: &Self::Map) -> Self::Map;
    /// Undoes it: `[b, c, 1, p + h w]` without its first p pixels, as `[b, c, h, w]`.
    fn without(&self, x: &Self::Map, p: usize, h: usize, w: usize) -> Self::Map;
}
