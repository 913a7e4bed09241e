//! The glue between an op and its host on WebAssembly: memory, the tile, and what the op says. All of it is `unsafe` underneath, and
//! stays inside the sandbox: whatever is wrong here harms the op's own memory and nothing else.

use core::arch::wasm32::{memory_grow, memory_size};
use core::slice::{from_raw_parts, from_raw_parts_mut};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::{Class, Host, Room, Tile};

#[link(wasm_import_module = "histoloom")]
extern "C" {
    #[link_name = "flag"]
    fn say_flag(code: *const u8, code_len: usize, reason: *const u8, reason_len: usize, row: i32, column: i32);
    #[link_name = "metric"]
    fn say_metric(name: *const u8, name_len: usize, value: f64);
}

/// The host outside the sandbox.
pub struct Outside;

impl Host for Outside {
    fn flag(&mut self, code: &str, reason: &str, cell: Option<(usize, usize)>) {
        let (row, column) = cell.map_or((-1, -1), |(r, c)| (r as i32, c as i32));
        // slices of ours, which the host only reads
        unsafe { say_flag(code.as_ptr(), code.len(), reason.as_ptr(), reason.len(), row, column) }
    }

    fn metric(&mut self, name: &str, value: f64) {
        // as above
        unsafe { say_metric(name.as_ptr(), name.len(), value) }
    }
}

extern "C" {
    /// Set by the linker: the first free byte.
    static __heap_base: u8;
}

/// The end of what was given away; 0 before the first time. There is one thread.
static END: AtomicUsize = AtomicUsize::new(0);

/// Room for so many bytes, at a multiple of 16; 0 where there is none. Memory grows where it may.
pub fn alloc(bytes: u32) -> u32 {
    // the address of a symbol of the linker
    let start = END.load(Relaxed).max(unsafe { &__heap_base } as *const u8 as usize);
    let at = (start + 15) & !15;
    let have = memory_size(0) << 16;
    match at.checked_add(bytes as usize) {
        Some(end) if end <= have || memory_grow(0, (end - have + 0xffff) >> 16) != usize::MAX => {
            END.store(end, Relaxed);
            at as u32
        }
        _ => 0,
    }
}

/// New memory of so many words.
pub fn words(words: usize) -> Option<&'static mut [u64]> {
    let at = alloc(u32::try_from(words.checked_mul(8)?).ok()?);
    // memory that nobody else knows of
    (at != 0).then(|| unsafe { from_raw_parts_mut(at as *mut u64, words) })
}

/// The input as the contract lays it out.
#[repr(C)]
struct Input {
    size: u32,
    width: u32,
    height: u32,
    rgb: *mut u8,
    labels: *mut u8,
    scores: *const f32,
    score_shape: [u32; 3],
    params: *const f64,
    param_count: u32,
    cell_px: u32,
    mpp: f32,
    spread: *const f32,
    spread_shape: [u32; 2],
    classes: *const Class,
    class_count: u32,
    class_bytes: u32,
    seams: *const u32,
    seam_count: u32,
    reserved: [u32; 3],
}

/// The tile behind the pointer that the host gives.
///
/// # Safety
/// `input` is the block that `hl_op_alloc` returned, filled in as the contract says, and nobody else uses it.
pub unsafe fn tile(input: u32) -> Tile<'static> {
    let i = &*(input as *const Input);
    let (width, height) = (i.width as usize, i.height as usize);
    let pixels = width * height;
    let [planes, rows, columns] = i.score_shape.map(|n| n as usize);
    let [spread_rows, spread_columns] = i.spread_shape.map(|n| n as usize);
    Tile {
        width,
        height,
        rgb: from_raw_parts_mut(i.rgb, 3 * pixels),
        labels: from_raw_parts_mut(i.labels, pixels),
        scores: from_raw_parts(i.scores, planes * rows * columns),
        score_shape: [planes, rows, columns],
        params: from_raw_parts(i.params, i.param_count as usize),
        cell_px: i.cell_px as usize,
        mpp: i.mpp,
        spread: from_raw_parts(i.spread, spread_rows * spread_columns),
        spread_shape: [spread_rows, spread_columns],
        classes: from_raw_parts(i.classes, i.class_count as usize),
        seams: from_raw_parts(i.seams, i.seam_count as usize),
        room: Room::new(&mut []),
    }
}
