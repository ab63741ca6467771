//! Pruning recall on `shapes`, where it is known which patches the caption speaks of.

use super::analysis::{ClipAnalysis, PrunedBy, analyze_clips};
use super::{FrameStrip, ModelVariant};
use crate::Result;
use crate::data::shapes::Gallery;
use crate::viz::{Chart, Page, Table};
use serde::Serialize;
use svitt_ops::SvittBackend;

/// Clips per forward.
const BATCH: usize = 32;

/// How much of the targets is alive after one pruning layer, means over clips, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageRecall {
    /// Who chose.
    pub by: PrunedBy,
    /// 0-based layer: of the video encoder, or of BERT.
    pub layer: usize,
    /// Share of all patches alive.
    pub kept: f64,
    /// Share of the target's patches alive.
    pub recall: f64,
    /// The same with as many patches drawn at random.
    pub random: f64,
}

/// What [`pruning_recall`] measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecallReport {
    /// Clips of the gallery.
    pub clips: usize,
    /// The sparse model's mode.
    pub mode: String,
    /// Whether the checkpoint was trained like this.
    pub trained: bool,
    /// Pruning layers in the order they act.
    pub stages: Vec<StageRecall>,
}

/// Measures the first `clips` clips of `gallery`, each with its own caption; `encode` turns captions into ids.
///
/// # Errors
/// A gallery whose clips are not the model's.
pub fn pruning_recall<B: SvittBackend>(
    variant: &ModelVariant<B>,
    gallery: &Gallery,
    clips: usize,
    encode: &dyn Fn(&str) -> Vec<i64>,
    device: &B::Device,
) -> Result<RecallReport> {
    let with_random_pruning = variant.with_random_pruning()?;
    let clips = clips.clamp(1, gallery.entries().len());
    let mut sums: Vec<(StageRecall, f64)> = Vec::new();
    for first in (0..clips).step_by(BATCH) {
        let batch: Vec<usize> = (first..clips.min(first + BATCH)).collect();
        let pixels: Vec<f32> = batch.iter().flat_map(|&clip| gallery.clip(clip).normalised()).collect();
        let texts: Vec<Vec<i64>> = batch.iter().map(|&clip| encode(&gallery.entries()[clip].caption)).collect();
        let chosen = analyze_clips(variant, pixels.clone(), &texts, 0, device)?;
        // A new random draw for every batch.
        let drawn = analyze_clips(&with_random_pruning, pixels, &texts, 1 + first as u64, device)?;
        for ((&clip, chosen), drawn) in batch.iter().zip(&chosen).zip(&drawn) {
            add(&mut sums, &gallery.target_patches(clip), chosen, drawn);
        }
    }
    let mean = |(sum, count): (StageRecall, f64)| StageRecall {
        kept: sum.kept / count,
        recall: sum.recall / count,
        random: sum.random / count,
        ..sum
    };
    let stages = sums.into_iter().map(mean).collect();
    Ok(RecallReport { clips, mode: variant.name().into(), trained: variant.trained, stages })
}

fn add(sums: &mut Vec<(StageRecall, f64)>, target: &[bool], chosen: &ClipAnalysis, drawn: &ClipAnalysis) {
    for (number, (stage, random)) in chosen.stages.iter().zip(&drawn.stages).enumerate() {
        if sums.len() == number {
            let zero = StageRecall { by: stage.by, layer: stage.layer, kept: 0.0, recall: 0.0, random: 0.0 };
            sums.push((zero, 0.0));
        }
        let (sum, count) = &mut sums[number];
        sum.kept += stage.count() as f64 / target.len() as f64;
        sum.recall += share_alive(target, &stage.alive);
        sum.random += share_alive(target, &random.alive);
        *count += 1.0;
    }
}

/// Share of `target` that is alive.
fn share_alive(target: &[bool], alive: &[bool]) -> f64 {
    let all = target.iter().filter(|held| **held).count();
    let living = target.iter().zip(alive).filter(|(held, alive)| **held && **alive).count();
    living as f64 / all.max(1) as f64
}

