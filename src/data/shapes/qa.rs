//! `shapes-qa`: questions with balanced answers, so that the question alone gives chance accuracy.

use super::program::SegmentTiming;
use super::question::{QuestionKind, ask, ask_more, named};
use super::world::{draw_steps, stream};
use super::{Colour, Direction, MovingShape, Shape, ShapesConfig, ShapesSplit, World, render};
use crate::data::Record;
use crate::{Error, Result};
use burn_dataset::Dataset;
use svitt_ops::rng::Rng;

/// A clip, a question and its one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct QaItem {
    /// Normalised pixels `[frames, 3, px, px]`.
    pub frames: Vec<f32>,
    /// The question, in words of [`super::vocab`].
    pub question: String,
    /// The answer, one word of [`super::answers`].
    pub answer: String,
    /// What it is about.
    pub kind: QuestionKind,
    /// Position in the set.
    pub index: usize,
}

/// Questions about the worlds of one split; item `i` is a function of the seed and `i` alone. The kinds take turns
/// and so do each kind's answers: a multiple of 96 items is balanced exactly.
#[derive(Clone, Debug)]
pub struct QaSet {
    config: ShapesConfig,
    split: ShapesSplit,
    indices: Vec<usize>,
    items: usize,
    seed: u64,
}

/// What was drawn for an item before anything is rendered.
struct QaDraw {
    question: String,
    answer: &'static str,
    targets: Vec<MovingShape>,
    about: QuestionContext,
}

