use burn::tensor::{Device, DeviceKind, Tensor, TensorData, activation::*, module::conv2d, ops::ConvOptions, wgpu::WgpuBackend};
fn show(name: &str, f: impl FnOnce() -> Vec<f32>) { eprintln!("-> {name}"); let t = std::time::Instant::now(); let v = f(); eprintln!("   {name} ok {:?} {:.2}s", &v[..2.min(v.len())], t.elapsed().as_secs_f64()); }
fn main() {
    use cubecl_runtime::config::{CubeClRuntimeConfig, RuntimeConfig};
    let c: CubeClRuntimeConfig = serde_json::from_value(serde_json::json!({"autotune": {"level": "minimal", "disable_cache": true}, "environment": {"path": {"directory": "/tmp"}, "records": {"level": "off"}}})).unwrap();
    CubeClRuntimeConfig::try_set(c);
    let d = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).device_kind(DeviceKind::Cpu).init().unwrap();
    let t = |s: [usize; 4]| Tensor::<4>::from_data(TensorData::new((0..s.iter().product::<usize>()).map(|i| (i % 17) as f32 * 0.1).collect::<Vec<f32>>(), s), &d);
    let g = |x: Tensor<4>| x.try_into_vec_as::<f32>().unwrap();
    let only = std::env::args().nth(1).unwrap_or_default();
    let ops: Vec<(&str, Box<dyn FnOnce() -> Vec<f32> + '_>)> = vec![
        ("upload", Box::new(|| g(t([1, 4, 4, 4])))),
        ("add", Box::new(|| g(t([1, 4, 4, 4]) + t([1, 4, 4, 4])))),
        ("silu", Box::new(|| g(silu(t([1, 4, 4, 4]))))),
        ("mean", Box::new(|| g(t([1, 4, 4, 4]).mean_dim(2)))),
        ("var", Box::new(|| g(t([1, 4, 4, 4]).reshape([1, 4, 16]).var_mean_bias(2).0.reshape([1, 4, 1, 1])))),
        ("softmax", Box::new(|| g(softmax(t([1, 4, 4, 4]), 3)))),
        ("cat", Box::new(|| g(Tensor::cat(vec![t([1, 4, 4, 4]), t([1, 4, 4, 4])], 1)))),
        ("expand", Box::new(|| g(t([1, 4, 4, 4]).reshape([1, 4, 4, 1, 4, 1]).expand([1, 4, 4, 2, 4, 2]).reshape([1, 4, 8, 8])))),
        ("permute", Box::new(|| g(t([1, 4, 4, 4]).reshape([1, 1, 2, 2, 4, 4]).permute([0, 1, 4, 2, 5, 3]).reshape([1, 1, 8, 8])))),
        ("matmul", Box::new(|| g(t([1, 2, 16, 8]).matmul(t([1, 2, 8, 16]))))),
        ("conv1", Box::new(|| g(conv2d(t([1, 8, 6, 6]), t([8, 8, 1, 1]), None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1))))),
        ("conv3", Box::new(|| g(conv2d(t([1, 8, 6, 6]), t([8, 8, 3, 3]), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1))))),
        ("depthwise", Box::new(|| g(conv2d(t([1, 8, 6, 6]), t([8, 1, 3, 3]), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 8))))),
    ];
    for (n, f) in ops { if only.is_empty() || only == n { show(n, f) } }
}
