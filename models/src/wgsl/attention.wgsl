// softmax(q k^T / sqrt(d)) v, one query a thread, keys and values in blocks (online softmax, arXiv 1805.02867).
// Written before it: D4 (channels of a head over 4), KEYS (keys at once).
var<workgroup> keys: array<vec4<f32>, KEYS * D4>;
var<workgroup> values: array<vec4<f32>, KEYS * D4>;

// Four channels of part 0 (q), 1 (k) or 2 (v) at one pixel.
fn four(item: u32, part: u32, head: u32, i: u32, pixel: u32, pixels: u32) -> vec4<f32> {
  let at = (item * 3u * p.c + part * p.c + head * D4 * 4u + 4u * i) * pixels + pixel;
  return vec4<f32>(x_in[at], x_in[at + pixels], x_in[at + 2u * pixels], x_in[at + 3u * pixels]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let pixels = p.h * p.w;
  let query = group.x * 64u + t;
  let head = group.y;
  let item = group.z;
  let mine = query < pixels;
  let scale = inverseSqrt(f32(D4 * 4u));
  var q: array<vec4<f32>, D4>;
  var o: array<vec4<f32>, D4>;
  for (var i = 0u; i < D4; i++) {
    if mine { q[i] = four(item, 0u, head, i, query, pixels) * scale; }
  }
  var largest = -3.0e38;
  var total = 0.0;
  for (var start = 0u; start < pixels; start += KEYS) {
    let n = min(KEYS, pixels - start);
    workgroupBarrier();
    for (var j = t; j < KEYS * D4; j += 64u) {
      let key = j % KEYS;
      if key < n {
        keys[key * D4 + j / KEYS] = four(item, 1u, head, j / KEYS, start + key, pixels);
        values[key * D4 + j / KEYS] = four(item, 2u, head, j / KEYS, start + key, pixels);
      }
    }
    workgroupBarrier();
    for (var key = 0u; key < n; key++) {
      var s = 0.0;
      for (var i = 0u; i < D4; i++) { s += dot(q[i], keys[key * D4 + i]); }
      if s > largest {
        let less = exp(largest - s);
        largest = s;
        total *= less;
        for (var i = 0u; i < D4; i++) { o[i] *= less; }
      }
      let share = exp(s - largest);
      total += share;
      for (var i = 0u; i < D4; i++) { o[i] += share * values[key * D4 + i]; }
    }
  }
  if !mine { return; }
  for (var i = 0u; i < D4; i++) {
    let v = o[i] / total;
    let at = (item * p.c + head * D4 * 4u + 4u * i) * pixels + query;
    y_out[at] = v.x;
    y_out[at + pixels] = v.y;
    y_out[at + 2u * pixels] = v.z;
    y_out[at + 3u * pixels] = v.w;
  }
}
