//! The three pretraining losses of a batch, as a function of model, batch and draws (docs/model.md, "Losses").

use super::draws::{GraphSource, VideoDraws};
use super::dropout::reseed_dropout;
use super::feature_gather::FeatureGather;
use super::fusion::{FusionOptions, VideoTokens};
use super::layers::{Mode, linear};
use super::svitt::{EncodedVideo, Svitt, first_token};
use crate::Result;
use crate::config::PUBLISHED_SHARPNESS;
use crate::loss::{
    MaskRules, NegativeDraws, Negatives, clamped_temperature, contrastive, gumbel_noise, hard_negatives, mask_tokens,
    masked_language, matching, similarity,
};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use svitt_ops::SvittBackend;
use svitt_ops::rng::{Rng, key};

/// Step of the drawn keep rates: a GPU tunes its kernels once per number of tokens; between .4 and 1 there are 13
/// steps.
const KEEP_STEP: f64 = 0.05;

/// Videos and their texts.
#[derive(Clone, Debug)]
pub struct Pairs<B: Backend> {
    /// `[batch, frames, 3, size, size]`.
    pub video: Tensor<B, 5>,
    /// `[batch, tokens]`.
    pub token_ids: Tensor<B, 2, Int>,
    /// `[batch, tokens]`, 1 where a token stands.
    pub token_mask: Tensor<B, 2>,
    /// `[batch]`, equal where two pairs are positives of each other.
    pub identity: Tensor<B, 1, Int>,
}

/// Texts with words missing, `[batch, tokens]` both.
#[derive(Clone, Debug)]
pub struct MaskedText<B: Backend> {
    /// What the encoder reads.
    pub ids: Tensor<B, 2, Int>,
    /// The missing words, negative where nothing is predicted.
    pub labels: Tensor<B, 2, Int>,
}

/// Everything random in a training forward.
#[derive(Clone, Debug)]
pub struct PretrainDraws<B: Backend> {
    /// Block graphs and stochastic depth.
    pub video: VideoDraws,
    /// Negatives of the matching loss.
    pub negatives: NegativeDraws<B>,
    /// Input of the masked-language loss; none: that loss is 0.
    pub masked: Option<MaskedText<B>>,
    /// Seed of the backend's generator for dropout; none: no dropout.
    pub dropout_seed: Option<u64>,
    /// Seed of random cross-modal selection.
    pub selection_seed: u64,
}

/// What is trained, and how much it counts; the paper's pretraining by default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Weight of the contrastive loss.
    pub vtc: f64,
    /// Weight of the matching loss; 0 skips its forward.
    pub vtm: f64,
    /// Weight of the masked-language loss; 0 skips its forward. Retrieval fine-tuning has 0.
    pub mlm: f64,
    /// How much negatives of the matching loss prefer similar pairs, see [`hard_negatives`].
    pub negative_sharpness: f64,
}

/// The losses of a batch, `[1]` each; 0 where skipped.
#[derive(Clone, Debug)]
pub struct Losses<B: Backend> {
    /// Contrastive.
    pub vtc: Tensor<B, 1>,
    /// Matching.
    pub vtm: Tensor<B, 1>,
    /// Masked language.
    pub mlm: Tensor<B, 1>,
    /// The weighted sum, which is differentiated.
    pub total: Tensor<B, 1>,
}

/// Losses, and what they were computed from.
#[derive(Clone, Debug)]
pub struct PretrainOutput<B: Backend> {
    /// The losses.
    pub losses: Losses<B>,
    /// Cosines over the temperature, videos in rows: `[batch, batch]`.
    pub similarity: Tensor<B, 2>,
    /// The matching loss's part.
    pub matching: Option<MatchingOutput<B>>,
}

/// What the matching loss was computed from.
#[derive(Clone, Debug)]
pub struct MatchingOutput<B: Backend> {
    /// The drawn negatives.
    pub negatives: Negatives<B>,
    /// Fused position 0 of [(t, v), (t, v⁻), (t⁻, v)], `[3 · batch, hidden]`.
    pub states: Tensor<B, 2>,
    /// `[3 · batch, 2]`.
    pub logits: Tensor<B, 2>,
}

