//! The contract between host and op, version 1; for authors it is told in `OPS.md`, `guest/histoloom_op.h` and `guest/src`. In: a tile
//! laid out in the op's memory. Out: what it wrote there and said through two imports. Fails: [`Fault`], a sentence about what the op did
//! wrong. Nothing an op hands over is believed: pointers, lengths, cells and numbers are checked, text is cleaned, counts are capped.

use std::fmt;

use histoloom_core::ops::{OpFlag, OpInput, OpOutput, RealClass, foreign};
use histoloom_core::{Error, Result};
use wasmparser::ValType;
use wasmtime::{Caller, Linker, Memory};

use crate::sandbox::Guarded;

/// Version that `hl_op_abi` must return.
pub const VERSION: i32 = 1;
/// Module name of the imports.
pub const MODULE: &str = "histoloom";
/// Largest side of a tile in pixels.
pub const TILE_PX: u32 = 2048;
/// Side of a cell of the flag raster in pixels.
pub const CELL_PX: u32 = 32;
/// Most flags of one run; more are counted, not kept.
pub const FLAGS: usize = 1024;
/// Most metrics of one run.
pub const METRICS: usize = 64;
/// Longest flag code or metric name in bytes.
pub const NAME_BYTES: usize = 48;
/// Longest reason in bytes that is read, and in characters that is kept.
pub const REASON_BYTES: usize = 240;
/// Code of the flag that says that flags were dropped.
pub const CAPPED: &str = "OP_FLAGS_CAPPED";

/// A function of the contract.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// Parameter types.
    pub parameters: &'static [ValType],
    /// Result type.
    pub result: Option<ValType>,
}

/// All an op may import, from module [`MODULE`].
pub const IMPORTS: &[Signature] = &[
    // code, length, reason, length, row, column
    Signature {
        name: "flag",
        parameters: &[ValType::I32, ValType::I32, ValType::I32, ValType::I32, ValType::I32, ValType::I32],
        result: None,
    },
    // name, length, value
    Signature { name: "metric", parameters: &[ValType::I32, ValType::I32, ValType::F64], result: None },
];

/// All an op must export, besides `memory`.
pub const EXPORTS: &[Signature] = &[
    Signature { name: "hl_op_abi", parameters: &[], result: Some(ValType::I32) },
    Signature { name: "hl_op_alloc", parameters: &[ValType::I32], result: Some(ValType::I32) },
    Signature { name: "hl_op_run", parameters: &[ValType::I32], result: Some(ValType::I32) },
];

/// Something an op did that the contract forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// Where everything lies, in bytes from the start of the block that the op allocates; each part is aligned to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    rgb: usize,
    pixels: usize,
    labels: usize,
    scores: usize,
    params: usize,
    spread: usize,
    classes: usize,
    seams: usize,
    /// Size of the whole block.
    pub bytes: usize,
}

/// Size of the input structure: 24 words.
pub const HEADER_BYTES: usize = 96;
/// Size of what is told of a class: 8 words.
pub const CLASS_BYTES: usize = 32;
/// Bits of the result of `hl_op_run`: take the pixels, take the labels.
pub const PIXELS: i32 = 1;
/// See [`PIXELS`].
pub const LABELS: i32 = 2;

impl Layout {
    /// Lays out a tile; an error if its parts contradict each other or it is too large.
    pub fn new(input: &OpInput<'_>, params: usize) -> Result<Self> {
        let (w, h) = input.rgb.dimensions();
        if w == 0 || h == 0 || w > TILE_PX || h > TILE_PX {
            return Err(Error::Limit {
                field: "tile side of an op".into(),
                value: format!("{w} x {h} px"),
                limit: format!("1 to {TILE_PX} px"),
                hint: "make smaller tiles".into(),
            });
        }
        let pixels = w as usize * h as usize;
        let s = input.scores;
        if input.labels.len() != pixels || s.channels.checked_mul(s.height).and_then(|n| n.checked_mul(s.width)) != Some(s.data.len()) {
            return Err(Error::internal(format!("an op was given {} labels for {w} x {h} px, or torn score planes", input.labels.len())));
        }
        let mut end = HEADER_BYTES;
        let mut place = |bytes: usize| {
            let at = end;
            end = (at + bytes).next_multiple_of(16);
            at
        };
        let seen = &input.seen;
        let (rgb, labels) = (place(pixels * 3), place(pixels));
        let (scores, params) = (place(s.data.len() * 4), place(params * 8));
        let spread = place(seen.spread.map_or(0, |s| s.data.len() * 4));
        let (classes, seams) = (place(seen.classes.len() * CLASS_BYTES), place(seen.seams.len() * 4));
        Ok(Self { rgb, pixels, labels, scores, params, spread, classes, seams, bytes: end })
    }

