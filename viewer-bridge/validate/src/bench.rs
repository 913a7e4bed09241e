//! A library on the bench: what checks do with it again and again. Handles are numbers; everything a check forgets to release goes with its
//! process.

use std::ffi::{CStr, CString};
use std::ops::Deref;
use std::time::Duration;

use serde_json::Value;

use crate::ffi::{
    Api, HL_JOB_CANCELLED, HL_JOB_DONE, HL_OK, HL_PIXEL_RGBA8, hl_config, hl_host, hl_progress, hl_region, hl_slide_desc, name_of, text_of,
};
use crate::session::Session;
use crate::viewer::{Viewer, slide_desc};

/// A job that does not end within this is a broken promise, in ms; what hangs inside a call is the parent's to notice.
const ENDS_MS: u32 = 30_000;
/// A job with networks may take this long, in ms.
pub const WORKS_MS: u32 = 500_000;

/// A function of the shape (dst, cap, needed).
pub type TextCall<'a> = Box<dyn Fn(*mut u8, u64, *mut u64) -> i32 + 'a>;
/// One that also gives width and height.
pub type PictureCall<'a> = Box<dyn Fn(*mut u8, u64, *mut u64, *mut u32, *mut u32) -> i32 + 'a>;

/// The library and the report.
pub struct Bench<'a> {
    session: &'a Session,
    /// The library.
    pub api: Api,
}

/// A context with a slide, a job that is done and its result.
pub struct Furnished {
    pub context: u64,
    pub slide: u64,
    pub job: u64,
    pub result: u64,
}

impl Deref for Bench<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session
    }
}

/// A configuration around a host table.
pub fn config(host: *const hl_host) -> hl_config {
    let struct_size = size_of::<hl_config>() as u32;
    hl_config { struct_size, threads: 1, models_dir: c"no such folder".as_ptr(), device: c"cpu".as_ptr(), host }
}

/// A progress struct to be filled.
pub fn empty_progress() -> hl_progress {
    let struct_size = size_of::<hl_progress>() as u32;
    let (fraction, items_per_s, eta_s) = (0.0, 0.0, 0.0);
    hl_progress { struct_size, state: -1, error: 0, reserved: 0, fraction, items_per_s, eta_s, done: 0, total: 0, stage: [0; 40] }
}

/// A region of a result.
pub fn region(downsample: f64, width_px: u32, height_px: u32) -> hl_region {
    let struct_size = size_of::<hl_region>() as u32;
    let (pixel_format, stride_bytes) = (HL_PIXEL_RGBA8, 0);
    hl_region {
        struct_size,
        pixel_format,
        x_px: 0,
        y_px: 0,
        downsample,
        width_px,
        height_px,
        stride_bytes,
        z: 0,
        t: 0,
        reserved: 0,
        token: 0,
    }
}

impl<'a> Bench<'a> {
    /// Loads the library; a failure is told.
    pub fn new(session: &'a Session) -> Option<Self> {
        session.at("loading the library");
        match Api::load(session.cli.subject()) {
            Ok(api) => {
                session.at("the first calls");
                Some(Self { session, api })
            }
            Err(e) => {
                session.broken(&format!("the library cannot be loaded: {e}"));
                None
            }
        }
    }

    /// A context; 0 after a failure, which is told.
    pub fn context(&self, viewer: &'static Viewer) -> u64 {
        let (host, mut context) = (viewer.table(), 0);
        self.code("hl_context_create", (self.api.hl_context_create)(&config(&raw const host), &raw mut context), HL_OK);
        self.promise(context != 0, || "hl_context_create gave the handle 0".into());
        context
    }

    /// The slide.
    pub fn slide(&self, context: u64) -> u64 {
        self.slide_of(context, &slide_desc())
    }

    /// Some slide.
    pub fn slide_of(&self, context: u64, desc: &hl_slide_desc) -> u64 {
        let mut slide = 0;
        self.code("hl_slide_open", (self.api.hl_slide_open)(context, desc, &raw mut slide), HL_OK);
        slide
    }

