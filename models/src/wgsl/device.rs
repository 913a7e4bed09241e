//! One adapter: its kernels, its memory, and what was asked of it and not yet handed to it.
//!
//! In: dispatches of kernels over buffers. They are kept until something is read back, then handed over in one submission (or sooner, where
//! a driver's watchdog might take it for a hang). Buffers that are no longer needed are used again. Nothing here panics where the device
//! fails: a buffer that could not be had carries the reason to whatever is made from it, a lost device is told when something is read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use half::f16;
use histoloom_core::{Error, Result};
use parking_lot::Mutex;

use super::kernels::{Kernel, PARAMS_BYTES, Params};

/// Dispatches in one submission at most; their parameters lie in one buffer.
const DISPATCHES: usize = 4096;
/// Multiplications after which what was asked is handed over: a tenth of a second on a GPU of 1 TFLOP/s, far from any watchdog's seconds.
const WORK: u64 = 50_000_000_000;
/// Bytes of unused buffers that are kept.
const UNUSED: u64 = 1 << 30;
/// How long another thread may take to call back what is done.
const CALLED_BACK: Duration = Duration::from_secs(60);
/// Storage buffers a kernel reads.
const READS: usize = 5;

/// An adapter that was opened.
pub(super) struct Gpu {
    name: String,
    /// Whether the adapter is a GPU of its own.
    discrete: bool,
    /// Whether kernels may read half precision.
    half: bool,
    #[cfg(test)]
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    bindings: wgpu::BindGroupLayout,
    layout: wgpu::PipelineLayout,
    pipelines: Mutex<BTreeMap<Kernel, wgpu::ComputePipeline>>,
    params: wgpu::Buffer,
    stride: usize,
    nothing: wgpu::Buffer,
    asked: Mutex<Asked>,
    unused: Mutex<Unused>,
    /// Why the device is of no use any more.
    fault: Arc<OnceLock<String>>,
    dispatches: AtomicUsize,
    submissions: AtomicUsize,
}

/// What was asked for and not yet handed over.
#[derive(Default)]
struct Asked {
    dispatches: Vec<(wgpu::ComputePipeline, wgpu::BindGroup, [u32; 3])>,
    params: Vec<u8>,
    work: u64,
}

/// Buffers to be used again, by size.
#[derive(Default)]
struct Unused {
    by_size: BTreeMap<u64, Vec<wgpu::Buffer>>,
    bytes: u64,
}

/// Values on the device, or why they could not be had there.
pub(super) type Values = std::result::Result<Arc<Held>, Arc<str>>;

/// A buffer that goes back to the unused ones.
pub(super) struct Held {
    gpu: Arc<Gpu>,
    buffer: wgpu::Buffer,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gpu.unused.lock().put(self.buffer.clone());
    }
}

impl Unused {
    fn put(&mut self, buffer: wgpu::Buffer) {
        if self.bytes + buffer.size() <= UNUSED {
            self.bytes += buffer.size();
            self.by_size.entry(buffer.size()).or_default().push(buffer);
        }
    }

    fn take(&mut self, bytes: u64) -> Option<wgpu::Buffer> {
        let buffer = self.by_size.get_mut(&bytes)?.pop()?;
        self.bytes -= bytes;
        Some(buffer)
    }
}

const STORAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Sizes are rounded up to an eighth of their power of two, so that buffers fit again.
fn rounded(bytes: u64) -> u64 {
    let step = (bytes.next_power_of_two() / 8).max(256);
    bytes.div_ceil(step) * step
}

