//! Two models of one checkpoint: dense, and as sparse as it was trained or as the paper's settings make it.

use crate::Result;
use crate::config::{CrossSparsity, EdgeSparsity, ModelConfig, NodeSparsity, Selection, Sparsity, VideoConfig};
use crate::model::Svitt;
use crate::profile::{Convention, Profile};
use svitt_ops::SvittBackend;

/// q_m of the paper, for checkpoints without cross-modal pruning.
const KEEP_BY_TEXT: f64 = 0.1;

/// A model, and what it costs.
#[derive(Clone, Debug)]
pub struct ModelVariant<B: SvittBackend> {
    /// The weights under this sparsity.
    pub model: Svitt<B>,
    /// Its configuration.
    pub config: ModelConfig,
    /// Whether the checkpoint was trained like this.
    pub trained: bool,
    /// Operations of the video encoder for one clip, as computed (docs/model.md, "Operations").
    pub flops: u64,
}

/// The dense model and the sparse one, in this order. A dense checkpoint gets the paper's sparsity (K_l 1, K_r 3,
/// fourteen blocks, q_v .7 after a quarter, half and three quarters of the layers) unless another is `asked` for;
/// cross-modal pruning keeps
/// `keep_by_text` of the tokens after the first fusion layer where it is given or the checkpoint has none.
///
/// # Errors
/// A rate outside (0, 1].
pub fn variants<B: SvittBackend>(
    model: &Svitt<B>,
    config: &ModelConfig,
    asked: Option<Sparsity>,
    keep_by_text: Option<f64>,
) -> Result<[ModelVariant<B>; 2]> {
    let own = config.video.sparsity.clone();
    let dense = own == Sparsity::default();
    let trained = !dense && asked.as_ref().is_none_or(|asked| *asked == own);
    let sparsity = asked.unwrap_or_else(|| if dense { suggested(&config.video) } else { own });
    let cross = match (keep_by_text, &config.text.cross) {
        (None, Some(cross)) => cross.clone(),
        (keep, _) => CrossSparsity {
            keep_rate: keep.unwrap_or(KEEP_BY_TEXT),
            layers: vec![config.text.fusion_layer],
            selection: Selection::ClassAttention,
        },
    };
    let fuses = config.text.fusion_layer < config.text.layers;
    let whole = ModelVariant::new(model, config, Sparsity::default(), None, dense)?;
    Ok([whole, ModelVariant::new(model, config, sparsity, fuses.then_some(cross), trained)?])
}

fn suggested(video: &VideoConfig) -> Sparsity {
    let (patches, layers) = (video.sequence_patches(), video.layers);
    let block = (patches / 14).max(1);
    let edge = EdgeSparsity::new(1, 3.min(patches.div_ceil(block) - 1), block);
    let mut pruning: Vec<usize> = [1, 2, 3].map(|quarter| layers * quarter / 4).to_vec();
    pruning.dedup();
    let node = NodeSparsity::by_class(0.7, &pruning);
    Sparsity { edge: Some(edge), node: Some(node) }
}

impl<B: SvittBackend> ModelVariant<B> {
    fn new(
        model: &Svitt<B>,
        config: &ModelConfig,
        sparsity: Sparsity,
        cross: Option<CrossSparsity>,
        trained: bool,
    ) -> Result<Self> {
        let (mut model, mut config) = (model.clone(), config.clone());
        (config.video.sparsity, config.text.cross) = (sparsity.clone(), cross.clone());
        let flops = Profile::of(&config, Convention::True)?.flops();
        model.video = model.video.with_sparsity(sparsity)?;
        model.text = model.text.with_cross(cross)?;
        Ok(Self { model, config, trained, flops })
    }

    /// The same with random pruning.
    ///
    /// # Errors
    /// None that the variant itself would not have had.
    pub fn with_random_pruning(&self) -> Result<Self> {
        let (mut sparsity, mut cross) = (self.config.video.sparsity.clone(), self.config.text.cross.clone());
        sparsity.node.iter_mut().for_each(|node| node.selection = Selection::Random);
        cross.iter_mut().for_each(|cross| cross.selection = Selection::Random);
        Self::new(&self.model, &self.config, sparsity, cross, false)
    }

    /// dense, edge, node or hybrid.
    pub fn name(&self) -> &'static str {
        self.config.video.sparsity.mode()
    }

    /// Patch tokens that leave the last video layer.
    pub fn tokens_left(&self) -> usize {
        let video = &self.config.video;
        video.sequences() * video.tokens_per_layer(video.layers + 1)[video.layers]
    }
}
