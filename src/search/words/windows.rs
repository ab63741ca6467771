//! Cues put together to texts that are worth a vector.

use crate::data::Cue;
use crate::text::clean;

/// Words of a text: what a text encoder reads, with room for words of several pieces.
const MOST_WORDS: usize = 40;

/// Some cues in a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SpokenWindow {
    /// Start of the first cue, seconds.
    pub start: f64,
    /// End of the last one to end.
    pub end: f64,
    pub text: String,
}

/// `cues` in the order of their beginnings, as many to a window as `seconds` and [`MOST_WORDS`] allow, and one at least.
/// A cue that says what the one before it said (subtitles that roll up) is not said again; what has no word that a model
/// could read (♪) is left out.
pub(super) fn windows(cues: &[Cue], seconds: f64) -> Vec<SpokenWindow> {
    let mut windows: Vec<SpokenWindow> = Vec::new();
    let mut last: Option<(&str, usize)> = None;
    for cue in cues.iter().filter(|cue| has_words(&cue.text)) {
        let count = cue.text.split_whitespace().count();
        let open = windows.last_mut().zip(last);
        match open {
            Some((window, (said, _))) if said == cue.text => window.end = window.end.max(cue.end),
            Some((window, (_, words))) if cue.end - window.start <= seconds && words + count <= MOST_WORDS => {
                window.end = window.end.max(cue.end);
                window.text.push(' ');
                window.text.push_str(&cue.text);
                last = Some((&cue.text, words + count));
            }
            _ => {
                windows.push(SpokenWindow { start: cue.start, end: cue.end, text: cue.text.clone() });
                last = Some((&cue.text, count));
            }
        }
    }
    windows
}

fn has_words(text: &str) -> bool {
    clean(text).chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_are_joined_as_long_as_they_are_near_and_short() {
        let cue = |start: f64, end: f64, text: &str| Cue { start, end, text: text.to_owned() };
        let long = "word ".repeat(40);
        let cues = [
            cue(0.0, 2.0, "Good morning."),
            cue(1.0, 3.0, "Good morning."),
            cue(3.0, 4.0, "\u{266a}"),
            cue(4.0, 9.0, "Who is there?"),
            cue(9.0, 12.0, "Nobody."),
            cue(13.0, 14.0, long.trim()),
            cue(15.0, 16.0, "two words"),
        ];
        let found: Vec<_> = windows(&cues, 10.0).into_iter().map(|w| (w.start, w.end, w.text)).collect();
        let window = |start: f64, end: f64, text: &str| (start, end, text.to_owned());
        let expected = [
            window(0.0, 9.0, "Good morning. Who is there?"),
            window(9.0, 12.0, "Nobody."),
            window(13.0, 14.0, long.trim()),
            window(15.0, 16.0, "two words"),
        ];
        assert_eq!(found, expected);
        assert_eq!(windows(&cues[..1], 0.1).len(), 1, "longer than a window");
    }
}
