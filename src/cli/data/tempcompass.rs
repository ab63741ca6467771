//! `svitt data tempcompass`: the edited videos of TempCompass, by its own recipe.

use crate::cli::output::{self, JsonArg};
use crate::cli::{progress, terminal::note};
use crate::data::make_tempcompass;
use crate::{Error, Result};
use std::path::PathBuf;

/// Make TempCompass' edited videos from its plain ones, by the recipe of its release (needs the ffmpeg program)
#[derive(clap::Args)]
pub struct Args {
    /// The folder of clip_info.json, speed_concat_info.json and event_order_concat_info.txt
    recipe: PathBuf,
    /// The folder of the plain videos
    #[arg(long, value_name = "DIR")]
    media: PathBuf,
    /// The folder to write to; videos that are there already are skipped
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    args.json.check()?;
    let progress = progress::shown();
    let tell = |done: usize, all: usize| progress.report("making videos", done, all);
    let report = make_tempcompass(&args.recipe, &args.media, &args.out, &tell)?;
    let (made, skipped, failed) = (report.made, report.skipped, report.failed.len());
    output::print(&format!("{made} made, {skipped} were there already, {failed} failed\n"))?;
    args.json.write(&report)?;
    report.failed.iter().for_each(|failed| note(format_args!("failed: {}: {}", failed.media, failed.reason)));
    match failed {
        0 => Ok(()),
        _ => Err(Error::file(
            &args.media,
            format!("{failed} videos could not be made (listed above)"),
            "obtain what is missing, then run this again",
        )),
    }
}
