//! A host under test: its table and slide, its log and progress.

use std::ffi::{CStr, CString, c_char};

use libloading::Library;

use crate::bench::empty_progress;
use crate::ffi::{ABI, HL_OK, HL_PIXEL_BGRA8_PRE, HL_PIXEL_RGBA8, hl_host, hl_progress, hl_region, hl_slide_desc, name_of};
use crate::session::Session;

/// What a host exports for this program.
type Fill = unsafe extern "C" fn(*mut hl_host, *mut hl_slide_desc) -> i32;

/// A host and the slide it shows.
pub struct Host {
    pub table: hl_host,
    pub slide: hl_slide_desc,
    _library: Library, // keeps the code mapped
}

// SAFETY: the header obliges hosts to take callbacks on any thread; the pointers are only handed back to them.
unsafe impl Sync for Host {}

/// A text of a host's struct: `None` for NULL.
fn text(from: *const c_char) -> Option<CString> {
    // SAFETY: the header obliges hosts to give NULL or a text that ends with NUL; one that is neither crashes this child.
    (!from.is_null()).then(|| unsafe { CStr::from_ptr(from) }.to_owned())
}

impl Host {
    /// Loads one and lets it fill its structs; a failure is told.
    pub fn load(s: &Session) -> Option<Self> {
        s.at("loading the host");
        // SAFETY: the file the user wants validated, in a child process.
        let library = match unsafe { Library::new(s.cli.subject()) } {
            Ok(library) => library,
            Err(e) => {
                s.broken(&format!("the host cannot be loaded: {e}"));
                return None;
            }
        };
        // SAFETY: the function has this type, as the documentation of this program says.
        let fill = match unsafe { library.get::<Fill>("hl_validate_host") } {
            Ok(fill) => *fill,
            Err(e) => {
                s.broken(&format!("the host exports no hl_validate_host: {e}"));
                return None;
            }
        };
        // SAFETY: zero bytes are a value of both.
        let (mut table, mut slide): (hl_host, hl_slide_desc) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        (table.struct_size, slide.struct_size) = (size_of::<hl_host>() as u32, size_of::<hl_slide_desc>() as u32);
        s.at("hl_validate_host");
        // SAFETY: structs of ours.
        let code = unsafe { fill(&raw mut table, &raw mut slide) };
        if !s.code("hl_validate_host", code, HL_OK) || !s.promise(table.read_region.is_some(), || "read_region is NULL".into()) {
            return None;
        }
        let sized = slide.width_px > 0 && slide.height_px > 0 && slide.levels <= 64 && (slide.levels == 0 || !slide.downsamples.is_null());
        s.promise(sized, || "the slide has no pixels, or downsamples is NULL".into()).then_some(Self { table, slide, _library: library })
    }

    /// Its downsamples; 1 where it has none.
    pub fn downsamples(&self) -> Vec<f64> {
        let levels = self.slide.levels as usize;
        // SAFETY: `load` has seen that it is not NULL; the header obliges hosts to have as many as they say.
        let all = (levels > 0).then(|| unsafe { std::slice::from_raw_parts(self.slide.downsamples, levels) });
        all.map_or_else(|| vec![1.0], <[f64]>::to_vec)
    }

    /// A region of its slide, cut to what lies inside, as a library does: never less than one pixel.
    pub fn region(&self, x_px: u64, y_px: u64, downsample: f64, width_px: u32, height_px: u32) -> hl_region {
        let (right, below) = ((self.slide.width_px - x_px) as f64, (self.slide.height_px - y_px) as f64);
        let downsample = downsample.min(right).min(below);
        let fits = |n: u32, room: f64| f64::from(n).min((room / downsample + 1e-6).floor()) as u32;
        let (width_px, height_px) = (fits(width_px, right), fits(height_px, below));
        hl_region {
            struct_size: size_of::<hl_region>() as u32,
            pixel_format: self.slide.pixel_format,
            x_px: x_px as i64,
            y_px: y_px as i64,
            downsample,
            width_px,
            height_px,
            stride_bytes: 4 * width_px,
            z: 0,
            t: 0,
            reserved: 0,
            token: self.slide.token,
        }
    }
}

