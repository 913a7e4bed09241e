//! Finds ops. In: what ships inside the library, a folder of .wasm files or a single one that a user names. Out: ops by name, chains of
//! them, a list for a host's dialog. Fails: an unknown name, a wrong parameter, a folder that cannot be read. A file of a folder that is
//! refused does not hide the others: it stands in the list with the reason.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use histoloom_core::ops::Step;
use histoloom_core::params::OpStep;
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
    ("macenko.wasm", include_bytes!("../ops/macenko/macenko.wasm")),
    ("nuclei.wasm", include_bytes!("../ops/nuclei/nuclei.wasm")),
    ("reinhard.wasm", include_bytes!("../ops/reinhard/reinhard.wasm")),
    ("seams.wasm", include_bytes!("../ops/seams/seams.wasm")),
    ("sharpness.wasm", include_bytes!("../ops/sharpness/sharpness.wasm")),
    ("smooth.wasm", include_bytes!("../ops/smooth/smooth.wasm")),
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

    /// The ops that ship, and those of a folder where one is named.
    pub fn open(folder: Option<&str>) -> Result<Self> {
        folder.map_or_else(Self::shipped, |folder| Self::with_folder(Path::new(folder)))
    }

    /// Takes a single file as well; unlike one of a folder it must be good. One that is here already, byte for byte, is no other op.
    pub fn with_file(mut self, path: &Path) -> Result<Self> {
        let file = sanitise(&path.file_name().unwrap_or_default().to_string_lossy(), 64);
        self.taken(path, file)?;
        Ok(self)
    }

    /// The ops of a chain with their parameters, held against each op's manifest before anything runs.
    pub fn chain(&self, ops: &[OpStep]) -> Result<Vec<Step>> {
        ops.iter().map(|step| Step::new(self.get(step.name())?, &step.params())).collect()
    }

    fn add(&mut self, path: &Path) {
        let file = sanitise(&path.file_name().unwrap_or_default().to_string_lossy(), 64);
        if let Err(e) = self.taken(path, file.clone()) {
            log::warn!("{e}");
            self.refused.push((file, e.to_string()));
        }
    }

    fn taken(&mut self, path: &Path, file: String) -> Result<()> {
        let op = SandboxedOp::load(&file, &read(path)?)?;
        match self.entries.iter().find(|e| e.op.name() == op.name()) {
            Some(same) if same.op.sha256() == op.sha256() => Ok(()),
            Some(other) => {
                let why = format!("the name `{}` is taken ({}); rename the op in its manifest", op.name(), other.source);
                Err(Error::Op { op: file, why })
            }
            None => {
                self.entries.push(Entry { source: file, op: Arc::new(op) });
                Ok(())
            }
        }
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

    /// An op's parameters where none are given, in the order it gets them.
    pub fn defaults(&self, name: &str) -> Option<Vec<f64>> {
        let entry = self.entries.iter().find(|e| e.op.name() == name)?;
        Some(entry.op.manifest().params.iter().map(|p| p.default).collect())
    }

    /// The ops as JSON for a host's dialog: `{"ops": [{name, version, summary, sha256, source, disabled, params}], "refused": [{file,
    /// why}]}`; `params` is a JSON Schema.
    pub fn list_json(&self) -> Value {
        let op = |e: &Entry| {
            let mut told = described(&e.op);
            told["source"] = json!(e.source);
            told["disabled"] = json!(e.op.disabled());
            told
        };
        let refused = |(file, why): &(String, String)| json!({"file": file, "why": why});
        json!({"ops": self.entries.iter().map(op).collect::<Vec<_>>(), "refused": self.refused.iter().map(refused).collect::<Vec<_>>()})
    }
}

fn described(op: &SandboxedOp) -> Value {
    let m = op.manifest();
    json!({"name": m.name, "version": m.version, "summary": m.summary, "sha256": op.sha256(), "params": m.schema()})
}

/// Looks through a file as if it were to be run: prescan, manifest, compilation, instance, version of the ABI. Out: what it says of itself,
/// its size, and how long compiling and making an instance took. Fails with what is wrong with it.
pub fn check(path: &Path) -> Result<Value> {
    let file = sanitise(&path.file_name().unwrap_or_default().to_string_lossy(), 64);
    let wasm = read(path)?;
    let op = SandboxedOp::load(&file, &wasm)?;
    let [compiled, instance] = op.probe()?.map(|d| (d.as_secs_f64() * 1e6).round() / 1e3);
    let mut told = described(&op);
    told["file"] = json!(file);
    told["bytes"] = json!(wasm.len());
    told["op_abi"] = json!(crate::abi::VERSION);
    told["compile_ms"] = json!(compiled);
    told["instance_ms"] = json!(instance);
    Ok(told)
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
