//! Hostile and broken ops: each is stopped or refused with a sentence, the tile stays, the next op runs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::*;
use histoloom_core::ops::RealClass;
use histoloom_core::{Error, Op};
use histoloom_wasm_ops::{Limits, SandboxedOp, abi, op::STRIKES, prescan, sandbox};

fn tile() -> Tile {
    Tile::plain(64, 64, [200, 120, 180])
}

/// Runs and expects a limit whose sentence holds `word`.
fn stopped(op: &SandboxedOp, word: &str) {
    match tile().run(op, "{}") {
        Err(Error::OpLimit { op, why }) => assert!(op == "test" && why.contains(word), "{why}"),
        other => panic!("not stopped by {word}: {other:?}"),
    }
}

/// Runs and expects a fault whose sentence holds `word`.
fn faulty(op: &SandboxedOp, word: &str) {
    match tile().run(op, "{}") {
        Err(Error::Op { op, why }) => assert!(op == "test" && why.contains(word), "{why}"),
        other => panic!("no fault `{word}`: {other:?}"),
    }
}

/// Expects the prescan to refuse with a sentence that holds `word`.
fn refused(wasm: &[u8], word: &str) {
    match SandboxedOp::load("test.wasm", wasm) {
        Err(Error::Op { op, why }) => assert!(op == "test.wasm" && why.starts_with("refused: ") && why.contains(word), "{why}"),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("not refused: {word}"),
    }
}

const LOOP: &str = "(loop $l br $l) i32.const 0";

#[test]
fn an_endless_loop_ends_at_the_deadline() {
    ends_at_the_deadline(LOOP, "");
}

/// An op without a limit of instructions is stopped by the clock, soon.
fn ends_at_the_deadline(body: &str, more: &str) {
    let endless = Limits { fuel: u64::MAX / 2, ..short() };
    let op = load(&wat(body, more)).unwrap().with_limits(endless);
    let _ = tile().run(&op, "{}"); // compiles
    let began = Instant::now();
    stopped(&op, "longer than 200 ms");
    let late = began.elapsed().saturating_sub(endless.deadline);
    println!("stopped {:.1} ms after its deadline", late.as_secs_f64() * 1e3);
    assert!(late < Duration::from_secs(2), "{late:?}");
}

/// One bulk instruction cannot be interrupted, so the largest that memory allows must be short.
#[test]
fn bulk_instructions_and_calls_of_the_host_end_at_the_deadline_too() {
    let grow = "(drop (memory.grow (i32.const 900)))";
    let fill = format!("{grow} (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 60000000)) br $l) i32.const 0");
    let copy = format!("{grow} (loop $l (memory.copy (i32.const 0) (i32.const 8) (i32.const 60000000)) br $l) i32.const 0");
    let say = "(loop $l (call $metric (i32.const 0) (i32.const 1) (f64.const 1)) br $l) i32.const 0".to_owned();
    for (body, more) in [(fill, String::new()), (copy, String::new()), (say, text(0, b"m"))] {
        ends_at_the_deadline(&body, &more);
    }
}

/// What an op can learn of the world: nothing but its input.
#[test]
fn all_that_an_op_may_import_are_two_functions_that_give_nothing_back() {
    let names: Vec<&str> = abi::IMPORTS.iter().map(|i| i.name).collect();
    assert_eq!((abi::MODULE, names), ("histoloom", vec!["flag", "metric"]));
    assert!(abi::IMPORTS.iter().all(|i| i.result.is_none()));
}

#[test]
fn labels_that_the_tile_does_not_have_are_a_fault_and_others_are_taken() {
    // writes a label into the first pixel: labels are word 4
    let body = |label: u8| format!("(i32.store8 (i32.load offset=16 (local.get 0)) (i32.const {label})) i32.const 2");
    faulty(&op(&body(9), ""), "the label 9, which the tile does not have");
    for label in [0, 1] {
        let out = tile().run(&op(&body(label), ""), "").unwrap();
        let mut want = tile().labels;
        want[0] = label;
        assert!(out.rgb.is_none() && out.labels == Some(want));
    }
    // not asked to be taken, so not looked at
    let quiet = "(i32.store8 (i32.load offset=16 (local.get 0)) (i32.const 9)) i32.const 1";
    let out = tile().run(&op(quiet, ""), "").unwrap();
    assert!(out.labels.is_none() && out.rgb == Some(tile().rgb));
}

