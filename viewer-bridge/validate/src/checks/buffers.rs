//! Buffers: asked for, too small, exact. Guard bytes stand on both sides of each.

use std::ffi::CString;
use std::ptr::null_mut;

use serde_json::Value;

use crate::bench::{Bench, PictureCall, TextCall};
use crate::ffi::{HL_E_BUFFER, HL_OK};
use crate::memory::{Guarded, Outputs};
use crate::process::Manners;
use crate::viewer::Viewer;

/// Every function that fills a buffer and is quick.
pub fn buffers(b: &Bench) {
    let f = b.furnish(Viewer::new().leak());
    b.code("hl_job_wait of no job", (b.api.hl_job_wait)(1, 0), crate::ffi::HL_E_HANDLE); // so that there is a last error
    for (name, call) in b.texts(&f) {
        text(b, name, &call);
    }
    for (name, call) in b.regions(&f) {
        b.at(name);
        bytes(b, name, &call);
    }
    for (name, channels, call) in b.pictures(&f) {
        picture(b, name, channels, &call);
    }
    b.works("after all of them", f.context, f.slide);
}

/// Those that take seconds.
pub fn slow_texts(b: &Bench) {
    let _ = std::thread::spawn(|| {}).join(); // with its first thread, glibc takes a signal of its own
    let before = Manners::now();
    let context = b.context(Viewer::new().leak());
    let api = &b.api;
    let models = b.cli.models.as_ref().and_then(|m| CString::new(m.display().to_string()).ok());
    let mut calls: Vec<(&str, TextCall)> = vec![
        ("hl_devices_json", Box::new(|d, c, n| (api.hl_devices_json)(d, c, n))),
        ("hl_ops_json", Box::new(|d, c, n| (api.hl_ops_json)(d, c, n))),
        ("hl_doctor_json", Box::new(|d, c, n| (api.hl_doctor_json)(context, d, c, n))),
    ];
    if let Some(models) = &models {
        calls.push(("hl_inspect_json", Box::new(|d, c, n| (api.hl_inspect_json)(models.as_ptr(), d, c, n))));
    }
    for (name, call) in calls {
        text(b, name, &call);
        before.compare(b, name);
    }
    b.works("after all of them", context, 0);
    b.release(context);
}

/// A text: exact bytes, one NUL at the end, UTF-8; JSON where the name says so.
fn text(b: &Bench, name: &str, call: &TextCall) {
    b.at(name);
    let Some(bytes) = bytes(b, name, call) else { return };
    let end = bytes.iter().position(|x| *x == 0);
    b.promise(end == Some(bytes.len() - 1), || format!("{name}: {} bytes were needed, the NUL is at {end:?}", bytes.len()));
    let text = std::str::from_utf8(&bytes[..end.unwrap_or(0)]);
    b.promise(text.is_ok(), || format!("{name}: the text is not UTF-8"));
    if name.ends_with("json") {
        let parsed = text.is_ok_and(|t| serde_json::from_str::<Value>(t).is_ok());
        b.promise(parsed, || format!("{name}: the text is not JSON"));
    }
}

/// Size asked for, one byte too few, exact; what was written comes back.
fn bytes(b: &Bench, name: &str, call: &TextCall) -> Option<Vec<u8>> {
    let mut needed = 0;
    let mut o = Outputs::new();
    let _ = call(null_mut(), 0, &raw mut needed);
    let small = (needed as usize).clamp(1, 1 << 30) - 1;
    if small > 0 {
        let mut guarded = Guarded::new(small);
        b.code(&format!("{name} into {small} of {needed} bytes"), call(guarded.ptr(), small as u64, &raw mut o.needed), HL_E_BUFFER);
        b.promise(guarded.untouched() && o.untouched(), || format!("{name} failed for want of room and wrote"));
    }
    // Asked again: the failure has changed what hl_last_error says.
    b.code(&format!("{name} with cap 0"), call(o.buffer.ptr(), 0, &raw mut needed), HL_OK);
    b.promise(o.buffer.untouched(), || format!("{name} with cap 0 wrote into the buffer"));
    if !b.promise((1..=1 << 30).contains(&needed), || format!("{name} needs {needed} bytes")) {
        return None;
    }
    let (mut guarded, mut again) = (Guarded::new(needed as usize), 0);
    b.code(&format!("{name} into {needed} bytes"), call(guarded.ptr(), needed, &raw mut again), HL_OK);
    b.promise(again == needed, || format!("{name} needed {needed} bytes and then {again}"));
    b.promise(guarded.guards_hold(), || format!("{name} wrote outside its buffer of {needed} bytes"));
    Some(guarded.content().to_vec())
}

fn picture(b: &Bench, name: &str, channels: u64, call: &PictureCall) {
    b.at(name);
    let (mut width, mut height, mut needed, mut o) = (0, 0, 0, Outputs::new());
    b.code(&format!("{name} with cap 0"), call(null_mut(), 0, &raw mut needed, &raw mut width, &raw mut height), HL_OK);
    let sized = u64::from(width) * u64::from(height) * channels;
    let fits =
        b.promise(needed == sized && needed > 0, || format!("{name} needs {needed} bytes for {width} x {height} pixels of {channels}"));
    if !fits || needed > 1 << 30 {
        return;
    }
    let mut small = Guarded::new(needed as usize - 1);
    let code = call(small.ptr(), needed - 1, &raw mut o.needed, &raw mut o.width, &raw mut o.height);
    b.code(&format!("{name} into one byte too few"), code, HL_E_BUFFER);
    b.promise(small.untouched() && o.untouched(), || format!("{name} failed for want of room and wrote"));
    let mut exact = Guarded::new(needed as usize);
    let (mut again, mut w, mut h) = (0, 0, 0);
    b.code(&format!("{name} into the exact bytes"), call(exact.ptr(), needed, &raw mut again, &raw mut w, &raw mut h), HL_OK);
    b.promise((again, w, h) == (needed, width, height), || format!("{name} was {width} x {height} and then {w} x {h}"));
    b.promise(exact.guards_hold(), || format!("{name} wrote outside its buffer of {needed} bytes"));
}
