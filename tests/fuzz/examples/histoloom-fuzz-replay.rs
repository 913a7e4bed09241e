//! Runs a target on files, without a fuzzer: `histoloom-fuzz-replay TARGET FILE...`. Ends with a panic at the first broken promise.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(target) = arguments.next().and_then(|name| histoloom_fuzz::target(&name)) else {
        let known: Vec<_> = histoloom_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("histoloom-fuzz-replay TARGET FILE...; targets: {}", known.join(", "));
        return ExitCode::from(2);
    };
    for file in arguments {
        let data = match std::fs::read(&file) {
            Ok(data) => data,
            Err(e) => {
                eprintln!("{file}: {e}");
                return ExitCode::from(2);
            }
        };
        println!("{file}: {} bytes", data.len());
        target(&data);
    }
    ExitCode::SUCCESS
}
