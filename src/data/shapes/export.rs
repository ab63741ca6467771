//! `data shapes`: the benchmark as video files and manifests, for whatever reads videos.

use super::{Gallery, ShapesConfig, ShapesDataset, ShapesSplit};
use crate::data::Record;
use crate::{Error, Result, files};
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;
use svitt_video::encode::{require_ffmpeg, write_rgb};

/// How much [`export`] writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExportOptions {
    /// Training clips beside the gallery.
    pub train: usize,
    /// Seed of the training clips.
    pub seed: u64,
    /// Frames per second of the files.
    pub fps: f64,
}

/// What [`export`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// Clips of the held-out gallery.
    pub test: usize,
    /// Training clips.
    pub train: usize,
}

/// Training clips that are written at most; a folder of more files is hard to handle.
const MOST_CLIPS: usize = 10_000_000;

/// Writes `test.json` and `train.json` and the clips they name to `out`, as H.264 through the `ffmpeg` program. Clips
/// are whole (all frames of the world), so a reader samples them as it samples any video. Files that exist are kept.
///
/// # Errors
/// The settings do not validate, there is no `ffmpeg` program, or the disk refuses.
pub fn export(out: &Path, config: &ShapesConfig, options: ExportOptions) -> Result<ExportReport> {
    let ExportOptions { train, seed, fps } = options;
    if !(fps > 0.0 && fps <= 240.0) {
        return Err(Error::setting("fps", format!("is {fps}"), "use a number above 0, at most 240"));
    }
    if train > MOST_CLIPS {
        return Err(Error::setting("train", format!("is {train}"), format!("use at most {MOST_CLIPS}")));
    }
    let gallery = Gallery::new(config, config.frames)?;
    let training = ShapesDataset::new(config, ShapesSplit::Train, config.frames, train, seed)?;
    require_ffmpeg()?;
    for folder in ["test", "train"].map(|name| out.join(name)) {
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
    }
    let side = [config.px; 2];
    let write = |path: &Path, pixels: &[u8]| match path.is_file() {
        true => Ok(()),
        false => Ok::<_, Error>(write_rgb(path, pixels, side, fps)?),
    };
    let mut test = gallery.records("mp4");
    for record in &mut test {
        record.media = format!("test/{}", record.media);
    }
    test.par_iter()
        .enumerate()
        .try_for_each(|(index, record)| write(&out.join(&record.media), &gallery.clip(index).pixels))?;
    let training: Vec<Record> = (0..train)
        .into_par_iter()
        .map(|index| {
            let (clip, caption) = training.clip(index);
            let media = format!("train/shapes-{index:05}.mp4");
            write(&out.join(&media), &clip.pixels)?;
            Ok(Record { media, captions: vec![caption], ..Record::default() })
        })
        .collect::<Result<_>>()?;
    manifest(&out.join("test.json"), &test)?;
    manifest(&out.join("train.json"), &training)?;
    Ok(ExportReport { test: test.len(), train })
}

/// The JSON list that every importer of this field reads: `video` and `caption`.
fn manifest(path: &Path, records: &[Record]) -> Result<()> {
    let line = |record: &Record| serde_json::json!({"video": record.media, "caption": record.captions.concat()});
    let lines: Vec<_> = records.iter().map(|record| format!("  {}", line(record))).collect();
    files::write(path, format!("[\n{}\n]\n", lines.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::super::ShapesPreset;
    use super::*;
    use svitt_video::{ReaderOptions, VideoReader, ffmpeg_available};

    #[test]
    fn exported_clips_read_back_as_they_were_rendered() {
        if !ffmpeg_available() {
            return crate::skipped::skipped("ffmpeg");
        }
        let dir = tempfile::tempdir().unwrap();
        let config = ShapesConfig { gallery_programs: Some(2), ..ShapesConfig::preset(ShapesPreset::Tiny) };
        let options = ExportOptions { train: 3, seed: 5, fps: 4.0 };
        let report = export(dir.path(), &config, options).unwrap();
        assert_eq!(report, ExportReport { test: 36, train: 3 });
        let mut reader =
            VideoReader::open(&dir.path().join("test/shapes-0007.mp4"), &ReaderOptions::default()).unwrap();
        assert_eq!((reader.decoder(), reader.len(), reader.width()), ("native", 4, 32));
        let read = reader.get_frames(&[0, 1, 2, 3]).unwrap().data;
        let drawn = Gallery::new(&config, 4).unwrap().clip(7).pixels;
        let error: f64 = read.iter().zip(&drawn).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        // Noise of ±24 levels per channel loses its colour to 4:2:0; shapes of 8 px keep theirs.
        assert!(error / (drawn.len() as f64) < 12.0, "{}", error / drawn.len() as f64);
        let list: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("train.json")).unwrap()).unwrap();
        assert_eq!(list[2]["video"], "train/shapes-00002.mp4");
    }
}
