//! What a pruning layer of the video encoder does (docs/model.md, "Token pruning").

use super::trace::{Pruned, Trace};
use crate::config::{NodeSparsity, Selection, Sparsity};
use burn::tensor::{Int, Tensor, TensorData};
use svitt_ops::SvittBackend;
use svitt_ops::rng::Rng;
use svitt_ops::tokens::{TokenMap, gather_patches, keep_top};

/// One layer's pruning of the patches that leave it.
pub(super) struct Pruning<'a> {
    node: &'a NodeSparsity,
    layer: usize,
    /// Patches that stay of each part.
    kept: usize,
    /// Equal parts of a sequence that are ranked one by one: frames that are pooled one by one, or the whole.
    groups: usize,
    /// Sequences of a clip that lose the same places: the mean of their attention ranks them.
    together: usize,
}

impl<'a> Pruning<'a> {
    /// What `sparsity` prunes after `layer`, which `tokens` patches leave; none if nothing.
    pub(super) fn of(
        sparsity: &'a Sparsity,
        layer: usize,
        tokens: usize,
        groups: usize,
        together: usize,
    ) -> Option<Self> {
        let kept = sparsity.tokens_after(layer, tokens / groups);
        let node = sparsity.node.as_ref().filter(|_| kept < tokens / groups)?;
        Some(Self { node, layer, kept, groups, together })
    }

    /// The attention a layer has to return: what `pruning` ranks by; where all is traced, what it would.
    pub(super) fn ranking(pruning: Option<&Self>, sparsity: &Sparsity, traced: bool) -> Option<Selection> {
        let configured = sparsity.node.as_ref().map(|node| node.selection).filter(|s| *s != Selection::Random);
        if traced { Some(configured.unwrap_or_default()) } else { pruning.and(configured) }
    }

    /// Keeps the best patches of `hidden` `[sequences, 1 + tokens, d]`, by `ranking` `[sequences, tokens]` or by lot.
    pub(super) fn apply<B: SvittBackend>(
        &self,
        hidden: Tensor<B, 3>,
        map: &TokenMap<B>,
        ranking: Option<Tensor<B, 2>>,
        seed: u64,
        trace: Option<&mut Trace<B>>,
    ) -> (Tensor<B, 3>, TokenMap<B>) {
        let ranking = ranking.filter(|_| self.node.selection != Selection::Random);
        let scores = self.together(ranking.unwrap_or_else(|| self.noise(&hidden, seed)));
        let kept = self.best(scores.clone());
        let map = map.keep(&kept);
        if let Some(trace) = trace {
            trace.pruned.push(Pruned { layer: self.layer, scores, token_ids: map.ids.clone() });
        }
        (gather_patches(hidden, &kept), map)
    }

    /// Sequences that lose the same places get the mean of their scores.
    fn together<B: SvittBackend>(&self, scores: Tensor<B, 2>) -> Tensor<B, 2> {
        if self.together == 1 {
            return scores;
        }
        let [sequences, tokens] = scores.dims();
        let clips = sequences / self.together;
        let mean = scores.reshape([clips, self.together, tokens]).mean_dim(1);
        mean.expand([clips, self.together, tokens]).reshape([sequences, tokens])
    }

    /// Places of the best of every part, `[sequences, groups · kept]`, ascending.
    fn best<B: SvittBackend>(&self, scores: Tensor<B, 2>) -> Tensor<B, 2, Int> {
        let ([sequences, tokens], groups, kept) = (scores.dims(), self.groups, self.kept);
        if groups == 1 {
            return keep_top(scores, kept);
        }
        let each = tokens / groups;
        let places = keep_top(scores.reshape([sequences * groups, each]), kept).reshape([sequences, groups, kept]);
        let first = Tensor::<B, 1, Int>::arange(0..groups as i64, &places.device()).mul_scalar(each as i64);
        let first = first.reshape([1, groups, 1]).expand([sequences, groups, kept]);
        (places + first).reshape([sequences, groups * kept])
    }

    fn noise<B: SvittBackend>(&self, hidden: &Tensor<B, 3>, seed: u64) -> Tensor<B, 2> {
        let [batch, s, _] = hidden.dims();
        let mut rng = Rng::new(seed, &[self.layer as u64]);
        let noise: Vec<f32> = (0..batch * (s - 1)).map(|_| rng.uniform() as f32).collect();
        Tensor::from_data(TensorData::new(noise, [batch, s - 1]), &hidden.device())
    }
}
