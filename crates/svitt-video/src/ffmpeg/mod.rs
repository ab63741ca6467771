//! Every other format, through the `ffmpeg` program.

mod child;
mod complaints;
mod listeners;
mod listing;
mod pixmaps;
mod program;
mod raw;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(super) use self::child::{Ended, Listener, run};
pub(super) use self::complaints::Complaints;
use self::listeners::{FrameListing, PacketListing, Taker};
use self::listing::FrameIndex;
use self::pixmaps::Pixmaps;
pub use self::program::ffmpeg_available;
use self::program::part_name;
pub(super) use self::program::{FfmpegProgram, add_input, file_name};
pub(super) use self::raw::{RawListener, RawPictures, RawRequest};
use super::error::{Result, VideoError};
use super::frames::{Frames, MOST_FRAMES, check_memory};
use super::native::Layout;

/// Decoded frames between two that are written although nobody wants them: a sign of life on the way to a frame that is
/// an hour away. One in 100 costs a hundredth of converting them all.
const SIGN_OF_LIFE: usize = 100;

/// Pictures that may refer to some from before the start of a cut file, and then are not shown by anybody: those that
/// H.264 may hold back (ISO/IEC 14496-10, section A.3.1).
const MOST_LEADING: usize = 16;

/// Parts of a joined file that may hold nothing before the rest is given up: each costs a tenth of a second or more.
const MOST_BARREN: usize = 32;

/// What a video is and who reads it.
pub(super) struct Source<'a> {
    pub path: &'a Path,
    /// The program's demuxer.
    pub demuxer: &'static str,
    /// Codec and container for a person.
    pub format: &'a str,
    /// Packets may be taken for frames: the container can be sought by time, and the file shows no sign of damage.
    pub seekable: bool,
    /// The files that were joined into this one, where that is known.
    pub layout: Vec<Layout>,
    /// Where what was written of it ends, if that is before the end of the file.
    pub end: Option<u64>,
}

/// A video that the `ffmpeg` program decodes.
pub(super) struct FfmpegVideo {
    path: PathBuf,
    demuxer: &'static str,
    program: FfmpegProgram,
    /// How long the program may make no progress.
    stall: Duration,
    /// The files that were joined, or one: the whole file.
    parts: Vec<Part>,
    /// Time of each frame, in seconds.
    times: Vec<f64>,
    /// Width and height.
    size: (usize, usize),
    /// What ffmpeg complained of while it listed the frames.
    complaint: Option<String>,
    /// The files among those that were joined of which nothing is used, and why.
    left_out: Vec<String>,
}

/// One of the files that were joined: of a second mp4 in one file the program reads nothing, of a second webm not always
/// all, but each of them alone is read well.
#[derive(Default)]
struct Part {
    /// The input as the program knows it.
    input: OsString,
    index: FrameIndex,
    /// Width and height as its pictures come out, rotation included; known once one did.
    shown: Option<(usize, usize)>,
}

impl FfmpegVideo {
    /// Lists the frames of the file.
    ///
    /// In mp4, mov, webm and mkv that is done without decoding, where packets tell the frames. In avi, mpg and ts, where
    /// seeking loses frames and packets are not frames, and in files that are damaged or whose clock starts again,
    /// frames are counted by decoding all of them.
    pub fn open(source: &Source, stall: Duration) -> Result<Self> {
        let path = source.path;
        let program = FfmpegProgram::find().map_err(|looked_at| VideoError::MissingTool {
            path: path.to_path_buf(),
            format: source.format.to_owned(),
            looked_at,
        })?;
        let (path, demuxer, parts) = (path.to_path_buf(), source.demuxer, Vec::new());
        let (times, size, complaint, left_out) = (Vec::new(), (0, 0), None, Vec::new());
        let mut video = Self { path, demuxer, program, stall, parts, times, size, complaint, left_out };
        if source.layout.len() > 1 {
            video.list_parts(source);
        }
        if video.parts.is_empty() {
            (video.complaint, video.left_out) = (None, Vec::new());
            let hidden = source.layout.first().and_then(|part| part.hidden.as_deref());
            let whole = || file_name(source.path);
            let input = source.end.map_or_else(whole, |end| part_name(source.path, 0, end));
            let part = video.list(input, source.seekable, hidden)?;
            video.parts = vec![part];
        }
        if let Some(end) = source.end {
            video.complaint.get_or_insert(format!("nothing was ever written after its first {end} bytes"));
        }
        video.size = video.parts.first().map_or((0, 0), |part| part.index.size);
        video.times = times_of(&video.parts);
        Ok(video)
    }

