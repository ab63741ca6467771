//! The fusion layers of BERT, and the pruning of video tokens by text
//! (docs/model.md, "Fusion encoder" and "Cross-modal pruning").

use super::bert::{Bert, key_mask, record};
use super::bert_attention::AttentionSource;
use super::layers::Mode;
use crate::config::{Compat, Selection, kept_tokens};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use svitt_ops::SvittBackend;
use svitt_ops::rng::Rng;
use svitt_ops::tokens::{gather_patches, keep_top, take_rows};

/// Video tokens for cross-attention.
#[derive(Clone, Debug)]
pub struct VideoTokens<B: Backend> {
    /// `[videos, tokens, d]`, the clip's class token first in models that have one; one video alone serves every text.
    pub embeds: Tensor<B, 3>,
    /// Which video each text is fused with, `[batch]`; none: text i with video i.
    pub rows: Option<Tensor<B, 1, Int>>,
}

/// Output of the fusion layers.
#[derive(Clone, Debug)]
pub struct FusionOutput<B: Backend> {
    /// `[batch, tokens, hidden]`.
    pub hidden: Tensor<B, 3>,
    /// Per pruning layer, the tokens that stayed, the clip's class token not counted, as positions among those that
    /// entered the layer: `[batch, kept]`.
    pub kept: Vec<Tensor<B, 2, Int>>,
    /// Per layer that is configured to prune, the attention that ranks tokens, class token included: `[batch, tokens]`. Where the official encoder ignores the configuration, there are rankings but no `kept`.
    pub probabilities: Vec<Tensor<B, 2>>,
}

/// How a fusion forward runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FusionOptions {
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

impl<B: SvittBackend> VideoTokens<B> {
    /// Keeps the tokens at `positions` `[batch, kept]`, counted behind the clip's class token if there is one, and that;
    /// from then on every text has its own tokens.
    fn prune(&self, positions: &Tensor<B, 2, Int>, clip_token: bool) -> Self {
        let [videos, tokens, width] = self.embeds.dims();
        let batch = positions.dims()[0];
        let embeds = match &self.rows {
            Some(rows) => self.embeds.clone().select(0, rows.clone()),
            None if videos == 1 && batch > 1 => self.embeds.clone().expand([batch, tokens, width]),
            None => self.embeds.clone(),
        };
        if clip_token {
            return gather_patches(embeds, positions).into();
        }
        take_rows(embeds, positions.clone()).into()
    }
}

impl<B: SvittBackend> Bert<B> {
    /// The fusion layers: `text` `[batch, tokens, hidden]` under `mask` `[batch, tokens]` with `video`. Video tokens
    /// are pruned after the cross-attention of every configured layer; what goes on is the raw video embedding.
    /// `trace` receives the output of every layer.
    pub fn fuse(
        &self,
        text: Tensor<B, 3>,
        mask: Tensor<B, 2>,
        video: VideoTokens<B>,
        run: FusionOptions,
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
        run: FusionOptions,
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
        run: FusionOptions,
        prune: bool,
        mut trace: Option<&mut Vec<Tensor<B, 3>>>,
    ) -> FusionOutput<B> {
        let scores_mask = key_mask(mask.clone());
        let mut output = FusionOutput { hidden: text, kept: Vec::new(), probabilities: Vec::new() };
        for (index, layer) in self.layers.iter().enumerate().skip(self.fusion_layer) {
            let source = AttentionSource { states: video.embeds.clone(), rows: video.rows.clone(), mask: None };
            let (hidden, probabilities) = layer.forward(output.hidden, &scores_mask, Some(&source), run.mode);
            output.hidden = hidden;
            record(&mut trace, &output.hidden);
            let (Some(probabilities), Some((keep_rate, selection))) = (probabilities, self.pruning(index)) else {
                continue;
            };
            let ranking = self.ranking(probabilities.detach(), &mask, selection);
            if prune {
                let lots = Rng::new(run.selection_seed, &[index as u64]);
                let kept = choose(&ranking, keep_rate, selection, usize::from(self.clip_token), lots);
                video = video.prune(&kept, self.clip_token);
                output.kept.push(kept);
            }
            output.probabilities.push(ranking);
        }
        output
    }

