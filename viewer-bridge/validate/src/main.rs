//! `histoloom-validate`: holds a library against every promise of `histoloom.h`, or a host's callbacks against what the library asks of them.
//! In: a shared library, a strictness, a seed. Out: a line or a JSON object a check, and an exit code: 0 all passed, 1 some failed, 2 usage.
//!
//! Each check runs in a child process with a time limit, so that a broken promise, a crash and a hang are told apart and none keeps the others
//! from running. Everything random comes from a seed that is printed: `--reproduce SEED` with the same strictness repeats it.
//!
//! # For authors of viewers
//!
//! `histoloom-validate --host HOST.so` plays the library against your callbacks. Build your reader into a shared object that exports
//!
//! ```c
//! int32_t hl_validate_host(hl_host *host, hl_slide_desc *slide);
//! ```
//!
//! which fills both structs (`struct_size` is set before the call, everything else is 0), keeps whatever they point to for as long as the
//! process lives, and returns `HL_OK`. It is called once in each of several processes. A whole host, whose slide is drawn:
//!
//! ```c
//! #include <histoloom.h>
//!
//! static const double downsamples[] = {1.0, 4.0};
//!
//! /* [library threads] The pixel at the upper left corner of what each pixel covers. */
//! static int64_t read_region(void *user, const hl_region *r, uint8_t *dst, uint64_t cap) {
//!     (void)user;
//!     if (cap < (uint64_t)r->stride_bytes * r->height_px) return -1;
//!     for (uint32_t y = 0; y < r->height_px; y++)
//!         for (uint32_t x = 0; x < r->width_px; x++) {
//!             uint8_t *p = dst + (uint64_t)y * r->stride_bytes + 4 * x;
//!             const int64_t u = r->x_px + (int64_t)(x * r->downsample), v = r->y_px + (int64_t)(y * r->downsample);
//!             p[0] = (uint8_t)(u * 3);
//!             p[1] = (uint8_t)(v * 5);
//!             p[2] = (uint8_t)((u / 50 + v / 70) * 40);
//!             p[3] = 255;
//!         }
//!     return (int64_t)r->stride_bytes * r->height_px;
//! }
//!
//! int32_t hl_validate_host(hl_host *host, hl_slide_desc *slide) {
//!     host->abi = HL_ABI_VERSION;
//!     host->max_concurrent_reads = 4;
//!     host->read_region = read_region;
//!     slide->pixel_format = HL_PIXEL_RGBA8;
//!     slide->width_px = 3000;
//!     slide->height_px = 2000;
//!     slide->downsamples = downsamples;
//!     slide->levels = 2;
//!     slide->mpp_x = slide->mpp_y = 0.5;
//!     slide->name = "drawn";
//!     return HL_OK;
//! }
//! ```
//!
//!     cc -shared -fPIC -o host.so host.c && histoloom-validate --host ./host.so

mod bench;
mod checks;
mod cli;
mod dice;
mod ffi;
mod memory;
mod output;
mod parent;
mod process;
mod session;
mod viewer;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;

use checks::{ABOUT, Check, EXITS, FIGURES, HOST, LIBRARY, LOADS};
use cli::Cli;
use parent::{Outcome, Scratch};

/// Wrong usage.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let told = Cli::parse().checked().and_then(|cli| match &cli.child {
        Some(name) => child(&cli, name).map_err(|e| e.to_string()),
        None if cli.list => {
            output::list(&mut stdout(), &[("library", LIBRARY), ("library with --figures", FIGURES), ("host", HOST)], cli.json)
                .map(|()| 0)
                .map_err(|e| e.to_string())
        }
        None => chosen(&cli).and_then(|checks| all(&cli, &checks).map_err(|e| e.to_string())),
    });
    told.map_or_else(
        |why| {
            // Standard error may be closed; the exit code says the same.
            let _ = writeln!(stderr(), "histoloom-validate: {why}");
            ExitCode::from(USAGE)
        },
        ExitCode::from,
    )
}

/// The checks of what is validated.
fn known(cli: &Cli) -> &'static [Check] {
    match (cli.host.is_some(), cli.figures) {
        (true, _) => HOST,
        (_, true) => FIGURES,
        _ => LIBRARY,
    }
}

/// Those that the user wants.
fn chosen(cli: &Cli) -> Result<Vec<&'static Check>, String> {
    if cli.only.is_empty() {
        return Ok(known(cli).iter().collect());
    }
    let names = || known(cli).iter().map(|c| c.name).collect::<Vec<_>>().join(", ");
    let find = |only: &String| {
        known(cli).iter().find(|c| c.name == only).ok_or_else(|| format!("no check is named `{only}`; there are {}", names()))
    };
    cli.only.iter().map(find).collect()
}

/// This process is a child: runs one check.
fn child(cli: &Cli, name: &str) -> std::io::Result<u8> {
    let hidden = [&ABOUT, &EXITS, &LOADS];
    let check = known(cli).iter().chain(hidden).find(|c| c.name == name).ok_or(std::io::ErrorKind::NotFound)?;
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a struct of ours; a crash that is expected needs no core file.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    #[cfg(target_os = "linux")]
    // SAFETY: numbers; a child that hangs ends with its parent.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
    let report = cli.report.as_deref().unwrap_or(std::path::Path::new("report"));
    check.run(&session::Session::new(cli.clone(), name, report)?);
    Ok(0)
}

/// Runs the checks one after the other, in children.
fn all(cli: &Cli, checks: &[&'static Check]) -> std::io::Result<u8> {
    let scratch = Scratch::new()?;
    let version = cli.lib.as_ref().and_then(|_| parent::run(&ABOUT, cli, &scratch).notes.into_iter().next());
    let mut out = stdout();
    if !cli.json {
        output::heading(&mut out, cli, version.as_deref())?;
    }
    let mut outcomes = Vec::new();
    for check in checks {
        let outcome = if check.level > cli.strictness && cli.only.is_empty() {
            Outcome::skipped(check, format!("runs from --strictness {}", check.level))
        } else {
            parent::run(check, cli, &scratch)
        };
        if !cli.json && (outcome.status.is_bad() || !cli.only_failed) {
            output::line(&mut out, &outcome, check.proves)?;
        }
        outcomes.push(outcome);
    }
    if cli.json {
        writeln!(out, "{:#}", output::document(cli, version.as_deref(), &outcomes))?;
    } else {
        output::total(&mut out, &outcomes)?;
    }
    Ok(u8::from(outcomes.iter().any(|o| o.status.is_bad())))
}
