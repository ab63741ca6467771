//! Records as choices: distinct clips and texts, and which candidates each choice has.

use super::super::query_sets::Videos;
use super::twins::{Twins, twins};
use crate::data::{Benchmark, Choice, Record};
use std::collections::HashMap;

/// A clip and a text, as positions in a [`ChoiceSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Position in [`ChoiceSet::videos`].
    pub video: usize,
    /// Position in [`ChoiceSet::texts`].
    pub text: usize,
}

/// Candidates of which one belongs together.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoiceQuestion {
    /// The candidates: one clip with several texts, or one text with several clips.
    pub candidates: Vec<Candidate>,
    /// Position of the right one.
    pub right: usize,
    /// Types to report accuracy by.
    pub types: Vec<String>,
    /// The data set's id, or the number of the record from 0.
    pub id: String,
    /// Position in [`ChoiceSet::proficiency`] of a choice that a combined score asks as well.
    pub proficiency: Option<usize>,
}

impl ChoiceQuestion {
    /// Whether the candidates are texts of one clip, so that a text alone may be guessed.
    pub fn is_among_texts(&self) -> bool {
        self.candidates.windows(2).all(|pair| pair[0].video == pair[1].video)
    }
}

/// The choices of a benchmark.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChoiceSet {
    /// Distinct clips; captions are left out.
    pub videos: Vec<Record>,
    /// Distinct texts.
    pub texts: Vec<String>,
    /// What is asked.
    pub questions: Vec<ChoiceQuestion>,
    /// Choices that test the words alone.
    pub proficiency: Vec<ChoiceQuestion>,
    /// Two clips by two texts.
    pub twins: Vec<Twins>,
    /// Clips to be retrieved by a text.
    pub captioned: Vec<Candidate>,
}

#[derive(Default)]
struct SetBuilder {
    videos: Videos,
    numbers: HashMap<String, usize>,
    set: ChoiceSet,
}

impl ChoiceSet {
    /// The choices of the first `limit` records. RTime's are asked from either side: the forward clip among its two
    /// texts, and the forward text among its two clips, as published.
    pub fn new(benchmark: Benchmark, records: &[Record], limit: Option<usize>) -> Self {
        let mut builder = SetBuilder::default();
        for (number, record) in records.iter().enumerate().take(limit.unwrap_or(usize::MAX)) {
            match &record.choice {
                Some(choice) if benchmark == Benchmark::Rtime => builder.add_twins(number, record, choice),
                Some(choice) => builder.add(number, record, choice),
                None => {
                    let video = builder.videos.number(&record.media, record);
                    let captioned = record.captions.iter().map(|caption| (video, caption.clone()));
                    for (video, caption) in captioned.collect::<Vec<_>>() {
                        let text = builder.text(&caption);
                        builder.set.captioned.push(Candidate { video, text });
                    }
                }
            }
        }
        let mut set = ChoiceSet { videos: builder.videos.records, ..builder.set };
        if set.twins.is_empty() {
            set.twins = twins(&set);
        }
        set
    }

    /// Texts that the matching head scores each clip with, by clip.
    pub fn texts_by_video(&self) -> Vec<Vec<usize>> {
        let mut wanted = vec![Vec::new(); self.videos.len()];
        let asked = self.questions.iter().chain(&self.proficiency).flat_map(|question| question.candidates.clone());
        let pairs = self.twins.iter().flat_map(|twins| {
            twins.videos.into_iter().flat_map(|video| twins.texts.map(|text| Candidate { video, text }))
        });
        asked.chain(pairs).for_each(|Candidate { video, text }| wanted[video].push(text));
        for texts in &mut wanted {
            texts.sort_unstable();
            texts.dedup();
        }
        wanted
    }
}

impl SetBuilder {
    fn text(&mut self, text: &str) -> usize {
        let texts = &mut self.set.texts;
        *self.numbers.entry(text.to_owned()).or_insert_with(|| {
            texts.push(text.to_owned());
            texts.len() - 1
        })
    }

