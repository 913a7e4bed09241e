//! libhistoloom as safe Rust. In: where it is, parameters as JSON. Out: answers as JSON, failures with the library's own message.
//! All `unsafe` of this host outside `ffi.rs` is here and in `callbacks.rs`.

use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use serde_json::Value;

use crate::callbacks::Viewer;
use crate::error::{Failure, Kind, Result};
use crate::ffi::{
    ABI, Api, HL_E_BUFFER, HL_E_CANCELLED, HL_E_DEVICE, HL_E_FILE, HL_E_HOST, HL_E_LIMIT, HL_E_OP, HL_E_OP_LIMIT, HL_E_PARAMETER,
    HL_E_SLIDE, HL_E_TIMEOUT, HL_OK, HL_PIXEL_RGBA8, hl_config, hl_host, hl_progress, hl_slide_desc,
};
use crate::report::Step;

/// The library, loaded.
pub struct Loaded {
    api: Api,
    /// The file it came from.
    pub path: PathBuf,
}

/// A context. Released when dropped, after its jobs were cancelled and joined.
pub struct Context<'a> {
    library: &'a Loaded,
    handle: u64,
    // Callbacks get a pointer to it until the context is released.
    viewer: Box<Viewer>,
}

/// A job of a context; the context forgets it.
pub struct Job<'a> {
    library: &'a Loaded,
    handle: u64,
}

/// A picture of the library's.
pub struct Picture {
    width: u32,
    height: u32,
    /// Rows without gaps.
    pub rgba: Vec<u8>,
}

impl Picture {
    /// As a PNG file's bytes.
    pub fn png(&self) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width, self.height);
        encoder.set_color(png::ColorType::Rgba);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.rgba)).map_err(std::io::Error::other)?;
        Ok(out)
    }
}

/// Where the library was looked for, and what was found.
pub fn find(given: Option<&Path>) -> Result<Loaded> {
    let name = format!("{}histoloom{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let places = match given {
        Some(path) => vec![path.to_path_buf()],
        None => beside_executable(&["", "../lib", "../lib/histoloom"]).into_iter().map(|dir| dir.join(&name)).collect(),
    };
    let Some(path) = places.iter().find(|p| p.is_file()) else {
        let looked: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        let hint = "pass --library FILE, set HISTOLOOM_LIBRARY, or build it with `./x build`";
        return Err(Failure::other(format!("{name} was not found (looked for {}); {hint}", looked.join(", "))));
    };
    let api = Api::load(path).map_err(|why| {
        Failure::other(format!("`{}` is no library for this command: {why}; install both from one release", path.display()))
    })?;
    Ok(Loaded { api, path: path.clone() })
}

/// The folder with the weights.
pub fn find_models(given: Option<&Path>) -> Result<PathBuf> {
    let places = match given {
        Some(path) => vec![path.to_path_buf()],
        None => beside_executable(&["../share/histoloom/models", "models", "../../models/weights", "../../../models/weights"]),
    };
    let Some(found) = places.iter().find(|p| p.join("manifest.json").is_file()) else {
        let looked: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        let hint = "pass --models DIR or set HISTOLOOM_MODELS; the folder has the weights and manifest.json";
        return Err(Failure::other(format!("no weights were found (looked in {}); {hint}", looked.join(", "))));
    };
    Ok(found.canonicalize().unwrap_or_else(|_| found.clone()))
}

fn beside_executable(parts: &[&str]) -> Vec<PathBuf> {
    let exe = std::env::current_exe().and_then(|e| e.canonicalize()).unwrap_or_default();
    parts.iter().filter_map(|part| exe.parent().map(|dir| dir.join(part))).collect()
}

fn c_text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Failure::new(Kind::Usage, format!("`{}` holds a NUL byte; leave it out", text.replace('\0', "\\0"))))
}

fn c_path(path: &Path) -> Result<CString> {
    let text = path.to_str().ok_or_else(|| {
        Failure::new(Kind::Usage, format!("`{}` is not UTF-8, which the library needs; rename the folder", path.display()))
    })?;
    c_text(text)
}

impl Loaded {
    /// What the library says of itself.
    pub fn build_info(&self) -> Result<Value> {
        // SAFETY: a buffer of ours.
        self.json(|dst, cap, needed| unsafe { (self.api.hl_build_info_json)(dst, cap, needed) })
    }

    /// The ops that ship.
    pub fn ops(&self) -> Result<Value> {
        // SAFETY: a buffer of ours.
        self.json(|dst, cap, needed| unsafe { (self.api.hl_ops_json)(dst, cap, needed) })
    }

