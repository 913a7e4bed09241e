//! The C ABI of Histoloom: the exported functions. Each is four steps: boundary, checked arguments, a safe call, outputs written on
//! success only. The comments here become `include/histoloom.h`.
//!
//! | module | what it does |
//! |---|---|
//! | [`types`] | structs and codes of the header |
//! | `boundary` | panics and failures become codes |
//! | `args` | pointers become checked values |
//! | `handles` | numbers that name objects |
//! | `host` | callbacks as a `TileSource` |
//! | `logging` | log lines and progress towards the host |
//! | `jobs` | threads, queue, cancel |
//! | `ops` | what hosts ask about ops, and op jobs |
//! | `located` | the weights that came with the library |
//! | `pipeline` | calls the other rooms |
#![allow(clippy::missing_safety_doc, reason = "the comments are the C header's; what callers promise stands in its preamble")]

mod args;
mod atlas;
mod boundary;
mod context;
mod failure;
mod flags;
mod handles;
#[cfg(test)]
mod header;
mod host;
mod jobs;
mod located;
mod logging;
mod memory;
mod ops;
mod pipeline;
mod results;
mod rounding;
mod selftest;
pub mod types;

use std::cell::RefCell;
use std::ffi::c_char;
use std::path::PathBuf;
use std::sync::Arc;

use histoloom_core::limits::PARAMETERS_BYTES;

use crate::args::{Buffer, Out, TEXT_BYTES, optional_text, read_struct, text, write_progress};
use crate::failure::{Failure, Result};
use crate::handles::{Kind, Object};
use crate::types::*;

/// A text that costs time to make, made once for the question of its size and the call that fetches it.
fn costly_text(to: &Buffer, key: &str, make: impl FnOnce() -> Result<serde_json::Value>) -> Result<()> {
    thread_local! {
        static MADE: RefCell<(String, String)> = const { RefCell::new((String::new(), String::new())) };
    }
    // a thread that ends, or a process that exits, may have no such value any more: then it is made for each call
    let kept = MADE.try_with(RefCell::take).ok().filter(|(of, _)| of == key && !to.asks_size());
    let text = kept.map_or_else(|| results::text(&make()?), |(_, text)| Ok(text))?;
    let filled = to.fill_text(&text);
    if to.asks_size() || filled.is_err() {
        let _ = MADE.try_with(|m| *m.borrow_mut() = (key.to_owned(), text));
    }
    filled
}

/// Writes a picture and its sides.
fn picture(to: &Buffer, width: &Out<u32>, height: &Out<u32>, (w, h, bytes): (u32, u32, &[u8])) -> Result<()> {
    to.fill(bytes)?;
    width.write(w);
    height.write(h);
    Ok(())
}

/// The ABI of this library, major << 16 | minor. A host works with any library of its major version and at least its minor one.
/// [any thread]
#[unsafe(no_mangle)]
pub extern "C" fn hl_abi_version() -> u32 {
    HL_ABI_VERSION
}

/// Size of a struct in this library by its HL_SIZEOF_* id, 0 for an unknown id; bindings check their layouts with it. [any thread]
#[unsafe(no_mangle)]
pub extern "C" fn hl_sizeof(id: u32) -> u32 {
    let size = match id {
        HL_SIZEOF_HOST => size_of::<hl_host>(),
        HL_SIZEOF_CONFIG => size_of::<hl_config>(),
        HL_SIZEOF_SLIDE_DESC => size_of::<hl_slide_desc>(),
        HL_SIZEOF_REGION => size_of::<hl_region>(),
        HL_SIZEOF_PROGRESS => size_of::<hl_progress>(),
        _ => 0,
    };
    size as u32
}

/// Name of a code, for instance "HL_E_HANDLE"; static, never NULL. [any thread]
#[unsafe(no_mangle)]
pub extern "C" fn hl_error_name(code: i32) -> *const c_char {
    error_name(code).as_ptr()
}

/// What went wrong in the last failed call on this thread; empty if none has. Not changed by calls that succeed. [any thread]
///
/// Texts, here and everywhere: UTF-8 ended by NUL. With cap = 0 only *needed is written (NUL included); with a smaller cap than
/// needed the call fails with HL_E_BUFFER. Nothing is ever written on failure.
/// Errors: HL_E_ARGUMENT, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_last_error(dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    let said = boundary::last_error();
    boundary::call_unrecorded(|_| {
        // SAFETY: the header obliges the caller.
        let to = unsafe { Buffer::text(dst, cap, needed) }?;
        to.fill_text(&said)
    })
}

