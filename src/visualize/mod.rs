//! Pictures of what the model keeps of a clip: patches left after every pruning layer, what a patch may attend to,
//! where the class token attends (paper, Fig. 6), for the dense and the sparse model side by side.
//!
//! [`variants`] makes the two models of one checkpoint, [`look`] runs a clip through one of them and brings everything
//! to the host, [`show`] draws it. [`pruning_recall`] counts on `shapes` what the pictures suggest: how much of the
//! target is still alive, against random pruning.

mod film;
mod gaze;
mod look;
mod page;
mod recall;
mod variant;

pub use film::Film;
pub use gaze::{Clip, clip_of, encode_text};
pub use look::{Look, Ranker, Stage, look};
pub use page::{Shown, show};
pub use recall::{RecallReport, StageRecall, pruning_recall, recall_page};
pub use variant::{Variant, variants};