/// What the structs say.
pub fn description(s: &Session, h: &Host) {
    let (t, d) = (&h.table, &h.slide);
    let own = size_of::<hl_host>() as u32;
    s.promise(t.struct_size >= own, || format!("hl_host.struct_size is {}, sizeof(hl_host) is {own}", t.struct_size));
    s.promise(t.abi >> 16 == ABI >> 16, || format!("hl_host.abi is {:#x}; set it to HL_ABI_VERSION", t.abi));
    s.promise(t.reserved == 0, || "hl_host.reserved is not 0".into());
    let own = size_of::<hl_slide_desc>() as u32;
    s.promise(d.struct_size >= own, || format!("hl_slide_desc.struct_size is {}, sizeof(hl_slide_desc) is {own}", d.struct_size));
    let format = (HL_PIXEL_RGBA8..=HL_PIXEL_BGRA8_PRE).contains(&d.pixel_format);
    s.promise(format, || format!("pixel_format is {}; use one of HL_PIXEL_*", d.pixel_format));
    let all = h.downsamples();
    let rising = all.first() == Some(&1.0) && all.windows(2).all(|w| w[0] <= w[1]) && all.iter().all(|d| d.is_finite());
    s.promise(rising, || format!("downsamples must begin with 1 and rise: {all:?}"));
    let known = [d.mpp_x, d.mpp_y].iter().all(|m| m.is_finite() && *m >= 0.0);
    s.promise(known, || format!("mpp is {} by {}; give micrometres per pixel, 0 if unknown", d.mpp_x, d.mpp_y));
    let square = d.mpp_x == 0.0 || d.mpp_y == 0.0 || (d.mpp_x - d.mpp_y).abs() <= 0.05 * d.mpp_x.max(d.mpp_y);
    s.promise(square, || format!("mpp is {} by {}; libraries want square pixels", d.mpp_x, d.mpp_y));
    s.promise(d.background_rgb <= 0xFF_FF_FF, || format!("background_rgb is {:#x}, more than 0xRRGGBB", d.background_rgb));
    for (field, text) in [("name", text(d.name)), ("id", text(d.id))] {
        let Some(text) = text else { continue };
        s.promise(text.to_str().is_ok(), || format!("{field} is not UTF-8: {text:?}"));
        let path = field == "name" && text.as_bytes().iter().any(|b| matches!(b, b'/' | b'\\'));
        s.promise(!path, || format!("name is a path, which may name a patient: {text:?}"));
    }
    s.note(&format!("{} x {} px, {} levels, {} reads at once", d.width_px, d.height_px, all.len(), t.max_concurrent_reads.max(1)));
}

/// Odd texts and every state.
pub fn texts(s: &Session, h: &Host) {
    let long = "long ".repeat(20_000);
    let texts =
        ["", "a line", "two\nlines\r\n\ttab", "%s %n %d %p", "Gewebe übersät 組織 🧪", "\"quotes\" <b>&amp;</b> \\ '", long.as_str()];
    if let Some(log) = h.table.log {
        for (level, text) in (1..=4).flat_map(|l| texts.iter().map(move |t| (l, *t))) {
            s.at(&format!("log of level {level}: {:.60}", text.escape_debug().to_string()));
            let text = CString::new(text).unwrap_or_default();
            // SAFETY: the host's function with the host's pointer; the text lives through the call.
            unsafe { log(h.table.user, level, text.as_ptr()) };
        }
    }
    let Some(progress) = h.table.progress else { return };
    for (state, stage) in (0..=4).flat_map(|state| ["", "reading", "a stage whose name has 39 letters, so it"].map(|t| (state, t))) {
        s.at(&format!("progress in state {state}, stage `{stage}`"));
        let mut p = hl_progress {
            state,
            error: if state == 3 { -14 } else { 0 },
            fraction: [-1.0, 0.0, 0.5, 1.0][state as usize % 4],
            ..empty_progress()
        };
        (p.eta_s, p.items_per_s, p.done, p.total) = ([-1.0, 1e9][state as usize % 2], 1e-9, 1, [0, u64::MAX][state as usize % 2]);
        p.stage.iter_mut().zip(stage.bytes().take(39)).for_each(|(to, from)| *to = from as c_char);
        // SAFETY: the host's function with the host's pointer; the struct lives through the call.
        let answer = unsafe { progress(h.table.user, u64::MAX >> 1, &raw const p) };
        if answer != 0 {
            s.note(&format!("progress answered {answer} in state {state}, which cancels the job ({})", name_of(answer)));
        }
    }
}
