//! The pipeline from slide to map.

use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::annotated::Annotated;
use super::exemplars::Labelled;
use super::features::Features;
use super::first::{FIRST_WINDOWS, First, ordered};
use super::fitted::fitted;
use super::legend::legend;
use super::regularise::{Evidence, cells_of};
use super::smooth::{RADIUS, change, depths, is_deep};
use super::{Bank, Class, SemanticMap, Tree, bank, palette::palette, picture::View, tissue};
use crate::atlas::{self, Assigned, Atlas, EncoderOf, Sample, SampledSlide};
use crate::cache::{Cache, Key, Kind};
use crate::cluster::{Classes, Hierarchy, Rows, choice};
use crate::embed::{Embedding, PREPROCESSING, embed_windows};
use crate::export::read_atlas;
use crate::params::{self, Cluster};
use crate::slide::Scale;
use crate::tiles::{self, Glass, Grid, Macenko, Normalised, Roi, Survey, Wanted, Window, thumbnail};
use crate::{Encoder, Error, Job, Result, TileSource, limits};

/// The centroids are fitted on cells away from the glass if these are at least this share of the tissue, else on all.
const INTERIOR_SHARE: f64 = 0.3;
/// Share of these cells that is used, those with the sharpest changes left out: where two tissues meet, the neighbourhood's mean is a
/// mixture, and mixtures would become classes of their own.
const EVEN_SHARE: f64 = 0.8;
/// Most cells that are looked at for fitting the centroids; beyond it every n-th is taken.
const FIT_ROWS: usize = 250_000;
/// Most bytes of their rows, which long rows reach first.
const FIT_BYTES: usize = 64 << 20;
/// Rows of a slide that are kept in memory; more go to a file.
const MEMORY_BYTES: usize = 32 << 20;

/// Classes of partial maps where their number is still to be chosen.
const FIRST_CLASSES: usize = 8;
/// What a class's name ends in where much of the class is unlike anything the atlas knows.
const DOUBT: &str = " (?)";
/// Changes whenever the way from rows to labels does: a map made another way is not done already.
const LABELLING: &str = "descent 1";
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

impl<'a> Encoders<'a> {
    /// One encoder does both.
    pub fn both(encoder: &'a dyn Encoder) -> Self {
        Self { classes: encoder, bank: encoder }
    }

    fn one(&self) -> bool {
        self.classes.sha256() == self.bank.sha256()
    }
}

/// Clusters a slide into a map of `params.k` tissue classes with one encoder.
pub fn run(source: &dyn TileSource, encoder: &dyn Encoder, params: &Cluster, job: &Job) -> Result<SemanticMap> {
    run_with(source, Encoders::both(encoder), params, job)
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
    crate::pool::pool(params.threads)?.install(|| Run::start(source, Encoders::both(encoder), params, job)?.sampled(rows))
}

/// A cache for this run alone: in memory where that is little.
fn passing(grid: &Grid, encoder: &dyn Encoder) -> Result<Cache> {
    let small = Embedding::bytes(grid, encoder.channels()) <= MEMORY_BYTES;
    if small { Ok(Cache::memory()) } else { Cache::temporary() }
}

/// What every step needs.
struct Run<'a> {
    source: &'a dyn TileSource,
    encoders: Encoders<'a>,
    params: &'a Cluster,
    job: &'a Job,
    atlas: Option<Atlas>,
    annotated: Option<Annotated>,
    scale: Scale,
    grid: Grid,
    glass: Glass,
    survey: Survey,
    least_cells: usize,
    thumbnail: image::RgbImage,
    cache: Cache,
}

