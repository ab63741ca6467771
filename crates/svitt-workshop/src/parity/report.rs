//! What was compared, as JSON and as a table.

use super::tolerance::{Difference, TensorKind};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// One compared tensor or figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorReport {
    /// Its name in the file.
    pub name: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// What was allowed.
    pub tolerance: f64,
    /// Whether every value is within its tolerance.
    pub pass: bool,
}

/// One file of the directory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileReport {
    /// Base name with extension.
    pub file: String,
    /// Whether all of it was used or compared.
    pub covered: bool,
    /// Of the tensor that came nearest to its tolerance, or went farthest beyond.
    pub max_abs: f64,
    /// Of that tensor.
    pub tolerance: f64,
    /// Whether it is covered and every tensor passes.
    pub pass: bool,
    /// What nothing here knows how to compare; empty where `covered`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<String>,
    /// What serves training alone, and is left out by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<String>,
    /// Every comparison.
    pub tensors: Vec<TensorReport>,
}

/// A whole directory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParityReport {
    /// Whether every file passes.
    pub passed: bool,
    /// Where the model ran.
    pub backend: &'static str,
    /// Which rules it followed; fixtures are always of the official ones.
    pub compat: &'static str,
    /// Every file, by name.
    pub files: Vec<FileReport>,
}

/// Collects the comparisons of one file.
#[derive(Clone, Debug)]
pub struct FileCheck {
    name: String,
    factor: f64,
    tensors: Vec<TensorReport>,
    uncovered: Vec<String>,
    set_aside: Vec<String>,
}

impl FileCheck {
    /// An empty check of file `name`, tolerances times `factor`.
    pub fn new(name: &str, factor: f64) -> Self {
        Self { name: name.to_string(), factor, tensors: Vec::new(), uncovered: Vec::new(), set_aside: Vec::new() }
    }

    /// Compares `ours` to `reference`.
    pub fn compare<A, B>(&mut self, name: impl Into<String>, kind: TensorKind, ours: &[A], reference: &[B])
    where
        A: Copy + Into<f64>,
        B: Copy + Into<f64>,
    {
        let ours: Vec<f64> = ours.iter().map(|&value| value.into()).collect();
        let reference: Vec<f64> = reference.iter().map(|&value| value.into()).collect();
        let Difference { max_abs, tolerance, pass } = kind.difference(&ours, &reference, self.factor);
        self.tensors.push(TensorReport { name: name.into(), max_abs, tolerance, pass });
    }

    /// Adds a count of violations, which must be 0.
    pub fn violations(&mut self, name: impl Into<String>, count: usize) {
        self.compare(name, TensorKind::Exact, &[count as f64], &[0.0f64]);
    }

    /// Compares names or words: how many stand in another place, or in one list alone.
    pub fn words<A: AsRef<str>, B: AsRef<str>>(&mut self, name: impl Into<String>, ours: &[A], reference: &[B]) {
        let differing = ours.iter().zip(reference).filter(|(a, b)| a.as_ref() != b.as_ref()).count();
        self.violations(name, differing + ours.len().abs_diff(reference.len()));
    }