/// What further questions can be about.
enum QuestionContext {
    /// Colour, shape and walk of the one target.
    Walk([&'static str; 2], Vec<Direction>),
    /// The question about two movers with the other one named first.
    Pair(String),
}

impl QaSet {
    /// `items` questions of `split` about clips of which the model sees `frames` frames. All questions can be answered
    /// only if that is the whole clip: then every answer follows from the frames in order.
    ///
    /// # Errors
    /// [`ShapesConfig::validate`]'s, and clips too short for three turns.
    pub fn new(config: &ShapesConfig, split: ShapesSplit, frames: usize, items: usize, seed: u64) -> Result<Self> {
        config.validate(frames)?;
        if (1..=4).any(|segments| config.switches.lengths(config.frames - 1, segments).is_empty()) {
            let problem = format!("{} frames are too few for the three turns that questions count", config.frames);
            return Err(Error::setting("shapes.frames", problem, "use 8 frames"));
        }
        let indices = config.view.indices(config.frames, frames);
        Ok(Self { config: config.clone(), split, indices, items, seed })
    }

    /// What item `index` asks about.
    pub fn kind(&self, index: usize) -> QuestionKind {
        QuestionKind::ALL[index % QuestionKind::ALL.len()]
    }

    /// Item `index`.
    pub fn item(&self, index: usize) -> QaItem {
        let QaDraw { question, answer, targets, .. } = self.draw(index);
        let config = &self.config;
        let world = World::around(config, self.seed, self.number(index), targets, &config.segments);
        let frames = render(&world, config, &self.indices).normalised();
        QaItem { frames, question, answer: answer.into(), kind: self.kind(index), index }
    }

    /// Item `index` as a line of a manifest, without its frames.
    pub fn record(&self, index: usize) -> Record {
        let QaDraw { question, answer, .. } = self.draw(index);
        self.asked(index, self.kind(index), question, answer)
    }

    /// Item `index` and further questions about its clip, `most` in all at most, as lines of a manifest. Only the first
    /// belongs to the balanced set: the others are for training.
    pub fn records(&self, index: usize, most: usize) -> Vec<Record> {
        let QaDraw { question, answer, about, .. } = self.draw(index);
        let mut rng = stream(self.seed, self.number(index), "further questions");
        let more = match about {
            QuestionContext::Walk(who, directions) => ask_more(who, &directions, &mut rng),
            QuestionContext::Pair(question) => vec![(QuestionKind::MovesFirst, question, answer)],
        };
        let more = more.into_iter().filter(|(_, other, _)| *other != question);
        let more: Vec<Record> =
            more.map(|(kind, question, answer)| self.asked(index, kind, question, answer)).collect();
        let first = self.asked(index, self.kind(index), question, answer);
        std::iter::once(first).chain(more).take(most).collect()
    }

    fn asked(&self, index: usize, kind: QuestionKind, question: String, answer: &str) -> Record {
        let needs = if kind.temporal() { "temporal" } else { "static" };
        Record {
            media: format!("shapes-qa/{}/{index}", self.split.word()),
            question: Some(question),
            answers: vec![answer.into()],
            types: vec![kind.name().into(), needs.into()],
            id: Some(index.to_string()),
            ..Record::default()
        }
    }

    /// A namespace of its own: questions never share a world with captions.
    fn number(&self, index: usize) -> u64 {
        self.split.worlds().start + (1 << 39) + index as u64
    }

    fn draw(&self, index: usize) -> QaDraw {
        let mut rng = stream(self.seed, self.number(index), "question");
        let kind = self.kind(index);
        let turn = index / QuestionKind::ALL.len();
        let choice = turn % kind.choices();
        let mut colour = Colour::ALL[rng.below(6)];
        let mut shape = Shape::ALL[rng.below(3)];
        match kind {
            QuestionKind::MovesFirst => return self.draw_pair(choice == 0, &mut rng),
            QuestionKind::Colour => colour = Colour::ALL[choice],
            QuestionKind::Shape => shape = Shape::ALL[choice],
            _ => {}
        }
        let who = [colour.word(), shape.word()];
        let (question, answer, program) = ask(kind, turn, who, &mut rng);
        let steps = draw_steps(&self.config, &program, &mut rng);
        let target = MovingShape::draw(&self.config, colour.rgb(), shape, steps, &mut rng);
        QaDraw {
            question,
            answer,
            targets: vec![target],
            about: QuestionContext::Walk(who, program.directions().to_vec()),
        }
    }

    /// Two objects that move one after the other; `named_first` says whether the question names the mover first.
    fn draw_pair(&self, named_first: bool, rng: &mut Rng) -> QaDraw {
        let moves = self.config.frames - 1;
        let lengths = SegmentTiming::Balanced.lengths(moves, 2);
        let turn = lengths[rng.below(lengths.len())][0];
        let colour = rng.below(6);
        let colours = [colour, (colour + 1 + rng.below(5)) % 6].map(|c| Colour::ALL[c]);
        let objects = colours.map(|colour| (colour, Shape::ALL[rng.below(3)]));
        let movers = [0..turn, turn..moves].map(|span| {
            let direction = Direction::ALL[rng.below(4)];
            (0..moves).map(|i| span.contains(&i).then_some(direction)).collect::<Vec<_>>()
        });
        let mut targets: Vec<MovingShape> = objects
            .iter()
            .zip(movers)
            .map(|(&(colour, shape), steps)| MovingShape::draw(&self.config, colour.rgb(), shape, steps, rng))
            .collect();
        let answer = colours[0].word();
        let [mover, other] = objects.map(|(colour, shape)| named(colour, shape));
        let [one, two] = if named_first { [mover, other] } else { [other, mover] };
        let ask = |one: &str, two: &str| format!("which moves first the {one} or the {two}");
        let (question, about) = (ask(&one, &two), QuestionContext::Pair(ask(&two, &one)));
        // Which object is painted over the other where they meet must not reveal which moves first.
        if rng.below(2) == 0 {
            targets.reverse();
        }
        QaDraw { question, answer, targets, about }
    }
}

impl Dataset<QaItem> for QaSet {
    fn get(&self, index: usize) -> Option<QaItem> {
        (index < self.items).then(|| self.item(index))
    }

    fn len(&self) -> usize {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::{LONGEST_QUESTION, answers};
    use super::super::{ShapesPreset, vocab};
    use super::*;
    use std::collections::{BTreeMap, HashMap};

    fn set(items: usize) -> QaSet {
        QaSet::new(&ShapesConfig::preset(ShapesPreset::Default), ShapesSplit::Train, 8, items, 4).unwrap()
    }

    #[test]
    fn answers_are_balanced_exactly() {
        let set = set(960);
        let mut counts: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
        for index in 0..set.len() {
            let record = set.record(index);
            *counts.entry(set.kind(index).name()).or_default().entry(record.answers[0].clone()).or_default() += 1;
        }
        for kind in QuestionKind::ALL.into_iter().filter(|&kind| kind != QuestionKind::MovesFirst) {
            let of = &counts[kind.name()];
            let distinct = if kind == QuestionKind::DirectionAfter { 4 } else { kind.choices() };
            assert_eq!(of.len(), distinct, "{kind:?}");
            assert!(of.values().all(|&n| n == 120 / distinct), "{kind:?}: {of:?}");
        }
        assert_eq!(counts["moves_first"].len(), 6);
    }

    #[test]
    fn the_question_alone_is_worth_chance() {
        let set = set(96_000);
        let mut groups: HashMap<(QuestionKind, String), HashMap<String, usize>> = HashMap::new();
        for index in 0..set.len() {
            let record = set.record(index);
            let (question, kind) = (record.question.unwrap(), set.kind(index));
            // Which object is named is random; what a guesser could use are the other words, or the place of a colour.
            let answer = match kind {
                QuestionKind::MovesFirst => (question.split(' ').nth(4) == Some(&record.answers[0])).to_string(),
                _ => record.answers[0].clone(),
            };
            let words = |word: &&str| Colour::ALL.iter().all(|c| c.word() != *word);
            let asked: Vec<&str> = question.split(' ').filter(words).collect();
            *groups.entry((kind, asked.join(" "))).or_default().entry(answer).or_default() += 1;
        }
        for kind in QuestionKind::ALL {
            let of = || groups.iter().filter(|((k, _), _)| *k == kind).map(|(_, answers)| answers);
            let asked: usize = of().flat_map(|answers| answers.values()).sum();
            let right: usize = of().filter_map(|answers| answers.values().max()).sum();
            let accuracy = 100.0 * right as f64 / asked as f64;
            assert!(accuracy < kind.chance() + 3.0, "{kind:?}: {accuracy} of {}", kind.chance());
        }
    }

    #[test]
    fn answers_are_what_happens() {
        let set = set(800);
        for index in 0..800 {
            let QaDraw { question, answer, targets, .. } = set.draw(index);
            let mut walk: Vec<Direction> = targets[0].steps.iter().flatten().copied().collect();
            walk.dedup();
            let words: Vec<&str> = question.split(' ').collect();
            let place = |word: &str| walk.iter().position(|d| d.word() == word);
            match set.kind(index) {
                QuestionKind::FirstDirection => assert_eq!(walk[0].word(), answer),
                QuestionKind::LastDirection => assert_eq!(walk[walk.len() - 1].word(), answer),
                QuestionKind::DirectionAfter => assert_eq!(walk[place(words[9]).unwrap() + 1].word(), answer),
                QuestionKind::Before => assert_eq!(answer == "yes", place(words[5]) < place(words[8])),
                QuestionKind::Turns => assert_eq!((walk.len() - 1).to_string(), answer),
                QuestionKind::MovesFirst => {
                    let mover = targets.iter().find(|target| target.steps[0].is_some()).unwrap();
                    let still = targets.iter().find(|target| target.steps[0].is_none()).unwrap();
                    assert!((0..7).all(|i| mover.steps[i].is_some() != still.steps[i].is_some()));
                    assert!(Colour::ALL.iter().any(|c| c.word() == answer && c.rgb() == mover.rgb));
                }
                QuestionKind::Colour | QuestionKind::Shape => assert!(!words.contains(&answer)),
            }
        }
    }

    #[test]
    fn further_questions_are_about_the_same_walk() {
        let set = set(800);
        let mut before = [0usize; 2];
        for index in 0..800 {
            let records = set.records(index, 4);
            assert_eq!(records[0], set.record(index));
            assert_eq!(set.records(index, 1), records[..1]);
            let mut walk: Vec<&str> =
                set.draw(index).targets[0].steps.iter().flatten().map(|direction| direction.word()).collect();
            walk.dedup();
            for record in &records[1..] {
                let (question, answer) = (record.question.as_deref().unwrap(), record.answers[0].as_str());
                assert_ne!(Some(question), records[0].question.as_deref());
                let words: Vec<&str> = question.split(' ').collect();
                let place = |word: &str| walk.iter().position(|direction| *direction == word).unwrap();
                match record.types[0].as_str() {
                    "first_direction" => assert_eq!(answer, walk[0]),
                    "last_direction" => assert_eq!(answer, walk[walk.len() - 1]),
                    "direction_after" => assert_eq!(answer, walk[place(words[9]) + 1]),
                    "turns" => assert_eq!(answer, (walk.len() - 1).to_string()),
                    "before" => {
                        assert_eq!(answer == "yes", place(words[5]) < place(words[8]));
                        before[usize::from(answer == "yes")] += 1;
                    }
                    other => {
                        assert_eq!((other, set.kind(index)), ("moves_first", QuestionKind::MovesFirst));
                        assert_eq!(answer, records[0].answers[0]);
                    }
                }
            }
        }
        assert!(before.iter().all(|&count| count > 100) && before[0].abs_diff(before[1]) < 60, "{before:?}");
    }

    #[test]
    fn questions_use_known_words() {
        let set = set(400);
        for index in 0..400 {
            let record = set.record(index);
            let question = record.question.unwrap();
            assert!(question.split(' ').all(|word| vocab::id(word).is_some()), "{question}");
            let tokens = 1 + question.split(' ').count();
            assert!(tokens <= LONGEST_QUESTION, "{question}");
            assert!(answers().contains(&record.answers[0].as_str()));
        }
        assert_eq!(answers().len(), 19);
        assert!(answers().iter().all(|answer| vocab::id(answer).is_some()));
        assert_eq!(set.item(5).frames.len(), 8 * 3 * 32 * 32);
    }

    #[test]
    fn short_clips_are_refused() {
        let error = QaSet::new(&ShapesConfig::preset(ShapesPreset::Tiny), ShapesSplit::Val, 4, 8, 0).unwrap_err();
        assert!(error.to_string().contains("shapes.frames"), "{error}");
    }
}
