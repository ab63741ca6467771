//! BERT: text layers, and from `fusion_layer` on layers that also attend to the video
//! (docs/model.md, "Text encoder" and "Fusion encoder").

use super::bert_attention::{AttentionSource, BertAttention};
use super::dropout::dropout;
use super::heads::MlmHead;
use super::init::Init;
use super::layers::{Mode, additive_mask, linear};
use crate::Result;
use crate::config::{Compat, CrossSparsity, Precision, TextConfig};
use burn::module::Module;
use burn::nn::{Embedding, LayerNorm, Linear};
use burn::tensor::{Int, Tensor, backend::Backend};
use svitt_ops::device::cast;
use svitt_ops::fused::{FusedOps, layer_norm, linear_gelu};

/// Additive mask of padding in text self-attention.
const TEXT_PENALTY: f64 = 1e4;

/// Word, position and type embeddings.
#[derive(Module, Debug)]
pub struct BertEmbeddings<B: Backend> {
    /// `[vocab, hidden]`; the MLM decoder is tied to it.
    pub word: Embedding<B>,
    /// `[max positions, hidden]`.
    pub position: Embedding<B>,
    /// `[types, hidden]`; every token has type 0.
    pub token_type: Embedding<B>,
    /// Over the sum of the three.
    pub norm: LayerNorm<B>,
    dropout: f64,
    epsilon: f64,
}

/// One post-norm layer.
#[derive(Module, Debug)]
pub struct BertLayer<B: Backend> {
    /// Text to text.
    pub attention: BertAttention<B>,
    /// Text to video, fusion layers only.
    pub cross_attention: Option<BertAttention<B>>,
    /// `[hidden, ffn]`.
    pub intermediate: Linear<B>,
    /// `[ffn, hidden]`.
    pub output: Linear<B>,
    /// Over the sum of the feed-forward part and its input.
    pub norm: LayerNorm<B>,
    dropout: f64,
    epsilon: f64,
}

/// Text encoder, fusion encoder and MLM head.
#[derive(Module, Debug)]
pub struct Bert<B: Backend> {
    /// Ids to vectors.
    pub embeddings: BertEmbeddings<B>,
    /// Text layers first, then fusion layers.
    pub layers: Vec<BertLayer<B>>,
    /// Present where words are predicted.
    pub mlm: Option<MlmHead<B>>,
    pub(super) fusion_layer: usize,
    /// Whether the video's tokens begin with one class token, which pruning always keeps.
    pub(super) clip_token: bool,
    #[module(skip)]
    pub(super) cross: Option<CrossSparsity>,
    #[module(skip)]
    pub(super) compat: Compat,
    #[module(skip)]
    pub(super) precision: Precision,
}

impl<B: Backend> Bert<B> {
    /// Word vectors, text layers and word head as constants, fusion layers as they are.
    #[must_use]
    pub(super) fn with_frozen_text(self) -> Self {
        let fusion_layer = self.fusion_layer;
        let frozen = |(place, layer): (usize, BertLayer<B>)| if place < fusion_layer { layer.no_grad() } else { layer };
        Self {
            embeddings: self.embeddings.no_grad(),
            layers: self.layers.into_iter().enumerate().map(frozen).collect(),
            mlm: self.mlm.no_grad(),
            ..self
        }
    }
}

impl<B: FusedOps> BertEmbeddings<B> {
    fn new(config: &TextConfig, init: &mut Init<B>) -> Self {
        Self {
            word: init.embedding(config.vocab_size, config.hidden),
            position: init.embedding(config.max_positions, config.hidden),
            token_type: init.embedding(config.type_vocab_size, config.hidden),
            norm: init.layer_norm(config.hidden, config.layer_norm_eps),
            dropout: config.dropout,
            epsilon: config.layer_norm_eps,
        }
    }

    /// `ids` `[batch, tokens]` to `[batch, tokens, hidden]`.
    pub fn forward(&self, ids: Tensor<B, 2, Int>, mode: Mode) -> Tensor<B, 3> {
        let tokens = ids.dims()[1];
        let position = self.position.weight.val().slice([0..tokens]).unsqueeze::<3>();
        let token_type = self.token_type.weight.val().slice([0..1]).unsqueeze::<3>();
        let sum = self.word.forward(ids) + (position + token_type);
        dropout(layer_norm(sum, &self.norm, self.epsilon), self.dropout, mode)
    }
}