    /// Compares names in any order: how many are in one list alone.
    pub fn names<'a>(
        &mut self,
        name: impl Into<String>,
        ours: impl IntoIterator<Item = &'a String>,
        reference: &[String],
    ) {
        let ours: BTreeSet<&String> = ours.into_iter().collect();
        let reference: BTreeSet<&String> = reference.iter().collect();
        self.violations(name, ours.symmetric_difference(&reference).count());
    }

    /// Compares weights bit for bit.
    pub fn bits(&mut self, name: impl Into<String>, ours: &[f32], reference: &[f32]) {
        let same = ours.iter().map(|value| value.to_bits()).eq(reference.iter().map(|value| value.to_bits()));
        match ours == reference {
            // A zero of another sign, say.
            true => self.violations(name, usize::from(!same)),
            false => self.compare(name, TensorKind::Exact, ours, reference),
        }
    }

    /// Notes a part of the file that cannot be compared.
    pub fn uncovered(&mut self, part: impl Into<String>) {
        self.uncovered.push(part.into());
    }

    /// Notes a part of the file that serves training alone.
    pub fn set_aside(&mut self, part: impl Into<String>) {
        self.set_aside.push(part.into());
    }

    /// Whether nothing was compared.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The file's report.
    pub fn finish(self) -> FileReport {
        let excess = |tensor: &TensorReport| {
            let share = if tensor.max_abs == 0.0 { 0.0 } else { tensor.max_abs / tensor.tolerance };
            (!tensor.pass, share)
        };
        let worst = self.tensors.iter().max_by(|a, b| {
            let ((failed_a, a), (failed_b, b)) = (excess(a), excess(b));
            failed_a.cmp(&failed_b).then(a.total_cmp(&b))
        });
        let (max_abs, tolerance) = worst.map_or((0.0, 0.0), |worst| (worst.max_abs, worst.tolerance));
        let covered = self.uncovered.is_empty();
        let pass = covered && self.tensors.iter().all(|tensor| tensor.pass);
        let Self { name, tensors, uncovered, set_aside, .. } = self;
        FileReport { file: name, covered, max_abs, tolerance, pass, uncovered, set_aside, tensors }
    }
}

impl ParityReport {
    /// The report of `files`.
    pub fn new(backend: &'static str, files: Vec<FileReport>) -> Self {
        let passed = !files.is_empty() && files.iter().all(|file| file.pass);
        Self { passed, backend, compat: "official", files }
    }
}

impl fmt::Display for ParityReport {
    /// A line per file with its worst tensor, then every failure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.files.iter().map(|file| file.file.len()).max().unwrap_or(0).max(4);
        writeln!(f, "{:width$}  {:>8}  {:>9}  {:>9}  result", "file", "compared", "max abs", "tolerance")?;
        for file in &self.files {
            let result = match (file.covered, file.pass) {
                (false, _) => "NOT COVERED",
                (_, false) => "FAIL",
                _ => "ok",
            };
            let (name, count) = (&file.file, file.tensors.len());
            writeln!(f, "{name:width$}  {count:>8}  {:>9.1e}  {:>9.1e}  {result}", file.max_abs, file.tolerance)?;
        }
        for file in self.files.iter().filter(|file| !file.pass) {
            for part in &file.uncovered {
                writeln!(f, "{}: {part} is not covered", file.file)?;
            }
            for t in file.tensors.iter().filter(|tensor| !tensor.pass) {
                writeln!(f, "{}: {} is off by {:.2e}, allowed {:.2e}", file.file, t.name, t.max_abs, t.tolerance)?;
            }
        }
        let (passed, all) = (self.files.iter().filter(|file| file.pass).count(), self.files.len());
        write!(f, "{passed} of {all} files pass on {} under compat: {}", self.backend, self.compat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_shows_its_worst_tensor() {
        let mut check = FileCheck::new("x.safetensors", 1.0);
        check.compare("hidden", TensorKind::Hidden, &[1.0f32, 2.0], &[1.0f32, 2.0]);
        check.compare("feature", TensorKind::Probability, &[0.500_009f64], &[0.5f64]);
        let file = check.clone().finish();
        assert!(file.pass && file.covered && file.tolerance == 1e-5 && file.max_abs > 8e-6, "{file:?}");
        check.words("names", &["a", "b"], &["a", "c", "d"]);
        let file = check.clone().finish();
        assert_eq!((file.pass, file.max_abs, file.tolerance), (false, 2.0, 0.0));
        check.uncovered("extra");
        let report = ParityReport::new("flex", vec![check.finish()]);
        assert!(!report.passed && report.to_string().contains("x.safetensors: extra is not covered"), "{report}");
        assert!(report.to_string().contains("NOT COVERED") && !ParityReport::new("flex", vec![]).passed);
    }
}
