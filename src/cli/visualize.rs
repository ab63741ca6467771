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
    let names = ["sheet.png", "report.json", "index.html"].map(str::to_owned);
    let not_made = |error| Error::io(&out, &error);
    svitt_video::write_together(&out, &names, not_made, |path| match path.extension().and_then(|e| e.to_str()) {
        Some("png") => sheet.write_png(path),
        Some("json") => files::write_json(path, &report),
        _ => page.write(path),
    })?;
    let summary = report["summary"].as_str().unwrap_or_default();
    output::print(&format!("{summary}\n{}\n", out.join("index.html").display()))
}
