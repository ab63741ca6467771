//! What the model would see of a video: the data behind `data frames`.

use std::io::BufWriter;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::clip::{ClipRequest, DecodedClip, read_clip};
use super::error::{Result, VideoError};
use super::frames::Frames;
use super::partial::{PartialFile, write_together};
use super::reader::ReaderOptions;

/// The JSON of `data frames`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The video as it was named.
    pub media: String,
    /// `native` or `ffmpeg`.
    pub decoder: String,
    /// Frames of the first video stream.
    pub frames_total: usize,
    /// Pixels per row, after rotation.
    pub width: usize,
    /// Pixels per column, after rotation.
    pub height: usize,
    /// Seconds from the first frame to the end of the last.
    pub duration_s: f64,
    /// Average frames per second.
    pub fps: f64,
    /// The chosen frames.
    pub frames: Vec<InspectedFrame>,
    /// Warnings: damage the video was read in spite of.
    pub warnings: Vec<String>,
}

/// One chosen frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedFrame {
    /// Number in the order of presentation, from 0.
    pub index: usize,
    /// When it is shown, in seconds, as the container says it.
    pub pts_s: f64,
    /// Mean red, green and blue of the full-size frame, 0 to 255.
    pub mean_rgb: [f64; 3],
}

/// Reads the clip and describes it; with `pictures`, also writes each frame to `frame-00-INDEX.png` in that folder.
/// `uniform` gives the random numbers in `[0, 1)` of `rand` sampling.
///
/// # Errors
/// The file cannot be read, or a picture cannot be written.
pub fn inspect(
    path: &Path,
    request: &ClipRequest,
    uniform: impl FnMut() -> f64 + Clone,
    pictures: Option<&Path>,
    options: &ReaderOptions,
) -> Result<Inspection> {
    let clip = read_clip(path, request, uniform, options)?;
    if let Some(folder) = pictures {
        write_pictures(&clip, folder)?;
    }
    let DecodedClip { indices, frames, reader } = clip;
    let describe = |(place, &index): (usize, &usize)| InspectedFrame {
        index,
        pts_s: reader.times().get(index).copied().unwrap_or(0.0),
        mean_rgb: frames.mean_rgb(place),
    };
    Ok(Inspection {
        media: path.display().to_string(),
        decoder: reader.decoder().to_owned(),
        frames_total: reader.len(),
        width: frames.width,
        height: frames.height,
        duration_s: reader.duration(),
        fps: reader.fps(),
        frames: indices.iter().enumerate().map(describe).collect(),
        warnings: reader.warnings().to_vec(),
    })
}

fn write_pictures(clip: &DecodedClip, folder: &Path) -> Result<()> {
    let places = clip.indices.iter().enumerate();
    let names: Vec<String> = places.map(|(place, index)| format!("frame-{place:02}-{index}.png")).collect();
    let mut places = 0..;
    let not_made = |error| VideoError::not_written(folder, error);
    write_together(folder, &names, not_made, |path| write_png(path, &clip.frames, places.next().unwrap_or(0)))
}

/// Writes frame `index` of `frames` as an RGB picture.
///
/// # Errors
/// [`VideoError::NotWritten`].
pub fn write_png(path: &Path, frames: &Frames, index: usize) -> Result<()> {
    let failed = |error: png::EncodingError| VideoError::not_written(path, error.into());
    let part = PartialFile::beside(path, ".png")?;
    let mut encoder = png::Encoder::new(BufWriter::new(part.file()), frames.width as u32, frames.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(frames.frame(index)).map_err(failed)?;
    writer.finish().map_err(failed)?;
    part.complete(path)
}
