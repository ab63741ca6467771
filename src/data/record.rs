//! An annotation record, and the item (decoded clip and caption) made of it.

use serde::{Deserialize, Serialize};

/// What a manifest says of one clip, whatever format it came in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Path of the video, relative to the media folder.
    pub media: String,
    /// Further videos that fit the same caption (SSv2 templates).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Seconds into the file where the clip begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<f64>,
    /// Seconds into the file where the clip ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<f64>,
    /// Captions that describe the clip.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<String>,
    /// A question about the clip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Its answers, one per annotator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// Question types to report accuracy by, as the data set names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// The data set's own id of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether the clip is shown backwards: the same frames, the last one first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reversed: bool,
    /// Start and end, in seconds, of a second part of the video that is shown after the first, with half of the frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Box<[f64; 2]>>,
    /// Texts to choose from. In a box, as the above: millions of records have neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Box<Choice>>,
}

/// Texts of which one is right.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The texts.
    pub texts: Vec<String>,
    /// Position of the right one.
    pub right: usize,
    /// A pair about the same clip, the right text first, that a combined score asks as well (ViLMA's proficiency).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proficiency: Option<[String; 2]>,
}

impl Choice {
    /// A right and a wrong text.
    pub fn pair(right: impl Into<String>, wrong: impl Into<String>) -> Self {
        Self { texts: vec![right.into(), wrong.into()], right: 0, proficiency: None }
    }
}

impl Record {
    /// Every video of the record: its own and those that fit the same caption.
    pub fn videos(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.media).chain(&self.also).map(String::as_str)
    }

    /// The video, with its seconds where the clip is a part of it: a media fragment, such as `a.mp4#t=1,2.5` (W3C, Media
    /// Fragments URI 1.0). A second part and the direction are told as well, so that different clips have different
    /// names.
    pub fn clip_name(&self) -> String {
        let span = match (self.start, self.end) {
            (None, None) => String::new(),
            (start, end) => {
                let end = end.map_or(String::new(), |end| format!(",{end}"));
                format!("#t={}{end}", start.unwrap_or(0.0))
            }
        };
        let then = self.then.as_deref().map_or(String::new(), |[start, end]| format!("&t={start},{end}"));
        let reversed = if self.reversed { " reversed" } else { "" };
        format!("{}{span}{then}{reversed}", self.media)
    }

    /// The clip alone, without what is said of it, taken from `media`, which is the record's own or one of its others.
    pub fn clip_of(&self, media: &str) -> Self {
        let Self { start, end, reversed, .. } = *self;
        Self { media: media.to_owned(), start, end, reversed, then: self.then.clone(), ..Self::default() }
    }

    /// Joins the captions with one space, in their order and before any cleaning: paragraph retrieval.
    pub fn join_captions(&mut self) {
        if self.captions.len() > 1 {
            self.captions = vec![self.captions.join(" ")];
        }
    }

    /// What is asked or said of the clip: one question, one choice, or its captions.
    pub fn texts(&self) -> usize {
        if self.question.is_some() || self.choice.is_some() { 1 } else { self.captions.len() }
    }

    /// Every text that a model reads: captions, question, and what is chosen from.
    pub fn read_texts(&self) -> impl Iterator<Item = &String> {
        let choice = self.choice.iter().flat_map(|choice| &choice.texts);
        self.captions.iter().chain(&self.question).chain(choice)
    }
}

/// A clip and its caption, read and transformed.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Normalised pixels `[frames, 3, size, size]`, row-major.
    pub frames: Vec<f32>,
    /// The caption, not yet cleaned.
    pub caption: String,
    /// Same value, same video (or same caption): positives of each other in the contrastive loss, never negatives.
    pub identity: u64,
    /// Position in the data set.
    pub index: usize,
    /// The media the item was really read from (another one where an unreadable item was replaced).
    pub media: String,
}

/// Why an item could not be read, or the item; a `Dataset` hands out these, so that a bad file can neither end an
/// epoch early (Burn's loaders stop at `None`) nor vanish unnamed.
pub type ItemResult = std::result::Result<Item, std::sync::Arc<crate::Error>>;