    fn add(&mut self, number: usize, record: &Record, choice: &Choice) {
        let video = self.videos.number(&record.media, record);
        let id = record.id.clone().unwrap_or_else(|| number.to_string());
        let among = |builder: &mut Self, texts: &[String]| -> Vec<Candidate> {
            texts.iter().map(|text| Candidate { video, text: builder.text(text) }).collect()
        };
        let proficiency = choice.proficiency.as_ref().map(|pair| {
            let candidates = among(self, pair);
            let types = Vec::new();
            self.set.proficiency.push(ChoiceQuestion {
                candidates,
                right: 0,
                types,
                id: id.clone(),
                proficiency: None,
            });
            self.set.proficiency.len() - 1
        });
        let candidates = among(self, &choice.texts);
        let types = record.types.clone();
        self.set.questions.push(ChoiceQuestion { candidates, right: choice.right, types, id, proficiency });
    }

    fn add_twins(&mut self, number: usize, record: &Record, choice: &Choice) {
        let reversal = Record { reversed: !record.reversed, ..record.clone() };
        let videos = [record, &reversal].map(|record| self.videos.number(&record.media, record));
        let texts = [choice.right, 1 - choice.right.min(1)].map(|at| self.text(&choice.texts[at]));
        self.set.twins.push(Twins { videos, texts });
        let id = record.id.clone().unwrap_or_else(|| number.to_string());
        let [forward, reversed] = videos;
        let from = |kind: &str, candidates: [Candidate; 2]| {
            let types = std::iter::once(kind.to_owned()).chain(record.types.clone()).collect();
            ChoiceQuestion { candidates: candidates.to_vec(), right: 0, types, id: id.clone(), proficiency: None }
        };
        let clip_to_text = from("v2t", texts.map(|text| Candidate { video: forward, text }));
        let text_to_clip = from("t2v", [forward, reversed].map(|video| Candidate { video, text: texts[0] }));
        self.set.questions.extend([clip_to_text, text_to_clip]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtime_asks_from_both_sides_and_shares_clips_and_texts() {
        let record = |id: &str, right: &str, wrong: &str| Record {
            media: format!("{id}.mp4"),
            id: Some(id.into()),
            choice: Some(Choice::pair(right, wrong).into()),
            ..Record::default()
        };
        let set = ChoiceSet::new(Benchmark::Rtime, &[record("1", "up", "down"), record("2", "out", "up")], None);
        assert_eq!((set.videos.len(), set.texts.join(" ")), (4, "up down out".into()));
        assert_eq!(set.videos.iter().map(|video| video.reversed).collect::<Vec<_>>(), [false, true, false, true]);
        let candidates = |at: usize| set.questions[at].candidates.iter().map(|c| (c.video, c.text)).collect::<Vec<_>>();
        assert_eq!((candidates(0), candidates(1)), (vec![(0, 0), (0, 1)], vec![(0, 0), (1, 0)]));
        assert_eq!((candidates(2), set.twins[1]), (vec![(2, 2), (2, 0)], Twins { videos: [2, 3], texts: [2, 0] }));
        assert_eq!(set.texts_by_video(), [vec![0, 1], vec![0, 1], vec![0, 2], vec![0, 2]]);
        assert!(set.questions[0].is_among_texts() && !set.questions[1].is_among_texts());
    }

    #[test]
    fn different_parts_of_one_video_are_different_clips() {
        let record = |then: [f64; 2]| Record {
            media: "a.mp4".into(),
            start: Some(0.0),
            end: Some(1.0),
            then: Some(Box::new(then)),
            choice: Some(
                Choice { texts: ["x", "y", "z"].map(str::to_owned).to_vec(), right: 2, proficiency: None }.into(),
            ),
            ..Record::default()
        };
        let records = [record([1.0, 2.0]), record([2.0, 3.0]), record([1.0, 2.0])];
        let set = ChoiceSet::new(Benchmark::Testoftime, &records, None);
        assert_eq!((set.videos.len(), set.questions.len(), set.texts.len()), (2, 3, 3));
        assert_eq!((set.questions[2].id.as_str(), set.questions[2].candidates[0].video), ("2", 0));
        assert_eq!(ChoiceSet::new(Benchmark::Testoftime, &records, Some(1)).questions.len(), 1);
    }
}
