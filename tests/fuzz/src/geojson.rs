//! Annotations as QuPath exports them, painted over a map; and the same text as the regions of a job's parameters.

use std::sync::LazyLock;

use histoloom_core::condition::Places;
use histoloom_core::condition::layout::annotated::Annotations;
use histoloom_core::condition::layout::{Layouts, Source};
use histoloom_core::params::{self, Cluster};
use histoloom_core::semantic_map::SemanticMap;
use histoloom_core::tiles::{Grid, Roi};
use histoloom_core::{Error, Job};

use crate::map;

/// Side of the tile in pixels.
const SIDE_PX: u32 = 128;
static MAP: LazyLock<SemanticMap> = LazyLock::new(map::map);

/// The bytes are the text.
pub fn geojson(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    painted(text);
    region(text);
}

fn painted(text: &str) {
    let annotations = match Annotations::read(text, &MAP) {
        Ok(annotations) => annotations,
        Err(e) => return assert!(matches!(e, Error::Parameter { .. } | Error::Limit { .. }), "{e}"),
    };
    assert!(annotations.middle().iter().all(|v| v.is_finite()), "{:?}", annotations.middle());
    let side = SIDE_PX as usize;
    let mut labels = vec![0; side * side];
    let everywhere = Places::new(&MAP, SIDE_PX).expect("tissue").choose(1, 0);
    let painted = annotations.paint(&mut labels, side, &everywhere);
    assert!(map::has(&MAP, &labels) && (painted > 0 || labels.iter().all(|l| *l == 0)));
    for source in [Source::Anywhere, Source::At([64.0, 64.0])] {
        match Layouts::new(&MAP, source, Some(annotations.clone()), SIDE_PX).and_then(|l| l.of(1, 0)) {
            Ok(layout) => {
                assert!(layout.labels.len() == side * side && map::has(&MAP, &layout.labels) && map::has(&MAP, &layout.latent_labels));
            }
            Err(e) => assert!(matches!(e, Error::Parameter { .. }), "{e}"),
        }
    }
}

fn region(text: &str) {
    let Ok(p) = params::parse::<Cluster>(&format!(r#"{{"roi": {text}}}"#)) else { return };
    let grid = Grid { rows: 40, columns: 30, stride_px: 16, downsample: 1.0 };
    let inside = Roi(p.roi.as_deref().unwrap_or_default()).cells(&grid, &Job::new()).expect("nobody cancels");
    assert_eq!(inside.len(), grid.cells());
}
