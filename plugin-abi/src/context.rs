//! A library instance inside the host: configuration, callbacks, jobs, loaded networks. Several live side by side and share nothing
//! but the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::failure::{Failure, Result};
use crate::handles::{self, Kind, Object};
use crate::host::{Host, inside_callback};
use crate::jobs::Queue;
use crate::logging::Messenger;
use crate::pipeline::Engines;
use crate::types::{HL_E_MEMORY, hl_host};

/// One instance.
pub struct Context {
    /// The host's callbacks.
    pub host: Arc<Host>,
    /// Log and progress on their way to the host.
    pub messenger: Arc<Messenger>,
    /// Jobs.
    pub jobs: Queue,
    /// Networks, loaded when first needed.
    pub engines: Engines,
    poisoned: AtomicBool,
    released: AtomicBool,
    delivery: Mutex<Option<JoinHandle<()>>>,
}

impl Context {
    /// A new one and its handle.
    pub fn create(table: hl_host, engines: Engines) -> Result<u64> {
        let host = Arc::new(Host::new(table)?);
        let (messenger, thread) = Messenger::start(host.clone())
            .map_err(|e| Failure::new(HL_E_MEMORY, format!("cannot start the messenger thread: {e}; close other programs")))?;
        let context = Arc::new(Self {
            host,
            messenger,
            jobs: Queue::default(),
            engines,
            poisoned: AtomicBool::new(false),
            released: AtomicBool::new(false),
            delivery: Mutex::new(Some(thread)),
        });
        handles::insert(&context, Object::Context).inspect_err(|_| context.close())
    }

    /// Ends everything that belongs to a context and takes all its handles back.
    pub fn release(handle: u64) -> Result<()> {
        let (context, _) = handles::remove(handle, Kind::Context)?;
        context.close();
        drop(handles::remove_owned(&context));
        Ok(())
    }

    fn close(&self) {
        self.jobs.close();
        self.messenger.close();
        if let Some(thread) = self.delivery.lock().take()
            && !inside_callback()
        {
            // A panic inside would have been ours and was told to the log.
            let _ = thread.join();
        }
        self.host.close();
    }

    /// After a panic: nothing new is started.
    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
    }

    /// From now on no handle may be given for anything of this context.
    pub fn set_released(&self) {
        self.released.store(true, Ordering::SeqCst);
    }

    /// Whether its own handle was taken back.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::SeqCst)
    }

    /// Whether there was a panic.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::SeqCst)
    }
}
