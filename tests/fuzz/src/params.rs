//! Parameters of every job kind, as a host starts a job. A job that starts finds another one before it, whose read of the slide is held
//! up; so it is cancelled before it has begun, and an execution costs no work and writes no file.

use std::sync::{LazyLock, Mutex, PoisonError};

use histoloom::types::*;
use histoloom::*;
use serde_json::Value;

use crate::bytes::Bytes;
use crate::exact::{MARKS, Text, check, fill_text, last_error, whole_text};
use crate::viewer::{Manner, Viewer, slide};

/// Job kinds; the last two are not in the header and not there.
const KINDS: [&str; 12] =
    ["cluster", "edit", "synth", "import", "eval", "atlas_sample", "atlas_merge", "atlas_fit", "atlas_name", "op", "selftest", "nothing"];
/// Kinds that read a slide, and kinds that go on from a result.
const OF_SLIDE: [&str; 3] = ["cluster", "eval", "atlas_sample"];
const OF_RESULT: [&str; 2] = ["edit", "synth"];
/// Relative difference below which numbers are the same: JSON readers differ in the last bit.
const SAME: f64 = 1e-15;

/// A context with a slide, a result, and a job that is held up.
struct Stage {
    viewer: &'static Viewer,
    context: u64,
    slide: u64,
    result: u64,
    held: u64,
}

static STAGE: LazyLock<Mutex<Stage>> = LazyLock::new(|| Mutex::new(Stage::new()));

/// The bytes: one for the kind, one for slide and result (from 224 on as no kind wants them), then the text.
pub fn params(data: &[u8]) {
    let mut b = Bytes::new(data);
    let (kind, given) = (b.pick(&KINDS), b.byte());
    let text = b.rest();
    schema(kind, text);
    let odd = given >= 224;
    let mut stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let slide = if OF_SLIDE.contains(&kind) != odd { stage.slide } else { 0 };
    let result = if OF_RESULT.contains(&kind) && given % 2 == 0 { stage.result } else { 0 };
    let Some((job, resolved)) = stage.start(kind, text, slide, result) else { return };
    assert!((!odd || kind == "selftest") && kind != "nothing", "{kind} was started");
    let again = stage.start(kind, resolved.as_bytes(), slide, result);
    let (second, same) = again.unwrap_or_else(|| panic!("{kind} does not take its own {resolved}: {}", last_error()));
    assert!(alike(&read(&resolved), &read(&same)), "{kind} resolved {resolved} to {same}");
    stage.end(&[job, second]);
}

/// The schema of a kind, and of whatever the text may name.
fn schema(kind: &str, text: &[u8]) {
    for name in [Text::of(kind.as_bytes()), Text::of(text)] {
        // SAFETY: a text and a buffer as the header wants them.
        check(fill_text(&mut Bytes::new(&[3, 1]), |dst, cap, needed| unsafe { hl_params_schema_json(name.as_ptr(), dst, cap, needed) }));
    }
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Whether two values are the same but for the last bits of numbers.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => x.len() == y.len() && x.iter().zip(y).all(|((i, v), (j, w))| i == j && alike(v, w)),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| alike(v, w)),
        (Value::Number(x), Value::Number(y)) if x.is_f64() && y.is_f64() => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            (x - y).abs() <= SAME * x.abs() + f64::MIN_POSITIVE
        }
        _ => a == b,
    }
}

impl Stage {
    fn new() -> Self {
        let viewer: &'static Viewer = Box::leak(Box::default());
        let (host, models, device) = (viewer.table(), Text::of(b"/nowhere"), Text::of(b"cpu"));
        let config = hl_config {
            struct_size: size_of::<hl_config>() as u32,
            threads: 1,
            models_dir: models.as_ptr(),
            device: device.as_ptr(),
            host: &raw const host,
        };
        let (desc, mut context, mut opened, mut result) = (slide(), 0, 0, 0);
        // SAFETY: everything is as the header wants it and lives through the calls; the viewer lives for ever.
        unsafe {
            assert_eq!(hl_context_create(&raw const config, &raw mut context), HL_OK);
            assert_eq!(hl_slide_open(context, &raw const desc, &raw mut opened), HL_OK);
        }
        let mut stage = Self { viewer, context, slide: opened, result: 0, held: 0 };
        let (job, _) = stage.start("selftest", b"", 0, 0).expect("the job without networks");
        assert_eq!(hl_job_wait(job, HL_FOREVER), HL_OK);
        // SAFETY: a place for the handle.
        assert_eq!(unsafe { hl_job_result(job, &raw mut result) }, HL_OK);
        stage.result = result;
        viewer.set(Manner::Held);
        stage.hold();
        stage
    }

    /// Starts the job that is held up.
    fn hold(&mut self) {
        let held = self.start("selftest", br#"{"reads": 1, "steps": 0}"#, self.slide, 0);
        self.held = held.expect("the job that is held up").0;
    }

    /// Starts a job; its handle and resolved parameters, or nothing where it was refused with a code that may be.
    fn start(&self, kind: &str, text: &[u8], slide: u64, result: u64) -> Option<(u64, String)> {
        let (kind, text) = (Text::of(kind.as_bytes()), Text::of(text));
        let mut job = MARKS;
        // SAFETY: texts that end with NUL, and a place for the handle.
        let code = unsafe { hl_job_start(self.context, slide, kind.as_ptr(), text.as_ptr(), result, &raw mut job) };
        if code != HL_OK {
            check(code);
            let refused = [HL_E_ARGUMENT, HL_E_UNSUPPORTED, HL_E_UTF8, HL_E_PARAMETER, HL_E_LIMIT, HL_E_FILE];
            assert!(refused.contains(&code) && job == MARKS && !last_error().is_empty(), "code {code}, job {job:#x}: {}", last_error());
            return None;
        }
        // SAFETY: a buffer as the header wants it.
        let resolved = whole_text(|dst, cap, needed| unsafe { hl_job_params_json(job, dst, cap, needed) });
        Some((job, resolved.expect("the job lives")))
    }

    /// Cancels jobs that wait, lets the one before them go, joins them, and holds the next one up.
    fn end(&mut self, jobs: &[u64]) {
        for job in jobs {
            assert_eq!(hl_job_cancel(*job), HL_OK);
        }
        self.viewer.let_go();
        assert_eq!(hl_job_wait(self.held, HL_FOREVER), HL_OK); // not cancelled: it takes the one read that is let go
        assert_eq!(hl_job_release(self.held), HL_OK);
        for job in jobs {
            assert_eq!(hl_job_wait(*job, HL_FOREVER), HL_OK);
            // SAFETY: plain numbers.
            let mut progress: hl_progress = unsafe { std::mem::zeroed() };
            progress.struct_size = size_of::<hl_progress>() as u32;
            // SAFETY: a struct that says its size.
            assert_eq!(unsafe { hl_job_poll(*job, &raw mut progress) }, HL_OK);
            assert_eq!(progress.state, HL_JOB_CANCELLED, "error {}", progress.error);
            assert_eq!(hl_job_release(*job), HL_OK);
        }
        self.hold();
    }
}
