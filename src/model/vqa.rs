//! Question answering: the question is fused with the video, and a decoder scores answers
//! (docs/model.md, "Question answering").

use super::bert::{Bert, causal_mask};
use super::bert_attention::AttentionSource;
use super::draws::VideoDraws;
use super::fusion::{FusionOptions, VideoTokens};
use super::init::Init;
use super::layers::{Mode, additive_mask};
use super::svitt::{Svitt, temporal};
use super::temporal::TemporalEncoder;
use super::video::VideoEncoder;
use crate::config::{ModelConfig, Precision, TextConfig};
use crate::loss::answer_losses;
use crate::{Error, Result};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::nn::LayerNorm;
use burn::tensor::{Int, Tensor, backend::Backend};
use svitt_ops::SvittBackend;

/// What hides padding from cross-attention (docs/model.md, "Attention masks").
const CROSS_PENALTY: f64 = 1e9;

/// SViTT for question answering.
#[derive(Module, Debug)]
pub struct SvittQa<B: Backend> {
    /// Clips to tokens; its pooling is not used.
    pub video: VideoEncoder<B>,
    /// Over the video tokens that cross-attention sees.
    pub video_norm: LayerNorm<B>,
    /// What joins frames that were encoded one by one, in models that have it.
    pub temporal: Option<TemporalEncoder<B>>,
    /// All layers, without word head: question and video to question states.
    pub text: Bert<B>,
    /// As many layers as fuse in `text`, or as the checkpoint has, each with cross-attention to the question states; predicts the next word.
    pub decoder: Bert<B>,
}

/// Question states after fusion with the video.
#[derive(Clone, Debug)]
pub struct QuestionStates<B: Backend> {
    /// `[questions, tokens, hidden]`.
    pub states: Tensor<B, 3>,
    /// `[questions, tokens]`, 1 where a token stands.
    pub mask: Tensor<B, 2>,
}

/// Tokenised texts.
#[derive(Clone, Debug)]
pub struct TokenBatch<B: Backend> {
    /// `[texts, tokens]`.
    pub ids: Tensor<B, 2, Int>,
    /// `[texts, tokens]`, 1 where a token stands.
    pub mask: Tensor<B, 2>,
}

/// Answers to train on: every distinct answer of every question.
#[derive(Clone, Debug)]
pub struct WeightedAnswers<B: Backend> {
    /// `[answers, tokens]`, closed by `[SEP]`.
    pub tokens: TokenBatch<B>,
    /// The question each answers, `[answers]`.
    pub question: Tensor<B, 1, Int>,
    /// The share of annotators who gave it, `[answers]`.
    pub weight: Tensor<B, 1>,
}

/// The configuration of the decoder of a model with `text`.
pub fn decoder_config(text: &TextConfig) -> TextConfig {
    TextConfig { layers: text.decoder_depth(), fusion_layer: 0, cross: None, ..text.clone() }
}

impl<B: SvittBackend> SvittQa<B> {
    /// Fresh weights for `config`, drawn from `seed`.
    ///
    /// # Errors
    /// Sizes that do not fit together, or no fusion layer.
    pub fn new(config: &ModelConfig, seed: u64, device: &B::Device) -> Result<Self> {
        config.validate()?;
        check_fusion(config.text.layers, config.text.fusion_layer)?;
        let init = &mut Init::new(seed, device);
        let width = config.video.hidden;
        Ok(Self {
            video: VideoEncoder::new(&config.video, config.compat, init),
            video_norm: init.layer_norm(width, config.video.layer_norm_eps),
            temporal: temporal(config, init),
            text: Bert::new(&config.text, width, config.compat, false, init)
                .with_clip_token(config.video.has_clip_token()),
            decoder: Bert::new(&decoder_config(&config.text), config.text.hidden, config.compat, true, init),
        })
    }

    /// The model that goes on from pretrained weights: the decoder starts as a copy of the fusion layers, embeddings
    /// and word head (docs/model.md, "Answer decoder").
    ///
    /// # Errors
    /// A pretrained model without fusion layers, or whose video and text widths differ (the copied cross-attention
    /// would not fit the question states).
    pub fn from_pretrained(model: Svitt<B>) -> Result<Self> {
        check_fusion(model.text.layers.len(), model.text.fusion_layer)?;
        check_widths(&model)?;
        let Svitt { video, video_norm, temporal, mut text, .. } = model;
        let decoder = Bert {
            embeddings: text.embeddings.clone(),
            layers: text.layers[text.fusion_layer..].to_vec(),
            mlm: text.mlm.take(),
            fusion_layer: 0,
            cross: None,
            clip_token: text.clip_token,
            compat: text.compat,
            precision: text.precision,
        };
        Ok(Self { video, video_norm, temporal, text, decoder: decoder.map(&mut FreshIds) })
    }