    /// Lists the parts of a joined file, each by itself. Parts without a video hold no frames that could be missed.
    fn list_parts(&mut self, source: &Source) {
        let count = source.layout.len();
        for (number, part) in source.layout.iter().enumerate() {
            if number - self.parts.len() == MOST_BARREN {
                let first = number + 1;
                self.left_out.push(format!("parts {first} to {count}: {MOST_BARREN} parts hold no frames"));
                return;
            }
            let end = source.layout.get(number + 1).map(|next| next.origin).or(source.end).unwrap_or(0);
            let input = part_name(source.path, part.origin, end);
            match self.list(input.clone(), source.seekable, part.hidden.as_deref()) {
                Ok(part) => self.parts.push(part),
                Err(VideoError::NoVideoStream { .. } | VideoError::Empty { .. }) => {}
                Err(error) => {
                    let after = times_of(&self.parts).last().copied().unwrap_or(0.0);
                    let packets = self.packets(&input).map_or(0, |listing| listing.packets.len());
                    self.left_out.push(format!(
                        "part {} of {count}, with {packets} packets of video, after {after:.2} s: {}",
                        number + 1,
                        error.detail()
                    ));
                }
            }
        }
    }

    /// Lists the frames of one part.
    fn list(&mut self, input: OsString, seekable: bool, hidden: Option<&[bool]>) -> Result<Part> {
        let listed = if seekable { self.list_packets(&input, hidden)? } else { None };
        let index = match listed {
            Some(index) => index,
            None => self.list_frames(&input)?,
        };
        Ok(Part { input, index, shown: None })
    }

    /// Frames there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// The frames that are decoded without others, where the packets told them; empty for other files.
    pub fn key_frames(&self) -> Vec<usize> {
        let known = self.parts.iter().all(|part| part.index.cost.len() == part.index.times.len());
        let costs = self.parts.iter().flat_map(|part| &part.index.cost).enumerate();
        costs.filter(|(_, cost)| known && **cost == 1).map(|(index, _)| index).collect()
    }

    /// Width and height; rotation is known only once a frame was decoded.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// When each frame is shown, in seconds.
    pub fn times(&self) -> Vec<f64> {
        self.times.clone()
    }

    /// How long the last frame is shown, in seconds.
    pub fn last_duration(&self) -> f64 {
        self.parts.last().map_or(0.0, |part| part.index.last_duration)
    }

    /// What ffmpeg complained of, if it did.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// The files among those that were joined of which nothing is used, and why.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Decodes the frames `wanted`, ascending and distinct, to RGB. Where parts differ in size, all have that of the
    /// first, as the program has it where pictures change their size within a stream.
    pub fn frames(&mut self, wanted: &[usize]) -> Result<Frames> {
        if self.parts.len() > 1 && self.parts[0].shown.is_none() {
            let first = self.frames_of(0, &[0], None)?;
            (self.parts[0].shown, self.size) = (Some((first.width, first.height)), (first.width, first.height));
        }
        check_memory(&self.path, wanted.len(), self.size.0, self.size.1)?;
        let mut all: Option<Frames> = None;
        let mut first = 0;
        for number in 0..self.parts.len() {
            let end = first + self.parts[number].index.times.len();
            let inside: Vec<usize> =
                wanted.iter().filter(|index| (first..end).contains(*index)).map(|index| index - first).collect();
            first = end;
            if inside.is_empty() {
                continue;
            }
            let frames = self.frames_like_the_first(number, &inside)?;
            all = Some(all.map_or_else(|| frames.clone(), |before| before.and(&frames)));
        }
        let frames = all.ok_or_else(|| VideoError::corrupt(&self.path, "no frame was asked for"))?;
        self.size = (frames.width, frames.height);
        Ok(frames)
    }

