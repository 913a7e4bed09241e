//! Parameters of an edit job.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::{Kind, OUT_DIR, Params, Table, field};
use crate::limits;
use crate::semantic_map::edit;

/// Parameters of an edit job: a map -> the map with other classes. With neither edits nor undo it opens a map's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Folder of the map; not given where the job starts from a result.
    pub from: Option<String>,
    /// Edits taken back before others are made.
    pub undo: usize,
    /// Made in this order.
    #[serde(deserialize_with = "edits")]
    pub edits: Vec<edit::Edit>,
    /// Folder for the map's files; the map's own is allowed.
    pub out_dir: Option<String>,
}

impl Params for Edit {
    const KIND: &'static str = "edit";

    fn table() -> Table {
        Table(vec![
            field("from", "Folder of the map", Kind::Text, || Value::Null, "Folder of a map, where the job is not given a result"),
            field(
                "undo",
                "Edits to take back",
                Kind::Integer(0, limits::EDITS as i64),
                || json!(0),
                "How many of the last edits are taken back before others are made",
            ),
            field(
                "edits",
                "Edits",
                Kind::List,
                || json!([]),
                "In this order: {\"merge\": [2, 5]}, {\"rename\": {\"label\": 3, \"name\": \"Tumour\"}}, \
                 {\"recolour\": {\"label\": 3, \"color\": \"#d55e00\"}}, {\"split\": 4}",
            ),
            OUT_DIR,
        ])
    }
}

/// The list, with the place of one that cannot be read.
fn edits<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<edit::Edit>, D::Error> {
    let listed = Vec::<Value>::deserialize(from)?.into_iter().enumerate();
    listed.map(|(i, v)| serde_json::from_value(v).map_err(|e| D::Error::custom(format!("edits[{i}]: {e}")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    #[test]
    fn an_edit_that_cannot_be_read_is_named() {
        let text = r##"{"edits": [{"merge": [2, 5]}, {"recolour": {"label": 3, "color": "#d55e00"}}, {"split": 4}]}"##;
        assert_eq!(params::parse::<Edit>(text).unwrap().edits.len(), 3);
        for (text, needle) in [
            (r#"{"edits": [{"split": 4}, {"melt": 2}]}"#, "edits[1]: unknown variant `melt`, expected one of `merge`"),
            (r#"{"edits": [{"split": 400}]}"#, "edits[0]: invalid value: integer `400`"),
            (r#"{"edits": [{"rename": {"label": 3}}]}"#, "edits[0]: missing field `name`"),
            (r#"{"edits": {"split": 4}}"#, "`edits`"),
            (r#"{"undo": -1}"#, "`undo`"),
            (r#"{"from": ""}"#, "`from`"),
        ] {
            let e = params::parse::<Edit>(text).unwrap_err().to_string();
            assert!(e.contains(needle), "{text}: {e}");
        }
    }
}
