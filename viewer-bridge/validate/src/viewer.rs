//! A host's callbacks whose behaviour each check chooses, and what the library did with them. In: calls of the library. Out: counts, and
//! every promise that the library broke towards the host.

use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::ffi::{ABI, HL_PIXEL_RGBA8, hl_host, hl_progress, hl_region, hl_slide_desc};

/// Size and token of the slide that every check opens.
pub const SLIDE: (u32, u32, u64) = (1000, 800, 77);
const DOWNSAMPLES: [f64; 2] = [1.0, 4.0];
const READS_AT_ONCE: usize = 2;

type Read = dyn Fn(&hl_region, &mut [u8]) -> i64 + Send + Sync;
type Log = dyn Fn(i32, &str) + Send + Sync;
type Progress = dyn Fn(u64, &hl_progress) -> i32 + Send + Sync;

/// A viewer.
pub struct Viewer {
    /// What it does when it is asked for pixels.
    pub read: Box<Read>,
    /// What it does with a log line.
    pub log: Box<Log>,
    /// What it does with progress, and answers.
    pub progress: Box<Progress>,
    /// Writes one byte behind the buffer of each read.
    pub overruns: AtomicBool,
    /// Calls that were made.
    pub reads: AtomicUsize,
    pub lines: AtomicUsize,
    pub progresses: AtomicUsize,
    /// Calls that run now.
    pub reading: AtomicUsize,
    telling: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

/// The bytes of a good read.
pub fn exact(r: &hl_region) -> i64 {
    i64::from(r.stride_bytes) * i64::from(r.height_px)
}

/// Fills a region with one pixel.
pub fn paint(r: &hl_region, dst: &mut [u8], pixel: [u8; 4]) -> i64 {
    dst.chunks_exact_mut(4).for_each(|p| p.copy_from_slice(&pixel));
    exact(r)
}

impl Viewer {
    /// One that keeps its promises and shows grey.
    pub fn new() -> Self {
        Self::reading(|r, dst| paint(r, dst, [120, 120, 120, 255]))
    }

    /// One that reads in a way of its own.
    pub fn reading(read: impl Fn(&hl_region, &mut [u8]) -> i64 + Send + Sync + 'static) -> Self {
        Self {
            read: Box::new(read),
            log: Box::new(|_, _| {}),
            progress: Box::new(|_, _| 0),
            overruns: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            lines: AtomicUsize::new(0),
            progresses: AtomicUsize::new(0),
            reading: AtomicUsize::new(0),
            telling: AtomicUsize::new(0),
            wrong: Mutex::new(Vec::new()),
        }
    }

    /// For as long as the process lives, which is as long as the library may call it.
    pub fn leak(self) -> &'static Self {
        Box::leak(Box::new(self))
    }

    /// The table that a context is made from.
    pub fn table(&'static self) -> hl_host {
        hl_host {
            struct_size: size_of::<hl_host>() as u32,
            abi: ABI,
            user: std::ptr::from_ref(self).cast_mut().cast(),
            max_concurrent_reads: READS_AT_ONCE as u32,
            reserved: 0,
            read_region: Some(read_region),
            log: Some(log),
            progress: Some(progress),
        }
    }

    /// All calls so far.
    pub fn calls(&self) -> usize {
        self.reads.load(SeqCst) + self.lines.load(SeqCst) + self.progresses.load(SeqCst)
    }

    /// Remembers a promise that the library broke.
    pub fn wrong(&self, what: String) {
        if let Ok(mut wrong) = self.wrong.lock()
            && wrong.len() < 5
        {
            wrong.push(what);
        }
    }

    /// The promises that the library broke, and forgets them.
    pub fn take_wrong(&self) -> Vec<String> {
        self.wrong.lock().map_or_else(|_| Vec::new(), |mut wrong| std::mem::take(&mut *wrong))
    }

