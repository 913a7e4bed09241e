// One value of the result a thread, of shape [b, c_out, oh, ow] wherever it is one of a map.
fn silu(v: f32) -> f32 { return v / (1.0 + exp(-v)); }

fn add(i: u32) -> f32 { return x_in[i] + other[i % p.period]; }

// One to three maps times factors; how many is p.period.
fn mixed(i: u32) -> f32 {
  var v = p.k0 * x_in[i];
  if p.period > 1u { v += p.k1 * other[i]; }
  if p.period > 2u { v += p.k2 * affine[i]; }
  return v;
}

fn twice(i: u32) -> f32 { return x_in[i % p.period]; }

fn guided(i: u32) -> f32 {
  let u = x_in[i + p.n];
  return u + p.k0 * (x_in[i] - u);
}

// Beyond 10 tanh is 1 in single precision, and some drivers make it of exponentials that overflow.
fn limited(i: u32) -> f32 { return 4.0 * tanh(clamp(x_in[i] / 4.0, -10.0, 10.0)); }

fn concat(i: u32) -> f32 {
  let pixels = p.oh * p.ow;
  let c = i / pixels % p.c_out;
  let item = i / pixels / p.c_out;
  if c < p.c { return x_in[(item * p.c + c) * pixels + i % pixels]; }
  return other[(item * (p.c_out - p.c) + c - p.c) * pixels + i % pixels];
}

fn upsample2(i: u32) -> f32 {
  let x = i % p.ow / 2u;
  let y = i / p.ow % p.oh / 2u;
  return x_in[(i / (p.ow * p.oh) * p.h + y) * p.w + x];
}

fn pixel_shuffle2(i: u32) -> f32 {
  let x = i % p.ow;
  let y = i / p.ow % p.oh;
  let c = 4u * (i / (p.ow * p.oh)) + y % 2u * 2u + x % 2u; // of all items
  return x_in[(c * p.h + y / 2u) * p.w + x / 2u];
}

fn gated(i: u32) -> f32 {
  let half = p.c_out * p.oh * p.ow;
  let at = i / half * 2u * half + i % half;
  return silu(x_in[at]) * x_in[at + half];
}

// p.period pixels of `other` before those of x.
fn prepend(i: u32) -> f32 {
  let at = i % p.ow;
  let c = i / p.ow;
  if at < p.period { return other[c % p.c * p.period + at]; }
  return x_in[c * (p.ow - p.period) + at - p.period];
}

fn without(i: u32) -> f32 {
  let pixels = p.oh * p.ow;
  return x_in[i / pixels * (pixels + p.period) + p.period + i % pixels];
}

// A depthwise convolution and ReLU6; the side of the kernel is p.groups.
fn depthwise(i: u32) -> f32 {
  let c = i / (p.ow * p.oh);
  let top = i32(i / p.ow % p.oh * p.stride) - i32(p.pad);
  let left = i32(i % p.ow * p.stride) - i32(p.pad);
  let k = p.groups;
  var v = bias[c % p.c];
  for (var dy = 0u; dy < k; dy++) {
    let y = top + i32(dy);
    if y < 0 || y >= i32(p.h) { continue; }
    for (var dx = 0u; dx < k; dx++) {
      let x = left + i32(dx);
      if x < 0 || x >= i32(p.w) { continue; }
      v += other[(c % p.c * k + dy) * k + dx] * x_in[(c * p.h + u32(y)) * p.w + u32(x)];
    }
  }
  return clamp(v, 0.0, 6.0);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = (group.y * p.wide + group.x) * 256u + t;
  if i < p.n { y_out[i] = WHAT(i); }
}
