//! Every picture of a part of a video in the order of presentation, each decoded once.

use super::picture::{Picture, YuvCoefficients};
use super::track::{Codec, Orientation, Part, Track};
use super::{NativeVideo, Result, VideoError};
use crate::caught::caught;
use crate::frames::{Frames, MOST_BYTES};
use crate::luma::{COLUMNS, ROWS, SmallLuma};
use crate::stream::{StreamedFrame, StreamedPicture};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

/// A decoded 4:2:0 picture and how it becomes RGB.
pub struct NativePicture {
    path: PathBuf,
    picture: Picture,
    gains: YuvCoefficients,
    orientation: Orientation,
}

impl NativePicture {
    pub(crate) fn to_frames(&self) -> Result<Frames> {
        let Picture { width, height, .. } = self.picture;
        let mut data = vec![0; width * height * 3];
        if !self.picture.to_shown_rgb(&self.gains, self.orientation, &mut data) {
            return Err(VideoError::corrupt(&self.path, "a decoded picture is smaller than announced"));
        }
        let (width, height) = if self.orientation.transposes() { (height, width) } else { (width, height) };
        Ok(Frames { count: 1, height, width, data })
    }

    fn bytes(&self) -> usize {
        self.picture.planes.iter().map(Vec::len).sum()
    }
}

impl NativeVideo {
    /// Frames before which everything is decoded before everything after them: a key frame that can be entered, and no
    /// sample of the one side is shown on the other.
    pub fn entries(&mut self) -> Vec<usize> {
        let samples: Vec<usize> = self.track.shown.iter().map(|shown| shown.sample).collect();
        let mut least_after = samples.clone();
        for place in (0..samples.len().saturating_sub(1)).rev() {
            least_after[place] = least_after[place].min(least_after[place + 1]);
        }
        let mut entries = vec![0];
        let mut most_before = None;
        for (place, &sample) in samples.iter().enumerate() {
            let divides = most_before.is_some_and(|before| before < sample) && least_after[place] == sample;
            let is_key = self.track.samples.get(sample).is_some_and(|sample| sample.key);
            if divides && is_key && self.starts_anew(sample).unwrap_or(false) {
                entries.push(place);
            }
            most_before = most_before.max(Some(sample));
        }
        entries
    }

    /// The demuxer of the `ffmpeg` program and the bytes of a decoded picture, for H.264 of one piece in which nothing
    /// was found wrong.
    pub fn raw_input(&self) -> Option<(&'static str, usize)> {
        let Track { parts, truncated, damaged, .. } = &self.track;
        let plain = matches!(&parts[..], [Part { codec: Codec::H264 { .. }, .. }]) && !truncated && !damaged;
        let sized = self.width >= COLUMNS && self.height >= ROWS && self.width.is_multiple_of(2);
        let demuxer = if plain && sized && self.cuts == 0 { self.container.demuxer() } else { None };
        demuxer.map(|demuxer| (demuxer, self.width * self.height * 3 / 2))
    }

    /// A picture of which another decoder gave the bytes.
    pub fn raw_picture(&self, bytes: Vec<u8>) -> StreamedPicture {
        let (width, height) = (self.width, self.height);
        let chroma = (width / 2) * (height / 2);
        let part = |from: usize, count: usize| bytes.get(from..from + count).unwrap_or_default().to_vec();
        let planes = [part(0, width * height), part(width * height, chroma), part(width * height + chroma, chroma)];
        self.kept(Picture { width, height, planes, strides: [width, width / 2, width / 2] })
    }

    fn kept(&self, picture: Picture) -> StreamedPicture {
        let (path, gains, orientation) = (self.path.clone(), self.gains, self.orientation());
        StreamedPicture::Native(Box::new(NativePicture { path, picture, gains, orientation }))
    }

    /// As [`crate::VideoReader::stream`].
    pub fn stream(
        &mut self,
        range: Range<usize>,
        every: usize,
        take: &mut dyn FnMut(StreamedFrame) -> bool,
    ) -> Result<()> {
        let outcome = caught(|| self.decode_all(range, every, take));
        outcome.unwrap_or_else(|_| Err(VideoError::corrupt(&self.path, "the decoder gave up on the video stream")))
    }

    fn decode_all(
        &mut self,
        range: Range<usize>,
        every: usize,
        take: &mut dyn FnMut(StreamedFrame) -> bool,
    ) -> Result<()> {
        let mut next = range.start;
        let mut targets: Vec<(usize, usize)> =
            range.filter_map(|index| Some((self.track.shown.get(index)?.sample, index))).collect();
        targets.sort_unstable();
        let (mut waiting, mut kept) = (BTreeMap::new(), 0);
        let mut decoding = self.decoding.take();
        for targets in targets.chunk_by(|a, b| a.0 == b.0) {
            let picture = self.picture(targets[0].0, &mut decoding)?;
            self.check_size(&picture)?;
            for &(_, index) in targets {
                let streamed = self.streamed(index, &picture, every);
                kept += streamed.picture.as_ref().map_or(0, StreamedPicture::bytes);
                waiting.insert(index, streamed);
            }
            while let Some(streamed) = waiting.remove(&next) {
                next += 1;
                kept -= streamed.picture.as_ref().map_or(0, StreamedPicture::bytes);
                if !take(streamed) {
                    return Ok(());
                }
            }
            if kept > MOST_BYTES {
                return Err(VideoError::too_large(&self.path, "its pictures are shown in another order than stored"));
            }
        }
        self.decoding = decoding;
        Ok(())
    }

    fn streamed(&self, index: usize, picture: &Picture, every: usize) -> StreamedFrame {
        let luma = SmallLuma::of_plane(&picture.planes[0], picture.strides[0], picture.width, picture.height);
        let picture = index.is_multiple_of(every).then(|| self.kept(picture.clone()));
        StreamedFrame { index, luma, picture }
    }
}

impl StreamedPicture {
    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Native(picture) => picture.bytes(),
            Self::Rgb(frames) => frames.data.len(),
        }
    }
}
