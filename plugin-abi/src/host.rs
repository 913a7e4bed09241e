//! The host's callbacks, made safe to call. In: the host table and slide descriptions. Out: a [`TileSource`] over `read_region`, log
//! and progress. Positions are level-0 pixels. A read that fails, or returns anything but the exact number of bytes, fails the job
//! that asked with [`Error::Host`]. Pixels outside the slide are white and never asked for.

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use histoloom_core::memory::filled;
use histoloom_core::slide::{Mpp, Region, SlideInfo};
use histoloom_core::{Error, TileSource, limits};
use image::{Rgb, RgbImage};
use parking_lot::{Condvar, Mutex};

use crate::args;
use crate::failure::{Failure, Result};
use crate::jobs::Job;
use crate::types::*;

/// Bytes behind the picture that a host must leave alone.
const CANARY: [u8; 64] = [0xC5; 64];
/// How often a read that waits for its turn looks whether its job was cancelled.
const LOOK: Duration = Duration::from_millis(20);
/// mpp along x and y may differ by this share before the pixels count as not square.
const SQUARE: f64 = 0.05;

thread_local! {
    static IN_CALLBACK: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is inside a callback, so that waiting for library threads could wait for itself.
pub fn inside_callback() -> bool {
    IN_CALLBACK.try_with(|n| n.get() > 0).unwrap_or(false)
}

/// Lets callers in until it is closed, and then waits until the last one has left.
#[derive(Default)]
pub struct Gate {
    state: Mutex<(bool, u32)>,
    left: Condvar,
}

/// Somebody inside a [`Gate`].
struct Pass<'a>(&'a Gate);

impl Gate {
    fn enter(&self) -> Option<Pass<'_>> {
        let mut state = self.state.lock();
        if state.0 {
            return None;
        }
        state.1 += 1;
        let _ = IN_CALLBACK.try_with(|n| n.set(n.get() + 1));
        Some(Pass(self))
    }

    /// Closes it. Does not wait on a thread that may itself be inside.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.0 = true;
        while state.1 > 0 && !inside_callback() {
            self.left.wait_for(&mut state, Duration::from_secs(1));
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let _ = IN_CALLBACK.try_with(|n| n.set(n.get().saturating_sub(1)));
        self.0.state.lock().1 -= 1;
        self.0.left.notify_all();
    }
}

/// The host table of a context.
pub struct Host {
    table: hl_host,
    gate: Gate,
    reading: Mutex<usize>,
    read: Condvar,
}

// SAFETY: the header obliges hosts to take callbacks, and `user` with them, on library threads.
unsafe impl Send for Host {}
// SAFETY: as above; how many threads call at once is limited by `reading` and by the single messenger.
unsafe impl Sync for Host {}

impl Host {
    /// Checks the version.
    pub fn new(table: hl_host) -> Result<Self> {
        if table.abi >> 16 != HL_ABI_VERSION >> 16 {
            let why = format!(
                "the host was built for ABI {}.{}, this library speaks {}.{}; use a library of the same major version",
                table.abi >> 16,
                table.abi & 0xFFFF,
                HL_ABI_VERSION >> 16,
                HL_ABI_VERSION & 0xFFFF
            );
            return Err(Failure::new(HL_E_ABI, why));
        }
        if table.reserved != 0 {
            return Err(Failure::new(HL_E_UNSUPPORTED, "hl_host.reserved is not 0; set what is reserved to 0"));
        }
        Ok(Self { table, gate: Gate::default(), reading: Mutex::new(0), read: Condvar::new() })
    }

    /// Whether slides can be opened.
    pub fn can_read(&self) -> bool {
        self.table.read_region.is_some()
    }

    /// Whether log lines are wanted.
    pub fn wants_log(&self) -> bool {
        self.table.log.is_some()
    }

    /// After this no callback runs, and none is called any more.
    pub fn close(&self) {
        self.gate.close();
    }

    /// Hands a line over. Called by the messenger only.
    pub fn log(&self, level: i32, text: &CStr) {
        if let (Some(log), Some(_pass)) = (self.table.log, self.gate.enter()) {
            // SAFETY: the host's function with the host's pointer; the text lives through the call; no lock is held.
            unsafe { log(self.table.user, level, text.as_ptr()) }
        }
    }