impl<'a> Run<'a> {
    /// Looks at the slide: resolution, stain, tissue.
    fn start(source: &'a dyn TileSource, encoders: Encoders<'a>, params: &'a Cluster, job: &'a Job) -> Result<Self> {
        let (info, encoder) = (source.info(), encoders.classes);
        info.check()?;
        let atlas = params.atlas.as_ref().map(|path| read_atlas(Path::new(path))).transpose()?;
        if let Some(atlas) = &atlas {
            atlas.check_encoder(encoder)?;
            atlas.hierarchy.cut(atlas.k_or_own(params.k))?;
        }
        let annotated = params.annotations.as_ref().map(|path| Annotated::read(Path::new(path))).transpose()?;
        let scale = Scale::new(info.mpp_or(params.mpp)?);
        atlas.as_ref().and_then(|a| a.doubt(scale.work_mpp)).into_iter().for_each(|doubt| job.note(doubt));
        let grid = Grid::new(info, &scale, encoder.stride_px())?;
        let thumbnail = thumbnail(source)?;
        let glass = Glass::of(&thumbnail);
        if let Some(why) = glass.not_he(&thumbnail) {
            if !params.force {
                return Err(info.error(why, "this method is made for H&E; set `force` to go on all the same"));
            }
            job.note(format!("'{}' is switched on, so the map was made although {why}", params::title::<Cluster>("force")));
        }
        let cache = match &params.cache_dir {
            Some(dir) if params.normalise != params::MACENKO => Cache::open(dir.as_ref(), &key(source, encoder, &grid, &thumbnail), job)?,
            Some(_) => {
                job.note("the cache serves the bank alone: normalised pixels depend on more than the slide");
                passing(&grid, encoder)?
            }
            None => passing(&grid, encoder)?,
        };
        let survey = Survey { tissue: Vec::new(), color: Vec::new(), artefact: Vec::new() };
        let least_cells = cells_of(params.min_region_um2, grid.cell_px() * scale.mpp);
        let mut run = Self { source, encoders, params, job, atlas, annotated, scale, grid, glass, survey, least_cells, thumbnail, cache };
        if params.normalise != params::MACENKO && run.annotated.is_none() {
            run.first_look()?;
        }
        let wanted = Wanted { roi: params.roi.as_deref().map(Roi), island_cells: least_cells, artefacts: params.artefacts };
        run.survey = tiles::survey(source, &grid, &run.glass, &wanted, &run.cache, job)?;
        Ok(run)
    }

    /// Embeds some windows all over what the thumbnail shows as tissue, and publishes maps of them, before the whole slide is read.
    fn first_look(&self) -> Result<()> {
        let embedding = self.embedding();
        if let there @ 1.. = self.cache.count(Kind::Window) {
            self.job.note(format!("{there} windows are taken from the cache"));
        }
        let (inside, info) = (self.params.roi.as_deref().map(|roi| Roi(roi).cells(&self.grid, self.job)).transpose()?, self.source.info());
        let color = |cell: usize| {
            let at = |i: usize, side_px: u64, pixels: u32| {
                (((i as f64 + 0.5) * self.grid.cell_px() / side_px as f64 * f64::from(pixels)) as u32).min(pixels - 1)
            };
            let (width, height) = self.thumbnail.dimensions();
            let (x, y) = (at(cell % self.grid.columns, info.width_px, width), at(cell / self.grid.columns, info.height_px, height));
            let rgb = self.thumbnail.get_pixel(x, y).0;
            (inside.as_ref().is_none_or(|inside| inside[cell]) && self.glass.is_tissue(rgb)).then_some(rgb)
        };
        let windows = self.grid.windows_where(|row, column, rows, columns| {
            let looked_at = || (0..rows).step_by(4).flat_map(|r| (0..columns).step_by(4).map(move |c| (r, c)));
            let tissue = looked_at().filter(|(r, c)| color((row + r) * self.grid.columns + column + c).is_some()).count();
            4 * tissue > looked_at().count()
        });
        let mut windows = ordered(windows, self.params.viewport, &self.grid);
        windows.truncate(FIRST_WINDOWS);
        self.job.stage("first look", windows.len() as u64);
        self.embed(self.source, &embedding, &windows, &color, 0)
    }

