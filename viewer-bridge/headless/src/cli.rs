//! The command line. Defaults of job parameters are the library's own: an option that is not given is not passed on.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::error::EXIT_CODES;

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
    /// Find tissue classes on a slide: overlay, labels, GeoJSON, legend and a map that `synth` uses
    #[command(after_help = EXIT_CODES)]
    Cluster(Cluster),
    /// Make synthetic tiles with labels and flags from a map
    #[command(after_help = EXIT_CODES)]
    Synth(Synth),
    /// Show what a tile, a map folder or a JSON file of ours says of itself
    Inspect {
        /// PNG or JSON file, or a map's folder
        file: PathBuf,
    },
    /// Make a tile again from the parameters in its PNG and compare
    #[command(after_help = EXIT_CODES)]
    Rerun(Rerun),
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
    /// Make weight files of a published checkpoint (HTD-LDM in the CompVis layout); nothing of it is executed
    #[command(after_help = EXIT_CODES)]
    Import {
        /// The checkpoint: .ckpt of PyTorch, or .safetensors
        file: PathBuf,
        /// Folder for the weight files, new or empty
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
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
#[derive(Debug, Args)]
pub struct Cluster {
    /// The slide: SVS, NDPI, MRXS, SCN, pyramidal TIFF, whatever OpenSlide opens
    pub slide: PathBuf,
    /// Folder for the map, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Number of tissue classes [default: 8]
    #[arg(long)]
    pub k: Option<u32>,
    /// Micrometres per level-0 pixel, where the slide does not tell: 0.25 at 40x, 0.5 at 20x as a rule
    #[arg(long, allow_negative_numbers = true)]
    pub mpp: Option<f64>,
    /// Only inside these polygons: GeoJSON in level-0 pixels, as QuPath exports annotations
    #[arg(long, value_name = "FILE")]
    pub roi: Option<PathBuf>,
    /// Seed of everything random [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Go on although the stain does not look like H&E
    #[arg(long)]
    pub force: bool,
    /// Where to run.
    #[command(flatten)]
    pub place: Where,
}

/// Options of `synth`.
#[derive(Debug, Args)]
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
    /// Denoising steps [default: 20]
    #[arg(long)]
    pub steps: Option<u32>,
    /// Classifier-free guidance scale, 1 = none [default: 1.3]
    #[arg(long, allow_negative_numbers = true)]
    pub guidance: Option<f64>,
    /// euler, heun or dpmpp2m [default: dpmpp2m]
    #[arg(long)]
    pub sampler: Option<String>,
    /// Tile side in pixels, a multiple of 32 [default: 256]
    #[arg(long, value_name = "PX")]
    pub size: Option<u32>,
    /// Ops applied to each tile in this order, separated by commas; `none` for none [default: gamut]
    #[arg(long, value_delimiter = ',')]
    pub ops: Option<Vec<String>>,
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
    /// Folder for the new tile; without it nothing is kept
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
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
