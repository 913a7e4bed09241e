//! What the library calls back: pixels of the open slide, and its log. In: C pointers of the header. Out: bytes, or a negative
//! number and a message kept for the user. No panic leaves a callback.

use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use crate::ffi::{HL_LOG_WARN, HL_PIXEL_RGBA8, hl_region};
use crate::report::Report;
use crate::slide::{Slide, Wanted};

/// What read_region returns on failure; the reason is kept.
const FAILED: i64 = -1;

/// This host behind its callbacks.
pub struct Viewer {
    slide: Option<Slide>,
    report: Arc<Report>,
    failure: Mutex<Option<String>>,
}

impl Viewer {
    /// With a slide for jobs that read one.
    pub fn new(slide: Option<Slide>, report: Arc<Report>) -> Self {
        Self { slide, report, failure: Mutex::new(None) }
    }

    /// The open slide.
    pub fn slide(&self) -> Option<&Slide> {
        self.slide.as_ref()
    }

    /// Why the first read failed, if one did.
    pub fn read_failure(&self) -> Option<String> {
        self.failure.lock().ok().and_then(|f| f.clone())
    }

    /// The pointer that the library hands back to the callbacks.
    pub fn user(&self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// `hl_host.read_region`.
    ///
    /// # Safety
    /// Called by the library: `user` is what [`Viewer::user`] gave, the viewer lives, `region` is valid, `dst` has `cap` bytes.
    pub unsafe extern "C" fn read_region(user: *mut c_void, region: *const hl_region, dst: *mut u8, cap: u64) -> i64 {
        // SAFETY: the caller's promise; the viewer is only read through shared references.
        let (viewer, region) = unsafe { (&*user.cast::<Self>(), &*region) };
        let read = catch_unwind(AssertUnwindSafe(|| viewer.pixels(region, cap)));
        let pixels = match read.unwrap_or_else(|_| Err("the reader panicked".into())) {
            Ok(pixels) => pixels,
            Err(why) => {
                if let Ok(mut first) = viewer.failure.lock() {
                    first.get_or_insert(why);
                }
                return FAILED;
            }
        };
        let row_bytes = region.width_px as usize * 4;
        for (row, from) in pixels.chunks_exact(row_bytes).enumerate() {
            // SAFETY: `pixels` checked that height_px rows of stride_bytes fit into the `cap` bytes behind dst, and a row into a stride.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), dst.add(row * region.stride_bytes as usize), row_bytes) };
        }
        i64::from(region.stride_bytes) * i64::from(region.height_px)
    }

    /// `hl_host.log`.
    ///
    /// # Safety
    /// Called by the library: `user` is what [`Viewer::user`] gave, the viewer lives, `text` ends with NUL.
    pub unsafe extern "C" fn log(user: *mut c_void, level: i32, text: *const c_char) {
        if level > HL_LOG_WARN || text.is_null() {
            return;
        }
        // SAFETY: the caller's promise.
        let (viewer, text) = unsafe { (&*user.cast::<Self>(), CStr::from_ptr(text)) };
        // a panic while a line is shown loses the line
        let _ = catch_unwind(AssertUnwindSafe(|| viewer.report.loud(&text.to_string_lossy())));
    }

    fn pixels(&self, r: &hl_region, cap: u64) -> std::result::Result<Vec<u8>, String> {
        let slide = self.slide.as_ref().ok_or("no slide is open")?;
        let fits = u64::from(r.stride_bytes) * u64::from(r.height_px) <= cap && u64::from(r.stride_bytes) >= u64::from(r.width_px) * 4;
        if !fits || r.width_px == 0 || r.height_px == 0 || r.pixel_format != HL_PIXEL_RGBA8 {
            return Err(format!("a region that cannot be read was asked for: {r:?} into {cap} bytes"));
        }
        let wanted = Wanted { x: r.x_px as f64, y: r.y_px as f64, downsample: r.downsample, width: r.width_px, height: r.height_px };
        slide.read(&wanted)
    }
}
