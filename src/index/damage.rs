//! What of a segment cannot be read.

use super::manifest::{SegmentEntry, TableEntry};
use super::segment_reader::ReadSummary;
use super::table::TableDamage;
use std::fmt;
use std::io;

/// A segment that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentDamage {
    /// File name in the index directory.
    pub segment: String,
    /// Records that are lost, one per file of the index; none where the writer was killed before it counted them.
    pub records: Option<u64>,
    /// Bytes that are no records; none where the whole file cannot be read.
    pub bytes: Option<u64>,
    /// What is wrong with it.
    pub problem: String,
}

impl SegmentDamage {
    /// The damage of `segment`, which was read as `summary` says; none if it is whole.
    pub(super) fn of(segment: &SegmentEntry, summary: &ReadSummary) -> Option<Self> {
        let bytes = match segment.sealed {
            Some(sealed) => sealed.bytes.saturating_sub(summary.end - summary.damaged),
            None => summary.damaged,
        };
        let records = segment.sealed.map(|sealed| sealed.records.saturating_sub(summary.records));
        let problem = "is damaged".to_owned();
        (bytes > 0).then(|| Self { segment: segment.name.clone(), records, bytes: Some(bytes), problem })
    }

    /// The damage of `segment`, which cannot be read at all.
    pub(super) fn unreadable(segment: &SegmentEntry, error: &io::Error) -> Self {
        let records = segment.sealed.map(|sealed| sealed.records);
        Self { segment: segment.name.clone(), records, bytes: None, problem: problem_of(error) }
    }

    /// The damage of the file of vectors `table`, which costs the clips of `files` files.
    pub(super) fn of_table(table: &TableEntry, files: usize, found: &io::Result<TableDamage>) -> Self {
        let (bytes, problem) = match found {
            Ok(damage) => (Some(damage.bytes), "is damaged".to_owned()),
            Err(error) => (None, problem_of(error)),
        };
        Self { segment: table.name.clone(), records: Some(files as u64), bytes, problem }
    }
}

fn problem_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is missing".to_owned(),
        _ => error.to_string(),
    }
}

impl fmt::Display for SegmentDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.segment, self.problem)?;
        match self.records {
            Some(1) => f.write_str("the clips of 1 file are lost")?,
            Some(records) => write!(f, "the clips of {records} files are lost")?,
            None => f.write_str("the clips of at least one file are lost")?,
        }
        self.bytes.map_or(Ok(()), |bytes| write!(f, " ({bytes} bytes)"))
    }
}
