//! The pipeline from slide to map.

use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::exemplars::Labelled;
use super::legend::legend;
use super::regularise::{Evidence, cells_of};
use super::smooth::{change, depths, is_deep, smooth};
use super::{Bank, Class, SemanticMap, Tree, bank, palette::palette, picture::picture};
use crate::atlas::{self, Assigned, Atlas, EncoderOf, Sample, SampledSlide};
use crate::cluster::{Classes, Hierarchy, Rows, choice};
use crate::embed::{Embedding, embed_slide};
use crate::export::read_atlas;
use crate::params::{self, Cluster};
use crate::slide::Scale;
use crate::tiles::{Glass, Grid, Roi, Survey, Wanted, survey, thumbnail};
use crate::{Encoder, Error, Job, Result, TileSource, limits};

/// The centroids are fitted on cells away from the glass if these are at least this share of the tissue, else on all.
const INTERIOR_SHARE: f64 = 0.3;
/// Share of these cells that is used, those with the sharpest changes left out: where two tissues meet, the neighbourhood's mean is a
/// mixture, and mixtures would become classes of their own.
const EVEN_SHARE: f64 = 0.8;
/// Most cells the centroids are fitted on; beyond it every n-th is taken.
const FIT_ROWS: usize = 200_000;

/// Resolution above which a cell of 16 px is wider than 16 um.
const COARSE_MPP: f64 = 1.0;

/// The encoders of a map.
#[derive(Clone, Copy)]
pub struct Encoders<'a> {
    /// Its embeddings become classes; any stride.
    pub classes: &'a dyn Encoder,
    /// Its embeddings make the bank: the one that tiles are conditioned on and judged by.
    pub bank: &'a dyn Encoder,
}

impl Encoders<'_> {
    /// Whether one encoder does both.
    fn one(&self) -> bool {
        self.classes.sha256() == self.bank.sha256()
    }
}

/// Clusters a slide into a map of `params.k` tissue classes with one encoder.
pub fn run(source: &dyn TileSource, encoder: &dyn Encoder, params: &Cluster, job: &Job) -> Result<SemanticMap> {
    run_with(source, Encoders { classes: encoder, bank: encoder }, params, job)
}

/// Clusters a slide into a map of `params.k` tissue classes.
pub fn run_with(source: &dyn TileSource, encoders: Encoders<'_>, params: &Cluster, job: &Job) -> Result<SemanticMap> {
    job.check()?;
    if params.k != params::AUTO && !(2..=limits::CLASSES).contains(&params.k) {
        return Err(Error::parameter("k", format!("{} is not from 2 to {}", params.k, limits::CLASSES), "8 is a good start, 0 chooses"));
    }
    crate::pool::pool(params.threads)?.install(|| Run::start(source, encoders, params, job)?.finish())
}

/// At most `rows` rows of what [`run`] would fit classes on, for an atlas.
pub fn sample(source: &dyn TileSource, encoder: &dyn Encoder, params: &Cluster, rows: usize, job: &Job) -> Result<Sample> {
    job.check()?;
    crate::pool::pool(params.threads)?
        .install(|| Run::start(source, Encoders { classes: encoder, bank: encoder }, params, job)?.sampled(rows))
}

/// What every step needs.
struct Run<'a> {
    source: &'a dyn TileSource,
    encoders: Encoders<'a>,
    params: &'a Cluster,
    job: &'a Job,
    atlas: Option<Atlas>,
    scale: Scale,
    grid: Grid,
    glass: Glass,
    survey: Survey,
    least_cells: usize,
    thumbnail: image::RgbImage,
}