#[test]
fn a_cancelled_job_ends_its_op_without_a_strike() {
    let op =
        load(&wat(LOOP, "")).unwrap().with_limits(Limits { fuel: u64::MAX / 2, deadline: Duration::from_secs(60), ..Limits::default() });
    for _ in 0..=STRIKES {
        let flag = Arc::new(AtomicBool::new(false));
        let later = flag.clone();
        let host = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            later.store(true, Ordering::SeqCst);
        });
        assert!(matches!(tile().run_until(&op, "{}", flag), Err(Error::Cancelled)));
        host.join().unwrap();
    }
    assert_eq!(op.disabled(), None);
}

#[test]
fn an_endless_loop_runs_out_of_instructions_at_the_same_place_everywhere() {
    // counts its rounds in the pixels it leaves behind, which are lost, so count through the fuel that is needed
    let limits = Limits { deadline: Duration::from_secs(60), fuel: 1_000_000, fuel_per_pixel: 0, ..Limits::default() };
    let op = load(&wat(LOOP, "")).unwrap().with_limits(limits);
    stopped(&op, "out of instructions");
    let round = "(local $i i32) (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 1000)))) i32.const 0";
    let needs = |fuel| {
        let op = load(&wat(round, "")).unwrap().with_limits(Limits { fuel, ..limits });
        tile().run(&op, "{}").is_ok()
    };
    let (mut low, mut high) = (0, 100_000);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if needs(middle) { high = middle } else { low = middle }
    }
    assert!((7_000..10_000).contains(&high), "{high}");
    assert!((0..20).all(|_| needs(high) && !needs(high - 1)));
}

#[test]
fn an_endless_allocation_counts_too() {
    let alloc = r#"(func (export "hl_op_alloc") (param i32) (result i32) (loop $l br $l) unreachable)"#;
    let module = wat("i32.const 0", "").replace(ALLOC, alloc);
    stopped(&load(&module).unwrap().with_limits(Limits { fuel: u64::MAX / 2, ..short() }), "longer");
    let abi = r#"(func (export "hl_op_abi") (result i32) (loop $l br $l) unreachable)"#;
    stopped(&load(&wat("i32.const 0", "").replace(ABI, abi)).unwrap().with_limits(short()), "");
}

#[test]
fn memory_beyond_the_limit_stops_it() {
    stopped(&op("(loop $l (drop (memory.grow (i32.const 16))) br $l) i32.const 0", ""), "bytes of memory");
    stopped(&op("(drop (memory.grow (i32.const 65500))) i32.const 0", ""), "bytes of memory");
    let small = Limits { memory_bytes: 1 << 20, ..short() };
    stopped(&load(&wat("i32.const 0", "")).unwrap().with_limits(small), "bytes of memory");
}

#[test]
fn memory_within_the_limit_can_be_used_to_its_last_byte() {
    let body = "(drop (memory.grow (i32.const 992))) (i32.store8 (i32.const 67108863) (i32.const 1)) i32.const 0";
    tile().run(&op(body, ""), "{}").unwrap();
}

