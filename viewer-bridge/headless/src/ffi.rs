//! The C header, mirrored: `plugin-abi/include/histoloom.h`. This host shares no Rust code with the library; the sizes below are
//! held against the library's own with `hl_sizeof` when it is loaded.
#![allow(non_camel_case_types)] // the names of the C header

use std::ffi::{c_char, c_void};

use libloading::Library;

/// The ABI these declarations were written for, major << 16 | minor.
pub const ABI: u32 = 0x0001_0000;

/// Done.
pub const HL_OK: i32 = 0;
/// A parameter is unknown or out of range.
pub const HL_E_PARAMETER: i32 = -6;
/// A size beyond a bound.
pub const HL_E_LIMIT: i32 = -7;
/// The buffer is too small.
pub const HL_E_BUFFER: i32 = -8;
/// The job was cancelled.
pub const HL_E_CANCELLED: i32 = -10;
/// Nothing happened until the timeout.
pub const HL_E_TIMEOUT: i32 = -11;
/// The slide has nothing to work on.
pub const HL_E_SLIDE: i32 = -13;
/// Our read_region failed.
pub const HL_E_HOST: i32 = -14;
/// An op was refused, or failed.
pub const HL_E_OP: i32 = -17;
/// An op ran into a limit.
pub const HL_E_OP_LIMIT: i32 = -18;
/// No such device, or it failed.
pub const HL_E_DEVICE: i32 = -16;
/// A file could not be read or written.
pub const HL_E_FILE: i32 = -19;

/// Bytes R, G, B, A.
pub const HL_PIXEL_RGBA8: u32 = 1;
/// The least urgent level of the log that is shown.
pub const HL_LOG_WARN: i32 = 2;

/// A region that the library asks for.
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

/// This host.
#[repr(C)]
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
pub struct hl_config {
    pub struct_size: u32,
    pub threads: u32,
    pub models_dir: *const c_char,
    pub device: *const c_char,
    pub host: *const hl_host,
}

/// A slide as this host shows it.
#[repr(C)]
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
const SIZES: [(u32, usize, &str); 5] = [
    (1, size_of::<hl_host>(), "hl_host"),
    (2, size_of::<hl_config>(), "hl_config"),
    (3, size_of::<hl_slide_desc>(), "hl_slide_desc"),
    (4, size_of::<hl_region>(), "hl_region"),
    (5, size_of::<hl_progress>(), "hl_progress"),
];

macro_rules! api {
    ($($name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// The functions this host calls.
        pub struct Api {
            $(pub $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
            /// Keeps the code mapped.
            _library: Library,
        }

        impl Api {
            /// Looks every function up.
            ///
            /// # Safety
            /// The library is a libhistoloom: loading runs its initialisers, and its functions have these types.
            unsafe fn resolve(library: Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the header gives the function this type; the caller vouches for the library.
                        unsafe { *library.get(concat!(stringify!($name), "\0").as_bytes())? }
                    },)*
                    _library: library,
                })
            }
        }
    };
}

api! {
    hl_abi_version: fn() -> u32;
    hl_sizeof: fn(u32) -> u32;
    hl_last_error: fn(*mut c_char, u64, *mut u64) -> i32;
    hl_build_info_json: fn(*mut c_char, u64, *mut u64) -> i32;
    hl_ops_json: fn(*mut c_char, u64, *mut u64) -> i32;
    hl_op_check_json: fn(*const c_char, *mut c_char, u64, *mut u64) -> i32;
    hl_inspect_json: fn(*const c_char, *mut c_char, u64, *mut u64) -> i32;
    hl_context_create: fn(*const hl_config, *mut u64) -> i32;
    hl_context_release: fn(u64) -> i32;
    hl_doctor_json: fn(u64, *mut c_char, u64, *mut u64) -> i32;
    hl_slide_open: fn(u64, *const hl_slide_desc, *mut u64) -> i32;
    hl_job_start: fn(u64, u64, *const c_char, *const c_char, u64, *mut u64) -> i32;
    hl_job_params_json: fn(u64, *mut c_char, u64, *mut u64) -> i32;
    hl_job_poll: fn(u64, *mut hl_progress) -> i32;
    hl_job_wait: fn(u64, u32) -> i32;
    hl_job_cancel: fn(u64) -> i32;
    hl_job_partial: fn(u64, *mut u8, u64, *mut u64, *mut u32, *mut u32) -> i32;
    hl_job_error: fn(u64, *mut c_char, u64, *mut u64) -> i32;
    hl_job_result: fn(u64, *mut u64) -> i32;
    hl_result_json: fn(u64, *mut c_char, u64, *mut u64) -> i32;
}

impl Api {
    /// Loads a library and holds its ABI against ours.
    pub fn load(path: &std::path::Path) -> Result<Self, String> {
        // SAFETY: a file the user or the installation names as libhistoloom; there is no way to know more before it is loaded.
        let api = unsafe { Library::new(path).and_then(|library| Self::resolve(library)) }.map_err(|e| e.to_string())?;
        // SAFETY: takes nothing.
        let abi = unsafe { (api.hl_abi_version)() };
        if abi >> 16 != ABI >> 16 || abi < ABI {
            return Err(format!("it has ABI {}.{}, this command needs {}.{}", abi >> 16, abi & 0xffff, ABI >> 16, ABI & 0xffff));
        }
        for (id, own, name) in SIZES {
            // SAFETY: takes a number.
            let theirs = unsafe { (api.hl_sizeof)(id) } as usize;
            if theirs < own {
                return Err(format!("its {name} has {theirs} bytes, this command knows {own}"));
            }
        }
        Ok(api)
    }
}
