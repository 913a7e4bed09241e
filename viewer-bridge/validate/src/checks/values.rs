//! Values that cannot be: of slides, of regions, of configurations.

use std::ptr::null;

use crate::bench::{Bench, Furnished, config, region};
use crate::ffi::{
    ABI, HL_E_ABI, HL_E_ARGUMENT, HL_E_LIMIT, HL_E_PARAMETER, HL_E_SLIDE, HL_E_UNSUPPORTED, HL_OK, hl_config, hl_host, hl_region,
    hl_slide_desc, name_of,
};
use crate::memory::{Guarded, Outputs};
use crate::process::number;
use crate::viewer::{Viewer, slide_desc};

/// Memory that refusing them may take at its peak, in kB.
const PEAK_KB: u64 = 16 << 10;

/// Numbers that cannot be; refusing them takes no memory.
pub fn values(b: &Bench) {
    let viewer = Viewer::new().leak();
    let f = b.furnish(viewer);
    let (before, mut o) = (number("VmHWM"), Outputs::new());
    slides(b, &f, &mut o);
    regions(b, &f, &mut o);
    odd_regions(b, &f);
    let host = viewer.table();
    let many = hl_config { threads: u32::MAX, ..config(&raw const host) };
    b.code("hl_config.threads u32::MAX", (b.api.hl_context_create)(&raw const many, &raw mut o.handle), HL_E_LIMIT);
    for abi in [0, ABI + (1 << 16), u32::MAX] {
        let host = hl_host { abi, ..host };
        b.code(&format!("hl_host.abi {abi:#x}"), (b.api.hl_context_create)(&config(&raw const host), &raw mut o.handle), HL_E_ABI);
    }
    b.promise(o.untouched(), || "a call with an impossible value wrote into an output".into());
    let grown = number("VmHWM").saturating_sub(before);
    b.promise(grown < PEAK_KB, || format!("refusing impossible values took {grown} kB"));
    b.works("after all of them", f.context, f.slide);
}

/// Slides that cannot be.
fn slides(b: &Bench, f: &Furnished, o: &mut Outputs) {
    let good = slide_desc();
    let no_rise = [[4.0, 1.0], [1.0, f64::NAN], [1.0, f64::INFINITY], [2.0, 4.0], [-1.0, 0.0]];
    let mut table: Vec<(String, hl_slide_desc, i32)> = vec![
        ("levels u32::MAX".into(), hl_slide_desc { levels: u32::MAX, ..good }, HL_E_LIMIT),
        ("downsamples NULL".into(), hl_slide_desc { downsamples: null(), ..good }, HL_E_ARGUMENT),
        ("mpp 2.0 by 0.5".into(), hl_slide_desc { mpp_x: 2.0, ..good }, HL_E_SLIDE),
    ];
    for side in [0, 1 << 40, u64::MAX] {
        table.push((format!("width_px {side}"), hl_slide_desc { width_px: side, ..good }, HL_E_LIMIT));
        table.push((format!("height_px {side}"), hl_slide_desc { height_px: side, ..good }, HL_E_LIMIT));
    }
    for mpp in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        table.push((format!("mpp {mpp}"), hl_slide_desc { mpp_x: mpp, mpp_y: mpp, ..good }, HL_E_PARAMETER));
    }
    for format in [0, 5, 99, u32::MAX] {
        table.push((format!("pixel_format {format}"), hl_slide_desc { pixel_format: format, ..good }, HL_E_UNSUPPORTED));
    }
    for pair in &no_rise {
        table.push((format!("downsamples {pair:?}"), hl_slide_desc { downsamples: pair.as_ptr(), ..good }, HL_E_ARGUMENT));
    }
    for (what, desc, want) in table {
        b.at(&what);
        b.code(&format!("a slide with {what}"), (b.api.hl_slide_open)(f.context, &raw const desc, &raw mut o.handle), want);
    }
}

/// Regions of a result that cannot be.
fn regions(b: &Bench, f: &Furnished, o: &mut Outputs) {
    let good = region(16.0, 8, 8);
    let mut table = vec![
        ("width 0", hl_region { width_px: 0, ..good }, HL_E_ARGUMENT),
        ("height 0", hl_region { height_px: 0, ..good }, HL_E_ARGUMENT),
        ("2^32 x 2^32 px", hl_region { width_px: u32::MAX, height_px: u32::MAX, ..good }, HL_E_LIMIT),
        ("a height of 2^32", hl_region { height_px: u32::MAX, ..good }, HL_E_LIMIT),
        ("rows shorter than they are", hl_region { stride_bytes: 7, ..good }, HL_E_ARGUMENT),
        ("rows 2^32 bytes apart", hl_region { stride_bytes: u32::MAX, ..good }, HL_E_LIMIT),
        ("z 1", hl_region { z: 1, ..good }, HL_E_UNSUPPORTED),
    ];
    for downsample in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        table.push(("an impossible downsample", hl_region { downsample, ..good }, HL_E_ARGUMENT));
    }
    for (what, region, want) in table {
        b.at(what);
        let (dst, needed) = (o.buffer.ptr(), &raw mut o.needed);
        b.code(&format!("labels of {what}"), (b.api.hl_result_labels_region)(f.result, &raw const region, dst, 64, needed), want);
        b.code(&format!("an overlay of {what}"), (b.api.hl_result_overlay_region)(f.result, &raw const region, dst, 64, needed), want);
    }
}

/// Regions of the dice, far away and out of proportion: drawn inside their buffer, or refused.
fn odd_regions(b: &Bench, f: &Furnished) {
    let mut dice = b.dice(0);
    let far = [0, 1, -1, 127, i64::MIN, i64::MAX, i64::MIN + 1, 1 << 53, -(1 << 53)];
    for _ in 0..b.times(300, 20_000) {
        let odd = [f64::from_bits(dice.any()), 1e-300, f64::MIN_POSITIVE / 2.0, 1e300, 1.0, 16.0, 1e18, 0.1];
        let (width_px, height_px) = (1 + dice.below(40) as u32, 1 + dice.below(40) as u32);
        let stride_bytes = 4 * width_px + dice.below(9) as u32;
        let (x_px, y_px, downsample) = (*dice.pick(&far), dice.pick(&far).wrapping_add(dice.below(300) as i64), *dice.pick(&odd));
        let r = hl_region { x_px, y_px, pixel_format: 1 + dice.below(4) as u32, stride_bytes, ..region(downsample, width_px, height_px) };
        b.at(&format!("{r:?}"));
        for (name, call) in [("labels", b.api.hl_result_labels_region), ("overlay", b.api.hl_result_overlay_region)] {
            let (mut dst, mut needed) = (Guarded::new((stride_bytes * height_px) as usize), 0);
            let code = call(f.result, &raw const r, dst.ptr(), dst.content().len() as u64, &raw mut needed);
            let answered = matches!(code, HL_OK | HL_E_ARGUMENT | HL_E_LIMIT);
            b.promise(answered, || format!("hl_result_{name}_region gave {} for {r:?}", name_of(code)));
            let inside = dst.guards_hold() && (code == HL_OK || dst.untouched());
            b.promise(inside, || format!("hl_result_{name}_region wrote outside its buffer, or although it failed: {r:?}"));
        }
    }
}
