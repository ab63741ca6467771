//! Clips with captions, drawn by index without end; nothing is stored.

use super::world::{draw_program, stream};
use super::{ClipContent, MotionProgram, RenderedClip, ShapesConfig, ShapesSplit, World, caption, paraphrases, render};
use crate::Result;
use crate::data::{Item, ItemResult};
use burn_dataset::Dataset;

/// `items` items of one split; item `i` is a function of seed and `i` only.
#[derive(Clone, Debug)]
pub struct ShapesDataset {
    config: ShapesConfig,
    split: ShapesSplit,
    indices: Vec<usize>,
    items: usize,
    seed: u64,
    clips_per_object: usize,
}

impl ShapesDataset {
    /// `items` clips of `split`, of which the model sees `frames` frames each.
    ///
    /// # Errors
    /// [`ShapesConfig::validate`]'s.
    pub fn new(config: &ShapesConfig, split: ShapesSplit, frames: usize, items: usize, seed: u64) -> Result<Self> {
        config.validate(frames)?;
        let indices = config.view.indices(config.frames, frames);
        Ok(Self { config: config.clone(), split, indices, items, seed, clips_per_object: 1 })
    }

    /// The same stretch with `clips` items in a row showing one object, with programs drawn without repetition: a
    /// batch of such rows holds the captions that only time tells apart.
    #[must_use]
    pub fn with_clips_per_object(self, clips: usize) -> Self {
        Self { clips_per_object: clips.max(1), ..self }
    }

    /// What item `index` shows and the wording of its caption. Programs are uniform over all allowed ones, objects
    /// uniform; in training, combinations that are held out are drawn again.
    pub fn triple(&self, index: usize) -> (ClipContent, usize) {
        if self.clips_per_object > 1 {
            return self.triple_of_row(index);
        }
        let mut rng = stream(self.seed, self.number(index), "triple");
        loop {
            let program = draw_program(&self.config.segments, &mut rng);
            let triple = ClipContent::of(rng.below(ClipContent::OBJECTS), program);
            if self.split != ShapesSplit::Train || !triple.held_out() {
                let wording = rng.below(paraphrases(&triple.program));
                return (triple, wording);
            }
        }
    }

    /// The same with [`Self::with_clips_per_object`]: the row's first item seeds its object and its programs.
    fn triple_of_row(&self, index: usize) -> (ClipContent, usize) {
        let (row, place) = (index / self.clips_per_object, index % self.clips_per_object);
        let mut rng = stream(self.seed, self.number(row * self.clips_per_object), "row");
        let object = rng.below(ClipContent::OBJECTS);
        let mut triples: Vec<ClipContent> = MotionProgram::all(&self.config.segments)
            .into_iter()
            .map(|program| ClipContent::of(object, program))
            .filter(|triple| self.split != ShapesSplit::Train || !triple.held_out())
            .collect();
        rng.shuffle(&mut triples);
        let triple = triples.swap_remove(place % triples.len());
        let wording = stream(self.seed, self.number(index), "wording").below(paraphrases(&triple.program));
        (triple, wording)
    }

    /// Item `index` as bytes, with its caption.
    pub fn clip(&self, index: usize) -> (RenderedClip, String) {
        let (triple, wording) = self.triple(index);
        let world = World::draw(&self.config, self.seed, self.number(index), &triple, &self.config.segments);
        (render(&world, &self.config, &self.indices), caption(&triple, wording))
    }

    /// Item `index`, ready to be batched.
    pub fn item(&self, index: usize) -> Item {
        let (triple, _) = self.triple(index);
        let (clip, caption) = self.clip(index);
        let media = format!("shapes/{}/{index}", self.split.word());
        Item { frames: clip.normalised(), caption, identity: triple.identity(), index, media }
    }

    fn number(&self, index: usize) -> u64 {
        self.split.worlds().start + index as u64
    }
}

impl Dataset<ItemResult> for ShapesDataset {
    fn get(&self, index: usize) -> Option<ItemResult> {
        (index < self.items).then(|| Ok(self.item(index)))
    }

    fn len(&self) -> usize {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ShapesPreset, paraphrases};
    use super::*;
    use sha2::{Digest, Sha256};
    use std::collections::HashMap;

