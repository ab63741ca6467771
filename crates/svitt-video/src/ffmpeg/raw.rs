//! A video decoded once from its start to its end by the `ffmpeg` program: the pictures that are wanted as raw bytes
//! through one pipe, every picture's small luma through another.

use super::child::{Ended, Listener, run_with_second};
use super::complaints::Complaints;
use super::program::{FfmpegProgram, add_input_on};
use crate::luma::{COLUMNS, ROWS, SmallLuma};
use std::ffi::OsStr;
use std::time::Duration;

/// Bytes of a small picture: 4:2:0.
const SMALL_BYTES: usize = COLUMNS * ROWS * 3 / 2;

/// Bytes of the longest expression: a system takes arguments of 128 KiB.
const MOST_EXPRESSION: usize = 120_000;

/// Numbers in one product of the expression.
const PRODUCT: usize = 8;

/// What is decoded, and what is wanted of it.
pub(crate) struct RawRequest<'a> {
    /// The input as the program knows it, and its demuxer.
    pub input: &'a OsStr,
    pub demuxer: &'static str,
    /// RGB as it is shown, or 4:2:0 as it is stored.
    pub rgb: bool,
    /// Bytes of a picture.
    pub bytes: usize,
    /// Which pictures are wanted.
    pub wanted: RawPictures<'a>,
    pub threads: usize,
    /// How long the program may make no progress.
    pub stall: Duration,
}

/// Which pictures are wanted.
#[derive(Clone, Copy)]
pub(crate) enum RawPictures<'a> {
    /// Every so many-th, and the small luma of all; how many pictures the video has.
    Every(usize, usize),
    /// These, ascending.
    These(&'a [usize]),
}

impl RawPictures<'_> {
    /// Places among the pictures that come, and numbers, of the first and the last one.
    pub fn ends(self) -> Vec<(usize, usize)> {
        let (count, number) = match self {
            Self::Every(every, count) => (count.div_ceil(every), (count.max(1) - 1) / every * every),
            Self::These(numbers) => (numbers.len(), numbers.last().copied().unwrap_or(0)),
        };
        let first = if let Self::These([first, ..]) = self { *first } else { 0 };
        match count {
            0 => Vec::new(),
            1 => vec![(0, first)],
            _ => vec![(0, first), (count - 1, number)],
        }
    }
}

/// Pictures and small lumas in the order in which they come.
pub(crate) trait RawListener {
    /// The next wanted picture; false: it is enough.
    fn picture(&mut self, bytes: Vec<u8>) -> bool;
    /// The next picture's small luma; false: it is enough.
    fn luma(&mut self, luma: SmallLuma) -> bool;
}

impl RawRequest<'_> {
    /// Decodes the video. What the program writes is taken as it comes; false if it was not whole, or the program
    /// complained: then what came is not to be trusted.
    pub fn run(&self, program: &FfmpegProgram, listener: &mut dyn RawListener) -> bool {
        let Some(graph) = self.graph() else { return false };
        let mut command = program.decoding("error");
        if !self.rgb {
            command.arg("-noautorotate");
        }
        command.args(["-reinit_filter", "0"]);
        add_input_on(&mut command, self.input, self.demuxer, self.threads);
        command.args(["-filter_complex_threads", "1", "-filter_complex", &graph]);
        // In the format that is decoded: a named one would make the full range of luma a limited one.
        for (label, pipe, format) in [("[full]", "pipe:1", "rgb24"), ("[small]", "pipe:0", "yuv420p")] {
            if graph.contains(label) {
                command.args(["-map", label]).args(program.passthrough());
                command.args(["-pix_fmt", format].iter().filter(|_| self.rgb));
                command.args(["-threads", "1", "-f", "rawvideo", pipe]);
            }
        }
        let mut taker = RawTaker::new(self, listener);
        let ended = run_with_second(command, self.stall, &mut taker);
        let whole = taker.is_whole(self);
        taker.complaints.worst().is_none() && whole && matches!(ended, Ok(Ended::Finished(true) | Ended::Enough))
    }

    /// The filters; none where too many pictures are wanted to name them.
    fn graph(&self) -> Option<String> {
        match self.wanted {
            RawPictures::Every(every, _) => {
                let crop = format!("crop=floor(iw/{COLUMNS})*{COLUMNS}:floor(ih/{ROWS})*{ROWS}:0:0");
                let small = format!("{crop},scale={COLUMNS}:{ROWS}:flags=neighbor");
                Some(format!("[0:V:0]split=2[a][b];[a]select=not(mod(n\\,{every}))[full];[b]{small}[small]"))
            }
            RawPictures::These(numbers) => {
                let expression = one_of(numbers);
                (expression.len() <= MOST_EXPRESSION).then(|| format!("[0:V:0]select={expression}[full]"))
            }
        }
    }
}

/// Cuts what the program writes into pictures.
struct RawTaker<'a> {
    listener: &'a mut dyn RawListener,
    complaints: Complaints,
    /// The bytes of a picture that is not whole yet, and how many it will have.
    picture: (Vec<u8>, usize),
    small: (Vec<u8>, usize),
    pictures: usize,
    lumas: usize,
    /// Pictures after which no more are needed.
    enough: usize,
    /// The listener wants no more.
    left: bool,
}