/// Rows for one call of the fusion encoder: texts, their masks, and the video of each.
struct FusionRows<B: Backend> {
    text: Vec<Tensor<B, 3>>,
    mask: Vec<Tensor<B, 2>>,
    video: Vec<Tensor<B, 1, Int>>,
}

impl Default for Objective {
    fn default() -> Self {
        Self { vtc: 1.0, vtm: 1.0, mlm: 1.0, negative_sharpness: PUBLISHED_SHARPNESS }
    }
}

impl<B: Backend> PretrainDraws<B> {
    /// The block graphs of the step `seed`.
    pub fn graph(seed: u64) -> GraphSource {
        GraphSource::Seeded(key(seed, &[0]))
    }

    /// The draws of one step for texts `ids` `[batch, tokens]`; `seed` is the step's own (run seed, stage and step in
    /// one key). Words are masked by `rules` if given.
    pub fn seeded(
        seed: u64,
        ids: &[i64],
        [batch, tokens]: [usize; 2],
        rules: Option<&MaskRules>,
        device: &B::Device,
    ) -> Self {
        let part = |part: u64| key(seed, &[part]);
        let int = |values| Tensor::from_data(TensorData::new::<i64, _>(values, [batch, tokens]), device);
        let masked = rules.map(|rules| mask_tokens(ids, rules, &mut Rng::new(seed, &[4])));
        Self {
            video: VideoDraws {
                graph: Self::graph(seed),
                drop_path_seed: Some(part(1)),
                selection_seed: part(2),
                keep_rate: None,
            },
            negatives: NegativeDraws::Gumbel(gumbel_noise(batch, &mut Rng::new(seed, &[3]), device)),
            masked: masked.map(|masked| MaskedText { ids: int(masked.ids), labels: int(masked.labels) }),
            dropout_seed: Some(part(5)),
            selection_seed: part(6),
        }
    }

    /// The same with this step's keep rate drawn from `range`, in steps of .05.
    #[must_use]
    pub fn with_keep_range(mut self, range: Option<[f64; 2]>, seed: u64) -> Self {
        self.video.keep_rate = range.map(|[low, high]| {
            let steps = ((high - low) / KEEP_STEP).round() as usize + 1;
            (low + KEEP_STEP * Rng::new(seed, &[7]).below(steps) as f64).min(high)
        });
        self
    }
}

impl<B: SvittBackend> Svitt<B> {
    /// The losses of `pairs`. The temperature counts as clamped (see [`Self::clamp_temperature`]).
    ///
    /// # Errors
    /// Clips of another size or length than the model's, or injected block graphs that do not fit.
    pub fn losses(
        &self,
        pairs: &Pairs<B>,
        draws: &PretrainDraws<B>,
        objective: &Objective,
    ) -> Result<PretrainOutput<B>> {
        self.losses_with_gather(pairs, draws, objective, None)
    }

    /// [`Self::losses`] with the contrastive loss over the whole global batch. Negatives of the matching loss always
    /// come from `pairs`: others would need all video tokens of the other devices.
    ///
    /// # Errors
    /// As [`Self::losses`].
    pub fn losses_with_gather(
        &self,
        pairs: &Pairs<B>,
        draws: &PretrainDraws<B>,
        objective: &Objective,
        peers: Option<&dyn FeatureGather<B>>,
    ) -> Result<PretrainOutput<B>> {
        if let Some(seed) = draws.dropout_seed {
            reseed_dropout(seed);
        }
        let mode = draws.dropout_seed.map_or(Mode::Eval, |_| Mode::Train);
        let masked = draws.masked.as_ref().filter(|_| objective.mlm != 0.0);
        let video = self.encode_video(pairs.video.clone(), &draws.video)?;
        let (text, masked_text) = self.both_texts(pairs, masked, mode);
        let temp = clamped_temperature(self.temp.val());
        let text_feature = self.text_feature(text.clone());
        let similarity = similarity(video.feature.clone(), text_feature.clone(), temp.clone());
        let negatives = (objective.vtm != 0.0).then(|| {
            hard_negatives(similarity.clone(), &pairs.identity, &draws.negatives, objective.negative_sharpness)
        });
        let run = FusionOptions { mode, selection_seed: draws.selection_seed };
        let (matching_states, words) = self.fused(pairs, &video, text, negatives.as_ref(), masked_text, run);
        let matching_output = matching_states.zip(negatives).map(|(states, negatives)| MatchingOutput {
            negatives,
            logits: linear(&self.itm_head, states.clone()),
            states,
        });
        let zero = || Tensor::zeros([1], &similarity.device());
        let vtc = match peers {
            None => contrastive(similarity.clone(), &pairs.identity),
            Some(peers) => peers.contrastive(video.feature.clone(), text_feature, temp),
        };
        let vtm = matching_output.as_ref().map_or_else(zero, |m| matching(m.logits.clone(), &pairs.identity));
        let logits = words.and_then(|hidden| self.text.words(hidden));
        let mlm = logits.zip(masked).map_or_else(zero, |(logits, m)| masked_language(logits, m.labels.clone()));
        let losses = Losses::weighted(vtc, vtm, mlm, objective);
        Ok(PretrainOutput { losses, similarity, matching: matching_output })
    }

