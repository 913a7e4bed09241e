//! The commands, one a file. In: options. Out: an exit code, or a failure that carries its own.

mod atlas;
mod batch;
mod cluster;
mod doctor;
mod edit;
mod eval;
mod flags;
mod generate;
mod inspect;
mod models;
mod ops;
mod rerun;
mod synth;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::cli::{Cli, Command, Common, Models, Where};
use crate::error::{Failure, Kind, Result};
use crate::report::Report;

/// Runs what was asked for.
pub fn run(cli: Cli, report: &Arc<Report>) -> Result<u8> {
    match cli.command {
        Command::Doctor => doctor::run(&cli.common, report),
        Command::Cluster(options) => cluster::run(&cli.common, &options, report),
        Command::Edit(options) => edit::run(&cli.common, &options, report),
        Command::Synth(options) => synth::run(&cli.common, &options, report),
        Command::Generate(options) => generate::run(&cli.common, &options, report),
        Command::Eval(options) => eval::run(&cli.common, &options, report),
        Command::Inspect { file } => inspect::run(&cli.common, &file, report),
        Command::Rerun(options) => rerun::run(&cli.common, &options, report),
        Command::Atlas { command } => atlas::run(&cli.common, &command, report),
        Command::Flags { command } => flags::run(&cli.common, &command, report),
        Command::Ops { command } => ops::run(&cli.common, &command, report),
        Command::Models { command: Models::List { folders } } => models::list(&cli.common, &folders, report),
        Command::Models { command: Models::Import { file, out } } => models::import(&cli.common, &file, &out, report),
        Command::Completions { shell } => {
            use clap::CommandFactory;
            // into memory first: the generator panics where a pipe is closed early
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "histoloom", &mut script);
            let _ = std::io::stdout().lock().write_all(&script);
            Ok(0)
        }
    }
}

/// Parameters that were given; the library knows the defaults of the others.
#[derive(Default)]
struct Given(Map<String, Value>);

impl Given {
    fn put(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(key.into(), value.into());
        }
    }

    fn put_place(&mut self, place: &Where) {
        self.put("device", place.device.clone());
        self.put("threads", place.threads);
    }

    fn put_dir(&mut self, key: &str, dir: &Path) -> Result<()> {
        let text = dir.to_str().ok_or_else(|| {
            Failure::new(Kind::Usage, format!("`{}` is not UTF-8, which the library needs; choose another folder", dir.display()))
        })?;
        self.put(key, Some(text));
        Ok(())
    }

    fn value(self) -> Value {
        Value::Object(self.0)
    }
}

/// The folder for files must be possible before minutes are spent.
fn make_out(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir)
        .map_err(|e| Failure::other(format!("cannot make the folder `{}`: {e}; choose a folder you may write to", dir.display())))
}

/// The folder of an import must hold what an import writes.
fn check_imported(dir: &Path, what: &str) -> Result<()> {
    if dir.join("manifest.json").is_file() {
        return Ok(());
    }
    let hint = "give the --out folder of `histoloom models import`";
    Err(Failure::input(format!("there is no imported {what} in `{}` (no manifest.json); {hint}", dir.display())))
}

/// The classes of a map in a summary, a line each; those that no cell has come last.
fn class_lines(summary: &Value) -> Vec<String> {
    let line = |class: &Value| {
        let share = class["share"].as_f64().unwrap_or(0.0) * 100.0;
        format!("{:>3}  {share:5.1} %  {}", class["id"].as_u64().unwrap_or(0), class["name"].as_str().unwrap_or(""))
    };
    let without = |class: &Value| {
        let why = class["reason"].as_str().map_or_else(String::new, |why| format!(": {why}"));
        format!("  -    0.0 %  {}{why}", class["name"].as_str().unwrap_or(""))
    };
    let each = |key: &str| summary["map"][key].as_array().map(Vec::as_slice).unwrap_or_default();
    each("classes").iter().map(line).chain(each("without_cells").iter().map(without)).collect()
}

/// The outcome for `--json`: the library's summary and that all went well.
fn ok(summary: Value, command: &str) -> Value {
    let mut out = match summary {
        Value::Object(fields) => fields,
        other => Map::from_iter([("content".to_owned(), other)]),
    };
    out.insert("ok".into(), Value::Bool(true));
    out.insert("command".into(), command.into());
    Value::Object(out)
}

/// The library, the weights, and the context options they are opened with.
fn opened(common: &Common) -> Result<(crate::library::Loaded, std::path::PathBuf)> {
    Ok((crate::library::find(common.library.as_deref())?, crate::library::find_models(common.models.as_deref())?))
}