    /// The same weights, computed with in `precision` from here on. The backend must support it
    /// (see [`crate::backend::precision`]).
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.video = self.video.with_precision(precision);
        (self.text.precision, self.decoder.precision) = (precision, precision);
        self
    }

    /// Video tokens `[batch, tokens, d]`, class tokens included, of clips `[batch, frames, 3, size, size]`.
    ///
    /// # Errors
    /// A clip of another size or length than the model's.
    pub fn encode_video(&self, video: Tensor<B, 5>, draws: &VideoDraws) -> Result<Tensor<B, 3>> {
        let output = self.video.forward(video, draws, None)?;
        Ok(self.video.for_fusion(&self.video_norm, self.temporal.as_ref(), &output, draws.mode()))
    }

    /// Questions, one per row, with the video of each.
    pub fn ask(
        &self,
        questions: TokenBatch<B>,
        video: impl Into<VideoTokens<B>>,
        run: FusionOptions,
    ) -> QuestionStates<B> {
        let TokenBatch { ids, mask } = questions;
        QuestionStates { states: self.text.multi_modal(ids, mask.clone(), video.into(), run, None).hidden, mask }
    }

    /// Scores of every next word: `answers` `[answers, tokens]`, each to the question `question` `[answers]` names
    /// (none: answer i to question i), to `[answers, tokens, vocab]`.
    pub fn answer_logits(
        &self,
        answers: TokenBatch<B>,
        questions: &QuestionStates<B>,
        question: Option<Tensor<B, 1, Int>>,
        mode: Mode,
    ) -> Tensor<B, 3> {
        let mask = match &question {
            Some(rows) => questions.mask.clone().select(0, rows.clone()),
            None => questions.mask.clone(),
        };
        let [count, tokens] = mask.dims();
        let mask = additive_mask(mask.reshape([count, 1, 1, tokens]), CROSS_PENALTY);
        let source = AttentionSource { states: questions.states.clone(), rows: question, mask: Some(mask) };
        let own = causal_mask(answers.mask);
        let embedded = self.decoder.embeddings.forward(answers.ids, mode);
        let hidden =
            self.decoder.layers.iter().fold(embedded, |x, layer| layer.forward(x, &own, Some(&source), mode).0);
        self.decoder.words(hidden.clone()).unwrap_or(hidden)
    }

    /// The training loss `[1]`: Σ weight · summed cross entropy of the answer's words, over the number of questions
    /// (`asked`; the published code has one per video); and the loss of each answer `[answers]`.
    pub fn loss(
        &self,
        questions: &QuestionStates<B>,
        answers: &WeightedAnswers<B>,
        asked: usize,
        mode: Mode,
    ) -> (Tensor<B, 1>, Tensor<B, 1>) {
        let tokens = answers.tokens.clone();
        let logits = self.answer_logits(tokens.clone(), questions, Some(answers.question.clone()), mode);
        let each = answer_losses(logits, tokens.ids, tokens.mask);
        ((each.clone() * answers.weight.clone()).sum().div_scalar(asked as f64), each)
    }
}

fn check_fusion(layers: usize, fusion_layer: usize) -> Result<()> {
    if fusion_layer < layers {
        return Ok(());
    }
    let problem = format!("all {layers} layers are text layers, so an answer decoder would have none");
    Err(Error::setting("text.fusion_layer", problem, "leave at least one layer for fusion"))
}

fn check_widths<B: Backend>(model: &Svitt<B>) -> Result<()> {
    let [hidden] = model.text.embeddings.norm.gamma.dims();
    let [video] = model.video_norm.gamma.dims();
    if hidden == video {
        return Ok(());
    }
    let problem = format!("the answer decoder copies cross-attention to width {video}, but questions have {hidden}");
    Err(Error::setting("text.hidden", problem, "pretrain with equal widths of video and text"))
}

/// Gives copied parameters ids of their own: gradients and optimizer state are kept by id.
struct FreshIds;