impl<B: FusedOps> BertLayer<B> {
    /// A layer; `source_width` is the width of what its cross-attention sees, none for a text layer.
    pub fn new(config: &TextConfig, source_width: Option<usize>, init: &mut Init<B>) -> Self {
        Self {
            attention: BertAttention::new(config, config.hidden, init),
            cross_attention: source_width.map(|width| BertAttention::new(config, width, init)),
            intermediate: init.linear(config.hidden, config.ffn),
            output: init.linear(config.ffn, config.hidden),
            norm: init.layer_norm(config.hidden, config.layer_norm_eps),
            dropout: config.dropout,
            epsilon: config.layer_norm_eps,
        }
    }

    /// `x` `[batch, tokens, hidden]` after self-attention under `mask` (added to the scores, broadcast to
    /// `[batch, heads, tokens, tokens]`), cross-attention to `source` where the layer has one, and the feed-forward
    /// part; with the probabilities of the cross-attention `[batch, heads, tokens, keys]`.
    pub fn forward(
        &self,
        x: Tensor<B, 3>,
        mask: &Tensor<B, 4>,
        source: Option<&AttentionSource<B>>,
        mode: Mode,
    ) -> (Tensor<B, 3>, Option<Tensor<B, 4>>) {
        let own = AttentionSource { states: x.clone(), rows: None, mask: Some(mask.clone()) };
        let (x, _) = self.attention.forward(x, &own, mode);
        let (x, probabilities) = match (&self.cross_attention, source) {
            (Some(attention), Some(source)) => {
                let (x, probabilities) = attention.forward(x, source, mode);
                (x, Some(probabilities))
            }
            _ => (x, None),
        };
        (self.feed_forward(x, mode), probabilities)
    }

    fn feed_forward(&self, x: Tensor<B, 3>, mode: Mode) -> Tensor<B, 3> {
        let y = linear(&self.output, linear_gelu(x.clone(), &self.intermediate));
        layer_norm(dropout(y, self.dropout, mode) + x, &self.norm, self.epsilon)
    }
}

impl<B: FusedOps> Bert<B> {
    /// A BERT of `config` whose fusion layers attend to states of `source_width`; `mlm`: with a head for words.
    pub fn new(config: &TextConfig, source_width: usize, compat: Compat, mlm: bool, init: &mut Init<B>) -> Self {
        let width = |layer| (layer >= config.fusion_layer).then_some(source_width);
        Self {
            embeddings: BertEmbeddings::new(config, init),
            layers: (0..config.layers).map(|layer| BertLayer::new(config, width(layer), init)).collect(),
            mlm: mlm.then(|| MlmHead::new(config, init)),
            fusion_layer: config.fusion_layer,
            clip_token: true,
            cross: config.cross.clone(),
            compat,
            precision: Precision::F32,
        }
    }

    /// The same weights for videos whose tokens begin with one class token, or that have no token which always stays.
    #[must_use]
    pub fn with_clip_token(self, clip_token: bool) -> Self {
        Self { clip_token, ..self }
    }

    /// The same weights under other cross-modal pruning.
    ///
    /// # Errors
    /// A keep rate outside (0, 1], or a layer that is no fusion layer.
    pub fn with_cross(mut self, cross: Option<CrossSparsity>) -> Result<Self> {
        if let Some(cross) = &cross {
            cross.validate(self.fusion_layer..self.layers.len())?;
        }
        self.cross = cross;
        Ok(self)
    }

    /// The text layers: `ids` and `mask` `[batch, tokens]` (1 where a token stands) to `[batch, tokens, hidden]`.
    /// `trace` receives the embeddings and the output of every layer.
    pub fn text(
        &self,
        ids: Tensor<B, 2, Int>,
        mask: Tensor<B, 2>,
        mode: Mode,
        mut trace: Option<&mut Vec<Tensor<B, 3>>>,
    ) -> Tensor<B, 3> {
        let mask = key_mask(mask);
        let mut x = cast(self.embeddings.forward(ids, mode), self.precision.dtype());
        record(&mut trace, &x);
        for layer in &self.layers[..self.fusion_layer] {
            (x, _) = layer.forward(x, &mask, None, mode);
            record(&mut trace, &x);
        }
        x
    }

