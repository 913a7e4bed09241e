//! The zip container of `torch.save`: where its entries lie. In: a file. Out: name to place. Only entries that are stored as they are
//! are read, so nothing can swell; ZIP64, which torch always writes, is. Fails with the file's name and what is wrong.

use std::collections::BTreeMap;

use histoloom_core::Result;

use super::source::{AGAIN, CONVERT, Source, number};

/// Longest comment of an archive, and with it how far from the end its directory's end may lie.
const COMMENT_BYTES: u64 = 65_535;
/// Size of the record at the end without its comment.
const END_BYTES: u64 = 22;
/// Largest directory accepted, in bytes; those of checkpoints have some 200 kB.
const DIRECTORY_BYTES: u64 = 16 << 20;
/// Size of a directory entry without its texts.
const ENTRY_BYTES: usize = 46;
/// Size of the header before an entry's data without its texts.
const LOCAL_BYTES: u64 = 30;
/// A 32-bit field whose value is in the ZIP64 extra field.
const ELSEWHERE: u64 = 0xFFFF_FFFF;

/// One entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Where its local header lies.
    header: u64,
    /// Size of its data in bytes.
    pub bytes: u64,
    stored: bool,
}

/// All entries by name.
pub type Entries = BTreeMap<String, Entry>;

/// Reads the directory.
pub fn entries(source: &Source) -> Result<Entries> {
    let damaged = |what: &str| source.refused(format!("its zip directory is damaged ({what})"), AGAIN);
    let (at, bytes) = directory(source)?.ok_or_else(|| damaged("no end record"))?;
    if bytes > DIRECTORY_BYTES {
        return Err(damaged(&format!("{bytes} bytes, the limit is {DIRECTORY_BYTES}")));
    }
    let all = source.read(at, bytes)?;
    let (mut rest, mut out) = (&all[..], Entries::new());
    while !rest.is_empty() {
        let (name, entry, size) = entry(rest).ok_or_else(|| damaged("a broken entry"))?;
        if out.insert(name.clone(), entry).is_some() {
            return Err(damaged(&format!("`{name}` is listed twice")));
        }
        rest = rest.get(size..).unwrap_or(&[]);
    }
    Ok(out)
}

/// Where an entry's data begin.
pub fn data(source: &Source, name: &str, entry: &Entry) -> Result<u64> {
    if !entry.stored {
        return Err(source.refused(format!("its entry `{name}` is compressed, which torch.save never does"), CONVERT));
    }
    let local = source.read(entry.header, LOCAL_BYTES)?;
    let field = |at| number(&local, at, 2).unwrap_or(0);
    let start = entry.header + LOCAL_BYTES + field(26) + field(28);
    if number(&local, 0, 4) != Some(0x0403_4b50) || start.checked_add(entry.bytes).is_none_or(|end| end > source.bytes) {
        return Err(source.refused(format!("its entry `{name}` does not lie inside the file"), AGAIN));
    }
    Ok(start)
}

/// Offset and size of the directory.
fn directory(source: &Source) -> Result<Option<(u64, u64)>> {
    let tail_at = source.bytes.saturating_sub(COMMENT_BYTES + END_BYTES);
    let tail = source.read(tail_at, source.bytes - tail_at)?;
    let Some(end) = tail.windows(4).rposition(|w| w == b"PK\x05\x06") else { return Ok(None) };
    let comment = number(&tail, end + 20, 2);
    if comment.is_none_or(|n| end as u64 + END_BYTES + n != tail.len() as u64) {
        return Ok(None);
    }
    let locator = end.checked_sub(20).filter(|at| number(&tail, *at, 4) == Some(0x0706_4b50));
    let Some(locator) = locator else {
        return Ok(number(&tail, end + 16, 4).zip(number(&tail, end + 12, 4)));
    };
    let Some(at) = number(&tail, locator + 8, 8) else { return Ok(None) };
    let record = source.read(at, 56)?;
    let found = number(&record, 48, 8).zip(number(&record, 40, 8));
    Ok(found.filter(|_| number(&record, 0, 4) == Some(0x0606_4b50)))
}

/// The first entry of a directory, and its size there.
fn entry(bytes: &[u8]) -> Option<(String, Entry, usize)> {
    let field = |at, count| number(bytes, at, count);
    (field(0, 4)? == 0x0201_4b50).then_some(())?;
    let (name, extra, comment) = (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
    let text = std::str::from_utf8(bytes.get(ENTRY_BYTES..ENTRY_BYTES + name)?).ok()?;
    let mut wide = zip64(bytes.get(ENTRY_BYTES + name..ENTRY_BYTES + name + extra)?);
    let mut value = |at| match field(at, 4)? {
        ELSEWHERE => wide.next(),
        small => Some(small),
    };
    let (size, packed, header) = (value(24)?, value(20)?, value(42)?);
    let stored = field(10, 2)? == 0 && size == packed && field(8, 2)? & 1 == 0;
    Some((text.into(), Entry { header, bytes: size, stored }, ENTRY_BYTES + name + extra + comment))
}

/// The numbers of the ZIP64 extra field.
fn zip64(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let (Some(id), Some(size)) = (number(extra, 0, 2), number(extra, 2, 2)) {
        let end = 4 + size as usize;
        if id == 1 {
            found = extra.get(4..end).unwrap_or(&[]);
        }
        extra = extra.get(end..).unwrap_or(&[]);
    }
    found.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b))
}
