//! Queries of several parts: texts, pictures and videos, each wanted or unwanted, combined as vectors.

use super::clips::ClipWindows;
use super::{Embedder, picture};
use crate::{Error, Result, input, limits};
use std::path::{Path, PathBuf};
use svitt_ops::SvittBackend;
use svitt_video::{Frames, is_video_name};

/// The largest weight of a part.
const MOST_WEIGHT: f64 = 100.0;

/// One part of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryPart {
    /// What the clip should show.
    Text(String),
    /// A picture: a clip that stands still, or of one frame where the model's clips have one.
    Picture(Frames),
    /// A video file; its clips' mean counts.
    Video(PathBuf),
    /// A vector of the index.
    Vector(Vec<f32>),
}

/// Parts with their weights; what is unwanted has a negative one.
#[derive(Clone, Debug, PartialEq)]
pub struct ComposedQuery {
    parts: Vec<(f32, QueryPart)>,
}

impl ComposedQuery {
    /// A text as it is, whatever it begins with.
    pub fn text(text: &str) -> Self {
        Self { parts: vec![(1.0, QueryPart::Text(text.to_owned()))] }
    }

    /// A single wanted part.
    pub fn of(part: QueryPart) -> Self {
        Self { parts: vec![(1.0, part)] }
    }

    /// One more part.
    pub fn with(mut self, weight: f32, part: QueryPart) -> Self {
        self.parts.push((weight, part));
        self
    }

    /// The parts of both.
    pub fn and(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// `a beach` is one text; `+beach -people` or `+2*beach -0.5*people` are several, each with its weight.
    ///
    /// # Errors
    /// A weight out of range, or nothing that is wanted.
    pub fn of_words(text: &str) -> Result<Self> {
        Self::parse(text, |words| Ok(QueryPart::Text(words)))
    }

    /// As [`ComposedQuery::of_words`]; a part that is the name of a picture or video which is there means that file.
    ///
    /// # Errors
    /// As [`ComposedQuery::of_words`], or a picture that cannot be read.
    pub fn of_words_or_files(text: &str) -> Result<Self> {
        Self::parse(text, |words| {
            let path = Path::new(&words);
            match path.is_file() {
                true if picture::is_picture_name(&words) => picture::read(path).map(QueryPart::Picture),
                true if is_video_name(&words) => Ok(QueryPart::Video(path.to_path_buf())),
                _ => Ok(QueryPart::Text(words)),
            }
        })
    }

    fn parse(text: &str, part: impl Fn(String) -> Result<QueryPart>) -> Result<Self> {
        if !text.split_whitespace().next().is_some_and(signed) {
            return part(text.to_owned()).map(Self::of);
        }
        let mut written: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match written.last_mut() {
                Some(last) if !signed(word) => *last = format!("{last} {word}"),
                _ => written.push(word.to_owned()),
            }
        }
        let read = written.iter().map(|written| {
            let (weight, words) = weighted(written)?;
            part(words).map(|part| (weight, part))
        });
        let parts = read.collect::<Result<Vec<_>>>()?;
        if parts.iter().all(|(weight, _)| *weight < 0.0) {
            let remedy = "add what the clip should show, as in `+beach -people`";
            return Err(Error::setting("TEXT", format!("{} says only what is unwanted", input::shown(text)), remedy));
        }
        Ok(Self { parts })
    }

    /// The text, where the query is one text that is wanted: only then the fusion encoder can judge it.
    pub fn sole_text(&self) -> Option<&str> {
        match &self.parts[..] {
            [(weight, QueryPart::Text(text))] if *weight > 0.0 => Some(text),
            _ => None,
        }
    }

    /// Whether it is made of texts alone: scores of pictures and videos are of another size.
    pub(super) fn is_of_texts(&self) -> bool {
        self.texts().count() == self.parts.len()
    }

    /// Its texts that are wanted.
    pub(super) fn wanted_texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter(|(weight, _)| *weight > 0.0).filter_map(|(_, part)| text_of(part))
    }

    /// All its texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|(_, part)| text_of(part))
    }
}

fn text_of(part: &QueryPart) -> Option<&str> {
    if let QueryPart::Text(text) = part { Some(text) } else { None }
}

/// Whether a part of a query begins with this word: `+beach`, but neither `+` nor `t-shirt`.
fn signed(word: &str) -> bool {
    word.len() > 1 && word.starts_with(['+', '-'])
}

/// Weight and words of `-0.5*people on a beach`.
fn weighted(written: &str) -> Result<(f32, String)> {
    let (sign, rest) = written.split_at(1);
    let (factor, words) = match rest.split_once('*') {
        Some((factor, words)) if factor.parse::<f64>().is_ok() && !words.is_empty() => (factor, words.trim()),
        _ => ("1", rest),
    };
    let factor = factor.parse().unwrap_or(1.0);
    limits::check(format!("TEXT, weight of {}", input::shown(words)), factor, 0.001, MOST_WEIGHT)?;
    Ok((if sign == "-" { -factor } else { factor } as f32, words.to_owned()))
}

