//! The C types of the ABI. Every struct leads with `struct_size`; fields are only appended; numbers have fixed widths. cbindgen
//! turns this file and `lib.rs` into `include/histoloom.h`, so each comment here is read by the people who write hosts.
#![allow(non_camel_case_types)] // the names of the C header

use std::ffi::{c_char, c_void};

/// The ABI that this header describes: major << 16 | minor. Hosts put it into hl_host.abi.
pub const HL_ABI_VERSION: u32 = 0x0001_0000;

/// Done.
pub const HL_OK: i32 = 0;
/// An argument is NULL, out of range or contradicts another.
pub const HL_E_ARGUMENT: i32 = -1;
/// A struct_size is smaller than its first version or absurd, or the host was built for another major version.
pub const HL_E_ABI: i32 = -2;
/// Something this version does not know: a job kind, a pixel format, non-zero bytes behind the fields it knows.
pub const HL_E_UNSUPPORTED: i32 = -3;
/// A handle that is stale, forged, of another kind, or released already.
pub const HL_E_HANDLE: i32 = -4;
/// A string that is not UTF-8.
pub const HL_E_UTF8: i32 = -5;
/// A parameter is unknown or out of range; the message names it.
pub const HL_E_PARAMETER: i32 = -6;
/// A size beyond a bound of the library, found before anything was allocated.
pub const HL_E_LIMIT: i32 = -7;
/// The buffer is smaller than what has to go into it. Ask for the size with cap = 0.
pub const HL_E_BUFFER: i32 = -8;
/// Not now: the job has not finished, or the call is not allowed inside a callback.
pub const HL_E_STATE: i32 = -9;
/// The job was cancelled.
pub const HL_E_CANCELLED: i32 = -10;
/// Nothing happened until the timeout.
pub const HL_E_TIMEOUT: i32 = -11;
/// Too many unfinished jobs in this context.
pub const HL_E_BUSY: i32 = -12;
/// The slide has nothing to work on, or is nothing this method is made for.
pub const HL_E_SLIDE: i32 = -13;
/// The host's read_region failed or returned anything but the exact number of bytes.
pub const HL_E_HOST: i32 = -14;
/// A weights file is missing, damaged or not what the manifest says.
pub const HL_E_WEIGHTS: i32 = -15;
/// No such device, or it failed.
pub const HL_E_DEVICE: i32 = -16;
/// A WASM op was refused or failed.
pub const HL_E_OP: i32 = -17;
/// A WASM op ran into its time, fuel, memory or size limit.
pub const HL_E_OP_LIMIT: i32 = -18;
/// A file could not be read or written.
pub const HL_E_FILE: i32 = -19;
/// Out of memory.
pub const HL_E_MEMORY: i32 = -20;
/// The library panicked; the host lives, the context is poisoned.
pub const HL_E_PANIC: i32 = -21;
/// The context was poisoned by an earlier panic: release it and create another.
pub const HL_E_POISONED: i32 = -22;
/// A mistake of ours that was caught.
pub const HL_E_INTERNAL: i32 = -23;

/// hl_progress.state: waits for its turn.
pub const HL_JOB_QUEUED: i32 = 0;
/// hl_progress.state: works.
pub const HL_JOB_RUNNING: i32 = 1;
/// hl_progress.state: has a result.
pub const HL_JOB_DONE: i32 = 2;
/// hl_progress.state: failed; hl_progress.error and hl_job_error say why.
pub const HL_JOB_FAILED: i32 = 3;
/// hl_progress.state: was cancelled.
pub const HL_JOB_CANCELLED: i32 = 4;

/// Bytes R, G, B, A, straight alpha.
pub const HL_PIXEL_RGBA8: u32 = 1;
/// Bytes B, G, R, A, straight alpha: a little-endian int 0xAARRGGBB, as in the JVM's TYPE_INT_ARGB.
pub const HL_PIXEL_BGRA8: u32 = 2;
/// Bytes R, G, B, A, premultiplied.
pub const HL_PIXEL_RGBA8_PRE: u32 = 3;
/// Bytes B, G, R, A, premultiplied: what OpenSlide writes on little-endian machines.
pub const HL_PIXEL_BGRA8_PRE: u32 = 4;

/// hl_log_fn level.
pub const HL_LOG_ERROR: i32 = 1;
/// hl_log_fn level.
pub const HL_LOG_WARN: i32 = 2;
/// hl_log_fn level.
pub const HL_LOG_INFO: i32 = 3;
/// hl_log_fn level.
pub const HL_LOG_DEBUG: i32 = 4;

