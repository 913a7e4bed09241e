//! The host's side: a small made-up slide, and a viewer whose reads can be held up or go wrong.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Condvar, Mutex};

use histoloom::types::*;
use histoloom::{hl_job_cancel, hl_job_wait};

/// Sides of the slide in pixels.
pub const SIDES_PX: (u64, u64) = (700, 500);

/// What the next reads do.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// What they should.
    Good,
    /// Tell fewer bytes than were asked for.
    Short,
    /// Fail.
    Fail,
    /// Write a byte too many.
    Overrun,
    /// Call the library, which waits for nobody inside a callback.
    CallBack,
    /// Wait until [`Viewer::let_go`].
    Held,
}

/// A viewer. It must outlive the contexts that know it.
#[derive(Default)]
pub struct Viewer {
    manner: AtomicU8,
    /// The newest job, for callbacks that call back; 0 for none.
    pub job: AtomicU64,
    /// What progress is answered with.
    pub answer: AtomicU8,
    free: Mutex<u32>,
    freed: Condvar,
}

impl Viewer {
    /// Says what reads do from now on.
    pub fn set(&self, manner: Manner) {
        self.manner.store(manner as u8, SeqCst);
    }

    /// Lets one read go that is or will be held.
    pub fn let_go(&self) {
        *self.free.lock().expect("not poisoned") += 1;
        self.freed.notify_all();
    }

    fn wait(&self) {
        let mut free = self.freed.wait_while(self.free.lock().expect("not poisoned"), |free| *free == 0).expect("not poisoned");
        *free -= 1;
    }

    /// The table for the library.
    pub fn table(&self) -> hl_host {
        hl_host {
            struct_size: size_of::<hl_host>() as u32,
            abi: HL_ABI_VERSION,
            user: std::ptr::from_ref(self).cast_mut().cast(),
            max_concurrent_reads: 2,
            reserved: 0,
            read_region: Some(read_region),
            log: Some(log),
            progress: Some(progress),
        }
    }
}

/// The slide, without names.
pub fn slide() -> hl_slide_desc {
    hl_slide_desc {
        struct_size: size_of::<hl_slide_desc>() as u32,
        pixel_format: HL_PIXEL_RGBA8,
        width_px: SIDES_PX.0,
        height_px: SIDES_PX.1,
        downsamples: std::ptr::null(),
        levels: 0,
        background_rgb: 0xFF_FFFF,
        mpp_x: 0.5,
        mpp_y: 0.5,
        origin_x_px: 0,
        origin_y_px: 0,
        name: std::ptr::null(),
        id: std::ptr::null(),
        token: 7,
    }
}

unsafe extern "C" fn read_region(user: *mut c_void, region: *const hl_region, dst: *mut u8, cap: u64) -> i64 {
    // SAFETY: `user` is a viewer that outlives its contexts, and the library's region lives through the call.
    let (viewer, r) = unsafe { (&*user.cast::<Viewer>(), &*region) };
    let bytes = u64::from(r.stride_bytes) * u64::from(r.height_px);
    assert!(r.struct_size as usize == size_of::<hl_region>() && r.stride_bytes >= 4 * r.width_px && bytes == cap, "{r:?} into {cap}");
    // SAFETY: the library promises `cap` bytes.
    unsafe { std::slice::from_raw_parts_mut(dst, cap as usize) }.fill(120);
    let manner = viewer.manner.load(SeqCst);
    if manner == Manner::Held as u8 {
        viewer.wait();
    }
    if manner == Manner::Overrun as u8 {
        // SAFETY: behind the buffer lie bytes by which the library notices this.
        unsafe { dst.add(cap as usize).write(1) };
    }
    if manner == Manner::CallBack as u8 {
        let job = viewer.job.load(SeqCst);
        let code = hl_job_wait(job, HL_FOREVER);
        assert!(matches!(code, HL_E_STATE | HL_E_HANDLE), "{code} from hl_job_wait inside a callback");
        hl_job_cancel(job);
    }
    match manner {
        m if m == Manner::Short as u8 => bytes as i64 - 1,
        m if m == Manner::Fail as u8 => -1,
        _ => bytes as i64,
    }
}

unsafe extern "C" fn log(_user: *mut c_void, level: i32, text: *const c_char) {
    // SAFETY: the library's text lives through the call.
    let text = unsafe { CStr::from_ptr(text) };
    assert!((HL_LOG_ERROR..=HL_LOG_DEBUG).contains(&level) && text.to_str().is_ok(), "level {level}: {text:?}");
}

unsafe extern "C" fn progress(user: *mut c_void, job: hl_job, progress: *const hl_progress) -> i32 {
    // SAFETY: as in read_region.
    let (viewer, p) = unsafe { (&*user.cast::<Viewer>(), &*progress) };
    assert!(job != 0 && p.struct_size as usize == size_of::<hl_progress>() && p.fraction <= 1.0, "{job:#x}: {p:?}");
    i32::from(viewer.answer.load(SeqCst))
}
