//! Calls of the ABI in any order with any arguments that the header allows to be made: handles that are stale, forged, of another kind or
//! released twice, structs of any declared size, NULL, buffers too small. A model knows which handles live, and says for each call whether
//! it may succeed.

use std::collections::BTreeMap;

use histoloom::types::*;
use histoloom::*;

use crate::bytes::Bytes;
use crate::exact::{MARK, MARKS, Text, check, declared, fill, fill_text};
use crate::viewer::{Manner, Viewer, slide};

/// Most contexts at once: each has a thread.
const CONTEXTS: usize = 3;
/// Most calls of one execution.
const CALLS: usize = 200;
/// Pairs of a job kind and parameters that cost little: without weights the networks' jobs end early.
const JOBS: [(&str, &str); 9] = [
    ("selftest", r#"{"reads": 1, "side_px": 9, "steps": 1, "tiles": 2}"#),
    ("selftest", r#"{"reads": 3, "side_px": 300, "downsample": 2.5, "steps": 0}"#),
    ("selftest", r#"{"steps": 2, "step_ms": 1}"#),
    ("selftest", r#"{"panic": true}"#),
    ("cluster", r#"{"k": 3}"#),
    ("synth", ""),
    ("edit", ""),
    ("import", "{}"),
    ("cluster", "[]"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Context,
    Slide,
    Job,
    Result,
}

/// What a handle stands for.
#[derive(Clone, Copy, Debug)]
struct Known {
    kind: Kind,
    context: u64,
}

/// The model.
struct World {
    viewer: Box<Viewer>,
    live: BTreeMap<u64, Known>,
    /// Every handle that was ever given.
    seen: Vec<u64>,
}

/// The bytes: one for the function, then its arguments, over and over.
pub fn calls(data: &[u8]) {
    let mut b = Bytes::new(data);
    let mut world = World { viewer: Box::default(), live: BTreeMap::new(), seen: Vec::new() };
    for _ in 0..CALLS {
        if b.is_empty() {
            break;
        }
        world.call(&mut b);
    }
    world.end();
}

impl World {
    fn call(&mut self, b: &mut Bytes<'_>) {
        match b.byte() % 24 {
            0 => self.create(b),
            1..=2 => self.open(b),
            3..=6 => self.start(b),
            7 => self.release(b),
            8 => constants(b),
            9 => texts(b),
            10..=14 => self.job(b),
            15..=17 => self.result(b),
            18 => self.region(b),
            19 => self.picture(b),
            20 => self.viewer.set(b.pick(&[Manner::Good, Manner::Short, Manner::Fail, Manner::Overrun, Manner::CallBack])),
            21 => self.doctor(b),
            _ => self.take_result(b),
        }
    }

    /// A handle: most often a living one of this kind, else anything.
    fn handle(&self, b: &mut Bytes<'_>, kind: Kind) -> u64 {
        let old = |b: &mut Bytes<'_>| if self.seen.is_empty() { 0 } else { b.pick(&self.seen) };
        match b.byte() % 16 {
            0 => 0,
            1 => old(b),
            2 => old(b) ^ 1 << (b.byte() % 64),
            3 => b.number(8),
            n => {
                let all: Vec<u64> = self.live.iter().filter(|(_, known)| known.kind == kind).map(|(handle, _)| *handle).collect();
                all.get(usize::from(n) % all.len().max(1)).copied().unwrap_or(0)
            }
        }
    }

    fn lives(&self, handle: u64, kind: Kind) -> bool {
        self.live.get(&handle).is_some_and(|known| known.kind == kind)
    }

    /// What a call of one handle may give: never success with a dead one, never complaints of a living one.
    fn judge(&self, code: i32, handle: u64, kind: Kind) {
        check(code);
        let lives = self.lives(handle, kind);
        assert!(if lives { code != HL_E_HANDLE } else { code != HL_OK }, "{code} for {handle:#x}, a {:?}", self.live.get(&handle));
    }

    /// Takes a handle that a call gave or did not.
    fn take(&mut self, code: i32, given: u64, kind: Kind, context: u64) {
        if code != HL_OK {
            return assert_eq!(given, MARKS, "a handle was written by a call that failed with {code}");
        }
        assert!(given != 0 && !self.seen.contains(&given), "{given:#x} was given twice");
        let context = if kind == Kind::Context { given } else { context };
        self.live.insert(given, Known { kind, context });
        self.seen.push(given);
    }

    fn create(&mut self, b: &mut Bytes<'_>) {
        if self.live.values().filter(|known| known.kind == Kind::Context).count() == CONTEXTS {
            return;
        }
        let mut host = self.viewer.table();
        host.abi = b.pick(&[HL_ABI_VERSION, HL_ABI_VERSION, HL_ABI_VERSION + 9, 0, 2 << 16]);
        host.max_concurrent_reads = b.pick(&[0, 1, 2, u32::MAX]);
        host.read_region = host.read_region.filter(|_| !b.once_in(8));
        host.log = host.log.filter(|_| !b.once_in(4));
        host.progress = host.progress.filter(|_| !b.once_in(4));
        let host = declared(&host, size(b, 48), b.pick(&[0, 1]));
        let models = Text::any(b, &["/nowhere"]);
        // the weights of the source tree must not be found: they would be used
        let device = if models.as_ptr().is_null() { Text::of(b"none") } else { Text::any(b, &["cpu", "cpu", "gpu:77"]) };
        let config = hl_config {
            struct_size: 0,
            threads: b.pick(&[1, 1, 2, 1025, u32::MAX]),
            models_dir: models.as_ptr(),
            device: device.as_ptr(),
            host: if b.once_in(16) { std::ptr::null() } else { host.as_ptr().cast() },
        };
        let config = declared(&config, size(b, 32), b.pick(&[0, 1]));
        let mut given = MARKS;
        let (from, to) = (nullable(b, &config), if b.once_in(16) { std::ptr::null_mut() } else { &raw mut given });
        // SAFETY: each pointer is NULL or has what the struct or text behind it declares.
        let code = unsafe { hl_context_create(from.cast(), to) };
        check(code);
        self.take(code, given, Kind::Context, 0);
    }

    fn open(&mut self, b: &mut Bytes<'_>) {
        let context = self.handle(b, Kind::Context);
        let (name, id) = (Text::any(b, &["slide"]), Text::any(b, &["id"]));
        let numbers = [1.0, 4.0, 4.0, f64::NAN, f64::INFINITY, 0.5];
        let levels = usize::from(b.byte() % 6);
        let steps: Box<[f64]> = numbers[..levels].into();
        let mut desc = slide();
        desc.pixel_format = b.pick(&[1, 1, 2, 3, 4, 0, 5, u32::MAX]);
        desc.width_px = b.pick(&[700, 700, 1, 0, 2_000_000, 2_000_001, u64::MAX]);
        desc.height_px = b.pick(&[500, 500, 1, 0, 2_000_000, u64::MAX]);
        (desc.mpp_x, desc.mpp_y) = (b.pick(&[0.5, 0.0, -1.0, f64::NAN, 1e300, 0.6]), b.pick(&[0.5, 0.0, f64::INFINITY, 5e-324]));
        (desc.origin_x_px, desc.origin_y_px) = (b.number(8) as i64, b.number(8) as i64);
        (desc.name, desc.id, desc.token) = (name.as_ptr(), id.as_ptr(), b.number(8));
        desc.levels = if b.once_in(16) { u32::MAX } else { levels as u32 };
        desc.downsamples = if b.once_in(16) { std::ptr::null() } else { steps.as_ptr() };
        let desc = declared(&desc, size(b, 96), b.pick(&[0, 1]));
        let mut given = MARKS;
        // SAFETY: as in `create`; a number of levels beyond the limit is refused before any is read.
        let code = unsafe { hl_slide_open(context, nullable(b, &desc).cast(), &raw mut given) };
        self.judge(code, context, Kind::Context);
        self.take(code, given, Kind::Slide, context);
    }

    fn start(&mut self, b: &mut Bytes<'_>) {
        let context = self.handle(b, Kind::Context);
        let slide = if b.once_in(2) { 0 } else { self.handle(b, Kind::Slide) };
        let from = if b.once_in(2) { 0 } else { self.handle(b, Kind::Result) };
        let (kind, params) = b.pick(&JOBS);
        let (kind, params) = (Text::any(b, &[kind]), Text::any(b, &[params]));
        let mut job = MARKS;
        // SAFETY: texts that end with NUL or are NULL, and a place for the handle.
        let code = unsafe { hl_job_start(context, slide, kind.as_ptr(), params.as_ptr(), from, &raw mut job) };
        check(code);
        let of = |handle, kind| handle == 0 || self.live.get(&handle).is_some_and(|k| k.kind == kind && k.context == context);
        assert!(code != HL_OK || (self.lives(context, Kind::Context) && of(slide, Kind::Slide) && of(from, Kind::Result)));
        self.take(code, job, Kind::Job, context);
        if code == HL_OK {
            self.viewer.job.store(job, std::sync::atomic::Ordering::SeqCst);
            self.viewer.answer.store(u8::from(b.once_in(8)), std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn release(&mut self, b: &mut Bytes<'_>) {
        let kind = b.pick(&[Kind::Slide, Kind::Job, Kind::Result, Kind::Job, Kind::Context]);
        let handle = self.handle(b, kind);
        let code = released(kind, handle);
        let lives = self.lives(handle, kind);
        assert_eq!(code, if lives || handle == 0 { HL_OK } else { HL_E_HANDLE }, "{kind:?} {handle:#x}");
        if lives && kind == Kind::Context {
            self.live.retain(|_, known| known.context != handle);
        } else if lives {
            self.live.remove(&handle);
        }
    }

    fn job(&mut self, b: &mut Bytes<'_>) {
        let job = self.handle(b, Kind::Job);
        let function = b.byte() % 6;
        // SAFETY, also below: buffers as `fill` and `fill_text` give them.
        let code = match function {
            0 => self.poll(b, job),
            1 => hl_job_wait(job, b.pick(&[0, 1, HL_FOREVER, HL_FOREVER])),
            2 => hl_job_cancel(job),
            // SAFETY: see above.
            3 => fill_text(b, |dst, cap, needed| unsafe { hl_job_params_json(job, dst, cap, needed) }),
            // SAFETY: see above.
            4 => fill_text(b, |dst, cap, needed| unsafe { hl_job_error(job, dst, cap, needed) }),
            // SAFETY: see above.
            _ => sized(b, |dst, cap, needed, w, h| unsafe { hl_job_partial(job, dst, cap, needed, w, h) }),
        };
        self.judge(code, job, Kind::Job);
    }

    /// Asks for progress into a struct of any declared size.
    fn poll(&self, b: &mut Bytes<'_>, job: u64) -> i32 {
        // SAFETY: plain numbers.
        let empty: hl_progress = unsafe { std::mem::zeroed() };
        let mut room = declared(&empty, size(b, 96), MARK);
        let before = room.clone();
        let to = if b.once_in(16) { std::ptr::null_mut() } else { room.as_mut_ptr() };
        // SAFETY: NULL, or as many bytes as are declared where they are not too few or absurd.
        let code = unsafe { hl_job_poll(job, to.cast()) };
        let untouched = if code == HL_OK { 96 } else { 0 };
        assert!(room[untouched.min(room.len())..] == before[untouched.min(room.len())..] && room[..4] == before[..4], "code {code}");
        code
    }

    /// The result of a job, which may have none.
    fn take_result(&mut self, b: &mut Bytes<'_>) {
        let job = self.handle(b, Kind::Job);
        if b.once_in(2) {
            check(hl_job_wait(job, HL_FOREVER));
        }
        let mut given = MARKS;
        // SAFETY: a place for the handle.
        let code = unsafe { hl_job_result(job, &raw mut given) };
        if code != HL_E_PANIC {
            self.judge(code, job, Kind::Job); // a job that panicked tells so, for it was asked to
        }
        let context = self.live.get(&job).map_or(0, |known| known.context);
        self.take(code, given, Kind::Result, context);
    }

    fn result(&mut self, b: &mut Bytes<'_>) {
        let result = self.handle(b, Kind::Result);
        let (function, index) = (b.byte() % 5, b.pick(&[0, 1, 2, u32::MAX]));
        let table = Text::any(b, &["classes", "k", "none"]);
        let code = fill_text(b, |dst, cap, needed| {
            // SAFETY: a text, and buffers as `fill_text` gives them.
            unsafe {
                match function {
                    0 => hl_result_json(result, dst, cap, needed),
                    1 => hl_result_geojson(result, dst, cap, needed),
                    2 => hl_result_provenance_json(result, dst, cap, needed),
                    3 => hl_result_csv(result, table.as_ptr(), dst, cap, needed),
                    _ => hl_result_tile_json(result, index, dst, cap, needed),
                }
            }
        });
        self.judge(code, result, Kind::Result);
    }

    fn picture(&mut self, b: &mut Bytes<'_>) {
        let result = self.handle(b, Kind::Result);
        let (function, index) = (b.byte() % 4, b.pick(&[0, 1, 2, u32::MAX]));
        let code = sized(b, |dst, cap, needed, w, h| {
            // SAFETY: buffers and places as `sized` gives them.
            unsafe {
                match function {
                    0 => hl_result_labels(result, dst, cap, needed, w, h),
                    1 => hl_result_overlay(result, dst, cap, needed, w, h),
                    2 => hl_result_tile_rgb(result, index, dst, cap, needed, w, h),
                    _ => hl_result_tile_labels(result, index, dst, cap, needed, w, h),
                }
            }
        });
        self.judge(code, result, Kind::Result);
    }

    fn region(&mut self, b: &mut Bytes<'_>) {
        let result = self.handle(b, Kind::Result);
        let sides = [1, 7, 64, 0, 1 << 13, 1 << 15, u32::MAX];
        let region = hl_region {
            struct_size: 0,
            pixel_format: b.pick(&[1, 2, 3, 4, 0, u32::MAX]),
            x_px: b.pick(&[0, -50, i64::MIN, i64::MAX]),
            y_px: b.pick(&[0, 100, i64::MIN, i64::MAX]),
            downsample: b.pick(&[1.0, 3.7, 1e300, 5e-324, 0.0, f64::NAN, -1.0]),
            width_px: b.pick(&sides),
            height_px: b.pick(&sides),
            stride_bytes: b.pick(&[0, 0, 300, 4, u32::MAX]),
            z: i32::from(b.once_in(16)),
            t: 0,
            reserved: u32::from(b.once_in(16)),
            token: b.number(8),
        };
        let region = declared(&region, size(b, 64), b.pick(&[0, 1]));
        let (from, overlay) = (nullable(b, &region), b.once_in(2));
        let code = fill(b, |dst, cap, needed| {
            // SAFETY: NULL or what is declared, and a buffer as `fill` gives it.
            unsafe {
                if overlay {
                    hl_result_overlay_region(result, from.cast(), dst, cap, needed)
                } else {
                    hl_result_labels_region(result, from.cast(), dst, cap, needed)
                }
            }
        });
        self.judge(code, result, Kind::Result);
    }

    /// What poisons a context, and what costs much, both seldom.
    fn doctor(&mut self, b: &mut Bytes<'_>) {
        let context = self.handle(b, Kind::Context);
        match b.byte() % 16 {
            0 => {
                let code = hl_selftest_panic(context);
                assert!(code == HL_E_POISONED || code == if self.lives(context, Kind::Context) { HL_E_PANIC } else { HL_E_HANDLE });
            }
            1 => {
                // SAFETY: buffers as `fill_text` gives them.
                let code = fill_text(b, |dst, cap, needed| unsafe { hl_doctor_json(context, dst, cap, needed) });
                self.judge(code, context, Kind::Context);
            }
            _ => {}
        }
    }

    /// Releases what is left; then no handle lives.
    fn end(&mut self) {
        let contexts: Vec<u64> = self.live.iter().filter(|(_, known)| known.kind == Kind::Context).map(|(handle, _)| *handle).collect();
        for context in contexts {
            assert_eq!(hl_context_release(context), HL_OK);
        }
        for handle in &self.seen {
            for kind in [Kind::Context, Kind::Slide, Kind::Job, Kind::Result] {
                assert_eq!(released(kind, *handle), HL_E_HANDLE, "{handle:#x} outlives its context");
            }
        }
    }
}

fn released(kind: Kind, handle: u64) -> i32 {
    match kind {
        Kind::Context => hl_context_release(handle),
        Kind::Slide => hl_slide_release(handle),
        Kind::Job => hl_job_release(handle),
        Kind::Result => hl_result_release(handle),
    }
}

/// A struct_size: the right one, one near it, or anything.
fn size(b: &mut Bytes<'_>, right: u32) -> u32 {
    match b.byte() % 16 {
        0 => b.number(4) as u32,
        1 => u32::from(b.byte()),
        2 => right + u32::from(b.byte()),
        3 => b.pick(&[0, 1, 4095, 4096, 4097, u32::MAX]),
        _ => right,
    }
}

fn nullable(b: &mut Bytes<'_>, block: &[u8]) -> *const u8 {
    if b.once_in(16) { std::ptr::null() } else { block.as_ptr() }
}

/// A picture with its sides, which are written on success only.
fn sized(b: &mut Bytes<'_>, call: impl Fn(*mut u8, u64, *mut u64, *mut u32, *mut u32) -> i32) -> i32 {
    let no_width = b.once_in(16);
    fill(b, |dst, cap, needed| {
        let mut sides = [MARKS as u32; 2];
        let [width, height] = &mut sides;
        let code = call(dst, cap, needed, if no_width { std::ptr::null_mut() } else { width }, height);
        assert!(if code == HL_OK { !no_width && sides != [MARKS as u32; 2] } else { sides == [MARKS as u32; 2] }, "{code}: {sides:x?}");
        code
    })
}

/// What needs no handle and no buffer.
fn constants(b: &mut Bytes<'_>) {
    assert_eq!(hl_abi_version(), HL_ABI_VERSION);
    let (id, code) = (b.number(4) as u32 % 8, b.number(4) as i32 % 32);
    assert_eq!(hl_sizeof(id) != 0, (HL_SIZEOF_HOST..=HL_SIZEOF_PROGRESS).contains(&id));
    // SAFETY: never NULL, static, and ends with NUL.
    assert!(unsafe { std::ffi::CStr::from_ptr(hl_error_name(code)) }.to_str().is_ok_and(|name| !name.is_empty()));
}

/// Texts that need no handle.
fn texts(b: &mut Bytes<'_>) {
    let function = b.byte() % 6;
    let text = Text::any(b, &["cluster", "synth", "/nowhere", "."]);
    check(fill_text(b, |dst, cap, needed| {
        // SAFETY: a text, and buffers as `fill_text` gives them.
        unsafe {
            match function {
                0 => hl_last_error(dst, cap, needed),
                1 => hl_build_info_json(dst, cap, needed),
                2 => hl_params_schema_json(text.as_ptr(), dst, cap, needed),
                3 => hl_devices_json(dst, cap, needed),
                4 => hl_ops_json(dst, cap, needed),
                _ => hl_inspect_json(text.as_ptr(), dst, cap, needed),
            }
        }
    }));
}
