//! A clip and its reversal that are asked to choose between the same two texts.

use super::ChoiceSet;
use std::collections::BTreeMap;

/// A clip and its reversal with their texts, the forward one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twins {
    /// Positions of the clips.
    pub videos: [usize; 2],
    /// Positions of their texts.
    pub texts: [usize; 2],
}

/// A clip and its right text, forwards and backwards.
type Sides = [Option<(usize, usize)>; 2];

/// The twins among the questions of `set`, each once: the right text of one clip is the wrong one of the other.
pub fn twins(set: &ChoiceSet) -> Vec<Twins> {
    let mut asked: BTreeMap<(String, [usize; 2]), Sides> = BTreeMap::new();
    for question in set.questions.iter().filter(|question| question.is_among_texts()) {
        let [one, other] = question.candidates[..] else { continue };
        let clip = &set.videos[one.video];
        let forward = clip.clip_of(&clip.media);
        let name = crate::data::Record { reversed: false, ..forward }.clip_name();
        let texts = [one.text.min(other.text), one.text.max(other.text)];
        let right = question.candidates.get(question.right).map(|candidate| (candidate.video, candidate.text));
        asked.entry((name, texts)).or_default()[usize::from(clip.reversed)] = right;
    }
    let paired = asked.into_values().filter_map(|[forward, reversed]| {
        let ((forward, one), (reversed, other)) = (forward?, reversed?);
        (one != other).then_some(Twins { videos: [forward, reversed], texts: [one, other] })
    });
    paired.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Benchmark, Choice, Record};

    #[test]
    fn only_the_same_texts_with_the_other_one_right_make_twins() {
        let record = |media: &str, reversed, texts: [&str; 2], right| Record {
            media: media.into(),
            reversed,
            choice: Some(Choice { texts: texts.map(str::to_owned).to_vec(), right, proficiency: None }.into()),
            ..Record::default()
        };
        let records = [
            record("a", false, ["up", "down"], 0),
            record("a", true, ["down", "up"], 0),
            record("a", false, ["fast", "slow"], 0),
            record("a", true, ["fast", "slow"], 0),
            record("b", true, ["up", "down"], 1),
        ];
        let set = ChoiceSet::new(Benchmark::Tempcompass, &records, None);
        assert_eq!(set.twins, [Twins { videos: [0, 1], texts: [0, 1] }]);
    }
}
