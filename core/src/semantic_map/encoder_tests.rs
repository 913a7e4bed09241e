//! What an encoder of the user's promises: its stride is no multiple of anything else's, and all that is made from the map still fits.

use super::tests::{Simple, features, params, slide, three_tissues};
use super::*;
use crate::synth::fakes::{Colors, Follow, Pooling};
use crate::{Encoder, Job, Planes, Result, condition, export, synth};

/// The encoder of the other tests at another stride.
struct Strided(u32);

impl Encoder for Strided {
    fn id(&self) -> &str {
        "strided"
    }

    fn sha256(&self) -> &str {
        "14"
    }

    fn licence(&self) -> &str {
        "CC-BY-NC-ND-4.0"
    }

    fn channels(&self) -> usize {
        5
    }

    fn stride_px(&self) -> u32 {
        self.0
    }

    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        Ok(windows.iter().map(|w| features(w, self.0 as usize)).collect())
    }
}

fn map(stride_px: u32, bank: &dyn Encoder) -> SemanticMap {
    let p = params(r#"{"k": 3, "encoder": "/home/someone/uni", "crops_per_class": 4}"#);
    run_with(&slide(three_tissues), Encoders { classes: &Strided(stride_px), bank }, &p, &Job::new()).unwrap()
}

/// Left edge, right edge and a point of each tissue of the slide.
const TISSUES: [(f64, f64, f64); 3] = [(96.0, 448.0, 300.0), (448.0, 832.0, 640.0), (832.0, 1184.0, 1000.0)];

fn label(m: &SemanticMap, x: f64, y: f64) -> u8 {
    m.labels[(y / m.cell_px) as usize * m.columns + (x / m.cell_px) as usize]
}

#[test]
fn cells_of_any_stride_are_labelled_where_they_lie_and_crops_keep_their_size() {
    for stride in [8, 14, 20, 28] {
        let m = map(stride, &Simple);
        let px = f64::from(stride);
        assert_eq!((m.columns, m.rows, m.cell_px), ((1279.0 / px).ceil() as usize, (959.0 / px).ceil() as usize, px));
        for (left, right, point) in TISSUES {
            let class = label(&m, point, 300.0);
            let (first, end) = ((left / px).ceil() as usize + 1, (right / px) as usize - 1);
            let rows = (96.0 / px).ceil() as usize + 1..(864.0 / px) as usize - 1;
            let wrong = rows.flat_map(|r| (first..end).map(move |c| (r, c))).filter(|(r, c)| m.labels[r * m.columns + c] != class);
            assert_eq!(wrong.count(), 0, "stride {stride}: a cell well inside the tissue at {point}");
            let crops: Vec<&Crop> = m.crops.iter().filter(|c| c.class == class).collect();
            assert_eq!(crops.len(), 4, "stride {stride}");
            for c in crops {
                assert_eq!(c.rgb.dimensions(), (128, 128), "16 latents of 8 px whatever the stride");
                assert_eq!(c.rgb.get_pixel(5, 9).0, three_tissues(c.x + 5, c.y + 9));
                let inside = (0..96 * 96).filter(|i| {
                    let (x, y) = (c.x as f64 + 16.0 + f64::from(i % 96), c.y as f64 + 16.0 + f64::from(i / 96));
                    (left..right).contains(&x) && (96.0..864.0).contains(&y)
                });
                // 80 % by cells; a cell that lies on the tissue's edge counts whole, of which half a cell may lie beyond
                assert!(inside.count() as f64 >= (0.8 * 96.0 - px / 2.0) * 96.0, "stride {stride}: a crop at {}, {}", c.x, c.y);
            }
        }
    }
}

#[test]
fn the_bank_is_that_of_the_default_encoder_and_both_are_told() {
    let m = map(14, &Simple);
    let own = run(&slide(three_tissues), &Simple, &params(r#"{"k": 3}"#), &Job::new()).unwrap();
    assert_eq!((m.bank.channels, m.bank.rows.len()), (5, 5 * m.bank.classes.len()));
    for (_, _, point) in TISSUES {
        let mean = |map: &SemanticMap| {
            let class = label(map, point, 300.0);
            let rows: Vec<&[f32]> = map.bank.rows.chunks(5).zip(&map.bank.classes).filter(|(_, c)| **c == class).map(|(r, _)| r).collect();
            assert_eq!(rows.len(), 48, "tissue at {point}");
            [0, 1, 2, 3, 4].map(|i| rows.iter().map(|r| r[i]).sum::<f32>() / 48.0)
        };
        let (a, b) = (mean(&m), mean(&own));
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.3), "tissue at {point}: {a:?} and {b:?}");
    }
    let p = &m.provenance;
    let told = |key: &str| [&p[key]["id"], &p[key]["sha256"], &p[key]["licence"]].map(|v| v.as_str().unwrap_or("none").to_owned());
    assert_eq!(
        (told("encoder"), told("bank_encoder")),
        (["strided", "14", "CC-BY-NC-ND-4.0"].map(Into::into), ["simple", "00", ""].map(Into::into))
    );
    assert_eq!((p["encoder"]["stride_px"].as_u64(), p["parameters"]["encoder"].as_str()), (Some(14), Some("strided")));
    assert!(!p.to_string().contains("someone"));
    // a split cannot tell such rows apart by the hierarchy: none is moved by numbers of another encoder
    let split = m.classes.iter().find_map(|c| edit::edited(&m, 0, &[edit::Edit::Split(c.id)]).ok());
    assert!(split.is_none_or(|s| s.bank == m.bank));
}

#[test]
fn files_and_tiles_of_such_a_map_lie_where_the_tissue_lies() {
    let m = map(14, &Colors);
    let dir = tempfile::tempdir().unwrap();
    export::write_map(dir.path(), &m).unwrap();
    let read = export::read_map(dir.path()).unwrap();
    assert!(read.labels == m.labels && read.crops == m.crops && read.bank == m.bank && read.tree == m.tree && read.classes == m.classes);
    assert_eq!((&read.provenance["encoder"], &read.provenance["bank_encoder"]), (&m.provenance["encoder"], &m.provenance["bank_encoder"]));
    // outlines reach as far as the tissue, in level-0 pixels: 1184 px, to the cell
    let outlines: serde_json::Value = serde_json::from_str(&export::geojson(&m)).unwrap();
    let mut far = 0.0f64;
    let mut all = vec![&outlines["features"]];
    while let Some(v) = all.pop() {
        match v {
            serde_json::Value::Array(list) => match list[..] {
                [ref x, ref y] if x.is_number() && y.is_number() => far = far.max(x.as_f64().unwrap()),
                _ => all.extend(list),
            },
            serde_json::Value::Object(o) => all.extend(o.get("geometry").into_iter().chain(o.get("coordinates"))),
            _ => {}
        }
    }
    assert!((far - 1184.0).abs() <= 28.0, "outlines reach to {far} px");

    let follow = Follow::default();
    let nets = synth::Nets::new(&Pooling, &follow, &Colors).on("cpu (test)");
    let p: crate::params::Synth = crate::params::parse(r#"{"n": 3, "steps": 3, "size_px": 128, "ops": [], "refine": false}"#).unwrap();
    let mut tiles = Vec::new();
    synth::run(&m, &nets, &[], &p, &Job::new(), &mut |t| {
        tiles.push(t);
        Ok(())
    })
    .unwrap();
    for t in &tiles {
        let (x0, y0) = (t.provenance["place"]["x"].as_f64().unwrap(), t.provenance["place"]["y"].as_f64().unwrap());
        assert_eq!(t.provenance["place"]["side_px"].as_f64().map(f64::round), Some(128.0), "as many micrometres as asked for");
        let agree = (0..128 * 128usize).filter(|i| {
            let (x, y) = (x0 + (i % 128) as f64 + 0.5, y0 + (i / 128) as f64 + 0.5);
            x < 0.0 || y < 0.0 || x >= m.columns as f64 * 14.0 || y >= m.rows as f64 * 14.0 || t.labels[*i] == label(&m, x, y)
        });
        assert!(agree.count() as f64 > 0.97 * 128.0 * 128.0, "tile {}: labels are those of its place", t.index);
        assert!(t.flags.flags.iter().all(|f| f.code != "NOT_SCORED"), "judged by the bank: {:?}", t.flags.flags);
        assert_eq!(t.rgb.dimensions(), (128, 128));
    }
    assert_eq!((tiles.len(), m.bank.channels), (3, condition::TEXTURE));
}