#[test]
fn a_large_memory_or_table_is_refused_before_it_is_made() {
    refused(&bytes(&wat("i32.const 0", "").replace(MEMORY, r#"(memory (export "memory") 65536)"#)), "memory in bytes is 4294967296");
    refused(&bytes(&wat("i32.const 0", "(table 100000000 funcref)")), "table elements is 100000000");
    refused(
        &bytes(&wat("(drop (table.grow 0 (ref.null func) (i32.const 100000000))) i32.const 0", "(table 1 funcref)")),
        "language of ops",
    );
}

#[test]
fn endless_recursion_stops() {
    stopped(
        &op("(call $deep (i64.const 1)) i32.const 0", "(func $deep (param i64) (call $deep (local.get 0)) (call $deep (local.get 0)))"),
        "stack",
    );
}

#[test]
fn deep_recursion_stops_on_a_thread_with_a_small_stack() {
    let wat = wat("(call $a) i32.const 0", "(func $a (call $b) (call $b)) (func $b (call $a) (call $a))");
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    thread.spawn(move || stopped(&load(&wat).unwrap().with_limits(short()), "stack")).unwrap().join().unwrap();
}

#[test]
fn traps_are_told() {
    faulty(&op("unreachable", ""), "unreachable");
    faulty(&op("(i32.div_u (i32.const 1) (i32.const 0))", ""), "divide by zero");
    faulty(&op("(i32.load (i32.const -1))", ""), "out of bounds");
    faulty(&op("(i32.store offset=4294967295 (i32.const -1) (i32.const 1)) i32.const 0", ""), "out of bounds");
    faulty(&op("(call_indirect (result i32) (i32.const 99))", "(table 1 funcref)"), "table");
    faulty(&op("(memory.fill (i32.const -1) (i32.const 0) (i32.const 2)) i32.const 0", ""), "out of bounds");
}

#[test]
fn pointers_outside_its_memory_are_refused() {
    for (pointer, length) in [(-1, 1), (2_097_152, 1), (2_097_151, 2), (0, -1), (-1, -1), (i32::MIN, i32::MIN), (16, 2_097_152)] {
        let code = format!(
            "(call $flag (i32.const {pointer}) (i32.const {length}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) i32.const 0"
        );
        faulty(&op(&code, ""), "outside its memory");
        let reason = format!(
            "(call $flag (i32.const 0) (i32.const 1) (i32.const {pointer}) (i32.const {length}) (i32.const 0) (i32.const 0)) i32.const 0"
        );
        faulty(&op(&reason, &text(0, b"A")), "outside its memory");
        let metric = format!("(call $metric (i32.const {pointer}) (i32.const {length}) (f64.const 0)) i32.const 0");
        faulty(&op(&metric, ""), "outside its memory");
    }
}

#[test]
fn an_allocation_outside_its_memory_is_refused() {
    for (pointer, word) in [(0, "no room"), (-16, "outside"), (2_097_152, "outside"), (2_097_136, "outside"), (65_537, "multiple of 16")] {
        let alloc = format!(r#"(func (export "hl_op_alloc") (param i32) (result i32) i32.const {pointer})"#);
        faulty(&load(&wat("i32.const 0", "").replace(ALLOC, &alloc)).unwrap(), word);
    }
}

#[test]
fn a_million_flags_are_capped_and_counted() {
    let body = "(local $i i32) (loop $l
        (call $flag (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4) (i32.const 1) (i32.const 1))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000)))) i32.const 0";
    let op = load(&wat(body, &text(0, b"MANY"))).unwrap();
    let out = tile().run(&op, "{}").unwrap();
    assert_eq!(out.flags.len(), abi::FLAGS + 1);
    let last = out.flags.last().unwrap();
    assert!(last.code == abi::CAPPED && last.reason.contains("998976") && last.cell.is_none(), "{last:?}");
}

#[test]
fn text_comes_out_harmless() {
    let evil = b"<img src=x onerror=\"a\">\x1b[2J\r\n&amp;\xff\xe2\x80\xae";
    let body = format!(
        "(call $flag (i32.const 0) (i32.const 4) (i32.const 16) (i32.const {}) (i32.const -1) (i32.const -1)) i32.const 0",
        evil.len()
    );
    let out = tile().run(&op(&body, &(text(0, b"EVIL") + &text(16, evil))), "{}").unwrap();
    let reason = &out.flags[0].reason;
    assert!(!reason.contains(['<', '>', '&', '"', '\'', '\u{1b}', '\n', '\r', '\u{202e}']), "{reason:?}");
    assert!(reason.contains("img src"));
}

#[test]
fn long_text_is_cut() {
    let body = "(call $flag (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 2000000) (i32.const -1) (i32.const -1)) i32.const 0";
    let out = tile().run(&op(body, &text(0, b"LONG")), "{}").unwrap();
    assert!(out.flags[0].reason.len() <= abi::REASON_BYTES);
}

#[test]
fn bad_codes_names_and_numbers_are_refused() {
    for code in ["", "a", "A B", "<A>", "A\n", "Ä", &"A".repeat(49)] {
        let body = format!(
            "(call $flag (i32.const 0) (i32.const {}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) i32.const 0",
            code.len()
        );
        faulty(&op(&body, &text(0, code.as_bytes())), "a flag's code");
    }
    for value in ["nan", "inf", "-inf"] {
        faulty(
            &op(&format!("(call $metric (i32.const 0) (i32.const 1) (f64.const {value})) i32.const 0"), &text(0, b"m")),
            "not a finite number",
        );
    }
    faulty(&op("(call $metric (i32.const 0) (i32.const 1) (f64.const 1)) i32.const 0", &text(0, b"M")), "a metric's name");
    for (row, column) in [(2, 0), (0, 2), (-1, 0), (i32::MAX, i32::MIN)] {
        let body = format!(
            "(call $flag (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const {row}) (i32.const {column})) i32.const 0"
        );
        faulty(&op(&body, &text(0, b"A")), "raster of 2 x 2");
    }
}

