//! Pictures of what the model keeps of a clip: patches left after every pruning layer, what a patch may attend to,
//! where the class token attends (paper, Fig. 6), for the dense and the sparse model side by side.
//!
//! [`variants`] makes the two models of one checkpoint, [`analyze_clips`] runs a clip through one of them and brings everything
//! to the host, [`comparison_page`] draws it. [`pruning_recall`] counts on `shapes` what the pictures suggest: how much of the
//! target is still alive, against random pruning.

mod analysis;
mod comparison_page;
mod frame_strip;
mod input;
mod layer_graph;
mod recall;
mod variant;

pub use analysis::{ClipAnalysis, PrunedBy, PruningStage, analyze_clips};
pub use comparison_page::{ClipComparison, comparison_page};
pub use frame_strip::FrameStrip;
pub use input::{ClipPixels, encode_text, load_clip};
pub use layer_graph::LayerGraph;
pub use recall::{RecallReport, StageRecall, pruning_recall, recall_page};
pub use variant::{ModelVariant, variants};
