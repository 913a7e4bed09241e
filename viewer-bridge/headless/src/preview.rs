//! The file of `--preview`: the newest picture of a running job. In: the job, now and then. Out: a PNG that is whole at any time; it is
//! written only where the picture is another. A file that cannot be written is said once and does not end the job.

use std::io::Write;
use std::path::PathBuf;

use crate::library::Job;
use crate::report::Report;

/// The file and what it shows.
pub struct Preview<'a> {
    path: Option<PathBuf>,
    shown: Vec<u8>,
    report: &'a Report,
}

impl<'a> Preview<'a> {
    /// Nothing is shown yet.
    pub fn new(report: &'a Report) -> Self {
        Self { path: report.preview.clone(), shown: Vec::new(), report }
    }

    /// Writes the job's picture if it is new.
    pub fn look(&mut self, job: &Job<'_>) {
        let Some(path) = &self.path else { return };
        let Ok(Some(picture)) = job.partial() else { return };
        if picture.rgba == self.shown {
            return;
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| ".".as_ref());
        let written = tempfile::NamedTempFile::new_in(dir).and_then(|mut file| {
            file.write_all(&picture.png()?)?;
            file.persist(path).map_err(|e| e.error)?;
            Ok(())
        });
        if let Err(e) = written {
            self.report.loud(&format!("cannot write the preview `{}`: {e}; the job goes on without", path.display()));
            self.path = None;
        }
        self.shown = picture.rgba;
    }
}
