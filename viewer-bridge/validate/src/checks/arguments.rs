//! Arguments that are missing, too small, too large or no text.

use std::ffi::{CString, c_char};
use std::ptr::{null, null_mut};

use crate::bench::{Bench, Furnished, config, region};
use crate::ffi::{
    HL_E_ABI, HL_E_ARGUMENT, HL_E_FILE, HL_E_HANDLE, HL_E_LIMIT, HL_E_UNSUPPORTED, HL_E_UTF8, HL_OK, hl_config, hl_host, hl_progress,
    hl_slide_desc,
};
use crate::memory::{Fence, Outputs, bytes_of};
use crate::viewer::{Viewer, slide_desc};

/// NULL for each argument of each function, one at a time.
pub fn nulls(b: &Bench) {
    let viewer = Viewer::new().leak();
    let f = b.furnish(viewer);
    let mut o = Outputs::new();
    makers(b, &f, viewer, &mut o);
    b.code("hl_job_poll(progress NULL)", (b.api.hl_job_poll)(f.job, null_mut()), HL_E_ARGUMENT);
    b.code("hl_job_result(result NULL)", (b.api.hl_job_result)(f.job, null_mut()), HL_E_ARGUMENT);
    for (name, call) in b.texts(&f).into_iter().chain(b.regions(&f)) {
        b.at(name);
        b.code(&format!("{name}(NULL, 0, NULL)"), call(null_mut(), 0, null_mut()), HL_E_ARGUMENT);
        b.code(&format!("{name}(needed NULL)"), call(o.buffer.ptr(), 64, null_mut()), HL_E_ARGUMENT);
        b.code(&format!("{name}(dst NULL, cap 64)"), call(null_mut(), 64, &raw mut o.needed), HL_E_ARGUMENT);
        b.promise(o.untouched(), || format!("{name} with a NULL wrote into an output"));
    }
    for (name, _, call) in b.pictures(&f) {
        b.at(name);
        let (dst, needed, width, height) = (o.buffer.ptr(), &raw mut o.needed, &raw mut o.width, &raw mut o.height);
        b.code(&format!("{name}(dst NULL, cap 64)"), call(null_mut(), 64, needed, width, height), HL_E_ARGUMENT);
        b.code(&format!("{name}(needed NULL)"), call(dst, 64, null_mut(), width, height), HL_E_ARGUMENT);
        b.code(&format!("{name}(width NULL)"), call(dst, 64, needed, null_mut(), height), HL_E_ARGUMENT);
        b.code(&format!("{name}(height NULL)"), call(dst, 64, needed, width, null_mut()), HL_E_ARGUMENT);
        b.promise(o.untouched(), || format!("{name} with a NULL wrote into an output"));
    }
    others(b, &f, &mut o);
    b.works("after all of them", f.context, f.slide);
}

/// Functions that make handles.
fn makers(b: &Bench, f: &Furnished, viewer: &'static Viewer, o: &mut Outputs) {
    b.at("hl_context_create, hl_slide_open, hl_job_start");
    let (host, desc, out, kind) = (viewer.table(), slide_desc(), &raw mut o.handle, c"selftest".as_ptr());
    let (create, open, start) = (b.api.hl_context_create, b.api.hl_slide_open, b.api.hl_job_start);
    b.code("hl_context_create(config NULL)", create(null(), out), HL_E_ARGUMENT);
    b.code("hl_context_create(context NULL)", create(&config(&raw const host), null_mut()), HL_E_ARGUMENT);
    b.code("hl_context_create(host NULL)", create(&config(null()), out), HL_E_ARGUMENT);
    b.code("hl_slide_open(desc NULL)", open(f.context, null(), out), HL_E_ARGUMENT);
    b.code("hl_slide_open(slide NULL)", open(f.context, &raw const desc, null_mut()), HL_E_ARGUMENT);
    b.code("hl_slide_open(context 0)", open(0, &raw const desc, out), HL_E_HANDLE);
    b.code("hl_job_start(kind NULL)", start(f.context, 0, null(), null(), 0, out), HL_E_ARGUMENT);
    b.code("hl_job_start(job NULL)", start(f.context, 0, kind, null(), 0, null_mut()), HL_E_ARGUMENT);
    b.code("hl_job_start(context 0)", start(0, 0, kind, null(), 0, out), HL_E_HANDLE);
    b.code("hl_job_start(cluster, slide 0)", start(f.context, 0, c"cluster".as_ptr(), null(), 0, out), HL_E_ARGUMENT);
    b.promise(o.untouched(), || "a function that makes a handle wrote it although it failed".into());
    let mute = hl_host { read_region: None, log: None, progress: None, ..host };
    let mut context = 0;
    b.code("hl_context_create without callbacks", create(&config(&raw const mute), &raw mut context), HL_OK);
    b.code("hl_slide_open without read_region", open(context, &raw const desc, &raw mut o.handle), HL_E_ARGUMENT);
    b.works("without callbacks", context, 0);
    b.release(context);
}

