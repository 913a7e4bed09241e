//! What the tests over the whole workspace share: where things are, running a program, and slides made for a test.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expected")]

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The folder with the library and the command that cargo built for this very test.
pub fn library_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("a test binary");
    let deps = exe.parent().expect("target/*/deps");
    let found = [deps, deps.parent().expect("target/*")].into_iter().find(|d| d.join("libhistoloom.so").is_file());
    found.expect("libhistoloom.so beside the tests").to_owned()
}

/// Runs a program that must succeed.
pub fn run(command: &mut Command) -> Output {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}: {}\n{said}\n{errors}", out.status);
    out
}

/// The `histoloom` command, which must have been built (`cargo build --workspace`), on the library built for this test.
pub fn histoloom() -> Command {
    let dir = library_dir();
    let found = [dir.join("histoloom"), dir.join("../histoloom")].into_iter().find(|c| c.is_file());
    let mut command = Command::new(found.expect("target/*/histoloom: run `cargo build --workspace` first"));
    command.env("HISTOLOOM_LIBRARY", dir.join("libhistoloom.so")).env_remove("HISTOLOOM_MODELS");
    command
}

/// The slide that ships.
pub fn sample() -> PathBuf {
    root().join("viewer-bridge/data/CMU-1-Small-Region.svs")
}

/// A QuPath annotation around a square of the sample slide, so that a test takes seconds; written into `dir`.
pub fn region(dir: &Path) -> PathBuf {
    let path = dir.join("roi.geojson");
    let ring = "[[600, 900], [1500, 900], [1500, 1800], [600, 1800], [600, 900]]";
    let text = format!(r#"{{"type": "Feature", "geometry": {{"type": "Polygon", "coordinates": [{ring}]}}, "properties": {{}}}}"#);
    std::fs::write(&path, text).expect("writable");
    path
}

/// Side of a tile of a TIFF.
const TILE_PX: u32 = 256;

/// An uncompressed tiled RGB TIFF without a resolution, which OpenSlide reads as a generic slide.
pub fn tiled_tiff(path: &Path, width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) {
    write_tiff(path, &[(width, height)], pixel);
}

/// The same as a pyramid, `side` x `side` px halved until a level fits one tile.
pub fn pyramid_tiff(path: &Path, side: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) {
    let levels: Vec<_> = (0..).map(|level| side >> level).take_while(|side| *side >= TILE_PX).map(|side| (side, side)).collect();
    write_tiff(path, &levels, pixel);
}

/// Levels (width, height), each half the one before, written tile by tile.
fn write_tiff(path: &Path, levels: &[(u32, u32)], pixel: impl Fn(u32, u32) -> [u8; 3]) {
    let mut out = BufWriter::new(std::fs::File::create(path).expect("writable"));
    let bytes = TILE_PX * TILE_PX * 3;
    let mut put = |bytes: &[u8]| out.write_all(bytes).expect("written");
    put(b"II*\0\x08\0\0\0");
    let mut at = 8u32;
    for (level, (width, height)) in levels.iter().enumerate() {
        let across = width.div_ceil(TILE_PX);
        let n = across * height.div_ceil(TILE_PX);
        let bits = at + 2 + 12 * 12 + 4; // after the directory
        let (offsets, counts) = (bits + 6, bits + 6 + 4 * n);
        let data = counts + 4 * n;
        let table = |at: u32, first: u32| if n == 1 { first } else { at };
        let directory: [(u16, u16, u32, u32); 12] = [
            (254, 4, 1, u32::from(level > 0)),
            (256, 4, 1, *width),
            (257, 4, 1, *height),
            (258, 3, 3, bits),
            (259, 3, 1, 1),
            (262, 3, 1, 2),
            (277, 3, 1, 3),
            (284, 3, 1, 1),
            (322, 4, 1, TILE_PX),
            (323, 4, 1, TILE_PX),
            (324, 4, n, table(offsets, data)),
            (325, 4, n, table(counts, bytes)),
        ];
        put(&12u16.to_le_bytes());
        for (tag, kind, count, value) in directory {
            put(&[&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat());
        }
        at = data + n * bytes;
        put(&if level + 1 < levels.len() { at } else { 0 }.to_le_bytes());
        put(&[8, 0, 8, 0, 8, 0]);
        (0..n).for_each(|i| put(&(data + i * bytes).to_le_bytes()));
        (0..n).for_each(|_| put(&bytes.to_le_bytes()));
        for i in 0..n {
            let (x0, y0) = (i % across * TILE_PX, i / across * TILE_PX);
            let tile: Vec<u8> =
                (0..TILE_PX * TILE_PX).flat_map(|j| pixel((x0 + j % TILE_PX) << level, (y0 + j / TILE_PX) << level)).collect();
            put(&tile);
        }
    }
}

/// A vision transformer's file as timm names its tensors: patches of 14 px, one block, values of no meaning (the same at every call).
pub fn small_vit(path: &Path) {
    let (width, patch, positions) = (32usize, 14usize, 1 + 4 * 4);
    let tensors: Vec<(&str, Vec<usize>)> = vec![
        ("cls_token", vec![1, 1, width]),
        ("pos_embed", vec![1, positions, width]),
        ("patch_embed.proj.weight", vec![width, 3, patch, patch]),
        ("patch_embed.proj.bias", vec![width]),
        ("blocks.0.attn.qkv.weight", vec![3 * width, width]),
        ("blocks.0.attn.qkv.bias", vec![3 * width]),
        ("blocks.0.attn.proj.weight", vec![width, width]),
        ("blocks.0.attn.proj.bias", vec![width]),
        ("blocks.0.mlp.fc1.weight", vec![2 * width, width]),
        ("blocks.0.mlp.fc1.bias", vec![2 * width]),
        ("blocks.0.mlp.fc2.weight", vec![width, 2 * width]),
        ("blocks.0.mlp.fc2.bias", vec![width]),
        ("blocks.0.norm1.weight", vec![width]),
        ("blocks.0.norm1.bias", vec![width]),
        ("blocks.0.norm2.weight", vec![width]),
        ("blocks.0.norm2.bias", vec![width]),
        ("norm.weight", vec![width]),
        ("norm.bias", vec![width]),
    ];
    let (mut entries, mut data, mut state) = (Vec::new(), Vec::<u8>::new(), 1u32);
    for (name, shape) in tensors {
        let (count, from) = (shape.iter().product::<usize>(), data.len());
        let fan = (count / shape[0]).max(1) as f32;
        for _ in 0..count {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / 8_388_608.0 - 1.0; // -1..1
            let value = if name.ends_with("norm.weight") || name.contains("norm1.w") || name.contains("norm2.w") {
                1.0
            } else {
                noise / fan.sqrt()
            };
            data.extend(value.to_le_bytes());
        }
        entries.push(format!(r#""{name}": {{"dtype": "F32", "shape": {shape:?}, "data_offsets": [{from}, {}]}}"#, data.len()));
    }
    let mut header = format!("{{{}}}", entries.join(", ")).into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    std::fs::write(path, [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()).expect("writable");
}
