//! What is compared: a sparsity for every clip length, and the rows it has.

use serde::{Deserialize, Serialize};
use svitt::config::{EdgeSparsity, NodeSparsity, Sparsity};
use svitt::limits::check;
use svitt::{Error, Result};

/// Which rows a mode has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModeRows {
    /// Every clip length with every seed, at equal operations and at equal seconds.
    Headline,
    /// The longest clips with one seed, at equal operations.
    Longest,
    /// The same, in the table of remedies.
    Remedy,
}

/// A way to make the encoder sparse, or to leave it dense.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// Its name in files and rows.
    pub name: String,
    /// Its rows.
    pub rows: ModeRows,
    /// (K_l, K_r, G) at each clip length; none at all is dense attention.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edge: Vec<EdgeSparsity>,
    /// q_v and its layers at each clip length; none at all prunes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node: Vec<NodeSparsity>,
    /// Multiples of the stages' learning rates that are tried for it, in place of the plan's: further ones where the best
    /// of those lies at an end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learning_rates: Vec<f64>,
    /// The mode whose learning rate it takes; none: its own is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate_of: Option<String>,
    /// The mode whose shorter clip lengths it starts from; none: its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_from: Option<String>,
    /// Trains the longest clips alone, from fresh weights, with what the start cost on top.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_stage: bool,
}

impl Mode {
    /// Its sparsity at clip length number `length`.
    pub fn sparsity(&self, length: usize) -> Sparsity {
        Sparsity { edge: self.edge.get(length).copied(), node: self.node.get(length).cloned() }
    }

    /// Whether a learning rate is chosen for it.
    pub fn is_tuned(&self) -> bool {
        self.learning_rate_of.is_none()
    }

    /// Checks that it says something for each of `lengths` clip lengths and names modes among `all` that do not name
    /// others themselves.
    ///
    /// # Errors
    /// Names the setting and what it should be.
    pub fn check(&self, all: &[Self], lengths: usize) -> Result<()> {
        self.check_name(all)?;
        let key = |key: &str| format!("modes.{}.{key}", self.name);
        for &rate in &self.learning_rates {
            check(key("learning_rates"), rate, 1e-6, 1e6)?;
        }
        for (name, count) in [("edge", self.edge.len()), ("node", self.node.len())] {
            if count != 0 && count != lengths {
                let problem = format!("has {count} entries for {lengths} clip lengths");
                return Err(Error::setting(key(name), problem, "give one for each, or none"));
            }
        }
        let named = [("learning_rate_of", &self.learning_rate_of), ("starts_from", &self.starts_from)];
        for (name, wanted) in named.into_iter().filter_map(|(name, wanted)| Some((name, wanted.as_ref()?))) {
            let stands_alone = |mode: &&Self| mode.is_tuned() && mode.starts_from.is_none();
            if !all.iter().filter(stands_alone).any(|mode| mode.name == *wanted) {
                let problem = format!("no mode `{wanted}` has a learning rate and clip lengths of its own");
                return Err(Error::setting(key(name), problem, "name one that has"));
            }
        }
        Ok(())
    }

    /// Names are those of files and rows.
    fn check_name(&self, all: &[Self]) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            let problem = format!("`{}` cannot be a file's name", self.name);
            return Err(Error::setting("modes.name", problem, "use letters, digits and hyphens"));
        }
        if all.iter().filter(|mode| mode.name == self.name).count() > 1 {
            return Err(Error::setting("modes.name", format!("`{}` is there twice", self.name), "rename one"));
        }
        Ok(())
    }
}
