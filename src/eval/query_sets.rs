//! Records as retrieval or QA sets: distinct videos, texts, and which belong together.

use super::GroundTruth;
use crate::data::Record;
use std::collections::HashMap;

/// Captions and videos to be ranked against each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetrievalSet {
    /// One record per distinct video or span of one; captions are left out.
    pub videos: Vec<Record>,
    /// Every caption, duplicates included: each is a query.
    pub texts: Vec<String>,
    /// (text, video), as positions in the above.
    pub pairs: Vec<(usize, usize)>,
}

/// A question about a video.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// Position of its video in [`QuestionSet::videos`].
    pub video: usize,
    /// The question.
    pub text: String,
    /// What annotators answered.
    pub answers: Vec<String>,
    /// Types to report accuracy by.
    pub types: Vec<String>,
    /// The data set's id, or its number.
    pub id: String,
}

/// Questions about videos.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuestionSet {
    /// One record per distinct video or span of one.
    pub videos: Vec<Record>,
    /// The questions, those about one video next to each other.
    pub questions: Vec<Question>,
}

/// Distinct videos in the order they are met.
#[derive(Default)]
pub(super) struct Videos {
    pub(super) records: Vec<Record>,
    numbers: HashMap<String, usize>,
}

impl Videos {
    pub(super) fn number(&mut self, media: &str, record: &Record) -> usize {
        let clip = record.clip_of(media);
        *self.numbers.entry(clip.clip_name()).or_insert_with(|| {
            self.records.push(clip);
            self.records.len() - 1
        })
    }
}

/// One record per distinct video or span of one, in the order of `records`; captions are left out.
pub fn distinct_videos(records: &[Record]) -> Vec<Record> {
    let mut videos = Videos::default();
    for record in records {
        for media in record.videos() {
            videos.number(media, record);
        }
    }
    videos.records
}

impl RetrievalSet {
    /// The first `limit` texts of `records`; with `paragraph`, all captions of a record are one text, joined by a
    /// space (DiDeMo). A record's further videos fit its captions as well (SSv2 templates).
    pub fn new(records: &[Record], paragraph: bool, limit: Option<usize>) -> Self {
        let (mut videos, mut subject) = (Videos::default(), Self::default());
        for record in records {
            let texts = if paragraph { vec![record.captions.join(" ")] } else { record.captions.clone() };
            for text in texts {
                if subject.texts.len() >= limit.unwrap_or(usize::MAX) {
                    break;
                }
                let number = subject.texts.len();
                subject.pairs.extend(record.videos().map(|media| (number, videos.number(media, record))));
                subject.texts.push(text);
            }
        }
        Self { videos: videos.records, ..subject }
    }

    /// The truths among the videos for which `kept` holds, renumbered, and the numbers of those videos.
    pub fn truths(&self, kept: impl Fn(usize) -> bool) -> (GroundTruth, Vec<usize>) {
        let present: Vec<usize> = (0..self.videos.len()).filter(|&video| kept(video)).collect();
        let place = |video: usize| present.binary_search(&video).ok();
        let pairs = self.pairs.iter().filter_map(|&(text, video)| Some((text, place(video)?)));
        (GroundTruth::new(self.texts.len(), present.len(), pairs), present)
    }

    /// Fewest and most captions of a video.
    pub fn captions_per_video(&self) -> [usize; 2] {
        let mut counts = vec![0; self.videos.len()];
        self.pairs.iter().for_each(|&(_, video)| counts[video] += 1);
        [counts.iter().min(), counts.iter().max()].map(|count| count.copied().unwrap_or(0))
    }
}

impl QuestionSet {
    /// The first `limit` questions of `records`.
    pub fn new(records: &[Record], limit: Option<usize>) -> Self {
        let mut videos = Videos::default();
        let asked = records.iter().enumerate().filter_map(|(number, record)| {
            let text = record.question.clone()?;
            let id = record.id.clone().unwrap_or_else(|| number.to_string());
            let (answers, types) = (record.answers.clone(), record.types.clone());
            Some((record, Question { video: 0, text, answers, types, id }))
        });
        let mut questions: Vec<Question> = asked
            .take(limit.unwrap_or(usize::MAX))
            .map(|(record, question)| Question { video: videos.number(&record.media, record), ..question })
            .collect();
        questions.sort_by_key(|question| question.video);
        Self { videos: videos.records, questions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(media: &str, captions: &[&str]) -> Record {
        let captions = captions.iter().map(|&caption| caption.into()).collect();
        Record { media: media.into(), captions, ..Record::default() }
    }

    #[test]
    fn videos_are_counted_once_and_captions_every_time() {
        let records = [record("a", &["x", "y"]), record("b", &["x"]), record("a", &["z"])];
        let subject = RetrievalSet::new(&records, false, None);
        assert_eq!((subject.videos.len(), subject.texts.join(" ")), (2, "x y x z".into()));
        assert_eq!(subject.pairs, [(0, 0), (1, 0), (2, 1), (3, 0)]);
        assert_eq!(subject.captions_per_video(), [1, 3]);
        let (truths, present) = subject.truths(|video| video == 1);
        assert_eq!((present, truths.videos_of_text), (vec![1], vec![vec![], vec![], vec![0], vec![]]));
        assert_eq!(RetrievalSet::new(&records, false, Some(2)).videos.len(), 1);
    }

    #[test]
    fn paragraphs_are_joined_and_templates_have_several_videos() {
        let subject = RetrievalSet::new(&[record("a", &["one.", "two."])], true, None);
        assert_eq!(subject.texts, ["one. two."]);
        let template = Record { also: vec!["b".into(), "c".into()], ..record("a", &["t"]) };
        let subject = RetrievalSet::new(&[template], false, None);
        assert_eq!(subject.pairs, [(0, 0), (0, 1), (0, 2)]);
    }

    #[test]
    fn questions_about_one_video_are_adjacent() {
        let ask = |media: &str, question: &str| Record { question: Some(question.into()), ..record(media, &[]) };
        let spans = Record { start: Some(2.0), ..ask("a", "later") };
        let subject = QuestionSet::new(&[ask("a", "1"), ask("b", "2"), spans, ask("a", "3")], None);
        let texts: Vec<&str> = subject.questions.iter().map(|question| question.text.as_str()).collect();
        assert_eq!((texts, subject.videos.len()), (vec!["1", "3", "2", "later"], 3));
        assert_eq!(subject.questions[1].id, "3");
    }
}