    fn view(&self) -> View {
        View::new(&self.grid, self.source.info())
    }

    /// Shows labels to whoever polls.
    fn publish(&self, labels: &[u8], colors: &[[u8; 3]]) {
        self.job.publish(self.view().picture(&self.grid, labels, colors));
    }

    fn embedding(&self) -> Embedding<'_> {
        Embedding::new(self.grid, self.encoders.classes.channels(), &self.cache)
    }

    /// Embeds those of `windows` that are not there yet, with a partial map each time their number has doubled since `next`.
    fn embed(
        &self,
        seen: &dyn TileSource,
        to: &Embedding<'_>,
        windows: &[Window],
        color: &dyn Fn(usize) -> Option<[u8; 3]>,
        mut next: usize,
    ) -> Result<()> {
        let k = if self.params.k == params::AUTO { FIRST_CLASSES } else { self.params.k };
        let first = First { embedding: to, k, seed: self.params.seed, view: self.view(), job: self.job, color };
        let mut each = |done: usize| first.when_due(done, &mut next, windows);
        embed_windows(seen, self.encoders.classes, windows, to, self.job, &mut each)
    }

    /// The bank, always of raw pixels and by its own encoder: tiles are made of raw crops and compared with it. Where the classes were
    /// not found that way, only what the bank needs is embedded once more.
    fn bank(&self, labels: &[u8], embedding: &Embedding<'_>, raw: bool) -> Result<Bank> {
        let (encoder, seed) = (self.encoders.bank, self.params.seed);
        if raw && self.encoders.one() {
            return bank::bank(embedding, &bank::squares(&self.grid, labels, seed));
        }
        let grid = Grid::new(self.source.info(), &self.scale, encoder.stride_px())?;
        let squares = bank::squares(&grid, &bank::carried(labels, &self.grid, &grid), seed);
        let cache = match &self.params.cache_dir {
            Some(dir) => Cache::open(dir.as_ref(), &key(self.source, encoder, &grid, &self.thumbnail), self.job)?,
            None => passing(&grid, encoder)?,
        };
        let embedding = Embedding::new(grid, encoder.channels(), &cache);
        let windows = grid.windows(&bank::mask(&grid, &squares));
        self.job.stage("looking again for tiles", windows.len() as u64);
        embed_windows(self.source, encoder, &windows, &embedding, self.job, &mut |_| Ok(()))?;
        bank::bank(&embedding, &squares)
    }

    /// Embeds all of the tissue as `seen`.
    fn embed_all(&self, seen: &dyn TileSource, to: &Embedding<'_>) -> Result<()> {
        let windows = ordered(self.grid.windows(&self.survey.tissue), self.params.viewport, &self.grid);
        self.job.stage("looking at the tissue", windows.len() as u64);
        let color = |cell: usize| self.survey.tissue[cell].then(|| self.survey.color[cell]);
        // partial maps by clustering would not be of the classes that were drawn
        let next = if self.annotated.is_some() { usize::MAX } else { 2 * FIRST_WINDOWS };
        self.embed(seen, to, &windows, &color, next)
    }

    /// Embeds, clusters and dresses the map.
    fn finish(mut self) -> Result<SemanticMap> {
        let artefacts = Some(std::mem::take(&mut self.survey.artefact)).filter(|a| a.iter().any(|code| *code != 0));
        let normalised = self.normalised()?;
        let seen: &dyn TileSource = normalised.as_ref().map_or(self.source, |n| n);
        let embedding = self.embedding();
        let drawn = self.drawn()?;
        self.embed_all(seen, &embedding)?;
        let depth = depths(&self.grid, &self.survey.tissue);
        let features = Features { embedding: &embedding, depth: &depth };
        let cell_um = self.grid.cell_px() * self.scale.mpp;
        let (labels, mut classes, tree, k) = match drawn {
            Some((labels, classes)) => {
                let k = classes.len();
                (labels, classes, None, k)
            }
            None => {
                let (labels, tree, k) = self.labels(&features)?;
                self.publish(&labels, &palette(k));
                let classes = legend(&labels, cell_um);
                (labels, classes, Some(tree), k)
            }
        };
        let assigned = self.atlas.as_ref().map(|atlas| self.assigned(atlas, k, &features, &labels, &mut classes)).transpose()?;
        if self.scale.work_mpp > COARSE_MPP {
            self.job.note(format!(
                "the slide has only {:.2} um/px: a cell is {:.0} um wide, and the encoder sees less than it was made for",
                self.scale.work_mpp, cell_um
            ));
        }
        if classes.len() < k && assigned.is_none() {
            self.job.note(format!("{} of {k} classes were left after small regions had joined their neighbours", classes.len()));
        }
        let ids = classes.iter().map(|c| c.id).collect();
        let labelled = Labelled { grid: &self.grid, labels: &labels, features: &features, classes: ids };
        let crops = labelled.crops(self.source, self.params.crops_per_class, self.job)?;
        let bank = self.bank(&labels, &embedding, normalised.is_none())?;
        let mut provenance = self.provenance(&classes, tree.as_ref(), k, assigned.as_ref())?;
        if let Some(Normalised { by, .. }) = &normalised {
            provenance["normalisation"] = json!({ "method": "macenko", "stains": by.stains, "p99": by.most });
        }
        let mut map = SemanticMap {
            rows: self.grid.rows,
            columns: self.grid.columns,
            labels,
            cell_px: self.grid.cell_px(),
            mpp: self.scale.mpp,
            work_mpp: self.scale.work_mpp,
            classes,
            crops,
            bank,
            tissue: Vec::new(),
            tree,
            history: None,
            atlas: assigned,
            artefacts,
            thumbnail: self.thumbnail.clone(),
            provenance,
        };
        map.tissue = tissue::tissue(self.source, &map, self.params.seed, self.job)?;
        for out in map.left_out() {
            let (mm2, percent, keep) = (out.area_um2 / 1e6, out.share * 100.0, params::title::<Cluster>("artefacts"));
            let left = format!("{mm2:.3} mm2 ({percent:.2} % of the tissue) left unlabelled: {}", out.reason);
            self.job.note(format!("{left}; switch off '{keep}' to keep it"));
        }
        Ok(map)
    }

    /// Labels and classes of the annotations, if there are any, shown at once.
    fn drawn(&self) -> Result<Option<(Vec<u8>, Vec<Class>)>> {
        let Some(annotated) = &self.annotated else { return Ok(None) };
        let labels = annotated.labels(&self.grid, &self.survey.tissue, self.job)?;
        self.publish(&labels, &annotated.colors());
        let classes = annotated.classes(&labels, self.grid.cell_px() * self.scale.mpp);
        Ok(Some((labels, classes)))
    }

    /// Embeds, and takes rows for an atlas.
    fn sampled(self, most: usize) -> Result<Sample> {
        let embedding = self.embedding();
        self.embed_all(self.source, &embedding)?;
        let depth = depths(&self.grid, &self.survey.tissue);
        self.job.stage("taking a sample", 0);
        let (cells, rows) = self.rows_to_fit(&Features { embedding: &embedding, depth: &depth })?;
        let slide = SampledSlide { id_sha256: self.source.info().id_sha256(), work_mpp: self.scale.work_mpp as f32, ..Default::default() };
        let rows = Rows { data: &rows, channels: embedding.channels };
        atlas::sample(rows, &cells, (EncoderOf::of(self.encoders.classes), slide), self.params.seed, most, self.job)
    }

    /// Names and colours of the atlas for the classes, and how far each cell is from what the atlas knows.
    fn assigned(&self, atlas: &Atlas, k: usize, features: &Features<'_>, labels: &[u8], classes: &mut [Class]) -> Result<Assigned> {
        let legend = atlas.legend(k)?;
        let mut out = Assigned { id_sha256: atlas.id_sha256(), distance: vec![0; self.grid.cells()] };
        for view in features.views(0) {
            let view = view?;
            let distance = |cell: usize| {
                let (leaf, distance2) = atlas.hierarchy.leaves.nearest(view.smoothed.row(cell));
                atlas.hundredths(leaf, distance2)
            };
            let cells = view.smoothed.cells();
            let row = out.distance[cells.clone()].par_iter_mut().zip(cells);
            row.filter(|(_, cell)| features.depth[*cell] > 0).for_each(|(to, cell)| *to = distance(cell));
        }
        for class in classes {
            let Some((name, color)) = legend.get(usize::from(class.id) - 1) else { continue };
            (class.name, class.color) = (name.clone(), *color);
            let unlike = out.unknown_of(|cell| labels[cell] == class.id);
            if unlike >= atlas::DOUBTED_SHARE {
                class.name.push_str(DOUBT);
                self.job.note(format!("`{}`: {:.0} % of it is unlike anything the atlas knows", class.name, 100.0 * unlike));
            }
        }
        let unknown = out.unknown_share();
        if unknown >= atlas::NOTED_SHARE {
            self.job.note(format!("{:.0} % of the tissue is unlike anything the atlas knows: see unknown.png", 100.0 * unknown));
        }
        Ok(out)
    }

    /// The slide as the encoder is to see it, where that is not as it is.
    fn normalised(&self) -> Result<Option<Normalised<'a>>> {
        if self.params.normalise != params::MACENKO {
            return Ok(None);
        }
        let found = Macenko::of_slide(self.source, &self.grid, self.glass, &self.survey.tissue, self.job)?;
        let told = found.map_err(|why| self.job.note(format!("the stain was not normalised: {why}")));
        Ok(told.ok().map(|by| Normalised { source: self.source, by }))
    }

    /// Fits the classes or takes those of the atlas, chooses their number where that is asked for, and labels every tissue cell.
    fn labels(&self, features: &Features<'_>) -> Result<(Vec<u8>, Tree, usize)> {
        self.job.stage("sorting into classes", 0);
        let (hierarchy, readings, k, cut) = match &self.atlas {
            Some(atlas) => {
                let k = atlas.k_or_own(self.params.k);
                (atlas.hierarchy.clone(), Vec::new(), k, atlas.cut(k)?)
            }
            None => {
                let (hierarchy, readings, k) = self.fitted(features)?;
                let cut = hierarchy.cut(k)?;
                (hierarchy, readings, k, cut)
            }
        };
        let classes = Classes::new(&hierarchy, cut);
        let (color, least_cells) = (&self.survey.color, self.least_cells);
        let evidence = Evidence { features, classes: &classes, color, least_cells, job: self.job };
        let first = evidence.uncalmed()?;
        self.publish(&first.labels, &palette(k));
        let labels = evidence.calm(&first)?;
        Ok((labels, Tree { hierarchy, leaves: first.leaves, readings }, k))
    }

    /// A hierarchy of this slide alone, what speaks for each k, and the k.
    fn fitted(&self, features: &Features<'_>) -> Result<(Hierarchy, Vec<choice::Reading>, usize)> {
        let (_, rows) = self.rows_to_fit(features)?;
        let rows = Rows { data: &rows, channels: features.embedding.channels };
        let (hierarchy, readings) = fitted(rows, self.params.k.max(2), self.params.seed, &self.cache, self.job)?;
        let k = match self.params.k {
            params::AUTO => choice::best(&readings).unwrap_or(2),
            k => k,
        };
        if self.params.k == params::AUTO {
            self.job.note(format!("{k} classes were chosen: see k_choice.png"));
        }
        Ok((hierarchy, readings, k))
    }

    /// Numbers and rows of the cells that show one tissue: away from the glass, without the sharpest changes, thinned evenly to [`FIT_ROWS`].
    fn rows_to_fit(&self, features: &Features<'_>) -> Result<(Vec<u32>, Vec<f32>)> {
        let (depth, channels) = (features.depth, features.embedding.channels);
        let (tissue, inside) = depth.iter().fold((0, 0), |(t, i), d| (t + usize::from(*d > 0), i + usize::from(is_deep(*d))));
        let enough = inside >= self.params.k && inside as f64 >= INTERIOR_SHARE * tissue as f64;
        let most = FIT_ROWS.min(FIT_BYTES / (size_of::<f32>() * channels.max(1))).max(1);
        let step = if enough { inside } else { tissue }.div_ceil(most).max(1);
        let (mut cells, mut rows, mut changes, mut seen) = (Vec::new(), Vec::new(), Vec::new(), 0usize);
        for view in features.views(RADIUS) {
            self.job.check()?;
            let view = view?;
            for cell in features.tissue(view.core.clone()).filter(|cell| !enough || is_deep(depth[*cell])) {
                if seen % step == 0 {
                    cells.push(cell as u32);
                    rows.extend_from_slice(view.smoothed.row(cell));
                    changes.push(change(&view.smoothed, &self.grid, depth, cell));
                }
                seen += 1;
            }
        }
        let mut ranked = changes.clone();
        let last = ((ranked.len() as f64 * EVEN_SHARE) as usize).min(ranked.len().saturating_sub(1));
        let most = *ranked.select_nth_unstable_by(last, f32::total_cmp).1;
        let mut kept = 0;
        for (i, _) in changes.iter().enumerate().filter(|(_, c)| **c <= most) {
            rows.copy_within(i * channels..(i + 1) * channels, kept * channels);
            cells[kept] = cells[i];
            kept += 1;
        }
        rows.truncate(kept * channels);
        cells.truncate(kept);
        Ok((cells, rows))
    }

    /// Enough to make the map again, and nothing that names the slide or a folder.
    fn provenance(&self, classes: &[Class], tree: Option<&Tree>, k: usize, atlas: Option<&Assigned>) -> Result<Value> {
        let mut out = known(self.source, self.encoders, self.params, &self.scale, &self.grid)?;
        out["atlas"] = json!(self.atlas.as_ref().map(named));
        if let Some(assigned) = atlas {
            out["atlas"]["unknown_share"] = json!(assigned.unknown_share());
        }
        out["slide"]["glass_rgb"] = json!(self.glass.0);
        out["classes"] = json!(classes.len());
        out["k"] = json!(k);
        out["inertia"] = json!(tree.and_then(|t| t.hierarchy.inertias().get(k - 1).copied()));
        if let Some(annotated) = &self.annotated {
            out["annotations"] = annotated.told();
            out["kind"] = json!(match out["annotations"]["pseudo_semantic"] == true {
                true => "map of real tissue by annotations that hold pseudo-semantic classes",
                false => "map of real tissue as it was annotated",
            });
            let missing = annotated.without_cells(classes, &self.grid, &self.survey.tissue);
            out["annotations"]["classes_without_cells"] = missing.iter().map(|(name, _)| *name).collect();
            out["annotations"]["why_without_cells"] = missing.into_iter().collect();
        }
        Ok(out)
    }
}