    /// Decodes all of it once: the small luma of every picture, and every `every`-th as RGB of `bytes` bytes. False if
    /// that does not work: it is a joined file, pictures change their size, or the program complains.
    pub fn run_raw(&self, bytes: usize, every: usize, listener: &mut dyn RawListener) -> bool {
        let [part] = &self.parts[..] else { return false };
        let (wanted, threads, stall) = (RawPictures::Every(every, self.len()), 1, self.stall);
        let request =
            RawRequest { input: &part.input, demuxer: self.demuxer, rgb: true, bytes, wanted, threads, stall };
        !part.index.changes && self.complaint.is_none() && request.run(&self.program, listener)
    }

    /// Frames of one part, scaled to the size of the first part's.
    fn frames_like_the_first(&mut self, number: usize, wanted: &[usize]) -> Result<Frames> {
        let size = self.parts[0].shown;
        if self.parts[number].shown.is_none() {
            let frames = self.frames_of(number, wanted, None)?;
            let shown = (frames.width, frames.height);
            self.parts[number].shown = Some(shown);
            if size.is_none_or(|size| size == shown) {
                return Ok(frames);
            }
        }
        let other = size.filter(|_| self.parts[number].shown != size);
        self.frames_of(number, wanted, other)
    }

    /// Frames of one part, by their number in it; scaled to `size` if that is given.
    fn frames_of(&mut self, number: usize, wanted: &[usize], size: Option<(usize, usize)>) -> Result<Frames> {
        let part = &self.parts[number];
        let seeking: usize = wanted.iter().filter_map(|&index| part.index.cost.get(index)).sum();
        let (first, end) = (wanted.first().copied().unwrap_or(0), wanted.last().map_or(0, |last| last + 1));
        let run = part.index.cost.get(first).map_or(end, |cost| cost + end - first);
        let whole = |read: &(Frames, Complaints)| read.0.count == wanted.len();
        let mut read = None;
        // 60 packets are about what opening the file once more costs.
        if !part.index.cost.is_empty() && seeking + 60 * wanted.len() < run + 60 {
            read = self.pictures(self.seek_command(part, wanted), vec![true; wanted.len()], size)?.filter(whole);
        }
        if read.is_none() && run < end {
            read = self.forward(part, first, wanted, size)?.filter(whole);
        }
        if read.is_none() {
            read = self.forward(part, 0, wanted, size)?;
        }
        let Some((frames, complaints)) = read else {
            return self.frames_that_change(number, wanted, size);
        };
        if frames.count != wanted.len() {
            let words = complaints.worst().map(|words| format!(", it says: {words}")).unwrap_or_default();
            let detail = format!("ffmpeg returned {} of {} frames{words}", frames.count, wanted.len());
            return Err(VideoError::corrupt(&self.path, detail));
        }
        Ok(frames)
    }

    /// The frames of a part whose pictures change their size: as the program does, scaled to the size of the first.
    fn frames_that_change(&mut self, number: usize, wanted: &[usize], size: Option<(usize, usize)>) -> Result<Frames> {
        let part = &mut self.parts[number];
        let (input, before) = (part.input.clone(), part.index.times.len());
        let index = self.list_frames(&input)?;
        let same = index.changes && index.times.len() == before;
        self.parts[number].index = index;
        let read = if same { self.forward(&self.parts[number], 0, wanted, size)? } else { None };
        let whole = read.map(|(frames, _)| frames).filter(|frames| frames.count == wanted.len());
        whole.ok_or_else(|| VideoError::corrupt(&self.path, "its pictures change their size"))
    }

    /// Counts the frames of parts that were counted by their packets once more; false if there is none.
    pub fn count_by_decoding(&mut self) -> Result<bool> {
        let mut counted = false;
        for number in 0..self.parts.len() {
            if !self.parts[number].index.cost.is_empty() {
                let input = self.parts[number].input.clone();
                self.parts[number].index = self.list_frames(&input)?;
                counted = true;
            }
        }
        self.times = times_of(&self.parts);
        Ok(counted)
    }

