//! Presets of synthesis: named sets of parameters. In: a name of [`PRESETS`] or a TOML file of the user's. Out: values that stand in for
//! those not given. What a preset may set is what its shipped files set.

use std::path::Path;

use serde_json::{Map, Value};

use crate::export::read_text;
use crate::{Error, Result};

/// The presets that ship, with the text of their files.
pub const PRESETS: [(&str, &str); 3] = [
    ("default", include_str!("presets/default.toml")),
    ("fast", include_str!("presets/fast.toml")),
    ("paper", include_str!("presets/paper.toml")),
];
/// Largest file of the user's, in bytes.
const FILE_BYTES: usize = 64 << 10;

/// The values of a preset.
pub(super) fn values(name: &str) -> Result<Map<String, Value>> {
    let own = Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("toml"));
    let text = match PRESETS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => (*text).to_owned(),
        None if own => {
            read_text(Path::new(name), FILE_BYTES, "give a preset's name, or a TOML file like those of core/src/params/presets")?
        }
        None => {
            let known: Vec<&str> = PRESETS.iter().map(|(n, _)| *n).collect();
            let hint = format!("known are {}; a file of your own must end in .toml", known.join(", "));
            return Err(Error::parameter("preset", format!("`{name}` is unknown"), hint));
        }
    };
    parsed(name, &text)
}

fn parsed(name: &str, text: &str) -> Result<Map<String, Value>> {
    let values: Map<String, Value> = toml::from_str(text).map_err(|e| {
        Error::parameter("preset", format!("`{name}` is not TOML as expected: {}", e.message()), "compare it with a shipped one")
    })?;
    let allowed = ["steps", "sampler", "eta", "guidance", "rescale", "anchor", "interval", "refine"];
    match values.keys().find(|k| !allowed.contains(&k.as_str())) {
        None => Ok(values),
        Some(k) => Err(Error::parameter("preset", format!("`{name}` sets `{k}`"), format!("a preset sets {}", allowed.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use crate::params::{self, Synth};

    #[test]
    fn what_is_given_comes_before_the_preset_and_that_before_the_default() {
        let of = |text: &str| params::parse::<Synth>(text).unwrap();
        assert_eq!(of(""), of(r#"{"preset": "default"}"#));
        let fast = of(r#"{"preset": "fast", "guidance": 2.5}"#);
        assert_eq!((fast.steps, fast.guidance, fast.refine), (3, 2.5, true));
        let again = of(&params::resolved(&fast).unwrap());
        assert_eq!(again, fast);
        for (given, field) in [(r#"{"steps": 0}"#, "`steps`"), (r#"{"preset": "paper", "model": "m", "refine": true}"#, "`refine`")] {
            let e = params::parse::<Synth>(given).unwrap_err().to_string();
            assert!(e.contains(field), "{e}");
        }
        let e = params::parse::<Synth>(r#"{"preset": "slow"}"#).unwrap_err().to_string();
        assert!(e.contains("`preset`") && e.contains("default, fast, paper"), "{e}");
    }

    #[test]
    fn a_file_of_the_users_is_a_preset_too_and_a_bad_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| {
            let path = dir.path().join("mine.toml");
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let path = write("steps = 7\nsampler = \"heun\"\n");
        let p = params::parse::<Synth>(&serde_json::json!({"preset": path}).to_string()).unwrap();
        assert_eq!((p.steps, p.sampler.as_str()), (7, "heun"));
        for (text, needle) in [("steps = ", "TOML"), ("size_px = 64", "`size_px`"), ("steps = 0", "`steps`")] {
            let e = params::parse::<Synth>(&serde_json::json!({"preset": write(text)}).to_string()).unwrap_err().to_string();
            assert!(e.contains(needle), "{text}: {e}");
        }
        assert!(params::parse::<Synth>(r#"{"preset": "nowhere.toml"}"#).unwrap_err().to_string().contains("nowhere.toml"));
    }
}
