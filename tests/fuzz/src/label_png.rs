//! A drawing of labels. Checksums of chunks are put right first, so that what is behind them is reached.

use std::sync::LazyLock;

use histoloom_core::condition::layout::drawn::{Drawing, grey_png};
use histoloom_core::semantic_map::SemanticMap;
use histoloom_core::{Error, limits};

use crate::map;

static MAP: LazyLock<SemanticMap> = LazyLock::new(map::map);

/// The bytes are the PNG.
pub fn label_png(data: &[u8]) {
    let bytes = mended(data);
    let refused = |e: Error| assert!(matches!(e, Error::Parameter { .. } | Error::Limit { .. }), "{e}");
    match grey_png("mask", &bytes) {
        Ok(grey) => {
            assert_eq!(grey.values.len(), grey.width as usize * grey.height as usize);
            assert!((1..=limits::TILE_PX).contains(&grey.width) && (1..=limits::TILE_PX).contains(&grey.height));
        }
        Err(e) => return refused(e),
    }
    match Drawing::read(&bytes, &MAP) {
        Ok(d) => {
            assert!((128..=limits::TILE_PX).contains(&d.side_px) && d.side_px % 32 == 0);
            assert!(d.labels.len() == (d.side_px as usize).pow(2) && map::has(&MAP, &d.labels));
        }
        Err(e) => refused(e),
    }
}

/// A PNG whose chunks have the checksums of what they hold.
pub fn mended(png: &[u8]) -> Vec<u8> {
    let mut out = png.to_vec();
    let mut at = 8;
    while let Some(length) = out.get(at..at + 4) {
        let length = length.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
        let Some(sum) = out.get(at + 4..at + 8 + length).map(crc32) else { break };
        let end = at + 8 + length;
        if let Some(to) = out.get_mut(end..end + 4) {
            to.copy_from_slice(&sum.to_be_bytes());
        }
        at = end + 4;
    }
    out
}

/// The checksum of PNG (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |n: u32, _| if n & 1 == 1 { 0xEDB8_8320 ^ n >> 1 } else { n >> 1 };
    !bytes.iter().fold(u32::MAX, |n, b| (0..8).fold(n ^ u32::from(*b), bit))
}
