//! Results as an edit decision list (CMX 3600): events with timecodes of the source and of the timeline.

use super::{Entry, ResultList};
use crate::printable::{self, file_name};
use crate::{Error, Result, limits};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;
use svitt_video::{ReaderOptions, VideoReader};

/// Events of a list: their numbers have three digits.
const MOST_EVENTS: usize = 999;

/// Letters of a title.
const LONGEST_TITLE: usize = 70;

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

/// Why there is no frame rate.
type Problem = String;

/// The events of `entries`, one after the other from one hour on, at the frame rate of the first. Files that cannot be
/// read are left out, and said.
///
/// # Errors
/// More than [`MOST_EVENTS`] of them.
pub(super) fn list(title: &str, entries: &[Entry<'_>]) -> Result<ResultList> {
    limits::check("top", entries.len(), 0, MOST_EVENTS)?;
    let files: BTreeSet<&Path> = entries.iter().map(|entry| entry.path()).collect();
    let known: BTreeMap<&Path, _> = files.into_par_iter().map(|file| (file, rate_of(file))).collect();
    let rates: Vec<_> = entries.iter().map(|entry| known[entry.path()].clone()).collect();
    Ok(events(title, entries, &rates))
}

fn rate_of(path: &Path) -> std::result::Result<FrameRate, Problem> {
    let reader = VideoReader::open(path, &ReaderOptions::default()).map_err(|e| Error::from(e).to_string())?;
    Ok(FrameRate::of(reader.fps()))
}

/// The list, given the frame rate of every entry's file.
pub(super) fn events(
    title: &str,
    entries: &[Entry<'_>],
    rates: &[std::result::Result<FrameRate, Problem>],
) -> ResultList {
    let title: String = printable::one_line(title).chars().take(LONGEST_TITLE).collect();
    let mut text = format!("TITLE: {title}\nFCM: NON-DROP FRAME\n");
    let timeline = rates.iter().flatten().next().copied().unwrap_or(FrameRate::of(25.0));
    let (mut reels, mut place) = (ReelNames::default(), timeline.frame(TIMELINE_START));
    let (mut number, mut warnings) = (0, Vec::new());
    for (entry, rate) in entries.iter().zip(rates) {
        match rate {
            Ok(rate) => {
                number += 1;
                let end = place + length(*entry, timeline);
                let record = [place, end].map(|frame| timeline.timecode(frame));
                text.push_str(&event(number, *entry, *rate, reels.of(entry.path()), &record));
                place = end;
            }
            Err(problem) => {
                let _ = writeln!(text, "* LEFT OUT: {}", printable::path(entry.path()));
                warnings.push(format!("rank {} is left out of the list: {problem}", entry.rank()));
            }
        }
    }
    if rates.iter().flatten().any(|rate| rate.rate != timeline.rate) {
        let rate = timeline.rate;
        warnings.push(format!("the files differ in frame rate: the timeline is in that of the first, {rate:.3}"));
    }
    for warning in &warnings {
        let _ = writeln!(text, "* NOTE: {}", printable::one_line(warning));
    }
    ResultList { text, warnings }
}

/// Frames of `entry` at some rate, one at least.
fn length(entry: Entry<'_>, rate: FrameRate) -> u64 {
    let [start, end] = entry.span();
    rate.frame(end - start).max(1)
}

/// An event and what is said of it, given its timecodes on the timeline.
fn event(number: usize, entry: Entry<'_>, rate: FrameRate, reel: &str, [start, end]: &[String; 2]) -> String {
    let source = rate.frame(entry.span()[0]);
    let [from, to] = [source, source + length(entry, rate)].map(|frame| rate.timecode(frame));
    let (name, file) = (file_name(entry.path()), printable::path(entry.path()));
    let varies = if rate.varies { ", VARIABLE" } else { "" };
    let said = entry.text().map_or_else(String::new, |text| format!("* COMMENT: {text}\n"));
    format!(
        "{number:03}  {reel:<8} V     C        {from} {to} {start} {end}\n\
         * FROM CLIP NAME: {name}\n* SOURCE FILE: {file}\n* SOURCE FRAME RATE: {:.3}{varies}\n{said}",
        rate.rate
    )
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