impl<'a> RawTaker<'a> {
    fn new(request: &RawRequest, listener: &'a mut dyn RawListener) -> Self {
        let enough = if let RawPictures::These(numbers) = request.wanted { numbers.len() } else { usize::MAX };
        let (picture, small) = ((Vec::new(), request.bytes.max(1)), (Vec::new(), SMALL_BYTES));
        Self { listener, complaints: Complaints::default(), picture, small, pictures: 0, lumas: 0, enough, left: false }
    }

    /// Whether everything that was asked for came, or the listener wanted no more.
    fn is_whole(&self, request: &RawRequest) -> bool {
        let (pictures, lumas) = match request.wanted {
            RawPictures::Every(every, count) => (count.div_ceil(every), count),
            RawPictures::These(numbers) => (numbers.len(), 0),
        };
        let exact = (self.pictures, self.lumas) == (pictures, lumas);
        self.left || exact && self.picture.0.is_empty() && self.small.0.is_empty()
    }
}

/// Moves bytes into a piece of a known size; gives it when it is whole.
fn piece(held: &mut (Vec<u8>, usize), bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let (piece, size) = held;
    if piece.capacity() < *size {
        piece.reserve_exact(*size);
    }
    let count = (*size - piece.len()).min(bytes.len());
    piece.extend_from_slice(&bytes[..count]);
    *bytes = &bytes[count..];
    (piece.len() == *size).then(|| std::mem::take(piece))
}

impl Listener for RawTaker<'_> {
    fn output(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if let Some(picture) = piece(&mut self.picture, &mut bytes) {
                self.pictures += 1;
                self.left |= !self.listener.picture(picture);
                if self.left || self.pictures == self.enough {
                    return false;
                }
            }
        }
        true
    }

    fn second(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if let Some(small) = piece(&mut self.small, &mut bytes) {
                self.lumas += 1;
                self.left |= !self.listener.luma(SmallLuma::of_bytes(&small));
                if self.left {
                    return false;
                }
            }
        }
        true
    }

    fn message(&mut self, line: &str) -> bool {
        self.complaints.line(line);
        true
    }

    fn progress(&self) -> usize {
        self.pictures + self.lumas
    }
}

/// An expression that is true of these ascending frame numbers: a tree of comparisons, at its leaves products that are 0
/// for the numbers.
fn one_of(numbers: &[usize]) -> String {
    if numbers.len() <= PRODUCT {
        let factors: Vec<String> = numbers.iter().map(|number| format!("(n-{number})")).collect();
        return if factors.is_empty() { "0".to_owned() } else { format!("not({})", factors.join("*")) };
    }
    let (low, high) = numbers.split_at(numbers.len() / 2);
    format!("if(lt(n\\,{})\\,{}\\,{})", high[0], one_of(low), one_of(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Heard(Vec<Vec<u8>>, usize);

    impl RawListener for Heard {
        fn picture(&mut self, bytes: Vec<u8>) -> bool {
            self.0.push(bytes);
            self.0.len() < 3
        }

        fn luma(&mut self, _: SmallLuma) -> bool {
            self.1 += 1;
            true
        }
    }

    fn request(wanted: RawPictures<'_>) -> RawRequest<'_> {
        let (input, stall) = (OsStr::new("a"), Duration::from_secs(1));
        RawRequest { input, demuxer: "mov", rgb: false, bytes: 5, wanted, threads: 1, stall }
    }

    #[test]
    fn pictures_are_cut_from_the_stream_however_it_comes() {
        let stream: Vec<u8> = (0..14).collect();
        for size in [1, 3, 5, 14] {
            let mut heard = Heard(Vec::new(), 0);
            let request = request(RawPictures::Every(4, 6));
            let mut taker = RawTaker::new(&request, &mut heard);
            assert!(stream[..10].chunks(size).all(|bytes| taker.output(bytes)));
            assert!(vec![7; SMALL_BYTES * 6].chunks(1000 * size).all(|bytes| taker.second(bytes)));
            assert!(taker.is_whole(&request));
            taker.output(&stream[10..]);
            assert!(!taker.is_whole(&request), "a picture that is cut off");
            assert_eq!((heard.0, heard.1), (vec![vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8, 9]], 6));
        }
        let (mut heard, wanted) = (Heard(Vec::new(), 0), [3, 9]);
        let request = request(RawPictures::These(&wanted));
        let mut taker = RawTaker::new(&request, &mut heard);
        assert!(taker.output(&stream[..9]) && !taker.output(&stream[9..]), "it says when it has all");
    }

    #[test]
    fn numbers_become_a_short_expression() {
        assert_eq!(one_of(&[]), "0");
        assert_eq!(one_of(&[4, 7]), "not((n-4)*(n-7))");
        let nine: Vec<usize> = (0..9).collect();
        assert_eq!(one_of(&nine), "if(lt(n\\,4)\\,not((n-0)*(n-1)*(n-2)*(n-3))\\,not((n-4)*(n-5)*(n-6)*(n-7)*(n-8)))");
        let many: Vec<usize> = (0..5760).map(|n| 19 * n).collect();
        assert!(one_of(&many).len() < MOST_EXPRESSION, "an hour of clips of 8 frames");
        let most: Vec<usize> = (0..50_000).collect();
        assert!(request(RawPictures::These(&most)).graph().is_none());
    }
}
