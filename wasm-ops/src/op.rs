//! One op in the sandbox. In: a module and a tile. Out: [`OpOutput`]. Fails: [`Error::Op`] (refused, trapped, broke the contract),
//! [`Error::OpLimit`] (time, instructions, memory, stack), [`Error::Parameter`] (the user's value). Every run gets a fresh instance:
//! nothing is carried from tile to tile, so the same input gives the same bytes in any order and on any number of threads.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use histoloom_core::ops::{Op, OpInput, OpOutput};
use histoloom_core::{Error, Result};
use image::RgbImage;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use wasmtime::{Instance, InstancePre, Linker, Module, Store, Trap};

use crate::abi::{self, Fault, Layout, Outbox};
use crate::manifest::Manifest;
use crate::prescan;
use crate::sandbox::{Guarded, Limits, Sandbox, Stop};

/// Failures in a row after which an op is disabled.
pub const STRIKES: u32 = 3;
/// Compiled modules kept in memory.
const CACHED: usize = 64;

#[derive(Default)]
struct Record {
    strikes: u32,
    last: String,
}

/// A module that passed the prescan. It is compiled at its first run.
pub struct SandboxedOp {
    manifest: Manifest,
    sha256: String,
    wasm: Arc<[u8]>,
    limits: Limits,
    ready: OnceLock<wasmtime::Result<InstancePre<Guarded<Outbox>>>>,
    record: Mutex<Record>,
}