/// Name, version, ABI, architecture, system and job kinds as JSON. [any thread] Errors: HL_E_ARGUMENT, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_build_info_json(dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|_| {
        // SAFETY: the header obliges the caller.
        let to = unsafe { Buffer::text(dst, cap, needed) }?;
        to.fill_text(&results::text(&pipeline::build_info())?)
    })
}

/// JSON schema (draft 2020-12) of the parameters of a job kind (hl_build_info_json lists them), for dialogs, which show each title. [any thread]
/// Errors: HL_E_ARGUMENT, HL_E_UTF8, HL_E_UNSUPPORTED (kind), HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_params_schema_json(kind: *const c_char, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|_| {
        // SAFETY: the header obliges the caller.
        let (kind, to) = unsafe { (text(kind, TEXT_BYTES, "kind")?, Buffer::text(dst, cap, needed)?) };
        to.fill_text(&results::text(&pipeline::schema(&kind)?)?)
    })
}

/// The devices there are, and why one is refused, as JSON. Takes up to seconds the first time. [any thread]
/// Errors: HL_E_ARGUMENT, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_devices_json(dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|_| {
        // SAFETY: the header obliges the caller.
        let to = unsafe { Buffer::text(dst, cap, needed) }?;
        costly_text(&to, "devices", || Ok(pipeline::devices()))
    })
}

/// The WASM ops that ship, with versions, hashes and parameter schemas, as JSON. [any thread]
/// Errors: HL_E_ARGUMENT, HL_E_OP, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_ops_json(dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|_| {
        // SAFETY: the header obliges the caller.
        let to = unsafe { Buffer::text(dst, cap, needed) }?;
        costly_text(&to, "ops", ops::list)
    })
}

/// What an op's .wasm file says of itself, once everything was checked that is checked before it runs: name, version, summary, sha256,
/// params (a JSON schema), bytes, compile_ms, instance_ms. Of a folder with .wasm files: as hl_ops_json, with the ops that ship. Nothing of
/// the op is run but the function that tells its version. [any thread]
/// Errors: HL_E_ARGUMENT, HL_E_UTF8, HL_E_FILE, HL_E_LIMIT (files), HL_E_OP (refused, with the reason), HL_E_OP_LIMIT, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_op_check_json(path: *const c_char, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|_| {
        // SAFETY: the header obliges the caller.
        let (path, to) = unsafe { (text(path, TEXT_BYTES, "path")?, Buffer::text(dst, cap, needed)?) };
        costly_text(&to, &format!("op {path}"), || ops::check(&path))
    })
}

/// What a file that the library wrote (tile PNG, map folder, JSON) says of itself, as JSON; of a folder of weight files: its
/// manifest, {"models": [{"id", "kind", "licence", "sha256", ...}]}. [any thread]
/// Errors: HL_E_ARGUMENT, HL_E_UTF8, HL_E_FILE, HL_E_WEIGHTS, HL_E_LIMIT, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_inspect_json(path: *const c_char, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|_| {
        // SAFETY: the header obliges the caller.
        let (path, to) = unsafe { (text(path, TEXT_BYTES, "path")?, Buffer::text(dst, cap, needed)?) };
        costly_text(&to, &format!("inspect {path}"), || pipeline::inspect(&path))
    })
}

/// Creates a library instance; it is the caller's to release. Loads nothing yet. [any thread]
/// Errors: HL_E_ARGUMENT, HL_E_ABI, HL_E_UNSUPPORTED, HL_E_UTF8, HL_E_LIMIT, HL_E_MEMORY, HL_E_DEVICE (no such name), HL_E_WEIGHTS
/// (models_dir is NULL and no weights came with the library).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_context_create(config: *const hl_config, context: *mut hl_context) -> i32 {
    boundary::call(|_| {
        // SAFETY: the header obliges the caller.
        let (config, out) = unsafe { (read_struct(config)?, Out::new(context, "context")?) };
        // SAFETY: as above, for the pointers inside.
        let (host, models_dir, device) = unsafe {
            (
                read_struct(config.host)?,
                optional_text(config.models_dir, TEXT_BYTES, "models_dir")?,
                optional_text(config.device, TEXT_BYTES, "device")?.unwrap_or_else(|| "auto".into()),
            )
        };
        if config.threads > 1024 {
            return Err(Failure::new(HL_E_LIMIT, format!("hl_config.threads is {}, the limit is 1024", config.threads)));
        }
        histoloom_models::check_device(&device)?;
        let models_dir = models_dir.map_or_else(located::models, |dir| Ok(PathBuf::from(dir)))?;
        let engines = pipeline::Engines::new(models_dir, device, config.threads);
        out.write(context::Context::create(host, engines)?);
        Ok(())
    })
}