    /// Scores of every word for `hidden` `[batch, tokens, hidden]`: `[batch, tokens, vocab]`, f32; none without a head.
    pub fn words(&self, hidden: Tensor<B, 3>) -> Option<Tensor<B, 3>> {
        let head = self.mlm.as_ref()?;
        Some(head.forward(hidden, self.embeddings.word.weight.val()))
    }
}

/// `mask` `[batch, tokens]` as a summand of self-attention scores, `[batch, 1, 1, tokens]`.
pub(super) fn key_mask<B: Backend>(mask: Tensor<B, 2>) -> Tensor<B, 4> {
    let [batch, tokens] = mask.dims();
    additive_mask(mask.reshape([batch, 1, 1, tokens]), TEXT_PENALTY)
}

/// `mask` `[batch, tokens]` and no look ahead, as a summand `[batch, 1, tokens, tokens]` (the answer decoder's).
pub(super) fn causal_mask<B: Backend>(mask: Tensor<B, 2>) -> Tensor<B, 4> {
    let [batch, tokens] = mask.dims();
    let seen = Tensor::<B, 2>::ones([tokens, tokens], &mask.device()).tril(0).reshape([1, 1, tokens, tokens]);
    additive_mask(seen * mask.reshape([batch, 1, 1, tokens]), TEXT_PENALTY)
}

pub(super) fn record<B: Backend>(trace: &mut Option<&mut Vec<Tensor<B, 3>>>, x: &Tensor<B, 3>) {
    if let Some(trace) = trace {
        trace.push(x.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, on_cpu_backends, randomized, small_config};

    fn bert<B: svitt_ops::SvittBackend>() -> Bert<B> {
        let config = small_config(Compat::Corrected).text;
        randomized(Bert::new(&config, 15, Compat::Corrected, true, &mut Init::new(1, &Default::default())), 2)
    }

    fn text<B: svitt_ops::SvittBackend>(ids: Tensor<B, 2, Int>, mask: Tensor<B, 2>) -> Tensor<B, 3> {
        bert::<B>().text(ids, mask, Mode::Eval, None)
    }

    fn padding_changes_nothing<B: svitt_ops::SvittBackend>() {
        let device = Default::default();
        let short = text::<B>(Tensor::from_data([[1, 9, 30], [1, 17, 4]], &device), Tensor::ones([2, 3], &device));
        let ids = Tensor::from_data([[1, 9, 30, 0, 25], [1, 17, 4, 11, 0]], &device);
        let mask = Tensor::from_data([[1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0, 0.0]], &device);
        assert_close(text::<B>(ids, mask).slice([0..2, 0..3]), short, 1e-5);
    }

    fn texts_do_not_see_each_other<B: svitt_ops::SvittBackend>() {
        let device = Default::default();
        let ids = Tensor::<B, 2, Int>::from_data([[1, 9, 30], [1, 17, 4], [1, 2, 40]], &device);
        let mask = Tensor::<B, 2>::from_data([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], &device);
        let order = Tensor::<B, 1, Int>::from_data([2, 0, 1], &device);
        let permuted = text(ids.clone().select(0, order.clone()), mask.clone().select(0, order.clone()));
        assert_close(permuted, text(ids, mask).select(0, order), 1e-6);
    }

    fn the_word_head_is_tied_to_the_embeddings<B: svitt_ops::SvittBackend>() {
        let mut bert = bert::<B>();
        let hidden = crate::testing::noise::<B, 3>(3, [2, 3, 20]);
        let before = bert.words(hidden.clone()).unwrap();
        assert_eq!(before.dims(), [2, 3, 41]);
        bert.embeddings.word.weight = bert.embeddings.word.weight.map(|w| w.mul_scalar(2.0));
        let bias = bert.mlm.as_ref().unwrap().bias.val().reshape([1, 1, 41]);
        assert_close(bert.words(hidden).unwrap() - bias.clone(), (before - bias).mul_scalar(2.0), 1e-4);
    }

    on_cpu_backends!(padding_changes_nothing, texts_do_not_see_each_other, the_word_head_is_tied_to_the_embeddings);
}
