//! Fixed positions: a sinusoid of a patch's place in the clip, added once (docs/model.md, "No class token, fixed
//! positions"); and the stretching of anything that has one row per frame.

use crate::config::{Positions, VideoConfig};
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// The positions `[frames · grid², d]` of a clip of `frames` frames, of an encoder that adds any.
pub fn table<B: Backend>(config: &VideoConfig, frames: usize, device: &B::Device) -> Option<Tensor<B, 2>> {
    let Positions::Sinusoid { stretched_from } = config.positions else { return None };
    let (area, width) = (config.grid() * config.grid(), config.hidden);
    let values = match stretched_from {
        // A single frame has the positions of an image, which are not stretched.
        Some(trained) if trained != frames && frames > 1 => {
            stretched(&sinusoid(trained * area, width), trained, frames)
        }
        _ => sinusoid(frames * area, width),
    };
    Some(Tensor::from_data(TensorData::new(values, [frames * area, width]), device))
}

/// `[places, width]`: sin(n / 10000^(2⌊j/2⌋/width)) for even j, the cosine of the same angle for odd j; places count
/// through the whole clip. Computed in `f64`, as the official table is.
pub fn sinusoid(places: usize, width: usize) -> Vec<f32> {
    let periods: Vec<f64> = (0..width).map(|j| 10_000f64.powf((2 * (j / 2)) as f64 / width as f64)).collect();
    let value = |place: usize, j: usize| {
        let angle = place as f64 / periods[j];
        (if j.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
    };
    (0..places).flat_map(|place| (0..width).map(move |j| (place, j))).map(|(place, j)| value(place, j)).collect()
}

/// `table` `[from, …]` of `from` frames, linearly in time, for `to` frames.
pub fn stretched(table: &[f32], from: usize, to: usize) -> Vec<f32> {
    let size = table.len() / from.max(1);
    let frame = |frame: usize| &table[frame * size..(frame + 1) * size];
    let mut result = Vec::with_capacity(to * size);
    for Between { lower, upper, weight } in between(from, to) {
        let pairs = frame(lower).iter().zip(frame(upper));
        result.extend(pairs.map(|(low, high)| low * (1.0 - weight) + high * weight));
    }
    result
}

/// Which two frames a new frame lies between, and the upper one's weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between {
    /// The earlier frame.
    pub lower: usize,
    /// The later one; the same at the end.
    pub upper: usize,
    /// Of the later one, 0 to 1.
    pub weight: f32,
}

/// Where `to` frames lie among `from`, centres of frames onto centres (PyTorch's linear `interpolate`).
pub fn between(from: usize, to: usize) -> Vec<Between> {
    let place = |frame: usize| {
        let source = ((frame as f32 + 0.5) * (from as f32 / to as f32) - 0.5).max(0.0);
        let lower = (source as usize).min(from.saturating_sub(1));
        Between { lower, upper: (lower + 1).min(from.saturating_sub(1)), weight: source - lower as f32 }
    };
    (0..to).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_and_cosines_alternate() {
        let table = sinusoid(3, 4);
        let expected = [2f64.sin(), 2f64.cos(), 0.02f64.sin(), 0.02f64.cos()].map(|v| v as f32);
        assert_eq!((&table[..4], &table[8..]), (&[0.0, 1.0, 0.0, 1.0][..], &expected[..]));
    }

    #[test]
    fn frames_are_stretched_between_centres() {
        // Sources 0, 0.25, 0.75, 1.25, 1.75 (the last frame is 1): ends are held.
        assert_eq!(stretched(&[0.0, 8.0], 2, 4), [0.0, 2.0, 6.0, 8.0]);
        assert_eq!(stretched(&[1.0, 2.0, 4.0], 3, 3), [1.0, 2.0, 4.0]);
        assert_eq!(stretched(&[1.0, 3.0, 5.0, 7.0], 4, 2), [2.0, 6.0]);
    }
}