/// Ends an instance: cancels its jobs, waits for its threads, and takes back every slide, job and result of it. After it returns no
/// callback runs or will run. 0 is fine. [any thread] Inside a callback it does not wait; callbacks still running then end later.
/// Errors: HL_E_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn hl_context_release(context: hl_context) -> i32 {
    boundary::call_always(|_| if context == 0 { Ok(()) } else { context::Context::release(context) })
}

/// Opens the device, loads every network, lists ops, and tells what is missing, as JSON. Takes seconds. [any thread but a
/// callback's] Errors: HL_E_HANDLE, HL_E_POISONED, HL_E_ARGUMENT, HL_E_BUFFER, HL_E_STATE (inside a callback). What it finds wrong is in the text, not in the code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_doctor_json(context: hl_context, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|entry| {
        let found = entry.context(context)?;
        if host::inside_callback() {
            return Err(Failure::new(HL_E_STATE, "hl_doctor_json inside a callback would hold up a job; call it from another thread"));
        }
        let _nearest = rounding::Nearest::here(); // threads of the device are started here
        // SAFETY: the header obliges the caller.
        let to = unsafe { Buffer::text(dst, cap, needed) }?;
        costly_text(&to, &format!("doctor {context}"), || Ok(pipeline::doctor(&found.engines)))
    })
}

/// Describes a slide that the host has open; the handle is the caller's to release. Nothing is read yet. [any thread]
/// Errors: HL_E_HANDLE, HL_E_POISONED, HL_E_ARGUMENT (also: no read_region), HL_E_ABI, HL_E_UNSUPPORTED, HL_E_UTF8, HL_E_LIMIT
/// (size), HL_E_PARAMETER (mpp), HL_E_SLIDE (pixels that are not square).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_slide_open(context: hl_context, desc: *const hl_slide_desc, slide: *mut hl_slide) -> i32 {
    boundary::call(|entry| {
        let context = entry.context(context)?;
        // SAFETY: the header obliges the caller.
        let (desc, out) = unsafe { (read_struct(desc)?, Out::new(slide, "slide")?) };
        if !context.host.can_read() {
            return Err(Failure::argument("hl_host.read_region", "is NULL, and slides are read through it"));
        }
        // SAFETY: the header obliges the caller for the pointers inside.
        let slide = Arc::new(unsafe { host::Slide::new(&desc) }?);
        out.write(handles::insert(&context, Object::Slide(slide))?);
        Ok(())
    })
}

/// Forgets a slide: cancels the jobs that read it and waits for reads that are under way; after it returns the host is not asked for
/// its pixels. 0 is fine. [any thread] Inside a callback it does not wait. Errors: HL_E_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn hl_slide_release(slide: hl_slide) -> i32 {
    boundary::call_always(|_| {
        if slide != 0
            && let (context, Object::Slide(slide)) = handles::remove(slide, Kind::Slide)?
        {
            context.jobs.cancel_readers(&slide);
            slide.close();
        }
        Ok(())
    })
}

/// Starts a job and returns at once; nothing is called back on this thread. [any thread] kind: "cluster" (slide -> map),
/// "edit" (map -> the map with other classes; with no edits it opens the folder of a map), "synth" (map -> tiles), "eval" (slide and the
/// folder of its map -> how good the tiles are), "import" (a published checkpoint -> weight files), or a step to an atlas, which gives
/// labels one meaning on many slides: "atlas_sample" (slide -> sample file), "atlas_merge" (sample files -> one), "atlas_fit" (sample
/// files -> atlas file, for "atlas" in the params of cluster), "atlas_name" (atlas file -> with names and colours); or a step to a
/// calibration of the flags: "flags_plant" (slide and the folder of its map -> scored tiles, many with faults), "flags_calibrate" (folders
/// of such tiles -> calibration, for "calibration" in the params of synth), "flags_index" (slide -> index of pictures that tiles must not
/// repeat); or "op" (a PNG -> the picture after a chain of ops, which hl_result_tile_* give as tile 0). params: a JSON object, NULL or "" for the defaults; see hl_params_schema_json. slide: for cluster, eval, atlas_sample,
/// flags_plant and flags_index, else 0. input: for edit and synth the result of a cluster or edit job, or 0 when params name a folder in
/// "from"; else 0. The handle is the caller's to release.
/// Errors: HL_E_HANDLE, HL_E_POISONED, HL_E_ARGUMENT, HL_E_UTF8, HL_E_UNSUPPORTED (kind), HL_E_PARAMETER, HL_E_LIMIT, HL_E_BUSY,
/// HL_E_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_job_start(
    context: hl_context,
    slide: hl_slide,
    kind: *const c_char,
    params: *const c_char,
    input: hl_result,
    job: *mut hl_job,
) -> i32 {
    boundary::call(|entry| {
        let context = entry.context(context)?;
        // SAFETY: the header obliges the caller.
        let (kind, params, out) = unsafe {
            (text(kind, TEXT_BYTES, "kind")?, optional_text(params, PARAMETERS_BYTES, "params")?.unwrap_or_default(), Out::new(job, "job")?)
        };
        let input = jobs::Input { slide: entry.slide_of(&context, slide)?, result: entry.result_of(&context, input)? };
        let (work, resolved) = pipeline::prepare(&kind, &params, &context.engines, input.slide.is_some(), input.result.is_some())?;
        out.write(context.jobs.start(&context, work, input, resolved)?);
        Ok(())
    })
}

