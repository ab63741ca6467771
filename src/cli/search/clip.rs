//! `svitt search clip`: a result of the last search as a file of its own.

use super::print_line;
use crate::cli::output::{JsonArg, check_folder};
use crate::cli::signals::stop_on_signal;
use crate::limits::number;
use crate::progress::StopFlag;
use crate::search::{KeptResult, kept_result, printable};
use crate::{Error, Result};
use serde_json::json;
use std::path::{Path, PathBuf};
use svitt_video::VideoError;
use svitt_video::cut::{CutSettings, CutSpan, WhyEncoded, cut};

/// Arguments of `clip`.
#[derive(clap::Args)]
pub struct ClipArgs {
    /// Rank of a result as the last search of the index listed it: 1, or w1 of words
    #[arg(allow_hyphen_values = true)]
    rank: String,
    /// File to write (.mp4, .m4v, .mov, .mkv, .webm), or a folder; by default a file in this folder, named after the
    /// video and the span
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The index directory
    #[arg(long, default_value = "svitt-index")]
    index: PathBuf,
    /// Copy pictures and sound as they are where a key frame lies at most this many seconds before the clip, from there
    /// on; encode anew otherwise
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = number(0.0, 3600.0))]
    near: f64,
    /// Encode always, so that the clip begins with its first frame and nothing before it
    #[arg(long, conflicts_with = "near")]
    exact: bool,
    /// Write over a file that is there
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs `clip`.
pub fn clip(args: &ClipArgs) -> Result<()> {
    args.json.check()?;
    let result = kept_result(&args.index, &args.rank)?;
    let target = args.target(&result)?;
    let stop = StopFlag::default();
    stop_on_signal(stop.clone())?;
    let copy_within = (!args.exact).then_some(args.near);
    let settings = CutSettings { copy_within, stop: stop.shared(), ..CutSettings::default() };
    let done = cut(result.path(), &target, result.span(), &settings).map_err(|error| match error {
        VideoError::Stopped { .. } => Error::Interrupted(format!("{} was not written", printable(&target))),
        other => other.into(),
    })?;
    print_line(described(&target, &result, &done))?;
    args.json.write(&json!({
        "file": printable(&target),
        "source": printable(result.path()),
        "wanted": {"start": result.start, "end": result.end},
        "start": done.start,
        "end": done.end,
        "frames": done.frames,
        "copied": done.encoded.is_none(),
        "after_key_frame": done.after_key_frame,
    }))
}

impl ClipArgs {
    /// The file to write, which is no other's.
    fn target(&self, result: &KeptResult) -> Result<PathBuf> {
        let target = match &self.out {
            Some(folder) if folder.is_dir() => folder.join(result.clip_name()),
            Some(file) => file.clone(),
            None => result.clip_name(),
        };
        check_folder(&target)?;
        let real = target.canonicalize().ok();
        if real.is_some() && real == result.path().canonicalize().ok() {
            return Err(Error::file(&target, "is the video itself", "name another file with option `out`"));
        }
        if target.symlink_metadata().is_ok() && !self.overwrite {
            let remedy = "name another file with option `out`, or give option `overwrite`";
            return Err(Error::file(&target, "is there already", remedy));
        }
        Ok(target)
    }
}

/// What was cut, on one line.
fn described(target: &Path, result: &KeptResult, done: &CutSpan) -> String {
    let earlier = result.start - done.start;
    let gap = done.after_key_frame.unwrap_or_default();
    let how = match done.encoded {
        None if earlier > 0.005 => format!("copied from the key frame {earlier:.2} s before the clip"),
        None => "copied".to_owned(),
        Some(WhyEncoded::Asked) => "encoded anew".to_owned(),
        Some(WhyEncoded::Far) => format!("encoded anew, the key frame before lies {gap:.2} s away"),
        Some(WhyEncoded::NoKeyFrame) => "encoded anew, no key frame before it is known".to_owned(),
        Some(WhyEncoded::NotCopied) => "encoded anew, a copy in such a file would not play right".to_owned(),
    };
    let (file, source, [start, end]) = (printable(target), printable(result.path()), [done.start, done.end]);
    format!("{file}: {start:.2}-{end:.2} of {source}, {how}")
}