impl<B: SvittBackend> Embedder<B> {
    /// The vector `[dim]` of `query`: the sum of its parts' unit vectors by their weights. Videos are cut into
    /// `clip_windows`.
    ///
    /// # Errors
    /// A text without words, a video that cannot be read, or parts that cancel out.
    pub fn embed_query(&self, query: &ComposedQuery, clip_windows: &ClipWindows) -> Result<Vec<f32>> {
        let mut sum = vec![0.0; self.id().dim];
        for (weight, part) in &query.parts {
            let vectors = match part {
                QueryPart::Text(text) => vec![self.embed_text(text)?],
                QueryPart::Picture(picture) => self.embed_clips(self.pixels(picture).repeat(self.frames()))?,
                QueryPart::Video(path) => self.embed_video(path, clip_windows)?,
                QueryPart::Vector(vector) => vec![vector.clone()],
            };
            add(&mut sum, &mean(&vectors, self.id().dim), *weight);
        }
        if length(&sum) < 1e-6 {
            return Err(Error::setting("TEXT", "takes away all that it asks for", "give other weights"));
        }
        Ok(sum)
    }
}

/// The direction in which `vectors` point together.
fn mean(vectors: &[Vec<f32>], dim: usize) -> Vec<f32> {
    let mut sum = vec![0.0; dim];
    vectors.iter().for_each(|vector| add(&mut sum, vector, 1.0));
    sum
}

/// Adds the unit vector of `vector`, times `weight`, to `sum`.
fn add(sum: &mut [f32], vector: &[f32], weight: f32) {
    let scale = weight / length(vector).max(f32::MIN_POSITIVE);
    sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x * scale);
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|x| x * x).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<(f32, String)> {
        let query = ComposedQuery::of_words(text).unwrap();
        let text = |part| if let QueryPart::Text(text) = part { text } else { panic!("no text") };
        query.parts.into_iter().map(|(weight, part)| (weight, text(part))).collect()
    }

    #[test]
    fn signs_and_weights_are_read_and_plain_texts_stay() {
        assert_eq!(parts("a t-shirt - red + blue"), [(1.0, "a t-shirt - red + blue".to_owned())]);
        assert_eq!(parts("+a beach -people"), [(1.0, "a beach".to_owned()), (-1.0, "people".to_owned())]);
        assert_eq!(parts("-0.5*people +2*the  sea"), [(-0.5, "people".to_owned()), (2.0, "the sea".to_owned())]);
        assert_eq!(parts("+a*b"), [(1.0, "a*b".to_owned())]);
        for (wrong, told) in [("-people", "only what is unwanted"), ("+0*sea", "0.001"), ("+1e9*sea", "100")] {
            let message = ComposedQuery::of_words(wrong).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
    }

    #[test]
    fn only_one_wanted_text_is_judged_by_the_fusion_encoder() {
        let query = |text| ComposedQuery::of_words(text).unwrap();
        assert_eq!(query("the sea").sole_text(), Some("the sea"));
        assert_eq!(query("+the sea -boats").sole_text(), None);
        assert_eq!(query("the sea").with(1.0, QueryPart::Vector(vec![1.0])).sole_text(), None);
        assert_eq!(query("+the sea -boats").texts().collect::<Vec<_>>(), ["the sea", "boats"]);
    }

    #[test]
    #[cfg(feature = "flex")]
    fn parts_add_up_as_unit_vectors() {
        let dir = tempfile::tempdir().unwrap();
        crate::testing::tiny_checkpoint(dir.path(), |_| {});
        let model = Embedder::<burn_flex::Flex>::open(dir.path(), None, &Default::default()).unwrap();
        let windows = ClipWindows::new(10.0, 0.5, model.frames()).unwrap();
        let embed = |query: &ComposedQuery| model.embed_query(query, &windows);
        let [red, blue] = ["red square", "blue circle"].map(|text| model.embed_text(text).unwrap());
        let both = embed(&ComposedQuery::of_words("+red square -0.5*blue circle").unwrap()).unwrap();
        for (n, sum) in both.iter().enumerate() {
            assert!((sum - (red[n] - 0.5 * blue[n])).abs() < 1e-5, "{n}");
        }
        let message = embed(&ComposedQuery::of_words("+red -red").unwrap()).unwrap_err().to_string();
        assert!(message.contains("takes away all"), "{message}");
        // A picture is the clip that shows it all the time.
        let picture = Frames { count: 1, height: 5, width: 7, data: (0..105).collect() };
        let clip = Frames { count: 8, data: picture.data.repeat(8), ..picture.clone() };
        let expected = model.embed_clips(model.pixels(&clip)).unwrap().remove(0);
        let found = embed(&ComposedQuery::of(QueryPart::Picture(picture))).unwrap();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b / length(&expected)).abs() < 1e-5));
    }
}
