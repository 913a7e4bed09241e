//! The command line, and how a child is started from it. In: arguments. Out: checked settings. Fails with exit code 2.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;

/// Holds a library against every promise of histoloom.h, or a host's callbacks against what the library asks of them.
#[derive(Clone, Debug, Parser)]
#[command(name = "histoloom-validate", version, after_help = "Exit codes: 0 every promise held, 1 one was broken, 2 wrong usage.")]
pub struct Cli {
    /// The library: libhistoloom.so
    #[arg(value_name = "LIB", required_unless_present_any = ["host", "list"], conflicts_with = "host")]
    pub lib: Option<PathBuf>,
    /// A host instead of a library: a shared object that exports hl_validate_host
    #[arg(long, value_name = "HOST.so")]
    pub host: Option<PathBuf>,
    /// Folder with the weights and manifest.json: a real map and a real tile are made too
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// How many checks run, and how often each repeats what it does
    #[arg(long, value_name = "1..10", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub strictness: u32,
    /// One JSON document instead of text
    #[arg(long)]
    pub json: bool,
    /// Tell of checks that did not pass only
    #[arg(long)]
    pub only_failed: bool,
    /// The seed of an earlier run: repeats everything random
    #[arg(long, value_name = "SEED")]
    pub reproduce: Option<u64>,
    /// List the checks: name, level from which it runs, what it proves
    #[arg(long)]
    pub list: bool,
    /// Run these checks, whatever their level
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Measure instead: loading, callbacks, and with --models how fast a job is cancelled at each stage
    #[arg(long, conflicts_with = "host")]
    pub figures: bool,
    /// Multiplies the time limits: for slow machines and valgrind
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub patience: f64,
    /// Internal: this process is the child that runs a check
    #[arg(long, hide = true, requires = "report")]
    pub child: Option<String>,
    /// Internal: where the child tells what it finds
    #[arg(long, hide = true)]
    pub report: Option<PathBuf>,
}

impl Cli {
    /// With paths that hold in any folder and a seed, or what is wrong.
    pub fn checked(mut self) -> Result<Self, String> {
        for file in [&mut self.lib, &mut self.host].into_iter().flatten() {
            *file = file.canonicalize().map_err(|e| format!("`{}` cannot be read: {e}", file.display()))?;
        }
        if let Some(dir) = &mut self.models {
            if !dir.join("manifest.json").is_file() {
                return Err(format!("`{}` has no manifest.json; name the folder with the weights", dir.display()));
            }
            *dir = dir.canonicalize().map_err(|e| format!("`{}` cannot be read: {e}", dir.display()))?;
        }
        if !(self.patience.is_finite() && self.patience > 0.0) {
            return Err("--patience must be above 0".into());
        }
        self.reproduce = Some(self.seed());
        Ok(self)
    }

    /// The seed: the given one, or the time.
    pub fn seed(&self) -> u64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.as_nanos() as u64);
        self.reproduce.unwrap_or_else(|| now() >> 10 & 0xFFFF_FFFF)
    }

    /// What is validated.
    pub fn subject(&self) -> &Path {
        self.host.as_deref().or(self.lib.as_deref()).unwrap_or(Path::new(""))
    }

    /// This program as the child that runs a check with these settings.
    pub fn child_command(&self, check: &str, report: &Path) -> std::io::Result<Command> {
        let mut c = Command::new(std::env::current_exe()?);
        if self.host.is_some() {
            c.arg("--host");
        }
        c.arg(self.subject()).arg("--child").arg(check).arg("--report").arg(report);
        c.args(["--strictness", &self.strictness.to_string(), "--reproduce", &self.seed().to_string()]);
        if self.figures {
            c.arg("--figures");
        }
        if let Some(models) = &self.models {
            c.arg("--models").arg(models);
        }
        if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
            // Mesa's device-select layer would find no display and say so on standard error; that is not the library's doing.
            c.env("NODEVICE_SELECT", "1");
        }
        Ok(c)
    }
}
