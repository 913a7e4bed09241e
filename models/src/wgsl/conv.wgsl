// A convolution as a matrix product that is never laid out: TILE output channels by TILE pixels a workgroup, 4 x 4 a thread.
// Written before it: K (side of the kernel), TILE, DEPTH (rows of the product at once), BEFORE, AFTER, UP (the input is read as twice its size).
const QUADS: u32 = TILE / 4u;
var<workgroup> weights: array<vec4<f32>, DEPTH * QUADS>;
var<workgroup> inputs: array<vec4<f32>, DEPTH * QUADS>;

fn silu(v: f32) -> f32 { return v / (1.0 + exp(-v)); }

// erf by Abramowitz and Stegun 7.1.26, error below 1.5e-7.
fn gelu(v: f32) -> f32 {
  let x = abs(v) * 0.70710678;
  let t = 1.0 / (1.0 + 0.3275911 * x);
  let e = 1.0 - ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * exp(-x * x);
  return 0.5 * v * (1.0 + select(e, -e, v < 0.0));
}

fn before(v: f32, item: u32, c: u32) -> f32 {
  if BEFORE == 0u { return v; }
  if BEFORE == 1u { return max(v, 0.0); }
  if BEFORE == 2u { return silu(v); }
  let at = item * 3u * p.c + c;
  let n = (v - affine[at]) * affine[at + p.c] + affine[at + 2u * p.c];
  if BEFORE == 3u { return n; }
  return silu(n);
}

fn after(v: f32, item: u32, c: u32, pixel: u32, pixels: u32) -> f32 {
  if AFTER == 1u { return silu(v); }
  if AFTER == 2u { return clamp(v, 0.0, 6.0); }
  if AFTER == 3u { return gelu(v); }
  if AFTER == 4u { return v + other[(item * p.c_out + c) * pixels + pixel]; }
  if AFTER == 5u { return v + other[c]; }
  return v;
}

fn input_at(item: u32, c: u32, y: i32, x: i32) -> f32 {
  let scale = select(1, 2, UP);
  if y < 0 || x < 0 || y >= i32(p.h) * scale || x >= i32(p.w) * scale { return 0.0; }
  let at = ((item * p.c + c) * p.h + u32(y / scale)) * p.w + u32(x / scale);
  return before(x_in[at], item, c);
}

@compute @workgroup_size(QUADS, QUADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32, @builtin(local_invocation_id) local: vec3<u32>) {
  let pixels = p.oh * p.ow;
  let all = p.b * pixels;
  let first_pixel = (group.z * p.wide + group.x) * TILE;
  let first_c = group.y * TILE;
  let row = t / QUADS; // of the depth, when loading
  let quad = t % QUADS;
  var item: vec4<u32>;
  var top: vec4<i32>;
  var left: vec4<i32>;
  var inside: vec4<bool>;
  for (var j = 0u; j < 4u; j++) {
    let pixel = first_pixel + 4u * quad + j;
    inside[j] = pixel < all;
    item[j] = pixel / pixels;
    top[j] = i32(pixel % pixels / p.ow * p.stride) - i32(p.pad);
    left[j] = i32(pixel % p.ow * p.stride) - i32(p.pad);
  }
  let depth = p.c * K * K;
  let wide = (p.c_out + 3u) / 4u;
  let my_wide = first_c / 4u + quad;
  var acc0 = vec4<f32>(); var acc1 = vec4<f32>(); var acc2 = vec4<f32>(); var acc3 = vec4<f32>();
  for (var start = 0u; start < depth; start += DEPTH) {
    let k = start + row;
    var w = vec4<f32>();
    var v = vec4<f32>();
    if k < depth {
      if my_wide < wide { w = vec4<f32>(weight[k * wide + my_wide]); }
      let c = k / (K * K);
      let dy = i32(k % (K * K) / K);
      let dx = i32(k % K);
      if inside.x { v.x = input_at(item.x, c, top.x + dy, left.x + dx); }
      if inside.y { v.y = input_at(item.y, c, top.y + dy, left.y + dx); }
      if inside.z { v.z = input_at(item.z, c, top.z + dy, left.z + dx); }
      if inside.w { v.w = input_at(item.w, c, top.w + dy, left.w + dx); }
    }
    workgroupBarrier();
    weights[t] = w;
    inputs[t] = v;
    workgroupBarrier();
    UNROLLED
  }
  for (var j = 0u; j < 4u; j++) {
    let pixel = first_pixel + 4u * local.x + j;
    if pixel >= all { break; }
    let n = pixel / pixels;
    let at = pixel % pixels;
    var column = array<f32, 4>(acc0[j], acc1[j], acc2[j], acc3[j]);
    for (var i = 0u; i < 4u; i++) {
      let c = first_c + 4u * local.y + i;
      if c >= p.c_out { break; }
      y_out[(n * p.c_out + c) * pixels + at] = after(column[i] + bias[c], n, c, at, pixels);
    }
  }
}
