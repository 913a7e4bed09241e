//! Truncated, damaged and hostile checkpoints: a clear error each, nothing executed, nothing allocated beyond the file, no crash.

use std::io::Write;

use histoloom_core::rng::Stream;

use super::data;
use super::imports::refusal;
use crate::import::pickle::{self, Refused};

/// A zip of stored entries; `method` and the claimed sizes may lie.
fn zip(entries: &[(&str, &[u8])], method: u16, claim: impl Fn(usize) -> u32) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let at = out.len() as u32;
        let sizes = [claim(bytes.len()).to_le_bytes(), claim(bytes.len()).to_le_bytes()].concat();
        let mut common = [&method.to_le_bytes()[..], &[0; 8], &sizes].concat();
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend([b"PK\x03\x04\x14\0\0\0", &common[..], name.as_bytes(), bytes].concat());
        directory.extend([b"PK\x01\x02\x14\0\x14\0\0\0", &common[..], &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (start, size) = ((out.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    let count = (entries.len() as u16).to_le_bytes();
    out.extend([&directory[..], b"PK\x05\x06\0\0\0\0", &count, &count, &size, &start, &[0, 0]].concat());
    out
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".ckpt").tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn checkpoint(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    zip(&[("a/data.pkl", pickle), ("a/data/0", storage)], 0, |n| n as u32)
}

/// The pickle of {"state_dict": {`name`: tensor}} over a storage of `length` values.
fn one(name: &str, length: i32, offset: i32, shape: &[i32], stride: &[i32]) -> Vec<u8> {
    let text = |t: &str| [b"X", &(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat();
    let int = |n: i32| [&b"J"[..], &n.to_le_bytes()].concat();
    let ints = |v: &[i32]| [b"(".to_vec(), v.iter().flat_map(|n| int(*n)).collect(), b"t".to_vec()].concat();
    let storage = [b"(".to_vec(), text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), int(length), b"tQ".to_vec()];
    let tail = b"\x89ccollections\nOrderedDict\n)RtRsu.".to_vec();
    let tensor =
        [b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(), storage.concat(), int(offset), ints(shape), ints(stride), tail].concat();
    [b"\x80\x02}(".to_vec(), text("state_dict"), b"}".to_vec(), text(name), tensor].concat()
}

#[test]
fn a_checkpoint_cut_off_anywhere_is_refused() {
    let whole = std::fs::read(data("htd_tiny.ckpt")).unwrap();
    let near_end = (whole.len() - 150)..whole.len();
    for end in (0..whole.len()).step_by(4001).chain(near_end).chain(0..40) {
        let why = refusal(file(&whole[..end]).path());
        assert!(why.contains(".ckpt") && why.contains(';'), "cut at {end}: {why}");
    }
}

#[test]
fn a_checkpoint_with_damaged_bytes_is_refused_or_read_and_never_crashes() {
    let whole = std::fs::read(data("htd_tiny.ckpt")).unwrap();
    let mut stream = Stream::new(9, 0, 0);
    let directory = whole.len() - 1500;
    for i in 0..240 {
        let mut bytes = whole.clone();
        for _ in 0..=stream.below(3) {
            // directory, pickle, anywhere
            let at = [directory + stream.below(1500), stream.below(84_000), stream.below(whole.len())][i % 3];
            bytes[at] = stream.word() as u8;
        }
        let dir = tempfile::tempdir().unwrap();
        let made = crate::import::run(file(&bytes).path(), &dir.path().join("out"), &histoloom_core::Job::new());
        assert_eq!(made.is_ok(), dir.path().join("out").exists());
    }
}

#[test]
fn a_pickle_cut_off_or_changed_anywhere_is_an_error_or_tensors() {
    let whole = std::fs::read(data("htd_tiny.ckpt")).unwrap();
    let start = whole.windows(2).position(|w| w == b"\x80\x02").unwrap();
    let end = start + whole[start..].windows(2).position(|w| w == b"PK").unwrap();
    let good = &whole[start..end];
    assert!(pickle::tensors(good).is_ok_and(|t| t.len() > 600));
    let mut stream = Stream::new(10, 0, 0);
    for _ in 0..300 {
        // the last instruction is a STOP, before padding
        let cut = stream.below(82_000);
        assert!(pickle::tensors(&good[..cut]).is_err(), "cut at {cut}");
        let mut bytes = good.to_vec();
        for _ in 0..4 {
            bytes[stream.below(82_000)] = stream.word() as u8;
        }
        let _ = pickle::tensors(&bytes);
        let words = b"\x80\x02}](ctXKMJGN.RQbusa\x85\x86\x87qhrj\0\x01\n";
        let noise: Vec<u8> = (0..200).map(|_| words[stream.below(words.len())]).collect();
        let _ = pickle::tensors(&noise);
    }
}

#[test]
fn a_pickle_that_names_code_is_refused_by_that_name_and_nothing_runs() {
    let trace = tempfile::tempdir().unwrap();
    let command = format!("touch {}", trace.path().join("ran").display());
    let text = [b"X", &(command.len() as u32).to_le_bytes()[..], command.as_bytes()].concat();
    let call = [b"\x80\x02cos\nsystem\n", &text[..], b"\x85R."].concat();
    let why = refusal(file(&checkpoint(&call, &[])).path());
    assert!(why.contains("`os.system`") && why.contains("not called") && why.contains("save_file"), "{why}");
    assert_eq!(std::fs::read_dir(trace.path()).unwrap().count(), 0);
    for (code, word) in [
        (&b"\x80\x02cbuiltins\neval\n."[..], "`builtins.eval`"),
        (b"\x80\x02cnumpy.core.multiarray\nscalar\n.", "numpy.core.multiarray.scalar"),
        (b"\x80\x02cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n.", "ModelCheckpoint"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls what is no known function"),
        (b"\x80\x02ccollections\nOrderedDict\nNb.", "sets attributes"),
        (b"\x80\x02c\x1b[2J\nevil\n.", "`[2J.evil`"),
    ] {
        let found = pickle::tensors(code);
        assert!(matches!(&found, Err(Refused::Foreign(why)) if why.contains(word)), "{word}: {found:?}");
    }
}

#[test]
fn pickles_that_recur_nest_or_swell_end_soon() {
    let cycle = b"\x80\x02}q\x00X\n\x00\x00\x00state_dicth\x00s.";
    assert!(pickle::tensors(cycle).is_ok_and(|t| t.is_empty()), "a dictionary in itself holds no tensors");
    let deep = [&b"\x80\x02"[..], &[b'('; 200][..], b"."].concat();
    let singles = [&b"\x80\x02N"[..], &[0x85; 3_000_000][..], b"."].concat();
    let recalled = [&b"\x80\x02Nq\x00"[..], &b"h\x00".repeat(3_000_000)[..], b"."].concat();
    let long = [&b"\x80\x02X\xff\xff\xff\xff"[..], b"abc."].concat();
    for (bytes, word) in [(&deep[..], "nested deeper"), (&singles, "more than"), (&recalled, "more than"), (&long, "too early")] {
        let found = pickle::tensors(bytes);
        assert!(matches!(&found, Err(Refused::Damaged(why)) if why.contains(word)), "{word}: {found:?}");
    }
    for bad in
        [&b""[..], b".", b"\x80\x02.", b"\x80\x05N.", b"\x80\x02N.", b"\x80\x02u.", b"\x80\x02(N.", b"\x80\x02Ns.", b"\x80\x02\x8a\xff."]
    {
        assert!(pickle::tensors(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn tensors_outside_their_storage_are_refused_by_name() {
    let max = i32::MAX;
    for (length, offset, shape, stride) in [
        (4, 0, &[5][..], &[1][..]),
        (4, 1, &[4], &[1]),
        (4, 0, &[2, 2], &[3, 1]),
        (4, 0, &[4, 4], &[1, 0]), // the same values again and again
        (4, 0, &[max, 1], &[0, 0]),
        (4, 0, &[max, max, max], &[max, max, max]),
        (4, max, &[1], &[1]),
        (4, -1, &[1], &[1]),
        (4, 0, &[-1], &[1]),
        (4, 0, &[2], &[-1]),
        (4, 0, &[2, 2], &[1]),
        (5, 0, &[1], &[1]), // more than the entry has
        (max, 0, &[max], &[1]),
        (-1, 0, &[1], &[1]),
        (4, 0, &[1; 9], &[1; 9]),
    ] {
        let why = refusal(file(&checkpoint(&one("betas", length, offset, shape, stride), &[0; 16])).path());
        let told = why.contains("`betas`") || why.contains("extent") || why.contains("storage") || why.contains("axes");
        assert!(told, "{length} {offset} {shape:?} {stride:?}: {why}");
    }
    // a name recalled again and again cannot be multiplied
    let why = refusal(file(&checkpoint(&one(&"n".repeat(5000), 4, 0, &[4], &[1]), &[0; 16])).path());
    assert!(why.contains("5000 bytes"), "{why}");
}

#[test]
fn archives_that_lie_or_swell_are_refused() {
    let pickle = one("betas", 4, 0, &[4], &[1]);
    let entries: &[(&str, &[u8])] = &[("a/data.pkl", &pickle), ("a/data/0", &[0; 16])];
    let compressed = refusal(file(&zip(entries, 8, |n| n as u32)).path());
    assert!(compressed.contains("compressed") && compressed.contains("save_file"), "{compressed}");
    let huge = refusal(file(&zip(entries, 0, |_| u32::MAX - 1)).path());
    assert!(huge.contains("4294967294 bytes"), "{huge}");
    let twice = refusal(file(&zip(&[("a/data.pkl", &pickle), ("b/data.pkl", &pickle)], 0, |n| n as u32)).path());
    assert!(twice.contains("2 entries"), "{twice}");
    let same = refusal(file(&zip(&[("a/data.pkl", &pickle), ("a/data.pkl", &pickle)], 0, |n| n as u32)).path());
    assert!(same.contains("listed twice"), "{same}");
    let big_endian: &[(&str, &[u8])] = &[("a/data.pkl", &pickle), ("a/byteorder", b"big"), ("a/data/0", &[0; 16])];
    let order = refusal(file(&zip(big_endian, 0, |n| n as u32)).path());
    assert!(order.contains("byte order"), "{order}");
    let missing = refusal(file(&zip(&[("a/data.pkl", &pickle)], 0, |n| n as u32)).path());
    assert!(missing.contains("`betas` has no storage `a/data/0`"), "{missing}");
}

#[test]
fn other_files_are_refused_with_what_to_do() {
    let old = refusal(file(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.").path());
    assert!(old.contains("torch before 1.6") && old.contains("save_file"), "{old}");
    let text = refusal(file(b"this is no checkpoint at all").path());
    assert!(text.contains("neither a zip"), "{text}");
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &[0; 8]].concat();
    for (json, word) in [
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, "does not fit"),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, "does not fit"),
        (r#"{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,8]}}"#, "too large"),
        (r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#, "type U8"),
        (r#"{"a":{"dtype":"F32"}}"#, "`a`"),
        ("[", "no JSON"),
    ] {
        let why = refusal(file(&header(json)).path());
        assert!(why.contains(word), "{json}: {why}");
    }
    let integers = refusal(file(&header(r#"{"betas":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#)).path());
    assert!(integers.contains("`betas` holds integers"), "{integers}");
    assert!(refusal(&data("nowhere.ckpt")).contains("nowhere.ckpt"));
    assert!(refusal(&data("")).contains("not a regular file"));
}
