//! Drawing: PNG, SVG charts, HTML pages.
//!
//! Primitives first: [`Canvas`] paints RGB pixels and encodes PNG, [`Chart`] draws lines as inline SVG, [`Page`]
//! assembles one self-contained HTML file that needs no network, no script and no second file.

mod canvas;
mod font;
mod html;
mod scale;
mod sheet;
mod svg;

pub use canvas::{Canvas, Rgb};
pub use html::{Page, Table, escape};
pub use sheet::contact_sheet;
pub use svg::Chart;
