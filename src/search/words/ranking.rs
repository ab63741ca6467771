//! Ranks what is said for a query.
//!
//! Texts resemble texts more than clips resemble texts, so that cosines of the two kinds are not to be compared: words
//! have a list of their own. First come those that hold the query's words, by the share of them, rare words counting more;
//! then those that only mean something like it, where their cosine is far above what neutral texts find among the words
//! of this index.

use crate::Result;
use crate::index::{Index, WordHit};
use crate::search::neutral::NeutralStatistics;
use crate::search::printable;
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Share of the query's words, by weight, from which on a text counts as one that holds them.
const LEAST_SHARE: f32 = 0.5;

/// Standard deviations above what neutral texts find, from which on a text counts as one that means the query. A guess:
/// it was measured for no model.
const LEAST_EVIDENCE: f32 = 3.0;

/// Words of a query that are looked for.
const MOST_WORDS: usize = 64;

/// Seconds between two beginnings of one text in two files of subtitles for one video.
const SAME: f64 = 1.0;

/// Words that were found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WordResult {
    /// What it is: `words`, not a clip.
    pub kind: &'static str,
    /// Place among the words, counted from 1.
    pub rank: usize,
    /// What is said.
    pub text: String,
    /// The share of the query's words that are in it, 0 to 1, rare words counting more; 0 where it is less than a half.
    pub literal: f32,
    /// Cosine of the query's and the text's vectors: not to be compared with that of a clip.
    pub cosine: f32,
    /// Standard deviations that the cosine lies above what neutral texts find among the words of the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<f32>,
    /// The video, as [`printable`] shows it.
    pub file: String,
    /// When it is said, seconds.
    pub start: f64,
    /// When that ends.
    pub end: f64,
    /// The file of subtitles, as [`printable`] shows it.
    pub subtitles: String,
    /// The video itself; its name need not be text.
    #[serde(skip)]
    pub path: PathBuf,
}

impl WordResult {
    /// The line of a result: `w` and the rank, how it was found, file, seconds and the words, separated by tabs.
    pub fn line(&self) -> String {
        let found = match self.literal > 0.0 {
            true => format!("said {:.2}", self.literal),
            false => format!("like {:.2}", self.cosine),
        };
        let Self { file, start, end, .. } = self;
        format!("{}\t{found}\t{file}\t{start:.2}-{end:.2}\t{}", self.label(), self.shown_text())
    }

    /// `w` and the rank: what the result is called beside those of clips.
    pub fn label(&self) -> String {
        format!("w{}", self.rank)
    }

    /// The words on one line, whatever is in them.
    pub(in crate::search) fn shown_text(&self) -> String {
        crate::printable::one_line(&self.text)
    }
}

/// What words are looked for.
pub(in crate::search) struct WordQuery<'a> {
    /// The texts that are wanted.
    pub texts: Vec<&'a str>,
    /// The query's vector `[dim]`.
    pub vector: &'a [f32],
    /// What neutral texts find among the words of the index; none: nothing is listed for what it means alone.
    pub neutral: Option<NeutralStatistics>,
    /// Results.
    pub top: usize,
}

impl WordQuery<'_> {
    /// The words of `index` that fit best, best first, said in videos that `admits` says yes to.
    ///
    /// # Errors
    /// A vector of another width.
    pub fn rank(&self, index: &Index, admits: &dyn Fn(&Path) -> bool) -> Result<Vec<WordResult>> {
        let words = WeightedWords::new(&self.texts, index.texts(admits));
        // Twice as many: the subtitles of a video may lie there in two formats.
        let asked = self.top.saturating_mul(2);
        let score = |text: &str| Some(words.share_in(text)).filter(|share| *share >= LEAST_SHARE);
        let mut hits = index.words_by(self.vector, admits, &score, asked)?;
        if self.neutral.is_some() {
            let meant = index.search_words(self.vector, asked, admits)?.into_iter();
            let meant = meant.filter(|hit| self.evidence(hit.cosine).is_some_and(|value| value >= LEAST_EVIDENCE));
            hits.extend(meant.map(|hit| (0.0, hit)));
        }
        let mut results: Vec<WordResult> = Vec::new();
        for (literal, hit) in hits {
            let again = |known: &WordResult| {
                known.path == hit.video && known.text == hit.text && (known.start - hit.span.start).abs() < SAME
            };
            if results.len() < self.top && !results.iter().any(again) {
                results.push(self.result(results.len() + 1, literal, &hit));
            }
        }
        Ok(results)
    }

    fn evidence(&self, cosine: f32) -> Option<f32> {
        self.neutral.map(|neutral| neutral.above(cosine))
    }

    fn result(&self, rank: usize, literal: f32, hit: &WordHit<'_>) -> WordResult {
        WordResult {
            kind: "words",
            rank,
            text: hit.text.to_owned(),
            literal,
            cosine: hit.cosine,
            evidence: self.evidence(hit.cosine),
            file: printable(hit.video),
            start: hit.span.start,
            end: hit.span.end,
            subtitles: printable(hit.subtitles),
            path: hit.video.to_path_buf(),
        }
    }
}

/// A word of a query.
struct QueryWord {
    /// In small letters.
    word: String,
    /// Written without spaces around it: it is looked for anywhere.
    spaceless: bool,
    /// What it counts.
    weight: f32,
}

impl QueryWord {
    /// Whether the folded `text`, whose words are `said`, has it: as a whole word, or anywhere where words are written
    /// without spaces between.
    fn is_in(&self, text: &str, said: &HashSet<&str>) -> bool {
        if self.spaceless { text.contains(&self.word) } else { said.contains(&*self.word) }
    }
}

/// The words of a query, each with what it counts.
struct WeightedWords {
    words: Vec<QueryWord>,
    /// What all of them count.
    all: f32,
}

impl WeightedWords {
    /// The words of `texts`: one that is in few of the index's texts, `said`, counts more than one that is in most.
    fn new<'a>(texts: &[&str], said: impl Iterator<Item = &'a str>) -> Self {
        let mut seen = HashSet::new();
        let folded: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        let words = folded.iter().flat_map(|text| words_of(text)).filter(|word| seen.insert(*word));
        let unweighted =
            |word: &str| QueryWord { word: word.to_owned(), spaceless: word.chars().any(is_spaceless), weight: 0.0 };
        let mut words: Vec<QueryWord> = words.take(MOST_WORDS).map(unweighted).collect();
        let (mut all, mut counts) = (0usize, vec![0usize; words.len()]);
        for text in said {
            all += 1;
            let folded = text.to_lowercase();
            let said = words_of(&folded).collect();
            counts.iter_mut().zip(&words).for_each(|(count, word)| *count += usize::from(word.is_in(&folded, &said)));
        }
        // What no text holds counts as what one does: it may be a word of the question, not of the answer.
        let weight = |count: usize| ((1.0 + all as f32) / (0.5 + count.max(1) as f32)).ln().max(0.01);
        words.iter_mut().zip(counts).for_each(|(word, count)| word.weight = weight(count));
        let all = words.iter().map(|word| word.weight).sum();
        Self { words, all }
    }

    /// The share of them, by weight, that `text` holds, 0 to 1.
    fn share_in(&self, text: &str) -> f32 {
        let folded = text.to_lowercase();
        let said = words_of(&folded).collect();
        let held: f32 = self.words.iter().filter(|word| word.is_in(&folded, &said)).map(|word| word.weight).sum();
        if self.all > 0.0 { (held / self.all).min(1.0) } else { 0.0 }
    }
}

/// Runs of letters and digits.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Whether `letter` is of a script that writes words without spaces between.
fn is_spaceless(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests;
