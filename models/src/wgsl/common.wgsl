// What a kernel is told; which of it means something, each kernel says. Maps are [b, c, h, w] in, [b, c_out, oh, ow] out.
struct Params {
  b: u32, c: u32, h: u32, w: u32,
  c_out: u32, oh: u32, ow: u32, stride: u32,
  pad: u32, groups: u32, epsilon: u32, film: u32,
  n: u32, wide: u32, period: u32, k0: f32,
  k1: f32, k2: f32, unused0: u32, unused1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x_in: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<WEIGHT>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> affine: array<f32>;
@group(0) @binding(5) var<storage, read> other: array<f32>;
@group(0) @binding(6) var<storage, read_write> y_out: array<f32>;
