//! Drawing: PNG, SVG charts, HTML pages.
//!
//! Primitives first: [`Canvas`] paints RGB pixels and encodes PNG, [`Chart`] draws lines as inline SVG, [`Page`]
//! assembles one self-contained HTML file that needs no network, no script and no second file.

mod canvas;
mod chart;
mod font;
mod html;
mod plot;
mod scale;
mod sheet;

pub use canvas::{Canvas, Rgb};
pub use chart::Chart;
pub use html::{Page, Table, escape};
pub use sheet::contact_sheet;