/// What is known of a map's provenance before it is made.
fn known(source: &dyn TileSource, encoders: Encoders<'_>, params: &Cluster, scale: &Scale, grid: &Grid) -> Result<Value> {
    let info = source.info();
    // an encoder of the user's is named, its folder is not
    let encoder = params.encoder.as_ref().map(|_| encoders.classes.id().to_owned());
    let lasting = Cluster {
        out_dir: None,
        atlas: None,
        annotations: None,
        cache_dir: None,
        viewport: None,
        skip_done: false,
        threads: 0,
        encoder,
        ..params.clone()
    };
    let told = |e: &dyn Encoder| json!({ "id": e.id(), "sha256": e.sha256(), "licence": e.licence(), "channels": e.channels(), "stride_px": e.stride_px() });
    let resolved: Value = serde_json::from_str(&params::resolved(&lasting)?).map_err(|e| Error::internal(e.to_string()))?;
    Ok(json!({
        "kind": "pseudo-semantic map of real tissue",
        "labelling": LABELLING,
        "software": { "name": "histoloom", "version": env!("CARGO_PKG_VERSION") },
        "job": <Cluster as params::Params>::KIND,
        "parameters": resolved,
        "seed": params.seed,
        "encoder": told(encoders.classes),
        "bank_encoder": told(encoders.bank),
        "slide": {
            "id_sha256": info.id_sha256(),
            "width_px": info.width_px,
            "height_px": info.height_px,
            "origin_px": [info.origin_px.0, info.origin_px.1],
            "mpp": scale.mpp,
            "mpp_from": if params.mpp.is_some() { "parameter" } else { "slide" },
        },
        "work_mpp": scale.work_mpp,
        "cell_px": grid.cell_px(),
    }))
}

