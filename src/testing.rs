//! Models that unit tests share, and the helpers of [`svitt_ops::testing`].

use crate::config::{Compat, EdgeSparsity, ModelConfig, NodeSparsity};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use svitt_ops::rng::Rng;

pub use svitt_ops::testing::*;

/// A model of odd, pairwise different sizes: 3 frames of 12 px in patches of 4, so 27 patch tokens.
pub fn small_config(compat: Compat) -> ModelConfig {
    let mut config = ModelConfig { compat, embed_dim: 7, ..ModelConfig::tiny(3) };
    let video = &mut config.video;
    (video.image_size, video.patch_size, video.hidden, video.heads, video.layers, video.ffn) = (12, 4, 15, 3, 2, 22);
    let text = &mut config.text;
    (text.hidden, text.heads, text.layers, text.fusion_layer, text.ffn) = (20, 4, 5, 2, 26);
    (text.vocab_size, text.max_positions) = (41, 11);
    config
}

/// [`small_config`] with sparse edges and nodes.
pub fn small_sparse_config(compat: Compat) -> ModelConfig {
    let mut config = small_config(compat);
    config.video.sparsity.edge = Some(EdgeSparsity::new(1, 1, 5));
    config.video.sparsity.node = Some(NodeSparsity::by_class(0.6, &[0]));
    config
}

/// `model` at the published temperature: a redrawn one may be so small that its gradient dominates all others.
pub fn at_published_temperature<B: Backend>(mut model: crate::model::Svitt<B>) -> crate::model::Svitt<B> {
    model.temp = burn::module::Param::from_tensor(Tensor::full([1], 0.07, &model.temp.device()));
    model
}

/// `module` with every weight redrawn from a normal distribution (deviation 0.3) around its old value: fresh weights
/// are so small that layers are nearly the identity, and biases are 0.
pub fn randomized<B: Backend, M: burn::module::Module<B>>(module: M, seed: u64) -> M {
    struct Shake(Rng);
    impl<B: Backend> burn::module::ModuleMapper<B> for Shake {
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<B, D>>,
        ) -> burn::module::Param<Tensor<B, D>> {
            param.map(|value| {
                let (shape, device) = (value.dims(), value.device());
                let noise: Vec<f32> = (0..value.shape().num_elements()).map(|_| 0.3 * self.0.normal() as f32).collect();
                let tracked = value.is_require_grad();
                let noise = Tensor::from_data(TensorData::new(noise, shape), &device);
                (value.detach().set_require_grad(false) + noise).set_require_grad(tracked)
            })
        }
    }
    module.map(&mut Shake(Rng::new(seed, &[])))
}

/// Writes a checkpoint folder of random weights for eight 32-px frames with the generator's words, after `change`.
#[cfg(feature = "flex")]
pub fn tiny_checkpoint(folder: &std::path::Path, change: impl Fn(&mut crate::model::Svitt<burn_flex::Flex>)) {
    use crate::weights::{CheckpointInfo, CheckpointPart, VocabularyRef, save};
    let tokenizer = crate::eval::shapes_tokenizer().unwrap();
    let mut model = crate::config::ModelConfig::tiny(8);
    model.video.layers = 2;
    model.text.vocab_size = tokenizer.vocab_size();
    let info = CheckpointInfo {
        model,
        part: CheckpointPart::Pretraining,
        absent: Vec::new(),
        vocabulary: Some(VocabularyRef { file: "vocab.txt".into(), sha256: tokenizer.sha256() }),
        curriculum: None,
        origin: "a test".into(),
    };
    let mut weights = crate::model::Svitt::new(&info.model, 3, &Default::default()).unwrap();
    change(&mut weights);
    save(&weights, folder, &info).unwrap();
    tokenizer.save(folder).unwrap();
}
