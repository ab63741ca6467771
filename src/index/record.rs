//! A record as bytes: little-endian, every length checked against what is there before anything is allocated.

use super::entry::{ClipEmbedding, ClipSpan, Stamp, length};
use super::words::Words;
use std::path::{Path, PathBuf};

const CLIPS: u8 = 1;
const BROKEN: u8 = 2;
const REMOVED: u8 = 3;
const ROWS: u8 = 4;
const WORDS: u8 = 5;
const WORD_ROWS: u8 = 6;

/// The largest kind of a record.
pub(super) const MOST_KIND: u8 = WORD_ROWS;

/// A change of one file: clips added, marked broken, or removed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    File(PathBuf, Stamp, RecordContent),
    Removed(PathBuf),
}

/// What a record says of a file's clips.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RecordContent {
    /// The clips with their vectors.
    Clips(Vec<ClipEmbedding>),
    /// The clips, whose vectors stand in the segment's table from row `first` on.
    Rows { first: u64, spans: Vec<ClipSpan> },
    /// Why there are none.
    Broken(String),
    /// What is said in a video, a text for each of `clips`, which are `Clips` or `Rows`.
    Words { words: Words, clips: Box<RecordContent> },
}

impl Record {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Removed(path) => {
                bytes.push(REMOVED);
                put_bytes(&mut bytes, &path_bytes(path));
            }
            Self::File(path, stamp, content) => {
                bytes.push(content.kind());
                put_bytes(&mut bytes, &path_bytes(path));
                bytes.extend(stamp.size.to_le_bytes());
                bytes.extend(stamp.modified_ns.to_le_bytes());
                put_bytes(&mut bytes, stamp.clip_windows.as_bytes());
                put_content(&mut bytes, content);
            }
        }
        bytes
    }

    /// The record of `payload` with embeddings of `dim` numbers, or none if it is not one.
    pub fn decode(payload: &[u8], dim: usize) -> Option<Self> {
        let mut rest = payload;
        let [kind] = take(&mut rest)?;
        let path = path_of(take_bytes(&mut rest)?)?;
        if kind == REMOVED {
            return Some(Self::Removed(path));
        }
        let (size, modified_ns) = (u64::from_le_bytes(take(&mut rest)?), i64::from_le_bytes(take(&mut rest)?));
        let stamp = Stamp { size, modified_ns, clip_windows: take_text(&mut rest)? };
        let content = match kind {
            CLIPS => RecordContent::Clips(take_clips(rest, dim)?),
            ROWS => RecordContent::Rows { first: u64::from_le_bytes(take(&mut rest)?), spans: take_spans(rest)? },
            BROKEN => RecordContent::Broken(take_text(&mut rest)?),
            WORDS => {
                let words = take_words(&mut rest)?;
                let clips = take_clips(rest, dim)?;
                (words.texts.len() == clips.len())
                    .then(|| RecordContent::of_words(words, RecordContent::Clips(clips)))?
            }
            WORD_ROWS => {
                let words = take_words(&mut rest)?;
                let (first, spans) = (u64::from_le_bytes(take(&mut rest)?), take_spans(rest)?);
                let fits = words.texts.len() == spans.len();
                fits.then(|| RecordContent::of_words(words, RecordContent::Rows { first, spans }))?
            }
            _ => return None,
        };
        Some(Self::File(path, stamp, content))
    }
}

impl RecordContent {
    /// `clips` that `words` are said in.
    pub fn of_words(words: Words, clips: Self) -> Self {
        Self::Words { words, clips: Box::new(clips) }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Clips(_) => CLIPS,
            Self::Rows { .. } => ROWS,
            Self::Broken(_) => BROKEN,
            Self::Words { clips, .. } if matches!(**clips, Self::Rows { .. }) => WORD_ROWS,
            Self::Words { .. } => WORDS,
        }
    }
}

fn put_content(bytes: &mut Vec<u8>, content: &RecordContent) {
    match content {
        RecordContent::Broken(reason) => put_bytes(bytes, reason.as_bytes()),
        RecordContent::Rows { first, spans } => {
            bytes.extend(first.to_le_bytes());
            spans.iter().flat_map(|span| [span.start, span.end]).for_each(|x| bytes.extend(x.to_le_bytes()));
        }
        RecordContent::Clips(clips) => clips.iter().for_each(|clip| {
            bytes.extend(clip.start.to_le_bytes());
            bytes.extend(clip.end.to_le_bytes());
            clip.vector.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        }),
        RecordContent::Words { words, clips } => {
            put_bytes(bytes, &path_bytes(&words.video));
            bytes.extend((words.texts.len() as u32).to_le_bytes());
            words.texts.iter().for_each(|text| put_bytes(bytes, text.as_bytes()));
            put_content(bytes, clips);
        }
    }
}

fn take_words(rest: &mut &[u8]) -> Option<Words> {
    let video = path_of(take_bytes(rest)?)?;
    let count = u32::from_le_bytes(take(rest)?);
    let texts = (0..count).map(|_| take_text(rest)).collect::<Option<_>>()?;
    Some(Words { video, texts })
}

