//! CSV and TSV files with a header line, read row by row.
//!
//! The splitting is our own because two things matter here that the `csv` crate leaves open: a quote that is never
//! closed must not swallow the rows below it, and a row must not grow without bound.

use std::{fs::File, io::BufRead, io::BufReader, io::Read, path::Path};

use super::{
    ImportedAnnotations, MOST_RECORDS,
    columns::{Columns, Further},
    encoding,
    json::Place,
    too_many,
};
use crate::{Error, Result, input};
use svitt_video::is_video_name;

/// Bytes that one row may have.
pub const LONGEST_ROW: usize = 1 << 20;
/// Lines that one row may have: a field in quotes may hold some.
const MOST_LINES: u64 = 1_000;
/// What pandas and databases write into a cell that has no value.
const MISSING: [&str; 8] = ["NaN", "nan", "None", "null", "NULL", "<NA>", "N/A", "#N/A"];
/// Separators told apart by the header alone, the likelier first.
const SEPARATORS: [char; 4] = ['\t', ',', ';', '|'];

/// A table, open at its next row.
pub struct Table {
    lines: Lines,
    /// Names of the columns, as they are written.
    pub header: Vec<String>,
    /// What parts the columns.
    pub separator: char,
}

/// One row, and the header to find a column by.
pub struct Row<'a> {
    header: &'a [String],
    fields: &'a [String],
    /// Where it stands.
    pub place: Place,
}

impl Table {
    /// Opens a table; its separator is the one given, or the one that parts the header into most columns.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8 text or has no header.
    pub fn open(path: &Path, columns: &Columns) -> Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 16, input::open(path)?);
        encoding::check_start(path, &mut reader)?;
        let mut lines = Lines { reader, number: 0 };
        let first = lines.next(path)?.ok_or_else(|| Error::file(path, "is empty", "obtain the file again"))?;
        if first.contains('\r') {
            let problem = "ends its lines with carriage returns alone";
            return Err(Error::file(path, problem, "convert it: tr '\\r' '\\n' < FILE > NEW"));
        }
        let count = |separator: char| split(&first, separator).map_or(0, |fields| fields.len());
        let likeliest = || SEPARATORS.into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(',');
        let separator = columns.separator.unwrap_or_else(likeliest);
        let header = split(&first, separator).unwrap_or_else(|_| vec![first.clone()]);
        Ok(Self { lines, header: header.iter().map(|name| name.trim().to_owned()).collect(), separator })
    }

    /// Column names in lower case.
    pub fn names(&self) -> Vec<String> {
        self.header.iter().map(|name| name.to_lowercase()).collect()
    }

    /// Calls `take` with each row that is not blank; rows of another length than the header's are noted as unusable,
    /// and cells that hold what programs write for a missing value are empty. A release has its `own` columns, in lower
    /// case; others are counted.
    ///
    /// # Errors
    /// A quote that is not closed, a row that is too long or not UTF-8, or `take` refuses a row.
    pub fn each(
        mut self,
        path: &Path,
        imported: &mut ImportedAnnotations,
        own: Option<&[&str]>,
        mut take: impl FnMut(&mut ImportedAnnotations, &Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let header = self.names();
        let (mut number, mut further) = (0, Further::default());
        let written = self.header.clone();
        let odd = |at: &usize| own.is_some_and(|own| !own.contains(&header[*at].as_str()));
        // The line of a quote that its line did not close, until a whole row below it shows that it was a mere mark.
        let mut open_quote: Option<u64> = None;
        while let Some((line, mut fields, open)) = self.next(path)? {
            number += 1;
            if number > MOST_RECORDS {
                return Err(too_many(path));
            }
            let place = Place { number, line, key: None };
            let whole = fields.len() == header.len();
            if let Some(quote) = open_quote.or(open.then_some(line)).filter(|_| !whole) {
                let problem = format!("line {quote} opens a quote that it does not close");
                return Err(Error::file(path, problem, "write one record a line, and remove or double that quote"));
            }
            open_quote = open.then_some(line);
            if whole {
                (0..header.len()).filter(odd).for_each(|at| further.count(&written[at]));
                fields.iter_mut().filter(|field| MISSING.contains(&field.trim())).for_each(String::clear);
                take(imported, &Row { header: &header, fields: &fields, place })?;
            } else {
                let problem = format!("{} columns in place of the header's {}", fields.len(), header.len());
                imported.leave_out(&place, None, &problem);
            }
        }
        if own.is_some() {
            imported.list_further(further);
        }
        Ok(())
    }

    /// The next row that is not blank: the line it begins in, its fields, and whether one of them opens a quote that
    /// the line does not close (tabs only: there quotes are mere marks, as their usual writers leave them alone).
    fn next(&mut self, path: &Path) -> Result<Option<(u64, Vec<String>, bool)>> {
        let Some(mut row) = self.lines.next_filled(path)? else { return Ok(None) };
        let begun = self.lines.number;
        loop {
            match split(&row, self.separator) {
                Ok(fields) => return Ok(Some((begun, fields, false))),
                Err(quote) if self.separator == '\t' => {
                    let fields = row.split('\t').map(|field| closed(field).unwrap_or_else(|| field.to_owned()));
                    return Ok(Some((begun, fields.collect(), quote == Quote::Open)));
                }
                Err(Quote::Stray) => return Err(stray(path, begun, "is followed by more text")),
                Err(Quote::Open) => self.extend(path, begun, &mut row)?,
            }
        }
    }

    /// Adds lines to `row`, which begins in line `begun`, up to the next one with a quote.
    fn extend(&mut self, path: &Path, begun: u64, row: &mut String) -> Result<()> {
        loop {
            let line = self.lines.next(path)?.ok_or_else(|| stray(path, begun, "is never closed"))?;
            self.refuse_swallowed(path, begun, &line)?;
            row.push('\n');
            row.push_str(&line);
            if row.len() > LONGEST_ROW || self.lines.number - begun >= MOST_LINES {
                return Err(stray(path, begun, "is not closed within 1 MiB and 1,000 lines"));
            }
            if line.contains('"') {
                return Ok(());
            }
        }
    }

    /// Refuses a quoted field that goes on in `line` where that line is a row by itself: as many columns as the header
    /// has, and one of them the name of a video.
    fn refuse_swallowed(&self, path: &Path, begun: u64, line: &str) -> Result<()> {
        let alone = split(line, self.separator).is_ok_and(|fields| {
            fields.len() == self.header.len() && fields.iter().any(|field| is_video_name(field.trim()))
        });
        if alone { Err(stray(path, begun, "goes on in the next line, which is a row of its own")) } else { Ok(()) }
    }
}

