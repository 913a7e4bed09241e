//! The `histoloom` command: a host like any viewer, without a window. In: a command line. Out: files written by the library, text or
//! JSON, and an exit code that tells what went wrong.
//!
//! It opens slides with OpenSlide, loads libhistoloom, and does everything through the C header: what works here works from any
//! viewer.

mod callbacks;
mod cli;
mod commands;
mod edits;
mod error;
mod ffi;
mod library;
mod ops_cli;
mod pixels;
mod preview;
mod report;
mod roi;
mod run;
mod slide;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

/// Without a desktop session Mesa's device-select layer finds no display and says so on standard error at every look for devices.
fn hush_device_select() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: nothing but this thread exists yet, so nothing reads the environment meanwhile.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Help and version, or what is wrong with the command line: as text, and as an object where `--json` stands in it.
#[allow(clippy::print_stdout, reason = "a command answers on standard output")]
fn refused(e: &clap::Error) -> ExitCode {
    let _ = e.print();
    if e.use_stderr() && std::env::args_os().any(|a| a == "--json") {
        let (kind, code) = (error::Kind::Usage.word(), error::Kind::Usage.code());
        let message = e.to_string();
        println!("{}", serde_json::json!({"ok": false, "error": {"kind": kind, "message": message.trim(), "exit_code": code}}));
    }
    ExitCode::from(e.exit_code() as u8)
}

fn main() -> ExitCode {
    hush_device_select();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return refused(&e),
    };
    let report = Arc::new(report::Report::new(&cli.common));
    let outcome = run::catch_interrupts().and_then(|()| commands::run(cli, &report));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            report.failure(&failure);
            ExitCode::from(failure.kind.code())
        }
    }
}
