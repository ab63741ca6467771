//! `svitt visualize`: what a checkpoint keeps of a clip, as pictures and numbers.

use super::output;
use crate::run::{VisualizeOutput, VisualizeRequest, visualize};
use crate::{Error, Result, files};
use std::path::PathBuf;

/// Draw what the model keeps of a video: a page, a contact sheet and the numbers
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: VisualizeRequest,
    /// Where index.html, sheet.png and report.json go
    #[arg(long, value_name = "DIR", default_value = "visualize")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(Args { request, out }: Args) -> Result<()> {
    let VisualizeOutput { page, sheet, report } = visualize(&request)?;
    std::fs::create_dir_all(&out).map_err(|e| Error::io(&out, &e))?;
    sheet.write_png(out.join("sheet.png"))?;
    page.write(out.join("index.html"))?;
    files::write_json(&out.join("report.json"), &report)?;
    let summary = report["summary"].as_str().unwrap_or_default();
    output::print(&format!("{summary}\n{}\n", out.join("index.html").display()))
}