impl<'a> Run<'a> {
    /// Looks at the slide: resolution, stain, tissue.
    fn start(source: &'a dyn TileSource, encoders: Encoders<'a>, params: &'a Cluster, job: &'a Job) -> Result<Self> {
        let info = source.info();
        info.check()?;
        let atlas = params.atlas.as_ref().map(|path| read_atlas(Path::new(path))).transpose()?;
        if let Some(atlas) = &atlas {
            atlas.check_encoder(encoders.classes)?;
            atlas.hierarchy.cut(atlas.k_or_own(params.k))?;
        }
        let scale = Scale::new(info.mpp_or(params.mpp)?);
        atlas.as_ref().and_then(|a| a.doubt(scale.work_mpp)).into_iter().for_each(|doubt| job.note(doubt));
        let grid = Grid::new(info, &scale, encoders.classes.stride_px())?;
        let thumbnail = thumbnail(source)?;
        let glass = Glass::of(&thumbnail);
        if let Some(why) = glass.not_he(&thumbnail) {
            if !params.force {
                return Err(info.error(why, "this method is made for H&E; set `force` to go on all the same"));
            }
            job.note(format!("went on by `force` although {why}"));
        }
        let least_cells = cells_of(params.min_region_um2, grid.cell_px() * scale.mpp);
        let wanted = Wanted { roi: params.roi.as_deref().map(Roi), island_cells: least_cells, artefacts: params.artefacts };
        let survey = survey(source, &grid, &glass, &wanted, job)?;
        job.publish(picture(&grid, &survey.tissue.iter().map(|t| u8::from(*t)).collect::<Vec<_>>(), &[[153; 3]]));
        Ok(Self { source, encoders, params, job, atlas, scale, grid, glass, survey, least_cells, thumbnail })
    }

    /// Embeds, clusters and dresses the map.
    fn finish(self) -> Result<SemanticMap> {
        let embedding = embed_slide(self.source, self.encoders.classes, &self.grid, &self.survey.tissue, self.job)?;
        let depth = depths(&self.grid, &self.survey.tissue);
        let smoothed = smooth(&embedding, &self.grid, &depth);
        let (labels, tree, k) = self.labels(&embedding, &smoothed, &depth)?;
        let mut classes = legend(&labels, self.grid.cell_px() * self.scale.mpp);
        let assigned = self.atlas.as_ref().map(|atlas| self.assigned(atlas, k, &smoothed, &mut classes)).transpose()?;
        if self.scale.work_mpp > COARSE_MPP {
            self.job.note(format!(
                "the slide has only {:.2} um/px: a cell is {:.0} um wide, and the encoder sees less than it was made for",
                self.scale.work_mpp,
                self.grid.cell_px() * self.scale.mpp
            ));
        }
        if classes.len() < k && assigned.is_none() {
            self.job.note(format!("{} of {k} classes were left after small regions had joined their neighbours", classes.len()));
        }
        self.job.publish(picture(&self.grid, &labels, &palette(k)));
        let ids = classes.iter().map(|c| c.id).collect();
        let labelled = Labelled { grid: &self.grid, labels: &labels, smoothed: &smoothed, classes: ids };
        let crops = labelled.crops(self.source, self.params.crops_per_class, self.job)?;
        let bank = self.bank(&labels, &embedding)?;
        let provenance = self.provenance(&classes, &tree.hierarchy, k, assigned.as_ref())?;
        let map = SemanticMap {
            rows: self.grid.rows,
            columns: self.grid.columns,
            labels,
            cell_px: self.grid.cell_px(),
            mpp: self.scale.mpp,
            work_mpp: self.scale.work_mpp,
            classes,
            crops,
            bank,
            tree: Some(tree),
            history: None,
            atlas: assigned,
            artefacts: Some(self.survey.artefact).filter(|a| a.iter().any(|code| *code != 0)),
            thumbnail: self.thumbnail,
            provenance,
        };
        for out in map.left_out() {
            let (mm2, percent) = (out.area_um2 / 1e6, out.share * 100.0);
            self.job
                .note(format!("{mm2:.3} mm2 ({percent:.2} % of the tissue) left unlabelled: {}; `artefacts` false keeps it", out.reason));
        }
        Ok(map)
    }

