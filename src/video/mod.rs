//! Pixels only: sampling, decoding, resizing; no tensors on a device.

mod error;

pub use error::VideoError;
