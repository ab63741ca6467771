//! The fusion layers of BERT, and the pruning of video tokens by text (SPEC §4).

use super::attention::Source;
use super::layers::Mode;
use super::text::{Bert, key_mask, remember};
use crate::config::{Compat, Selection, kept_tokens};
use crate::rng::Rng;
use crate::tokens::{SelectOps, gather_patches, keep_top};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

/// The video tokens texts are fused with.
#[derive(Clone, Debug)]
pub struct VideoTokens<B: Backend> {
    /// `[videos, 1 + patches, d]`, class token first; one video alone serves every text.
    pub embeds: Tensor<B, 3>,
    /// Which video each text is fused with, `[batch]`; none: text i with video i.
    pub rows: Option<Tensor<B, 1, Int>>,
}

/// What fusing gives.
#[derive(Clone, Debug)]
pub struct FusionOutput<B: Backend> {
    /// `[batch, tokens, hidden]`.
    pub hidden: Tensor<B, 3>,
    /// Per pruning layer, the patches that stayed, as positions among those that entered the layer: `[batch, kept]`.
    pub kept: Vec<Tensor<B, 2, Int>>,
    /// Per pruning layer, the attention that ranked them, class token included: `[batch, 1 + patches]`.
    pub probabilities: Vec<Tensor<B, 2>>,
}

/// How a fusion forward runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FusionRun {
    /// Whether dropout acts.
    pub mode: Mode,
    /// Seed of [`Selection::Random`].
    pub selection_seed: u64,
}

impl<B: Backend> From<Tensor<B, 3>> for VideoTokens<B> {
    fn from(embeds: Tensor<B, 3>) -> Self {
        Self { embeds, rows: None }
    }
}

impl<B: Backend> VideoTokens<B> {
    /// Keeps the patches at `positions` `[batch, kept]`; from then on every text has its own tokens.
    fn prune(&self, positions: &Tensor<B, 2, Int>) -> Self {
        let [videos, tokens, width] = self.embeds.dims();
        let batch = positions.dims()[0];
        let embeds = match &self.rows {
            Some(rows) => self.embeds.clone().select(0, rows.clone()),
            None if videos == 1 && batch > 1 => self.embeds.clone().expand([batch, tokens, width]),
            None => self.embeds.clone(),
        };
        gather_patches(embeds, positions).into()
    }
}

impl<B: SelectOps> Bert<B> {
    /// The fusion layers: `text` `[batch, tokens, hidden]` under `mask` `[batch, tokens]` with `video`. Video tokens
    /// are pruned after the cross-attention of every configured layer; what goes on is the raw video embedding.
    /// `trace` receives the output of every layer.
    pub fn fuse(
        &self,
        text: Tensor<B, 3>,
        mask: Tensor<B, 2>,
        video: VideoTokens<B>,
        run: FusionRun,
        trace: Option<&mut Vec<Tensor<B, 3>>>,
    ) -> FusionOutput<B> {
        self.fuse_layers(text, mask, video, run, true, trace)
    }

    /// Mode `multi_modal`, for question answering: all layers from `ids` `[batch, tokens]`. The official encoder
    /// does not prune in this mode whatever it is asked; [`Compat::Corrected`] does.
    pub fn multi_modal(
        &self,
        ids: Tensor<B, 2, Int>,
        mask: Tensor<B, 2>,
        video: VideoTokens<B>,
        run: FusionRun,
        mut trace: Option<&mut Vec<Tensor<B, 3>>>,
    ) -> FusionOutput<B> {
        let text = self.text(ids, mask.clone(), run.mode, trace.as_deref_mut());
        self.fuse_layers(text, mask, video, run, self.compat == Compat::Corrected, trace)
    }

    fn fuse_layers(
        &self,
        text: Tensor<B, 3>,
        mask: Tensor<B, 2>,
        mut video: VideoTokens<B>,
        run: FusionRun,
        prune: bool,
        mut trace: Option<&mut Vec<Tensor<B, 3>>>,
    ) -> FusionOutput<B> {
        let scores_mask = key_mask(mask.clone());
        let mut output = FusionOutput { hidden: text, kept: Vec::new(), probabilities: Vec::new() };
        for (index, layer) in self.layers.iter().enumerate().skip(self.fusion_layer) {
            let source = Source { states: video.embeds.clone(), rows: video.rows.clone(), mask: None };
            let (hidden, probabilities) = layer.forward(output.hidden, &scores_mask, Some(&source), run.mode);
            output.hidden = hidden;
            remember(&mut trace, &output.hidden);
            let (Some(probabilities), Some((keep_rate, selection))) = (probabilities, self.pruning(index, prune))
            else {
                continue;
            };
            let ranking = self.ranking(probabilities.detach(), &mask, selection);
            let kept = choose(&ranking, keep_rate, selection, Rng::new(run.selection_seed, &[index as u64]));
            video = video.prune(&kept);
            output.kept.push(kept);
            output.probabilities.push(ranking);
        }
        output
    }

    /// The keep rate and selection of `layer` if it prunes.
    fn pruning(&self, layer: usize, prune: bool) -> Option<(f64, Selection)> {
        let cross = self.cross.as_ref().filter(|cross| prune && cross.keep_rate < 1.0)?;
        cross.layers.contains(&layer).then_some((cross.keep_rate, cross.selection))
    }

    /// The attention video tokens are ranked by, `[batch, keys]`, from the probabilities
    /// `[batch, heads, tokens, keys]`: head mean of text position 0, or of all positions. The official code counts
    /// padded positions among them; [`Compat::Corrected`] leaves them out.
    fn ranking(&self, probabilities: Tensor<B, 4>, mask: &Tensor<B, 2>, selection: Selection) -> Tensor<B, 2> {
        let [batch, heads, tokens, keys] = probabilities.dims();
        if selection != Selection::AverageAttention {
            return probabilities.slice([0..batch, 0..heads, 0..1]).mean_dim(1).reshape([batch, keys]);
        }
        let per_token = probabilities.mean_dim(1).reshape([batch, tokens, keys]);
        if self.compat == Compat::Official {
            return per_token.mean_dim(1).reshape([batch, keys]);
        }
        let weight = mask.clone().reshape([batch, tokens, 1]);
        ((per_token * weight.clone()).sum_dim(1) / weight.sum_dim(1)).reshape([batch, keys])
    }
}

/// The patches that stay, `[batch, kept]`, by `ranking` `[batch, 1 + patches]` or by noise.
fn choose<B: SelectOps>(ranking: &Tensor<B, 2>, rate: f64, selection: Selection, mut rng: Rng) -> Tensor<B, 2, Int> {
    let [batch, keys] = ranking.dims();
    let scores = match selection {
        Selection::Random => {
            let noise: Vec<f32> = (0..batch * (keys - 1)).map(|_| rng.uniform() as f32).collect();
            Tensor::from_data(TensorData::new(noise, [batch, keys - 1]), &ranking.device())
        }
        _ => ranking.clone().slice([0..batch, 1..keys]),
    };
    keep_top(scores, kept_tokens(rate, keys - 1))
}
