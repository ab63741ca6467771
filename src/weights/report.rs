//! The result of loading a checkpoint, key by key.

use super::schema::has_prefix;
use super::source_kind::bare;
use serde::Serialize;
use std::fmt;

/// How many names of a list are printed; the JSON has all.
const PRINTED: usize = 12;

/// Every key of a checkpoint and of the model it went into, by what became of it. Names are official keys, except in
/// `unused`, `rebuilt` and `tied`, which have them as the file does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LoadReport {
    /// Taken over.
    pub applied: Vec<String>,
    /// In the model but not in the checkpoint.
    pub missing: Vec<String>,
    /// Missing, and allowed by name.
    pub allowed: Vec<String>,
    /// Missing because models of the checkpoint's kind never have it; starts fresh.
    pub fresh: Vec<String>,
    /// In the checkpoint but not in the model.
    pub unused: Vec<String>,
    /// In the checkpoint for its training or another task, and left out by name.
    pub set_aside: Vec<String>,
    /// Of another shape in the checkpoint.
    pub mismatched: Vec<ShapeMismatch>,
    /// Position tables that were taken to another clip length or grid.
    pub converted: Vec<String>,
    /// int64 index buffers, which follow from the sizes and are not loaded.
    pub rebuilt: Vec<String>,
    /// Stored copies of parameters that have another name too.
    pub tied: Vec<String>,
}

/// A key whose shape differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShapeMismatch {
    /// The official key.
    pub name: String,
    /// The model's shape.
    pub expected: Vec<usize>,
    /// The checkpoint's shape.
    pub found: Vec<usize>,
}

impl fmt::Display for ShapeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} instead of {:?}", self.name, self.found, self.expected)
    }
}

impl LoadReport {
    /// Whether everything the model needs was there, in the right shape.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.mismatched.is_empty()
    }

    /// Sets aside what a model for question answering has no use for by its nature: projections, temperature, matching
    /// head, and the norm behind the mean.
    pub fn set_aside_for_answers(&mut self) {
        const HEADS: [&str; 6] =
            ["temp", "itm_head", "vision_proj", "text_proj", "vision_encoder.pooler", "vision_encoder.pool_norm"];
        let unused = std::mem::take(&mut self.unused);
        let head = |name: &String| HEADS.iter().any(|head| has_prefix(bare(name), head));
        let (aside, unused) = unused.into_iter().partition(head);
        self.unused = unused;
        let aside: Vec<String> = aside;
        self.set_aside.extend(aside);
    }

    /// Tensors that are neither used nor set aside, as part of a sentence, if there are any but those that `allowed`
    /// begins the names of.
    pub fn left_over(&self, allowed: &[String]) -> Option<String> {
        let left: Vec<&String> =
            self.unused.iter().filter(|name| !allowed.iter().any(|allowed| has_prefix(name, allowed))).collect();
        (!left.is_empty())
            .then(|| format!("the model has no use for {} of its tensors ({})", left.len(), listed(&left)))
    }

    /// How much was taken over, and by name what was converted, starts fresh, or is left out: one line.
    pub fn summary(&self) -> String {
        let mut summary = format!("{} tensors taken over", self.applied.len());
        let fresh: Vec<String> = self.fresh.iter().chain(&self.allowed).cloned().collect();
        let groups = [("tables converted", &self.converted), ("fresh", &fresh), ("left out", &self.set_aside)];
        for (title, names) in groups.into_iter().filter(|(_, names)| !names.is_empty()) {
            summary.push_str(&format!("; {title}: {}", listed(&collapsed(names))));
        }
        summary
    }

    /// What is wrong, as part of a sentence, if anything is.
    pub fn problem(&self) -> Option<String> {
        if !self.mismatched.is_empty() {
            let (n, all) = (self.mismatched.len(), listed(&self.mismatched));
            return Some(format!("{n} of its tensors have another shape ({all})"));
        }
        (!self.missing.is_empty())
            .then(|| format!("it lacks {} tensors ({})", self.missing.len(), listed(&self.missing)))
    }
}

/// `names` without `weight` and `bias`, the numbers of layers written `*`, and how many there are of each if several.
fn collapsed(names: &[String]) -> Vec<String> {
    let pattern = |name: &String| {
        let name = name.strip_suffix(".weight").or(name.strip_suffix(".bias")).unwrap_or(name);
        let parts = name.split('.').map(|part| if part.bytes().all(|b| b.is_ascii_digit()) { "*" } else { part });
        parts.collect::<Vec<_>>().join(".")
    };
    let mut counts: Vec<(String, usize)> = Vec::new();
    for pattern in names.iter().map(pattern) {
        match counts.iter_mut().find(|(other, _)| *other == pattern) {
            Some((_, count)) => *count += 1,
            None => counts.push((pattern, 1)),
        }
    }
    let several = |(name, count)| if count > 1 { format!("{name} ({count})") } else { name };
    counts.into_iter().map(several).collect()
}

/// The first few of `items`, and that there are more.
fn listed<T: fmt::Display>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(PRINTED).map(T::to_string).collect();
    let more = if items.len() > PRINTED { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

impl fmt::Display for LoadReport {
    /// One line per group: how many keys, and which unless they were simply applied.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "applied          {}", self.applied.len())?;
        let groups = [
            ("missing", &self.missing),
            ("missing, allowed", &self.allowed),
            ("starting fresh", &self.fresh),
            ("unused", &self.unused),
            ("set aside", &self.set_aside),
            ("tables converted", &self.converted),
            ("buffers rebuilt", &self.rebuilt),
            ("tied copies", &self.tied),
        ];
        for (title, names) in groups {
            if names.is_empty() {
                writeln!(f, "{title:<16} 0")?;
            } else {
                writeln!(f, "{title:<16} {}: {}", names.len(), listed(&collapsed(names)))?;
            }
        }
        write!(f, "shape mismatched {}", self.mismatched.len())?;
        if self.mismatched.is_empty() { Ok(()) } else { write!(f, ": {}", listed(&self.mismatched)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_the_first_keys() {
        let names: Vec<String> = (0..13).map(|i| format!("k{i}")).collect();
        let rebuilt = vec!["layer.0.index".to_string(), "ids".to_string(), "layer.11.index".to_string()];
        let report = LoadReport { missing: names, rebuilt, ..LoadReport::default() };
        assert!(report.to_string().contains("buffers rebuilt  3: layer.*.index (2), ids\n"));
        assert_eq!(
            report.problem().unwrap(),
            "it lacks 13 tensors (k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11, …)"
        );
        assert!(report.to_string().contains("missing          13: k0"));
        let mismatch = ShapeMismatch { name: "t".into(), expected: vec![2], found: vec![3] };
        let report = LoadReport { mismatched: vec![mismatch], ..LoadReport::default() };
        assert!(!report.is_complete() && report.problem().unwrap().contains("t [3] instead of [2]"));
    }
}
