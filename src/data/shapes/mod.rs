//! `shapes`: a synthetic benchmark, rendered in process, that a model without temporal order provably fails.
//!
//! A coloured shape walks over a torus of `grid × grid` cells, one cell per frame, along a [`MotionProgram`] of
//! directions; captions name the colour, the shape and the program. The start cell is uniform, so a single frame
//! says nothing of the program; programs and their timing are closed under time reversal, so a clip and its reversed
//! twin are the same set of frames under different captions. [`Ceilings`] counts what each kind of observer can
//! reach at most.
//!
//! Every value is drawn from `(seed, index, field)` and every pixel is integer arithmetic: item `i` has the same bytes
//! on every platform, backend and thread. Nothing here may be flipped, cropped or resized: captions speak of left
//! and right, and a cell is a patch.

mod caption;
mod ceilings;
mod config;
mod dataset;
mod export;
mod gallery;
mod gallery_choice;
mod program;
mod qa;
mod question;
mod render;
mod split;
pub mod vocab;
mod world;

pub use caption::{caption, longest_caption, paraphrases};
pub use ceilings::Ceilings;
pub use config::{FrameView, ShapesConfig, ShapesPreset};
pub use dataset::ShapesDataset;
pub use export::{ExportOptions, ExportReport, export};
pub use gallery::{Gallery, GalleryEntry, Twin};
pub use program::{Direction, MotionProgram, SegmentTiming};
pub use qa::{QaItem, QaSet};
pub use question::{LONGEST_QUESTION, QuestionKind, answers};
pub use render::{RenderedClip, render};
pub use split::{ClipContent, ShapesSplit};
pub use world::{Colour, MovingShape, Shape, World};