    /// The header's promises about a region.
    fn inspect(&self, r: &hl_region, cap: u64) {
        let reach = |from: i64, n: u32, side: u32| from >= 0 && from as f64 + f64::from(n) * r.downsample <= f64::from(side) + 0.5;
        let inside = reach(r.x_px, r.width_px, SLIDE.0) && reach(r.y_px, r.height_px, SLIDE.1);
        let sized = r.width_px > 0 && r.height_px > 0 && r.stride_bytes >= 4 * r.width_px && cap >= exact(r) as u64;
        let named = r.token == SLIDE.2 && r.pixel_format == HL_PIXEL_RGBA8 && r.struct_size as usize >= size_of::<hl_region>();
        let zero = (r.z, r.t, r.reserved) == (0, 0, 0) && r.downsample >= 1.0;
        if !(inside && sized && named && zero) {
            self.wrong(format!("read_region was asked for {r:?} with cap {cap} of a slide of {} x {} px", SLIDE.0, SLIDE.1));
        }
    }

    /// Log and progress come from one thread, one after the other.
    fn told<T>(&self, count: &AtomicUsize, call: impl FnOnce() -> T) -> T {
        count.fetch_add(1, SeqCst);
        if self.telling.fetch_add(1, SeqCst) > 0 {
            self.wrong("log or progress was called while one of them was running".into());
        }
        let out = call();
        self.telling.fetch_sub(1, SeqCst);
        out
    }
}

unsafe extern "C" fn read_region(user: *mut c_void, region: *const hl_region, dst: *mut u8, cap: u64) -> i64 {
    // SAFETY: `user` is a leaked viewer; the header promises the region, and `cap` bytes behind dst.
    let (viewer, region, bytes) = unsafe { (&*user.cast::<Viewer>(), &*region, std::slice::from_raw_parts_mut(dst, cap as usize)) };
    viewer.reads.fetch_add(1, SeqCst);
    if viewer.reading.fetch_add(1, SeqCst) >= READS_AT_ONCE {
        viewer.wrong(format!("more than {READS_AT_ONCE} reads at once"));
    }
    viewer.inspect(region, cap);
    let out = (viewer.read)(region, bytes);
    if viewer.overruns.load(SeqCst) {
        // SAFETY: none; it is the fault that libraries must notice, one byte that ours keeps free for it.
        unsafe { dst.add(cap as usize).write(1) };
    }
    viewer.reading.fetch_sub(1, SeqCst);
    out
}

unsafe extern "C" fn log(user: *mut c_void, level: i32, text: *const c_char) {
    // SAFETY: `user` is a leaked viewer; the header promises a text that ends with NUL.
    let (viewer, text) = unsafe { (&*user.cast::<Viewer>(), (!text.is_null()).then(|| CStr::from_ptr(text))) };
    viewer.told(&viewer.lines, || match text.map(CStr::to_str) {
        Some(Ok(text)) if (1..=4).contains(&level) => (viewer.log)(level, text),
        _ => viewer.wrong(format!("a log line of level {level} that is NULL or not UTF-8: {text:?}")),
    });
}

unsafe extern "C" fn progress(user: *mut c_void, job: u64, progress: *const hl_progress) -> i32 {
    // SAFETY: `user` is a leaked viewer; the header promises the struct.
    let (viewer, p) = unsafe { (&*user.cast::<Viewer>(), &*progress) };
    viewer.told(&viewer.progresses, || {
        let fraction = p.fraction == -1.0 || (0.0..=1.0).contains(&p.fraction);
        if job == 0
            || (p.struct_size as usize) < size_of::<hl_progress>()
            || !(0..=4).contains(&p.state)
            || !fraction
            || !p.stage.contains(&0)
        {
            viewer.wrong(format!("progress of job {job:#x} is {p:?}"));
        }
        (viewer.progress)(job, p)
    })
}

/// The slide that every check opens.
pub fn slide_desc() -> hl_slide_desc {
    hl_slide_desc {
        struct_size: size_of::<hl_slide_desc>() as u32,
        pixel_format: HL_PIXEL_RGBA8,
        width_px: SLIDE.0.into(),
        height_px: SLIDE.1.into(),
        downsamples: DOWNSAMPLES.as_ptr(),
        levels: DOWNSAMPLES.len() as u32,
        background_rgb: 0xFF_FF_FF,
        mpp_x: 0.5,
        mpp_y: 0.5,
        origin_x_px: 0,
        origin_y_px: 0,
        name: c"made up".as_ptr(),
        id: c"1".as_ptr(),
        token: SLIDE.2,
    }
}
