//! From the last video layer to the shared space and to the fusion encoder.

use super::heads::unit_rows;
use super::layers::{Mode, linear, norm_f32};
use super::temporal::TemporalEncoder;
use super::video::{VideoEncoder, VideoOutput};
use crate::config::Pooling;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{DType, Tensor};
use svitt_ops::SvittBackend;
use svitt_ops::device::cast;

impl<B: SvittBackend> VideoEncoder<B> {
    /// What stands for clips of `frames` frames in the shared space, before its projection: the norm of the mean patch
    /// of `states` `[sequences, 1 + tokens, d]`, one per sequence or one per frame of it ([`Pooling`]). `[vectors, d]`,
    /// f32, those of a clip behind each other.
    pub fn pool(&self, states: Tensor<B, 3>, frames: usize) -> Tensor<B, 2> {
        let [sequences, s, d] = states.dims();
        let groups = self.config().groups(frames / self.sequences_of(frames));
        let patches = cast(states.slice([0..sequences, 1..s, 0..d]), DType::F32);
        let (vectors, each) = (sequences * groups, (s - 1) / groups);
        self.pool_norm.forward(patches.reshape([vectors, each, d]).mean_dim(1).reshape([vectors, d]))
    }

    /// What cross-attention sees: the last layer's tokens under `norm`, joined by `temporal` where there is one, all
    /// frames of a clip beside each other: `[batch, tokens, d]`, class tokens included.
    pub(super) fn for_fusion(
        &self,
        norm: &LayerNorm<B>,
        temporal: Option<&TemporalEncoder<B>>,
        output: &VideoOutput<B>,
        mode: Mode,
    ) -> Tensor<B, 3> {
        let normed = cast(norm_f32(norm, output.hidden.clone()), self.precision.dtype());
        let joined = match temporal {
            Some(temporal) => temporal.forward(normed, output.frames, mode),
            None => normed,
        };
        let [sequences, s, d] = joined.dims();
        let first = usize::from(!self.config().class_token);
        let tokens = if first == 0 { joined } else { joined.slice([0..sequences, first..s]) };
        let each = self.sequences_of(output.frames);
        tokens.reshape([sequences / each, each * (s - first), d])
    }

    /// The vector of a clip in the shared space, `[batch, e]`: the unit vector of its pooled patches under `projection`,
    /// or the mean of the frames' unit vectors, whose product with a text's vector is the mean of the frames' cosines.
    pub(super) fn feature(&self, norm: &LayerNorm<B>, projection: &Linear<B>, output: &VideoOutput<B>) -> Tensor<B, 2> {
        let states = match self.config().pooling {
            Pooling::Raw => output.hidden.clone(),
            Pooling::Normalised | Pooling::NormalisedPerFrame => norm_f32(norm, output.hidden.clone()),
        };
        let units = unit_rows(linear(projection, self.pool(states, output.frames)));
        let ([vectors, e], batch) = (units.dims(), output.token_ids.dims()[0]);
        match vectors / batch.max(1) {
            1 => units,
            each => units.reshape([batch, each, e]).mean_dim(1).reshape([batch, e]),
        }
    }
}