    fn dataset(preset: ShapesPreset, frames: usize, seed: u64) -> ShapesDataset {
        ShapesDataset::new(&ShapesConfig::preset(preset), ShapesSplit::Train, frames, 500, seed).unwrap()
    }

    fn digest(data: &ShapesDataset, indices: &[usize]) -> String {
        let mut hash = Sha256::new();
        for &index in indices {
            let (clip, caption) = data.clip(index);
            hash.update(&clip.pixels);
            hash.update(caption.as_bytes());
        }
        crate::digest::short(hash)
    }

    #[test]
    fn items_are_these_bytes_on_every_platform() {
        let indices = [0, 1, 17, 499];
        assert_eq!(digest(&dataset(ShapesPreset::Tiny, 4, 0), &indices), "146adf073604907f");
        assert_eq!(digest(&dataset(ShapesPreset::Default, 8, 0), &indices), "2028b9d85d34f19a");
        assert_eq!(digest(&dataset(ShapesPreset::Order, 4, 7), &indices), "9add4226de77200a");
        assert_eq!(digest(&dataset(ShapesPreset::Long, 3, 7), &indices[..2]), "89991aca5d8bdf9e");
        assert_eq!(digest(&dataset(ShapesPreset::LongClips, 32, 7), &indices[..2]), "c28731a4787f88e1");
    }

    #[test]
    fn training_never_shows_what_is_held_out() {
        let data = dataset(ShapesPreset::Default, 8, 5);
        assert!((0..500).all(|i| !data.triple(i).0.held_out()));
        let test =
            ShapesDataset::new(&ShapesConfig::preset(ShapesPreset::Default), ShapesSplit::Test, 8, 500, 5).unwrap();
        let held_out = (0..500).filter(|&i| test.triple(i).0.held_out()).count();
        assert!((70..130).contains(&held_out), "{held_out} of 500 are held out, 100 expected");
        assert_ne!(test.clip(3).0, data.clip(3).0);
    }

    #[test]
    fn programs_and_wordings_are_uniform() {
        let data = dataset(ShapesPreset::Default, 4, 11);
        let mut counts: HashMap<usize, usize> = HashMap::new();
        let mut wordings = [0usize; 4];
        for i in 0..16_000 {
            let (triple, wording) = data.triple(i);
            *counts.entry(triple.program.number()).or_default() += 1;
            wordings[wording] += usize::from(paraphrases(&triple.program) == 4);
        }
        // Programs keep 14 or 15 of their 18 objects: 970 or 1040 expected, standard deviation 31.
        assert!(counts.len() == 16 && counts.values().all(|n| (840..1160).contains(n)), "{counts:?}");
        assert!(wordings.iter().all(|n| (2800..3200).contains(n)), "{wordings:?}");
    }

    #[test]
    fn rows_show_one_object_with_different_programs() {
        let data = dataset(ShapesPreset::Default, 8, 3).with_clips_per_object(12);
        let mut objects = HashMap::new();
        for row in 0..40 {
            let triples: Vec<ClipContent> = (12 * row..12 * row + 12).map(|i| data.triple(i).0).collect();
            let programs: std::collections::HashSet<usize> = triples.iter().map(|t| t.program.number()).collect();
            assert_eq!(programs.len(), 12);
            assert!(triples.iter().all(|t| t.object() == triples[0].object() && !t.held_out()));
            *objects.entry(triples[0].object()).or_insert(0) += 1;
        }
        assert!(objects.len() > 12, "{objects:?}");
    }

    #[test]
    fn equal_meanings_are_positives_of_each_other() {
        let data = dataset(ShapesPreset::Tiny, 4, 2);
        let items: Vec<Item> = (0..400).map(|i| data.item(i)).collect();
        for (i, a) in items.iter().enumerate() {
            for (j, b) in items.iter().enumerate().take(i) {
                assert_eq!(a.identity == b.identity, data.triple(i).0 == data.triple(j).0);
            }
        }
        assert_eq!(items[7].frames.len(), 4 * 3 * 32 * 32);
        assert!(data.get(500).is_none() && data.get(499).is_some_and(|item| item.is_ok()));
    }
}
