//! A run that goes on from a cache: a small drawn slide, an encoder of mean colours, and records that say anything.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use histoloom_core::params::{self, Cluster};
use histoloom_core::semantic_map::{SemanticMap, run};
use histoloom_core::slide::{Mpp, Region, SlideInfo};
use histoloom_core::{Encoder, Error, Job, Planes, Result, TileSource};
use image::{Rgb, RgbImage};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::bytes::Bytes;
use crate::map::has;

/// Side of the slide and of the glass around its tissue, in pixels.
const SIDE_PX: i64 = 192;
const GLASS_PX: i64 = 16;
/// Side of a cell in pixels.
const CELL_PX: u32 = 16;

/// Glass around two tissues.
struct Drawn(SlideInfo);

impl TileSource for Drawn {
    fn info(&self) -> &SlideInfo {
        &self.0
    }

    fn read(&self, r: &Region) -> Result<RgbImage> {
        let at = |from: i64, i: u32| from + (f64::from(i) * r.downsample) as i64;
        Ok(RgbImage::from_fn(r.width_px, r.height_px, |x, y| Rgb(paint(at(r.x, x), at(r.y, y)))))
    }
}

fn paint(x: i64, y: i64) -> [u8; 3] {
    let tissue = GLASS_PX..SIDE_PX - GLASS_PX;
    match (x % 8 < 4) ^ (y % 8 < 4) {
        _ if !tissue.contains(&x) || !tissue.contains(&y) => [241, 238, 242],
        checks if x < SIDE_PX / 2 => [[70, 40, 120], [110, 70, 150]][usize::from(checks)],
        checks => [[205, 90, 150], [240, 205, 225]][usize::from(checks)],
    }
}

/// The mean colour of each cell.
struct Mean;

impl Encoder for Mean {
    fn id(&self) -> &str {
        "mean"
    }

    fn sha256(&self) -> &str {
        "00"
    }

    fn channels(&self) -> usize {
        3
    }

    fn stride_px(&self) -> u32 {
        CELL_PX
    }

    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        windows.iter().map(colours).collect()
    }
}

fn colours(picture: &RgbImage) -> Result<Planes> {
    let (rows, columns) = ((picture.height() / CELL_PX) as usize, (picture.width() / CELL_PX) as usize);
    let mut out = vec![0.0; 3 * rows * columns];
    for (x, y, p) in picture.enumerate_pixels() {
        let cell = (y / CELL_PX) as usize * columns + (x / CELL_PX) as usize;
        (0..3).for_each(|c| out[c * rows * columns + cell] += f32::from(p.0[c]) / 256.0);
    }
    Planes::new(3, rows, columns, out)
}

/// A run with its cache in a folder.
fn mapped(dir: &Path) -> Result<SemanticMap> {
    let side = SIDE_PX as u64;
    let (downsamples, mpp) = (vec![1.0], Some(Mpp::new(0.5)?));
    let info = SlideInfo { name: String::new(), id: "drawn".into(), width_px: side, height_px: side, downsamples, mpp, origin_px: (0, 0) };
    let p: Cluster = params::parse(&json!({"k": 2, "cache_dir": dir, "threads": 1, "force": true, "min_region_um2": 0}).to_string())?;
    run(&Drawn(info), &Mean, &p, &Job::new())
}

/// Name of the cache that such a run makes, and its first record, which is the key.
static CACHE: LazyLock<(String, Vec<u8>)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    mapped(dir.path()).expect("a map");
    let file = fs::read_dir(dir.path()).expect("a folder").next().expect("a cache").expect("a file");
    let all = fs::read(file.path()).expect("a file");
    let length = u32::from_le_bytes(*all[12..].first_chunk().expect("4 bytes")) as usize;
    (file.file_name().into_string().expect("UTF-8"), all[..24 + length].to_vec())
});

/// The bytes: records, each of a kind (1 byte), a number (4), and a piece.
pub fn resumed(dir: &Path, bytes: &[u8]) {
    let (name, mut file) = CACHE.clone();
    let mut b = Bytes::new(bytes);
    while !b.is_empty() {
        let (kind, number, content) = (u32::from(b.byte()), b.number(4) as u32, b.piece());
        let head = [kind, number, content.len() as u32].map(u32::to_le_bytes).concat();
        let sum = Sha256::new_with_prefix(&head).chain_update(content).finalize();
        file.extend([b"HLR1", &head[..], &sum[..8], content].concat());
    }
    fs::write(dir.join(name), file).expect("a file");
    match mapped(dir) {
        Ok(map) => {
            assert!(
                has(&map, &map.labels) && map.classes.iter().all(|c| c.area_um2.is_finite() && c.share.is_finite()),
                "{:?}",
                map.classes
            );
            assert!(map.bank.rows.iter().all(|v| v.is_finite()), "the bank holds what is no number");
        }
        Err(e) => assert!(matches!(e, Error::File { .. } | Error::Slide { .. } | Error::Parameter { .. }), "{e}"),
    }
}
