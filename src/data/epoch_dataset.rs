//! The loader's data set interface: Burn's `Dataset` plus a draw per epoch and names for failures.

use super::{ItemResult, shapes::ShapesDataset};
use crate::Error;
use burn_dataset::Dataset;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A video that could not be used, as reports list it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The video, as the manifest names it.
    pub media: String,
    /// Why.
    pub reason: String,
}

/// A data set whose items may differ from epoch to epoch (crop, flip, frames, caption), each a function of the seed,
/// the epoch and the index alone.
pub trait EpochDataset: Dataset<ItemResult> {
    /// Item `index` as epoch `epoch` sees it; by default the same in every epoch.
    ///
    /// # Errors
    /// What is wrong with the item.
    fn draw(&self, _epoch: u64, index: usize) -> ItemResult {
        self.get(index).unwrap_or_else(|| {
            let problem = format!("there is no item {index} among {}", self.len());
            Err(Arc::new(Error::Training { problem, remedy: "check the data set".into() }))
        })
    }

    /// The media of item `index`, to name it when it fails.
    fn media(&self, index: usize) -> String {
        format!("item {index}")
    }

    /// What was found unusable at the start and left out.
    fn left_out(&self) -> &[Unreadable] {
        &[]
    }
}

impl EpochDataset for ShapesDataset {}
