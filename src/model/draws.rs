//! Everything random in a forward of the video encoder.

use super::layers::Mode;

/// Where the block graphs of a forward come from.
#[derive(Clone, Debug)]
pub enum GraphSource {
    /// Drawn per layer from this seed: training takes a new one every step, evaluation a fixed one.
    Seeded(u64),
    /// Given: one table of `[blocks][K_l + K_r]` block numbers per layer (see [`svitt_ops::sparse::BlockGraph::from_table`]).
    Injected(Vec<Vec<Vec<usize>>>),
}

/// Everything random in a forward.
#[derive(Clone, Debug)]
pub struct VideoDraws {
    /// The block graphs.
    pub graph: GraphSource,
    /// Seed of the stochastic depth; `None` in evaluation.
    pub drop_path_seed: Option<u64>,
    /// Seed of random token selection (the baseline); unused by attention-based selection.
    pub selection_seed: u64,
    /// q_v of this forward in place of the configured one, at the same layers: how one set of weights serves many
    /// budgets. Without configured layers it has no effect.
    pub keep_rate: Option<f64>,
}

impl VideoDraws {
    /// The draws of an evaluation under `seed`: fixed graphs, nothing dropped.
    pub fn evaluation(seed: u64) -> Self {
        Self { graph: GraphSource::Seeded(seed), drop_path_seed: None, selection_seed: seed, keep_rate: None }
    }

    /// Whether it is a forward of training.
    pub(super) fn mode(&self) -> Mode {
        if self.drop_path_seed.is_some() { Mode::Train } else { Mode::Eval }
    }
}
