//! One self-contained page: headings, tables, charts and pictures; no script, no network, every text escaped.

use super::{Canvas, Chart};
use crate::{Result, files};
use base64::Engine as _;
use std::fmt::Write as _;
use std::path::Path;

/// Colours follow the reader's light or dark setting; charts take theirs from here.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1b1b;--faint:#8884}\
@media(prefers-color-scheme:dark){:root{--ink:#e8e8e8}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);max-width:1000px;margin:2em auto;padding:0 1em}\
.scroll{overflow-x:auto;margin:1em 0}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{border-bottom:1px solid var(--faint);padding:.25em .55em;text-align:right;white-space:nowrap}\
th{font-size:.87em}\
th:first-child,td:first-child{text-align:left}caption{text-align:left;font-weight:600}\
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(440px,100%),1fr));gap:1.5em 1em}\
.chart text{fill:var(--ink);font-size:13px}.chart .title{font-weight:600;font-size:15px}\
.chart .unit{font-weight:400;font-size:13px;opacity:.7}.chart .note{opacity:.7}\
.chart .grid{stroke:var(--faint);fill:none}.chart .axis{stroke:var(--ink);fill:none}\
.chart .rule{stroke:var(--ink);stroke-dasharray:4 4;fill:none}.chart .vertical_rule{stroke:var(--ink);opacity:.35;fill:none}\
.chart .dashes{stroke-dasharray:5 5}\
.chart .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}\
img{max-width:100%;image-rendering:pixelated}figure{margin:1em 0}figcaption{opacity:.8}\
.card{border:1px solid var(--faint);border-radius:8px;padding:.8em 1em;margin:1em 0}\
.card h3{margin:0;overflow-wrap:anywhere}.card p{margin:.2em 0 .6em;opacity:.8;overflow-wrap:anywhere}\
.card meter{width:100%;height:.5em}\
.wide{max-width:1400px}.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(560px,100%),1fr));gap:0 1.5em}\
.strip{display:flex;flex-wrap:wrap;gap:6px}.strip img{border-radius:4px}";

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
        format!(
            "<div class=\"scroll\"><table><caption>{caption}</caption>\n<thead>{head}</thead><tbody>\n{body}</tbody>\
             </table></div>\n"
        )
    }
}

/// A page under construction. Every `&str` is text, never markup.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
    wide: bool,
}

impl Page {
    /// A page with its title, which is also the first heading.
    pub fn new(title: impl Into<String>) -> Self {
        let title = title.into();
        let body = format!("<h1>{}</h1>\n", escape(&title));
        Self { title, body, wide: false }
    }

    /// The page as wide as two pictures side by side need.
    #[must_use]
    pub fn wide(mut self) -> Self {
        self.wide = true;
        self
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
        let figure = figure(picture, caption)?;
        Ok(self.push(format_args!("{figure}\n")))
    }

    /// Adds pictures with their captions, side by side where the window is wide enough.
    ///
    /// # Errors
    /// As [`Page::picture`].
    pub fn side_by_side(&mut self, pictures: &[(&Canvas, String)]) -> Result<&mut Self> {
        let figures = pictures.iter().map(|(picture, caption)| figure(picture, caption)).collect::<Result<String>>()?;
        Ok(self.push(format_args!("<div class=\"pair\">{figures}</div>\n")))
    }

    /// Adds a framed block: a heading, a line about it, a bar filled by `share` (0 to 1), pictures side by side.
    ///
    /// # Errors
    /// As [`Page::picture`].
    pub fn card(&mut self, heading: &str, note: &str, share: Option<f64>, pictures: &[Canvas]) -> Result<&mut Self> {
        let (heading, note) = (escape(heading), escape(note));
        let bar = share.map_or(String::new(), |share| {
            let share = share.clamp(0.0, 1.0);
            format!("<meter min=\"0\" max=\"1\" value=\"{share:.4}\" title=\"{share:.4}\"></meter>\n")
        });
        let strip = pictures.iter().map(|picture| image(picture, &heading)).collect::<Result<String>>()?;
        Ok(self.push(format_args!(
            "<section class=\"card\"><h3>{heading}</h3>\n<p>{note}</p>\n{bar}<div class=\"strip\">{strip}</div></section>\n"
        )))
    }

    /// The whole page. Its security policy lets a browser load nothing but what is inside it.
    pub fn html(&self) -> String {
        let (title, body) = (escape(&self.title), &self.body);
        let class = if self.wide { " class=\"wide\"" } else { "" };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
             http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src \
             'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<link rel=\"icon\" \
             href=\"data:,\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body{class}>\n{body}</body>\n</html>\n"
        )
    }

    /// Writes the page to `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), self.html())
    }

    fn push(&mut self, markup: std::fmt::Arguments<'_>) -> &mut Self {
        let _ = self.body.write_fmt(markup);
        self
    }
}

fn figure(picture: &Canvas, caption: &str) -> Result<String> {
    let caption = escape(caption);
    Ok(format!("<figure>{}<figcaption>{caption}</figcaption></figure>", image(picture, &caption)?))
}

/// The picture inside the page; `alt` is escaped already.
fn image(picture: &Canvas, alt: &str) -> Result<String> {
    let data = base64::engine::general_purpose::STANDARD.encode(picture.png()?);
    let (width, height) = (picture.width(), picture.height());
    Ok(format!("<img width=\"{width}\" height=\"{height}\" alt=\"{alt}\" src=\"data:image/png;base64,{data}\">"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_never_become_markup() {
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
    fn a_page_makes_no_network_requests() {
        let mut page = Page::new("run");
        page.charts(&[Chart::new("loss", "step", "nats").line("vtc", [[0.0, 1.0], [1.0, 0.5]])]);
        let html = page.html();
        assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("url("), "{html}");
        assert!(html.contains("default-src 'none'") && html.contains("<svg class=\"chart\""));
    }
}
