//! Text from outside (names of files, contents of files, messages of other programs), fit to be shown. A file may be
//! called `\x1b]0;…`, and a parser's error may quote megabytes of it.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::path::Path;

/// Characters of one message that are shown.
pub const LONGEST: usize = 4_000;

/// Whether a terminal would act on `letter` instead of showing it: control characters but line ends and tabs, and those
/// that turn the direction of writing round or have no width.
pub(crate) fn is_hidden(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        letter => letter.is_control(),
    }
}

/// `text` with every hidden character written as its escape. Lines stay lines.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_hidden(letter) { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    Cow::Owned(shown)
}

/// [`escaped`], cut to [`LONGEST`] characters; it says so where it was cut.
pub fn message(text: &str) -> Cow<'_, str> {
    let Some((end, _)) = text.char_indices().nth(LONGEST) else { return escaped(text) };
    let left = text[end..].chars().count();
    Cow::Owned(format!("{}… ({left} more characters)", escaped(&text[..end])))
}

/// `text` with each line as [`message`] shows it: for reports, which have any number of them.
pub fn lines(text: &str) -> Cow<'_, str> {
    let harmless = |line: &str| line.len() <= LONGEST && matches!(escaped(line), Cow::Borrowed(_));
    if text.split('\n').all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(message).collect::<Vec<_>>().join("\n"))
}

/// A path on one line: line ends and what is not Unicode are written as escapes as well.
pub fn path(path: &Path) -> String {
    let mut line = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            if is_hidden(letter) || letter.is_control() {
                line.extend(letter.escape_default());
            } else {
                line.push(letter);
            }
        }
        chunk.invalid().iter().for_each(|byte| {
            let _ = write!(line, "\\x{byte:02X}");
        });
    }
    line
}

/// [`path`] of a text that is no path.
pub fn one_line(text: &str) -> String {
    path(Path::new(text))
}

/// The name of a file without its folder, as [`path`] shows it.
pub fn file_name(file: &Path) -> String {
    file.file_name().map_or_else(String::new, |name| path(Path::new(name)))
}

/// Characters of a foreign text within a message.
const QUOTED: usize = 120;

/// A foreign text within a message: on one line, hidden characters escaped, cut after 120 characters.
pub fn quoted(text: &str) -> String {
    let mut shown = String::new();
    for (count, letter) in text.chars().enumerate() {
        match letter {
            _ if count == QUOTED => return shown + "…",
            letter if is_hidden(letter) || letter.is_control() => shown.extend(letter.escape_default()),
            letter => shown.push(letter),
        }
    }
    shown
}

/// Shows a value as [`message`] does.
pub struct Shown<T>(pub T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&message(&self.0.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(escaped("\u{1b}]0;title\u{7}\r\nx\ty"), "\\u{1b}]0;title\\u{7}\\r\nx\ty");
        assert_eq!(escaped("\u{9b}2J gpj.\u{202e}4pm"), "\\u{9b}2J gpj.\\u{202e}4pm");
        assert!(matches!(escaped("größe 8 Ω\n"), Cow::Borrowed(_)));
        assert_eq!(path(Path::new("a\nb\u{1b}.mp4")), "a\\nb\\u{1b}.mp4");
    }

    #[test]
    fn a_message_of_megabytes_is_cut() {
        let long = "é".repeat(15_000_000);
        let shown = message(&long);
        assert!(
            shown.starts_with("éé") && shown.ends_with("… (14996000 more characters)"),
            "{}",
            &shown[shown.len() - 60..]
        );
        assert_eq!(shown.chars().count(), LONGEST + "… (14996000 more characters)".chars().count());
        assert_eq!(quoted("a\u{1b}[2Jé\n"), "a\\u{1b}[2Jé\\n");
        assert_eq!(quoted(&long).chars().count(), QUOTED + 1);
        assert_eq!(message("short"), "short");
        assert_eq!(lines("a\n\u{7}\n"), "a\n\\u{7}\n");
        assert!(lines(&format!("a\n{long}\nb")).ends_with("characters)\nb"));
        assert_eq!(Shown("\u{1b}c").to_string(), "\\u{1b}c");
    }
}
