//! The command line. Defaults of job parameters are the library's own: an option that is not given is not passed on.

mod flags;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::edits::Edits;
use crate::error::EXIT_CODES;
use crate::ops_cli::Ops;

pub use flags::{Calibrate, Flags, Index, Planted};

/// Pseudo-semantic maps and synthetic tissue tiles from whole-slide images, offline.
#[derive(Debug, Parser)]
#[command(name = "histoloom", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Print one JSON object on standard output instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress and no summary; errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Write the newest picture of a running job to this PNG: a map that grows, a tile that clears up
    #[arg(long, global = true, value_name = "FILE")]
    pub preview: Option<PathBuf>,
    /// The shared library, where it is not found by itself
    #[arg(long, global = true, value_name = "FILE", env = "HISTOLOOM_LIBRARY")]
    pub library: Option<PathBuf>,
    /// The folder with the weights and their manifest, where it is not found by itself
    #[arg(long, global = true, value_name = "DIR", env = "HISTOLOOM_MODELS")]
    pub models: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is there: library, weights, devices, slide reader; and what is missing
    Doctor,
    /// Find tissue classes on a slide: overlay, labels, legend, files for QuPath and ASAP, and a map that `synth` uses
    #[command(after_help = EXIT_CODES)]
    Cluster(Cluster),
    /// Merge, rename, recolour or split the classes of a map, and take that back
    #[command(after_help = EXIT_CODES)]
    Edit(EditMap),
    /// Make synthetic tiles with labels and flags from a map
    #[command(after_help = EXIT_CODES)]
    Synth(Box<Synth>),
    /// From a slide and annotations to synthetic tiles of the annotated classes: `cluster --annotations` and `synth` in one
    #[command(after_help = EXIT_CODES)]
    Generate(Generate),
    /// List, check, try and measure ops: small programs in a sandbox that look at finished tiles
    Ops {
        /// What to do.
        #[command(subcommand)]
        command: Ops,
    },
    /// Measure how good the tiles of a slide's map are: distances to its real tissue with parts of the condition left out
    #[command(after_help = EXIT_CODES)]
    Eval(Eval),
    /// Show what a tile, a map folder or a JSON file of ours says of itself
    Inspect {
        /// PNG or JSON file, or a map's folder
        file: PathBuf,
    },
    /// Make a tile again from the parameters in its PNG and compare
    #[command(after_help = EXIT_CODES)]
    Rerun(Rerun),
    /// Labels that mean the same on every slide
    Atlas {
        /// What to do.
        #[command(subcommand)]
        command: Atlas,
    },
    /// How sure one can be that a fault is flagged
    Flags {
        /// What to do.
        #[command(subcommand)]
        command: Flags,
    },
    /// Models of others
    Models {
        /// What to do with them.
        #[command(subcommand)]
        command: Models,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The commands of `models`.
#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the networks there are, with licence and SHA-256: those that ship, and those of the folders named
    List {
        /// Folders made by `models import`
        folders: Vec<PathBuf>,
    },
    /// Make weight files of a published checkpoint (HTD-LDM in the CompVis layout) or of a vision transformer; nothing of it is executed
    #[command(after_help = EXIT_CODES)]
    Import {
        /// The file: .ckpt, .pth or .bin of PyTorch, or .safetensors
        file: PathBuf,
        /// Folder for the weight files, new or empty
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// The commands of `atlas`.
#[derive(Debug, Subcommand)]
pub enum Atlas {
    /// Take a bounded sample of a slide's tissue; run it once a slide, wherever the slide is
    #[command(after_help = EXIT_CODES)]
    Sample(AtlasSample),
    /// Join samples into one, in any order and grouping; a step for very many slides, `fit` takes them all as well
    #[command(after_help = EXIT_CODES)]
    Merge {
        /// Samples, or folders with .sample files
        #[arg(required = true, value_name = "SAMPLE")]
        samples: Vec<PathBuf>,
        /// File for the joined sample
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Fit an atlas on samples, for `cluster --atlas`
    #[command(after_help = EXIT_CODES)]
    Fit(AtlasFit),
    /// Show what an atlas or a sample holds
    Show {
        /// An atlas or a sample
        file: PathBuf,
        /// Number of classes to show an atlas with [default: its own]
        #[arg(long)]
        k: Option<u32>,
    },
    /// Name or recolour classes of an atlas; they keep that at every k
    #[command(after_help = EXIT_CODES)]
    Name(AtlasName),
}

/// Options of `atlas sample`.
#[derive(Debug, Args)]
pub struct AtlasSample {
    /// The slide
    pub slide: PathBuf,
    /// File for the sample; end it in .sample, and folders of them can be named later
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Most rows taken from the slide [default: 4096]
    #[arg(long)]
    pub rows: Option<u32>,
    /// Micrometres per level-0 pixel, where the slide does not tell
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub mpp: Option<f64>,
    /// Only inside these polygons: GeoJSON in level-0 pixels
    #[arg(long, value_name = "FILE")]
    pub roi: Option<PathBuf>,
    /// Seed of the choice; the same for all slides of an atlas [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Folder where embeddings are kept: `cluster --cache` goes on with them
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Embed with this encoder, a folder made by `histoloom models import`, instead of the default one
    #[arg(long, value_name = "DIR")]
    pub encoder: Option<PathBuf>,
    /// Go on although the stain does not look like H&E
    #[arg(long)]
    pub force: bool,
    /// Where to run.
    #[command(flatten)]
    pub place: Where,
}

/// Options of `atlas fit`.
#[derive(Debug, Args)]
pub struct AtlasFit {
    /// Samples, or folders with .sample files
    #[arg(required = true, value_name = "SAMPLE")]
    pub samples: Vec<PathBuf>,
    /// File for the atlas
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Classes of a map that leaves their number to the atlas (`cluster --k auto`), or `auto`: silhouette and stability choose [default: auto]
    #[arg(long, value_name = "N|auto", value_parser = classes)]
    pub k: Option<u32>,
    /// Seed of the clustering [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Licence written into the atlas
    #[arg(long)]
    pub licence: Option<String>,
    /// Worker threads, 0 = one a core; never changes the result
    #[arg(long)]
    pub threads: Option<u32>,
}

/// Options of `atlas name`.
#[derive(Debug, Args)]
pub struct AtlasName {
    /// The atlas
    pub file: PathBuf,
    /// A class's name, for instance 3=Tumour; once for each
    #[arg(long, value_name = "LABEL=NAME", value_parser = named)]
    pub set: Vec<(u8, String)>,
    /// A class's colour, for instance 3=#d55e00; once for each
    #[arg(long, value_name = "LABEL=#RRGGBB", value_parser = named)]
    pub color: Vec<(u8, String)>,
    /// The number of classes at which the labels are meant [default: the atlas's own]
    #[arg(long)]
    pub k: Option<u32>,
    /// File for the atlas with its names [default: the atlas itself]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Where a job runs.
#[derive(Clone, Debug, Default, Args)]
pub struct Where {
    /// auto, cpu, gpu or gpu:N [default: auto]
    #[arg(long)]
    pub device: Option<String>,
    /// Worker threads, 0 = one a core; never changes the result on the CPU
    #[arg(long)]
    pub threads: Option<u32>,
}

/// Options of `cluster`.
#[derive(Debug, Default, Args)]
pub struct Cluster {
    /// The slide: SVS, NDPI, MRXS, SCN, pyramidal TIFF, whatever OpenSlide opens; several slides, or folders of slides, get a map each
    /// in a folder of their own inside --out, those already made are skipped, and a summary ends it
    #[arg(required = true, value_name = "SLIDE|FOLDER")]
    pub slides: Vec<PathBuf>,
    /// Folder for the map, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folder where embeddings are kept: a killed run goes on where it was, another k takes a moment
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// What to embed first, level-0 pixels; never changes the result
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT", value_delimiter = ',', allow_hyphen_values = true, value_parser = number)]
    pub viewport: Option<Vec<f64>>,
    /// Do nothing where --out holds the very map that would be made; always so with several slides
    #[arg(long)]
    pub skip_done: bool,
    /// Number of tissue classes, or `auto`: silhouette and stability choose (see k_choice.png) [default: 8]
    #[arg(long, value_name = "N|auto", value_parser = classes)]
    pub k: Option<u32>,
    /// Micrometres per level-0 pixel, where the slide does not tell: 0.25 at 40x, 0.5 at 20x as a rule
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub mpp: Option<f64>,
    /// An atlas, or `he` for the one that ships: classes, names and colours that mean the same on every slide; --k cuts it anywhere,
    /// 0 where the atlas says
    #[arg(long, value_name = "FILE|he")]
    pub atlas: Option<PathBuf>,
    /// Classes as people drew them instead of found ones: GeoJSON from QuPath or ASAP's XML, level-0 pixels of the one slide given;
    /// where regions overlap the smaller one counts, classes whose names end in * are not tissue
    #[arg(long, value_name = "FILE", conflicts_with_all = ["atlas", "k"])]
    pub annotations: Option<PathBuf>,
    /// Only inside these polygons: GeoJSON in level-0 pixels of the one slide given, as QuPath exports annotations
    #[arg(long, value_name = "FILE")]
    pub roi: Option<PathBuf>,
    /// Smallest region in square micrometres: smaller ones join their neighbours, islands of tissue in the glass go [default: 768]
    #[arg(long, value_name = "UM2", value_parser = number)]
    pub min_region_um2: Option<f64>,
    /// Label pen, folds and tissue out of focus too; else they are left unlabelled and counted
    #[arg(long)]
    pub keep_artefacts: bool,
    /// Stain normalisation of what the encoder sees: none or macenko [default: none]
    #[arg(long, value_name = "METHOD")]
    pub normalise: Option<String>,
    /// Seed of everything random [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Find the classes with this encoder, a folder made by `histoloom models import`, instead of the default one
    #[arg(long, value_name = "DIR")]
    pub encoder: Option<PathBuf>,
    /// Go on although the stain does not look like H&E
    #[arg(long)]
    pub force: bool,
    /// Where to run.
    #[command(flatten)]
    pub place: Where,
}

/// Options of `edit`.
#[derive(Debug, Args)]
pub struct EditMap {
    /// The folder of a map made by `cluster`
    pub map: PathBuf,
    /// Folder for the changed map [default: the map's own, whose files are replaced]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Take the last edit back, or the last N, before others are made
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    pub undo: Option<u32>,
    /// List classes and edits; alone it changes nothing
    #[arg(long)]
    pub list: bool,
    /// What to change.
    #[command(flatten)]
    pub edits: Edits,
}

/// Options of `generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// The slide
    pub slide: PathBuf,
    /// Annotations with classes: GeoJSON from QuPath or ASAP's XML, level-0 pixels
    #[arg(long, value_name = "FILE")]
    pub annotations: PathBuf,
    /// Folder for the map (`map`) and the tiles (`tiles`), made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Number of tiles [default: 4]
    #[arg(short)]
    pub n: Option<u32>,
    /// Micrometres per level-0 pixel, where the slide does not tell
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub mpp: Option<f64>,
    /// Tile side in pixels, a multiple of 32 [default: 256]
    #[arg(long)]
    pub size: Option<u32>,
    /// Seed of map and tiles [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// default, fast, paper, or a TOML file of your own [default: default]
    #[arg(long, value_name = "NAME|FILE")]
    pub preset: Option<String>,
    /// Leave flagged tiles among the others, with their flags; else they go to the folder `flagged`
    #[arg(long)]
    pub keep_flagged: bool,
    /// A calibration of the flags made on annotated maps (`flags plant` and `flags calibrate`); without one every tile is flagged UNCALIBRATED
    #[arg(long, value_name = "DIR|FILE")]
    pub calibration: Option<PathBuf>,
    /// Where to run.
    #[command(flatten)]
    pub place: Where,
}

/// Options of `synth`.
#[derive(Debug, Default, Args)]
pub struct Synth {
    /// The folder of a map made by `cluster`
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Folder for the tiles, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Number of tiles [default: 4]
    #[arg(short)]
    pub n: Option<u32>,
    /// Seed; tile i uses (seed, i) [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Index of the first tile, counted from 0 [default: 0]
    #[arg(long)]
    pub first: Option<u32>,
    /// The folder of an imported model (`histoloom models import`); use it with --preset paper
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// default, fast, paper, or a TOML file of your own; it sets what is not given here [default: default]
    #[arg(long, value_name = "NAME|FILE")]
    pub preset: Option<String>,
    /// Steps of the denoiser, else those of the preset [default: 6]
    #[arg(long)]
    pub steps: Option<u32>,
    /// The denoiser goes all the way, without the two steps of the refiner: softer detail; use more --steps, 20 say
    #[arg(long)]
    pub no_refiner: bool,
    /// Classifier-free guidance scale, 1 = none, else that of the preset [default: 3.0]
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub guidance: Option<f64>,
    /// Share of the guided prediction that is rescaled against saturated colours, else that of the preset [default: 0]
    #[arg(long, value_parser = number)]
    pub rescale: Option<f64>,
    /// How firmly regions keep the stain of their crops, 0 = not at all, else that of the preset [default: 0]
    #[arg(long, value_parser = number)]
    pub anchor: Option<f64>,
    /// Lowest and highest noise level at which guidance acts, else those of the preset [default: 0,1]
    #[arg(long, value_name = "LOW,HIGH", value_parser = pair)]
    pub interval: Option<[f64; 2]>,
    /// Fresh noise of the ddim sampler, 0 = none, else that of the preset [default: 0.0]
    #[arg(long, value_parser = number)]
    pub eta: Option<f64>,
    /// euler, heun, dpmpp2m or ddim (imported models: ddim only), else that of the preset [default: dpmpp2m]
    #[arg(long)]
    pub sampler: Option<String>,
    /// Tile side in pixels, a multiple of 32 up to 4096 [default: 256]
    #[arg(long, value_name = "PX")]
    pub size: Option<u32>,
    /// What to show instead of what the map says.
    #[command(flatten)]
    pub edit: Edit,
    /// Seeds that must agree on what each place shows (flag S4), 1 to 8; each costs a tile [default: 1]
    #[arg(long, value_name = "N")]
    pub seeds: Option<u32>,
    /// A calibration of the flags, a folder made by `flags calibrate`, instead of the one that ships
    #[arg(long, value_name = "DIR|FILE")]
    pub calibration: Option<PathBuf>,
    /// Put flagged tiles among those for training too, with their flags; else they go to a folder of their own, `flagged`
    #[arg(long)]
    pub keep_flagged: bool,
    /// Ops applied to each tile in this order: names separated by commas, or a JSON list of names and objects such as {"name":
    /// "sharpness", "params": {"min_variance": 9}}; `none` for none [default: gamut]
    #[arg(long, value_name = "NAMES|JSON")]
    pub ops: Option<String>,
    /// Folder with ops of your own (*.wasm), which --ops may then name
    #[arg(long, value_name = "DIR")]
    pub ops_dir: Option<PathBuf>,
    /// Where to run.
    #[command(flatten)]
    pub place: Where,
}

/// Options of `synth` that edit map, crops and beginning.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Editing")]
pub struct Edit {
    /// Every tile has the map of this place: its upper left corner on the slide, level-0 pixels
    #[arg(long, value_name = "X,Y", value_parser = pair, allow_hyphen_values = true)]
    pub at: Option<[f64; 2]>,
    /// Your own drawing as the map: a PNG of one grey value a class, 0 = background
    #[arg(long, value_name = "PNG")]
    pub labels: Option<String>,
    /// Annotations painted over the map: GeoJSON from QuPath or ASAP's XML, level-0 pixels
    #[arg(long, value_name = "FILE")]
    pub regions: Option<String>,
    /// An invented layout with this share of a class (0 = background); once for each class, summing to 1
    #[arg(long, value_name = "LABEL=SHARE", value_parser = share)]
    pub share: Vec<(u8, f64)>,
    /// Show this crop for a class: a number of the map's crops or a PNG of tissue; up to twice a class
    #[arg(long, value_name = "LABEL=N|PNG", value_parser = crop)]
    pub crop: Vec<(u8, String)>,
    /// Render a class as a mixture with another
    #[arg(long, value_name = "LABEL:WITH:SHARE", value_parser = mix)]
    pub mix: Vec<(u8, u8, f64)>,
    /// Ask a class for an amount of haematoxylin, eosin or nuclei (share of area), for instance 3:nuclei=0.4
    #[arg(long, value_name = "LABEL:NAME=VALUE", value_parser = ask)]
    pub ask: Vec<(u8, String, f64)>,
    /// Seed of the noise alone: places and crops stay those of --seed
    #[arg(long)]
    pub noise_seed: Option<u64>,
    /// Begin from this picture of real tissue, as large as the tile
    #[arg(long, value_name = "PNG")]
    pub init: Option<String>,
    /// How far --init is dissolved: near 0 keeps it, 1 forgets it [default: 0.6]
    #[arg(long, value_parser = number)]
    pub strength: Option<f64>,
    /// Make only the regions of these classes anew, keep the rest of --init
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    pub inpaint: Option<Vec<u8>>,
    /// Make only what is not 0 in this PNG anew, keep the rest of --init
    #[arg(long, value_name = "PNG")]
    pub mask: Option<String>,
}

/// `left SEPARATOR right`, the left side a label.
fn labelled<'a>(text: &'a str, separator: char, form: &str) -> Result<(u8, &'a str), String> {
    let (label, rest) = text.split_once(separator).ok_or_else(|| format!("write {form}"))?;
    Ok((label.trim().parse().map_err(|_| format!("`{label}` is no label (1 to 100, 0 = background)"))?, rest.trim()))
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| format!("`{text}` is no finite number"))
}

/// A number of classes; `auto` is the 0 of the job's parameter.
fn classes(text: &str) -> Result<u32, String> {
    if text == "auto" { Ok(0) } else { text.parse().map_err(|_| format!("`{text}` is no number of classes; write one, or auto")) }
}

fn pair(text: &str) -> Result<[f64; 2], String> {
    let (a, b) = text.split_once(',').ok_or("write two numbers with a comma between them")?;
    Ok([number(a.trim())?, number(b.trim())?])
}

fn share(text: &str) -> Result<(u8, f64), String> {
    let (label, value) = labelled(text, '=', "LABEL=SHARE, for instance 2=0.4")?;
    Ok((label, number(value)?))
}

fn named(text: &str) -> Result<(u8, String), String> {
    labelled(text, '=', "LABEL=TEXT, for instance 3=Tumour").map(|(label, of)| (label, of.to_owned()))
}

fn crop(text: &str) -> Result<(u8, String), String> {
    labelled(text, '=', "LABEL=FILE or LABEL=NUMBER, for instance 2=crop.png").map(|(label, of)| (label, of.to_owned()))
}

fn mix(text: &str) -> Result<(u8, u8, f64), String> {
    let form = "LABEL:WITH:SHARE, for instance 2:5:0.5";
    let (label, rest) = labelled(text, ':', form)?;
    let (with, value) = labelled(rest, ':', form)?;
    Ok((label, with, number(value)?))
}

fn ask(text: &str) -> Result<(u8, String, f64), String> {
    let form = "LABEL:NAME=VALUE, for instance 2:nuclei=0.3";
    let (label, rest) = labelled(text, ':', form)?;
    let (name, value) = rest.split_once('=').ok_or_else(|| format!("write {form}"))?;
    Ok((label, name.trim().to_owned(), number(value.trim())?))
}

/// Options of `eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// The slide
    pub slide: PathBuf,
    /// The folder of its map, made by `cluster`
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The folder of another slide's map, whose crops are shown in one of the sets
    #[arg(long, value_name = "DIR")]
    pub other: Option<PathBuf>,
    /// Folder for eval.json and eval.png, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Tiles a set, at least 10 [default: 32]
    #[arg(short)]
    pub n: Option<u32>,
    /// Seed of places, crops and noise [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Preset of the tiles [default: default]
    #[arg(long)]
    pub preset: Option<String>,
    /// Only the set with map and crops, as tiles are made, without those that leave parts of the condition out
    #[arg(long)]
    pub no_ablations: bool,
    /// Where to run.
    #[command(flatten)]
    pub place: Where,
}

/// Options of `rerun`.
#[derive(Debug, Args)]
pub struct Rerun {
    /// A tile's PNG
    pub file: PathBuf,
    /// The folder of the map it was made from [default: `map` beside the tile's folder, or beside the tile]
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// The folder of the imported model, where one made the tile
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Folder with the ops of your own that the tile was made with
    #[arg(long, value_name = "DIR")]
    pub ops_dir: Option<PathBuf>,
    /// Folder for the new tile; without it nothing is kept
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The calibration the tile was flagged with, if it is not the one that ships
    #[arg(long, value_name = "DIR|FILE")]
    pub calibration: Option<PathBuf>,
    /// Where to run, if not where the tile was made.
    #[command(flatten)]
    pub place: Where,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("5  cancelled"), "{help}");
    }
}
