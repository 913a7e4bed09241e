//! What must not reach a file: paths of the machine. In: a JSON value. Out: the same without them. Cannot fail.

use serde_json::Value;

/// Keys of the parameters that hold folders.
const FOLDERS: [&str; 3] = ["out_dir", "from", "models_dir"];

/// A copy without the parameters that name folders; any other text that begins as an absolute path is replaced.
pub fn scrubbed(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().filter(|(k, _)| !FOLDERS.contains(&k.as_str())).map(|(k, v)| (k.clone(), scrubbed(v))).collect(),
        Value::Array(list) => list.iter().map(scrubbed).collect(),
        Value::String(text) if is_path(text) => Value::String("(path left out)".into()),
        other => other.clone(),
    }
}

fn is_path(text: &str) -> bool {
    let drive = matches!(text.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    drive || ["/", "\\\\", "~/", "./", "../", "file:"].iter().any(|start| text.starts_with(start) && text.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn folders_and_absolute_paths_are_left_out_and_the_rest_stays() {
        let v = json!({"from": "map", "a": ["/home/x/y.svs", "C:\\x", "\\\\server\\x", "1/2", "gpu:0"], "b": {"out_dir": null, "n": 1.5}});
        let left = "(path left out)";
        assert_eq!(scrubbed(&v), json!({"a": [left, left, left, "1/2", "gpu:0"], "b": {"n": 1.5}}));
        assert_eq!(scrubbed(&scrubbed(&v)), scrubbed(&v));
    }
}