/// Arguments that stand alone.
fn others(b: &Bench, f: &Furnished, o: &mut Outputs) {
    b.at("texts that name something");
    let (dst, needed) = (o.buffer.ptr(), &raw mut o.needed);
    let api = &b.api;
    b.code("hl_params_schema_json(kind NULL)", (api.hl_params_schema_json)(null(), dst, 64, needed), HL_E_ARGUMENT);
    b.code("hl_params_schema_json(unknown)", (api.hl_params_schema_json)(c"what".as_ptr(), dst, 64, needed), HL_E_UNSUPPORTED);
    b.code("hl_op_check_json(path NULL)", (api.hl_op_check_json)(null(), dst, 64, needed), HL_E_ARGUMENT);
    b.code("hl_op_check_json(no such file)", (api.hl_op_check_json)(c"/no/such/op.wasm".as_ptr(), dst, 64, needed), HL_E_FILE);
    b.code("hl_inspect_json(path NULL)", (api.hl_inspect_json)(null(), dst, 64, needed), HL_E_ARGUMENT);
    b.code("hl_inspect_json(no such file)", (api.hl_inspect_json)(c"/no/such/file.png".as_ptr(), dst, 64, needed), HL_E_FILE);
    b.code("hl_result_csv(table NULL)", (api.hl_result_csv)(f.result, null(), dst, 64, needed), HL_E_ARGUMENT);
    b.code("hl_result_csv(no such table)", (api.hl_result_csv)(f.result, c"cells".as_ptr(), dst, 64, needed), HL_E_ARGUMENT);
    b.code("hl_result_labels_region(region NULL)", (api.hl_result_labels_region)(f.result, null(), dst, 64, needed), HL_E_ARGUMENT);
    b.code("hl_result_overlay_region(region NULL)", (api.hl_result_overlay_region)(f.result, null(), dst, 64, needed), HL_E_ARGUMENT);
    b.code("hl_result_tile_json(no such tile)", (api.hl_result_tile_json)(f.result, u32::MAX, dst, 64, needed), HL_E_ARGUMENT);
    b.promise(o.untouched(), || "a call with a wrong text wrote into an output".into());
    for (name, release) in [
        ("context", api.hl_context_release),
        ("slide", api.hl_slide_release),
        ("job", api.hl_job_release),
        ("result", api.hl_result_release),
    ] {
        b.code(&format!("hl_{name}_release(0)"), release(0), HL_OK);
    }
}

/// The structs a host passes, each at the end of readable memory.
pub fn structs(b: &Bench) {
    let viewer = Viewer::new().leak();
    let f = b.furnish(viewer);
    let host = viewer.table();
    let structs: [(&str, Vec<u8>); 4] = [
        ("hl_host", bytes_of(&host)),
        ("hl_config", bytes_of(&config(&raw const host))),
        ("hl_slide_desc", bytes_of(&slide_desc())),
        ("hl_region", bytes_of(&region(16.0, 8, 8))),
    ];
    for (name, good) in &structs {
        let small = (0..good.len() as u32).step_by(8).chain([1, 4, good.len() as u32 - 1]);
        for size in small.chain([1 << 20, i32::MAX as u32, u32::MAX]) {
            let readable = (size as usize).next_multiple_of(8).clamp(8, good.len());
            pass(b, &f, name, &good[..readable], size, HL_E_ABI);
        }
        let mut newer = good.clone();
        newer.resize(good.len() + 24, 0);
        pass(b, &f, name, good, good.len() as u32, HL_OK);
        pass(b, &f, name, &newer, newer.len() as u32, HL_OK);
        for at in [good.len(), good.len() + 9, newer.len() - 1] {
            let mut unknown = newer.clone();
            unknown[at] = 1;
            pass(b, &f, name, &unknown, unknown.len() as u32, HL_E_UNSUPPORTED);
        }
    }
    progress(b, f.job);
    b.works("after all of them", f.context, f.slide);
}

/// Passes the bytes of a struct with a size set in it.
fn pass(b: &Bench, f: &Furnished, name: &str, bytes: &[u8], struct_size: u32, want: i32) {
    let what = format!("{name} with struct_size {struct_size}");
    b.at(&what);
    let mut bytes = bytes.to_vec();
    bytes[..4].copy_from_slice(&struct_size.to_ne_bytes());
    let Some(fence) = Fence::new(&bytes) else { return };
    let mut o = Outputs::new();
    let got = match name {
        "hl_host" => (b.api.hl_context_create)(&config(fence.ptr()), &raw mut o.handle),
        "hl_config" => (b.api.hl_context_create)(fence.ptr::<hl_config>(), &raw mut o.handle),
        "hl_slide_desc" => (b.api.hl_slide_open)(f.context, fence.ptr::<hl_slide_desc>(), &raw mut o.handle),
        _ => (b.api.hl_result_labels_region)(f.result, fence.ptr(), o.buffer.ptr(), 64, &raw mut o.needed),
    };
    b.code(&what, got, want);
    match (got, name) {
        (HL_OK, "hl_slide_desc") => b.code("hl_slide_release", (b.api.hl_slide_release)(o.handle), HL_OK),
        (HL_OK, "hl_host" | "hl_config") => b.code("hl_context_release", (b.api.hl_context_release)(o.handle), HL_OK),
        (HL_OK, _) => b.promise(o.needed == 64, || format!("{what} needs {} bytes, not 64", o.needed)),
        _ => b.promise(o.untouched(), || format!("{what} failed and wrote into an output")),
    };
}

