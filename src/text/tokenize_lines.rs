//! `data tokenize`: lines of text in, one JSON object a line out.

use super::{LONGEST_ENCODING, Tokenizer, clean};
use crate::{Error, Result};
use serde::Serialize;
use std::io::{BufRead, Read, Write};

/// Bytes that one line may have.
const LONGEST_LINE: u64 = 1 << 20;

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    clean: String,
    ids: &'a [i64],
}

/// Cleans and encodes each line of `input`, blank ones too, and writes `{"text", "clean", "ids"}` per line to
/// `output`; ids are not padded and at most `max_length` long,
/// and of a text of more than 64 KiB the beginning is encoded. Gives back the number of lines.
///
/// # Errors
/// A line that is not UTF-8 or has more than 1 MiB, with its number; a `max_length` out of range; what either stream
/// says.
pub fn tokenize_lines(
    tokenizer: &Tokenizer,
    max_length: usize,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<usize> {
    if !(1..=LONGEST_ENCODING).contains(&max_length) {
        let remedy = format!("use 1 to {LONGEST_ENCODING}; the paper's captions use 32 to 64");
        return Err(Error::setting("max_length", format!("is {max_length}"), remedy));
    }
    let (mut bytes, mut count) = (Vec::new(), 0);
    let mut next = |bytes: &mut Vec<u8>| input.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', bytes);
    while next(&mut bytes).map_err(|e| Error::io("standard input", &e))? > 0 {
        count += 1;
        if bytes.len() as u64 > LONGEST_LINE {
            let problem = format!("line {count} is longer than 1 MiB");
            return Err(Error::file("standard input", problem, "give one text a line"));
        }
        let line = std::str::from_utf8(&bytes).map_err(|_| {
            Error::file("standard input", format!("line {count} is not UTF-8 text"), "convert it to UTF-8")
        })?;
        let text = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        let encoding = tokenizer.encode(text, max_length);
        let line = Line { text, clean: clean(text), ids: encoding.tokens() };
        let json = serde_json::to_string(&line).map_err(|e| Error::Fault(e.to_string()))?;
        writeln!(output, "{}", plain_json(&json)).map_err(|e| Error::io("standard output", &e))?;
        bytes.clear();
    }
    output.flush().map_err(|e| Error::io("standard output", &e))?;
    Ok(count)
}

/// The same JSON with the characters that steer a terminal written as `\u0085`.
fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                plain.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Vocabulary;

    #[test]
    fn characters_that_steer_a_terminal_are_escaped_and_mean_the_same() {
        let json = serde_json::to_string("a\u{9b}31m \u{202e}é").unwrap();
        assert_eq!(plain_json(&json), r#""a\u009b31m \u202eé""#);
        assert_eq!(serde_json::from_str::<String>(&plain_json(&json)).unwrap(), "a\u{9b}31m \u{202e}é");
    }

    #[test]
    fn every_line_gives_one_even_a_blank_one() {
        let tokenizer = Tokenizer::new(Vocabulary::from_words(["red", "dog"])).unwrap();
        let mut out = Vec::new();
        let count = tokenize_lines(&tokenizer, 3, "Red, dog!\n\nred red red\r\ndog".as_bytes(), &mut out).unwrap();
        assert_eq!(count, 4);
        let expected = [
            r#"{"text":"Red, dog!","clean":"red dog","ids":[2,5,6]}"#,
            r#"{"text":"","clean":"","ids":[2]}"#,
            r#"{"text":"red red red","clean":"red red red","ids":[2,5,5]}"#,
            r#"{"text":"dog","clean":"dog","ids":[2,6]}"#,
        ];
        assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_broken_line_is_named() {
        let tokenizer = Tokenizer::new(Vocabulary::from_words(["red"])).unwrap();
        let failed = tokenize_lines(&tokenizer, 3, b"red\n\xff\n".as_slice(), Vec::new());
        assert!(failed.unwrap_err().to_string().contains("line 2 is not UTF-8"));
        let zero = tokenize_lines(&tokenizer, 0, b"red\n".as_slice(), Vec::new());
        assert!(zero.unwrap_err().to_string().contains("setting `max_length`"));
        assert!(tokenize_lines(&tokenizer, usize::MAX, b"red\n".as_slice(), Vec::new()).is_err());
        let long = [&b"red\n"[..], &b"x".repeat(2 << 20)].concat();
        let failed = tokenize_lines(&tokenizer, 3, long.as_slice(), Vec::new());
        assert!(failed.unwrap_err().to_string().contains("line 2 is longer than 1 MiB"));
    }
}