    /// Writes the input into `memory` at `base`; `Err` if the block does not lie inside.
    pub fn write(&self, memory: &mut [u8], base: u32, input: &OpInput<'_>, params: &[f64]) -> std::result::Result<(), Fault> {
        let alloc = |why: &str| Fault(format!("hl_op_alloc({}) returned {base}, which {why}", self.bytes));
        if base == 0 {
            return Err(alloc("means that it has no room"));
        }
        if !base.is_multiple_of(16) {
            return Err(alloc("is not a multiple of 16"));
        }
        let start = base as usize;
        let block =
            start.checked_add(self.bytes).and_then(|end| memory.get_mut(start..end)).ok_or_else(|| alloc("lies outside its memory"))?;
        self.header(block, base, input, params.len());
        let seen = &input.seen;
        copy(block, self.rgb, input.rgb.as_raw());
        copy(block, self.labels, input.labels);
        put(block, self.scores, input.scores.data.iter().flat_map(|v| v.to_le_bytes()));
        put(block, self.params, params.iter().flat_map(|v| v.to_le_bytes()));
        put(block, self.spread, seen.spread.iter().flat_map(|s| &s.data).flat_map(|v| v.to_le_bytes()));
        put(block, self.classes, seen.classes.iter().flat_map(class_bytes));
        put(block, self.seams, seen.seams.iter().flat_map(|v| v.to_le_bytes()));
        Ok(())
    }

    /// The input structure.
    fn header(&self, block: &mut [u8], base: u32, input: &OpInput<'_>, params: usize) {
        let at = |offset: usize| base + offset as u32;
        let (w, h) = input.rgb.dimensions();
        let (s, seen) = (input.scores, &input.seen);
        let (rows, columns) = seen.spread.map_or((0, 0), |s| (s.height as u32, s.width as u32));
        let header: [u32; HEADER_BYTES / 4] = [
            HEADER_BYTES as u32,
            w,
            h,
            at(self.rgb),
            at(self.labels),
            at(self.scores),
            s.channels as u32,
            s.height as u32,
            s.width as u32,
            at(self.params),
            params as u32,
            CELL_PX,
            seen.mpp.to_bits(),
            at(self.spread),
            rows,
            columns,
            at(self.classes),
            seen.classes.len() as u32,
            CLASS_BYTES as u32,
            at(self.seams),
            seen.seams.len() as u32,
            0,
            0,
            0,
        ];
        put(block, 0, header.iter().flat_map(|v| v.to_le_bytes()));
    }

    /// The tile's pixels after the run; `None` if the op shrank what cannot shrink.
    pub fn pixels<'m>(&self, memory: &'m [u8], base: u32) -> Option<&'m [u8]> {
        let start = base as usize + self.rgb;
        memory.get(start..start + 3 * self.pixels)
    }

    /// The labels after the run, if they are of classes that the tile had.
    pub fn labels<'m>(&self, memory: &'m [u8], base: u32, before: &[u8]) -> std::result::Result<&'m [u8], Fault> {
        let start = base as usize + self.labels;
        let labels = memory.get(start..start + self.pixels).ok_or_else(|| Fault("its labels are gone".into()))?;
        match foreign(labels, before) {
            None => Ok(labels),
            Some(label) => Err(Fault(format!("it wrote the label {label}, which the tile does not have"))),
        }
    }
}