    /// Embeds, and takes rows for an atlas.
    fn sampled(self, most: usize) -> Result<Sample> {
        let embedding = embed_slide(self.source, self.encoders.classes, &self.grid, &self.survey.tissue, self.job)?;
        let depth = depths(&self.grid, &self.survey.tissue);
        let smoothed = smooth(&embedding, &self.grid, &depth);
        self.job.stage("sample", 0);
        let (chosen, rows) = self.rows_to_fit(&smoothed, &depth);
        let cells: Vec<u32> = chosen.iter().map(|i| smoothed.cells[*i]).collect();
        let slide = SampledSlide { id_sha256: self.source.info().id_sha256(), work_mpp: self.scale.work_mpp as f32, ..Default::default() };
        let rows = Rows { data: &rows, channels: smoothed.channels };
        atlas::sample(rows, &cells, (EncoderOf::of(self.encoders.classes), slide), self.params.seed, most, self.job)
    }

    /// Names and colours of the atlas for the classes, and how far each cell is from what the atlas knows.
    fn assigned(&self, atlas: &Atlas, k: usize, smoothed: &Embedding, classes: &mut [Class]) -> Result<Assigned> {
        let legend = atlas.legend(k)?;
        for class in classes {
            if let Some((name, color)) = legend.get(usize::from(class.id) - 1) {
                (class.name, class.color) = (name.clone(), *color);
            }
        }
        let distance = |i: usize| {
            let (leaf, distance2) = atlas.hierarchy.leaves.nearest(smoothed.rows().row(i));
            atlas.hundredths(leaf, distance2)
        };
        let rows: Vec<u8> = (0..smoothed.cells.len()).into_par_iter().map(distance).collect();
        let mut out = Assigned { id_sha256: atlas.id_sha256(), distance: vec![0; self.grid.cells()] };
        smoothed.cells.iter().zip(rows).for_each(|(cell, d)| out.distance[*cell as usize] = d);
        let unknown = out.unknown_share();
        if unknown >= atlas::NOTED_SHARE {
            self.job.note(format!("{:.0} % of the tissue is unlike anything the atlas knows: see unknown.png", 100.0 * unknown));
        }
        Ok(out)
    }

    /// Fits the classes or takes those of the atlas, chooses their number where that is asked for, and labels every tissue cell.
    fn labels(&self, own: &Embedding, smoothed: &Embedding, depth: &[u8]) -> Result<(Vec<u8>, Tree, usize)> {
        self.job.stage("cluster", 0);
        let (hierarchy, readings, k, cut) = match &self.atlas {
            Some(atlas) => {
                let k = atlas.k_or_own(self.params.k);
                (atlas.hierarchy.clone(), Vec::new(), k, atlas.cut(k)?)
            }
            None => {
                let (hierarchy, readings, k) = self.fitted(smoothed, depth)?;
                let cut = hierarchy.cut(k)?;
                (hierarchy, readings, k, cut)
            }
        };
        let classes = Classes::new(&hierarchy, cut);
        let (color, least_cells) = (&self.survey.color, self.least_cells);
        let evidence = Evidence { grid: &self.grid, features: smoothed, own, depth, classes: &classes, color, least_cells };
        let (mut labels, leaves) = evidence.nearest();
        self.job.publish(picture(&self.grid, &labels, &palette(k)));
        self.job.check()?;
        evidence.calm(&mut labels);
        Ok((labels, Tree { hierarchy, leaves, readings }, k))
    }

    /// A hierarchy of this slide alone, what speaks for each k, and the k.
    fn fitted(&self, smoothed: &Embedding, depth: &[u8]) -> Result<(Hierarchy, Vec<choice::Reading>, usize)> {
        let ((_, rows), seed) = (self.rows_to_fit(smoothed, depth), self.params.seed);
        let rows = Rows { data: &rows, channels: smoothed.channels };
        let hierarchy = Hierarchy::fit(rows, self.params.k.max(2), seed, self.job)?;
        let readings = choice::readings(rows, &hierarchy, seed, self.job)?;
        let k = match self.params.k {
            params::AUTO => choice::best(&readings).unwrap_or(2),
            k => k,
        };
        if self.params.k == params::AUTO {
            self.job.note(format!("k = {k} was chosen: see k_choice.png"));
        }
        Ok((hierarchy, readings, k))
    }

