//! What is kept of a slide between runs, and beside memory in one run: records of bytes, found again by kind and number. In: a folder
//! and the [`Key`] of everything that the bytes depend on. Out: the bytes, or nothing where there are none.
//!
//! A file is a row of records and only ever grows at its end. Each record carries a checksum, so whatever a killed process, a full
//! disk or a flipped bit leaves behind is found when the file is opened: a torn end is cut off, what is damaged is passed over up to the
//! next whole record, and the caller makes both again. One process writes a file at a time; another one that comes meanwhile, or one that
//! may only read, uses what it finds and keeps the rest to itself. A file that is no cache, or another slide's, is never written. Fails
//! where a file cannot be read or written.
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
use std::fs::{File, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{Error, Job, Result, own_file};

const MAGIC: [u8; 4] = *b"HLR1";
const HEAD_BYTES: usize = 24;
/// Longest content of a record.
const CONTENT_BYTES: u32 = 64 << 20;
/// Bytes searched at once for the next record after a damaged one.
const SEARCH_BYTES: u64 = 1 << 16;
/// Most searches in a file: one made to look like records everywhere would take for ever.
const SEARCHES: usize = 1000;
const MOVE: &str = "move that file away, or choose another `cache_dir`";
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
        let fail = |e: io::Error| Error::file("cannot use the cache", &path, e, REMEDY);
        let own_file::Opened { file, writable } = own_file::open(&path).map_err(fail)?;
        let doubt = if writable { lock(&file) } else { Some("the cache may not be written: it is read and not added to".into()) };
        let ours = doubt.is_none();
        doubt.into_iter().for_each(|why| job.note(why));
        let mut found = Scan::of(&file, &key.text()).map_err(fail)?;
        if found.foreign {
            return Err(Error::file("cannot use the cache", &path, "it is no cache, or that of another slide or setting", MOVE));
        }
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
        match &*self.store.lock() {
            Store::Memory(all) => all.contains_key(&of),
            Store::Files { at, .. } => at.contains_key(&of),
        }
    }

    /// Number of records of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        let of = |key: &&(u32, u32)| key.0 == kind as u32;
        match &*self.store.lock() {
            Store::Memory(all) => all.keys().filter(of).count(),
            Store::Files { at, .. } => at.keys().filter(of).count(),
        }
    }

    /// A record's content.
    pub fn get(&self, kind: Kind, number: u32) -> Result<Option<Vec<u8>>> {
        let of = (kind as u32, number);
        match &mut *self.store.lock() {
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

    /// An error about a record that is whole and yet nothing that was put here: another program wrote it.
    pub fn forged(&self, why: String) -> Error {
        match &*self.store.lock() {
            Store::Memory(_) => Error::internal(why),
            Store::Files { path, .. } => Error::file("cannot use the cache", Path::new(path), why, MOVE),
        }
    }

    /// Adds a record; it takes the place of an earlier one of the same kind and number.
    pub fn put(&self, kind: Kind, number: u32, content: &[u8]) -> Result<()> {
        let of = (kind as u32, number);
        match &mut *self.store.lock() {
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
}

/// Locks a cache for this run; what to tell the user where it is not to be had.
fn lock(file: &File) -> Option<String> {
    match file.try_lock() {
        Ok(()) => None,
        Err(TryLockError::WouldBlock) => {
            Some("another run works with this slide's cache: what it has is used, what this run adds is not kept".into())
        }
        Err(TryLockError::Error(e)) => Some(format!("the cache cannot be locked ({e}): it is read and not added to")),
    }
}

/// Writes a record at `end` in one go; the offset of its content and the new end come back.
fn append(file: &mut File, end: u64, kind: u32, number: u32, content: &[u8]) -> io::Result<(u64, u64)> {
    let bytes = u32::try_from(content.len()).ok().filter(|n| *n <= CONTENT_BYTES);
    let bytes = bytes.ok_or_else(|| io::Error::other(format!("a record of {} bytes", content.len())))?;
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
    /// Where the next record goes: behind the last whole one; 0 where the first one is not whole.
    end: u64,
    /// Records, or stretches between whole ones, that are not what was written.
    damaged: usize,
    /// Something else than the cache of this key, and whole.
    foreign: bool,
}

impl Scan {
    fn of(file: &File, key: &str) -> io::Result<Self> {
        let (mut scan, mut reader) = (Self::default(), Reader::new(file)?);
        scan.foreign = !reader.begins_as_ours()?;
        // what was met since the last whole record, and how often one was searched for
        let (mut gap, mut searches) = (None, 0);
        while !scan.foreign {
            let start = reader.at;
            match reader.record()? {
                Piece::End => break,
                Piece::Whole(of) => {
                    scan.foreign = start == 0 && (of != (Kind::Key as u32, 0) || reader.content != key.as_bytes());
                    scan.damaged += usize::from(gap.take().is_some());
                    let offset = start + HEAD_BYTES as u64;
                    scan.at.insert(of, Place { file: 0, offset, bytes: (reader.at - offset) as u32 });
                    scan.end = reader.at;
                }
                Piece::Damaged | Piece::Torn if searches == SEARCHES => {
                    gap = Some(Piece::Damaged);
                    break;
                }
                met => {
                    searches += 1;
                    gap.get_or_insert(met);
                    reader.search()?;
                }
            }
        }
        scan.damaged += usize::from(matches!(gap, Some(Piece::Damaged)));
        if !scan.at.contains_key(&(Kind::Key as u32, 0)) {
            (scan.at, scan.end) = (HashMap::new(), 0);
        }
        Ok(scan)
    }
}

/// What lies at a place of a file.
enum Piece {
    /// A record of that kind and number.
    Whole((u32, u32)),
    /// Something that was never written so.
    Damaged,
    /// What may be the beginning of a record.
    Torn,
    /// Nothing.
    End,
}

/// Reads a file record by record. Holds one content at a time.
struct Reader<'a> {
    from: BufReader<&'a File>,
    /// Where it is, and where the file ends.
    at: u64,
    length: u64,
    content: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let mut reader = Self { from: BufReader::with_capacity(1 << 16, file), at: 0, length: file.metadata()?.len(), content: Vec::new() };
        reader.go(0)?;
        Ok(reader)
    }

    fn go(&mut self, at: u64) -> io::Result<()> {
        self.at = at;
        self.from.seek(SeekFrom::Start(at)).map(drop)
    }

    /// Whether the first bytes, as far as there are any, are those of a cache.
    fn begins_as_ours(&mut self) -> io::Result<bool> {
        let mut first = Vec::new();
        self.from.by_ref().take(MAGIC.len() as u64).read_to_end(&mut first)?;
        self.go(0)?;
        Ok(MAGIC.starts_with(&first))
    }

    /// Reads the record that begins here, and goes behind it if it is whole.
    fn record(&mut self) -> io::Result<Piece> {
        let left = self.length.saturating_sub(self.at);
        if left < HEAD_BYTES as u64 {
            return Ok(if left == 0 { Piece::End } else { Piece::Torn });
        }
        let mut head = [0u8; HEAD_BYTES];
        self.from.read_exact(&mut head)?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let bytes = number(12);
        if head[..4] != MAGIC || bytes > CONTENT_BYTES {
            return Ok(Piece::Damaged);
        }
        if u64::from(bytes) > left - HEAD_BYTES as u64 {
            return Ok(Piece::Torn);
        }
        self.content.resize(bytes as usize, 0);
        self.from.read_exact(&mut self.content)?;
        if checksum(&head[4..16], &self.content) != head[16..] {
            return Ok(Piece::Damaged);
        }
        self.at += HEAD_BYTES as u64 + u64::from(bytes);
        Ok(Piece::Whole((number(4), number(8))))
    }

    /// Goes to the next place where a record may begin, or to the end.
    fn search(&mut self) -> io::Result<()> {
        let mut part = Vec::new();
        let mut from = self.at + 1;
        loop {
            self.go(from)?;
            part.clear();
            let read = self.from.by_ref().take(SEARCH_BYTES).read_to_end(&mut part)? as u64;
            if let Some(place) = part.windows(MAGIC.len()).position(|w| w == MAGIC) {
                return self.go(from + place as u64);
            }
            if read < SEARCH_BYTES {
                return self.go(self.length);
            }
            from += read - (MAGIC.len() as u64 - 1);
        }
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
        for at in (4..bytes.len()).step_by(61) {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            let job = Job::new();
            let cache = Cache::open(dir.path(), &key("a"), &job).unwrap();
            let kept = whole(&cache);
            assert!(kept.len() < 10 && (0..10).all(|n| cache.has(Kind::Window, n) == kept.contains(&n)), "byte {at}");
            assert!(job.notes().iter().any(|n| n.contains("1 damaged record")), "byte {at}: {:?}", job.notes());
            (0..10).filter(|n| !kept.contains(n)).for_each(|n| cache.put(Kind::Window, n, &content(n)).unwrap());
            drop(cache);
            assert_eq!(whole(&Cache::open(dir.path(), &key("a"), &Job::new()).unwrap()).len(), 10, "byte {at}");
        }
    }

    #[test]
    fn a_flipped_bit_in_a_head_costs_that_record_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        let bytes = std::fs::read(&path).unwrap();
        let head = HEAD_BYTES + key("a").text().len() + 4 * HEAD_BYTES + (0..4).map(|n| content(n).len()).sum::<usize>();
        assert_eq!(bytes[head..head + 4], MAGIC);
        for bit in 0..8 * HEAD_BYTES {
            let mut bad = bytes.clone();
            bad[head + bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bad).unwrap();
            let job = Job::new();
            let cache = Cache::open(dir.path(), &key("a"), &job).unwrap();
            assert_eq!(whole(&cache), [0, 1, 2, 3, 5, 6, 7, 8, 9], "bit {bit}");
            assert!(job.notes()[0].contains("1 damaged record"), "bit {bit}: {:?}", job.notes());
        }
    }

    /// Beginnings of records where none is, and a stretch longer than what is searched at once.
    #[test]
    fn the_next_whole_record_is_found_behind_any_rubbish() {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        let bytes = std::fs::read(&path).unwrap();
        let first = HEAD_BYTES + key("a").text().len();
        for length in [1, 3, 4, SEARCH_BYTES as usize - 2, 3 * SEARCH_BYTES as usize] {
            let rubbish: Vec<u8> = MAGIC.iter().chain(b"HLR").copied().cycle().take(length.min(200)).collect();
            let rubbish = [rubbish, vec![7; length.saturating_sub(200)]].concat();
            std::fs::write(&path, [&bytes[..first], &rubbish, &bytes[first..]].concat()).unwrap();
            let job = Job::new();
            assert_eq!(whole(&Cache::open(dir.path(), &key("a"), &job).unwrap()).len(), 10, "{length} bytes");
            assert!(job.notes()[0].contains("1 damaged"), "{:?}", job.notes());
        }
        // rubbish that would take for ever is given up, not loaded
        std::fs::write(&path, [&bytes[..first], &MAGIC.repeat(4 * SEARCHES), &bytes[first..]].concat()).unwrap();
        let job = Job::new();
        assert!(whole(&Cache::open(dir.path(), &key("a"), &job).unwrap()).is_empty() && job.notes()[0].contains("damaged"));
    }

    #[test]
    fn a_file_that_is_not_this_cache_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        let other = dir.path().join(key("b").file_name());
        Cache::open(dir.path(), &key("b"), &Job::new()).unwrap();
        for bytes in [std::fs::read(&other).unwrap(), b"a thesis".to_vec(), b"x".to_vec(), b"HLR2 and more".to_vec()] {
            std::fs::write(&path, &bytes).unwrap();
            let e = Cache::open(dir.path(), &key("a"), &Job::new()).err().unwrap().to_string();
            assert!(e.contains("no cache, or that of another slide") && e.contains("`cache_dir`"), "{e}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        #[cfg(unix)]
        {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(dir.path().join("mine"), "").unwrap();
            std::os::unix::fs::symlink(dir.path().join("mine"), &path).unwrap();
            assert!(Cache::open(dir.path(), &key("a"), &Job::new()).err().unwrap().to_string().contains("a link"));
            assert!(std::fs::read(dir.path().join("mine")).unwrap().is_empty());
        }
    }

    /// Where the rights count for nothing, as for root, the cache is written like any other.
    #[cfg(unix)]
    #[test]
    fn a_cache_that_may_only_be_read_is_used() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        let rights = |dir_mode: u32, file_mode: u32| {
            std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(dir_mode)).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(file_mode)).unwrap();
        };
        rights(0o555, 0o444);
        let job = Job::new();
        let cache = Cache::open(dir.path(), &key("a"), &job).unwrap();
        assert_eq!(whole(&cache).len(), 10);
        assert!(cache.kept() || job.notes()[0].contains("may not be written"), "{:?}", job.notes());
        cache.put(Kind::Survey, 0, &content(3)).unwrap();
        assert_eq!(cache.get(Kind::Survey, 0).unwrap().unwrap(), content(3));
        rights(0o755, 0o644);
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