    /// Text states of the batch, and of its masked copy, in one call of the encoder.
    fn both_texts(
        &self,
        pairs: &Pairs<B>,
        masked: Option<&MaskedText<B>>,
        mode: Mode,
    ) -> (Tensor<B, 3>, Option<Tensor<B, 3>>) {
        let (ids, mask) = (pairs.token_ids.clone(), pairs.token_mask.clone());
        let Some(masked) = masked else {
            return (self.text.text(ids, mask, mode, None), None);
        };
        let ids = Tensor::cat(vec![ids, masked.ids.clone()], 0);
        let both = self.text.text(ids, Tensor::cat(vec![mask.clone(), mask], 0), mode, None);
        let mut halves = both.chunk(2, 0).into_iter();
        match (halves.next(), halves.next()) {
            (Some(plain), masked) => (plain, masked),
            (None, _) => unreachable!("two halves were put together"),
        }
    }

    /// One call of the fusion encoder for both losses: position 0 of the matching rows `[3 · batch, hidden]`, and all
    /// positions of the masked texts `[batch, tokens, hidden]`.
    fn fused(
        &self,
        pairs: &Pairs<B>,
        video: &EncodedVideo<B>,
        text: Tensor<B, 3>,
        negatives: Option<&Negatives<B>>,
        masked_text: Option<Tensor<B, 3>>,
        run: FusionOptions,
    ) -> (Option<Tensor<B, 2>>, Option<Tensor<B, 3>>) {
        let batch = pairs.identity.dims()[0];
        let mut rows = FusionRows { text: Vec::new(), mask: Vec::new(), video: Vec::new() };
        let own = Tensor::arange(0..batch as i64, &text.device());
        let mask = &pairs.token_mask;
        if let Some(negatives) = negatives {
            rows.push(text.clone(), mask.clone(), own.clone());
            rows.push(text.clone(), mask.clone(), negatives.video.clone());
            let other = &negatives.text;
            rows.push(text.select(0, other.clone()), mask.clone().select(0, other.clone()), own.clone());
        }
        let masked = masked_text.is_some();
        if let Some(text) = masked_text {
            rows.push(text, mask.clone(), own);
        }
        if rows.text.is_empty() {
            return (None, None);
        }
        let tokens = VideoTokens { embeds: video.embeds.clone(), rows: Some(Tensor::cat(rows.video, 0)) };
        let hidden = self.text.fuse(Tensor::cat(rows.text, 0), Tensor::cat(rows.mask, 0), tokens, run, None).hidden;
        let total = hidden.dims()[0];
        let matching = if masked { total - batch } else { total };
        let states = negatives.map(|_| first_token(hidden.clone().slice([0..matching])));
        (states, masked.then(|| hidden.slice([matching..total])))
    }
}

impl<B: Backend> FusionRows<B> {
    fn push(&mut self, text: Tensor<B, 3>, mask: Tensor<B, 2>, video: Tensor<B, 1, Int>) {
        self.text.push(text);
        self.mask.push(mask);
        self.video.push(video);
    }
}

