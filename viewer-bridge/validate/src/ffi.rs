//! The C header, mirrored: `plugin-abi/include/histoloom.h`. This program shares no Rust code with the library; the check `symbols`
//! holds the sizes below against the library's own.
//!
//! The functions are declared safe: the header promises a code for whatever is passed, and the pointers passed here are NULL or of
//! memory of ours. A library that breaks the promise takes a child process down with it, which is what the child is for.
#![allow(non_camel_case_types, reason = "the names of the C header")]

use std::ffi::{c_char, c_void};
use std::path::Path;

use libloading::Library;

/// The ABI these declarations were written for, major << 16 | minor.
pub const ABI: u32 = 0x0001_0000;

/// The codes by name; the index is the code without its sign.
pub const CODES: [&str; 24] = [
    "HL_OK",
    "HL_E_ARGUMENT",
    "HL_E_ABI",
    "HL_E_UNSUPPORTED",
    "HL_E_HANDLE",
    "HL_E_UTF8",
    "HL_E_PARAMETER",
    "HL_E_LIMIT",
    "HL_E_BUFFER",
    "HL_E_STATE",
    "HL_E_CANCELLED",
    "HL_E_TIMEOUT",
    "HL_E_BUSY",
    "HL_E_SLIDE",
    "HL_E_HOST",
    "HL_E_WEIGHTS",
    "HL_E_DEVICE",
    "HL_E_OP",
    "HL_E_OP_LIMIT",
    "HL_E_FILE",
    "HL_E_MEMORY",
    "HL_E_PANIC",
    "HL_E_POISONED",
    "HL_E_INTERNAL",
];

pub const HL_OK: i32 = 0;
pub const HL_E_ARGUMENT: i32 = -1;
pub const HL_E_ABI: i32 = -2;
pub const HL_E_UNSUPPORTED: i32 = -3;
pub const HL_E_HANDLE: i32 = -4;
pub const HL_E_UTF8: i32 = -5;
pub const HL_E_PARAMETER: i32 = -6;
pub const HL_E_LIMIT: i32 = -7;
pub const HL_E_BUFFER: i32 = -8;
pub const HL_E_STATE: i32 = -9;
pub const HL_E_CANCELLED: i32 = -10;
pub const HL_E_TIMEOUT: i32 = -11;
pub const HL_E_BUSY: i32 = -12;
pub const HL_E_SLIDE: i32 = -13;
pub const HL_E_HOST: i32 = -14;
pub const HL_E_FILE: i32 = -19;
pub const HL_E_MEMORY: i32 = -20;
pub const HL_E_PANIC: i32 = -21;
pub const HL_E_POISONED: i32 = -22;

pub const HL_JOB_QUEUED: i32 = 0;
pub const HL_JOB_RUNNING: i32 = 1;
pub const HL_JOB_DONE: i32 = 2;
pub const HL_JOB_FAILED: i32 = 3;
pub const HL_JOB_CANCELLED: i32 = 4;

pub const HL_PIXEL_RGBA8: u32 = 1;
pub const HL_PIXEL_RGBA8_PRE: u32 = 3;
pub const HL_PIXEL_BGRA8_PRE: u32 = 4;

/// A region of a slide or of a result.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hl_region {
    pub struct_size: u32,
    pub pixel_format: u32,
    pub x_px: i64,
    pub y_px: i64,
    pub downsample: f64,
    pub width_px: u32,
    pub height_px: u32,
    pub stride_bytes: u32,
    pub z: i32,
    pub t: i32,
    pub reserved: u32,
    pub token: u64,
}

/// State of a job.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hl_progress {
    pub struct_size: u32,
    pub state: i32,
    pub error: i32,
    pub reserved: u32,
    pub fraction: f64,
    pub items_per_s: f64,
    pub eta_s: f64,
    pub done: u64,
    pub total: u64,
    pub stage: [c_char; 40],
}

pub type hl_read_region_fn = unsafe extern "C" fn(user: *mut c_void, region: *const hl_region, dst: *mut u8, cap: u64) -> i64;
pub type hl_log_fn = unsafe extern "C" fn(user: *mut c_void, level: i32, text: *const c_char);
pub type hl_progress_fn = unsafe extern "C" fn(user: *mut c_void, job: u64, progress: *const hl_progress) -> i32;

/// A host.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hl_host {
    pub struct_size: u32,
    pub abi: u32,
    pub user: *mut c_void,
    pub max_concurrent_reads: u32,
    pub reserved: u32,
    pub read_region: Option<hl_read_region_fn>,
    pub log: Option<hl_log_fn>,
    pub progress: Option<hl_progress_fn>,
}

/// What a context is made from.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hl_config {
    pub struct_size: u32,
    pub threads: u32,
    pub models_dir: *const c_char,
    pub device: *const c_char,
    pub host: *const hl_host,
}

/// A slide as a host shows it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hl_slide_desc {
    pub struct_size: u32,
    pub pixel_format: u32,
    pub width_px: u64,
    pub height_px: u64,
    pub downsamples: *const f64,
    pub levels: u32,
    pub background_rgb: u32,
    pub mpp_x: f64,
    pub mpp_y: f64,
    pub origin_x_px: i64,
    pub origin_y_px: i64,
    pub name: *const c_char,
    pub id: *const c_char,
    pub token: u64,
}

/// `hl_sizeof` ids with our sizes and the structs' names.
pub const SIZES: [(u32, usize, &str); 5] = [
    (1, size_of::<hl_host>(), "hl_host"),
    (2, size_of::<hl_config>(), "hl_config"),
    (3, size_of::<hl_slide_desc>(), "hl_slide_desc"),
    (4, size_of::<hl_region>(), "hl_region"),
    (5, size_of::<hl_progress>(), "hl_progress"),
];

