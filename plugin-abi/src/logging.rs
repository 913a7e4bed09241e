//! Log lines and progress on their way to the host. In: `log` records of any thread. Out: the host's callbacks, called by one thread
//! a context that holds no lock. Lines beyond [`LINES`] that the host has not taken yet are counted and dropped.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::{Arc, Once, Weak};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::{Condvar, Mutex};

use crate::host::Host;
use crate::jobs::Job;
use crate::types::{HL_LOG_DEBUG, HL_LOG_ERROR, HL_LOG_INFO, HL_LOG_WARN};

/// Most lines that wait for a slow host.
const LINES: usize = 1024;
/// Time between two progress callbacks of a job.
const TICK: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Mail {
    lines: VecDeque<(i32, CString)>,
    dropped: u64,
    running: Vec<Arc<Job>>,
    ended: Vec<Arc<Job>>,
    closed: bool,
}

/// The mailbox of one context.
pub struct Messenger {
    host: Arc<Host>,
    mail: Mutex<Mail>,
    news: Condvar,
}

thread_local! {
    static BOUND: RefCell<Weak<Messenger>> = const { RefCell::new(Weak::new()) };
}

static LIVING: Mutex<Vec<Weak<Messenger>>> = Mutex::new(Vec::new());

/// Ties log lines of this thread to a context.
pub fn bind(messenger: &Arc<Messenger>) {
    let _ = BOUND.try_with(|b| *b.borrow_mut() = Arc::downgrade(messenger));
}

/// Passes a line to the context of this thread, or to the only living one.
pub fn forward(level: Level, text: &str) {
    let bound = BOUND.try_with(|b| b.borrow().upgrade()).ok().flatten();
    let to = bound.or_else(|| match LIVING.lock().iter().filter_map(Weak::upgrade).collect::<Vec<_>>().as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    });
    if let Some(messenger) = to {
        messenger.line(level, text);
    }
}

struct ToHost;

impl Log for ToHost {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Our own lines at debug, those of the libraries below only when something is wrong.
        metadata.level() <= if metadata.target().starts_with("histoloom") { Level::Debug } else { Level::Warn }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            forward(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

impl Messenger {
    /// A mailbox, and the thread that empties it; that thread ends after [`Messenger::close`].
    pub fn start(host: Arc<Host>) -> std::io::Result<(Arc<Self>, std::thread::JoinHandle<()>)> {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // A Rust host that links the library statically may have its own logger; then that one stays.
            if log::set_logger(&ToHost).is_ok() {
                log::set_max_level(LevelFilter::Debug);
            }
        });
        let messenger = Arc::new(Self { host, mail: Mutex::default(), news: Condvar::new() });
        let own = messenger.clone();
        let thread = std::thread::Builder::new().name("histoloom-messages".into()).spawn(move || own.deliver())?;
        let mut living = LIVING.lock();
        living.retain(|m| m.strong_count() > 0);
        living.push(Arc::downgrade(&messenger));
        Ok((messenger, thread))
    }

    fn line(&self, level: Level, text: &str) {
        let level = match level {
            Level::Error => HL_LOG_ERROR,
            Level::Warn => HL_LOG_WARN,
            Level::Info => HL_LOG_INFO,
            _ => HL_LOG_DEBUG,
        };
        let mut mail = self.mail.lock();
        if mail.closed || !self.host.wants_log() {
            return;
        }
        if mail.lines.len() >= LINES {
            mail.dropped += 1;
        } else if let Ok(text) = CString::new(text.replace('\0', " ")) {
            mail.lines.push_back((level, text));
        }
        drop(mail);
        self.news.notify_one();
    }

    /// A job whose progress is told from now on.
    pub fn began(&self, job: &Arc<Job>) {
        self.mail.lock().running.push(job.clone());
        self.news.notify_one();
    }

    /// A job that ended: its last progress is told.
    pub fn ended(&self, job: &Arc<Job>) {
        let mut mail = self.mail.lock();
        mail.running.retain(|j| !Arc::ptr_eq(j, job));
        mail.ended.push(job.clone());
        drop(mail);
        self.news.notify_one();
    }

    /// Delivers what is there and ends the thread.
    pub fn close(&self) {
        self.mail.lock().closed = true;
        self.news.notify_one();
    }

    fn deliver(&self) {
        let mut next = Instant::now();
        loop {
            let mut mail = self.mail.lock();
            let tick = if mail.running.is_empty() { Duration::from_secs(3600) } else { next.saturating_duration_since(Instant::now()) };
            if mail.lines.is_empty() && mail.ended.is_empty() && !mail.closed && !tick.is_zero() {
                self.news.wait_for(&mut mail, tick);
            }
            let (lines, ended, dropped) =
                (std::mem::take(&mut mail.lines), std::mem::take(&mut mail.ended), std::mem::take(&mut mail.dropped));
            let due = Instant::now() >= next;
            let running = if due { mail.running.clone() } else { Vec::new() };
            let closed = mail.closed;
            drop(mail);
            for (level, text) in &lines {
                self.host.log(*level, text);
            }
            if dropped > 0
                && let Ok(text) = CString::new(format!("{dropped} log lines were dropped because the host took them too slowly"))
            {
                self.host.log(HL_LOG_WARN, &text);
            }
            for job in running.iter().chain(&ended) {
                self.host.progress(job);
            }
            if due {
                next = Instant::now() + TICK;
            }
            if closed && lines.is_empty() && ended.is_empty() {
                return;
            }
        }
    }
}