/// A class as it lies in the op's memory.
fn class_bytes(c: &RealClass) -> [u8; CLASS_BYTES] {
    let words =
        [u32::from(c.label), c.crops, c.haematoxylin.to_bits(), c.eosin.to_bits(), c.nuclei.to_bits(), c.counted, c.area_mm2.to_bits(), 0];
    let mut out = [0; CLASS_BYTES];
    out.chunks_exact_mut(4).zip(words).for_each(|(to, w)| to.copy_from_slice(&w.to_le_bytes()));
    out
}

fn copy(block: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = block.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

fn put(block: &mut [u8], at: usize, bytes: impl Iterator<Item = u8>) {
    block.get_mut(at..).unwrap_or_default().iter_mut().zip(bytes).for_each(|(to, b)| *to = b);
}

/// What an op has said so far.
#[derive(Debug, Default)]
pub struct Outbox {
    rows: u32,
    columns: u32,
    flags: Vec<OpFlag>,
    dropped: u64,
    metrics: Vec<(String, f64)>,
    /// The memory of the instance that speaks, set once it is made.
    pub memory: Option<Memory>,
}

impl Outbox {
    /// For a tile of this size.
    pub fn new(width: u32, height: u32) -> Self {
        Self { rows: height.div_ceil(CELL_PX), columns: width.div_ceil(CELL_PX), ..Self::default() }
    }

    /// Everything said, without pixels.
    pub fn finish(self) -> OpOutput {
        let mut flags = self.flags;
        if self.dropped > 0 {
            let reason = format!("The op raised {} flags more than the {FLAGS} that are kept", self.dropped);
            flags.push(OpFlag { code: CAPPED.into(), reason, cell: None });
        }
        OpOutput { rgb: None, labels: None, flags, metrics: self.metrics }
    }

    fn flag(&mut self, code: &[u8], reason: &[u8], row: i32, column: i32) -> std::result::Result<(), Fault> {
        let good = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
        let code = name(code, good).ok_or_else(|| Fault(format!("a flag's code is not 1 to {NAME_BYTES} of A-Z, 0-9 and _")))?;
        let cell = match (u32::try_from(row), u32::try_from(column)) {
            _ if row == -1 && column == -1 => None,
            (Ok(r), Ok(c)) if r < self.rows && c < self.columns => Some((r, c)),
            _ => return Err(Fault(format!("it flagged the cell ({row}, {column}) of a raster of {} x {}", self.rows, self.columns))),
        };
        let reason = sanitise(&String::from_utf8_lossy(reason), REASON_BYTES);
        self.flags.push(OpFlag { code: code.to_owned(), reason, cell });
        Ok(())
    }

    fn metric(&mut self, bytes: &[u8], value: f64) -> std::result::Result<(), Fault> {
        let good = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_';
        let name = name(bytes, good).ok_or_else(|| Fault(format!("a metric's name is not 1 to {NAME_BYTES} of a-z, 0-9 and _")))?;
        if !value.is_finite() {
            return Err(Fault(format!("its metric `{name}` is not a finite number")));
        }
        if let Some(known) = self.metrics.iter_mut().find(|(n, _)| n == name) {
            known.1 = value;
        } else if self.metrics.len() < METRICS {
            self.metrics.push((name.to_owned(), value));
        } else {
            return Err(Fault(format!("it reports more than {METRICS} metrics")));
        }
        Ok(())
    }
}

fn name(bytes: &[u8], good: impl Fn(&u8) -> bool) -> Option<&str> {
    let fits = (1..=NAME_BYTES).contains(&bytes.len()) && bytes.iter().all(good);
    std::str::from_utf8(bytes).ok().filter(|_| fits)
}

/// Text that can go into XML, HTML, CSV, a terminal or a log: control, bidirectional and invisible characters become spaces, the
/// characters that markup and quoting are made of become look-alikes, at most `limit` characters stay.
pub fn sanitise(text: &str, limit: usize) -> String {
    let clean = |c: char| match c {
        '<' => '‹',
        '>' => '›',
        '&' => '+',
        '"' => '”',
        '\'' | '`' => '’',
        '\\' => '/',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => ' ',
        '\u{e0000}'..='\u{e0fff}' | '\u{ad}' | '\u{61c}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    let clean: String = text.chars().take(limit).map(clean).collect();
    // a spreadsheet takes a cell that begins so for a formula
    clean.trim().trim_start_matches(['=', '+', '-', '@']).trim_start().to_owned()
}

type Store<'a> = Caller<'a, Guarded<Outbox>>;

/// The op's memory and what it has said so far, both borrowed: a word is read where it lies.
fn open<'a>(caller: &'a mut Store<'_>) -> wasmtime::Result<(&'a [u8], &'a mut Outbox)> {
    let memory = caller.data().inner.memory.ok_or_else(|| Fault("it exports no memory".into()))?;
    let (bytes, guarded) = memory.data_and_store_mut(caller);
    Ok((bytes, &mut guarded.inner))
}

/// The bytes at `pointer` of the op's memory, at most `most`.
fn read<'m>(memory: &'m [u8], what: &str, pointer: i32, length: i32, most: usize) -> wasmtime::Result<&'m [u8]> {
    let (pointer, length) = (pointer as u32 as usize, length as u32 as usize);
    let inside = pointer.checked_add(length).and_then(|end| memory.get(pointer..end));
    let bytes = inside.ok_or_else(|| Fault(format!("its {what} at {pointer}, {length} bytes long, lies outside its memory")))?;
    Ok(bytes.get(..length.min(most)).unwrap_or_default())
}

