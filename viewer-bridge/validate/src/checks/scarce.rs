//! No address space: the limit is set just above what the process has. Only the library is called meanwhile; what it said is looked at when
//! the limit is gone.

use std::ffi::CStr;

use crate::bench::{Bench, config, empty_progress};
use crate::ffi::{HL_E_MEMORY, HL_JOB_DONE, HL_JOB_FAILED, HL_OK, name_of};
use crate::process::number;
use crate::session::Session;
use crate::viewer::{Viewer, slide_desc};

/// Room left, in kB.
const ROOM_KB: [u64; 14] = [65_536, 32_768, 16_384, 12_288, 8192, 6144, 4096, 3072, 2048, 1024, 512, 128, 16, 0];
/// Contexts made in each room, each with a thread or two of its own.
const CONTEXTS: usize = 24;

/// Has the system asked for larger pieces each time, and one heap for all threads: what was freed must not hide the limit.
pub fn asks_each_time() {
    // SAFETY: settings of the C library's allocator, before the library is loaded.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 64 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 10);
    }
}

/// Sets the limit of the address space, in bytes; `u64::MAX` takes it away.
pub fn limit(bytes: u64) {
    // SAFETY: a struct of ours; the hard limit stays as it is, so that the soft one can be lifted again.
    unsafe {
        let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_AS, &raw mut now);
        now.rlim_cur = bytes.min(now.rlim_max);
        libc::setrlimit(libc::RLIMIT_AS, &raw const now);
    }
}

/// What the calls of one context gave.
#[derive(Clone, Copy, Default)]
struct Codes {
    context: u64,
    create: i32,
    open: i32,
    start: i32,
    wait: i32,
    state: i32,
    error: i32,
}

/// A context, a slide and a job, to its end; nothing is allocated here.
fn work(b: &Bench, viewer: &'static Viewer, params: &CStr) -> Codes {
    let (host, desc, mut p, mut out) = (viewer.table(), slide_desc(), empty_progress(), Codes::default());
    let (mut slide, mut job) = (0, 0);
    out.create = (b.api.hl_context_create)(&config(&raw const host), &raw mut out.context);
    if out.create == HL_OK {
        out.open = (b.api.hl_slide_open)(out.context, &raw const desc, &raw mut slide);
    }
    if slide != 0 {
        out.start = (b.api.hl_job_start)(out.context, slide, c"selftest".as_ptr(), params.as_ptr(), 0, &raw mut job);
    }
    if job != 0 {
        out.wait = (b.api.hl_job_wait)(job, 20_000);
        (b.api.hl_job_poll)(job, &raw mut p);
        (out.state, out.error) = (p.state, p.error);
    }
    out
}

/// Contexts and small jobs.
pub fn scarce(s: &Session) {
    less_and_less(s, c"{\"steps\": 1}");
}

/// Jobs that need memory for what they read.
pub fn starved(s: &Session) {
    less_and_less(s, c"{\"reads\": 2, \"side_px\": 1000}");
}

/// Each of the first allocations of small jobs fails, and of many later ones some; afterwards there is no more memory than was held back.
pub fn allocations(b: &Bench) {
    let Some(fails) = b.api.hl_selftest_fail_allocation else {
        return b.skip("the library exports no hl_selftest_fail_allocation");
    };
    let viewer = Viewer::new().leak();
    let (context, mut refused) = (b.context(viewer), 0);
    let slide = b.slide(context);
    let mut dice = b.dice(0);
    let later = (0..b.times(50, 400)).map(|_| 100 + dice.below(3000) as i64);
    for n in (1..100).chain(later) {
        refused += usize::from(one_failing(b, (fails, n), context, slide, (c"selftest", "{\"reads\": 3, \"steps\": 2, \"tiles\": 2}")));
    }
    b.promise(refused > 0, || "no job noticed that an allocation failed".into());
    b.works("after failed allocations", context, slide);
    b.release(context);
    b.check_viewer(viewer);
    b.note(&format!("{refused} jobs gave HL_E_MEMORY"));
}

/// Lets an allocation fail.
pub type Fails = extern "C" fn(i64) -> i32;

/// Whether a job whose n-th allocation fails gave HL_E_MEMORY; it may work as well.
pub fn one_failing(b: &Bench, (fails, n): (Fails, i64), context: u64, slide: u64, (kind, params): (&CStr, &str)) -> bool {
    b.at(&format!("allocation {n} fails"));
    fails(n);
    let (code, job) = b.try_start(context, slide, kind, params);
    b.promise(matches!(code, HL_OK | HL_E_MEMORY), || format!("hl_job_start gave {} as allocation {n} failed", name_of(code)));
    if job == 0 {
        fails(0);
        return code == HL_E_MEMORY;
    }
    b.wait_long(job);
    fails(0);
    let p = b.poll(job);
    let known = (p.state, p.error) == (HL_JOB_DONE, HL_OK) || (p.state, p.error) == (HL_JOB_FAILED, HL_E_MEMORY);
    b.promise(known, || format!("a job whose allocation {n} failed ended in state {} with {}", p.state, name_of(p.error)));
    b.code("hl_job_release", (b.api.hl_job_release)(job), HL_OK);
    p.error == HL_E_MEMORY
}

/// Contexts with a job each, in less and less room.
fn less_and_less(s: &Session, params: &CStr) {
    asks_each_time();
    let viewer = Viewer::new().leak();
    let Some(b) = Bench::new(s) else { return };
    let first = b.context(viewer);
    b.works("before", first, 0);
    let mut refused = 0;
    for kb in ROOM_KB {
        s.at(&format!("contexts and jobs with {kb} kB of address space left"));
        let mut all = [Codes::default(); CONTEXTS];
        limit((number("VmSize") + kb) << 10);
        all.iter_mut().for_each(|codes| *codes = work(&b, viewer, params));
        limit(u64::MAX);
        refused += all.iter().filter(|c| [c.create, c.open, c.start, c.error].contains(&HL_E_MEMORY)).count();
        all.iter().for_each(|codes| told(s, kb, codes));
        all.iter().filter(|c| c.context != 0).for_each(|c| b.release(c.context));
        b.works(&format!("after {kb} kB"), first, 0);
    }
    b.release(first);
    s.note(&format!("{refused} calls or jobs gave HL_E_MEMORY"));
}

/// A code or success, nothing else.
fn told(s: &Session, kb: u64, c: &Codes) {
    for (call, code) in [("hl_context_create", c.create), ("hl_slide_open", c.open), ("hl_job_start", c.start)] {
        s.promise(matches!(code, HL_OK | HL_E_MEMORY), || format!("{call} with {kb} kB left gave {}", name_of(code)));
    }
    s.code(&format!("hl_job_wait with {kb} kB left"), c.wait, HL_OK);
    let ended = c.state == 0 || c.state == HL_JOB_DONE || c.error < 0;
    s.promise(ended, || format!("a job with {kb} kB left ended in state {} with {}", c.state, name_of(c.error)));
}