    /// What an op's file, or a folder of them, says of itself once it was checked.
    pub fn check_op(&self, path: &Path) -> Result<Value> {
        let path = c_path(path)?;
        // SAFETY: a text of ours that ends with NUL, and a buffer of ours.
        self.json(|dst, cap, needed| unsafe { (self.api.hl_op_check_json)(path.as_ptr(), dst, cap, needed) })
    }

    /// What a file of ours says of itself.
    pub fn inspect(&self, path: &Path) -> Result<Value> {
        let path = c_path(path)?;
        // SAFETY: a text of ours that ends with NUL, and a buffer of ours.
        self.json(|dst, cap, needed| unsafe { (self.api.hl_inspect_json)(path.as_ptr(), dst, cap, needed) })
    }

    /// Creates a context around a viewer, whose callbacks it will call.
    pub fn context(&self, models: &Path, device: Option<&str>, threads: u32, viewer: Viewer) -> Result<Context<'_>> {
        let viewer = Box::new(viewer);
        let host = hl_host {
            struct_size: size_of::<hl_host>() as u32,
            abi: ABI,
            user: viewer.user(),
            max_concurrent_reads: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            reserved: 0,
            read_region: Some(Viewer::read_region),
            log: Some(Viewer::log),
            progress: None,
        };
        let (models, device) = (c_path(models)?, c_text(device.unwrap_or("auto"))?);
        let config = hl_config {
            struct_size: size_of::<hl_config>() as u32,
            threads,
            models_dir: models.as_ptr(),
            device: device.as_ptr(),
            host: &raw const host,
        };
        let mut handle = 0;
        // SAFETY: structs and texts of ours that live through the call; `viewer` lives until the context is released.
        self.check(unsafe { (self.api.hl_context_create)(&raw const config, &raw mut handle) })?;
        Ok(Context { library: self, handle, viewer })
    }

    /// Fails with the library's message for the call just made on this thread.
    fn check(&self, code: i32) -> Result<()> {
        if code == HL_OK {
            return Ok(());
        }
        // SAFETY: a buffer of ours.
        let message = text_of(|dst, cap, needed| unsafe { (self.api.hl_last_error)(dst, cap, needed) }).unwrap_or_default();
        Err(failure(code, message))
    }

    fn json(&self, call: impl Fn(*mut c_char, u64, *mut u64) -> i32) -> Result<Value> {
        let text = text_of(call).or_else(|code| self.check(code).map(|()| String::new()))?;
        serde_json::from_str(&text).map_err(|e| Failure::other(format!("the library's answer is not JSON: {e}; install a matching pair")))
    }
}

/// Asks for a text's size, then for the text; grows with it.
fn text_of(call: impl Fn(*mut c_char, u64, *mut u64) -> i32) -> std::result::Result<String, i32> {
    let mut needed = 0;
    match call(null_mut(), 0, &raw mut needed) {
        HL_OK => {}
        code => return Err(code),
    }
    let mut bytes = vec![0u8; needed as usize];
    match call(bytes.as_mut_ptr().cast(), needed, &raw mut needed) {
        HL_OK => {}
        code => return Err(code),
    }
    let text = CStr::from_bytes_until_nul(&bytes).map(|t| t.to_string_lossy().into_owned());
    Ok(text.unwrap_or_default())
}

/// A failure from a code of the header and its message.
fn failure(code: i32, message: String) -> Failure {
    let kind = match code {
        HL_E_PARAMETER | HL_E_LIMIT => Kind::Usage,
        HL_E_SLIDE | HL_E_HOST | HL_E_OP | HL_E_OP_LIMIT => Kind::Input,
        HL_E_FILE if !(message.starts_with("cannot write") || message.starts_with("cannot make")) => Kind::Input,
        HL_E_DEVICE => Kind::Device,
        HL_E_CANCELLED => Kind::Cancelled,
        _ => Kind::Other,
    };
    let message = if message.is_empty() { format!("the library failed with code {code} and said nothing") } else { message };
    Failure::new(kind, message)
}

impl<'a> Context<'a> {
    /// The viewer behind it.
    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// What is there and what is missing.
    pub fn doctor(&self) -> Result<Value> {
        // SAFETY: a buffer of ours.
        self.library.json(|dst, cap, needed| unsafe { (self.library.api.hl_doctor_json)(self.handle, dst, cap, needed) })
    }

