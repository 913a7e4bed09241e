// Layer normalisation of the channels of each pixel, one pixel a thread.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let pixels = p.h * p.w;
  let i = (group.y * p.wide + group.x) * 64u + t;
  if i >= p.b * pixels { return; }
  let start = i / pixels * p.c * pixels + i % pixels;
  var total = 0.0;
  for (var c = 0u; c < p.c; c++) { total += x_in[start + c * pixels]; }
  let mean = total / f32(p.c);
  var squares = 0.0;
  for (var c = 0u; c < p.c; c++) { let d = x_in[start + c * pixels] - mean; squares += d * d; }
  let factor = inverseSqrt(squares / f32(p.c) + bitcast<f32>(p.epsilon));
  for (var c = 0u; c < p.c; c++) {
    y_out[start + c * pixels] = (x_in[start + c * pixels] - mean) * factor * other[c] + other[p.c + c];
  }
}