impl<B: Backend> ModuleMapper<B> for FreshIds {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (_, tensor, mapper) = param.consume();
        let tracked = tensor.is_require_grad();
        Param::from_mapped_value(ParamId::new(), tensor.detach().set_require_grad(tracked), mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Compat;
    use crate::testing::{assert_close, host, noise, on_cpu_backends, randomized, small_config};
    use burn::backend::Autodiff;
    use burn::tensor::backend::AutodiffBackend;

    fn config() -> ModelConfig {
        let mut config = small_config(Compat::Corrected);
        (config.video.hidden, config.video.heads) = (20, 5);
        config
    }

    fn model<B: SvittBackend>() -> SvittQa<B> {
        randomized(SvittQa::new(&config(), 1, &Default::default()).unwrap(), 2)
    }

    fn tokens<B: Backend, const A: usize, const T: usize>(ids: [[i64; T]; A]) -> TokenBatch<B> {
        let ids = Tensor::<B, 2, Int>::from_data(ids, &Default::default());
        TokenBatch { mask: ids.clone().not_equal_elem(0).float(), ids }
    }

    fn questions<B: SvittBackend>(model: &SvittQa<B>) -> QuestionStates<B> {
        let asked = tokens([[1, 9, 30, 4], [1, 17, 0, 0]]);
        model.ask(asked, noise::<B, 3>(3, [2, 28, 20]), FusionOptions::default())
    }

    fn each_word_sees_only_earlier_words<B: SvittBackend>() {
        let model = model::<B>();
        let questions = questions(&model);
        let logits = |ids| model.answer_logits(tokens(ids), &questions, None, Mode::Eval);
        let (a, b) = (logits([[1, 5, 6, 7], [1, 8, 9, 2]]), logits([[1, 5, 6, 33], [1, 8, 10, 11]]));
        assert_close(a.clone().slice([0..2, 0..2]), b.clone().slice([0..2, 0..2]), 1e-5);
        let changed = host((a - b).slice([0..2, 3..4]).abs().max())[0];
        assert!(changed > 1e-2, "the last word sees itself: {changed}");
    }

    fn padding_of_questions_and_answers_changes_nothing<B: SvittBackend>() {
        let model = model::<B>();
        let video = noise::<B, 3>(3, [1, 28, 20]);
        let loss = |question: TokenBatch<B>, answer: TokenBatch<B>| {
            let device = Default::default();
            let questions = model.ask(question, video.clone(), FusionOptions::default());
            let (question, weight) = (Tensor::zeros([1], &device), Tensor::ones([1], &device));
            model.loss(&questions, &WeightedAnswers { tokens: answer, question, weight }, 1, Mode::Eval).0
        };
        let short = loss(tokens([[1, 9, 30]]), tokens([[1, 7, 2]]));
        assert_close(loss(tokens([[1, 9, 30, 0, 0]]), tokens([[1, 7, 2, 0]])), short, 1e-4);
    }

    fn answers_are_weighted_and_summed_per_video<B: SvittBackend>() {
        let (model, device) = (model::<B>(), Default::default());
        let questions = questions(&model);
        let answers = WeightedAnswers {
            tokens: tokens([[1, 7, 2, 0], [1, 8, 9, 2], [1, 5, 2, 0]]),
            question: Tensor::from_data([1, 0, 1], &device),
            weight: Tensor::from_data([0.25, 1.0, 0.75], &device),
        };
        let (loss, each) = model.loss(&questions, &answers, 2, Mode::Eval);
        let each = host(each);
        assert!((host(loss)[0] - (0.25 * each[0] + each[1] + 0.75 * each[2]) / 2.0).abs() < 1e-4);
    }

    fn the_decoder_starts_as_a_copy_and_learns_by_itself<B: SvittBackend>()
    where
        Autodiff<B>: SvittBackend + AutodiffBackend<InnerBackend = B>,
    {
        let pretrained = randomized(Svitt::<Autodiff<B>>::new(&config(), 1, &Default::default()).unwrap(), 2);
        let fused = pretrained.text.layers[3].output.weight.val();
        let model = SvittQa::from_pretrained(pretrained).unwrap();
        assert_eq!(model.decoder.layers.len(), 3);
        let copied = &model.decoder.layers[1].output.weight;
        assert_close(copied.val(), fused, 0.0);
        assert_ne!(copied.id, model.text.layers[3].output.weight.id);
        let answers = WeightedAnswers {
            tokens: tokens([[1, 7, 2]]),
            question: Tensor::zeros([1], &Default::default()),
            weight: Tensor::ones([1], &Default::default()),
        };
        let gradients = model.loss(&questions(&model), &answers, 1, Mode::Eval).0.backward();
        let [own, text] =
            [copied, &model.text.layers[3].output.weight].map(|w| host(w.val().grad(&gradients).unwrap()));
        assert!(own != text && own.iter().chain(&text).all(|g| g.is_finite()));
    }

    on_cpu_backends!(
        each_word_sees_only_earlier_words,
        padding_of_questions_and_answers_changes_nothing,
        answers_are_weighted_and_summed_per_video,
        the_decoder_starts_as_a_copy_and_learns_by_itself,
    );
}