    /// Describes the viewer's slide to the library.
    pub fn open_slide(&self, name: &str) -> Result<u64> {
        let slide = self.viewer.slide().ok_or_else(|| Failure::other("no slide is open"))?;
        let (name, id) = (c_text(name)?, c_text(&slide.id)?);
        let (mpp_x, mpp_y) = slide.mpp.unwrap_or((0.0, 0.0));
        let desc = hl_slide_desc {
            struct_size: size_of::<hl_slide_desc>() as u32,
            pixel_format: HL_PIXEL_RGBA8,
            width_px: slide.size_px.0.into(),
            height_px: slide.size_px.1.into(),
            downsamples: slide.downsamples.as_ptr(),
            levels: slide.downsamples.len() as u32,
            background_rgb: 0xFF_FF_FF,
            mpp_x,
            mpp_y,
            origin_x_px: 0,
            origin_y_px: 0,
            name: name.as_ptr(),
            id: id.as_ptr(),
            token: 0,
        };
        let mut handle = 0;
        // SAFETY: a struct, texts and numbers of ours that live through the call.
        self.library.check(unsafe { (self.library.api.hl_slide_open)(self.handle, &raw const desc, &raw mut handle) })?;
        Ok(handle)
    }

    /// Starts a job; `slide` is 0 for jobs that read none.
    pub fn start(&self, kind: &str, slide: u64, params: &Value) -> Result<Job<'a>> {
        let (kind, params) = (c_text(kind)?, c_text(&params.to_string())?);
        let mut handle = 0;
        let start = self.library.api.hl_job_start;
        // SAFETY: texts of ours that live through the call.
        self.library.check(unsafe { start(self.handle, slide, kind.as_ptr(), params.as_ptr(), 0, &raw mut handle) })?;
        Ok(Job { library: self.library, handle })
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: takes a number. After it returns no callback runs, so `viewer` may go.
        let code = unsafe { (self.library.api.hl_context_release)(self.handle) };
        debug_assert_eq!(code, HL_OK, "releasing the context");
    }
}

impl Job<'_> {
    /// The parameters with all defaults.
    pub fn params(&self) -> Result<Value> {
        // SAFETY: a buffer of ours.
        self.library.json(|dst, cap, needed| unsafe { (self.library.api.hl_job_params_json)(self.handle, dst, cap, needed) })
    }

    /// Waits a while; true once it has ended.
    pub fn wait(&self, timeout_ms: u32) -> Result<bool> {
        // SAFETY: takes numbers.
        match unsafe { (self.library.api.hl_job_wait)(self.handle, timeout_ms) } {
            HL_E_TIMEOUT => Ok(false),
            code => self.library.check(code).map(|()| true),
        }
    }

    /// Where it is.
    pub fn poll(&self) -> Result<Step> {
        let mut p = hl_progress {
            struct_size: size_of::<hl_progress>() as u32,
            state: 0,
            error: 0,
            reserved: 0,
            fraction: 0.0,
            items_per_s: 0.0,
            eta_s: 0.0,
            done: 0,
            total: 0,
            stage: [0; 40],
        };
        // SAFETY: a struct of ours with its size set.
        self.library.check(unsafe { (self.library.api.hl_job_poll)(self.handle, &raw mut p) })?;
        let stage: Vec<u8> = p.stage.iter().map(|c| *c as u8).take_while(|c| *c != 0).collect();
        let stage = String::from_utf8_lossy(&stage).into_owned();
        Ok(Step { stage, done: p.done, total: p.total, items_per_s: p.items_per_s, eta_s: p.eta_s })
    }

    /// Its newest picture, if there is one.
    pub fn partial(&self) -> Result<Option<Picture>> {
        let mut picture = Picture { width: 0, height: 0, rgba: Vec::new() };
        loop {
            let (dst, cap) = (picture.rgba.as_mut_ptr(), picture.rgba.len() as u64);
            let (mut needed, width, height) = (0, &raw mut picture.width, &raw mut picture.height);
            // SAFETY: a buffer of ours with its length, and numbers of ours.
            let code = unsafe { (self.library.api.hl_job_partial)(self.handle, dst, cap, &raw mut needed, width, height) };
            if code != HL_E_BUFFER {
                self.library.check(code)?;
            }
            if code == HL_OK && needed == cap {
                return Ok((needed > 0).then_some(picture));
            }
            picture.rgba.resize(needed as usize, 0);
        }
    }

    /// Asks it to stop.
    pub fn cancel(&self) -> Result<()> {
        // SAFETY: takes a number.
        self.library.check(unsafe { (self.library.api.hl_job_cancel)(self.handle) })
    }

    /// What it made, or why it failed.
    pub fn outcome(&self) -> Result<Value> {
        let mut result = 0;
        // SAFETY: a number of ours.
        let code = unsafe { (self.library.api.hl_job_result)(self.handle, &raw mut result) };
        if code != HL_OK {
            // SAFETY: a buffer of ours.
            let message = text_of(|dst, cap, needed| unsafe { (self.library.api.hl_job_error)(self.handle, dst, cap, needed) });
            return Err(failure(code, message.unwrap_or_default()));
        }
        // SAFETY: a buffer of ours.
        self.library.json(|dst, cap, needed| unsafe { (self.library.api.hl_result_json)(result, dst, cap, needed) })
    }
}
