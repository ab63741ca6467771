//! How far a model's vectors in another precision are from those in f32: what decides how a new index is computed.

use super::Embedder;
use crate::Result;
use crate::config::Precision;
use svitt_ops::SvittBackend;
use svitt_ops::rng::Rng;

/// The least cosine between the vectors of a clip in bf16 and in f32 for which a new index is computed in bf16
/// (docs/devices.md, "A new index"); .99997 was found on the default run's.
pub const ENOUGH_AGREEMENT: f64 = 0.9995;

/// Clips that are compared: one of moving waves, one of noise.
const CLIPS: usize = 2;

impl<B: SvittBackend> Embedder<B> {
    /// The least cosine between the vectors of two made-up clips in `precision` and in f32.
    ///
    /// # Errors
    /// The model refuses the clips.
    pub fn agreement(&self, precision: Precision) -> Result<f64> {
        let pixels = made_up_clips(self.frames(), self.image_size());
        let vectors = |precision| self.clone().with_precision(precision, String::new()).embed_clips(pixels.clone());
        let pairs = vectors(Precision::F32)?.into_iter().zip(vectors(precision)?);
        Ok(pairs.map(|(exact, found)| cosine(&exact, &found)).fold(1.0, f64::min))
    }
}

/// `[2, frames, 3, size, size]` in −1 to 1, the same every time.
fn made_up_clips(frames: usize, size: usize) -> Vec<f32> {
    let mut rng = Rng::new(0, &[]);
    let mut pixels = Vec::with_capacity(CLIPS * frames * 3 * size * size);
    for frame in 0..frames {
        for channel in 0..3 {
            for at in 0..size * size {
                let [x, y] = [at % size, at / size].map(|at| at as f64 / size as f64);
                let phase = 0.5 * frame as f64 + channel as f64;
                pixels.push((0.6 * (9.0 * x + phase).sin() + 0.4 * (23.0 * y * x - phase).cos()) as f32);
            }
        }
    }
    pixels.extend((0..frames * 3 * size * size).map(|_| rng.between(-1.0, 1.0) as f32));
    pixels
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