/// The resolved parameters of a job, defaults filled in: what a workflow step should keep. [any thread]
/// Errors: HL_E_HANDLE, HL_E_ARGUMENT, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_job_params_json(job: hl_job, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|entry| {
        // SAFETY: the header obliges the caller.
        let (job, to) = (entry.job(job)?, unsafe { Buffer::text(dst, cap, needed) }?);
        to.fill_text(job.params())
    })
}

/// State of a job. Set progress->struct_size first. [any thread, callbacks too] Errors: HL_E_HANDLE, HL_E_ARGUMENT, HL_E_ABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_job_poll(job: hl_job, progress: *mut hl_progress) -> i32 {
    boundary::call_always(|entry| {
        let job = entry.job(job)?;
        // SAFETY: the header obliges the caller.
        unsafe { write_progress(progress, || job.progress()) }
    })
}

/// Waits until a job has ended, however it ended. [any thread but a callback's] Errors: HL_E_HANDLE, HL_E_TIMEOUT, HL_E_STATE
/// (inside a callback).
#[unsafe(no_mangle)]
pub extern "C" fn hl_job_wait(job: hl_job, timeout_ms: u32) -> i32 {
    boundary::call_always(|entry| entry.job(job)?.wait(timeout_ms))
}

/// Asks a job to stop; it does within 50 ms, or one denoising step (on a GPU a second of them), embedding batch or imported tensor, callbacks aside. Any number of times.
/// [any thread, callbacks too] Errors: HL_E_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn hl_job_cancel(job: hl_job) -> i32 {
    boundary::call_always(|entry| {
        entry.job(job)?.cancel();
        Ok(())
    })
}

/// The newest picture of a running job: the overlay so far, the last tile. RGBA, rows without gaps; 0 bytes while there is none.
/// Pictures, here and everywhere: with cap = 0 only the outputs behind dst are written. It may have grown between two calls: on
/// HL_E_BUFFER ask again. [any thread] Errors: HL_E_HANDLE, HL_E_ARGUMENT, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_job_partial(job: hl_job, dst: *mut u8, cap: u64, needed: *mut u64, width: *mut u32, height: *mut u32) -> i32 {
    boundary::call(|entry| {
        let job = entry.job(job)?;
        // SAFETY: the header obliges the caller.
        let (to, width, height) = unsafe { (Buffer::new(dst, cap, needed)?, Out::new(width, "width")?, Out::new(height, "height")?) };
        let partial = job.partial().unwrap_or_default();
        picture(&to, &width, &height, (partial.width(), partial.height(), partial.as_raw()))
    })
}

/// Why a job failed; empty while it has not. [any thread] Errors: HL_E_HANDLE, HL_E_ARGUMENT, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_job_error(job: hl_job, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call_always(|entry| {
        // SAFETY: the header obliges the caller.
        let (job, to) = (entry.job(job)?, unsafe { Buffer::text(dst, cap, needed) }?);
        to.fill_text(&job.error())
    })
}

/// The result of a job that is done, as a handle of its own that outlives the job's; the caller's to release. [any thread]
/// Errors: HL_E_HANDLE, HL_E_ARGUMENT, HL_E_STATE (not ended), or the code with which the job failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_job_result(job: hl_job, result: *mut hl_result) -> i32 {
    boundary::call(|entry| {
        // SAFETY: the header obliges the caller.
        let out = unsafe { Out::new(result, "result") }?;
        let found = entry.job(job)?.result()?;
        out.write(handles::insert(&entry.owner()?, Object::Result(found))?);
        Ok(())
    })
}

