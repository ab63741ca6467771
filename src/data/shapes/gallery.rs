//! The held-out clips on which every stage is evaluated: one per object and program.

use super::render::target_patches;
use super::{Ceilings, ClipContent, RenderedClip, ShapesConfig, ShapesSplit, World, caption, render};
use crate::Result;
use crate::data::{Item, ItemResult, Record};
use burn_dataset::Dataset;
use svitt_ops::rng::mix;

/// The gallery's own seed, independent of the run's.
const SEED: u64 = 2023;

/// One clip of the gallery.
#[derive(Clone, Debug, PartialEq)]
pub struct GalleryEntry {
    /// What it shows.
    pub triple: ClipContent,
    /// What is said of it; no other entry has this caption.
    pub caption: String,
    /// Whether training may show this combination of object and program (in other clips).
    pub seen: bool,
    wording: usize,
}

/// A clip whose reverse means something else: entry `entry` and its frames played backwards, each with its caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin {
    /// The gallery entry that is played forwards.
    pub entry: usize,
    /// Its caption.
    pub caption: String,
    /// The caption of the frames played backwards, in the same wording.
    pub reversed_caption: String,
}

/// One clip per object and program, ordered by program, then object; fixed but for the frames a model sees of it.
#[derive(Clone, Debug)]
pub struct Gallery {
    config: ShapesConfig,
    indices: Vec<usize>,
    entries: Vec<GalleryEntry>,
}

impl Gallery {
    /// The gallery of `config`, of which a model sees `frames` frames per clip (see [`super::FrameView`]).
    ///
    /// # Errors
    /// [`ShapesConfig::validate`]'s.
    pub fn new(config: &ShapesConfig, frames: usize) -> Result<Self> {
        config.validate(frames)?;
        let entry = |triple: ClipContent| {
            let wording = (mix(triple.identity()) >> 33) as usize;
            GalleryEntry { caption: caption(&triple, wording), seen: !triple.held_out(), triple, wording }
        };
        let (programs, objects) = (config.gallery_programs(), config.gallery_objects());
        let entries = programs
            .iter()
            .flat_map(|program| objects.iter().map(|&object| entry(ClipContent::of(object, program.clone()))))
            .collect();
        Ok(Self { config: config.clone(), indices: config.view.indices(config.frames, frames), entries })
    }

    /// All entries.
    pub fn entries(&self) -> &[GalleryEntry] {
        &self.entries
    }

    /// T: frames a model sees of each clip.
    pub fn frames(&self) -> usize {
        self.indices.len()
    }

    /// The world of entry `index` (below the number of entries): the same for every number of frames and every set of
    /// training programs.
    pub fn world(&self, index: usize) -> World {
        let triple = &self.entries[index].triple;
        let number = ShapesSplit::Test.worlds().start + triple.number() as u64;
        World::draw(&self.config, SEED, number, triple, &self.config.gallery_segments)
    }

    /// The frames of entry `index` (below the number of entries) as bytes.
    pub fn clip(&self, index: usize) -> RenderedClip {
        render(&self.world(index), &self.config, &self.indices)
    }

    /// Which patches hold the target of entry `index`, `[frames · grid · grid]`: for the share of the target's patches
    /// that survive pruning.
    pub fn target_patches(&self, index: usize) -> Vec<bool> {
        target_patches(&self.world(index), &self.config, &self.indices)
    }

    /// Every entry whose reverse has another meaning. Back-and-forth programs (left then right) are their own reverse
    /// and are left out.
    pub fn twins(&self) -> Vec<Twin> {
        let twin = |(entry, of): (usize, &GalleryEntry)| {
            let reversed = of.triple.reversed();
            let reversed_caption = caption(&reversed, of.wording);
            (reversed != of.triple).then(|| Twin { entry, caption: of.caption.clone(), reversed_caption })
        };
        self.entries.iter().enumerate().filter_map(twin).collect()
    }