/// hl_sizeof id of hl_host.
pub const HL_SIZEOF_HOST: u32 = 1;
/// hl_sizeof id of hl_config.
pub const HL_SIZEOF_CONFIG: u32 = 2;
/// hl_sizeof id of hl_slide_desc.
pub const HL_SIZEOF_SLIDE_DESC: u32 = 3;
/// hl_sizeof id of hl_region.
pub const HL_SIZEOF_REGION: u32 = 4;
/// hl_sizeof id of hl_progress.
pub const HL_SIZEOF_PROGRESS: u32 = 5;

/// hl_job_wait timeout: as long as it takes.
pub const HL_FOREVER: u32 = 0xFFFF_FFFF;

/// A library instance inside the host. Handles are checked numbers, never pointers; 0 is none.
pub type hl_context = u64;
/// An open slide.
pub type hl_slide = u64;
/// A job: queued, running or ended.
pub type hl_job = u64;
/// What a job made.
pub type hl_result = u64;

/// A region of a slide: one that the host is asked for, valid during the callback only, or one that the host asks a result for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hl_region {
    /// sizeof(hl_region) of whoever fills it.
    pub struct_size: u32,
    /// HL_PIXEL_*; of what the host is asked for as in the slide's description.
    pub pixel_format: u32,
    /// Left edge, level-0 pixels.
    pub x_px: i64,
    /// Upper edge, level-0 pixels.
    pub y_px: i64,
    /// Level-0 pixels per pixel asked for; the host is never asked for less than 1.
    pub downsample: f64,
    /// Width of the picture asked for. What the host is asked for lies inside the slide.
    pub width_px: u32,
    /// Height of the picture asked for.
    pub height_px: u32,
    /// Bytes from one row to the next in dst.
    pub stride_bytes: u32,
    /// Focal plane, 0 in this version.
    pub z: i32,
    /// Time point, 0 in this version.
    pub t: i32,
    /// 0.
    pub reserved: u32,
    /// hl_slide_desc.token of the slide that is meant; nothing where a result is asked.
    pub token: u64,
}

/// State of a job. The host sets struct_size before it passes one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hl_progress {
    /// sizeof(hl_progress) of the host.
    pub struct_size: u32,
    /// HL_JOB_*.
    pub state: i32,
    /// HL_OK, or why the job failed.
    pub error: i32,
    /// 0.
    pub reserved: u32,
    /// Part of the current stage that is done, 0 to 1; -1 when its length is unknown; 1 once the job is done.
    pub fraction: f64,
    /// Items a second in this stage, 0 until known.
    pub items_per_s: f64,
    /// Seconds until this stage ends, -1 if unknown.
    pub eta_s: f64,
    /// Items done in this stage.
    pub done: u64,
    /// Items of this stage, 0 if unknown.
    pub total: u64,
    /// Name of the stage, UTF-8, ended by NUL.
    pub stage: [c_char; 40],
}

/// Reads pixels. [host callback: library threads, at most max_concurrent_reads at once] Writes height_px rows of width_px pixels
/// (4 bytes each), stride_bytes apart, into dst and returns stride_bytes * height_px. Any other value fails the job that asked,
/// and only that job: 0 is never success, so an exception that a binding turns into 0 is a failure. An exception that leaves a
/// callback, or a thread that ends inside one, ends the process: C++ hosts catch everything (histoloom.hpp does). Inside callbacks
/// every function works but hl_job_wait and hl_doctor_json, of any context; releases do not wait there. A callback must not wait for
/// a thread that may be inside hl_context_release or hl_slide_release, nor for a lock that is held around them.
pub type hl_read_region_fn = Option<unsafe extern "C" fn(user: *mut c_void, region: *const hl_region, dst: *mut u8, cap: u64) -> i64>;

/// Takes a log line. [host callback: one library thread a context, never two at once, no lock held] text is UTF-8, valid during
/// the call.
pub type hl_log_fn = Option<unsafe extern "C" fn(user: *mut c_void, level: i32, text: *const c_char)>;

/// Takes progress a few times a second, and once when the job ended. [host callback: the thread of hl_log_fn] A value other than 0
/// cancels the job. Optional: hl_job_poll tells the same. It may come before hl_job_start has returned, and once more after
/// hl_job_release.
pub type hl_progress_fn = Option<unsafe extern "C" fn(user: *mut c_void, job: hl_job, progress: *const hl_progress) -> i32>;

