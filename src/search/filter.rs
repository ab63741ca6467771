//! Which files of an index a query is about.

use crate::index::{ClipSpan, Stamp};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use time::Date;
use time::format_description::well_known::Iso8601;

/// Limits a search to some files; nothing set means all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileFilter {
    /// Only this file, or files below this folder, links resolved as an index has them.
    pub within: Option<PathBuf>,
    /// Only files last modified at this moment or later, nanoseconds since 1970.
    pub after_ns: Option<i64>,
    /// Only videos of at least so many seconds.
    pub longer: Option<f64>,
}

impl FileFilter {
    /// The files of `folder` alone. A folder that is not there any more is taken by the name it is given.
    pub fn of_folder(folder: &Path) -> Self {
        Self { within: Some(folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf())), ..Self::default() }
    }

    /// Whether clips of a file with this `stamp` and these `spans` count; [`FileFilter::within`] is not looked at.
    pub fn admits(&self, stamp: &Stamp, spans: &[ClipSpan]) -> bool {
        self.after_ns.is_none_or(|least| stamp.modified_ns >= least)
            && self.longer.is_none_or(|least| spans.iter().any(|span| span.end >= least))
    }
}

/// The first moment (UTC) of a day that is written as `2026-11-28`, nanoseconds since 1970.
///
/// # Errors
/// It is not such a day, or one that file systems do not know.
pub fn day_ns(text: &str) -> Result<i64> {
    let wrong = || Error::setting("after", format!("`{text}` is no day"), "write it as 2026-11-28");
    let day = Date::parse(text, &Iso8601::DATE).map_err(|_| wrong())?;
    i64::try_from(day.midnight().assume_utc().unix_timestamp_nanos()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_anything_else_is_refused() {
        assert_eq!(day_ns("1970-01-02").unwrap(), 86_400_000_000_000);
        assert_eq!(day_ns("2024-02-29").unwrap(), 1_709_164_800_000_000_000);
        for wrong in ["2023-02-29", "yesterday", "", "2024-13-01", "01.02.2024", "9999-01-01"] {
            let message = day_ns(wrong).unwrap_err().to_string();
            assert!(message.contains("setting `after`") && message.contains("2026-11-28"), "{message}");
        }
    }
}
