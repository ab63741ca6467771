//! What Singularity's temporal models do before fusion: a learned vector per frame, and BERT layers over time
//! (docs/model.md, "Frames one by one").

use super::bert::BertLayer;
use super::init::Init;
use super::layers::Mode;
use super::positions::{Between, between};
use crate::config::{TemporalConfig, TextConfig, VideoConfig};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use svitt_ops::SvittBackend;
use svitt_ops::device::cast;

/// Joins the tokens of frames that were encoded one by one.
#[derive(Module, Debug)]
pub struct TemporalEncoder<B: Backend> {
    /// One vector per frame, `[1, frames, 1, d]`, for every token of the frame.
    pub embeddings: Option<Param<Tensor<B, 4>>>,
    /// Over time; every place of a frame, class token included, is a sequence of its own.
    pub layers: Vec<BertLayer<B>>,
}

impl<B: SvittBackend> TemporalEncoder<B> {
    /// Fresh weights for `config`, with the dropout and norms of `text`: its layers are of the text encoder's make.
    pub fn new(config: &TemporalConfig, video: &VideoConfig, text: &TextConfig, init: &mut Init<B>) -> Self {
        let (hidden, &TemporalConfig { frames, layers, heads, ffn }) = (video.hidden, config);
        let text = TextConfig { hidden, heads, ffn, cross: None, ..text.clone() };
        Self {
            embeddings: (frames > 0).then(|| init.constant([1, frames, 1, hidden], 0.0)),
            layers: (0..layers).map(|_| BertLayer::new(&text, None, init)).collect(),
        }
    }

    /// `x` `[clips · frames, places, d]`, place i of all frames of a clip being of one sequence, to the same shape.
    pub fn forward(&self, x: Tensor<B, 3>, frames: usize, mode: Mode) -> Tensor<B, 3> {
        let [all, places, d] = x.dims();
        let clips = all / frames.max(1);
        let mut x = x.reshape([clips, frames, places, d]);
        if let Some(embeddings) = &self.embeddings {
            x = x.clone() + cast(of_length(embeddings.val(), frames), x.dtype());
        }
        // A single frame has nobody to attend to and is left as it is.
        if frames > 1 && !self.layers.is_empty() {
            let all_seen = Tensor::zeros([1, 1, 1, frames], &x.device());
            let over_time = x.swap_dims(1, 2).reshape([clips * places, frames, d]);
            let through = |x, layer: &BertLayer<B>| layer.forward(x, &all_seen, None, mode).0;
            let joined = self.layers.iter().fold(over_time, through);
            x = joined.reshape([clips, places, frames, d]).swap_dims(1, 2);
        }
        x.reshape([all, places, d])
    }
}

/// `embeddings` `[1, trained, 1, d]` for clips of `frames` frames: the first ones of more, stretched over time to more.
fn of_length<B: SvittBackend>(embeddings: Tensor<B, 4>, frames: usize) -> Tensor<B, 4> {
    let [_, trained, _, d] = embeddings.dims();
    if frames <= trained {
        return embeddings.narrow(1, 0, frames);
    }
    let mut weights = vec![0f32; frames * trained];
    for (row, Between { lower, upper, weight }) in weights.chunks_mut(trained).zip(between(trained, frames)) {
        row[lower] += 1.0 - weight;
        row[upper] += weight;
    }
    let weights = Tensor::<B, 2>::from_data(TensorData::new(weights, [frames, trained]), &embeddings.device());
    weights.matmul(embeddings.reshape([trained, d])).reshape([1, frames, 1, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Compat, ModelConfig};
    use crate::testing::{assert_close, noise, on_cpu_backends, randomized, small_config};

    fn encoder<B: SvittBackend>() -> TemporalEncoder<B> {
        let ModelConfig { video, text, .. } = small_config(Compat::Corrected);
        let config = TemporalConfig { frames: 2, layers: 2, heads: 5, ffn: 17 };
        randomized(TemporalEncoder::new(&config, &video, &text, &mut Init::new(1, &Default::default())), 2)
    }

    /// Places and clips do not see each other; frames do.
    fn every_place_is_a_sequence_of_its_own<B: SvittBackend>() {
        let x = noise::<B, 3>(3, [6, 4, 15]);
        let out = encoder::<B>().forward(x.clone(), 3, Mode::Eval);
        let alone = |clip: usize, place: usize| x.clone().slice([3 * clip..3 * clip + 3, place..place + 1]);
        for (clip, place) in [(0, 2), (1, 0)] {
            let expected = out.clone().slice([3 * clip..3 * clip + 3, place..place + 1]);
            assert_close(encoder::<B>().forward(alone(clip, place), 3, Mode::Eval), expected, 1e-5);
        }
    }

    fn a_single_frame_gets_its_vector_alone<B: SvittBackend>() {
        let (encoder, x) = (encoder::<B>(), noise::<B, 3>(3, [2, 4, 15]));
        let first = encoder.embeddings.as_ref().unwrap().val().narrow(1, 0, 1).reshape([1, 1, 15]);
        assert_close(encoder.forward(x.clone(), 1, Mode::Eval), x + first, 1e-6);
    }

    fn vectors_are_stretched_to_longer_clips<B: SvittBackend>() {
        let encoder = encoder::<B>();
        let [low, high] = [0, 1].map(|frame| encoder.embeddings.as_ref().unwrap().val().narrow(1, frame, 1));
        let four = of_length(encoder.embeddings.as_ref().unwrap().val(), 4);
        assert_close(four.clone().narrow(1, 0, 1), low.clone(), 1e-6);
        assert_close(four.narrow(1, 1, 1), low.mul_scalar(0.75) + high.mul_scalar(0.25), 1e-6);
    }

    on_cpu_backends!(
        every_place_is_a_sequence_of_its_own,
        a_single_frame_gets_its_vector_alone,
        vectors_are_stretched_to_longer_clips,
    );
}