/// The host. Copied by hl_context_create; user must stay valid until hl_context_release has returned HL_OK outside of callbacks. After
/// one inside a callback nothing tells when the others have ended: there user must stay valid for good.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hl_host {
    /// sizeof(hl_host) of the host.
    pub struct_size: u32,
    /// HL_ABI_VERSION the host was compiled with.
    pub abi: u32,
    /// Passed to every callback.
    pub user: *mut c_void,
    /// Calls of read_region that may run at once; 0 and 1: one at a time, from changing threads.
    pub max_concurrent_reads: u32,
    /// 0.
    pub reserved: u32,
    /// Needed to open slides.
    pub read_region: hl_read_region_fn,
    /// May be NULL.
    pub log: hl_log_fn,
    /// May be NULL.
    pub progress: hl_progress_fn,
}

/// What hl_context_create needs. Everything is copied.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hl_config {
    /// sizeof(hl_config) of the host.
    pub struct_size: u32,
    /// Worker threads of jobs that do not say otherwise, 0 = one a core.
    pub threads: u32,
    /// Folder with the weights and their manifest.json; NULL = those that came with the library: share/histoloom/models of its prefix, or models
    /// beside it.
    pub models_dir: *const c_char,
    /// Device of jobs that do not say otherwise: auto, cpu, gpu or gpu:N; NULL = auto.
    pub device: *const c_char,
    /// The host.
    pub host: *const hl_host,
}

/// A slide as the viewer shows it. Everything is copied.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hl_slide_desc {
    /// sizeof(hl_slide_desc) of the host.
    pub struct_size: u32,
    /// HL_PIXEL_* that read_region writes. Transparent pixels count as white, which is what glass looks like.
    pub pixel_format: u32,
    /// Width at level 0.
    pub width_px: u64,
    /// Height at level 0.
    pub height_px: u64,
    /// Downsample of each level, the first being 1; NULL with levels = 0 for a plain image.
    pub downsamples: *const f64,
    /// Number of downsamples.
    pub levels: u32,
    /// Colour shown where there is no slide, at most 0xFFFFFF (0xRRGGBB); not used in this version.
    pub background_rgb: u32,
    /// Micrometres per level-0 pixel along x, 0 = unknown. Never guess: a job can be given "mpp".
    pub mpp_x: f64,
    /// The same along y.
    pub mpp_y: f64,
    /// Where the viewer's (0, 0) lies in the file's level 0.
    pub origin_x_px: i64,
    /// The same along y.
    pub origin_y_px: i64,
    /// Display name, never a path.
    pub name: *const c_char,
    /// The host's identifier; only its hash is ever written.
    pub id: *const c_char,
    /// Any number of the host's; comes back in hl_region.
    pub token: u64,
}

// The layouts that hosts were compiled against; `tests` hold the same numbers in C.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<hl_region>() == 64);
    assert!(size_of::<hl_progress>() == 96);
    assert!(size_of::<hl_host>() == 48);
    assert!(size_of::<hl_config>() == 32);
    assert!(size_of::<hl_slide_desc>() == 96);
};

/// Name of an error code, for messages and logs.
pub fn error_name(code: i32) -> &'static std::ffi::CStr {
    match code {
        HL_OK => c"HL_OK",
        HL_E_ARGUMENT => c"HL_E_ARGUMENT",
        HL_E_ABI => c"HL_E_ABI",
        HL_E_UNSUPPORTED => c"HL_E_UNSUPPORTED",
        HL_E_HANDLE => c"HL_E_HANDLE",
        HL_E_UTF8 => c"HL_E_UTF8",
        HL_E_PARAMETER => c"HL_E_PARAMETER",
        HL_E_LIMIT => c"HL_E_LIMIT",
        HL_E_BUFFER => c"HL_E_BUFFER",
        HL_E_STATE => c"HL_E_STATE",
        HL_E_CANCELLED => c"HL_E_CANCELLED",
        HL_E_TIMEOUT => c"HL_E_TIMEOUT",
        HL_E_BUSY => c"HL_E_BUSY",
        HL_E_SLIDE => c"HL_E_SLIDE",
        HL_E_HOST => c"HL_E_HOST",
        HL_E_WEIGHTS => c"HL_E_WEIGHTS",
        HL_E_DEVICE => c"HL_E_DEVICE",
        HL_E_OP => c"HL_E_OP",
        HL_E_OP_LIMIT => c"HL_E_OP_LIMIT",
        HL_E_FILE => c"HL_E_FILE",
        HL_E_MEMORY => c"HL_E_MEMORY",
        HL_E_PANIC => c"HL_E_PANIC",
        HL_E_POISONED => c"HL_E_POISONED",
        HL_E_INTERNAL => c"HL_E_INTERNAL",
        _ => c"unknown code",
    }
}