/// The figures as a page, with pictures of some clips: caption, frame_strip, what the sparse model kept, the target's patches.
///
/// # Errors
/// A picture that cannot be encoded.
pub fn recall_page(
    title: &str,
    report: &RecallReport,
    examples: &[(String, FrameStrip, ClipAnalysis, Vec<bool>)],
) -> Result<Page> {
    let mut page = Page::new(title).wide();
    page.paragraph(&format!(
        "How much of the shape that a caption speaks of is still there after each pruning layer of the {} model, over {} \
         clips of the held-out gallery; and how much of it a random choice would keep.{}",
        report.mode,
        report.clips,
        if report.trained { "" } else { " The checkpoint was not trained with this sparsity." }
    ));
    let mut table = Table::new("Percent alive", ["after", "all patches", "target's patches", "random"]);
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    for stage in &report.stages {
        table.row([stage.name(), percent(stage.kept), percent(stage.recall), percent(stage.random)]);
    }
    page.table(&table);
    let line = |value: fn(&StageRecall) -> f64| {
        let stages = report.stages.iter().enumerate().map(move |(n, stage)| [(n + 1) as f64, 100.0 * value(stage)]);
        std::iter::once([0.0, 100.0]).chain(stages).collect::<Vec<_>>()
    };
    let chart = Chart::new("Target patches alive", "pruning layers passed", "percent")
        .line("chosen by the model", line(|stage| stage.recall))
        .line("random", line(|stage| stage.random))
        .from_zero()
        .integer_ticks();
    page.charts(&[chart]);
    for (caption, frame_strip, analysis, target) in examples {
        page.heading(caption);
        let mut pictures =
            vec![(frame_strip.outlined(frame_strip.plain(), target), "the clip, its target outlined".to_owned())];
        pictures.extend(analysis.stages.iter().zip(&report.stages).map(|(stage, of)| {
            let found = 100.0 * share_alive(target, &stage.alive);
            let caption = format!("after {}: {} patches, {found:.0} % of the target", of.name(), stage.count());
            (frame_strip.outlined(frame_strip.alive(&stage.alive), target), caption)
        }));
        let pictures: Vec<_> = pictures.iter().map(|(picture, caption)| (picture, caption.clone())).collect();
        page.side_by_side(&pictures)?;
    }
    Ok(page)
}

impl StageRecall {
    fn name(&self) -> String {
        match self.by {
            PrunedBy::Class => format!("video layer {} (class token)", self.layer + 1),
            PrunedBy::Text => format!("fusion layer {} (text)", self.layer + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::variants;
    use super::*;
    use crate::config::{ModelConfig, NodeSparsity};
    use crate::data::shapes::{ShapesConfig, ShapesPreset};
    use crate::model::Svitt;
    use crate::testing::on_cpu_backends;

    #[test]
    fn recall_counts_the_target_alone() {
        assert_eq!(share_alive(&[true, false, true, false], &[true, true, false, false]), 0.5);
        assert_eq!(share_alive(&[true, true], &[true, true]), 1.0);
    }

    /// Fresh weights know no target: what is kept of it and what random pruning keeps are both near the share of all patches.
    fn random_pruning_keeps_the_same_share_of_target_and_of_all<B: SvittBackend>() {
        let (mut config, device) = (ModelConfig::tiny(4), Default::default());
        config.video.layers = 2;
        config.text.layers = 3;
        config.video.sparsity.node = Some(NodeSparsity::by_class(0.5, &[0]));
        let model = Svitt::<B>::new(&config, 1, &device).unwrap();
        let [_, sparse] = variants(&model, &config, None, Some(0.25)).unwrap();
        let gallery = Gallery::new(&ShapesConfig::preset(ShapesPreset::Tiny), 4).unwrap();
        let report = pruning_recall(&sparse, &gallery, 70, &|_| vec![1, 5, 9], &device).unwrap();
        let stages: Vec<_> = report.stages.iter().map(|s| (s.by, s.layer, s.kept)).collect();
        assert_eq!((report.clips, stages), (70, vec![(PrunedBy::Class, 0, 0.5), (PrunedBy::Text, 2, 0.125)]));
        // 70 clips of 4 target patches: a standard deviation of 3 and 2 points.
        assert!((report.stages[0].random - 0.5).abs() < 0.1, "{report:?}");
        assert!((report.stages[1].random - 0.125).abs() < 0.07, "{report:?}");
    }

    on_cpu_backends!(random_pruning_keeps_the_same_share_of_target_and_of_all);
}