    /// Tells progress; the host may cancel through it. Called by the messenger only.
    pub fn progress(&self, job: &Job) {
        if let Some(progress) = self.table.progress {
            let now = job.progress();
            if let Some(_pass) = self.gate.enter() {
                // SAFETY: the host's function with the host's pointer; the struct lives through the call; no lock is held.
                if unsafe { progress(self.table.user, job.handle(), &raw const now) } != 0 {
                    job.cancel();
                }
            }
        }
    }

    fn concurrent_reads(&self) -> usize {
        self.table.max_concurrent_reads.clamp(1, 256) as usize
    }

    /// Waits for a free place among the concurrent reads; gives up when the job is cancelled.
    fn take_turn(&self, job: &histoloom_core::Job) -> histoloom_core::Result<Turn<'_>> {
        let mut reading = self.reading.lock();
        loop {
            job.check()?;
            if *reading < self.concurrent_reads() {
                *reading += 1;
                return Ok(Turn(self));
            }
            self.read.wait_for(&mut reading, LOOK);
        }
    }

    /// One call of `read_region`; what the host returned, or `None` if the slide or context is being released.
    fn read_region(&self, slide: &Slide, region: &hl_region, dst: &mut [u8], cap: u64) -> Option<i64> {
        let read = self.table.read_region?;
        let _host = self.gate.enter()?;
        let _slide = slide.gate.enter()?;
        // SAFETY: the host's function with the host's pointer; `dst` has more than `cap` bytes; no lock is held.
        Some(unsafe { read(self.table.user, region, dst.as_mut_ptr(), cap) })
    }
}

struct Turn<'a>(&'a Host);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.reading.lock() -= 1;
        self.0.read.notify_one();
    }
}

/// A slide as the host described it.
pub struct Slide {
    /// The description.
    pub info: SlideInfo,
    pixel_format: u32,
    token: u64,
    gate: Gate,
}

impl Slide {
    /// Checks a description.
    ///
    /// # Safety
    /// The pointers inside are NULL or as the header says.
    pub unsafe fn new(d: &hl_slide_desc) -> Result<Self> {
        // SAFETY: the same promise for each of them.
        let (name, id, downsamples) = unsafe {
            (
                args::optional_text(d.name, args::TEXT_BYTES, "name")?,
                args::optional_text(d.id, args::TEXT_BYTES, "id")?,
                args::numbers(d.downsamples, d.levels as usize, 64, "downsamples")?,
            )
        };
        if !(HL_PIXEL_RGBA8..=HL_PIXEL_BGRA8_PRE).contains(&d.pixel_format) {
            return Err(Failure::new(HL_E_UNSUPPORTED, format!("pixel_format {} is not known; use one of HL_PIXEL_*", d.pixel_format)));
        }
        for (field, side) in [("width_px", d.width_px), ("height_px", d.height_px)] {
            if side == 0 || side > limits::SLIDE_SIDE_PX {
                return Err(Failure::new(HL_E_LIMIT, format!("slide `{field}` is {side}; 1 to {} is possible", limits::SLIDE_SIDE_PX)));
            }
        }
        if d.background_rgb > 0xFF_FF_FF {
            return Err(Failure::argument("background_rgb", "is more than 0xRRGGBB; 0xFFFFFF is white"));
        }
        let rising = downsamples.windows(2).all(|w| w[0] <= w[1]);
        if !rising || downsamples.first().is_some_and(|d| *d != 1.0) || downsamples.iter().any(|d| !d.is_finite()) {
            return Err(Failure::argument("downsamples", "must be finite, rise, and begin with 1"));
        }
        let info = SlideInfo {
            name: name.unwrap_or_default(),
            id: id.unwrap_or_default(),
            width_px: d.width_px,
            height_px: d.height_px,
            downsamples: if downsamples.is_empty() { vec![1.0] } else { downsamples },
            mpp: one_mpp(d.mpp_x, d.mpp_y)?,
            origin_px: (d.origin_x_px, d.origin_y_px),
        };
        Ok(Self { info, pixel_format: d.pixel_format, token: d.token, gate: Gate::default() })
    }

    /// After this the host is not asked for its pixels any more.
    pub fn close(&self) {
        self.gate.close();
    }
}