    /// The keep rate and selection of `layer` if it is configured to prune.
    fn pruning(&self, layer: usize) -> Option<(f64, Selection)> {
        let cross = self.cross.as_ref().filter(|cross| cross.keep_rate < 1.0)?;
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

/// The tokens that stay, `[batch, kept]`, by `ranking` `[batch, tokens]` or by lots; the first `fixed` always stay and
/// are not counted.
fn choose<B: SvittBackend>(
    ranking: &Tensor<B, 2>,
    rate: f64,
    selection: Selection,
    fixed: usize,
    mut lots: Rng,
) -> Tensor<B, 2, Int> {
    let [batch, keys] = ranking.dims();
    let tokens = keys - fixed;
    let scores = match selection {
        Selection::Random => {
            let noise: Vec<f32> = (0..batch * tokens).map(|_| lots.uniform() as f32).collect();
            Tensor::from_data(TensorData::new(noise, [batch, tokens]), &ranking.device())
        }
        _ => ranking.clone().slice([0..batch, fixed..keys]),
    };
    keep_top(scores, kept_tokens(rate, tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CrossSparsity;
    use crate::model::init::Init;
    use crate::testing::{assert_close, noise, on_cpu_backends, randomized, small_config};

    const LAYERS: [usize; 2] = [2, 3];

    fn bert<B: svitt_ops::SvittBackend>(compat: Compat, cross: Option<(f64, Selection)>) -> Bert<B> {
        let mut config = small_config(compat).text;
        config.cross =
            cross.map(|(keep_rate, selection)| CrossSparsity { keep_rate, layers: LAYERS.to_vec(), selection });
        randomized(Bert::new(&config, 15, compat, false, &mut Init::new(1, &Default::default())), 2)
    }

    fn inputs<B: svitt_ops::SvittBackend>() -> (Tensor<B, 3>, Tensor<B, 2>, Tensor<B, 3>) {
        let mask = Tensor::from_data([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]], &Default::default());
        (noise(3, [2, 4, 20]), mask, noise(4, [2, 10, 15]))
    }

    fn fuse<B: SvittBackend>(bert: &Bert<B>, video: impl Into<VideoTokens<B>>) -> FusionOutput<B> {
        let (text, mask, _) = inputs();
        bert.fuse(text, mask, video.into(), FusionOptions::default(), None)
    }

    /// Layer by layer on tokens gathered by hand: what is pruned has no effect on the layers behind, what stays is
    /// the raw embedding.
    fn layers_behind_see_the_kept_tokens_alone<B: SvittBackend>() {
        let bert = bert::<B>(Compat::Corrected, Some((0.4, Selection::ClassAttention)));
        let (text, mask, video) = inputs::<B>();
        let found = fuse(&bert, video.clone());
        assert_eq!(found.kept.iter().map(|k| k.dims()).collect::<Vec<_>>(), [[2, 4], [2, 2]]);
        let mask = key_mask(mask);
        let twice = gather_patches(gather_patches(video.clone(), &found.kept[0]), &found.kept[1]);
        let seen = [video.clone(), gather_patches(video, &found.kept[0]), twice];
        let mut hidden = text;
        for (layer, states) in bert.layers[2..].iter().zip(seen) {
            let source = AttentionSource { states, rows: None, mask: None };
            hidden = layer.forward(hidden, &mask, Some(&source), Mode::Eval).0;
        }
        assert_close(found.hidden, hidden, 1e-5);
    }

    fn one_video_serves_all_texts<B: SvittBackend>() {
        let bert = bert::<B>(Compat::Corrected, Some((0.4, Selection::ClassAttention)));
        let (_, _, video) = inputs::<B>();
        let one = video.clone().slice([1..2]);
        let shared = fuse(&bert, one.clone()).hidden;
        assert_close(shared.clone(), fuse(&bert, one.repeat_dim(0, 2)).hidden, 1e-5);
        let rows = Tensor::from_data([1, 1], &Default::default());
        assert_close(shared, fuse(&bert, VideoTokens { embeds: video, rows: Some(rows) }).hidden, 1e-5);
    }

    fn the_official_encoder_does_not_prune_in_multi_modal_mode<B: SvittBackend>() {
        let device = Default::default();
        let ids = || Tensor::<B, 2, Int>::from_data([[1, 9, 30, 4], [1, 17, 0, 0]], &device);
        let run = |compat, cross| {
            let (_, mask, video) = inputs::<B>();
            bert::<B>(compat, cross).multi_modal(ids(), mask, video.into(), FusionOptions::default(), None)
        };
        let pruning = Some((0.4, Selection::ClassAttention));
        let [official, corrected] = [Compat::Official, Compat::Corrected].map(|compat| run(compat, pruning));
        assert_eq!((official.kept.len(), corrected.kept.len()), (0, 2));
        assert_close(official.hidden, run(Compat::Official, None).hidden, 0.0);
    }

    fn averages_leave_padding_out<B: SvittBackend>() {
        let device = Default::default();
        let attention = Tensor::<B, 4>::from_data([[[[0.1, 0.7, 0.2], [0.3, 0.3, 0.4], [0.8, 0.1, 0.1]]]], &device);
        let mask = Tensor::<B, 2>::from_data([[1.0, 1.0, 0.0]], &device);
        let rank = |compat, selection| bert::<B>(compat, None).ranking(attention.clone(), &mask, selection);
        let expect = |values: [f32; 3]| Tensor::<B, 2>::from_data([values], &device);
        let average = Selection::AverageAttention;
        assert_close(rank(Compat::Corrected, average), expect([0.2, 0.5, 0.3]), 1e-6);
        assert_close(rank(Compat::Official, average), expect([0.4, 1.1 / 3.0, 0.7 / 3.0]), 1e-6);
        assert_close(rank(Compat::Corrected, Selection::ClassAttention), expect([0.1, 0.7, 0.2]), 1e-6);
    }

    fn random_selection_repeats_under_a_seed<B: SvittBackend>() {
        let bert = bert::<B>(Compat::Corrected, Some((0.4, Selection::Random)));
        let kept = |selection_seed| {
            let (text, mask, video) = inputs::<B>();
            let run = FusionOptions { selection_seed, ..FusionOptions::default() };
            bert.fuse(text, mask, video.into(), run, None).kept[0].clone().into_data()
        };
        assert_eq!(kept(1), kept(1));
        assert_ne!(kept(1), kept(2));
    }

    on_cpu_backends!(
        layers_behind_see_the_kept_tokens_alone,
        one_video_serves_all_texts,
        the_official_encoder_does_not_prune_in_multi_modal_mode,
        averages_leave_padding_out,
        random_selection_repeats_under_a_seed,
    );
}
