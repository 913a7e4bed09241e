//! Parameters of an import job.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, Params, Table, field};
use crate::{Error, Result};

/// Parameters of an import job: a published checkpoint -> weight files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// The checkpoint, `.ckpt` or `.safetensors`. Must be given.
    pub file: Option<String>,
    /// Folder for the weight files, new or empty. Must be given.
    pub out_dir: Option<String>,
}

impl Params for Import {
    const KIND: &'static str = "import";

    fn table() -> Table {
        Table(vec![
            field(
                "file",
                "Checkpoint file",
                Kind::Text,
                || Value::Null,
                "Checkpoint in the CompVis layout, .ckpt or .safetensors; must be given",
            ),
            field(
                "out_dir",
                "Folder for the weight files",
                Kind::Text,
                || Value::Null,
                "Folder for the weight files, new or empty; must be given",
            ),
        ])
    }

    fn check(&self) -> Result<()> {
        for (name, given, hint) in [
            ("file", &self.file, "name a checkpoint (.ckpt or .safetensors)"),
            ("out_dir", &self.out_dir, "name a folder that is new or empty"),
        ] {
            if given.is_none() {
                return Err(Error::parameter(name, "is missing", hint));
            }
        }
        Ok(())
    }
}
