//! Finds ops. In: what ships inside the library, and a folder of .wasm files that a user names. Out: ops by name, a list for a
//! host's dialog. Fails: an unknown name, a folder that cannot be read. A file that is refused does not hide the others: it stands
//! in the list with the reason.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use histoloom_core::{Error, Op, Result};
use serde_json::{Value, json};

use crate::abi::sanitise;
use crate::op::SandboxedOp;
use crate::prescan::MODULE_BYTES;

/// Most files looked at in a folder.
pub const FILES: usize = 256;

/// The modules inside this library: file name and bytes. Sources and recipe are in `ops/`.
pub const SHIPPED: &[(&str, &[u8])] = &[
    ("gamut.wasm", include_bytes!("../ops/gamut/gamut.wasm")),
    ("sharpness.wasm", include_bytes!("../ops/sharpness/sharpness.wasm")),
    ("watermark.wasm", include_bytes!("../ops/watermark/watermark.wasm")),
];

struct Entry {
    source: String,
    op: Arc<SandboxedOp>,
}

/// Ops by name.
pub struct Registry {
    entries: Vec<Entry>,
    refused: Vec<(String, String)>,
}

impl Registry {
    /// The ops that ship.
    pub fn shipped() -> Result<Self> {
        let load = |&(file, wasm): &(&str, &[u8])| Ok(Entry { source: "shipped".to_owned(), op: Arc::new(SandboxedOp::load(file, wasm)?) });
        Ok(Self { entries: SHIPPED.iter().map(load).collect::<Result<_>>()?, refused: Vec::new() })
    }

    /// The ops that ship and those in `folder` (files `*.wasm`, in the order of their names, sub-folders left out). A name that is
    /// taken already is refused: a file cannot pass for a shipped op.
    pub fn with_folder(folder: &Path) -> Result<Self> {
        let mut registry = Self::shipped()?;
        let hint = "give a folder with .wasm files";
        let unreadable = |e: std::io::Error| Error::file("cannot read the folder of ops", folder, e, hint);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("wasm")) {
                files.push(path);
            }
        }
        files.sort();
        if files.len() > FILES {
            return Err(Error::Limit {
                field: "op files".into(),
                value: files.len().to_string(),
                limit: FILES.to_string(),
                hint: format!("remove some from `{}`", folder.display()),
            });
        }
        files.into_iter().for_each(|path| registry.add(&path));
        Ok(registry)
    }

    fn add(&mut self, path: &Path) {
        let file = sanitise(&path.file_name().unwrap_or_default().to_string_lossy(), 64);
        let why = match read(path).and_then(|wasm| SandboxedOp::load(&file, &wasm)) {
            Err(e) => e.to_string(),
            Ok(op) => match self.entries.iter().find(|e| e.op.name() == op.name()) {
                Some(other) => format!("op `{file}`: the name `{}` is taken ({}); rename the op in its manifest", op.name(), other.source),
                None => return self.entries.push(Entry { source: file, op: Arc::new(op) }),
            },
        };
        log::warn!("{why}");
        self.refused.push((file, why));
    }

    /// The op of this name.
    pub fn get(&self, name: &str) -> Result<Arc<dyn Op>> {
        let why = match self.entries.iter().find(|e| e.op.name() == name) {
            Some(e) => match e.op.disabled() {
                None => return Ok(Arc::clone(&e.op) as Arc<dyn Op>),
                Some(why) => why,
            },
            None => {
                let known: Vec<_> = self.entries.iter().map(|e| e.op.name()).collect();
                let refused: Vec<_> = self.refused.iter().map(|(_, why)| format!("; {why}")).collect();
                let hint = format!("known: {}{}", known.join(", "), refused.concat());
                return Err(Error::parameter("ops", format!("there is no op `{}`", sanitise(name, 64)), hint));
            }
        };
        Err(Error::Op { op: sanitise(name, 64), why })
    }

    /// The ops as JSON for a host's dialog: `{"ops": [{name, version, summary, sha256, source, disabled, params}], "refused": [{file,
    /// why}]}`; `params` is a JSON Schema.
    pub fn list_json(&self) -> Value {
        let op = |e: &Entry| {
            let m = e.op.manifest();
            json!({"name": m.name, "version": m.version, "summary": m.summary, "sha256": e.op.sha256(), "source": e.source,
                "disabled": e.op.disabled(), "params": m.schema()})
        };
        let refused = |(file, why): &(String, String)| json!({"file": file, "why": why});
        json!({"ops": self.entries.iter().map(op).collect::<Vec<_>>(), "refused": self.refused.iter().map(refused).collect::<Vec<_>>()})
    }
}

/// A file's bytes; never more than a module may have, never from a pipe or device.
fn read(path: &Path) -> Result<Vec<u8>> {
    let error = |e: std::io::Error| Error::file("cannot read the op", path, e, "check its permissions");
    if !std::fs::metadata(path).map_err(error)?.is_file() {
        return Err(Error::file("cannot read the op", path, "it is no regular file", "give a .wasm file"));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(error)?.take(MODULE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(error)?;
    Ok(bytes)
}