    /// Starts a selftest job.
    pub fn start(&self, context: u64, slide: u64, params: &str) -> u64 {
        let (code, job) = self.try_start(context, slide, c"selftest", params);
        self.code(&format!("hl_job_start of selftest {params}"), code, HL_OK);
        job
    }

    /// Starts a job; code and handle.
    pub fn try_start(&self, context: u64, slide: u64, kind: &CStr, params: &str) -> (i32, u64) {
        self.try_start_on(context, slide, kind, params, 0)
    }

    /// The same with the result of an earlier job.
    pub fn try_start_on(&self, context: u64, slide: u64, kind: &CStr, params: &str, input: u64) -> (i32, u64) {
        let (params, mut job) = (CString::new(params).unwrap_or_default(), 0);
        let code = (self.api.hl_job_start)(context, slide, kind.as_ptr(), params.as_ptr(), input, &raw mut job);
        (code, job)
    }

    /// Waits until a job has ended.
    pub fn wait(&self, job: u64) {
        self.code("hl_job_wait", (self.api.hl_job_wait)(job, ENDS_MS), HL_OK);
    }

    /// Waits until a job with networks has ended.
    pub fn wait_long(&self, job: u64) {
        self.code("hl_job_wait", (self.api.hl_job_wait)(job, WORKS_MS), HL_OK);
    }

    /// A job's state.
    pub fn poll(&self, job: u64) -> hl_progress {
        let mut p = empty_progress();
        self.code("hl_job_poll", (self.api.hl_job_poll)(job, &raw mut p), HL_OK);
        p
    }

    /// A job must have ended in a state, with a code.
    pub fn ended(&self, what: &str, job: u64, state: i32, error: i32) {
        self.wait(job);
        let p = self.poll(job);
        let found =
            || format!("{what}: the job ended in state {} with {}, not in {state} with {}", p.state, name_of(p.error), name_of(error));
        self.promise((p.state, p.error) == (state, error), found);
        let mut result = 0;
        let code = (self.api.hl_job_result)(job, &raw mut result);
        let want = if state == HL_JOB_DONE { HL_OK } else { error };
        self.code(&format!("{what}: hl_job_result"), code, want);
        if code == HL_OK {
            self.code("hl_result_release", (self.api.hl_result_release)(result), HL_OK);
        }
        if state != HL_JOB_DONE && state != HL_JOB_CANCELLED {
            let why = text_of(|d, c, n| (self.api.hl_job_error)(job, d, c, n)).unwrap_or_default();
            self.promise(!why.is_empty(), || format!("{what}: hl_job_error says nothing"));
        }
    }