    /// The highest R@1 that each kind of observer can expect here.
    ///
    /// # Errors
    /// None that [`Gallery::new`] would not have found.
    pub fn ceilings(&self) -> Result<Ceilings> {
        Ceilings::enumerate(&self.config, &self.config.gallery_programs(), self.frames())
    }

    /// A manifest of the gallery as video files `shapes-0000.EXTENSION`, …, in the order of the entries.
    pub fn records(&self, extension: &str) -> Vec<Record> {
        let record = |(index, entry): (usize, &GalleryEntry)| Record {
            media: format!("shapes-{index:04}.{extension}"),
            captions: vec![entry.caption.clone()],
            types: vec![if entry.seen { "seen" } else { "unseen" }.into()],
            id: Some(format!("shapes-{index:04}")),
            ..Record::default()
        };
        self.entries.iter().enumerate().map(record).collect()
    }
}

impl Dataset<ItemResult> for Gallery {
    fn get(&self, index: usize) -> Option<ItemResult> {
        let entry = self.entries.get(index)?;
        Some(Ok(Item {
            frames: self.clip(index).normalised(),
            caption: entry.caption.clone(),
            identity: entry.triple.identity(),
            index,
            media: format!("shapes/gallery/{index}"),
        }))
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ShapesPreset;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_combination_once_with_its_own_caption() {
        for (preset, clips, twins) in [
            (ShapesPreset::Tiny, 216, 144),
            (ShapesPreset::Default, 288, 216),
            (ShapesPreset::Long, 288, 288),
            (ShapesPreset::LongClips, 216, 216),
        ] {
            let gallery = Gallery::new(&ShapesConfig::preset(preset), 4).unwrap();
            assert_eq!(gallery.entries().len(), clips);
            let captions: HashSet<&str> = gallery.entries().iter().map(|entry| entry.caption.as_str()).collect();
            assert_eq!((captions.len(), gallery.twins().len()), (clips, twins));
        }
        let gallery = Gallery::new(&ShapesConfig::preset(ShapesPreset::Default), 8).unwrap();
        let seen = gallery.entries().iter().filter(|entry| entry.seen).count();
        assert_eq!(seen, 230, "58 of 288 are held out");
        assert_eq!(gallery.records("mp4")[7].captions[0], gallery.entries()[7].caption);
    }

    #[test]
    fn stages_of_any_length_see_the_same_world() {
        let config = ShapesConfig::preset(ShapesPreset::Default);
        let first = ShapesConfig { segments: vec![1], ..config.clone() };
        let [short, long] = [Gallery::new(&first, 4).unwrap(), Gallery::new(&config, 8).unwrap()];
        for index in [3, 100, 287] {
            assert_eq!(short.clip(index).frame(0), long.clip(index).frame(2));
            assert_eq!(short.target_patches(index)[..], long.target_patches(index)[32..96]);
            assert_eq!(short.entries()[index], long.entries()[index]);
        }
    }

    #[test]
    fn the_turn_is_inside_the_middle_four_frames() {
        let gallery = Gallery::new(&ShapesConfig::preset(ShapesPreset::Default), 4).unwrap();
        for index in 0..288 {
            let directions = gallery.entries()[index].triple.program.directions().to_vec();
            let steps = gallery.world(index).target().unwrap().steps.clone();
            let mut middle: Vec<_> = steps[2..5].iter().flatten().copied().collect();
            middle.dedup();
            assert_eq!(middle, directions);
        }
    }

    #[test]
    fn twins_are_distinct_captions_of_the_gallery() {
        let gallery = Gallery::new(&ShapesConfig::preset(ShapesPreset::Default), 8).unwrap();
        for twin in gallery.twins() {
            assert_ne!(twin.caption, twin.reversed_caption);
            assert_eq!(twin.caption, gallery.entries()[twin.entry].caption);
            assert_eq!(gallery.clip(twin.entry).reversed().frame(7), gallery.clip(twin.entry).frame(0));
        }
    }
}
