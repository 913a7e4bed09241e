//! What hostile ops cost a host at most: `cargo run -p histoloom-wasm-ops --example sandbox`. Prints, for each way to go wrong, how late after
//! its deadline the op was stopped, and how much memory the process had at most beyond what it had before.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "an example that prints")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{Tile, load, wat};
use histoloom_wasm_ops::{Limits, SandboxedOp};

/// Runs of each.
const RUNS: usize = 20;
const DEADLINE: Duration = Duration::from_millis(100);

fn main() {
    let endless = Limits { deadline: DEADLINE, fuel: u64::MAX / 2, ..Limits::default() };
    println!("running, deadline {} ms, {RUNS} runs each; the worst is told", DEADLINE.as_millis());
    println!("{:<44} {:>12} {:>12}", "", "late, ms", "memory, MiB");
    let mut worst: (f64, f64) = (0.0, 0.0);
    for (what, body, more) in running() {
        let op = || load(&wat(&body, more)).unwrap().with_limits(endless);
        let _ = Tile::plain(64, 64, [9; 3]).run(&op(), ""); // compiled and cached
        let figures = measured(|| late(&op()));
        worst = (worst.0.max(figures.0), worst.1.max(figures.1));
        println!("{what:<44} {:>12.2} {:>12.1}", figures.0, figures.1);
    }
    println!("{:<44} {:>12.2} {:>12.1}", "worst", worst.0, worst.1);
    println!("\ncompiling, the costliest modules that pass the prescan{:>17} {:>12}", "took, ms", "memory, MiB");
    for (what, wasm) in compiling() {
        let (took, memory) = measured(|| {
            let op = SandboxedOp::load("costly.wasm", &wasm).unwrap().with_limits(Limits { compile: Duration::from_secs(60), ..endless });
            op.probe().map_or(f64::NAN, |t| t[0].as_secs_f64() * 1e3)
        });
        println!("{what:<54} {took:>17.0} {memory:>12.1}");
    }
    let began = Instant::now();
    let many = (0..2_000).filter(|seed| SandboxedOp::load("noise.wasm", &noise(*seed)).is_err()).count();
    println!("\nprescan: {many} of 2000 damaged modules refused, {:.3} ms each", began.elapsed().as_secs_f64() / 2.0);
}

/// Ways to run for ever, or to take what is not given.
fn running() -> Vec<(&'static str, String, &'static str)> {
    let grow = "(drop (memory.grow (i32.const 900)))";
    let say = "(loop $l (call $metric (i32.const 0) (i32.const 1) (f64.const 1)) br $l) i32.const 0";
    vec![
        ("an endless loop", "(loop $l br $l) i32.const 0".into(), ""),
        ("an endless loop around the largest memory.fill", format!("{grow} (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 60000000)) br $l) i32.const 0"), ""),
        ("an endless loop around the largest memory.copy", format!("{grow} (loop $l (memory.copy (i32.const 0) (i32.const 8) (i32.const 60000000)) br $l) i32.const 0"), ""),
        ("endless calls of the host: metrics", say.into(), r#"(data (i32.const 0) "m")"#),
        ("endless calls of the host: flags", "(loop $l (call $flag (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 200000) (i32.const 0) (i32.const 0)) br $l) i32.const 0".into(), r#"(data (i32.const 0) "A")"#),
        ("endless recursion", "(call $f) i32.const 0".into(), "(func $f (call $f) (call $f))"),
        ("growing memory for ever", "(loop $l (drop (memory.grow (i32.const 1))) br $l) i32.const 0".into(), ""),
        ("touching all memory it may have", format!("{grow} (loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 61000000)) br $l) i32.const 0"), ""),
    ]
}

/// Milliseconds after the deadline; what a limit stopped before it is not late.
fn late(op: &SandboxedOp) -> f64 {
    let tile = Tile::plain(64, 64, [9; 3]);
    let began = Instant::now();
    assert!(tile.run(op, "").is_err());
    (began.elapsed().as_secs_f64() - DEADLINE.as_secs_f64()).max(0.0) * 1e3
}

/// Modules that are as hard to compile as the bounds allow.
fn compiling() -> Vec<(&'static str, Vec<u8>)> {
    let mut ifs = String::from("(local i64 i64 i64 i64) ");
    for i in 0..3_500 {
        ifs += &format!(
            "(if (i32.eqz (local.get 0)) (then (local.set {} (i64.mul (local.get {}) (i64.const {i}))))) ",
            i % 4 + 1,
            (i + 1) % 4 + 1
        );
    }
    let mut sums = String::from("(local f64) ");
    for i in 0..4_000 {
        sums += &format!("(local.set 1 (f64.add (local.get 1) (f64.load offset={} (local.get 0)))) ", 8 * i);
    }
    let many = |body: &str, n: usize| common::bytes(&wat("i32.const 0", &format!("(func (param i32) {body})").repeat(n)));
    vec![
        ("one body of 3500 branches", many(&ifs, 1)),
        ("five bodies of 3500 branches", many(&ifs, 5)),
        ("twenty bodies of 4000 loads", many(&sums, 20)),
        ("1990 functions", many("(local.set 0 (i32.mul (local.get 0) (i32.const 3)))", 1_990)),
    ]
}

/// A shipped module with one byte in a hundred changed.
fn noise(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut wasm = histoloom_wasm_ops::registry::SHIPPED[0].1.to_vec();
    for b in wasm.iter_mut().skip(8) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 24 < 3 {
            *b = (state >> 16) as u8;
        }
    }
    wasm
}

/// The worst of some runs, and the most memory that the process had beyond what it had before them, in MiB.
fn measured(one: impl Fn() -> f64) -> (f64, f64) {
    // makes the kernel forget the highest so far
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = status("VmRSS");
    let worst = (0..RUNS).map(|_| one()).fold(0.0, f64::max);
    (worst, (status("VmHWM") - before).max(0.0))
}

/// A size of this process in MiB; not a number where the system does not tell.
fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().find_map(|w| w.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}