impl Gpu {
    /// Opens a device on `adapter`, with the buffers that it allows and, where `half` wants it, with half precision if it has that.
    pub(super) fn open(adapter: &wgpu::Adapter, name: &str, half: bool) -> std::result::Result<Arc<Self>, String> {
        let allowed = adapter.limits();
        let required_limits = wgpu::Limits {
            max_buffer_size: allowed.max_buffer_size,
            max_storage_buffer_binding_size: allowed.max_storage_buffer_binding_size,
            ..wgpu::Limits::default()
        };
        let mut required_features = wgpu::Features::empty();
        required_features.set(wgpu::Features::SHADER_F16, half && adapter.features().contains(wgpu::Features::SHADER_F16));
        let wanted = wgpu::DeviceDescriptor { label: Some("histoloom"), required_features, required_limits, ..Default::default() };
        let (device, queue) = cubecl_environment::future::block_on(adapter.request_device(&wanted)).map_err(|e| e.to_string())?;
        let fault: Arc<OnceLock<String>> = Arc::default();
        let (of_error, of_loss) = (fault.clone(), fault.clone());
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            log::error!("GPU: {e}");
            of_error.get_or_init(|| e.to_string());
        }));
        device.set_device_lost_callback(move |reason, why| {
            of_loss.get_or_init(|| format!("the device was lost ({reason:?}) {why}"));
        });
        let storage = |binding: usize, read_only| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let uniform = wgpu::BufferBindingType::Uniform;
        let params = wgpu::BindingType::Buffer { ty: uniform, has_dynamic_offset: true, min_binding_size: None };
        let mut entries = vec![wgpu::BindGroupLayoutEntry { binding: 0, visibility: wgpu::ShaderStages::COMPUTE, ty: params, count: None }];
        entries.extend((1..=READS).map(|n| storage(n, true)));
        entries.push(storage(READS + 1, false));
        let bindings = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let stride = PARAMS_BYTES.next_multiple_of(device.limits().min_uniform_buffer_offset_alignment as usize);
        let buffer = |size, usage| device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        let params = buffer((DISPATCHES * stride) as u64, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST);
        let nothing = buffer(256, STORAGE);
        Ok(Arc::new(Self {
            name: name.into(),
            discrete: adapter.get_info().device_type == wgpu::DeviceType::DiscreteGpu,
            half: required_features.contains(wgpu::Features::SHADER_F16),
            #[cfg(test)]
            adapter: adapter.clone(),
            device,
            queue,
            bindings,
            layout,
            pipelines: Mutex::default(),
            params,
            stride,
            nothing,
            asked: Mutex::default(),
            unused: Mutex::default(),
            fault,
            dispatches: AtomicUsize::new(0),
            submissions: AtomicUsize::new(0),
        }))
    }

    /// Whether the adapter is a GPU of its own.
    pub(super) fn discrete(&self) -> bool {
        self.discrete
    }

    /// Whether the device is of no use any more.
    pub(super) fn lost(&self) -> bool {
        self.fault.get().is_some()
    }

    /// Whether kernels may read half precision.
    #[cfg(test)]
    pub(super) fn half(&self) -> bool {
        self.half
    }

    /// Another device on the same adapter.
    #[cfg(test)]
    pub(super) fn another(&self, half: bool) -> std::result::Result<Arc<Self>, String> {
        Self::open(&self.adapter, &self.name, half)
    }

    /// Dispatches and submissions since it was opened.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.dispatches.load(Ordering::Relaxed), self.submissions.load(Ordering::Relaxed))
    }

    /// Loses the device, as a driver's reset would.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.device.destroy();
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    /// A buffer of `n` values that hold anything.
    pub(super) fn room(self: &Arc<Self>, n: usize) -> Values {
        let bytes = rounded(4 * n as u64);
        match self.unused.lock().take(bytes) {
            Some(buffer) => Ok(Arc::new(Held { gpu: self.clone(), buffer })),
            None => self.new_buffer(bytes),
        }
    }

    /// These values in half precision, where the device knows it and not one of them loses anything; else in single precision. Which it is.
    pub(super) fn put_half(self: &Arc<Self>, values: &[f32]) -> (Values, bool) {
        let halves: Option<Vec<f16>> = values.iter().map(|v| Some(f16::from_f32(*v)).filter(|h| h.to_f32() == *v)).collect();
        match halves.filter(|_| self.half) {
            Some(halves) => (self.put_bytes(&halves.iter().flat_map(|h| h.to_ne_bytes()).collect::<Vec<_>>()), true),
            None => (self.put(values), false),
        }
    }

    /// These values on the device. The buffer is a new one: what was asked before and is not handed over may still read an unused one.
    pub(super) fn put(self: &Arc<Self>, values: &[f32]) -> Values {
        self.put_bytes(&values.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<_>>())
    }

    fn put_bytes(self: &Arc<Self>, bytes: &[u8]) -> Values {
        let held = self.new_buffer(rounded(bytes.len() as u64))?;
        self.queue.write_buffer(&held.buffer, 0, bytes);
        Ok(held)
    }

    /// A buffer, unless the device allows none so large or has no memory for it.
    fn new_buffer(self: &Arc<Self>, size: u64) -> Values {
        let limits = self.device.limits();
        let most = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        if size > most {
            return Err(format!("a buffer of {} MiB is larger than the {} MiB it allows", size >> 20, most >> 20).into());
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage: STORAGE, mapped_at_creation: false });
        if cubecl_environment::future::block_on(scope.pop()).is_some() {
            *self.unused.lock() = Unused::default(); // for those that come next
            return Err(format!("it has no memory for {} MiB more", size.div_ceil(1 << 20)).into());
        }
        Ok(Arc::new(Held { gpu: self.clone(), buffer }))
    }

    /// Asks for one run of a kernel: `reads` are bound in order, absent ones to a buffer that is not looked at.
    pub(super) fn ask(&self, kernel: Kernel, params: &Params, reads: [Option<&Held>; READS], write: &Held, groups: [u32; 3], work: u64) {
        let pipeline = self.pipeline(kernel);
        let offset_of = wgpu::BufferBinding { buffer: &self.params, offset: 0, size: wgpu::BufferSize::new(PARAMS_BYTES as u64) };
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(offset_of) }];
        for (n, read) in reads.iter().enumerate() {
            let buffer = read.map_or(&self.nothing, |h| &h.buffer);
            entries.push(wgpu::BindGroupEntry { binding: n as u32 + 1, resource: buffer.as_entire_binding() });
        }
        entries.push(wgpu::BindGroupEntry { binding: READS as u32 + 1, resource: write.buffer.as_entire_binding() });
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &self.bindings, entries: &entries });
        let mut asked = self.asked.lock();
        asked.dispatches.push((pipeline, group, groups));
        let end = asked.dispatches.len() * self.stride;
        asked.params.extend(params.bytes());
        asked.params.resize(end, 0);
        asked.work += work;
        self.dispatches.fetch_add(1, Ordering::Relaxed);
        if asked.dispatches.len() == DISPATCHES || asked.work >= WORK {
            self.hand_over(&mut asked, None);
        }
    }

    /// Hands over what was asked, and then copies of so many bytes of buffers to one, end to end.
    fn hand_over(&self, asked: &mut Asked, copies: Option<(&[(&Held, u64)], &wgpu::Buffer)>) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        if !asked.dispatches.is_empty() {
            self.queue.write_buffer(&self.params, 0, &asked.params);
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: None });
            for (n, (pipeline, group, [x, y, z])) in asked.dispatches.iter().enumerate() {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, group, &[(n * self.stride) as u32]);
                pass.dispatch_workgroups(*x, *y, *z);
            }
        }
        if let Some((from, to)) = copies {
            let mut end = 0;
            for (held, bytes) in from {
                encoder.copy_buffer_to_buffer(&held.buffer, 0, to, end, *bytes);
                end += bytes;
            }
        }
        self.queue.submit([encoder.finish()]);
        self.submissions.fetch_add(1, Ordering::Relaxed);
        *asked = Asked::default();
    }

    fn pipeline(&self, kernel: Kernel) -> wgpu::ComputePipeline {
        let mut pipelines = self.pipelines.lock();
        if let Some(made) = pipelines.get(&kernel) {
            return made.clone();
        }
        let source = wgpu::ShaderSource::Wgsl(kernel.source().into());
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let made = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&self.layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
            cache: None,
        });
        pipelines.insert(kernel, made.clone());
        made
    }

    /// The first values of each buffer, so many, one buffer's after another's, when all that was asked is done.
    pub(super) fn read(&self, wanted: &[(&Held, usize)]) -> Result<Vec<f32>> {
        let copies: Vec<(&Held, u64)> = wanted.iter().map(|(held, n)| (*held, 4 * *n as u64)).collect();
        let (n, bytes) = (wanted.iter().map(|w| w.1).sum(), copies.iter().map(|c| c.1).sum::<u64>());
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let to = self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size: bytes.max(4), usage, mapped_at_creation: false });
        self.hand_over(&mut self.asked.lock(), Some((&copies, &to)));
        let (tell, told) = mpsc::channel();
        to.map_async(wgpu::MapMode::Read, .., move |result| drop(tell.send(result)));
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        if let Some(why) = self.fault.get() {
            return Err(self.error(why));
        }
        waited.map_err(|e| self.error(&e.to_string()))?;
        // a thread that waits beside this one may be the one that calls back, a moment after this one has seen the work done
        match told.recv_timeout(CALLED_BACK) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(self.error(&e.to_string())),
            Err(_) => return Err(self.error("its memory could not be read")),
        }
        let view = to.get_mapped_range(..).map_err(|e| self.error(&e.to_string()))?;
        Ok(view.as_chunks().0.iter().take(n).map(|b| f32::from_ne_bytes(*b)).collect())
    }

    /// The error of a failed device.
    pub(super) fn error(&self, why: &str) -> Error {
        Error::Device {
            device: self.name.clone(),
            why: why.into(),
            hint: "free memory on the device, update its driver, or use the device cpu".into(),
        }
    }
}
