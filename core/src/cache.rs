//! What is kept of a slide between runs, and beside memory in one run: records of bytes, found again by kind and number. In: a folder
//! and the [`Key`] of everything that the bytes depend on. Out: the bytes, or nothing where there are none.
//!
//! A file is a row of records and only ever grows at its end. Each record carries a checksum, so whatever a killed process, a full
//! disk or a flipped bit leaves behind is found when the file is opened: a torn end is cut off, a damaged record is passed over, and
//! the caller makes both again. One process writes a file at a time; another one that comes meanwhile uses what it finds and keeps the
//! rest to itself. Fails where a file cannot be read or written.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `HLR1` |
//! | 4 | kind, little endian as all numbers |
//! | 4 | number within the kind |
//! | 4 | length of the content |
//! | 8 | the first bytes of the SHA-256 over the twelve bytes before and the content |
//! | length | the content; that of a file's first record is the key |

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::{Error, Job, Result};

const MAGIC: [u8; 4] = *b"HLR1";
const HEAD_BYTES: usize = 24;
/// Longest content of a record.
const CONTENT_BYTES: u32 = 64 << 20;
const REMEDY: &str = "check free space and permissions, or choose another `cache_dir`; what is done is kept";

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// The key, first in a file.
    Key = 0,
    /// A block of the survey.
    Survey = 1,
    /// The rows of a window.
    Window = 2,
    /// A hierarchy of classes and its readings.
    Hierarchy = 3,
}

/// Everything that cached bytes depend on, as texts in a fixed order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Key(pub Vec<String>);

impl Key {
    fn text(&self) -> String {
        serde_json::Value::from(self.0.clone()).to_string()
    }

    fn file_name(&self) -> String {
        let hash: String = Sha256::digest(self.text()).iter().take(16).map(|b| format!("{b:02x}")).collect();
        format!("{hash}.rows")
    }
}

/// Records of one slide. Safe to use from several threads.
pub struct Cache {
    store: Mutex<Store>,
    kept: bool,
}

enum Store {
    Memory(HashMap<(u32, u32), Vec<u8>>),
    Files { files: Vec<File>, at: HashMap<(u32, u32), Place>, end: u64, path: String },
}

/// Where a content lies: file, offset and length.
#[derive(Clone, Copy)]
struct Place {
    file: usize,
    offset: u64,
    bytes: u32,
}

impl Cache {
    /// In memory, for slides of which little needs to be kept.
    pub fn memory() -> Self {
        Self { store: Mutex::new(Store::Memory(HashMap::new())), kept: false }
    }

    /// In a file without a name in the system's folder for such, gone when the process ends however it does.
    pub fn temporary() -> Result<Self> {
        let dir = std::env::temp_dir();
        let file = tempfile::tempfile().map_err(|e| Error::file("cannot make a temporary file in", &dir, e, "give `cache_dir` instead"))?;
        let path = dir.display().to_string();
        Ok(Self { store: Mutex::new(Store::Files { files: vec![file], at: HashMap::new(), end: 0, path }), kept: false })
    }