/// Forgets a job; cancels it if it runs. 0 is fine. [any thread, callbacks too] Errors: HL_E_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn hl_job_release(job: hl_job) -> i32 {
    boundary::call_always(|_| {
        if job != 0
            && let (_, Object::Job(job)) = handles::remove(job, Kind::Job)?
        {
            job.cancel();
        }
        Ok(())
    })
}

/// Summary as JSON: kind, map (rows, columns, cell_px, classes with names, colours and shares), device used, notes for the user,
/// files written, parameters, provenance; of synth and op jobs each tile with its flags, and "kept", the number of tiles that
/// hl_result_tile_* have. [any thread] Errors: HL_E_HANDLE, HL_E_ARGUMENT, HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_json(result: hl_result, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|entry| {
        // SAFETY: the header obliges the caller.
        let (found, to) = (entry.result(result)?, unsafe { Buffer::text(dst, cap, needed) }?);
        to.fill_text(&results::text(&found.summary)?)
    })
}

/// The map as GeoJSON that QuPath imports, in level-0 pixels. [any thread] Errors: HL_E_HANDLE, HL_E_ARGUMENT (also: an import's,
/// atlas or op job's result, which has no map), HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_geojson(result: hl_result, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|entry| {
        // SAFETY: the header obliges the caller.
        let (found, to) = (entry.result(result)?, unsafe { Buffer::text(dst, cap, needed) }?);
        to.fill_text(&histoloom_core::export::geojson(found.map()?))
    })
}

/// The map's labels, one byte a cell, row by row, 0 = background; of synth jobs the map the tiles were made from. [any thread]
/// Errors: as hl_result_geojson.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_labels(
    result: hl_result,
    dst: *mut u8,
    cap: u64,
    needed: *mut u64,
    columns: *mut u32,
    rows: *mut u32,
) -> i32 {
    boundary::call(|entry| {
        let found = entry.result(result)?;
        // SAFETY: the header obliges the caller.
        let (to, columns, rows) = unsafe { (Buffer::new(dst, cap, needed)?, Out::new(columns, "columns")?, Out::new(rows, "rows")?) };
        let map = found.map()?;
        picture(&to, &columns, &rows, (map.columns as u32, map.rows as u32, &map.labels))
    })
}

/// The map in legend colours, RGBA, one pixel a cell, background transparent. [any thread]
/// Errors: as hl_result_geojson.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_overlay(
    result: hl_result,
    dst: *mut u8,
    cap: u64,
    needed: *mut u64,
    columns: *mut u32,
    rows: *mut u32,
) -> i32 {
    boundary::call(|entry| {
        let found = entry.result(result)?;
        // SAFETY: the header obliges the caller.
        let (to, columns, rows) = unsafe { (Buffer::new(dst, cap, needed)?, Out::new(columns, "columns")?, Out::new(rows, "rows")?) };
        let (w, h, rgba) = found.overlay()?;
        picture(&to, &columns, &rows, (w, h, &rgba))
    })
}

/// The map's labels in a region, for tiled drawing: one byte a pixel, of the cell in the pixel's middle; 0 = background, and outside the
/// map. Of the region x_px, y_px, downsample, width_px, height_px and stride_bytes (0: rows without gaps; bytes between rows become 0)
/// count. Sizes: stride_bytes * height_px, sides up to 2^15 pixels. [any thread] Errors: as hl_result_geojson; HL_E_ABI, HL_E_LIMIT (more than 2^26 pixels), HL_E_UNSUPPORTED, HL_E_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_labels_region(
    result: hl_result,
    region: *const hl_region,
    dst: *mut u8,
    cap: u64,
    needed: *mut u64,
) -> i32 {
    boundary::call(|entry| {
        let found = entry.result(result)?;
        // SAFETY: the header obliges the caller.
        let (region, to) = unsafe { (read_struct(region)?, Buffer::new(dst, cap, needed)?) };
        found.labels_in(&region, &to)
    })
}

