//! The list of unreadable videos, and the limit that stops a run.

use super::LoaderOptions;
use crate::{Error, Result, data::Unreadable, input::shown};
use std::collections::{BTreeMap, btree_map::Entry};

/// How many videos may be unreadable before training stops: the larger of two bounds, so that a small data set
/// tolerates a few bad files and a large one does not lose a tenth unnoticed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnreadableLimit {
    /// Share of the items, 0 to 1.
    pub share: f64,
    /// Items, but never more than half of them.
    pub at_least: usize,
}

impl Default for UnreadableLimit {
    fn default() -> Self {
        Self { share: 0.1, at_least: 8 }
    }
}

impl UnreadableLimit {
    /// Unreadable videos allowed among `items`.
    pub fn allowed(self, items: usize) -> usize {
        let share = (items as f64 * self.share.clamp(0.0, 1.0)) as usize;
        share.max(self.at_least.min(items / 2))
    }
}

/// Unreadable videos by name.
#[derive(Debug, Default)]
pub struct UnreadableLog {
    left_out: usize,
    reasons: BTreeMap<String, String>,
}

impl UnreadableLog {
    /// A list that starts with the files left out at the beginning; these do not count towards the limit, because the
    /// user was warned before the run started.
    pub fn new(left_out: &[Unreadable]) -> Self {
        let mut ledger = Self::default();
        ledger.extend(left_out);
        ledger.left_out = ledger.reasons.len();
        ledger
    }

    /// Adds `unreadable`.
    pub fn extend(&mut self, unreadable: &[Unreadable]) {
        for Unreadable { media, reason } in unreadable {
            self.reasons.entry(media.clone()).or_insert_with(|| reason.clone());
        }
    }

    /// Adds the failures of one batch, in batch order.
    ///
    /// # Errors
    /// In training, more failures than the limit allows among `items` items.
    pub fn note(&mut self, failures: Vec<Unreadable>, items: usize, options: &LoaderOptions) -> Result<()> {
        let Some(last) = failures.last().cloned() else { return Ok(()) };
        for Unreadable { media, reason } in failures {
            // A batch meets one bad video several times, when it looks for another in its place.
            if let Entry::Vacant(unknown) = self.reasons.entry(media) {
                log::warn!("{} is left out: {reason}", shown(unknown.key()));
                unknown.insert(reason);
            }
        }
        let (count, allowed) = (self.reasons.len() - self.left_out, options.limit.allowed(items));
        if !options.training() || count <= allowed {
            return Ok(());
        }
        let problem = format!(
            "{count} of {items} items could not be read and {allowed} are allowed; the last was `{}`: {}",
            shown(&last.media),
            last.reason
        );
        Err(Error::Training { problem, remedy: "repair or remove the listed videos, or raise the limit".into() })
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<Unreadable> {
        let entries = self.reasons.iter();
        entries.map(|(media, reason)| Unreadable { media: media.clone(), reason: reason.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_larger_bound_but_half_at_most_for_few_items() {
        let limit = UnreadableLimit::default();
        assert_eq!([1, 10, 30, 100, 2_500_000].map(|n| limit.allowed(n)), [0, 5, 8, 10, 250_000]);
        assert_eq!(UnreadableLimit { share: 0.0, at_least: 0 }.allowed(40), 0);
    }
}