/// What of an atlas a map depends on.
fn named(atlas: &Atlas) -> Value {
    json!({"id_sha256": atlas.id_sha256(), "legend_sha256": atlas.legend_sha256()})
}

/// Whether `map` is what [`run_with`] would make, as far as parameters, encoder and slide tell, or was edited from that by hand.
pub fn made_already(map: &SemanticMap, source: &dyn TileSource, encoders: Encoders<'_>, params: &Cluster) -> Result<bool> {
    let info = source.info();
    info.check()?;
    let scale = Scale::new(info.mpp_or(params.mpp)?);
    let grid = Grid::new(info, &scale, encoders.classes.stride_px())?;
    let mut known = known(source, encoders, params, &scale, &grid)?;
    let atlas = params.atlas.as_ref().map(|path| read_atlas(Path::new(path))).transpose()?;
    known["atlas"] = json!(atlas.as_ref().map(named));
    let annotated = params.annotations.as_ref().map(|path| Annotated::read(Path::new(path))).transpose()?;
    if annotated.is_some() != map.is_annotated() {
        return Ok(false);
    }
    if let Some(annotated) = annotated {
        known["annotations"] = annotated.told();
        known["kind"] = map.provenance["kind"].clone();
    }
    let known = crate::export::scrubbed(&known);
    Ok(holds(&map.provenance, &known) && thumbnail(source)? == map.thumbnail)
}

