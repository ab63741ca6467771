//! What only a generated gallery can tell: held-out combinations, twins, ceilings.

use super::metrics::{TwinScores, twin_scores};
use super::report::{ShapesFigures, rounded};
use super::{RetrievalOutcome, TextBank};
use crate::Result;
use crate::data::shapes::{Gallery, ShapesConfig};
use crate::model::Svitt;
use svitt_ops::SvittBackend;

/// Shared-space features `[texts, e]` of `texts`.
pub fn features<B: SvittBackend>(model: &Svitt<B>, texts: &[Vec<i64>], device: &B::Device) -> Vec<f32> {
    TextBank::encode(model, texts, 96, device).features
}

/// The figures of `outcome` on the gallery of `config` at `frames` frames; `reversed` is the same with frames played
/// backwards, `encode` makes shared-space features of captions.
///
/// # Errors
/// Settings that do not fit together.
pub fn figures(
    config: &ShapesConfig,
    frames: usize,
    outcome: &RetrievalOutcome,
    reversed: Option<&RetrievalOutcome>,
    encode: &dyn Fn(&[&str]) -> Vec<f32>,
) -> Result<ShapesFigures> {
    let gallery = Gallery::new(config, frames)?;
    let best_ranks = outcome.dual[0].best_ranks();
    let seen: Vec<bool> = gallery.entries().iter().map(|entry| entry.seen).collect();
    let recall = |wanted| rounded(recall_among(best_ranks, &seen, wanted).unwrap_or(0.0));
    let whole = best_ranks.len() == gallery.entries().len();
    let ceilings = if whole { Some(gallery.ceilings()?) } else { None };
    let twins = reversed.filter(|_| whole).map(|reversed| {
        let twins = gallery.twins();
        let captions: Vec<&str> = twins.iter().map(|twin| twin.reversed_caption.as_str()).collect();
        let other = encode(&captions);
        let width = outcome.text_features.len() / best_ranks.len().max(1);
        let entries: Vec<usize> = twins.iter().map(|twin| twin.entry).collect();
        let clips = [&*outcome.video_features, &*reversed.video_features];
        reversed_twins(&entries, clips, [&outcome.text_features, &other], width)
    });
    Ok(ShapesFigures { r1_seen: recall(true), r1_unseen: recall(false), twins, ceilings })
}

/// The share of texts whose own clip comes first, percent, among those whose `seen` is `wanted`; none where there are
/// none. `best_ranks` are 0 for the first, by text.
pub(crate) fn recall_among(best_ranks: &[Option<usize>], seen: &[bool], wanted: bool) -> Option<f64> {
    let of = best_ranks.iter().zip(seen).filter(|(_, seen)| **seen == wanted);
    let (hits, all) = of.fold((0, 0), |(hits, all), (place, _)| (hits + usize::from(*place == Some(0)), all + 1));
    (all > 0).then(|| 100.0 * hits as f64 / f64::from(all))
}

/// Clips and their reverses against their captions and those of the reverses. `clips` are the features `[clips, width]`
/// of the gallery played forwards and backwards, `texts` those of its captions and, `[entries, width]`, of the reversed
/// captions of `entries`.
pub(crate) fn reversed_twins(entries: &[usize], clips: [&[f32]; 2], texts: [&[f32]; 2], width: usize) -> TwinScores {
    let row = |features: &[f32], index: usize| features[index * width..(index + 1) * width].to_vec();
    let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    twin_scores(entries.iter().enumerate().map(|(index, &entry)| {
        let texts = [row(texts[0], entry), row(texts[1], index)];
        clips.map(|clips| row(clips, entry)).map(|clip| [dot(&clip, &texts[0]), dot(&clip, &texts[1])])
    }))
}