impl SandboxedOp {
    /// Takes a module; `file` names it in the error if it is refused.
    pub fn load(file: &str, wasm: &[u8]) -> Result<Self> {
        let refuse = |why: String| Error::Op { op: abi::sanitise(file, 64), why: format!("refused: {why}") };
        let scanned = prescan::scan(wasm).map_err(refuse)?;
        let manifest = Manifest::parse(&scanned.manifest).map_err(refuse)?;
        let sha256 = Sha256::digest(wasm).iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { manifest, sha256, wasm: wasm.into(), limits: Limits::default(), ready: OnceLock::new(), record: Mutex::default() })
    }

    /// The same op with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Why it was disabled, if it was.
    pub fn disabled(&self) -> Option<String> {
        let r = self.record.lock();
        (r.strikes >= STRIKES).then(|| {
            format!(
                "it is disabled, for it failed {STRIKES} times in a row, at last: {}; mend it or leave it out, then load the ops again",
                r.last
            )
        })
    }

    fn fault(&self, why: impl Into<String>) -> Error {
        Error::Op { op: self.manifest.name.clone(), why: why.into() }
    }

    /// The error a failed call is for the user.
    fn failed(&self, doing: &str, error: &wasmtime::Error) -> Error {
        if let Some(stop) = Stop::behind(error) {
            if stop == Stop::Cancelled {
                return Error::Cancelled;
            }
            return Error::OpLimit { op: self.manifest.name.clone(), why: stop.to_string() };
        }
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return self.fault(format!("{fault}; the tile stays as it was, tell the op's author"));
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return self.fault(format!("{doing} trapped ({trap}); the tile stays as it was, tell the op's author"));
        }
        self.fault(format!("{doing} failed: {error:#}"))
    }

    /// Compiled and linked, once.
    fn ready(&self, sandbox: &'static Sandbox) -> Result<&InstancePre<Guarded<Outbox>>> {
        let made = self.ready.get_or_init(|| {
            let module = self.compiled(sandbox)?;
            let mut linker = Linker::new(sandbox.engine());
            abi::link(&mut linker)?;
            linker.instantiate_pre(&module)
        });
        made.as_ref().map_err(|e| self.failed("compiling it", e))
    }

    /// The module out of the cache of this process, by hash.
    fn compiled(&self, sandbox: &'static Sandbox) -> wasmtime::Result<Module> {
        static CACHE: Mutex<Option<HashMap<String, Module>>> = Mutex::new(None);
        let cache = || CACHE.lock();
        if let Some(module) = cache().get_or_insert_default().get(&self.sha256) {
            return Ok(module.clone());
        }
        let began = Instant::now();
        let module = sandbox.compile(Arc::clone(&self.wasm), self.limits.compile)?;
        log::debug!("op {}: compiled in {:.1} ms", self.manifest.name, began.elapsed().as_secs_f64() * 1e3);
        let mut cache = cache();
        let map = cache.get_or_insert_default();
        if map.len() >= CACHED {
            map.clear();
        }
        map.insert(self.sha256.clone(), module.clone());
        Ok(module)
    }

    /// Compiles it if that was not done yet, and makes an instance that tells its version; how long each of the two took.
    pub fn probe(&self) -> Result<[Duration; 2]> {
        let sandbox = Sandbox::get().map_err(Error::internal)?;
        let began = Instant::now();
        let ready = self.ready(sandbox)?;
        let (compiled, began) = (began.elapsed(), Instant::now());
        let (mut store, running) =
            sandbox.store(Outbox::new(1, 1), &self.limits, 0, Arc::default()).map_err(|e| self.failed("starting it", &e))?;
        self.begun(&mut store, ready)?;
        let made = began.elapsed();
        drop(running);
        Ok([compiled, made])
    }

    /// A run, and how long `hl_op_run` itself took.
    pub fn measured(&self, input: &OpInput<'_>) -> Result<(OpOutput, Duration)> {
        if let Some(why) = self.disabled() {
            return Err(self.fault(why));
        }
        let params = self.manifest.resolve(input.params)?;
        let layout = Layout::new(input, params.len())?;
        let outcome = self.attempt(input, &layout, &params);
        self.remember(&outcome);
        outcome
    }

    /// One run in a fresh instance.
    fn attempt(&self, input: &OpInput<'_>, layout: &Layout, params: &[f64]) -> Result<(OpOutput, Duration)> {
        let sandbox = Sandbox::get().map_err(Error::internal)?;
        let ready = self.ready(sandbox)?;
        let (w, h) = input.rgb.dimensions();
        let pixels = u64::from(w) * u64::from(h);
        let (mut store, running) =
            sandbox.store(Outbox::new(w, h), &self.limits, pixels, input.cancelled.clone()).map_err(|e| self.failed("starting it", &e))?;
        let (rgb, labels, took) = self.call(&mut store, ready, input, layout, params)?;
        drop(running);
        Ok((OpOutput { rgb, labels, ..store.into_data().inner.finish() }, took))
    }

    /// A fresh instance that speaks our version.
    fn begun(&self, store: &mut Store<Guarded<Outbox>>, ready: &InstancePre<Guarded<Outbox>>) -> Result<Instance> {
        let failed = |doing: &'static str| move |e: wasmtime::Error| self.failed(doing, &e);
        let instance = ready.instantiate(&mut *store).map_err(failed("starting it"))?;
        store.data_mut().inner.memory = instance.get_memory(&mut *store, "memory");
        let abi_version = instance.get_typed_func::<(), i32>(&mut *store, "hl_op_abi").map_err(failed("hl_op_abi"))?;
        let version = abi_version.call(&mut *store, ()).map_err(failed("hl_op_abi"))?;
        if version != abi::VERSION {
            return Err(self.fault(format!("it speaks version {version} of the op ABI, this is {}; get another build of it", abi::VERSION)));
        }
        Ok(instance)
    }

    /// The conversation of one run: version, allocation, input, run, pixels and labels.
    fn call(
        &self,
        store: &mut Store<Guarded<Outbox>>,
        ready: &InstancePre<Guarded<Outbox>>,
        input: &OpInput<'_>,
        layout: &Layout,
        params: &[f64],
    ) -> Result<(Option<RgbImage>, Option<Vec<u8>>, Duration)> {
        let failed = |doing: &'static str| move |e: wasmtime::Error| self.failed(doing, &e);
        let instance = self.begun(store, ready)?;
        let alloc = instance.get_typed_func::<i32, i32>(&mut *store, "hl_op_alloc").map_err(failed("hl_op_alloc"))?;
        let run = instance.get_typed_func::<i32, i32>(&mut *store, "hl_op_run").map_err(failed("hl_op_run"))?;
        let memory = store.data().inner.memory.ok_or_else(|| self.fault("it exports no memory"))?;
        let base = alloc.call(&mut *store, layout.bytes as i32).map_err(failed("hl_op_alloc"))?;
        let fault = |f: Fault| self.fault(format!("{f}; the tile stays as it was, tell the op's author"));
        layout.write(memory.data_mut(&mut *store), base as u32, input, params).map_err(fault)?;
        let began = Instant::now();
        let code = run.call(&mut *store, base).map_err(failed("hl_op_run"))?;
        let took = began.elapsed();
        let (rgb, labels) = self.taken(code, memory.data(&*store), base as u32, input, layout)?;
        Ok((rgb, labels, took))
    }

    /// What a run that returned `code` left in its memory.
    fn taken(
        &self,
        code: i32,
        memory: &[u8],
        base: u32,
        input: &OpInput<'_>,
        layout: &Layout,
    ) -> Result<(Option<RgbImage>, Option<Vec<u8>>)> {
        if code < 0 {
            return Err(self.fault(format!("it gave up with its own code {code}; see its documentation")));
        }
        if code & !(abi::PIXELS | abi::LABELS) != 0 {
            return Err(self.fault(format!("hl_op_run returned {code}; the contract knows 0 to 3 and codes below 0; tell the op's author")));
        }
        let (mut rgb, mut labels) = (None, None);
        if code & abi::PIXELS != 0 {
            let pixels = layout.pixels(memory, base).ok_or_else(|| self.fault("its pixels are gone"))?;
            let (w, h) = input.rgb.dimensions();
            let picture = RgbImage::from_raw(w, h, pixels.to_vec()).ok_or_else(|| Error::internal("an op's pixels do not fit"))?;
            rgb = Some(picture);
        }
        if code & abi::LABELS != 0 {
            let fault = |f: Fault| self.fault(format!("{f}; the tile stays as it was, tell the op's author"));
            labels = Some(layout.labels(memory, base, input.labels).map_err(fault)?.to_vec());
        }
        Ok((rgb, labels))
    }

    /// Counts failures in a row and says when they became too many.
    fn remember<T>(&self, outcome: &Result<T>) {
        let mut r = self.record.lock();
        match outcome {
            Ok(_) => r.strikes = 0,
            Err(Error::Op { why, .. } | Error::OpLimit { why, .. }) => {
                r.strikes += 1;
                r.last.clone_from(why);
                if r.strikes == STRIKES {
                    log::warn!("op {}: disabled, for it failed {STRIKES} times in a row, at last: {why}", self.manifest.name);
                }
            }
            Err(_) => {}
        }
    }
}

impl Op for SandboxedOp {
    fn name(&self) -> &str {
        &self.manifest.name
    }

    fn version(&self) -> u32 {
        self.manifest.version
    }

    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn resolved(&self, params: &str) -> Result<Map<String, Value>> {
        self.manifest.resolved(params)
    }

    fn run(&self, input: &OpInput<'_>) -> Result<OpOutput> {
        Ok(self.measured(input)?.0)
    }
}