    /// The frames as the packets tell them, or `None`.
    fn list_packets(&self, input: &OsStr, hidden: Option<&[bool]>) -> Result<Option<FrameIndex>> {
        let listing = self.packets(input)?;
        if listing.packets.len() > MOST_FRAMES {
            return Err(self.too_long());
        }
        let sound = listing.complaints.worst().is_none();
        Ok(listing.packets.index(hidden).filter(|_| sound))
    }

    /// The packets of the first video stream, none of which is decoded.
    fn packets(&self, input: &OsStr) -> Result<PacketListing> {
        let mut command = self.program.decoding("error");
        command.arg("-copyts");
        add_input(&mut command, input, self.demuxer);
        command.args(["-map", "0:V:0", "-c", "copy", "-copyinkf", "-f", "framecrc", "-"]);
        let mut listing = PacketListing::default();
        self.run(command, &mut listing)?;
        Ok(listing)
    }

    /// Counts the frames by decoding them.
    fn list_frames(&mut self, input: &OsStr) -> Result<FrameIndex> {
        let mut command = self.program.decoding("verbose");
        command.arg("-copyts");
        add_input(&mut command, input, self.demuxer);
        command.args(["-map", "0:V:0", "-vf", "showinfo=checksum=0"]).args(self.program.passthrough());
        command.args(["-f", "null", "-"]);
        let bytes = std::fs::metadata(&self.path).map_or(0, |facts| facts.len());
        let mut listing = FrameListing::of_file(bytes, self.demuxer);
        self.run(command, &mut listing)?;
        if listing.is_inflated() {
            let detail = format!("{bytes} bytes that claim {} pixels of pictures and more", listing.decoded.pixels());
            return Err(VideoError::too_large(&self.path, detail));
        }
        if listing.decoded.len() > MOST_FRAMES {
            return Err(self.too_long());
        }
        let index = listing.decoded.index();
        if index.times.is_empty() {
            return Err(self.why_nothing(&listing.complaints));
        }
        let damage = listing.complaints.damage(index.times.len() + MOST_LEADING >= index.packets);
        self.complaint = damage.map(str::to_owned).or(self.complaint.take());
        Ok(index)
    }

    /// One input per frame, each sought a little before its time.
    fn seek_command(&self, part: &Part, wanted: &[usize]) -> Command {
        let mut command = self.program.decoding("error");
        let gap = part.index.least_gap();
        for &index in wanted {
            seek(&mut command, part, gap, index);
            add_input(&mut command, &part.input, self.demuxer);
        }
        let streams = (0..wanted.len()).map(|i| format!("[{i}:V:0]trim=end_frame=1,setpts=PTS-STARTPTS[v{i}];"));
        let joined: String = (0..wanted.len()).map(|i| format!("[v{i}]")).collect();
        let graph = format!("{}{joined}concat=n={}[out]", streams.collect::<String>(), wanted.len());
        command.args(["-filter_complex", &graph, "-map", "[out]"]);
        command
    }

    /// Decodes all frames from number `first` to the last wanted one and drops the others; `None` if they change size.
    fn forward(
        &self,
        part: &Part,
        first: usize,
        wanted: &[usize],
        size: Option<(usize, usize)>,
    ) -> Result<Option<(Frames, Complaints)>> {
        let mut command = self.program.decoding("error");
        if !part.index.changes {
            // Filters that start anew count from zero and lose their place; pictures of another size are seen below.
            command.args(["-reinit_filter", "0"]);
        }
        seek(&mut command, part, part.index.least_gap(), first);
        add_input(&mut command, &part.input, self.demuxer);
        command.args(["-map", "0:V:0"]);
        let wanted: Vec<usize> = wanted.iter().map(|index| index - first).collect();
        let end = wanted.last().map_or(0, |last| last + 1);
        let mut pattern = vec![false; end];
        wanted.iter().for_each(|&index| pattern[index] = true);
        // Where pictures change their size, filters start anew and count from zero: then every frame is written.
        if !part.index.changes {
            let last = end.saturating_sub(1);
            let select = format!("select={}+not(mod(n\\,{SIGN_OF_LIFE}))*lte(n\\,{last})", any_of(&wanted));
            command.args(["-vf", &select]);
            pattern = (0..end).filter(|n| pattern[*n] || n % SIGN_OF_LIFE == 0).map(|n| pattern[n]).collect();
        }
        command.args(["-frames:v", &pattern.len().to_string()]);
        self.pictures(command, pattern, size)
    }