    /// The bank. Where another encoder found the classes, only what the bank needs is embedded a second time.
    fn bank(&self, labels: &[u8], embedding: &Embedding) -> Result<Bank> {
        let seed = self.params.seed;
        if self.encoders.one() {
            return Ok(bank::bank(&self.grid, embedding, &bank::squares(&self.grid, labels, seed)));
        }
        let encoder = self.encoders.bank;
        let grid = Grid::new(self.source.info(), &self.scale, encoder.stride_px())?;
        let squares = bank::squares(&grid, &bank::carried(labels, &self.grid, &grid), seed);
        let embedding = embed_slide(self.source, encoder, &grid, &bank::mask(&grid, &squares), self.job)?;
        Ok(bank::bank(&grid, &embedding, &squares))
    }

    /// Numbers and rows of the cells that show one tissue: away from the glass, without the sharpest changes, thinned evenly to [`FIT_ROWS`].
    fn rows_to_fit(&self, smoothed: &Embedding, depth: &[u8]) -> (Vec<usize>, Vec<f32>) {
        let inside: Vec<usize> = (0..smoothed.cells.len()).filter(|i| is_deep(depth[smoothed.cells[*i] as usize])).collect();
        let enough = inside.len() >= self.params.k && inside.len() as f64 >= INTERIOR_SHARE * smoothed.cells.len() as f64;
        let mut chosen = if enough { inside } else { (0..smoothed.cells.len()).collect() };
        let change: Vec<f32> = chosen.iter().map(|i| change(smoothed, &self.grid, *i)).collect();
        let mut ranked = change.clone();
        let last = ((ranked.len() as f64 * EVEN_SHARE) as usize).min(ranked.len() - 1);
        let most = *ranked.select_nth_unstable_by(last, f32::total_cmp).1;
        let mut change = change.into_iter();
        chosen.retain(|_| change.next().is_some_and(|c| c <= most));
        let step = chosen.len().div_ceil(FIT_ROWS).max(1);
        let chosen: Vec<usize> = chosen.into_iter().step_by(step).collect();
        let rows = chosen.iter().flat_map(|i| smoothed.rows().row(*i).iter().copied()).collect();
        (chosen, rows)
    }

    /// Enough to make the map again, and nothing that names the slide or a folder.
    fn provenance(&self, classes: &[Class], hierarchy: &Hierarchy, k: usize, atlas: Option<&Assigned>) -> Result<Value> {
        let info = self.source.info();
        // an encoder of the user's is named, its folder is not
        let given = self.params.encoder.as_ref().map(|_| self.encoders.classes.id().to_owned());
        let params = Cluster { out_dir: None, atlas: None, threads: 0, encoder: given, ..self.params.clone() };
        let told = |e: &dyn Encoder| json!({ "id": e.id(), "sha256": e.sha256(), "licence": e.licence(), "channels": e.channels(), "stride_px": e.stride_px() });
        let resolved: Value = serde_json::from_str(&params::resolved(&params)?).map_err(|e| Error::internal(e.to_string()))?;
        Ok(json!({
            "kind": "pseudo-semantic map of real tissue",
            "software": { "name": "histoloom", "version": env!("CARGO_PKG_VERSION") },
            "job": <Cluster as params::Params>::KIND,
            "parameters": resolved,
            "seed": self.params.seed,
            "encoder": told(self.encoders.classes),
            "bank_encoder": told(self.encoders.bank),
            "slide": {
                "id_sha256": info.id_sha256(),
                "width_px": info.width_px,
                "height_px": info.height_px,
                "origin_px": [info.origin_px.0, info.origin_px.1],
                "mpp": self.scale.mpp,
                "mpp_from": if self.params.mpp.is_some() { "parameter" } else { "slide" },
                "glass_rgb": self.glass.0,
            },
            "work_mpp": self.scale.work_mpp,
            "cell_px": self.grid.cell_px(),
            "classes": classes.len(),
            "k": k,
            "inertia": hierarchy.inertias().get(k - 1),
            "atlas": atlas.map(|a| json!({"id_sha256": a.id_sha256, "unknown_share": a.unknown_share()})),
        }))
    }
}
