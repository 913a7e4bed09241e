//! Text inside XML. In: any text. Out: the same for an element or a quoted attribute. Cannot fail: characters that XML 1.0 forbids even
//! when escaped become the replacement character.

/// The text, escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // a reader turns these into blanks where they stand bare in an attribute
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", letter as u32)),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
