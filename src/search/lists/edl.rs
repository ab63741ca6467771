//! Results as an edit decision list (CMX 3600): events with timecodes of the source and of the timeline.

use super::{ResultList, file_name};
use crate::search::SearchResult;
use crate::{Error, Result, limits, printable};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;
use svitt_video::{ReaderOptions, VideoReader};

/// Events of a list: their numbers have three digits.
const MOST_EVENTS: usize = 999;

/// Letters of a reel's name.
const REEL: usize = 8;

/// Where timelines begin by custom, seconds.
const TIMELINE_START: f64 = 3600.0;

/// Relative error of an average rate that is still taken for a rate of equal frames.
const RATE_ERROR: f64 = 0.005;

/// A frame rate as timecodes count it: `count` frames are called a second, without dropping numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FrameRate {
    /// Frames per second.
    pub rate: f64,
    /// Frames that timecodes call a second.
    pub count: u64,
    /// Whether frames are shown for different times.
    pub varies: bool,
}

impl FrameRate {
    /// The rate nearest to the average `fps` of a file: a whole number, or 1000/1001 of one as in 29.97. Where neither is
    /// near, frames differ in length, and timecodes are of the seconds.
    pub fn of(fps: f64) -> Self {
        let whole = if fps.is_finite() { fps.round().clamp(1.0, 1000.0) } else { 25.0 };
        let fractional = whole * 1000.0 / 1001.0;
        let rate = if (fps - fractional).abs() < (fps - whole).abs() { fractional } else { whole };
        let varies = (fps / rate - 1.0).abs() > RATE_ERROR || fps.is_nan();
        Self { rate: if varies { whole } else { rate }, count: whole as u64, varies }
    }

    /// The number of the frame that begins nearest to `seconds`.
    fn frame(self, seconds: f64) -> u64 {
        (seconds.max(0.0) * self.rate).round() as u64
    }

    /// `HH:MM:SS:FF` of frame `frame`.
    pub fn timecode(self, frame: u64) -> String {
        let (seconds, frames) = (frame / self.count, frame % self.count);
        format!("{:02}:{:02}:{:02}:{frames:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// The events of `results`, one after the other from one hour on, at the frame rate of the first. Files that cannot be
/// read are left out, and said.
///
/// # Errors
/// More than [`MOST_EVENTS`] results.
pub(super) fn list(title: &str, results: &[SearchResult]) -> Result<ResultList> {
    limits::check("top", results.len(), 0, MOST_EVENTS)?;
    let rates: Vec<_> = results.par_iter().map(|clip| rate_of(&clip.path)).collect();
    Ok(events(title, results, &rates))
}

fn rate_of(path: &Path) -> std::result::Result<FrameRate, String> {
    let reader = VideoReader::open(path, &ReaderOptions::default()).map_err(|e| Error::from(e).to_string())?;
    Ok(FrameRate::of(reader.fps()))
}

/// The list, given the frame rate of every result's file, or why there is none.
pub(super) fn events(
    title: &str,
    results: &[SearchResult],
    rates: &[std::result::Result<FrameRate, String>],
) -> ResultList {
    let Some(timeline) = rates.iter().flatten().next().copied() else {
        return ResultList { text: head(title), warnings: left_out(results, rates) };
    };
    let mut text = head(title);
    let (mut reels, mut place) = (ReelNames::default(), timeline.frame(TIMELINE_START));
    let mut number = 0;
    for (clip, rate) in results.iter().zip(rates) {
        let Ok(rate) = rate else {
            let _ = writeln!(text, "* LEFT OUT: {}", printable::path(&clip.path));
            continue;
        };
        number += 1;
        let length = |rate: FrameRate| rate.frame(clip.end - clip.start).max(1);
        let (source, end) = (rate.frame(clip.start), place + length(timeline));
        let _ = writeln!(
            text,
            "{number:03}  {:<8} V     C        {} {} {} {}",
            reels.of(&clip.path),
            rate.timecode(source),
            rate.timecode(source + length(*rate)),
            timeline.timecode(place),
            timeline.timecode(end),
        );
        let _ = writeln!(text, "* FROM CLIP NAME: {}", file_name(&clip.path));
        let _ = writeln!(text, "* SOURCE FILE: {}", printable::path(&clip.path));
        let varies = if rate.varies { ", VARIABLE" } else { "" };
        let _ = writeln!(text, "* SOURCE FRAME RATE: {:.3}{varies}", rate.rate);
        place = end;
    }
    let mut warnings = left_out(results, rates);
    if rates.iter().flatten().any(|rate| rate.rate != timeline.rate) {
        let rate = timeline.rate;
        warnings.push(format!("the files differ in frame rate: the timeline is in that of the first, {rate:.3}"));
    }
    ResultList { text, warnings }
}

fn head(title: &str) -> String {
    let title: String = printable::path(Path::new(title)).chars().take(70).collect();
    format!("TITLE: {title}\nFCM: NON-DROP FRAME\n")
}

fn left_out(results: &[SearchResult], rates: &[std::result::Result<FrameRate, String>]) -> Vec<String> {
    let missing = results.iter().zip(rates).filter_map(|(clip, rate)| Some((clip, rate.as_ref().err()?)));
    missing.map(|(clip, problem)| format!("rank {} is left out of the list: {problem}", clip.rank)).collect()
}

/// Reels by file: eight capital letters, digits or underscores, no two files alike.
#[derive(Default)]
struct ReelNames<'a> {
    names: HashMap<&'a Path, String>,
    taken: HashSet<String>,
}

impl<'a> ReelNames<'a> {
    fn of(&mut self, path: &'a Path) -> &str {
        let taken = &mut self.taken;
        self.names.entry(path).or_insert_with(|| {
            let name = reel_of(path, taken);
            taken.insert(name.clone());
            name
        })
    }
}

/// The first free name that `path` may have: of its own letters, then with a number at the end.
fn reel_of(path: &Path, taken: &HashSet<String>) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let letters = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let name: String = letters.take(REEL).collect();
    // AX and BL stand for other things than reels; a name without letters or digits says nothing.
    let usable = name.bytes().any(|byte| byte != b'_') && !["AX", "BL"].contains(&name.as_str());
    let name = if usable { name } else { "CLIP".to_owned() };
    let numbered = (2..).map(|number: usize| {
        let digits = number.to_string();
        format!("{}{digits}", &name[..name.len().min(REEL - digits.len())])
    });
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name));
    free.unwrap_or(name)
}