    /// The file of `key` in a folder, which is made if it is not there. What was found, and what was damaged, is noted.
    pub fn open(dir: &Path, key: &Key, job: &Job) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|e| Error::file("cannot make the folder", dir, e, REMEDY))?;
        let path = dir.join(key.file_name());
        let fail = |e: std::io::Error| Error::file("cannot use the cache", &path, e, REMEDY);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(fail)?;
        let ours = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => {
                job.note("another run works with this slide's cache: what it has is used, what this run adds is not kept");
                false
            }
            Err(TryLockError::Error(e)) => {
                job.note(format!("the cache cannot be locked ({e}): it is read and not added to"));
                false
            }
        };
        let mut found = Scan::of(&file, &key.text()).map_err(fail)?;
        if found.damaged > 0 {
            job.note(format!("{} damaged record(s) of the cache are made again", found.damaged));
        }
        let (mut files, mut end) = (vec![file], found.end);
        if ours {
            let file = &mut files[0];
            file.set_len(end).map_err(fail)?;
            if end == 0 {
                end = append(file, 0, Kind::Key as u32, 0, key.text().as_bytes()).map_err(fail)?.1;
            }
        } else {
            files.push(tempfile::tempfile().map_err(fail)?);
            end = 0;
        }
        found.at.remove(&(Kind::Key as u32, 0));
        let path = path.display().to_string();
        Ok(Self { store: Mutex::new(Store::Files { files, at: found.at, end, path }), kept: ours })
    }

    /// Whether what is put here outlives the process.
    pub fn kept(&self) -> bool {
        self.kept
    }

    /// Whether there is such a record.
    pub fn has(&self, kind: Kind, number: u32) -> bool {
        let of = (kind as u32, number);
        match &*self.lock() {
            Store::Memory(all) => all.contains_key(&of),
            Store::Files { at, .. } => at.contains_key(&of),
        }
    }

    /// Number of records of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        let of = |key: &&(u32, u32)| key.0 == kind as u32;
        match &*self.lock() {
            Store::Memory(all) => all.keys().filter(of).count(),
            Store::Files { at, .. } => at.keys().filter(of).count(),
        }
    }

    /// A record's content.
    pub fn get(&self, kind: Kind, number: u32) -> Result<Option<Vec<u8>>> {
        let of = (kind as u32, number);
        match &mut *self.lock() {
            Store::Memory(all) => Ok(all.get(&of).cloned()),
            Store::Files { files, at, path, .. } => {
                let Some(place) = at.get(&of) else { return Ok(None) };
                let mut content = vec![0; place.bytes as usize];
                let file = &mut files[place.file];
                let read = file.seek(SeekFrom::Start(place.offset)).and_then(|_| file.read_exact(&mut content));
                read.map_err(|e| Error::file("cannot read the cache", Path::new(path), e, REMEDY))?;
                Ok(Some(content))
            }
        }
    }

    /// Adds a record; it takes the place of an earlier one of the same kind and number.
    pub fn put(&self, kind: Kind, number: u32, content: &[u8]) -> Result<()> {
        let of = (kind as u32, number);
        match &mut *self.lock() {
            Store::Memory(all) => {
                all.insert(of, content.to_vec());
            }
            Store::Files { files, at, end, path } => {
                let last = files.len() - 1;
                let written = append(&mut files[last], *end, of.0, number, content);
                let (offset, after) = written.map_err(|e| Error::file("cannot write the cache", Path::new(path), e, REMEDY))?;
                at.insert(of, Place { file: last, offset, bytes: content.len() as u32 });
                *end = after;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a record at `end` in one go; the offset of its content and the new end come back.
fn append(file: &mut File, end: u64, kind: u32, number: u32, content: &[u8]) -> std::io::Result<(u64, u64)> {
    let bytes = u32::try_from(content.len()).ok().filter(|n| *n <= CONTENT_BYTES);
    let bytes = bytes.ok_or_else(|| std::io::Error::other(format!("a record of {} bytes", content.len())))?;
    let mut record = Vec::with_capacity(HEAD_BYTES + content.len());
    record.extend(MAGIC);
    [kind, number, bytes].iter().for_each(|v| record.extend(v.to_le_bytes()));
    record.extend(checksum(&record[4..16], content));
    record.extend(content);
    file.seek(SeekFrom::Start(end))?;
    file.write_all(&record)?;
    Ok((end + HEAD_BYTES as u64, end + record.len() as u64))
}

fn checksum(head: &[u8], content: &[u8]) -> [u8; 8] {
    let sum = Sha256::new_with_prefix(head).chain_update(content).finalize();
    let mut out = [0; 8];
    out.copy_from_slice(&sum[..8]);
    out
}

/// What is whole in a file.
#[derive(Default)]
struct Scan {
    at: HashMap<(u32, u32), Place>,
    /// Where the next record goes; 0 where the file is empty or not of this key.
    end: u64,
    damaged: usize,
}

impl Scan {
    fn of(file: &File, key: &str) -> std::io::Result<Self> {
        let (mut scan, length) = (Self::default(), file.metadata()?.len());
        let mut from = BufReader::with_capacity(1 << 16, file);
        from.seek(SeekFrom::Start(0))?;
        let mut content = Vec::new();
        while length - scan.end >= HEAD_BYTES as u64 {
            let mut head = [0u8; HEAD_BYTES];
            from.read_exact(&mut head)?;
            let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let (of, bytes) = ((number(4), number(8)), number(12));
            let left = length - scan.end - HEAD_BYTES as u64;
            if head[..4] != MAGIC || bytes > CONTENT_BYTES || u64::from(bytes) > left {
                // a torn end, or a head that no longer says where the next record is
                scan.damaged += usize::from(head[..4] != MAGIC);
                break;
            }
            content.resize(bytes as usize, 0);
            from.read_exact(&mut content)?;
            let whole = checksum(&head[4..16], &content) == head[16..];
            if scan.end == 0 && !(whole && of == (Kind::Key as u32, 0) && content == key.as_bytes()) {
                scan.damaged += 1;
                return Ok(scan);
            }
            if whole {
                scan.at.insert(of, Place { file: 0, offset: scan.end + HEAD_BYTES as u64, bytes });
            } else {
                scan.damaged += 1;
            }
            scan.end += HEAD_BYTES as u64 + u64::from(bytes);
        }
        Ok(scan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key(vec!["slide".into(), text.into()])
    }

    fn content(n: u32) -> Vec<u8> {
        (0..500 + n).map(|i| (i * 31 + n) as u8).collect()
    }

    /// A cache with ten records, and its file.
    fn filled(dir: &Path) -> std::path::PathBuf {
        let cache = Cache::open(dir, &key("a"), &Job::new()).unwrap();
        (0..10).for_each(|n| cache.put(Kind::Window, n, &content(n)).unwrap());
        dir.join(key("a").file_name())
    }

    fn whole(cache: &Cache) -> Vec<u32> {
        let get = |n: u32| cache.get(Kind::Window, n).unwrap();
        (0..10).filter(|n| get(*n).is_some_and(|c| c == content(*n))).collect()
    }

    #[test]
    fn a_file_cut_anywhere_keeps_every_whole_record_and_goes_on_from_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        let bytes = std::fs::read(&path).unwrap();
        let mut before = 0;
        for cut in (0..=bytes.len()).step_by(97).chain([bytes.len()]) {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let job = Job::new();
            let cache = Cache::open(dir.path(), &key("a"), &job).unwrap();
            let kept = whole(&cache);
            assert_eq!(kept, (0..kept.len() as u32).collect::<Vec<_>>());
            assert!(kept.len() >= before && (0..10).all(|n| cache.has(Kind::Window, n) == kept.contains(&n)), "cut at {cut}");
            assert!(job.notes().is_empty(), "a torn end is no damage: {:?}", job.notes());
            before = kept.len();
            (kept.len() as u32..10).for_each(|n| cache.put(Kind::Window, n, &content(n)).unwrap());
            drop(cache);
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "resumed after a cut at {cut}");
        }
        assert_eq!(before, 10);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found_noted_and_made_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        let bytes = std::fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(61) {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            let job = Job::new();
            let cache = Cache::open(dir.path(), &key("a"), &job).unwrap();
            let kept = whole(&cache);
            assert!(kept.len() < 10 && (0..10).all(|n| cache.has(Kind::Window, n) == kept.contains(&n)), "byte {at}");
            (0..10).filter(|n| !kept.contains(n)).for_each(|n| cache.put(Kind::Window, n, &content(n)).unwrap());
            drop(cache);
            assert_eq!(whole(&Cache::open(dir.path(), &key("a"), &Job::new()).unwrap()).len(), 10, "byte {at}");
        }
    }

    #[test]
    fn two_runs_on_one_file_do_not_harm_it_and_another_key_has_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let first = Cache::open(dir.path(), &key("a"), &Job::new()).unwrap();
        first.put(Kind::Window, 0, &content(0)).unwrap();
        let job = Job::new();
        let second = Cache::open(dir.path(), &key("a"), &job).unwrap();
        assert!(first.kept() && !second.kept() && job.notes()[0].contains("another run"));
        assert_eq!(whole(&second), [0]);
        second.put(Kind::Window, 1, &content(1)).unwrap();
        first.put(Kind::Window, 2, &content(2)).unwrap();
        assert_eq!((whole(&first), whole(&second)), (vec![0, 2], vec![0, 1]));
        drop((first, second));
        let other = Cache::open(dir.path(), &key("b"), &Job::new()).unwrap();
        assert!(whole(&other).is_empty());
        assert_eq!(whole(&Cache::open(dir.path(), &key("a"), &Job::new()).unwrap()), [0, 2]);
    }

    #[test]
    fn without_a_folder_records_are_kept_for_the_run_alone() {
        for cache in [Cache::memory(), Cache::temporary().unwrap()] {
            (0..10).rev().for_each(|n| cache.put(Kind::Window, n, &content(n)).unwrap());
            assert_eq!(whole(&cache).len(), 10);
            assert!(!cache.kept() && !cache.has(Kind::Survey, 0));
        }
    }
}