/// One resolution from two; 0 is unknown.
fn one_mpp(x: f64, y: f64) -> Result<Option<Mpp>> {
    for (field, v) in [("mpp_x", x), ("mpp_y", y)] {
        if !v.is_finite() || v < 0.0 {
            return Err(Failure::new(HL_E_PARAMETER, format!("slide `{field}` is {v}; give micrometres per pixel, 0 if unknown")));
        }
    }
    let mpp = match (x > 0.0, y > 0.0) {
        (false, false) => return Ok(None),
        (true, true) if (x - y).abs() > SQUARE * x.max(y) => {
            return Err(Failure::new(HL_E_SLIDE, format!("the slide's pixels are not square: mpp_x {x}, mpp_y {y}; resample it first")));
        }
        (true, true) => (x * y).sqrt(),
        _ => x.max(y),
    };
    Ok(Some(Mpp::new(mpp)?))
}

/// A slide as one job reads it.
pub struct HostSource {
    /// The host.
    pub host: Arc<Host>,
    /// The slide.
    pub slide: Arc<Slide>,
    /// The job; reads stop once it is cancelled.
    pub job: Arc<histoloom_core::Job>,
}

/// Of `n` pixels that begin at `from` (level-0) and lie `downsample` apart, those that lie wholly in `0..side`: first and number.
fn inside(from: i64, downsample: f64, n: u32, side: u64) -> (u32, u32) {
    let first = (-(from as f64) / downsample).ceil().clamp(0.0, f64::from(n));
    let end = ((side as f64 - from as f64) / downsample + 1e-6).floor().clamp(first, f64::from(n));
    (first as u32, (end - first) as u32)
}

impl TileSource for HostSource {
    fn info(&self) -> &SlideInfo {
        &self.slide.info
    }

    fn concurrent_reads(&self) -> usize {
        self.host.concurrent_reads()
    }

    fn read(&self, r: &Region) -> histoloom_core::Result<RgbImage> {
        check_size(r)?;
        let white = filled(255, r.width_px as usize * r.height_px as usize * 3, "a region")?;
        let mut out = RgbImage::from_raw(r.width_px, r.height_px, white).ok_or_else(|| Error::internal("a picture of another size"))?;
        let (left, width) = inside(r.x, r.downsample, r.width_px, self.slide.info.width_px);
        let (top, height) = inside(r.y, r.downsample, r.height_px, self.slide.info.height_px);
        if width > 0 && height > 0 {
            let shift = |from: i64, n: u32| from + (f64::from(n) * r.downsample).round() as i64;
            let part = Region { x: shift(r.x, left), y: shift(r.y, top), downsample: r.downsample, width_px: width, height_px: height };
            self.read_inside(&part, |x, y, rgb| out.put_pixel(left + x, top + y, rgb))?;
        }
        Ok(out)
    }
}

/// Sizes are checked before anything is allocated.
fn check_size(r: &Region) -> histoloom_core::Result<()> {
    let bytes = u64::from(r.width_px) * u64::from(r.height_px) * 4;
    if bytes == 0 || bytes > 1 << 30 || !r.downsample.is_finite() || r.downsample <= 0.0 {
        return Err(Error::internal(format!("a region of {r} was asked for")));
    }
    Ok(())
}

impl HostSource {
    /// Reads a region that lies inside the slide, pixel by pixel into `put`.
    fn read_inside(&self, r: &Region, put: impl FnMut(u32, u32, Rgb<u8>)) -> histoloom_core::Result<()> {
        let stride = r.width_px as usize * 4;
        let bytes = stride * r.height_px as usize;
        let mut dst = filled(0, bytes + CANARY.len(), "a region")?;
        dst.truncate(bytes);
        dst.extend_from_slice(&CANARY);
        let region = hl_region {
            struct_size: size_of::<hl_region>() as u32,
            pixel_format: self.slide.pixel_format,
            x_px: r.x,
            y_px: r.y,
            downsample: r.downsample,
            width_px: r.width_px,
            height_px: r.height_px,
            stride_bytes: stride as u32,
            z: 0,
            t: 0,
            reserved: 0,
            token: self.slide.token,
        };
        let turn = self.host.take_turn(&self.job)?;
        let returned = self.host.read_region(&self.slide, &region, &mut dst, bytes as u64);
        drop(turn);
        let fails = |why: String| Err(Error::Host { region: r.to_string(), why });
        match returned {
            None => return fails("the slide or the context was released while the job ran".into()),
            Some(n) if n != bytes as i64 => return fails(format!("it returned {n}, {bytes} bytes were asked for")),
            _ if dst[bytes..] != CANARY => return fails(format!("it wrote behind the {bytes} bytes it was given")),
            _ => {}
        }
        self.job.check()?;
        to_rgb(self.slide.pixel_format, &dst[..bytes], stride, r.width_px, put);
        Ok(())
    }
}

