//! Benchmarks of several files, such as one per aspect: a folder of them is read as one, and a file's name is a type of
//! its records.

use std::path::Path;

use super::{AnnotationOptions, ImportedAnnotations, import};
use crate::{Error, Result, data::Benchmark};

/// Reads every file of `benchmark` in `folder`.
///
/// # Errors
/// There is none, or one of them cannot be imported.
pub fn read(folder: &Path, benchmark: Benchmark, options: &AnnotationOptions) -> Result<ImportedAnnotations> {
    let names = benchmark.files().test;
    let mut whole: Option<ImportedAnnotations> = None;
    for path in names.iter().map(|name| folder.join(name)).filter(|path| path.is_file()) {
        let mut part = import(&path, options)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for record in part.records.iter_mut().filter(|record| !record.types.contains(&name)) {
            record.types.push(name.clone());
        }
        part.warnings.iter_mut().for_each(|warning| *warning = format!("{name}: {warning}"));
        part.joined.insert(0, path);
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => whole.append(part),
        }
    }
    let problem = || format!("holds none of {}", names.join(", "));
    whole.ok_or_else(|| Error::file(folder, problem(), "give the file of annotations, or the folder of these"))
}

impl ImportedAnnotations {
    /// Adds what another file of the same benchmark holds.
    fn append(&mut self, part: Self) {
        self.records.extend(part.records);
        self.total += part.total;
        self.left_out_count += part.left_out_count;
        self.left_out.extend(part.left_out);
        for (name, count) in part.further {
            *self.further.entry(name).or_default() += count;
        }
        self.joined.extend(part.joined);
        self.warnings.extend(part.warnings);
        self.split = self.split.filter(|split| part.split == Some(*split));
        self.expected = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::{ImportPurpose, sample};

    #[test]
    fn a_folder_of_aspects_is_one_benchmark_with_a_type_per_file() {
        let folder = tempfile::tempdir().unwrap();
        let options = AnnotationOptions {
            benchmark: Some(Benchmark::Testoftime),
            purpose: ImportPurpose::Evaluate,
            ..AnnotationOptions::default()
        };
        let message = import(folder.path(), &options).unwrap_err().to_string();
        assert!(message.contains("holds none of tempotl_didemo_test.csv, charades_testoftime.csv"), "{message}");
        for name in ["tempotl_didemo_test.csv", "charades_testoftime.csv"] {
            std::fs::copy(sample(&format!("testoftime/{name}")), folder.path().join(name)).unwrap();
        }
        let imported = import(folder.path(), &options).unwrap();
        let of = |kind: &str| imported.records.iter().filter(|record| record.types.iter().any(|t| t == kind)).count();
        assert_eq!((imported.records.len(), imported.total, imported.joined.len()), (6, 6, 2));
        assert_eq!((of("tempotl_didemo_test"), of("charades_testoftime"), of("before")), (4, 2, 4));
        let asked = AnnotationOptions { benchmark: Some(Benchmark::Nextqa), ..options };
        let message = import(folder.path(), &asked).unwrap_err().to_string();
        assert!(message.contains("is a folder without tar shards"), "its files overlap: {message}");
    }
}