    /// A small job in this context must come to its end: the context works.
    pub fn works(&self, what: &str, context: u64, slide: u64) {
        let job = self.start(context, slide, r#"{"reads": 2, "steps": 1}"#);
        self.ended(&format!("{what}: the next job"), job, HL_JOB_DONE, HL_OK);
        self.code("hl_job_release", (self.api.hl_job_release)(job), HL_OK);
    }

    /// Ends a context.
    pub fn release(&self, context: u64) {
        self.code("hl_context_release", (self.api.hl_context_release)(context), HL_OK);
    }

    /// What the library broke towards a viewer.
    pub fn check_viewer(&self, viewer: &Viewer) {
        viewer.take_wrong().iter().for_each(|what| self.broken(what));
    }

    /// A result's summary.
    pub fn summary(&self, result: u64) -> Value {
        let text = text_of(|d, c, n| (self.api.hl_result_json)(result, d, c, n));
        self.code("hl_result_json", text.as_ref().err().copied().unwrap_or(HL_OK), HL_OK);
        serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default()
    }

    /// The text of this thread's last failed call.
    pub fn last_error(&self) -> String {
        text_of(|d, c, n| (self.api.hl_last_error)(d, c, n)).unwrap_or_default()
    }

    /// The library as a document.
    pub fn info(&self) -> Value {
        serde_json::from_str(&text_of(|d, c, n| (self.api.hl_build_info_json)(d, c, n)).unwrap_or_default()).unwrap_or_default()
    }

    /// A context with one of everything.
    pub fn furnish(&self, viewer: &'static Viewer) -> Furnished {
        let context = self.context(viewer);
        let slide = self.slide(context);
        let job = self.start(context, 0, r#"{"tiles": 2, "steps": 3}"#);
        self.wait(job);
        let mut result = 0;
        self.code("hl_job_result", (self.api.hl_job_result)(job, &raw mut result), HL_OK);
        Furnished { context, slide, job, result }
    }

    /// Functions that give texts, on these handles; cheap ones only.
    pub fn texts(&self, f: &Furnished) -> Vec<(&'static str, TextCall<'_>)> {
        let (api, job, result) = (&self.api, f.job, f.result);
        vec![
            ("hl_last_error", Box::new(|d, c, n| (api.hl_last_error)(d, c, n))),
            ("hl_build_info_json", Box::new(|d, c, n| (api.hl_build_info_json)(d, c, n))),
            ("hl_params_schema_json", Box::new(|d, c, n| (api.hl_params_schema_json)(c"synth".as_ptr(), d, c, n))),
            ("hl_job_params_json", Box::new(move |d, c, n| (api.hl_job_params_json)(job, d, c, n))),
            ("hl_job_error", Box::new(move |d, c, n| (api.hl_job_error)(job, d, c, n))),
            ("hl_result_json", Box::new(move |d, c, n| (api.hl_result_json)(result, d, c, n))),
            ("hl_result_geojson", Box::new(move |d, c, n| (api.hl_result_geojson)(result, d, c, n))),
            ("hl_result_provenance_json", Box::new(move |d, c, n| (api.hl_result_provenance_json)(result, d, c, n))),
            ("hl_result_csv", Box::new(move |d, c, n| (api.hl_result_csv)(result, c"classes".as_ptr(), d, c, n))),
            ("hl_result_tile_json", Box::new(move |d, c, n| (api.hl_result_tile_json)(result, 1, d, c, n))),
        ]
    }

    /// Functions that give pictures, with their bytes a pixel.
    pub fn pictures(&self, f: &Furnished) -> Vec<(&'static str, u64, PictureCall<'_>)> {
        let (api, job, result) = (&self.api, f.job, f.result);
        vec![
            ("hl_job_partial", 4, Box::new(move |d, c, n, w, h| (api.hl_job_partial)(job, d, c, n, w, h))),
            ("hl_result_labels", 1, Box::new(move |d, c, n, w, h| (api.hl_result_labels)(result, d, c, n, w, h))),
            ("hl_result_overlay", 4, Box::new(move |d, c, n, w, h| (api.hl_result_overlay)(result, d, c, n, w, h))),
            ("hl_result_tile_rgb", 3, Box::new(move |d, c, n, w, h| (api.hl_result_tile_rgb)(result, 0, d, c, n, w, h))),
            ("hl_result_tile_labels", 1, Box::new(move |d, c, n, w, h| (api.hl_result_tile_labels)(result, 0, d, c, n, w, h))),
        ]
    }

    /// Functions that draw a region, on one of 24 x 16 px in rows of 128 bytes.
    pub fn regions(&self, f: &Furnished) -> Vec<(&'static str, TextCall<'_>)> {
        let (api, result) = (&self.api, f.result);
        let r = hl_region { stride_bytes: 128, ..region(3.7, 24, 16) };
        vec![
            ("hl_result_labels_region", Box::new(move |d, c, n| (api.hl_result_labels_region)(result, &r, d, c, n))),
            ("hl_result_overlay_region", Box::new(move |d, c, n| (api.hl_result_overlay_region)(result, &r, d, c, n))),
        ]
    }

    /// Sleeps.
    pub fn pause(ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }
}