impl<B: Backend> Losses<B> {
    fn weighted(vtc: Tensor<B, 1>, vtm: Tensor<B, 1>, mlm: Tensor<B, 1>, objective: &Objective) -> Self {
        let total = vtc.clone().mul_scalar(objective.vtc)
            + vtm.clone().mul_scalar(objective.vtm)
            + mlm.clone().mul_scalar(objective.mlm);
        Self { vtc, vtm, mlm, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Compat, CrossSparsity, Selection};
    use crate::testing::{host, noise, on_cpu_backends, randomized, small_sparse_config};
    use burn::backend::Autodiff;
    use burn::tensor::backend::AutodiffBackend;

    const IDS: [[i64; 5]; 3] = [[1, 9, 30, 4, 0], [1, 17, 5, 0, 0], [1, 3, 8, 40, 12]];

    fn model<B: SvittBackend>() -> Svitt<B> {
        let mut config = small_sparse_config(Compat::Corrected);
        config.text.cross =
            Some(CrossSparsity { keep_rate: 0.5, layers: vec![3], selection: Selection::ClassAttention });
        randomized(Svitt::new(&config, 1, &Default::default()).unwrap(), 2)
    }

    fn pairs<B: Backend>(identity: [i64; 3]) -> Pairs<B> {
        let device = Default::default();
        let ids = Tensor::<B, 2, Int>::from_data(IDS, &device);
        Pairs {
            video: noise(3, [3, 3, 3, 12, 12]),
            token_mask: ids.clone().not_equal_elem(0).float(),
            token_ids: ids,
            identity: Tensor::from_data(identity, &device),
        }
    }

    fn draws<B: Backend>() -> PretrainDraws<B> {
        let rules = MaskRules { probability: 0.5, vocab_size: 41, mask_id: 2, never: vec![0, 1], always: Vec::new() };
        let draws = PretrainDraws::seeded(11, &IDS.concat(), [3, 5], Some(&rules), &Default::default());
        PretrainDraws { dropout_seed: None, ..draws }
    }

    fn values<B: Backend>(losses: &Losses<B>) -> [f32; 4] {
        [&losses.vtc, &losses.vtm, &losses.mlm, &losses.total].map(|loss| host(loss.clone())[0])
    }

    fn pairs_may_come_in_any_order<B: SvittBackend>() {
        let (model, pairs, mut draws) = (model::<B>(), pairs::<B>([7, 3, 5]), draws::<B>());
        let int = |values: [i64; 3]| Tensor::<B, 1, Int>::from_data(values, &Default::default());
        draws.negatives = NegativeDraws::Injected(Negatives { video: int([1, 2, 0]), text: int([2, 0, 1]) });
        let before = values(&model.losses(&pairs, &draws, &Objective::default()).unwrap().losses);
        let order = int([2, 0, 1]);
        let permuted = Pairs {
            video: pairs.video.select(0, order.clone()),
            token_ids: pairs.token_ids.select(0, order.clone()),
            token_mask: pairs.token_mask.select(0, order.clone()),
            identity: pairs.identity.select(0, order.clone()),
        };
        let masked = draws.masked.take().unwrap();
        draws.masked =
            Some(MaskedText { ids: masked.ids.select(0, order.clone()), labels: masked.labels.select(0, order) });
        // Pair i moved to place 1, 2, 0 for i = 0, 1, 2, and its negatives with it.
        draws.negatives = NegativeDraws::Injected(Negatives { video: int([1, 2, 0]), text: int([2, 0, 1]) });
        let after = values(&model.losses(&permuted, &draws, &Objective::default()).unwrap().losses);
        for (a, b) in before.iter().zip(after) {
            assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{before:?} {after:?}");
        }
        assert!((before[0] + before[1] + before[2] - before[3]).abs() < 1e-4, "{before:?}");
    }

    fn skipped_losses_are_zero_and_change_no_other<B: SvittBackend>() {
        let (model, pairs, draws) = (model::<B>(), pairs::<B>([7, 3, 3]), draws::<B>());
        let of = |objective: Objective| values(&model.losses(&pairs, &draws, &objective).unwrap().losses);
        let all = of(Objective::default());
        let no_words = of(Objective { mlm: 0.0, ..Objective::default() });
        let vtc_alone = of(Objective { mlm: 0.0, vtm: 0.0, ..Objective::default() });
        assert!((no_words[1] - all[1]).abs() < 1e-5 && no_words[2] == 0.0, "{all:?} {no_words:?}");
        assert!((vtc_alone[0] - all[0]).abs() < 1e-5 && vtc_alone[1..3] == [0.0, 0.0], "{all:?} {vtc_alone:?}");
    }

    fn one_video_alone_trains_without_nan<B: SvittBackend>()
    where
        Autodiff<B>: SvittBackend + AutodiffBackend<InnerBackend = B>,
    {
        let model = model::<Autodiff<B>>();
        let out = model.losses(&pairs([4, 4, 4]), &draws(), &Objective::default()).unwrap();
        let gradients = out.losses.total.clone().backward();
        let found = values(&out.losses);
        assert!(found.iter().all(|loss| loss.is_finite()) && found[1] == 0.0, "{found:?}");
        let gradient = host(model.video.layers[0].qkv.val().grad(&gradients).unwrap());
        assert!(gradient.iter().all(|g| g.is_finite()) && gradient.iter().any(|g| *g != 0.0));
    }

    fn frozen_encoders_get_no_gradient_and_lose_nothing<B: SvittBackend>()
    where
        Autodiff<B>: SvittBackend + AutodiffBackend<InnerBackend = B>,
    {
        let (model, pairs, draws) = (model::<Autodiff<B>>(), pairs([7, 3, 5]), draws());
        let matching = Objective { vtc: 0.0, mlm: 0.0, ..Objective::default() };
        let losses = |model: &Svitt<Autodiff<B>>| model.losses(&pairs, &draws, &matching).unwrap().losses;
        let (free, out) = (losses(&model), losses(&model.clone().with_frozen_encoders()));
        assert_eq!(values(&free), values(&out));
        let gradients = out.total.backward();
        let still = [
            model.video.layers[0].qkv.val().grad(&gradients).is_none(),
            model.video_norm.gamma.val().grad(&gradients).is_none(),
            model.video_proj.weight.val().grad(&gradients).is_none(),
            model.text_proj.weight.val().grad(&gradients).is_none(),
            model.temp.val().grad(&gradients).is_none(),
            model.text.embeddings.word.weight.val().grad(&gradients).is_none(),
        ];
        assert_eq!(still, [true; 6]);
        let head = model.itm_head.weight.val().grad(&gradients).unwrap();
        assert!(host(head).iter().any(|g| *g != 0.0));
    }

    fn every_weight_learns<B: SvittBackend>()
    where
        Autodiff<B>: SvittBackend + AutodiffBackend<InnerBackend = B>,
    {
        struct NoGradient<'a, B: AutodiffBackend>(&'a B::Gradients, Vec<usize>);
        impl<B: AutodiffBackend> burn::module::ModuleVisitor<B> for NoGradient<'_, B> {
            fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<B, D>>) {
                let value = param.val();
                let idle = value.grad(self.0).is_none_or(|g| host(g).iter().all(|g| *g == 0.0));
                self.1.extend(idle.then(|| value.shape().num_elements()));
            }
        }
        let model = model::<Autodiff<B>>();
        let out = model.losses(&pairs([7, 3, 5]), &draws(), &Objective::default()).unwrap();
        let gradients = out.losses.total.backward();
        let mut idle = NoGradient::<Autodiff<B>>(&gradients, Vec::new());
        burn::module::Module::visit(&model, &mut idle);
        assert_eq!(idle.1, [] as [usize; 0], "sizes of the weights without gradient");
    }

    on_cpu_backends!(
        pairs_may_come_in_any_order,
        skipped_losses_are_zero_and_change_no_other,
        one_video_alone_trains_without_nan,
        frozen_encoders_get_no_gradient_and_lose_nothing,
        every_weight_learns,
    );
}
