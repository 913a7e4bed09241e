//! A page that stands alone: text, tables and pictures in one HTML file that opens without a network. In: what a report shows. Out: HTML 5
//! with its pictures inside (RFC 2397) and a policy that forbids scripts and requests (Content Security Policy Level 3). Cannot fail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::xml::escaped;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem;margin:1rem 0 .25rem}img{max-width:100%;image-rendering:auto;vertical-align:top}\
figure{margin:0;display:inline-block;max-width:100%;break-inside:avoid}figcaption,small{color:#666;font-size:.85rem}.row{display:flex;flex-wrap:wrap;gap:.75rem}\
table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:.25rem .6rem;text-align:left}td{overflow-wrap:anywhere}td.n{text-align:right}td.faint{color:#666}\
.swatch{display:inline-block;width:1.2em;height:1.2em;border:1px solid #222;vertical-align:middle;\
-webkit-print-color-adjust:exact;print-color-adjust:exact}.warning{color:#b2182b;font-weight:600}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.75rem}";

/// One field of a table.
pub(super) enum Field {
    /// Words.
    Text(String),
    /// Words in grey.
    Faint(String),
    /// A number as it is shown.
    Number(String),
    /// A colour.
    Swatch([u8; 3]),
}

/// A picture on a page.
pub(super) struct Shown<'a> {
    /// PNG file.
    pub png: &'a [u8],
    /// Words below it; may be empty.
    pub caption: &'a str,
    /// What it is, for those who cannot see it.
    pub alt: &'a str,
}

/// A page being written.
pub(super) struct Page {
    html: String,
}

impl Page {
    /// Begins one; the title is its first heading.
    pub fn new(title: &str) -> Self {
        let title = escaped(title);
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"generator\" content=\"histoloom {}\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
            env!("CARGO_PKG_VERSION")
        );
        Self { html }
    }

    /// A section begins.
    pub fn heading(&mut self, text: &str) {
        self.html += &format!("<h2>{}</h2>\n", escaped(text));
    }

    /// A part of a section begins.
    pub fn subheading(&mut self, text: &str) {
        self.html += &format!("<h3>{}</h3>\n", escaped(text));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.html += &format!("<p>{}</p>\n", escaped(text));
    }

    /// A paragraph that must not be overlooked.
    pub fn warning(&mut self, text: &str) {
        self.html += &format!("<p class=\"warning\">{}</p>\n", escaped(text));
    }

    /// Pictures side by side, no wider than `width_px` where that is given.
    pub fn pictures(&mut self, pictures: &[Shown<'_>], width_px: Option<u32>) {
        let width = width_px.map_or_else(String::new, |w| format!(" style=\"width:{w}px\""));
        self.html += "<div class=\"row\">\n";
        for Shown { png, caption, alt } in pictures {
            let (data, caption, alt) = (STANDARD.encode(png), escaped(caption), escaped(alt));
            self.html += &format!(
                "<figure{width}><img alt=\"{alt}\" src=\"data:image/png;base64,{data}\"{width}><figcaption>{caption}</figcaption></figure>\n"
            );
        }
        self.html += "</div>\n";
    }

    /// A table below its heads.
    pub fn table(&mut self, heads: &[&str], rows: &[Vec<Field>]) {
        let cells: String = heads.iter().map(|h| format!("<th scope=\"col\">{}</th>", escaped(h))).collect();
        self.html += &format!("<table>\n<tr>{cells}</tr>\n");
        for row in rows {
            let cells: String = row.iter().map(Field::html).collect();
            self.html += &format!("<tr>{cells}</tr>\n");
        }
        self.html += "</table>\n";
    }

    /// A list of sentences; nothing for none.
    pub fn list(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            let items: String = lines.iter().map(|l| format!("<li>{}</li>\n", escaped(l))).collect();
            self.html += &format!("<ul>\n{items}</ul>\n");
        }
    }

    /// JSON, folded away.
    pub fn folded(&mut self, title: &str, value: &Value) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.html += &format!("<details><summary>{}</summary>\n<pre>{}</pre></details>\n", escaped(title), preformatted(&text));
    }

    /// The whole page.
    pub fn finish(self) -> String {
        self.html + "</body>\n</html>\n"
    }
}

/// Text whose line ends are kept.
fn preformatted(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

impl Field {
    fn html(&self) -> String {
        match self {
            Self::Text(text) => format!("<td>{}</td>", escaped(text)),
            Self::Faint(text) => format!("<td class=\"faint\">{}</td>", escaped(text)),
            Self::Number(text) => format!("<td class=\"n\">{}</td>", escaped(text)),
            Self::Swatch([r, g, b]) => format!("<td><span class=\"swatch\" style=\"background:rgb({r},{g},{b})\"></span></td>"),
        }
    }
}

/// Lines of those of `wanted`, names and pointers, that the provenance has.
pub(super) fn told(provenance: &Value, wanted: &[(&str, &str)]) -> Vec<String> {
    let line = |(name, pointer): &(&str, &str)| {
        let value = provenance.pointer(pointer).filter(|v| !v.is_null())?;
        Some(format!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    };
    wanted.iter().filter_map(line).collect()
}