/// The struct that the library fills.
fn progress(b: &Bench, job: u64) {
    let own = size_of::<hl_progress>() as u32;
    for size in [0, 1, 4, 8, own - 8, own - 1, 1 << 20, i32::MAX as u32, u32::MAX] {
        let mut o = Outputs::new();
        b.at(&format!("hl_job_poll with struct_size {size}"));
        let got = (b.api.hl_job_poll)(job, o.progress_of(size));
        o.forget_size();
        b.code(&format!("hl_job_poll with struct_size {size}"), got, HL_E_ABI);
        b.promise(o.untouched(), || format!("hl_job_poll with struct_size {size} failed and wrote"));
    }
    for more in [0, 24] {
        let mut o = Outputs::new();
        b.code("hl_job_poll of a newer host", (b.api.hl_job_poll)(job, o.progress_of(own + more)), HL_OK);
        let (known, tail) = o.progress.content().split_at(own as usize);
        b.promise(known[..4] == (own + more).to_ne_bytes(), || "hl_job_poll changed struct_size".into());
        b.promise(tail.iter().all(|x| *x == 0xA5), || "hl_job_poll wrote behind the fields it knows".into());
    }
}

/// Bytes that are not UTF-8: wrong follower, overlong, surrogate, too large, cut off, alone; and of the dice.
fn no_texts(b: &Bench) -> Vec<CString> {
    let known: [&[u8]; 7] = [b"a\xC3(", b"\xC0\x80", b"\xED\xA0\x80", b"\xF5\x80\x80\x80", b"a\xE2\x82", b"\x80", b"\xFF\xFE"];
    let mut dice = b.dice(0);
    let random = (0..b.times(20, 500)).map(|_| {
        let mut bytes: Vec<u8> = (0..=dice.below(12)).map(|_| 1 + dice.below(255) as u8).collect();
        bytes.insert(dice.below(bytes.len() + 1), 0xF8 + dice.below(8) as u8);
        bytes
    });
    known.iter().map(|k| k.to_vec()).chain(random).map(|bytes| CString::new(bytes).unwrap_or_default()).collect()
}

/// Texts that are none, and texts that are too long.
pub fn utf8(b: &Bench) {
    let viewer = Viewer::new().leak();
    let f = b.furnish(viewer);
    let bad = no_texts(b);
    for text in &bad {
        b.at(&format!("the text {text:?}"));
        pass_text(b, &f, viewer, text.as_ptr(), HL_E_UTF8, &format!("{text:?}"));
    }
    let mut long = vec![b'x'; 2 << 20];
    long.push(0);
    b.at("a text of 2 MB");
    if let Some(fence) = Fence::new(&long) {
        pass_text(b, &f, viewer, fence.ptr(), HL_E_LIMIT, "a text of 2 MB");
    }
    b.works("after all of them", f.context, f.slide);
}

/// A text for every argument that is one.
fn pass_text(b: &Bench, f: &Furnished, viewer: &'static Viewer, text: *const c_char, want: i32, shown: &str) {
    let (host, desc, mut o) = (viewer.table(), slide_desc(), Outputs::new());
    let good = config(&raw const host);
    let (dst, needed, out) = (o.buffer.ptr(), &raw mut o.needed, &raw mut o.handle);
    let api = &b.api;
    let calls = [
        ("hl_config.models_dir", (api.hl_context_create)(&hl_config { models_dir: text, ..good }, out)),
        ("hl_config.device", (api.hl_context_create)(&hl_config { device: text, ..good }, out)),
        ("hl_slide_desc.name", (api.hl_slide_open)(f.context, &hl_slide_desc { name: text, ..desc }, out)),
        ("hl_slide_desc.id", (api.hl_slide_open)(f.context, &hl_slide_desc { id: text, ..desc }, out)),
        ("hl_job_start's kind", (api.hl_job_start)(f.context, 0, text, null(), 0, out)),
        ("hl_job_start's params", (api.hl_job_start)(f.context, 0, c"selftest".as_ptr(), text, 0, out)),
        ("hl_params_schema_json's kind", (api.hl_params_schema_json)(text, dst, 64, needed)),
        ("hl_op_check_json's path", (api.hl_op_check_json)(text, dst, 64, needed)),
        ("hl_inspect_json's path", (api.hl_inspect_json)(text, dst, 64, needed)),
        ("hl_result_csv's table", (api.hl_result_csv)(f.result, text, dst, 64, needed)),
    ];
    for (name, got) in calls {
        b.code(&format!("{shown} as {name}"), got, want);
    }
    b.promise(o.untouched(), || format!("{shown}: a call failed and wrote into an output"));
}
