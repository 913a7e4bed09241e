//! The labels for other viewers, as two TIFF pyramids, because no single file serves all. In: a map. Out: bytes into a writer.
//! Grey value = label, 0 = background. Units: micrometres a pixel. Fails where writing does.
//!
//! | file | for | pixel |
//! |---|---|---|
//! | `labels_likelihood_map.tif` | ASAP, OpenSlide | a whole number of level-0 pixels |
//! | `labels.ome.tif` | QuPath, Bio-Formats, napari | one cell |
//!
//! ASAP loads the first by itself when it lies beside the slide as `<slide>_likelihood_map.tif`. It divides the slide's width by
//! the picture's, and the heights, as integers; it refuses the picture if the two differ and otherwise scales by that number. A
//! cell may be 32.13 px wide, and slides seldom end with a whole cell. So a pixel of that file is the greatest whole number of
//! level-0 pixels that is not above the cell and gives the same quotient both ways, and it shows the cell at its middle. The
//! picture has `floor(slide / pixel)` pixels: the strip of less than one pixel beyond them is not shown (one more pixel, and the
//! quotient would be wrong everywhere). Where the map ends before the slide does, the rest is background.

use std::io::{self, Seek, Write};

use super::tiff_pyramid::{self, Levels, Raster, Text};
use super::{picture, xml};
use crate::semantic_map::SemanticMap;

/// What wrote a file, and what its labels are.
pub(super) fn software(map: &SemanticMap) -> String {
    format!("histoloom {} (label: {})", env!("CARGO_PKG_VERSION"), map.kind())
}

/// What either file says of itself. ASAP and OpenSlide choose another reader for a description that holds `xml` or `DICOM`.
fn about(map: &SemanticMap) -> String {
    format!("Label map. Grey value = label: {}; 0 = background.", map.kind())
}

/// The pyramid for ASAP and OpenSlide.
pub(super) fn likelihood_map<W: Write + Seek>(map: &SemanticMap, out: &mut W) -> io::Result<()> {
    let slide = slide_px(map);
    let step = pixel_px(slide, map.cell_px);
    let cells = |side_px: u64, cells: usize| {
        let at = |pixel: u64| ((pixel as f64 + 0.5) * step as f64 / map.cell_px) as usize;
        (0..side_px / step).map(|pixel| Some(at(pixel)).filter(|cell| *cell < cells)).collect()
    };
    let raster =
        Raster { labels: &map.labels, stride: map.columns, columns: cells(slide[0], map.columns), rows: cells(slide[1], map.rows) };
    let description = format!("{} One pixel = {step} level-0 pixels.", about(map));
    let text = Text { description: &description, software: &software(map), pixel_um: step as f64 * map.mpp };
    tiff_pyramid::write(out, &raster, &text, Levels::Chained)
}

/// The pyramid for QuPath, Bio-Formats and napari.
pub(super) fn ome<W: Write + Seek>(map: &SemanticMap, out: &mut W) -> io::Result<()> {
    let raster = Raster {
        labels: &map.labels,
        stride: map.columns,
        columns: (0..map.columns).map(Some).collect(),
        rows: (0..map.rows).map(Some).collect(),
    };
    let pixel_um = map.cell_px * map.mpp;
    tiff_pyramid::write(out, &raster, &Text { description: &ome_xml(map, pixel_um), software: &software(map), pixel_um }, Levels::Below)
}

/// OME-XML of one plane. ASCII alone, as the tag is.
fn ome_xml(map: &SemanticMap, pixel_um: f64) -> String {
    const SCHEMA: &str = "http://www.openmicroscopy.org/Schemas/OME/2016-06";
    let (creator, width, height) = (xml::escaped(&software(map)), map.columns, map.rows);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <OME xmlns=\"{SCHEMA}\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:schemaLocation=\"{SCHEMA} {SCHEMA}/ome.xsd\" Creator=\"{creator}\">\
         <Image ID=\"Image:0\" Name=\"label map\"><Description>{} One pixel = {} level-0 pixels.</Description>\
         <Pixels ID=\"Pixels:0\" DimensionOrder=\"XYCZT\" Type=\"uint8\" BigEndian=\"false\" SizeX=\"{width}\" SizeY=\"{height}\" \
         SizeC=\"1\" SizeZ=\"1\" SizeT=\"1\" PhysicalSizeX=\"{pixel_um}\" PhysicalSizeXUnit=\"&#181;m\" \
         PhysicalSizeY=\"{pixel_um}\" PhysicalSizeYUnit=\"&#181;m\">\
         <Channel ID=\"Channel:0:0\" Name=\"label\" SamplesPerPixel=\"1\"/><TiffData IFD=\"0\" PlaneCount=\"1\"/>\
         </Pixels></Image></OME>",
        about(map),
        map.cell_px
    )
}

/// Width and height of the slide in level-0 pixels; the map's own extent where the provenance does not tell.
fn slide_px(map: &SemanticMap) -> [u64; 2] {
    let (across, down) = picture::extent(map);
    [across, down].map(|cells| ((cells * map.cell_px).round() as u64).max(1))
}

/// Side of a pixel for ASAP, in level-0 pixels.
fn pixel_px(slide: [u64; 2], cell_px: f64) -> u64 {
    let same = |step: &u64| slide.iter().all(|side| (side / (side / step).max(1)) == *step);
    // a cell of 15.999 999 999 px is one of 16
    (1..=(cell_px + 1e-6) as u64).rev().find(same).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asap_finds_the_same_whole_ratio_both_ways() {
        assert_eq!(pixel_px([2220, 2967], 16.032), 16);
        assert_eq!(pixel_px([100_000, 80_000], 32.13), 32);
        assert_eq!(pixel_px([1600, 3200], 15.999_999_999), 16);
        // 2220 px hold 34 pixels of 64, and 2220 / 34 is 65
        assert_eq!(pixel_px([2220, 2967], 64.0), 63);
        for (slide, cell_px) in [([10, 7], 16.0), ([1, 1], 3.0), ([7, 100_000], 31.9), ([2_000_000, 3], 0.4), ([997, 1009], 8.5)] {
            let step = pixel_px(slide, cell_px);
            assert_eq!(slide.map(|side| side / (side / step)), [step; 2], "{slide:?} {cell_px}");
        }
    }
}
