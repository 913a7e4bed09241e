// Group normalisation as three numbers a channel: mean, factor, what is added. A workgroup takes one group of one item.
var<workgroup> partial: array<f32, 256>;

fn sum(t: u32, mine: f32) -> f32 {
  workgroupBarrier();
  partial[t] = mine;
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if t < half { partial[t] += partial[t + half]; }
  }
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let channels = p.c / p.groups;
  let n = channels * p.h * p.w;
  let start = (group.y * p.groups + group.x) * n;
  var total = 0.0;
  for (var i = t; i < n; i += 256u) { total += x_in[start + i]; }
  let mean = sum(t, total) / f32(n);
  var squares = 0.0;
  for (var i = t; i < n; i += 256u) { let d = x_in[start + i] - mean; squares += d * d; }
  let factor = inverseSqrt(sum(t, squares) / f32(n) + bitcast<f32>(p.epsilon));
  for (var i = t; i < channels; i += 256u) {
    let c = group.x * channels + i;
    let gamma = other[c];
    let beta = other[p.c + c];
    var scale = 1.0;
    var shift = 0.0;
    if p.film == 1u { scale += affine[p.period + c]; shift = affine[p.period + p.c + c]; }
    let at = group.y * 3u * p.c + c;
    y_out[at] = mean;
    y_out[at + p.c] = gamma * factor * scale;
    y_out[at + 2u * p.c] = beta * scale + shift;
  }
}
