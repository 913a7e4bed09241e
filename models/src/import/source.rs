//! The file that is imported: a regular file, read at places that were checked against its size.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use histoloom_core::{Error, Job, Result};
use sha2::{Digest, Sha256};

/// Largest file accepted, in bytes: training checkpoints of the published networks have about 4 GB.
const FILE_BYTES: u64 = 32 << 30;
/// Longest name taken from a file's, in characters.
const STEM_CHARS: usize = 100;
/// What is hashed between two looks at the job, in bytes.
const CHUNK_BYTES: usize = 4 << 20;

/// What to do with a file that is damaged.
pub const AGAIN: &str = "the file is damaged or incomplete; download it again and compare its size and sha-256 with the source's";
/// What to do with a checkpoint that holds what we do not read.
pub const CONVERT: &str = "convert it in Python, where you trust its source: from safetensors.torch import save_file; \
     save_file({k: v.contiguous() for k, v in torch.load(FILE, map_location=\"cpu\", weights_only=False)[\"state_dict\"].items()}, \
     \"model.safetensors\"), then import that file";

/// An open file.
pub struct Source {
    file: File,
    name: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl Source {
    /// Opens a regular file; a pipe or a device is refused, so nothing can hang.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |why: String| Error::file("cannot read", path, why, "give a checkpoint (.ckpt) or a .safetensors file");
        let meta = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?;
        if !meta.is_file() {
            return Err(fail("it is not a regular file".into()));
        }
        if meta.len() > FILE_BYTES {
            return Err(fail(format!("it has {} bytes, the limit is {FILE_BYTES}", meta.len())));
        }
        let file = File::open(path).map_err(|e| fail(e.to_string()))?;
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        Ok(Self { file, name, bytes: meta.len() })
    }

    /// The file's name without its ending, as a name for what it holds.
    pub fn stem(&self) -> String {
        let stem = self.name.rsplit_once('.').map_or(self.name.as_str(), |(stem, _)| stem);
        stem.chars().filter(|c| !c.is_control()).take(STEM_CHARS).collect()
    }

    /// An error about this file.
    pub fn refused(&self, why: impl Into<String>, hint: &str) -> Error {
        Error::Weights { file: self.name.clone(), why: why.into(), hint: hint.into() }
    }

    /// `count` bytes at an offset; an error, before anything is allocated, where they do not lie inside the file.
    pub fn read(&self, at: u64, count: u64) -> Result<Vec<u8>> {
        let size = usize::try_from(count).ok().filter(|_| at.checked_add(count).is_some_and(|end| end <= self.bytes));
        let Some(size) = size else {
            return Err(self.refused(format!("{count} bytes at {at} lie beyond its end at {}", self.bytes), AGAIN));
        };
        let mut bytes = vec![0; size];
        let mut file = &self.file;
        let done = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut bytes));
        done.map_err(|e| self.refused(format!("reading {count} bytes at {at} failed: {e}"), AGAIN))?;
        Ok(bytes)
    }

    /// SHA-256 of the whole file, hex; counts MiB of the job's stage.
    pub fn sha256(&self, job: &Job) -> Result<String> {
        job.stage("checking the file", self.bytes >> 20);
        let (mut sha, mut at) = (Sha256::new(), 0);
        while at < self.bytes {
            job.check()?;
            let count = (self.bytes - at).min(CHUNK_BYTES as u64);
            sha.update(self.read(at, count)?);
            at += count;
            job.advance(count >> 20);
        }
        Ok(sha.finalize().iter().map(|b| format!("{b:02x}")).collect())
    }
}

/// The little-endian number in `count` (at most 8) bytes at an offset, if they are there.
pub fn number(bytes: &[u8], at: usize, count: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(count)?)?;
    Some(part.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}
