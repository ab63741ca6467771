//! CSV and TSV files with a header line.

use std::path::Path;

use crate::{Error, Result};

/// A table that is read row by row.
pub struct Table {
    reader: csv::Reader<std::io::Cursor<Vec<u8>>>,
    header: Vec<String>,
}

/// One row, and the header to find a column by.
pub struct Row<'a> {
    header: &'a [String],
    fields: &'a csv::StringRecord,
    /// Line of the file the row starts on.
    pub line: u64,
}

/// Column names of a header line, lower-case.
pub fn header(line: &str, separator: char) -> Vec<String> {
    line.split(separator).map(|name| name.trim().trim_matches('"').to_lowercase()).collect()
}

/// The separator of a header line: a tab where there is one, else a comma.
pub fn separator(line: &str) -> char {
    if line.contains('\t') { '\t' } else { ',' }
}

impl Table {
    /// Opens a table.
    ///
    /// # Errors
    /// The file cannot be read or has no header line.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = super::json::bytes(path)?;
        let first = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
        let separator = separator(&String::from_utf8_lossy(first));
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator as u8)
            .flexible(true)
            .from_reader(std::io::Cursor::new(bytes));
        let header = reader.headers().map_err(|e| parse_error(path, &e))?;
        let header = header.iter().map(|name| name.trim().to_lowercase()).collect();
        Ok(Self { reader, header })
    }

    /// Calls `take` with each row that is not blank.
    ///
    /// # Errors
    /// A row is not UTF-8 or CSV, or `take` refuses it.
    pub fn each(mut self, path: &Path, mut take: impl FnMut(Row<'_>) -> Result<()>) -> Result<()> {
        let mut fields = csv::StringRecord::new();
        while self.reader.read_record(&mut fields).map_err(|e| parse_error(path, &e))? {
            let line = fields.position().map_or(0, csv::Position::line);
            take(Row { header: &self.header, fields: &fields, line })?;
        }
        Ok(())
    }
}

impl Row<'_> {
    /// The field under the first of `names` that the header has, trimmed; empty where the row is short.
    pub fn get(&self, names: &[&str]) -> &str {
        let column = names.iter().find_map(|name| self.header.iter().position(|column| column == name));
        column.and_then(|column| self.fields.get(column)).unwrap_or_default().trim()
    }

    /// The field under `name`, which must not be empty.
    ///
    /// # Errors
    /// The field is missing or empty.
    pub fn need(&self, path: &Path, name: &str) -> Result<&str> {
        let field = self.get(&[name]);
        if field.is_empty() {
            return Err(Error::file(
                path,
                format!("line {} has nothing in column `{name}`", self.line),
                "fill in that field or remove the line",
            ));
        }
        Ok(field)
    }
}

fn parse_error(path: &Path, error: &csv::Error) -> Error {
    Error::file(path, format!("cannot be parsed as a table: {error}"), "repair that line or obtain the file again")
}
