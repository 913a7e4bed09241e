//! Options of `histoloom flags`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{EXIT_CODES, Where, number};

/// The commands of `flags`.
#[derive(Debug, Subcommand)]
pub enum Flags {
    /// From slides to a calibration: cluster each, plant faults, calibrate on some, test on the others; steps that are done are skipped
    #[command(after_help = EXIT_CODES)]
    Calibrate(Calibrate),
    /// One slide's step of `calibrate`: score real tiles, tiles of the model and tiles with planted faults
    #[command(after_help = EXIT_CODES)]
    Plant(Plant),
    /// What a calibration promises and what it was found to be worth
    Report {
        /// A folder made by `flags calibrate`, or its calibration.json [default: the calibration that ships]
        calibration: Option<PathBuf>,
    },
    /// Add a slide to an index of pictures that tiles must not repeat
    #[command(after_help = EXIT_CODES)]
    Index(Index),
}

/// What `calibrate` and `plant` have in common.
#[derive(Debug, Args)]
pub struct Planted {
    /// Tiles a kind of fault and slide [default: 20]
    #[arg(short)]
    pub n: Option<u32>,
    /// Real tiles held out, a slide [default: 60]
    #[arg(long)]
    pub real: Option<u32>,
    /// Tiles with nothing planted, a slide [default: 60]
    #[arg(long)]
    pub ordinary: Option<u32>,
    /// Seeds drawn for each of those, so that S4 has a reference [default: 4 for slides calibrated on, 1 (not measured) for others]
    #[arg(long)]
    pub seeds: Option<u32>,
    /// Seed of places, dice and noise [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Where to run.
    #[command(flatten)]
    pub place: Where,
}

/// Options of `flags calibrate`.
#[derive(Debug, Args)]
pub struct Calibrate {
    /// Slides that ranks and threshold come from
    #[arg(long, required = true, value_name = "SLIDE", num_args = 1..)]
    pub on: Vec<PathBuf>,
    /// Other slides, which they are tested on
    #[arg(long, required = true, value_name = "SLIDE", num_args = 1..)]
    pub test: Vec<PathBuf>,
    /// Micrometres per level-0 pixel of slides that do not tell
    #[arg(long, value_name = "UM", value_parser = number)]
    pub mpp: Option<f64>,
    /// Largest share of faults that may be missed [default: 0.05]
    #[arg(long, value_parser = number)]
    pub alpha: Option<f64>,
    /// Calibrate for maps of this atlas, a file or `he`, instead of maps with classes of their own
    #[arg(long, value_name = "ATLAS")]
    pub atlas: Option<PathBuf>,
    /// Folder for maps, scored tiles, calibration.json and calibration.png
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Numbers of tiles.
    #[command(flatten)]
    pub planted: Planted,
}

/// Options of `flags plant`.
#[derive(Debug, Args)]
pub struct Plant {
    /// The slide
    pub slide: PathBuf,
    /// The folder of its map
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Folder for the tiles and their scores, new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Numbers of tiles.
    #[command(flatten)]
    pub planted: Planted,
}

/// Options of `flags index`.
#[derive(Debug, Args)]
pub struct Index {
    /// The slides
    #[arg(required = true, value_name = "SLIDE")]
    pub slides: Vec<PathBuf>,
    /// File of the index; made if it is not there
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Micrometres per level-0 pixel of slides that do not tell
    #[arg(long, value_name = "UM", value_parser = number)]
    pub mpp: Option<f64>,
    /// Where to run.
    #[command(flatten)]
    pub place: Where,
}
