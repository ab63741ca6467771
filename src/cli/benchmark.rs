//! What commands about benchmarks share.

use super::output;
use crate::data::{Benchmark, Split};
use crate::eval::DATA_DIR;
use crate::{Error, Result};
use std::path::Path;

/// Prints what to obtain where neither `annotations` nor `data/` names the files of `split`.
///
/// # Errors
/// They are missing.
pub fn refuse_without_files(benchmark: Benchmark, split: Split, annotations: Option<&Path>) -> Result<()> {
    let (files, data) = (benchmark.files(), Path::new(DATA_DIR));
    if benchmark.is_generated() || annotations.is_some() || files.locate(data, split).is_some() {
        return Ok(());
    }
    output::print(&files.instructions(data))?;
    let of = if split == Split::Train { "training files" } else { "files" };
    let problem = format!("the {of} of {benchmark} are not there");
    Err(Error::file(data.join(files.folder), problem, "obtain those listed above, or give --annotations and --media"))
}
