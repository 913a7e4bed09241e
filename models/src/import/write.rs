//! Weight files and their manifest. In: tensors of a checkpoint. Out: a folder that appears whole or not at all. Fails where the folder
//! cannot be written, or where a tensor's values cannot be taken.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use histoloom_core::{Error, Job, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::source::Source;
use super::tensors::Tensor;
use crate::weights::{Entry, Manifest};

/// What is written between two looks at the job.
const PART_BYTES: usize = 4 << 20;
const SPACE: &str = "check free space and permissions, or choose another folder";

/// One of our weight files.
pub struct Network<'a> {
    /// Its name in the manifest.
    pub id: String,
    /// Its file.
    pub file: String,
    /// Its kind in the manifest.
    pub kind: &'static str,
    /// Where it comes from, in a few words.
    pub provenance: &'static str,
    /// What it holds.
    pub tensors: Vec<Made<'a>>,
}

/// A tensor to write: one of a checkpoint, or some of one type laid one after another along the first axis.
pub struct Made<'a> {
    /// Its name.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Names in the checkpoint, and tensors.
    pub parts: Vec<(String, &'a Tensor)>,
}

impl Made<'_> {
    /// Names in the checkpoint.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|(key, _)| key.as_str())
    }

    /// Number of values.
    fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Type and size in bytes; all parts are of one type.
    fn written(&self) -> (&'static str, u64) {
        let name = self.parts.first().map_or("F32", |(_, t)| t.written());
        (name, self.parts.iter().map(|(_, t)| t.written_bytes()).sum())
    }
}

/// A folder in the making beside the one wanted; it vanishes unless it is put in place.
pub struct Folder {
    making: tempfile::TempDir,
    wanted: PathBuf,
}

impl Folder {
    /// Begins; the folder wanted must not exist, or be empty.
    pub fn begin(wanted: &Path) -> Result<Self> {
        if wanted.is_file() || std::fs::read_dir(wanted).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::file("cannot write", wanted, "it holds something else", "choose a folder that is new or empty"));
        }
        let parent = wanted.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fail = |e: std::io::Error| Error::file("cannot make a folder in", parent, e, SPACE);
        std::fs::create_dir_all(parent).map_err(fail)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".histoloom-").suffix(".part");
        // the permissions any new folder would have
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        Ok(Self { making: builder.tempdir_in(parent).map_err(fail)?, wanted: wanted.to_path_buf() })
    }

    /// Writes one network as safetensors; its line in the manifest comes back. Counts tensors of the job's stage.
    pub fn network(&self, source: &Source, network: &Network<'_>, job: &Job) -> Result<Entry> {
        let file = network.file.clone();
        let fail = |e: std::io::Error| Error::file("cannot write", &self.wanted.join(&file), e, SPACE);
        let mut out = std::io::BufWriter::new(File::create(self.making.path().join(&file)).map_err(fail)?);
        let (mut sha, mut bytes) = (Sha256::new(), 0);
        let mut write = |part: &[u8]| {
            sha.update(part);
            bytes += part.len() as u64;
            out.write_all(part).map_err(fail)
        };
        write(&header(network))?;
        for made in &network.tensors {
            for (key, tensor) in &made.parts {
                for part in tensor.bytes(source, key)?.chunks(PART_BYTES) {
                    job.check()?;
                    write(part)?;
                }
            }
            job.advance(1);
        }
        out.flush().and_then(|()| out.get_ref().sync_all()).map_err(fail)?;
        let sha256 = sha.finalize().iter().map(|b| format!("{b:02x}")).collect();
        let parameters: usize = network.tensors.iter().map(Made::values).sum();
        Ok(Entry {
            id: network.id.clone(),
            file,
            sha256,
            bytes,
            kind: network.kind.into(),
            licence: super::LICENCE.into(),
            provenance: network.provenance.into(),
            more: BTreeMap::from([("parameters".into(), json!(parameters))]),
        })
    }

    /// Writes the manifest and puts the folder in place; the files' paths come back.
    pub fn finish(self, manifest: &Manifest) -> Result<Vec<PathBuf>> {
        let text = serde_json::to_string_pretty(manifest).map_err(|e| Error::internal(e.to_string()))?;
        let fail = |e: std::io::Error| Error::file("cannot write", &self.wanted, e, SPACE);
        std::fs::write(self.making.path().join("manifest.json"), text + "\n").map_err(fail)?;
        if self.wanted.is_dir() {
            std::fs::remove_dir(&self.wanted).map_err(fail)?; // it is empty, or this fails
        }
        std::fs::rename(self.making.path(), &self.wanted).map_err(fail)?;
        let _ = self.making.keep(); // it is not there any more
        let names = manifest.models.iter().map(|m| m.file.as_str()).chain(["manifest.json"]);
        Ok(names.map(|name| self.wanted.join(name)).collect())
    }
}

/// The safetensors header: its size, then names, types, shapes and places, padded to 8 bytes.
fn header(network: &Network<'_>) -> Vec<u8> {
    let (mut map, mut at) = (serde_json::Map::new(), 0);
    for made in &network.tensors {
        let (dtype, bytes) = made.written();
        let end = at + bytes;
        map.insert(made.name.clone(), json!({"dtype": dtype, "shape": made.shape, "data_offsets": [at, end]}));
        at = end;
    }
    let mut text = Value::Object(map).to_string();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.extend(text.into_bytes());
    out
}
