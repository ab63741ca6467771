//! SubRip (`.srt`) and WebVTT (`.vtt`) as cues: what is said, and when. Such files come from everywhere, so whatever has
//! two times and a text counts, and the rest is passed over.

use crate::data::import::encoding;
use crate::printable::is_hidden;
use crate::{Error, Result, input};
use std::path::Path;

/// Bytes of a file: a day of subtitles has two million.
const MOST_BYTES: u64 = 16 << 20;

/// Cues of a file.
const MOST_CUES: usize = 200_000;

/// Seconds that a time may say, a month.
const LONGEST: f64 = 2_678_400.0;

/// Bytes of one tag.
const LONGEST_MARKUP: usize = 256;

/// What a line of times has between its two.
const ARROW: &str = "-->";

/// What is said at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    /// When it is shown, seconds.
    pub start: f64,
    /// When it goes.
    pub end: f64,
    /// The words on one line, without markup.
    pub text: String,
}

/// The cues of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subtitles {
    /// In the order of their beginnings.
    pub cues: Vec<Cue>,
    /// Lines that look like times and are none, or end before they begin.
    pub unread: usize,
}

/// Reads the subtitles in `path`.
///
/// # Errors
/// It cannot be read, is no UTF-8 text (the remedy is the command that converts it), is larger than 16 MiB, or has more
/// than 200,000 cues.
pub fn read_subtitles(path: &Path) -> Result<Subtitles> {
    let bytes = input::read(path, MOST_BYTES)?;
    let mut rest = &bytes[..];
    encoding::check_start(path, &mut rest)?;
    let text = std::str::from_utf8(rest).map_err(|problem| {
        let lines = rest[..problem.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        encoding::not_utf8(path, lines as u64 + 1)
    })?;
    let subtitles = parse(text);
    if subtitles.cues.len() > MOST_CUES {
        let problem = format!("has more than {MOST_CUES} cues");
        return Err(Error::file(path, problem, "check that it is the right file, or split it with its video"));
    }
    Ok(subtitles)
}

/// The cues of `text`: a line of times, and the lines up to an empty one or the next times. What a header, notes and
/// styles of WebVTT hold has no times; its `X-TIMESTAMP-MAP` is about pieces of a stream, not about a file beside a
/// video.
pub(super) fn parse(text: &str) -> Subtitles {
    let mut found = Subtitles::default();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if !line.contains(ARROW) {
            continue;
        }
        let mut said: Vec<&str> = Vec::new();
        while let Some(next) = lines.next_if(|next| !next.is_empty() && !next.contains(ARROW)) {
            said.push(next);
        }
        // The number of the next cue, where no empty line stands before it.
        if lines.peek().is_some_and(|next| next.contains(ARROW)) && said.last().is_some_and(|last| is_number(last)) {
            said.pop();
        }
        match times(line) {
            Some((start, end)) if end >= start => found.cues.push(Cue { start, end, text: words_of(&said) }),
            _ => found.unread += 1,
        }
    }
    found.cues.retain(|cue| !cue.text.is_empty());
    found.cues.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
    found
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The seconds of `00:01:02,500 --> 00:01:04,000 align:start`.
fn times(line: &str) -> Option<(f64, f64)> {
    let (start, rest) = line.split_once(ARROW)?;
    Some((seconds(start.trim())?, seconds(rest.split_whitespace().next()?)?))
}

/// The seconds of `1:01:02,500`, `01:02.500` or `01:02`.
fn seconds(time: &str) -> Option<f64> {
    let mut sum = 0.0;
    let parts: Vec<&str> = time.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    for (place, part) in parts.iter().enumerate() {
        let (whole, fraction) = part.split_once([',', '.']).unwrap_or((part, ""));
        let digits = |text: &str| text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
        let last = place + 1 == parts.len();
        if whole.is_empty() || !digits(whole) || !digits(fraction) || (part.len() > whole.len()) && !last {
            return None;
        }
        sum = sum * 60.0 + whole.parse::<f64>().ok()? + format!("0.{fraction}0").parse::<f64>().ok()?;
    }
    (sum <= LONGEST).then_some(sum)
}

/// The words of `lines` on one line.
fn words_of(lines: &[&str]) -> String {
    let plain: Vec<String> = lines.iter().map(|line| plain(line)).collect();
    plain.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ")
}

/// `line` without tags (`<i>`, `<v Bob>`, `<00:01.000>`), styles of SubStation (`{\an8}`) and control characters; with
/// named characters in their places.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['<', '{', '&']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let (shown, length) = markup(rest).unwrap_or((&rest[..1], 1));
        text.push_str(shown);
        rest = &rest[length..];
    }
    text.push_str(rest);
    text.retain(|letter| !is_hidden(letter));
    text
}

/// What the markup at the beginning of `text` shows, and its length; none where it is no markup.
fn markup(text: &str) -> Option<(&str, usize)> {
    const NAMED: [(&str, &str); 7] =
        [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", " "), ("&quot;", "\""), ("&lrm;", ""), ("&rlm;", "")];
    let second = text[1..].chars().next()?;
    // Only so far, and not beyond the next beginning: a line of millions of `<` must not be searched to its end for each.
    let closed = |begin: u8, end: u8| {
        let inside = text.as_bytes()[1..].iter().take(LONGEST_MARKUP);
        let stop = inside.copied().position(|byte| byte == end || byte == begin)?;
        (text.as_bytes()[1 + stop] == end).then_some(("", stop + 2))
    };
    match &text[..1] {
        "<" if second.is_ascii_alphanumeric() || second == '/' => closed(b'<', b'>'),
        "{" if second == '\\' => closed(b'{', b'}'),
        "&" => NAMED.iter().find(|(name, _)| text.starts_with(name)).map(|(name, shown)| (*shown, name.len())),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
