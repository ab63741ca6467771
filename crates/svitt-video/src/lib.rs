#![doc = include_str!("../README.md")]
//!
//! # The way of a clip
//!
//!
//! A file goes through [`VideoReader`] (frames at the video's own resolution), [`FrameSampling`] (which of them) and
//! [`Transform`] (crop, resize, flip, normalise). [`read_clip`] does the first two, [`inspect`] shows what they give.

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod agreement_changing;
#[cfg(test)]
mod agreement_turned;
mod caught;
mod clip;
mod clock;
pub mod cut;
mod decode_bench;
pub mod edit;
pub mod encode;
mod error;
mod ffmpeg;
mod folder;
mod frames;
#[cfg(test)]
mod golden_tests;
mod holes;
#[cfg(test)]
mod hostile;
mod inspect;
mod joined;
mod luma;
mod native;
mod one_pass;
mod partial;
mod reader;
mod resize;
mod sampling;
mod shots;
#[cfg(test)]
mod shots_agreement;
#[cfg(test)]
#[path = "../../../tests/skipped.rs"]
mod skipped;
mod sniff;
mod stream;
mod transform;

pub use caught::reading_untrusted_input;
pub use clip::{ClipRequest, DecodedClip, read_clip};
pub use decode_bench::DecodeSpeed;
pub use error::VideoError;
pub use ffmpeg::ffmpeg_available;
pub use folder::{VideoFolder, is_video_name, videos_below};
pub use frames::Frames;
pub use inspect::{InspectedFrame, Inspection, inspect, write_png};
pub use luma::SmallLuma;
pub use native::NativePicture;
pub use partial::write_together;
pub use reader::{ReaderKind, ReaderOptions, VideoReader};
pub use resize::{Bicubic, CropBox, Resizer};
pub use sampling::{FrameSampling, clips, intervals, window};
pub use shots::{ShotDetector, ShotRule};
pub use sniff::{needs_ffmpeg, open_without_waiting};
pub use stream::{StreamedFrame, StreamedPicture};
pub use transform::{CropFlip, Transform};

/// Random numbers in `[0, 1)` for tests (a linear congruential generator, Knuth's constants).
#[cfg(test)]
fn random(seed: u64) -> impl FnMut() -> f64 + Clone {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}
