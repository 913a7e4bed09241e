//! The command line of `histoloom ops`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::error::EXIT_CODES;

/// What can be done with ops.
#[derive(Debug, Subcommand)]
pub enum Ops {
    /// The ops that ship, with their parameters
    List {
        /// A folder with ops of your own (*.wasm): those too, and which of them are refused
        #[arg(long, value_name = "DIR")]
        ops_dir: Option<PathBuf>,
    },
    /// Look through a .wasm file as if it were to be run, and say what it is or why it is refused
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The file
        file: PathBuf,
    },
    /// Run an op on a picture
    #[command(after_help = EXIT_CODES)]
    Run(RunOp),
    /// Measure how long each op takes on a picture, in the sandbox as it ships
    Bench {
        /// The picture, a PNG; without it noise in the colours of stained tissue
        #[arg(long, value_name = "PNG")]
        tile: Option<PathBuf>,
        /// Runs of each op
        #[arg(short, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        n: u32,
    },
}

/// Options of `ops run`.
#[derive(Debug, Args)]
pub struct RunOp {
    /// A .wasm file, or the name of an op that ships
    pub op: PathBuf,
    /// The picture, a PNG of at most 2048 px a side
    #[arg(long, value_name = "PNG")]
    pub tile: PathBuf,
    /// Its labels: one grey value a class, 0 = background; without them all is class 1
    #[arg(long, value_name = "PNG")]
    pub labels: Option<PathBuf>,
    /// The op's parameters, for instance '{"min_variance": 9}'
    #[arg(long, value_name = "JSON")]
    pub params: Option<String>,
    /// Micrometres a pixel of the picture [default: 0.5]
    #[arg(long)]
    pub mpp: Option<f64>,
    /// Folder for picture.png, labels.png and ops.json; without it nothing is written
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