fn stray(path: &Path, line: u64, what: &str) -> Error {
    let problem = format!("line {line} opens a quote that {what}");
    Error::file(path, problem, "double the quote and put the whole field in quotes, or remove it")
}

impl Row<'_> {
    /// The field under the first of `names` that the header has, trimmed.
    pub fn get(&self, names: &[&str]) -> &str {
        let column = names.iter().find_map(|name| self.header.iter().position(|column| column == name));
        column.and_then(|column| self.fields.get(column)).map_or("", |field| field.trim())
    }

    /// All fields, in the order of the header.
    pub fn fields(&self) -> &[String] {
        self.fields
    }
}

/// What is wrong with the quotes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Quote {
    /// A field begins with one and does not end in the line.
    Open,
    /// A field ends with one and has more text behind it.
    Stray,
}

/// Splits a row at `separator`; a field in quotes may hold it, and line ends, and quotes that are doubled.
fn split(row: &str, separator: char) -> std::result::Result<Vec<String>, Quote> {
    let mut fields = Vec::new();
    let mut rest = row;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let Some((field, behind)) = rest.split_once(separator) else {
                fields.push(rest.to_owned());
                return Ok(fields);
            };
            fields.push(field.to_owned());
            rest = behind;
            continue;
        };
        let mut end = None;
        let mut marks = quoted.match_indices('"').map(|(at, _)| at).peekable();
        while let Some(at) = marks.next() {
            if marks.next_if_eq(&(at + 1)).is_none() {
                end = Some(at);
                break;
            }
        }
        let end = end.ok_or(Quote::Open)?;
        fields.push(quoted[..end].replace("\"\"", "\""));
        match quoted[end + 1..].strip_prefix(separator) {
            Some(behind) => rest = behind,
            None if quoted[end + 1..].trim().is_empty() => return Ok(fields),
            None => return Err(Quote::Stray),
        }
    }
}

/// The content of a `field` that is wholly in quotes.
fn closed(field: &str) -> Option<String> {
    let fields = split(field, '\t').ok()?;
    fields.into_iter().next()
}

/// The lines of a file, of bounded length.
struct Lines {
    reader: BufReader<File>,
    /// The number of the last one, from 1.
    number: u64,
}

impl Lines {
    fn next(&mut self, path: &Path) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        let mut bounded = self.reader.by_ref().take(LONGEST_ROW as u64 + 2);
        if bounded.read_until(b'\n', &mut bytes).map_err(|e| Error::io(path, &e))? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if bytes.len() > LONGEST_ROW + 1 {
            let problem = format!("line {} is longer than 1 MiB", self.number);
            return Err(Error::file(path, problem, "check that it is the right file"));
        }
        let text = String::from_utf8(bytes).map_err(|_| encoding::not_utf8(path, self.number))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Some(line.strip_suffix('\r').unwrap_or(line).to_owned()))
    }

    fn next_filled(&mut self, path: &Path) -> Result<Option<String>> {
        loop {
            match self.next(path)? {
                Some(line) if line.trim().is_empty() => {}
                other => return Ok(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> std::result::Result<Vec<String>, Quote> {
        split(text, ',')
    }

    #[test]
    fn quotes_hold_separators_and_doubled_quotes() {
        assert_eq!(of("a,\"b, \"\"c\"\"\",,d"), Ok(["a", "b, \"c\"", "", "d"].map(str::to_owned).to_vec()));
        assert_eq!(of("a 12\" disk,\"\""), Ok(["a 12\" disk", ""].map(str::to_owned).to_vec()));
        assert_eq!(of("a,\"b\nc\""), Ok(["a", "b\nc"].map(str::to_owned).to_vec()));
        assert_eq!(
            [of("a,\"b"), of("a,\"b\"\""), of("a,\"b\"c")],
            [Err(Quote::Open), Err(Quote::Open), Err(Quote::Stray)]
        );
        assert_eq!(of(""), Ok(vec![String::new()]));
    }
}
