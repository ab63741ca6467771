//! Frames become tokens: one linear map of every patch, fixed positions where a model has them, a class token in front
//! (docs/model.md, "Patch tokens").

use super::init::Init;
use super::layers::linear;
use super::positions;
use crate::config::VideoConfig;
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{DType, Tensor, backend::Backend};
use svitt_ops::device::{MatmulOps, cast};
use svitt_ops::tokens::{RowOps, patch_rows};

/// The patch embedding and the class token.
#[derive(Module, Debug)]
pub struct PatchEmbedding<B: Backend> {
    /// `[1, 1, d]`. Without one place 0 starts as zeros, no patch sees it, and nothing is read from it: sequences are
    /// then laid out alike in all models.
    pub cls_token: Option<Param<Tensor<B, 3>>>,
    /// A convolution of stride P over P × P pixels, written as a linear map of `3 · P · P` values (channel, row,
    /// column).
    pub projection: Linear<B>,
    /// Fixed positions of a clip of the configured length, `[frames · grid², d]`: no weights, computed.
    positions: Option<Tensor<B, 2>>,
    patch_size: usize,
}

impl<B: Backend> PatchEmbedding<B> {
    /// Fresh weights for `config`.
    pub fn new(config: &VideoConfig, init: &mut Init<B>) -> Self {
        let values = 3 * config.patch_size * config.patch_size;
        Self {
            cls_token: config.class_token.then(|| init.normal([1, 1, config.hidden])),
            projection: init.linear(values, config.hidden),
            positions: positions::table(config, config.frames_per_sequence(), init.device()),
            patch_size: config.patch_size,
        }
    }
}

impl<B: MatmulOps + RowOps> PatchEmbedding<B> {
    /// Patch tokens in raster order (t, y, x).
    ///
    /// # Shapes
    /// - `video`: `[batch, frames, 3, size, size]`; `dtype`: the element type to compute in, which the tokens have
    /// - output: `[batch, frames · grid², d]`, without the class token
    pub fn patches(&self, video: Tensor<B, 5>, dtype: DType) -> Tensor<B, 3> {
        let [batch, frames, channels, height, width] = video.dims();
        let rows = patch_rows(video.reshape([batch * frames, channels, height, width]), self.patch_size);
        let tokens = rows.dims()[0] / batch.max(1);
        let embedded = linear(&self.projection, cast(rows, dtype));
        let d = embedded.dims()[1];
        embedded.reshape([batch, tokens, d])
    }

    /// `patches` `[batch, frames · grid², d]` with the fixed positions of `config`, if it has any.
    pub fn with_positions(&self, patches: Tensor<B, 3>, config: &VideoConfig) -> Tensor<B, 3> {
        let ([_, tokens, d], dtype) = (patches.dims(), patches.dtype());
        let own = self.positions.clone().filter(|table| table.dims()[0] == tokens);
        let frames = tokens / (config.grid() * config.grid()).max(1);
        match own.or_else(|| positions::table(config, frames, &patches.device())) {
            Some(table) => patches + cast(table, dtype).reshape([1, tokens, d]),
            None => patches,
        }
    }

    /// The class token, or zeros, in front of `patches` `[batch, tokens, d]`: `[batch, 1 + tokens, d]`.
    pub fn with_class(&self, patches: Tensor<B, 3>) -> Tensor<B, 3> {
        let ([batch, _, d], dtype) = (patches.dims(), patches.dtype());
        let class = match &self.cls_token {
            Some(class) => cast(class.val(), dtype),
            None => cast(Tensor::zeros([1, 1, d], &patches.device()), dtype),
        };
        Tensor::cat(vec![class.expand([batch, 1, d]), patches], 1)
    }
}
