//! The options of `edit` that change a map, in the order in which they stand on the command line. In: clap's matches. Out: the list that
//! an edit job takes. What can be seen to be wrong here is clap's error; the rest is the library's.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Value, json};

/// Edits in the order given.
#[derive(Debug, Default)]
pub struct Edits(pub Vec<Value>);

#[derive(Debug, Args)]
#[command(next_help_heading = "Edits, made in the order given; each may be repeated")]
struct Options {
    /// Make these classes one, under label, name and colour of the first
    #[arg(long, value_name = "LABEL,LABEL,...", value_parser = merge)]
    merge: Vec<Value>,
    /// Give a class another name
    #[arg(long, value_name = "LABEL=NAME", value_parser = rename)]
    rename: Vec<Value>,
    /// Give a class another colour
    #[arg(long, alias = "recolor", value_name = "LABEL=#RRGGBB", value_parser = recolour)]
    recolour: Vec<Value>,
    /// Make two of a class, where the hierarchy of the map splits it
    #[arg(long, value_name = "LABEL", value_parser = split)]
    split: Vec<Value>,
}

impl FromArgMatches for Edits {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let of = Options::from_arg_matches(matches)?;
        let kinds = [("merge", of.merge), ("rename", of.rename), ("recolour", of.recolour), ("split", of.split)];
        let places = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
        let mut all: Vec<(usize, Value)> = kinds.into_iter().flat_map(|(id, values)| places(id).into_iter().zip(values)).collect();
        all.sort_by_key(|(place, _)| *place);
        Ok(Self(all.into_iter().map(|(_, edit)| edit).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Edits {
    fn augment_args(command: Command) -> Command {
        Options::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Options::augment_args_for_update(command)
    }
}

fn label(text: &str) -> Result<u8, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is no label; labels are 1 to 100, see --list"))
}

/// `LABEL=rest`.
fn labelled<'a>(text: &'a str, form: &str) -> Result<(u8, &'a str), String> {
    let (of, rest) = text.split_once('=').ok_or_else(|| format!("write {form}"))?;
    Ok((label(of)?, rest.trim()))
}

fn merge(text: &str) -> Result<Value, String> {
    let labels = text.split(',').map(label).collect::<Result<Vec<u8>, String>>()?;
    if labels.len() < 2 { Err("name two or more classes, for instance 2,5".into()) } else { Ok(json!({ "merge": labels })) }
}

fn rename(text: &str) -> Result<Value, String> {
    labelled(text, "LABEL=NAME, for instance 3=Tumour").map(|(label, name)| json!({"rename": {"label": label, "name": name}}))
}

fn recolour(text: &str) -> Result<Value, String> {
    labelled(text, "LABEL=#RRGGBB, for instance 3=#d55e00").map(|(label, color)| json!({"recolour": {"label": label, "color": color}}))
}

fn split(text: &str) -> Result<Value, String> {
    label(text).map(|label| json!({ "split": label }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_keep_the_order_of_the_command_line_across_kinds() {
        let line =
            ["x", "--split", "4", "--merge", "2,5", "--rename", "2= a=b ", "--split=2", "--recolor", "2=#d55e00", "--merge", "1,2,3"];
        let matches = Edits::augment_args(Command::new("x")).get_matches_from(line);
        let want = json!([
            {"split": 4},
            {"merge": [2, 5]},
            {"rename": {"label": 2, "name": "a=b"}},
            {"split": 2},
            {"recolour": {"label": 2, "color": "#d55e00"}},
            {"merge": [1, 2, 3]},
        ]);
        assert_eq!(Value::Array(Edits::from_arg_matches(&matches).expect("edits").0), want);
    }
}
