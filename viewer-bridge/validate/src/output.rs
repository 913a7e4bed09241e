//! What the user sees: lines, or one JSON document.

use std::io::{Result, Write};

use serde_json::{Value, json};

use crate::checks::Check;
use crate::cli::Cli;
use crate::parent::{Outcome, Status};

/// The first lines.
pub fn heading(out: &mut impl Write, cli: &Cli, version: Option<&str>) -> Result<()> {
    let what = if cli.host.is_some() { "host" } else { "library" };
    let version = version.map_or_else(String::new, |v| format!(", version {v}"));
    writeln!(out, "{what} {}{version}", cli.subject().display())?;
    writeln!(out, "seed {0}; repeat with --strictness {1} --reproduce {0}", cli.seed(), cli.strictness)
}

/// A check's line, and what it has to say.
pub fn line(out: &mut impl Write, outcome: &Outcome, proves: &str) -> Result<()> {
    let notes = if outcome.notes.is_empty() { String::new() } else { format!(" ({})", outcome.notes.join("; ")) };
    writeln!(out, "{:<8} {:<18} {:>6.1} s  {proves}{notes}", outcome.status.word(), outcome.name, outcome.seconds)?;
    outcome.messages.iter().try_for_each(|m| writeln!(out, "         {m}"))?;
    out.flush()
}

/// How many ended how.
pub fn counts(outcomes: &[Outcome]) -> Vec<(&'static str, usize)> {
    Status::ALL.iter().map(|s| (s.word(), outcomes.iter().filter(|o| o.status == *s).count())).collect()
}

/// The last line.
pub fn total(out: &mut impl Write, outcomes: &[Outcome]) -> Result<()> {
    let counts: Vec<String> = counts(outcomes).iter().map(|(word, n)| format!("{n} {word}")).collect();
    writeln!(out, "{}; {:.1} s", counts.join(", "), outcomes.iter().map(|o| o.seconds).sum::<f64>())
}

/// Everything as one document.
pub fn document(cli: &Cli, version: Option<&str>, outcomes: &[Outcome]) -> Value {
    let shown = outcomes.iter().filter(|o| o.status.is_bad() || !cli.only_failed);
    let checks = shown.map(|o| {
        let seconds = (o.seconds * 1000.0).round() / 1000.0;
        json!({"name": o.name, "level": o.level, "status": o.status.word(), "seconds": seconds, "messages": o.messages, "notes": o.notes})
    });
    let counts: Value = counts(outcomes).into_iter().map(|(word, n)| (word.to_owned(), json!(n))).collect::<serde_json::Map<_, _>>().into();
    json!({
        "validator": env!("CARGO_PKG_VERSION"),
        "subject": if cli.host.is_some() { "host" } else { "library" },
        "file": cli.subject().display().to_string(),
        "version": version,
        "seed": cli.seed(),
        "strictness": cli.strictness,
        "checks": checks.collect::<Vec<_>>(),
        "counts": counts,
    })
}

/// The checks there are.
pub fn list(out: &mut impl Write, checks: &[(&str, &[Check])], as_json: bool) -> Result<()> {
    if as_json {
        let of = |(of, checks): &(&str, &[Check])| {
            let each = |c: &Check| json!({"of": of, "name": c.name, "level": c.level, "limit_s": c.limit_s(1), "proves": c.proves});
            checks.iter().map(each).collect::<Vec<_>>()
        };
        return writeln!(out, "{}", Value::from(checks.iter().flat_map(of).collect::<Vec<_>>()));
    }
    for (of, checks) in checks {
        writeln!(out, "Checks of a {of}: name, level from which it runs, what it proves")?;
        checks.iter().try_for_each(|c| writeln!(out, "  {:<18} {:>2}  {}", c.name, c.level, c.proves))?;
    }
    Ok(())
}