/// Puts the imports into a linker.
pub fn link(linker: &mut Linker<Guarded<Outbox>>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "flag",
        |mut caller: Store<'_>, code: i32, code_len: i32, reason: i32, reason_len: i32, row: i32, column: i32| -> wasmtime::Result<()> {
            let (memory, outbox) = open(&mut caller)?;
            if outbox.flags.len() >= FLAGS {
                outbox.dropped += 1;
                return Ok(());
            }
            let code = read(memory, "flag code", code, code_len, NAME_BYTES + 1)?;
            let reason = read(memory, "flag reason", reason, reason_len, REASON_BYTES)?;
            Ok(outbox.flag(code, reason, row, column)?)
        },
    )?;
    linker.func_wrap(MODULE, "metric", |mut caller: Store<'_>, name: i32, len: i32, value: f64| -> wasmtime::Result<()> {
        let (memory, outbox) = open(&mut caller)?;
        Ok(outbox.metric(read(memory, "metric name", name, len, NAME_BYTES + 1)?, value)?)
    })?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_for_markup_terminals_and_spreadsheets() {
        assert_eq!(sanitise("<script>alert('x')</script>\u{1b}[31m", 99), "‹script›alert(’x’)‹/script› [31m");
        assert_eq!(sanitise("=HYPERLINK(\"a\")", 99), "HYPERLINK(”a”)");
        assert_eq!(sanitise("a\u{202e}b\u{200b}c\n\0d", 99), "a b c  d");
        assert_eq!(sanitise("äöü", 2), "äö");
    }

    #[test]
    fn a_metric_said_twice_is_replaced_and_their_number_is_bounded() {
        let mut o = Outbox::new(64, 64);
        o.metric(b"a", 1.0).unwrap();
        o.metric(b"a", 2.0).unwrap();
        for i in 1..METRICS {
            o.metric(format!("m{i}").as_bytes(), 0.0).unwrap();
        }
        assert!(o.metric(b"one_more", 0.0).is_err());
        assert!(o.metric(b"a", f64::NAN).is_err());
        assert_eq!(o.finish().metrics[0], ("a".to_owned(), 2.0));
    }

    #[test]
    fn a_cell_outside_the_raster_is_refused() {
        let mut o = Outbox::new(65, 32);
        assert!(o.flag(b"A", b"", 0, 2).is_ok());
        for (r, c) in [(1, 0), (0, 3), (-1, 0), (0, -1), (i32::MIN, i32::MAX)] {
            assert!(o.flag(b"A", b"", r, c).is_err());
        }
        assert!(o.flag(b"A", b"", -1, -1).is_ok());
    }
}