/// Whether `all` has everything that `part` has.
fn holds(all: &Value, part: &Value) -> bool {
    match part {
        Value::Object(fields) => fields.iter().all(|(key, value)| all.get(key).is_some_and(|a| holds(a, value))),
        // what was written and read again may differ in the last digit
        Value::Number(n) => all.as_f64().zip(n.as_f64()).is_some_and(|(a, b)| (a - b).abs() <= 1e-12 * b.abs()),
        Value::Array(list) => all.as_array().is_some_and(|a| a.len() == list.len() && a.iter().zip(list).all(|(a, b)| holds(a, b))),
        other => all == other,
    }
}

/// Everything that the survey and the rows of a slide depend on. The slide's own look is part of it: hosts may give no identifier, or
/// the same one for a slide that has changed.
fn key(source: &dyn TileSource, encoder: &dyn Encoder, grid: &Grid, thumbnail: &image::RgbImage) -> Key {
    let info = source.info();
    Key(vec![
        "histoloom rows 2".into(),
        info.id_sha256(),
        format!("{} x {} px, origin {:?}", info.width_px, info.height_px, info.origin_px),
        crate::export::sha256(thumbnail.as_raw()),
        format!("{} x {} cells, stride {}, downsample {}", grid.rows, grid.columns, grid.stride_px, grid.downsample),
        format!("{} {} {} {}", encoder.id(), encoder.sha256(), encoder.channels(), encoder.arithmetic()),
        PREPROCESSING.into(),
    ])
}