/// A code's name.
pub fn name_of(code: i32) -> String {
    let known = usize::try_from(code.unsigned_abs()).ok().filter(|_| code <= 0).and_then(|i| CODES.get(i));
    known.map_or_else(|| format!("the unknown code {code}"), |name| (*name).to_owned())
}

macro_rules! api {
    ($($name:ident: fn($($arg:ty),*) -> $ret:ty;)*) => {
        /// The functions of the header.
        pub struct Api {
            $(pub $name: extern "C" fn($($arg),*) -> $ret,)*
            /// Panics on purpose; not in the header.
            pub hl_selftest_panic: Option<extern "C" fn(u64) -> i32>,
            /// Lets the n-th allocation from now fail once; not in the header.
            pub hl_selftest_fail_allocation: Option<extern "C" fn(i64) -> i32>,
            _library: Library, // keeps the code mapped
        }

        impl Api {
            /// Their names.
            pub const NAMES: &[&str] = &[$(stringify!($name),)*];

            /// Loads a library and looks every function up.
            pub fn load(path: &Path) -> Result<Self, libloading::Error> {
                // SAFETY: the file the user wants validated, in a child process; the header gives the functions these types.
                unsafe {
                    let library = Library::new(path)?;
                    Ok(Self {
                        $($name: *library.get(stringify!($name))?,)*
                        hl_selftest_panic: library.get("hl_selftest_panic").map(|f| *f).ok(),
                        hl_selftest_fail_allocation: library.get("hl_selftest_fail_allocation").map(|f| *f).ok(),
                        _library: library,
                    })
                }
            }
        }
    };
}

api! {
    hl_abi_version: fn() -> u32;
    hl_sizeof: fn(u32) -> u32;
    hl_error_name: fn(i32) -> *const c_char;
    hl_last_error: fn(*mut u8, u64, *mut u64) -> i32;
    hl_build_info_json: fn(*mut u8, u64, *mut u64) -> i32;
    hl_params_schema_json: fn(*const c_char, *mut u8, u64, *mut u64) -> i32;
    hl_devices_json: fn(*mut u8, u64, *mut u64) -> i32;
    hl_ops_json: fn(*mut u8, u64, *mut u64) -> i32;
    hl_op_check_json: fn(*const c_char, *mut u8, u64, *mut u64) -> i32;
    hl_inspect_json: fn(*const c_char, *mut u8, u64, *mut u64) -> i32;
    hl_context_create: fn(*const hl_config, *mut u64) -> i32;
    hl_context_release: fn(u64) -> i32;
    hl_doctor_json: fn(u64, *mut u8, u64, *mut u64) -> i32;
    hl_slide_open: fn(u64, *const hl_slide_desc, *mut u64) -> i32;
    hl_slide_release: fn(u64) -> i32;
    hl_job_start: fn(u64, u64, *const c_char, *const c_char, u64, *mut u64) -> i32;
    hl_job_params_json: fn(u64, *mut u8, u64, *mut u64) -> i32;
    hl_job_poll: fn(u64, *mut hl_progress) -> i32;
    hl_job_wait: fn(u64, u32) -> i32;
    hl_job_cancel: fn(u64) -> i32;
    hl_job_partial: fn(u64, *mut u8, u64, *mut u64, *mut u32, *mut u32) -> i32;
    hl_job_error: fn(u64, *mut u8, u64, *mut u64) -> i32;
    hl_job_result: fn(u64, *mut u64) -> i32;
    hl_job_release: fn(u64) -> i32;
    hl_result_json: fn(u64, *mut u8, u64, *mut u64) -> i32;
    hl_result_geojson: fn(u64, *mut u8, u64, *mut u64) -> i32;
    hl_result_labels: fn(u64, *mut u8, u64, *mut u64, *mut u32, *mut u32) -> i32;
    hl_result_overlay: fn(u64, *mut u8, u64, *mut u64, *mut u32, *mut u32) -> i32;
    hl_result_labels_region: fn(u64, *const hl_region, *mut u8, u64, *mut u64) -> i32;
    hl_result_overlay_region: fn(u64, *const hl_region, *mut u8, u64, *mut u64) -> i32;
    hl_result_csv: fn(u64, *const c_char, *mut u8, u64, *mut u64) -> i32;
    hl_result_provenance_json: fn(u64, *mut u8, u64, *mut u64) -> i32;
    hl_result_tile_rgb: fn(u64, u32, *mut u8, u64, *mut u64, *mut u32, *mut u32) -> i32;
    hl_result_tile_labels: fn(u64, u32, *mut u8, u64, *mut u64, *mut u32, *mut u32) -> i32;
    hl_result_tile_json: fn(u64, u32, *mut u8, u64, *mut u64) -> i32;
    hl_result_release: fn(u64) -> i32;
}

/// A text of one of these functions: its size is asked first, then the text.
pub fn text_of(call: impl Fn(*mut u8, u64, *mut u64) -> i32) -> Result<String, i32> {
    let mut needed = 0;
    loop {
        let mut bytes = vec![0u8; needed as usize];
        let dst = if needed == 0 { std::ptr::null_mut() } else { bytes.as_mut_ptr() };
        match call(dst, bytes.len() as u64, &raw mut needed) {
            HL_OK if needed > 1 << 30 => return Err(HL_E_LIMIT),
            HL_OK if bytes.is_empty() && needed > 0 => {}
            HL_OK => return Ok(String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned()),
            HL_E_BUFFER if !bytes.is_empty() => needed = 0, // it has grown meanwhile
            code => return Err(code),
        }
    }
}
