//! The checks: a row each with its name, the strictness from which it runs, its time limit and one sentence on what it proves. Most get a
//! loaded library; some load it themselves, because the loading is what they look at.

mod arguments;
mod buffers;
mod callbacks;
mod cancel;
mod figures;
mod handles;
mod host;
mod host_reads;
mod layout;
mod life;
mod parameters;
mod random_json;
mod reads;
mod scarce;
mod threads;
mod tissue;
mod values;

use crate::bench::Bench;
use crate::checks::host::Host;
use crate::session::Session;

/// What a check works on.
enum Body {
    Library(fn(&Bench)),
    Bare(fn(&Session)),
    Host(fn(&Session, &Host)),
}

/// A check.
pub struct Check {
    pub name: &'static str,
    pub level: u32,
    /// Seconds at strictness 5 and below.
    limit: u32,
    body: Body,
    pub proves: &'static str,
}

const fn library(name: &'static str, level: u32, limit: u32, body: fn(&Bench), proves: &'static str) -> Check {
    Check { name, level, limit, body: Body::Library(body), proves }
}

const fn bare(name: &'static str, level: u32, limit: u32, body: fn(&Session), proves: &'static str) -> Check {
    Check { name, level, limit, body: Body::Bare(body), proves }
}

const fn host(name: &'static str, level: u32, body: fn(&Session, &Host), proves: &'static str) -> Check {
    Check { name, level, limit: 60, body: Body::Host(body), proves }
}

/// Not shown: tells the version.
pub const ABOUT: Check = bare("about", 1, 30, layout::about, "");
/// Not shown: grandchildren of `exit`, which end in mid-job.
pub const EXITS: Check = bare("exits", 1, 30, life::exits, "");
/// Not shown: grandchildren of `load`.
pub const LOADS: Check = bare("loads", 1, 30, figures::loads, "");

/// Those of a library.
pub const LIBRARY: &[Check] = &[
    bare(
        "symbols",
        1,
        20,
        layout::symbols,
        "every function is exported, version, struct sizes, code names and schemas are as the header says",
    ),
    library("nulls", 1, 30, arguments::nulls, "NULL for any argument gives a code and leaves every output alone"),
    library("structs", 1, 30, arguments::structs, "a wrong struct_size is refused or negotiated, and nothing is read behind it"),
    library("utf8", 1, 30, arguments::utf8, "texts that are not UTF-8 or too long give a code"),
    library(
        "values",
        1,
        30,
        values::values,
        "impossible sizes, resolutions, regions and versions are refused before anything is allocated",
    ),
    library(
        "buffers",
        1,
        30,
        buffers::buffers,
        "texts and pictures fit their buffer exactly, fail in a smaller one, and never write outside it",
    ),
    library("handles", 1, 60, handles::handles, "stale, forged, foreign and doubly released handles give a code"),
    library("parameters", 1, 60, parameters::parameters, "values at and beyond every bound of every job kind are taken or refused by name"),
    library("reads", 1, 60, reads::faults, "a read that fails, falls short or writes too much fails its job and no other"),
    library("blocked", 1, 60, reads::blocked, "a read that blocks holds up its own job only, and cancel does not wait for it"),
    library("callbacks", 1, 60, callbacks::told, "log and progress come one at a time, tell how a job ended, and never after the release"),
    library("reentry", 1, 60, callbacks::reentry, "callbacks may poll, cancel and release; waiting inside one is refused"),
    library("cancel", 1, 60, cancel::cancel, "a job can be cancelled at every stage, any number of times, and ends soon"),
    library("panic", 1, 30, life::panic, "a panic is caught, its context refuses work, others go on"),
    bare(
        "manners",
        1,
        60,
        life::manners,
        "signals, environment, locale, rounding, folder and standard streams stay as they are; no socket",
    ),
    library("slow_texts", 2, 120, buffers::slow_texts, "devices, ops, doctor and inspect answer in exact buffers and have manners too"),
    library("random_json", 2, 120, random_json::random_json, "no parameter text crashes the library or starts what its schema forbids"),
    library("races", 2, 60, threads::races, "threads that cancel, release and poll the same handles get codes, and one release succeeds"),
    library("queue", 3, 60, cancel::queue, "the queue is bounded, and each of its jobs ends once"),
    library("contexts", 3, 120, threads::contexts, "eight contexts with eight threads each do not mix up pixels, results or error texts"),
    library("soak", 3, 120, cancel::soak, "hundreds of cancelled jobs leave no memory, threads or files behind"),
    bare("reload", 3, 120, life::reload, "loading and unloading again and again takes no more memory"),
    bare("exit", 3, 120, life::exit, "exit(0) in mid-job neither crashes nor hangs"),
    library(
        "allocations",
        4,
        120,
        scarce::allocations,
        "whichever allocation fails: the job fails with a code or works, and the next one works",
    ),
    library("tissue", 6, 600, tissue::tissue, "a map and a tile of drawn tissue are the same bytes on one thread and on two"),
    library("tissue_allocations", 7, 600, tissue::allocations, "the same while a map is made"),
    bare("scarce", 8, 120, scarce::scarce, "without address space a context or a job gives a code or works, and works again afterwards"),
    bare("tissue_starved", 9, 600, tissue::starved, "maps and tiles that find no memory fail with a code, and so does the doctor"),
    bare("starved", 9, 120, scarce::starved, "a job that finds no memory for what it reads fails with a code"),
];

/// Figures of a library.
pub const FIGURES: &[Check] = &[
    bare("load", 1, 60, figures::load, "time from the file to the first answer"),
    library("callback", 1, 60, figures::callbacks, "what a read costs beside the host's own work"),
    library("cancel_latency", 1, 600, figures::cancel, "time from hl_job_cancel to the end of the job, by stage"),
];

/// Those of a host.
pub const HOST: &[Check] = &[
    host("description", 1, host::description, "the host table and the slide are what a library takes"),
    host("edges", 1, host_reads::edges, "regions at the corners and edges come whole, with the exact count, inside their buffer"),
    host("shapes", 1, host_reads::shapes, "single pixels, single rows and odd sizes come whole"),
    host("downsamples", 1, host_reads::downsamples, "any downsample works: levels, between them, beyond the coarsest"),
    host("strides", 1, host_reads::strides, "rows are as far apart as asked"),
    host("pieces", 1, host_reads::pieces, "a region in four pieces is the region at once, at downsample 1"),
    host("threads", 1, host_reads::threads, "reads on changing threads, as many at once as allowed, give the same bytes"),
    host("newer", 2, host_reads::newer, "a region struct of a newer library is taken"),
    host("random", 2, host_reads::random, "regions anywhere inside the slide come whole"),
    host("texts", 1, host::texts, "log and progress take any text and any state"),
];

impl Check {
    /// Its time limit: more where it repeats more.
    pub fn limit_s(&self, strictness: u32) -> f64 {
        f64::from(self.limit) * f64::from(strictness.max(5) - 4)
    }

    /// Runs it in this process.
    pub fn run(&self, session: &Session) {
        match self.body {
            Body::Library(body) => {
                if let Some(bench) = Bench::new(session) {
                    body(&bench);
                    session.at("unloading the library");
                }
            }
            Body::Bare(body) => body(session),
            Body::Host(body) => {
                if let Some(host) = Host::load(session) {
                    body(session, &host);
                }
            }
        }
        session.end();
        session.at("the end of the process");
    }
}