#[test]
fn return_codes_outside_the_contract_are_faults() {
    faulty(&op("i32.const 4", ""), "returned 4");
    faulty(&op("i32.const -7", ""), "own code -7");
    faulty(&load(&wat("i32.const 0", "").replace(ABI, r#"(func (export "hl_op_abi") (result i32) i32.const 9)"#)).unwrap(), "version 9");
}

#[test]
fn foreign_imports_are_refused() {
    let with = |import: &str| bytes(&format!("(module {import} {MANIFEST} {MEMORY} {ABI} {ALLOC})"));
    refused(&with(r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#), "without WASI");
    refused(&with(r#"(import "env" "memory" (memory 1))"#), "env.memory");
    refused(&with(r#"(import "histoloom" "system" (func))"#), "histoloom.system");
    refused(&with(r#"(import "histoloom" "flag" (func (param i64)))"#), "another type");
    refused(&with(r#"(import "histoloom" "flag" (global i32))"#), "other than a function");
    refused(&with(r#"(import "env\1b[2J" "<b>" (func))"#), "env [2J.‹b›");
}

#[test]
fn a_start_function_is_refused() {
    refused(&bytes(&wat("i32.const 0", "(func $s) (start $s)")), "start function");
}

#[test]
fn missing_or_wrong_exports_are_refused() {
    let good = wat("i32.const 0", "");
    refused(&bytes(&good.replace(MEMORY, "(memory 32)")), "does not export its `memory`");
    for name in ["hl_op_abi", "hl_op_alloc", "hl_op_run"] {
        refused(&bytes(&good.replace(&format!("\"{name}\""), "\"other\"")), &format!("does not export the function `{name}`"));
    }
    refused(
        &bytes(&good.replace(ALLOC, r#"(func (export "hl_op_alloc") (param i64) (result i32) i32.const 0)"#)),
        "`hl_op_alloc` has another type",
    );
    refused(&bytes(&good.replace(MANIFEST, "")), "no custom section `histoloom.op`");
    refused(&bytes(&good.replace(MANIFEST, &MANIFEST.repeat(2))), "two manifests");
    refused(&bytes(&good.replace("version", "vers ion")), "manifest");
}

#[test]
fn oversized_modules_are_refused() {
    refused(&bytes(&wat("i32.const 0", &"(func)".repeat(prescan::FUNCTIONS as usize))), "number of functions is 2003");
    refused(&bytes(&wat(&format!("{} i32.const 0", "nop ".repeat(prescan::BODY_BYTES)), "")), "function body");
    let nested = |n: usize| wat(&format!("{} {} i32.const 0", "(block ".repeat(n), ")".repeat(n)), "");
    refused(&bytes(&nested(prescan::NESTING as usize + 1)), "nesting");
    load(&nested(prescan::NESTING as usize)).unwrap();
    refused(&bytes(&wat(&format!("(local {}) i32.const 0", "i64 ".repeat(2001)), "")), "locals");
    let targets = format!("(block (br_table {} (i32.const 0))) i32.const 0", "0 ".repeat(5000));
    refused(&bytes(&wat(&targets, "")), "blocks and branches of a function");
    let mut large = bytes(&wat("i32.const 0", ""));
    large.resize(prescan::MODULE_BYTES + 1, 0);
    refused(&large, "size in bytes");
}

#[test]
fn what_is_no_module_is_refused() {
    refused(b"", "no WebAssembly module");
    refused(b"MZ\x90\0", "no WebAssembly module");
    refused(b"\0asm", "damaged");
    refused(b"\0asm\x0d\0\x01\0", "component");
    refused(&bytes("(module)"), "does not export");
    refused(&bytes(&wat("i64.const 0", "").replace("(result i32) i64.const 0", "(result i32) i32.const 0 i32.add")), "not valid");
}

#[test]
fn proposals_outside_the_language_of_ops_are_refused() {
    for body in [
        "(drop (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0))) i32.const 0",
        "(drop (i32.atomic.load (i32.const 0))) i32.const 0",
        "(return_call $run (local.get 0))",
        "(drop (ref.null extern)) i32.const 0",
    ] {
        refused(&bytes(&wat(body, "")), "language of ops");
    }
    refused(&bytes(&wat("i32.const 0", "(memory 1)")), "language of ops");
    refused(&bytes(&wat("i32.const 0", "").replace(MEMORY, r#"(memory (export "memory") i64 32)"#)), "language of ops");
}

#[test]
fn cut_and_bent_modules_never_panic() {
    let good = bytes(&wat("i32.const 0", &text(0, b"data")));
    for end in 0..good.len() {
        let _ = SandboxedOp::load("cut.wasm", &good[..end]);
    }
    let mut ran = 0;
    for at in 8..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bent = good.clone();
            bent[at] ^= flip;
            if let Ok(op) = SandboxedOp::load("bent.wasm", &bent) {
                ran += 1;
                let _ = tile().run(&op.with_limits(Limits { fuel: 100_000, fuel_per_pixel: 0, ..short() }), "{}");
            }
        }
    }
    println!("{ran} bent modules passed the prescan and ran");
}

#[test]
fn the_costliest_modules_that_pass_compile_in_bounded_time() {
    // many values alive over many blocks: what register allocation likes least
    let mut body = String::from("(local i64 i64 i64 i64) ");
    for i in 0..3_500 {
        body += &format!(
            "(if (i32.eqz (local.get 0)) (then (local.set {} (i64.mul (local.get {}) (i64.const {i}))))) ",
            i % 4 + 1,
            (i + 1) % 4 + 1
        );
    }
    let one = bytes(&wat(&format!("{body} i32.const 0"), ""));
    assert!(one.len() > 48 << 10, "{}", one.len());
    let functions = format!("(func (param i32) {body})").repeat(4);
    let many = bytes(&wat("i32.const 0", &functions));
    refused(&bytes(&wat("i32.const 0", &functions.repeat(2))), "number of blocks and branches is");
    for wasm in [one, many] {
        let patient = Limits { compile: Duration::from_secs(60), ..short() };
        let op = SandboxedOp::load("costly.wasm", &wasm).unwrap().with_limits(patient);
        let began = Instant::now();
        let _ = tile().run(&op, "{}");
        println!("{} KiB compiled in {:.2} s", wasm.len() >> 10, began.elapsed().as_secs_f64());
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn nobody_waits_for_the_compiler_beyond_its_time() {
    let op = load(&wat("i32.const 0", "(func)")).unwrap().with_limits(Limits { compile: Duration::ZERO, ..short() });
    stopped(&op, "to compile");
}

#[test]
fn three_failures_in_a_row_disable_an_op() {
    // fails while the first pixel is bright
    let op = op("(if (i32.gt_u (i32.load8_u (i32.load offset=12 (local.get 0))) (i32.const 99)) (then unreachable)) i32.const 0", "");
    let (bright, dark) = (tile(), Tile::plain(64, 64, [9, 9, 9]));
    for _ in 1..STRIKES {
        assert!(bright.run(&op, "").is_err());
    }
    dark.run(&op, "").unwrap(); // a success in between wipes the slate
    assert!(bright.run(&op, r#"{"unknown": 1}"#).is_err()); // the user's mistake is not the op's
    for _ in 0..STRIKES {
        assert!(op.disabled().is_none());
        assert!(bright.run(&op, "").is_err());
    }
    let why = dark.run(&op, "").unwrap_err().to_string();
    assert!(why.contains("disabled") && why.contains("3 times") && why.contains("unreachable"), "{why}");
}

#[test]
fn the_same_input_gives_the_same_bytes_and_nothing_is_carried_over() {
    // adds a counter kept in a global to every run's first pixel: it must always be 1
    let body = "(local $p i32) (local.set $p (i32.load offset=12 (local.get 0)))
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i32.store8 (local.get $p) (global.get $n))
        (f64.store offset=8 (local.get $p) (f64.div (f64.const 0) (f64.const -0))) i32.const 1";
    let op = op(body, "(global $n (mut i32) (i32.const 0))");
    let first = tile().run(&op, "").unwrap().rgb.unwrap();
    assert_eq!(first.as_raw()[0], 1);
    assert_eq!(&first.as_raw()[8..16], &0x7ff8_0000_0000_0000_u64.to_le_bytes(), "NaN is canonical");
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..8).for_each(|_| assert_eq!(tile().run(&op, "").unwrap().rgb.unwrap(), first)));
        }
    });
}

#[test]
fn what_is_known_of_a_tile_arrives_as_the_contract_says() {
    let m = |i: usize, v: &str| format!("(call $metric (i32.const {i}) (i32.const 1) {v})");
    let word = |at: usize| format!("(f64.convert_i32_u (i32.load offset={at} (local.get 0)))");
    let float = |at: usize, of: usize| format!("(f64.promote_f32 (f32.load offset={of} (i32.load offset={at} (local.get 0))))");
    let whole = |at: usize, of: usize| format!("(f64.convert_i32_u (i32.load offset={of} (i32.load offset={at} (local.get 0))))");
    let mpp = "(f64.promote_f32 (f32.load offset=48 (local.get 0)))";
    let values = [
        (mpp.to_owned(), 0.25),
        (word(56), 8.0),
        (word(60), 8.0),
        (float(52, 4 * 63), 6.5),
        (word(68), 2.0),
        (word(72), 32.0),
        (whole(64, 32), 7.0),
        (whole(64, 36), 2.0),
        (float(64, 40), 0.5),
        (float(64, 44), 0.25),
        (float(64, 48), 0.125),
        (whole(64, 52), 31.0),
        (float(64, 56), 0.0625),
        (word(80), 2.0),
        (whole(76, 4), 48.0),
        (word(92), 0.0),
    ];
    let body: String = values.iter().enumerate().map(|(i, (v, _))| m(i, v)).collect();
    let mut t = tile();
    t.mpp = 0.25;
    *t.spread.data.last_mut().unwrap() = 6.5;
    let class = RealClass { label: 7, crops: 2, haematoxylin: 0.5, eosin: 0.25, nuclei: 0.125, counted: 31, area_mm2: 0.0625 };
    t.classes = vec![RealClass { label: 1, ..class }, class];
    t.seams = vec![16, 48];
    let out = t.run(&op(&(body + "i32.const 0"), &text(0, b"abcdefghijklmnop")), "").unwrap();
    let got: Vec<f64> = out.metrics.iter().map(|m| m.1).collect();
    assert_eq!(got, values.map(|v| v.1));
}

#[test]
fn the_input_arrives_as_the_contract_says() {
    // metrics from the header and the arrays: width, height, last label, last score, sum of the sizes
    let names = text(0, b"abcdef");
    let m = |i: usize, v: &str| format!("(call $metric (i32.const {i}) (i32.const 1) {v})");
    let word = |at: usize| format!("(f64.convert_i32_u (i32.load offset={at} (local.get 0)))");
    let label = "(f64.convert_i32_u (i32.load8_u offset=4095 (i32.load offset=16 (local.get 0))))";
    let score = "(f64.promote_f32 (f32.load offset=12 (i32.load offset=20 (local.get 0))))";
    let body = [m(0, &word(4)), m(1, &word(8)), m(2, label), m(3, score), m(4, &word(44)), m(5, &word(0)), "i32.const 0".into()].concat();
    let mut t = tile();
    *t.labels.last_mut().unwrap() = 77;
    let out = t.run(&op(&body, &names), "").unwrap();
    let values: Vec<f64> = out.metrics.iter().map(|m| m.1).collect();
    assert_eq!(values, [64.0, 64.0, 77.0, 3.0, 32.0, 96.0]);
    assert!(out.rgb.is_none());
}

#[test]
fn an_oversized_tile_is_refused_and_is_no_strike() {
    let op = op("i32.const 0", "");
    let wide = Tile::plain(abi::TILE_PX + 1, 1, [0, 0, 0]);
    for _ in 0..=STRIKES {
        assert!(matches!(wide.run(&op, ""), Err(Error::Limit { .. })));
    }
    assert!(op.disabled().is_none());
}

#[cfg(target_os = "linux")]
#[test]
fn no_signal_handler_is_installed_and_there_is_one_clock_thread() {
    let caught = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        status.lines().find(|l| l.starts_with("SigCgt")).unwrap().to_owned()
    };
    let before = caught();
    let op = op("(i32.load (i32.const -1))", "");
    assert!(tile().run(&op, "").is_err());
    assert_eq!(before, caught());
    let _ = sandbox::Sandbox::get().unwrap();
    let name = |p: &std::path::Path| std::fs::read_to_string(p.join("comm")).unwrap_or_default();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|t| Some(t.ok()?.path()));
    assert_eq!(tasks.filter(|p| name(p).trim() == "histoloom-epoch").count(), 1);
    assert_eq!(op.name(), "test");
}
