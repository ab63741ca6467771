//! The pictures of a video one after the other, the way shots are looked for in them: every picture's small luma, and
//! every n-th picture itself, kept as it was decoded until somebody wants its pixels.

use crate::error::Result;
use crate::frames::Frames;
use crate::luma::SmallLuma;
use crate::native::NativePicture;
use crate::one_pass::stream_foreign;
use crate::reader::VideoReader;
use std::ops::Range;

/// A picture of a stream.
pub struct StreamedFrame {
    /// Its number in the order of presentation.
    pub index: usize,
    /// Its brightness.
    pub luma: SmallLuma,
    /// The picture, if its number is a multiple of what was asked for.
    pub picture: Option<StreamedPicture>,
}

/// A decoded picture.
pub enum StreamedPicture {
    /// As the built-in decoder has it.
    Native(Box<NativePicture>),
    /// As RGB.
    Rgb(Frames),
}

impl StreamedPicture {
    /// The same bytes as [`VideoReader::get_frames`] returns for it.
    ///
    /// # Errors
    /// `VideoError::Corrupt` if the picture is smaller than the video says.
    pub fn to_frames(&self) -> Result<Frames> {
        match self {
            Self::Native(picture) => picture.to_frames(),
            Self::Rgb(frames) => Ok(frames.clone()),
        }
    }
}

impl VideoReader {
    /// Hands the frames of `range` to `take` one after the other, with the picture of every `every`-th of the video;
    /// stops when it returns false. Where the video can be entered ([`VideoReader::entries`]), a range that begins there
    /// decodes nothing twice.
    ///
    /// Returns false if the video turned out to be damaged, or to need another decoder: the reader has other frames then,
    /// and may be asked again from the start. False as well where the program did not decode all of it in one run.
    ///
    /// # Errors
    /// As [`VideoReader::get_frames`]; frames before the error were handed over.
    pub fn stream(
        &mut self,
        range: Range<usize>,
        every: usize,
        take: &mut dyn FnMut(StreamedFrame) -> bool,
    ) -> Result<bool> {
        let every = every.max(1);
        let range = range.start..range.end.min(self.len());
        if let Some(whole) = self.stream_foreign(&range, every, take)? {
            return Ok(whole);
        }
        match self.native() {
            Some(video) => match video.stream(range, every, take) {
                Ok(()) => Ok(true),
                Err(error) => self.recover(error).map(|()| false),
            },
            None => self.stream_in_blocks(range, every, take),
        }
    }

    /// A video that only the `ffmpeg` program reads is decoded by it in one run; `None` if it is another one, or if that
    /// was tried and failed.
    fn stream_foreign(
        &mut self,
        range: &Range<usize>,
        every: usize,
        take: &mut dyn FnMut(StreamedFrame) -> bool,
    ) -> Result<Option<bool>> {
        if *range != (0..self.len()) {
            return Ok(None);
        }
        let Some(video) = self.foreign() else { return Ok(None) };
        let whole = stream_foreign(video, every, take)?;
        if !whole {
            self.refuse_one_run();
        }
        Ok(Some(whole))
    }

    /// Frames at which a part of the video begins that can be decoded by itself, ascending; the first one is 0.
    pub fn entries(&mut self) -> Vec<usize> {
        self.native().map_or_else(|| vec![0], |video| video.entries())
    }

    /// As [`VideoReader::stream`], whatever decodes the video.
    ///
    /// # Errors
    /// As there.
    fn stream_in_blocks(
        &mut self,
        range: Range<usize>,
        every: usize,
        take: &mut dyn FnMut(StreamedFrame) -> bool,
    ) -> Result<bool> {
        let bytes = (self.width() * self.height() * 3).max(1);
        let indices: Vec<usize> = range.collect();
        for block in indices.chunks((BLOCK / bytes).clamp(1, 1024)) {
            let Some(frames) = self.frames_or_changed(block)? else { return Ok(false) };
            for (place, &index) in block.iter().enumerate() {
                let picture = index.is_multiple_of(every).then(|| StreamedPicture::Rgb(frames.one(place)));
                if !take(StreamedFrame { index, luma: SmallLuma::of_frame(&frames, place), picture }) {
                    return Ok(true);
                }
            }
        }
        Ok(true)
    }
}

/// Bytes of the frames that are decoded at once.
const BLOCK: usize = 64 << 20;
