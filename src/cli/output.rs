//! What commands write: text on standard output, reports as JSON files.

use super::terminal;
use crate::{Error, Result, files};
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Writes `text` to standard output. A reader that has gone away (`| head`) is not an error.
pub fn print(text: &str) -> Result<()> {
    match terminal::write_out(text) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output", &e)),
        _ => Ok(()),
    }
}

/// Writes what other programs read to standard output: as it is, but to a terminal as [`print()`] does.
pub fn print_for_programs(text: &str) -> Result<()> {
    if std::io::stdout().is_terminal() { print(text) } else { print_raw(text.as_bytes()) }
}

/// Writes bytes to standard output as they are.
pub fn print_raw(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output", &e)),
        _ => Ok(()),
    }
}

/// Writes `report` to `path`, if there is one: whole or not at all.
pub fn write_json(path: Option<&Path>, report: &impl Serialize) -> Result<()> {
    path.map_or(Ok(()), |path| files::write_json(path, report))
}

/// Where a command writes its report.
#[derive(clap::Args)]
pub struct JsonArg {
    /// Write the report to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl JsonArg {
    /// Refuses a file whose folder is not there.
    pub fn check(&self) -> Result<()> {
        self.json.iter().try_for_each(|path| check_folder(path))
    }

    /// Writes `report`, if it is wanted.
    pub fn write(&self, report: &impl Serialize) -> Result<()> {
        write_json(self.json.as_deref(), report)
    }
}

/// Refuses a file whose folder is not there: before the work, not after it.
pub fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            Err(Error::file(path, "cannot be written: its folder is not there", "make the folder first"))
        }
        _ => Ok(()),
    }
}

/// Columns of text, the first set left, the others right, each as wide as its widest cell.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["mode".to_owned(), "M".to_owned()], vec!["a".to_owned(), "7.47".to_owned()]];
        assert_eq!(columns(&rows), "mode     M\na     7.47\n");
    }

    #[test]
    fn reports_are_written_whole_or_the_path_is_named() {
        let dir = tempfile::tempdir().unwrap();
        write_json(Some(&dir.path().join("a.json")), &[1, 2]).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let nowhere = write_json(Some(&dir.path().join("no/a.json")), &[1]).unwrap_err().to_string();
        assert!(nowhere.contains("a.json"), "{nowhere}");
        assert!(check_folder(&dir.path().join("no/a.json")).is_err() && check_folder(Path::new("a.json")).is_ok());
    }
}