/// Rows of 4-byte pixels to RGB on white, which is what transparent glass looks like.
fn to_rgb(format: u32, bytes: &[u8], stride: usize, width: u32, mut put: impl FnMut(u32, u32, Rgb<u8>)) {
    let swapped = matches!(format, HL_PIXEL_BGRA8 | HL_PIXEL_BGRA8_PRE);
    let premultiplied = matches!(format, HL_PIXEL_RGBA8_PRE | HL_PIXEL_BGRA8_PRE);
    for (y, row) in bytes.chunks_exact(stride).enumerate() {
        for (x, p) in row.chunks_exact(4).take(width as usize).enumerate() {
            let rgb = if swapped { [p[2], p[1], p[0]] } else { [p[0], p[1], p[2]] };
            put(x as u32, y as u32, Rgb(on_white(rgb, p[3], premultiplied)));
        }
    }
}

fn on_white(rgb: [u8; 3], alpha: u8, premultiplied: bool) -> [u8; 3] {
    if alpha == 255 {
        return rgb;
    }
    let a = u32::from(alpha);
    rgb.map(|v| {
        let colour = if premultiplied { u32::from(v) } else { (u32::from(v) * a + 127) / 255 };
        (colour + 255 - a).min(255) as u8
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn only_pixels_wholly_inside_the_slide_are_asked_for() {
        assert_eq!(inside(0, 1.0, 100, 100), (0, 100));
        assert_eq!(inside(-10, 4.0, 8, 100), (3, 5)); // pixels at -10, -6, -2 | 2, 6, ...
        assert_eq!(inside(90, 4.0, 8, 100), (0, 2)); // 90..94, 94..98 | 98..102 sticks out
        assert_eq!(inside(100, 1.0, 8, 100), (0, 0));
        assert_eq!(inside(-50, 1.0, 8, 100), (8, 0));
        assert_eq!(inside(0, 10.0 / 3.0, 30, 100), (0, 30));
    }

    #[test]
    fn every_pixel_format_gives_the_same_red_on_white() {
        let mut got = Vec::new();
        for (format, bytes) in [
            (HL_PIXEL_RGBA8, [200, 10, 20, 255, 200, 10, 20, 128, 9, 9, 9, 0, 7, 7, 7, 7]),
            (HL_PIXEL_BGRA8, [20, 10, 200, 255, 20, 10, 200, 128, 9, 9, 9, 0, 7, 7, 7, 7]),
            (HL_PIXEL_RGBA8_PRE, [200, 10, 20, 255, 100, 5, 10, 128, 0, 0, 0, 0, 7, 7, 7, 7]),
            (HL_PIXEL_BGRA8_PRE, [20, 10, 200, 255, 10, 5, 100, 128, 0, 0, 0, 0, 7, 7, 7, 7]),
        ] {
            let mut out = Vec::new();
            to_rgb(format, &bytes, 16, 3, |_, _, p| out.push(p.0)); // the fourth pixel is padding of the row
            got.push(out);
        }
        assert_eq!(got[0], [[200, 10, 20], [227, 132, 137], [255, 255, 255]]);
        assert!(got.iter().all(|g| *g == got[0]), "{got:?}");
    }

    #[test]
    fn one_resolution_comes_from_two_or_none() {
        assert_eq!(one_mpp(0.0, 0.0).unwrap(), None);
        assert_eq!(one_mpp(0.5, 0.0).unwrap().unwrap().get(), 0.5);
        assert!((one_mpp(0.5, 0.502).unwrap().unwrap().get() - 0.501).abs() < 1e-5);
        assert_eq!(one_mpp(0.5, 0.7).unwrap_err().code, HL_E_SLIDE);
        assert_eq!(one_mpp(f64::NAN, 0.0).unwrap_err().code, HL_E_PARAMETER);
        assert_eq!(one_mpp(100.0, 100.0).unwrap_err().code, HL_E_PARAMETER);
    }
}