fn take_spans(rest: &[u8]) -> Option<Vec<ClipSpan>> {
    let (spans, remainder) = rest.as_chunks::<16>();
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| f64::from_le_bytes(*bytes));
    let spans = spans.iter().map(|span| Some(ClipSpan { start: number(span)?, end: number(&span[8..])? }));
    if remainder.is_empty() { spans.collect() } else { None }
}

/// Clips fill the record to its end; a remainder means it was written for another width.
fn take_clips(rest: &[u8], dim: usize) -> Option<Vec<ClipEmbedding>> {
    let clips = rest.chunks_exact(16 + 4 * dim);
    if !clips.remainder().is_empty() {
        return None;
    }
    clips
        .map(|mut clip| {
            let (start, end) = (f64::from_le_bytes(take(&mut clip)?), f64::from_le_bytes(take(&mut clip)?));
            let vector: Vec<f32> = clip.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
            fits(&vector).then_some(ClipEmbedding { start, end, vector })
        })
        .collect()
}

/// Whether `vector` has a direction and length 1 at most, as every vector that is written: scores are then finite and at
/// most 1.
fn fits(vector: &[f32]) -> bool {
    let length = length(vector);
    length > 0.0 && length < 1.0005
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u32).to_le_bytes());
    to.extend(bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(rest)?) as usize;
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_bytes(rest)?.to_vec()).ok()
}

/// File names are bytes on Unix and need not be text.
#[cfg(unix)]
fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path_bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(bytes).ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use svitt_ops::rng::Rng;

    fn record() -> Record {
        let clip = |start: f64| ClipEmbedding { start, end: start + 2.5, vector: vec![0.6, -0.8, 0.0] };
        let stamp = Stamp { size: 77, modified_ns: -5, clip_windows: "4 frames".into() };
        let content = RecordContent::Clips(vec![clip(0.0), clip(1.25)]);
        Record::File("a \"b\"\n.mp4".into(), stamp, content)
    }

    #[test]
    fn records_read_back() {
        let bytes = record().encode();
        assert_eq!(Record::decode(&bytes, 3), Some(record()));
        assert_eq!(Record::decode(&bytes, 4), None, "another width");
        let second = |vector: [f32; 3]| {
            let mut other = record();
            if let Record::File(_, _, RecordContent::Clips(clips)) = &mut other {
                clips[1].vector = vector.to_vec();
            }
            (Record::decode(&other.encode(), 3), other)
        };
        for vector in [[3e38, 0.0, 0.0], [0.0; 3], [0.0, 1.01, 0.0], [f32::NAN, 0.1, 0.1]] {
            assert_eq!(second(vector).0, None, "a score with it would not be finite, or above 1");
        }
        let (read, short) = second([0.3, 0.0, -0.4]);
        assert_eq!(read, Some(short), "a mean over frames is shorter than 1");
        let Record::File(path, stamp, _) = record() else { unreachable!("it is a file's") };
        let spans = vec![ClipSpan { start: 0.5, end: 3.0 }, ClipSpan { start: 1.0, end: 4.0 }];
        let rows = Record::File(path, stamp, RecordContent::Rows { first: 1 << 33, spans });
        assert_eq!(Record::decode(&rows.encode(), 3), Some(rows.clone()));
        assert_eq!(Record::decode(&[rows.encode(), vec![0; 8]].concat(), 3), None, "half a span");
        let Record::File(_, stamp, clips) = record() else { unreachable!("it is a file's") };
        let words = |texts: &[&str]| Words {
            video: "a.mp4".into(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        };
        let said = |texts: &[&str], clips| {
            Record::File("a.srt".into(), stamp.clone(), RecordContent::of_words(words(texts), clips))
        };
        let bytes = said(&["good morning", "\u{e9}"], clips.clone()).encode();
        assert_eq!(Record::decode(&bytes, 3), Some(said(&["good morning", "\u{e9}"], clips.clone())));
        assert_eq!(Record::decode(&said(&["one text"], clips).encode(), 3), None, "two clips");
        let row = || RecordContent::Rows { first: 7, spans: vec![ClipSpan { start: 0.5, end: 3.0 }] };
        assert_eq!(Record::decode(&said(&["x"], row()).encode(), 3), Some(said(&["x"], row())));
        assert_eq!(Record::decode(&said(&[], row()).encode(), 3), None);
        let removed = Record::Removed("x".into());
        assert_eq!(Record::decode(&removed.encode(), 3), Some(removed));
    }

    #[test]
    #[cfg(unix)]
    fn names_that_are_not_text_survive() {
        use std::os::unix::ffi::OsStrExt;
        let name = PathBuf::from(std::ffi::OsStr::from_bytes(b"\xff\xfe-\x80.webm"));
        let record = Record::Removed(name);
        assert_eq!(Record::decode(&record.encode(), 3), Some(record));
    }

    #[test]
    fn mutated_records_are_refused_or_read_but_never_panic() {
        let mut rng = Rng::new(4, &[]);
        for round in 0..10_000 {
            let mut bytes = record().encode();
            if round % 2 == 0 {
                bytes[0] = WORDS;
            }
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.bits() as u8;
            }
            bytes.truncate(rng.below(bytes.len() + 1));
            let _ = Record::decode(&bytes, 3);
        }
    }
}
