//! Long H.264 decoded by the `ffmpeg` program where there is one: it takes half the time of the built-in decoder, and the
//! standard leaves no freedom in what comes out. The built-in reader stays in charge: it lists the frames, makes RGB of
//! what the program decoded, and decodes the first and the last picture itself to compare.

use crate::error::Result;
use crate::ffmpeg::{FfmpegProgram, FfmpegVideo, RawListener, RawPictures, RawRequest, ffmpeg_available, file_name};
use crate::frames::Frames;
use crate::luma::SmallLuma;
use crate::native::NativeVideo;
use crate::reader::{ReaderKind, VideoReader};
use crate::stream::{StreamedFrame, StreamedPicture};
use std::collections::VecDeque;

/// Frames from which on the program is worth starting: a minute at 25 a second.
const LONG: usize = 1500;

/// Threads of the program: each holds pictures, and its memory is limited.
const MOST_THREADS: usize = 8;

/// Pictures that wait for their small lumas: the program writes both side by side.
const MOST_WAITING: usize = 64;

impl VideoReader {
    /// Whether [`VideoReader::stream_in_one_pass`] may be tried: a long, sound H.264 video that the built-in decoder
    /// reads, a program, and nobody who asked for one reader alone.
    pub fn suits_one_pass(&mut self) -> bool {
        let long = self.options().kind == ReaderKind::Auto && self.len() >= LONG;
        long && self.native().is_some_and(|video| video.raw_input().is_some()) && ffmpeg_available()
    }

    /// As [`VideoReader::stream`] over the whole video, decoded by the `ffmpeg` program on up to `threads` threads; the
    /// same pictures. False if that did not work, or pictures differ from those decoded here: what came is not to be
    /// trusted then.
    ///
    /// # Errors
    /// The built-in decoder's, for the pictures that are compared.
    pub fn stream_in_one_pass(
        &mut self,
        every: usize,
        threads: usize,
        take: &mut dyn FnMut(StreamedFrame) -> bool,
    ) -> Result<bool> {
        let mut pairs = Pairs { every: every.max(1), next: 0, pictures: VecDeque::new(), lumas: VecDeque::new() };
        let wanted = RawPictures::Every(every.max(1), self.len());
        let mut ran_over = false;
        let read = self.one_pass(wanted, threads, &mut |piece| {
            let more = pairs.take(piece, take);
            ran_over = pairs.pictures.len() > MOST_WAITING;
            more && !ran_over
        })?;
        Ok(read && !ran_over)
    }

    /// Hands the frames `wanted`, ascending and distinct, to `take`, decoded in one pass as in
    /// [`VideoReader::stream_in_one_pass`].
    ///
    /// # Errors
    /// As there.
    pub fn frames_in_one_pass(
        &mut self,
        wanted: &[usize],
        threads: usize,
        take: &mut dyn FnMut(usize, StreamedPicture) -> bool,
    ) -> Result<bool> {
        let mut numbers = wanted.iter();
        self.one_pass(RawPictures::These(wanted), threads, &mut |piece| match (piece, numbers.next()) {
            (Piece::Picture(picture), Some(&number)) => take(number, picture),
            _ => false,
        })
    }

    fn one_pass(&mut self, wanted: RawPictures, threads: usize, take: &mut dyn FnMut(Piece) -> bool) -> Result<bool> {
        let (stall, input) = (self.options().timeout, file_name(self.path()));
        let (Ok(program), Some(video)) = (FfmpegProgram::find(), self.native()) else { return Ok(false) };
        let Some((demuxer, bytes)) = video.raw_input() else { return Ok(false) };
        let threads = threads.clamp(1, MOST_THREADS);
        let request = RawRequest { input: &input, demuxer, rgb: false, bytes, wanted, threads, stall };
        let mut handing = Handing { video, take, compared: wanted.ends(), count: 0, kept: Vec::new() };
        let whole = request.run(&program, &mut handing);
        let kept = handing.kept;
        for (number, theirs) in kept.into_iter().filter(|_| whole) {
            let ours = self.get_frames(&[number])?;
            if theirs.to_frames()? != ours {
                return Ok(false);
            }
        }
        Ok(whole)
    }
}

/// A video that the program alone reads, in one run of it.
pub(crate) fn stream_foreign(
    video: &mut FfmpegVideo,
    every: usize,
    take: &mut dyn FnMut(StreamedFrame) -> bool,
) -> Result<bool> {
    let first = video.frames(&[0])?;
    let mut pairs = Pairs { every, next: 0, pictures: VecDeque::new(), lumas: VecDeque::new() };
    let (height, width) = (first.height, first.width);
    let mut handing =
        Foreign { height, width, take: &mut |piece| pairs.take(piece, take) && pairs.pictures.len() <= MOST_WAITING };
    let whole = video.run_raw(first.frame_bytes(), every, &mut handing);
    Ok(whole && pairs.pictures.len() <= MOST_WAITING)
}

/// Makes RGB frames of bytes.
struct Foreign<'a> {
    height: usize,
    width: usize,
    take: &'a mut dyn FnMut(Piece) -> bool,
}

impl RawListener for Foreign<'_> {
    fn picture(&mut self, data: Vec<u8>) -> bool {
        let frames = Frames { count: 1, height: self.height, width: self.width, data };
        (self.take)(Piece::Picture(StreamedPicture::Rgb(frames)))
    }

    fn luma(&mut self, luma: SmallLuma) -> bool {
        (self.take)(Piece::Luma(luma))
    }
}

/// What comes of a video.
enum Piece {
    Picture(StreamedPicture),
    Luma(SmallLuma),
}

/// Makes pictures of bytes, and keeps those that are compared.
struct Handing<'a> {
    video: &'a NativeVideo,
    take: &'a mut dyn FnMut(Piece) -> bool,
    /// Places of the pictures that are compared, among those that come, and their numbers.
    compared: Vec<(usize, usize)>,
    count: usize,
    kept: Vec<(usize, StreamedPicture)>,
}

impl RawListener for Handing<'_> {
    fn picture(&mut self, bytes: Vec<u8>) -> bool {
        if let Some((_, number)) = self.compared.iter().find(|(place, _)| *place == self.count) {
            self.kept.push((*number, self.video.raw_picture(bytes.clone())));
        }
        self.count += 1;
        (self.take)(Piece::Picture(self.video.raw_picture(bytes)))
    }

    fn luma(&mut self, luma: SmallLuma) -> bool {
        (self.take)(Piece::Luma(luma))
    }
}

/// Pictures and small lumas, put together again.
struct Pairs {
    every: usize,
    /// The frame that comes next.
    next: usize,
    pictures: VecDeque<StreamedPicture>,
    lumas: VecDeque<SmallLuma>,
}

impl Pairs {
    fn take(&mut self, piece: Piece, take: &mut dyn FnMut(StreamedFrame) -> bool) -> bool {
        match piece {
            Piece::Picture(picture) => self.pictures.push_back(picture),
            Piece::Luma(luma) => self.lumas.push_back(luma),
        }
        loop {
            let wanted = self.next.is_multiple_of(self.every);
            if wanted && self.pictures.is_empty() {
                return true;
            }
            let Some(luma) = self.lumas.pop_front() else { return true };
            let picture = if wanted { self.pictures.pop_front() } else { None };
            let index = self.next;
            self.next += 1;
            if !take(StreamedFrame { index, luma, picture }) {
                return false;
            }
        }
    }
}

#[cfg(test)]
#[path = "one_pass_tests.rs"]
mod tests;