    /// Runs a decoding command and takes the pictures that are wanted of those it writes; `None` if they change size.
    fn pictures(
        &self,
        mut command: Command,
        wanted: Vec<bool>,
        size: Option<(usize, usize)>,
    ) -> Result<Option<(Frames, Complaints)>> {
        if let Some((width, height)) = size {
            command.args(["-s", &format!("{width}x{height}")]);
        }
        command.args(self.program.passthrough());
        command.args(["-threads", "1", "-c:v", "ppm", "-pix_fmt", "rgb24", "-f", "image2pipe", "-"]);
        let mut taker = Taker { pixmaps: Pixmaps::new(&self.path, wanted), complaints: Complaints::default() };
        self.run(command, &mut taker)?;
        Ok(taker.pixmaps.into_frames()?.map(|frames| (frames, taker.complaints)))
    }

    fn run(&self, command: Command, listener: &mut dyn Listener) -> Result<()> {
        let ended = run(command, self.stall, listener);
        match ended.map_err(|error| VideoError::corrupt(&self.path, format!("ffmpeg does not run: {error}")))? {
            Ended::Stalled => Err(VideoError::Timeout { path: self.path.clone(), seconds: self.stall.as_secs() }),
            Ended::Finished(_) | Ended::Enough => Ok(()),
        }
    }

    fn too_long(&self) -> VideoError {
        VideoError::too_large(&self.path, format!("it has more than {MOST_FRAMES} frames"))
    }

    fn why_nothing(&self, complaints: &Complaints) -> VideoError {
        if let Some(words) = &complaints.too_large {
            return VideoError::too_large(&self.path, words);
        }
        match complaints.worst() {
            None => VideoError::Empty { path: self.path.clone() },
            Some(words) if words.contains("matches no streams") => {
                VideoError::NoVideoStream { path: self.path.clone() }
            }
            Some(words) => VideoError::corrupt(&self.path, format!("ffmpeg says: {words}")),
        }
    }
}

/// Has the input that is added next begin with frame number `index`, where that is not the first: half of the least
/// `gap` before its time.
fn seek(command: &mut Command, part: &Part, gap: f64, index: usize) {
    if index > 0 {
        let time = part.index.times.get(index).copied().unwrap_or(0.0);
        command.args(["-seek_timestamp", "1", "-ss", &format!("{:.6}", time - gap / 2.0)]);
    }
}

/// Times of all parts, each going on where the one before it ended unless its own clock is later.
fn times_of(parts: &[Part]) -> Vec<f64> {
    let mut times: Vec<f64> = Vec::new();
    let mut end = f64::NEG_INFINITY;
    for Part { index, .. } in parts {
        let first = index.times.first().copied().unwrap_or(0.0);
        let shift = if first < end { end - first } else { 0.0 };
        times.extend(index.times.iter().map(|time| time + shift));
        end = times.last().map_or(end, |last| last + index.last_duration);
    }
    times
}

/// An expression that is true of these frame numbers; balanced, because ffmpeg refuses sums nested 100 deep.
fn any_of(numbers: &[usize]) -> String {
    match numbers {
        [] => "0".to_owned(),
        [first, .., last] if last - first + 1 == numbers.len() => format!("between(n\\,{first}\\,{last})"),
        [only] => format!("eq(n\\,{only})"),
        _ => {
            let (left, right) = numbers.split_at(numbers.len() / 2);
            format!("({}+{})", any_of(left), any_of(right))
        }
    }
}