/// The map in legend colours in a region, in the region's pixel format, background transparent. A pixel that covers several cells has the
/// mean colour of those of tissue and the share of them as alpha. [any thread] Errors: as hl_result_labels_region.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_overlay_region(
    result: hl_result,
    region: *const hl_region,
    dst: *mut u8,
    cap: u64,
    needed: *mut u64,
) -> i32 {
    boundary::call(|entry| {
        let found = entry.result(result)?;
        // SAFETY: the header obliges the caller.
        let (region, to) = unsafe { (read_struct(region)?, Buffer::new(dst, cap, needed)?) };
        found.overlay_in(&region, &to)
    })
}

/// A table of the map as CSV (RFC 4180): "classes" has a line a class with its area and share, "k" one a number of classes with how well
/// they are apart. [any thread] Errors: as hl_result_geojson; HL_E_ARGUMENT also for a map without that table; HL_E_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_csv(result: hl_result, table: *const c_char, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|entry| {
        let found = entry.result(result)?;
        // SAFETY: the header obliges the caller.
        let (table, to) = unsafe { (text(table, TEXT_BYTES, "table")?, Buffer::text(dst, cap, needed)?) };
        to.fill_text(&found.table(&table)?)
    })
}

/// How the map was made, as JSON: parameters, seed, device, hashes of the weights. [any thread] Errors: as hl_result_geojson.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_provenance_json(result: hl_result, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|entry| {
        // SAFETY: the header obliges the caller.
        let (found, to) = (entry.result(result)?, unsafe { Buffer::text(dst, cap, needed) }?);
        to.fill_text(&results::text(&found.map()?.provenance)?)
    })
}

/// Pixels of the index-th tile that the result keeps, RGB, rows without gaps. They are synthetic: a host that writes them to files
/// must say so. [any thread] Errors: HL_E_HANDLE, HL_E_ARGUMENT (also: no such tile), HL_E_BUFFER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_tile_rgb(
    result: hl_result,
    index: u32,
    dst: *mut u8,
    cap: u64,
    needed: *mut u64,
    width: *mut u32,
    height: *mut u32,
) -> i32 {
    boundary::call(|entry| {
        let found = entry.result(result)?;
        // SAFETY: the header obliges the caller.
        let (to, width, height) = unsafe { (Buffer::new(dst, cap, needed)?, Out::new(width, "width")?, Out::new(height, "height")?) };
        let tile = found.tile(index)?;
        picture(&to, &width, &height, (tile.rgb.width(), tile.rgb.height(), tile.rgb.as_raw()))
    })
}

/// Labels of the index-th tile, one byte a pixel. [any thread] Errors: as hl_result_tile_rgb.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_tile_labels(
    result: hl_result,
    index: u32,
    dst: *mut u8,
    cap: u64,
    needed: *mut u64,
    width: *mut u32,
    height: *mut u32,
) -> i32 {
    boundary::call(|entry| {
        let found = entry.result(result)?;
        // SAFETY: the header obliges the caller.
        let (to, width, height) = unsafe { (Buffer::new(dst, cap, needed)?, Out::new(width, "width")?, Out::new(height, "height")?) };
        let tile = found.tile(index)?;
        picture(&to, &width, &height, (tile.rgb.width(), tile.rgb.height(), &tile.labels))
    })
}

/// Flags, scores and provenance of the index-th tile, as JSON. A tile without flags is "not flagged", never "verified". [any thread]
/// Errors: as hl_result_tile_rgb.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_result_tile_json(result: hl_result, index: u32, dst: *mut c_char, cap: u64, needed: *mut u64) -> i32 {
    boundary::call(|entry| {
        // SAFETY: the header obliges the caller.
        let (found, to) = (entry.result(result)?, unsafe { Buffer::text(dst, cap, needed) }?);
        to.fill_text(&found.tile_json(index)?)
    })
}

/// Forgets a result; jobs that were started from it keep what they need. 0 is fine. [any thread] Errors: HL_E_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn hl_result_release(result: hl_result) -> i32 {
    boundary::call_always(|_| if result == 0 { Ok(()) } else { handles::remove(result, Kind::Result).map(drop) })
}

/// Panics inside the library on purpose, so that tests see the boundary hold; not in the header.
#[doc(hidden)]
#[unsafe(no_mangle)]
#[expect(clippy::panic, reason = "the panic boundary is what it tests")]
pub extern "C" fn hl_selftest_panic(context: hl_context) -> i32 {
    boundary::call(|entry| {
        entry.context(context)?;
        panic!("a panic asked for by a test")
    })
}

/// Lets the n-th allocation of the library from now fail once, so that tests see it live on; not in the header.
#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn hl_selftest_fail_allocation(n: i64) -> i32 {
    memory::fail_in(n);
    HL_OK
}
