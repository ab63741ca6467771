//! The fixed clips on which a run is evaluated after every stage.

use super::report::ReportCeilings;
use crate::Result;
use crate::data::shapes::{Gallery, ShapesConfig, vocab};
use crate::data::{EpochDataset, Item};
use burn_dataset::Dataset;

/// Pixels a gallery of real videos may keep in memory, bytes: probes read every clip four times.
const MEMORY: usize = 256 << 20;

/// Clips a gallery of real videos has at most.
const LIMIT: usize = 256;

/// A clip whose reverse has another caption.
#[derive(Clone, Debug, PartialEq)]
pub struct ReversedTwin {
    /// The clip.
    pub entry: usize,
    /// What its frames show backwards.
    pub reversed_caption: String,
}

/// Clips, captions, and what is known of them.
#[derive(Clone, Debug, Default)]
pub struct ValidationSet {
    /// Clips with their captions; equal identities are right answers to each other's captions.
    pub items: Vec<Item>,
    /// T.
    pub frames: usize,
    /// Whether training may show this combination; empty where nobody knows.
    pub seen: Vec<bool>,
    /// Clips for twin accuracy.
    pub twins: Vec<ReversedTwin>,
    /// Upper bounds for observers with less information.
    pub ceilings: ReportCeilings,
    /// Token ids of words that can only be read off the clip.
    pub keywords: Vec<i64>,
}

impl ValidationSet {
    /// The held-out gallery of the `shapes` benchmark at `frames` frames.
    ///
    /// # Errors
    /// Settings that do not fit together.
    pub fn shapes(config: &ShapesConfig, frames: usize) -> Result<Self> {
        let gallery = Gallery::new(config, frames)?;
        let ceilings = gallery.ceilings()?;
        let items = (0..gallery.len()).filter_map(|index| gallery.get(index)?.ok()).collect();
        let twins = gallery.twins().into_iter();
        Ok(Self {
            items,
            frames,
            seen: gallery.entries().iter().map(|entry| entry.seen).collect(),
            twins: twins.map(|t| ReversedTwin { entry: t.entry, reversed_caption: t.reversed_caption }).collect(),
            ceilings: ReportCeilings {
                chance: ceilings.chance,
                static_frame: Some(ceilings.static_frame),
                unordered: Some(ceilings.unordered),
                ordered: Some(ceilings.ordered),
            },
            keywords: vocab::direction_ids().map(|id| id as i64).to_vec(),
        })
    }

    /// The first readable clips of `dataset`, as many as fit into memory.
    pub fn videos(dataset: &dyn EpochDataset, frames: usize, size: usize) -> Self {
        let clip_bytes = frames * 3 * size * size * size_of::<f32>();
        let limit = LIMIT.min(MEMORY / clip_bytes.max(1)).max(2);
        let items: Vec<Item> = (0..dataset.len()).filter_map(|index| dataset.get(index)?.ok()).take(limit).collect();
        let ceilings = ReportCeilings { chance: 100.0 / items.len().max(1) as f64, ..ReportCeilings::default() };
        Self { items, frames, ceilings, ..Self::default() }
    }

    /// For each caption, the clips that answer it.
    pub fn truths(&self) -> Vec<Vec<usize>> {
        let same = |of: &Item| {
            let all = self.items.iter().enumerate();
            all.filter(|(_, item)| item.identity == of.identity).map(|(index, _)| index).collect()
        };
        self.items.iter().map(same).collect()
    }
}
