//! One self-contained page: headings, tables, charts and pictures; no script, no network, every text escaped.

use super::{Canvas, Chart};
use crate::{Error, Result};
use base64::Engine as _;
use std::fmt::Write as _;
use std::path::Path;

/// Colours follow the reader's light or dark setting; charts take theirs from here.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1b1b;--faint:#8884}\
@media(prefers-color-scheme:dark){:root{--ink:#e8e8e8}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);max-width:1000px;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}\
th,td{border-bottom:1px solid var(--faint);padding:.25em .8em;text-align:right}\
th:first-child,td:first-child{text-align:left}caption{text-align:left;font-weight:600}\
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:1em}\
.chart text{fill:var(--ink);font-size:12px}.chart .title{font-weight:600;font-size:14px}\
.chart .grid{stroke:var(--faint);fill:none}.chart .axis{stroke:var(--ink);fill:none}\
.chart .rule{stroke:var(--ink);stroke-dasharray:4 4;fill:none}\
.chart .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}\
img{max-width:100%;image-rendering:pixelated}figure{margin:1em 0}figcaption{opacity:.8}";

/// `text` with the five characters that mean something in HTML replaced; control characters become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(letter),
            control if control.is_control() => escaped.push('\u{FFFD}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A table: a caption, a head, rows of text. The first column is set left, the others right.
#[derive(Clone, Debug, Default)]
pub struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with the names of its columns.
    pub fn new<S: Into<String>>(caption: impl Into<String>, head: impl IntoIterator<Item = S>) -> Self {
        Self { caption: caption.into(), head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// The table as a `<table>` element.
    pub fn html(&self) -> String {
        let line = |cells: &[String], tag: &str| {
            let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
            format!("<tr>{cells}</tr>\n")
        };
        let body: String = self.rows.iter().map(|row| line(row, "td")).collect();
        let (caption, head) = (escape(&self.caption), line(&self.head, "th"));
        format!("<table><caption>{caption}</caption>\n<thead>{head}</thead><tbody>\n{body}</tbody></table>\n")
    }
}

/// A page under construction. Every `&str` is text, never markup.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// A page with its title, which is also the first heading.
    pub fn new(title: impl Into<String>) -> Self {
        let title = title.into();
        let body = format!("<h1>{}</h1>\n", escape(&title));
        Self { title, body }
    }

    /// Adds a second-level heading.
    pub fn heading(&mut self, text: &str) -> &mut Self {
        self.push(format_args!("<h2>{}</h2>\n", escape(text)))
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.push(format_args!("<p>{}</p>\n", escape(text)))
    }

    /// Adds a table.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        self.push(format_args!("{}", table.html()))
    }

    /// Adds charts, side by side where the window is wide enough.
    pub fn charts<'a>(&mut self, charts: impl IntoIterator<Item = &'a Chart>) -> &mut Self {
        let charts: String = charts.into_iter().map(Chart::svg).collect();
        self.push(format_args!("<div class=\"charts\">\n{charts}</div>\n"))
    }

    /// Adds a picture with its caption.
    ///
    /// # Errors
    /// The picture cannot be encoded ([`Canvas::png`]).
    pub fn picture(&mut self, picture: &Canvas, caption: &str) -> Result<&mut Self> {
        let data = base64::engine::general_purpose::STANDARD.encode(picture.png()?);
        let (caption, width, height) = (escape(caption), picture.width(), picture.height());
        Ok(self.push(format_args!(
            "<figure><img width=\"{width}\" height=\"{height}\" alt=\"{caption}\" \
             src=\"data:image/png;base64,{data}\"><figcaption>{caption}</figcaption></figure>\n"
        )))
    }

    /// The whole page. Its security policy lets a browser load nothing but what is inside it.
    pub fn html(&self) -> String {
        let (title, body) = (escape(&self.title), &self.body);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
             http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src \
             'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<link rel=\"icon\" \
             href=\"data:,\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
        )
    }

    /// Writes the page to `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        std::fs::write(&path, self.html()).map_err(|e| Error::io(path, &e))
    }

    fn push(&mut self, markup: std::fmt::Arguments<'_>) -> &mut Self {
        let _ = self.body.write_fmt(markup);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_file_name_holds_becomes_markup() {
        let name = "<script>\"x\"&'y'\u{1b}\n";
        let mut table = Table::new(name, ["file", "score"]);
        table.row([name, "0.5"]);
        let mut page = Page::new(name);
        page.heading(name).paragraph(name).table(&table);
        page.picture(&Canvas::new(5, 3, [1; 3]), name).unwrap();
        let html = page.html();
        assert!(!html.contains("<script") && !html.contains('\u{1b}'), "{html}");
        assert!(html.contains("&lt;script&gt;&quot;x&quot;&amp;&#39;y&#39;\u{FFFD}\n"));
        assert!(html.contains("data:image/png;base64,iVBOR"));
    }

    #[test]
    fn a_page_asks_nothing_of_the_network() {
        let mut page = Page::new("run");
        page.charts(&[Chart::new("loss", "step", "nats").line("vtc", [[0.0, 1.0], [1.0, 0.5]])]);
        let html = page.html();
        assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("url("), "{html}");
        assert!(html.contains("default-src 'none'") && html.contains("<svg class=\"chart\""));
    }
}
