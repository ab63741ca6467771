//! Pixels only: which frames, decoded by whom, and how they become the model's input; no tensors on a device.
//!
//! A file goes through [`VideoReader`] (frames at the video's own resolution), [`FrameSampling`] (which of them) and
//! [`Transform`] (crop, resize, flip, normalise). [`read_clip`] does the first two, [`inspect`] shows what they give.

mod clip;
pub mod encode;
mod error;
mod ffmpeg;
mod folder;
mod frames;
#[cfg(test)]
mod golden;
mod inspect;
mod native;
mod reader;
mod resize;
mod sampling;
mod sniff;
mod speed;
mod transform;

pub use clip::{Clip, ClipRequest, read_clip};
pub use error::VideoError;
pub use ffmpeg::ffmpeg_available;
pub use folder::{is_video_name, videos_below};
pub use frames::Frames;
pub use inspect::{InspectedFrame, Inspection, inspect, write_png};
pub use reader::{ReaderKind, ReaderOptions, VideoReader};
pub use resize::{Bicubic, CropBox, Resizer};
pub use sampling::{FrameSampling, clips, intervals, window};
pub use sniff::needs_ffmpeg;
pub use speed::DecodeSpeed;
pub use transform::{Transform, View};
