//! Edges, FLOPs, activation memory and parameters, counted from a configuration alone
//! (docs/model.md, "Cost model").
//!
//! [`Profile::of`] counts any model; [`published`] holds the rows of the paper's Tables 1 to 3.

mod edges;
mod flops;
mod memory;
mod parameters;
mod process;
pub mod published;

pub use memory::LayerMemory;
pub use parameters::Parameters;
pub use process::{available_memory_mb, peak_memory_mb, private_memory_mb, reset_peak_memory};

use crate::config::ModelConfig;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Tokens of a text: cross-attention edges are counted for this many queries.
pub const TEXT_TOKENS: usize = 32;

/// What counts as an edge and as an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convention {
    /// What is computed: the class token attends to every token, cross-attention is dense, blocks are padded, and a
    /// product of n multiply-adds is 2n operations.
    #[default]
    True,
    /// What the paper printed: in a sparse model the class token and the cross-attention count as if sparse, all
    /// fusion layers see the pruned tokens, and an edge costs 768 operations, a quarter of its true cost.
    Paper,
}

impl FromStr for Convention {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "true" => Ok(Self::True),
            "paper" => Ok(Self::Paper),
            _ => Err(Error::setting("convention", format!("`{name}` is not a convention"), "use true or paper")),
        }
    }
}

/// What one layer of the video encoder costs for one clip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LayerCost {
    /// 0-based.
    pub layer: usize,
    /// Patch tokens of the clip entering it, class tokens not counted.
    pub tokens: usize,
    /// Query-key pairs.
    pub edges: u64,
    /// Operations, forward.
    pub flops: u64,
    /// Activations kept for the backward pass.
    pub memory: LayerMemory,
}

/// What a model costs for one clip and one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// How edges and operations were counted.
    pub convention: Convention,
    /// The layers of the video encoder.
    pub layers: Vec<LayerCost>,
    /// Query-key pairs of each fusion layer's cross-attention with a text of [`TEXT_TOKENS`].
    pub cross_edges: Vec<u64>,
    /// Operations of the patch embedding.
    pub patch_flops: u64,
    /// Operations of the layers over time behind the video layers, in models that have them.
    pub temporal_flops: u64,
    /// Learned numbers.
    pub parameters: Parameters,
}

impl Profile {
    /// Counts `config`.
    ///
    /// # Errors
    /// `config` does not validate.
    pub fn of(config: &ModelConfig, convention: Convention) -> Result<Self> {
        config.validate()?;
        let video = &config.video;
        let (tokens, sequences) = (video.tokens_per_layer(video.layers), video.sequences());
        let cost = |(layer, &each): (usize, &usize)| {
            let edges = edges::layer(config, convention, each);
            let flops = sequences as u64 * flops::layer(config, convention, each, edges);
            let memory = memory::layer(config, each);
            LayerCost { layer, tokens: sequences * each, edges: sequences as u64 * edges, flops, memory }
        };
        Ok(Self {
            convention,
            layers: tokens.iter().enumerate().map(cost).collect(),
            cross_edges: edges::cross(config, convention),
            patch_flops: flops::patches(video),
            temporal_flops: flops::temporal(video),
            parameters: Parameters::of(config),
        })
    }

    /// All query-key pairs: the video encoder's and the cross-attention's.
    pub fn edges(&self) -> u64 {
        self.layers.iter().map(|layer| layer.edges).sum::<u64>() + self.cross_edges.iter().sum::<u64>()
    }

    /// Operations of the video encoder, forward.
    pub fn flops(&self) -> u64 {
        self.patch_flops + self.temporal_flops + self.layers.iter().map(|layer| layer.flops).sum::<u64>()
    }

    /// Activations of the video encoder kept for the backward pass, for one clip.
    pub fn memory(&self) -> LayerMemory {
        self.layers.iter().map(|layer| layer.memory).fold(LayerMemory::default(), |sum, layer| LayerMemory {
            linear: sum.linear + layer.linear,
            weights: sum.weights + layer.weights,
            statistics: sum.statistics + layer.statistics,
        })
    }
}
