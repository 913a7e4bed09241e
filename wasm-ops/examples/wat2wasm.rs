//! The text format of WebAssembly to a module: `cargo run -p histoloom-wasm-ops --example wat2wasm -- IN.wat OUT.wasm`.
#![allow(clippy::print_stderr, reason = "a command says what went wrong")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = &given[..] else {
        eprintln!("usage: wat2wasm IN.wat OUT.wasm");
        return ExitCode::from(2);
    };
    let made = wat::parse_file(from).map_err(|e| e.to_string()).and_then(|wasm| std::fs::write(to, wasm).map_err(|e| e.to_string()));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{from}: {why}");
            ExitCode::FAILURE
        }
    }
}
