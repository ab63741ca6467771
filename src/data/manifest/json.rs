//! JSON lists and JSON lines, streamed record by record: millions of records are never held as a JSON tree.

use super::fields;
use crate::{Error, Result, data::Record};
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::Value;
use std::{
    cell::Cell,
    io::{BufRead, Read},
    path::Path,
};

/// Reads `[{…}, {…}, …]`.
pub fn read_list(reader: impl BufRead, path: &Path) -> Result<Vec<Record>> {
    let (mut fault, line) = (None, Cell::new(1));
    let mut json = serde_json::Deserializer::from_reader(CountLines { reader, line: &line });
    let records = json.deserialize_seq(Records { fault: &mut fault, line: &line });
    let records = records.and_then(|list| json.end().map(|()| list));
    records.map_err(|e| match fault {
        Some((place, (problem, remedy))) => Error::file(path, format!("{place} {problem}"), remedy),
        None => Error::file(path, format!("is not valid JSON: {e}"), "repair the file at that line"),
    })
}

/// Counts lines of the bytes read so far; serde gives a visitor no position.
struct CountLines<'a, R> {
    reader: R,
    line: &'a Cell<usize>,
}

impl<R: BufRead> Read for CountLines<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let ends = buffer[..count].iter().filter(|byte| **byte == b'\n').count();
        self.line.set(self.line.get() + ends);
        Ok(count)
    }
}

/// Takes the records out of a list; the first faulty one is kept beside the parser's own error, with its place.
struct Records<'a> {
    fault: &'a mut Option<(String, fields::FieldError)>,
    line: &'a Cell<usize>,
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = Vec<Record>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Self::Value, A::Error> {
        let mut records = Vec::new();
        while let Some(object) = list.next_element::<Value>()? {
            match fields::record(object) {
                Ok(record) => records.push(record),
                Err(fault) => {
                    let place = format!("record {} (line {})", records.len() + 1, self.line.get());
                    *self.fault = Some((place, fault));
                    return Err(A::Error::custom("faulty record"));
                }
            }
        }
        Ok(records)
    }
}

/// Reads one object a line; blank lines are passed over.
pub fn read_lines(mut reader: impl BufRead, path: &Path) -> Result<Vec<Record>> {
    let (mut records, mut bytes, mut line) = (Vec::new(), Vec::new(), 0);
    while reader.read_until(b'\n', &mut bytes).map_err(|e| Error::io(path, &e))? > 0 {
        line += 1;
        if !bytes.trim_ascii().is_empty() {
            records.push(read_line(&bytes, path, line)?);
        }
        bytes.clear();
    }
    Ok(records)
}

fn read_line(bytes: &[u8], path: &Path, line: usize) -> Result<Record> {
    let object = serde_json::from_slice(bytes).map_err(|e| {
        let problem = format!("line {line} is not one JSON object (column {}: {e})", e.column());
        Error::file(path, problem, "write one record a line, or all of them as one list in [ ]")
    })?;
    fields::record(object).map_err(|(problem, remedy)| Error::file(path, format!("line {line} {problem}"), remedy))
}

#[cfg(test)]
mod tests {
    use super::super::{
        ManifestOptions,
        tests::{read_as, sentence},
    };

    #[test]
    fn blank_lines_and_windows_ends_are_passed_over() {
        let content = b"{\"video\": \"a\", \"caption\": \"x\"}\r\n\n{\"image\": \"b\", \"caption\": \"y\"}\n";
        let manifest = read_as("m.jsonl", content, &ManifestOptions::default()).unwrap();
        assert_eq!(manifest.records.iter().map(|r| r.media.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_faulty_record_of_a_list_is_named_with_its_line() {
        let content = b"[\n {\"video\": \"a\", \"caption\": \"x\"},\n {\"video\": \"b\", \"captoin\": \"y\"}\n]";
        let message = sentence("m.json", content, &ManifestOptions::default());
        assert!(message.contains("record 2 (line 3) has the unknown key \"captoin\""), "{message}");
        assert!(message.contains("accepted are video, image, caption"), "{message}");
    }

    #[test]
    fn broken_json_is_named_with_its_line() {
        let options = ManifestOptions::default();
        let truncated = sentence("m.json", b"[{\"video\": \"a\",\n \"caption\": \"x\"},", &options);
        assert!(truncated.contains("not valid JSON") && truncated.contains("line 2"), "{truncated}");
        let trailing = sentence("m.json", b"[{\"video\": \"a\", \"caption\": \"x\"}] x", &options);
        assert!(trailing.contains("trailing characters"), "{trailing}");
        let bytes = sentence("m.json", b"[{\"video\": \"\xff\", \"caption\": \"x\"}]", &options);
        assert!(bytes.contains("not valid JSON"), "{bytes}");
        let line = sentence("m.jsonl", b"{\"video\": \"a\", \"caption\": \"x\"}\n{\"video\": ", &options);
        assert!(line.contains("line 2 is not one JSON object"), "{line}");
        let deep = "[".repeat(100_000);
        assert!(sentence("m.json", deep.as_bytes(), &options).contains("recursion limit"));
    }
}
