//! Frames become tokens: one linear map of every patch, a class token for the whole clip in front
//! (docs/model.md, "Patch tokens").

use super::init::Init;
use super::layers::linear;
use crate::config::VideoConfig;
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Tensor, backend::Backend};
use svitt_ops::device::{MatmulOps, cast};

/// The patch embedding and the class token.
#[derive(Module, Debug)]
pub struct PatchEmbedding<B: Backend> {
    /// `[1, 1, d]`.
    pub cls_token: Param<Tensor<B, 3>>,
    /// A convolution of stride P over P × P pixels, written as a linear map of `3 · P · P` values (channel, row,
    /// column).
    pub projection: Linear<B>,
    patch_size: usize,
}

impl<B: Backend> PatchEmbedding<B> {
    /// Fresh weights for `config`.
    pub fn new(config: &VideoConfig, init: &mut Init<B>) -> Self {
        let values = 3 * config.patch_size * config.patch_size;
        Self {
            cls_token: init.normal([1, 1, config.hidden]),
            projection: init.linear(values, config.hidden),
            patch_size: config.patch_size,
        }
    }
}

impl<B: MatmulOps> PatchEmbedding<B> {
    /// Patch tokens in raster order (t, y, x).
    ///
    /// # Shapes
    /// - `video`: `[batch, frames, 3, size, size]`, in the element type the tokens shall have
    /// - output: `[batch, frames · grid², d]`, without the class token
    pub fn patches(&self, video: Tensor<B, 5>) -> Tensor<B, 3> {
        let [batch, frames, channels, height, width] = video.dims();
        let p = self.patch_size;
        let (rows, columns) = (height / p, width / p);
        let cut = video.reshape([batch * frames, channels, rows, p, columns, p]).permute([0, 2, 4, 1, 3, 5]);
        linear(&self.projection, cut.reshape([batch, frames * rows * columns, channels * p * p]))
    }

    /// The class token in front of `patches` `[batch, tokens, d]`: `[batch, 1 + tokens, d]`.
    pub fn with_class(&self, patches: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, _, d] = patches.dims();
        let class = cast(self.cls_token.val(), patches.dtype());
        Tensor::cat(vec![class.expand([batch, 1, d]), patches], 1)
    }
}
