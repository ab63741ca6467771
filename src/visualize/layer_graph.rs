//! What the patches of one clip may attend to in one layer.

use super::frame_strip::Visibility;
use burn::tensor::{Int, Tensor, backend::Backend};
use std::sync::Arc;
use svitt_ops::sparse::BlockGraph;

/// The block graph of a layer, with the blocks that one clip's heads chose.
#[derive(Clone, Debug)]
pub struct LayerGraph {
    /// What all clips share.
    pub graph: Arc<BlockGraph>,
    /// The patch at every place of the sequence.
    pub ids: Vec<usize>,
    /// `[heads, blocks, chosen]`, empty where the graph leaves no block to be chosen.
    chosen: Vec<u32>,
}

impl LayerGraph {
    /// `graph` of a sequence with the patches `ids`; `chosen` `[sequences, heads, blocks, chosen]` is the layer's, of
    /// which `sequence` is taken.
    pub(super) fn new<B: Backend>(
        graph: Arc<BlockGraph>,
        ids: &[usize],
        chosen: Option<&Tensor<B, 4, Int>>,
        sequence: usize,
    ) -> Self {
        let own = |chosen: &Tensor<B, 4, Int>| {
            let own = chosen.clone().narrow(0, sequence, 1).into_data().convert::<u32>();
            own.into_vec::<u32>().unwrap_or_default()
        };
        let ids = ids[..graph.tokens().min(ids.len())].to_vec();
        Self { graph, ids, chosen: chosen.map_or(Vec::new(), own) }
    }

    /// Whether heads chose blocks, rather than drawing them.
    pub(super) fn is_chosen(&self) -> bool {
        !self.chosen.is_empty()
    }

    /// How the patches of the clip, `patches` of them, are visible to patch `patch`, or none if it is not alive here.
    pub(super) fn seen(&self, patch: usize, patches: usize) -> Option<Vec<Visibility>> {
        let graph = &self.graph;
        let block = self.ids.iter().position(|&id| id == patch)? / graph.block();
        let mut seen = vec![Visibility::No; patches];
        let mut show = |key: usize, kind: Visibility| {
            let first = key * graph.block();
            self.ids[first..first + graph.size(key)].iter().for_each(|&id| seen[id] = kind);
        };
        for key in graph.key_row(block).iter().map(|&key| key as usize) {
            show(key, if graph.is_local(block, key) { Visibility::Local } else { Visibility::Other(1.0) });
        }
        for (key, share) in self.shares(block).into_iter().enumerate().filter(|(_, share)| *share > 0.0) {
            show(key, Visibility::Other(share));
        }
        Some(seen)
    }

    /// The share of heads that chose each block for query block `block`.
    fn shares(&self, block: usize) -> Vec<f32> {
        let (blocks, each) = (self.graph.blocks(), self.graph.chosen());
        let heads = self.chosen.len() / (blocks * each).max(1);
        let mut shares = vec![0f32; blocks];
        for head in 0..heads {
            let row = (head * blocks + block) * each;
            self.chosen[row..row + each].iter().for_each(|&key| shares[key as usize] += 1.0 / heads as f32);
        }
        shares
    }
}

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use super::*;
    use crate::config::{BlockChoice, Compat, EdgeSparsity};
    use svitt_ops::rng::Rng;

    type B = burn_ndarray::NdArray;
    const EDGE: EdgeSparsity = EdgeSparsity::new(1, 1, 5);

    /// Places hold every other patch of 34.
    fn layer(graph: BlockGraph, chosen: Option<Tensor<B, 4, Int>>) -> LayerGraph {
        let ids: Vec<usize> = (0..17).map(|place| 2 * place).collect();
        LayerGraph::new::<B>(Arc::new(graph), &ids, chosen.as_ref(), 1)
    }

    fn patches(seen: &[Visibility], kind: Visibility) -> Vec<usize> {
        (0..34).filter(|&patch| seen[patch] == kind).collect()
    }

    fn block(key: usize) -> Vec<usize> {
        (5 * key..(5 * key + 5).min(17)).map(|place| 2 * place).collect()
    }

    #[test]
    fn a_patch_sees_its_local_and_random_blocks() {
        let graph = BlockGraph::draw(17, &EDGE, Compat::Corrected, &mut Rng::new(4, &[]));
        let other = *graph.key_row(1).iter().find(|&&block| block != 1).unwrap() as usize;
        let layer = layer(graph, None);
        let seen = layer.seen(2 * 7, 34).unwrap();
        assert_eq!(patches(&seen, Visibility::Local), block(1), "the own block holds places 5 to 9");
        assert_eq!(patches(&seen, Visibility::Other(1.0)), block(other));
        assert!(layer.seen(3, 34).is_none(), "patch 3 is not alive");
        assert!(!layer.is_chosen());
    }

    /// Two clips, four heads, four blocks, one chosen: three heads of clip 1 choose block 3 for block 1, one block 0.
    #[test]
    fn blocks_that_heads_chose_have_their_share_of_heads() {
        let graph = BlockGraph::top(17, &EDGE.with_blocks(BlockChoice::Top), Compat::Corrected);
        let of_head = |key: i64| vec![1, key, 1, 1];
        let chosen: Vec<i64> = [2, 2, 2, 2, 3, 0, 3, 3].into_iter().flat_map(of_head).collect();
        let data = burn::tensor::TensorData::new(chosen, [2, 4, 4, 1]);
        let layer = layer(graph, Some(Tensor::from_data(data, &Default::default())));
        let seen = layer.seen(2 * 7, 34).unwrap();
        assert_eq!(patches(&seen, Visibility::Local), block(1));
        assert_eq!(patches(&seen, Visibility::Other(0.75)), block(3));
        assert_eq!(patches(&seen, Visibility::Other(0.25)), block(0));
        assert!(layer.is_chosen());
    }
}
