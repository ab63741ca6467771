//! When "nothing fits" is the answer. A result's evidence says how far it is above what neutral texts find in the same
//! index: four times the standard deviations that its cosine is above the mean of their best ones, plus the fusion
//! encoder's log-odds of a match where it has looked. Below a threshold the best result does not fit.
//! `calibration.json` in the index directory keeps what is needed.

use super::Embedder;
use super::neutral::NeutralStatistics;
use super::results::SearchResult;
use crate::index::{Index, ModelId};
use crate::{Result, files};
use serde::{Deserialize, Serialize};
use std::path::Path;
use svitt_ops::SvittBackend;

const NAME: &str = "calibration.json";

/// What a deviation of the cosine counts for, in log-odds. By the default checkpoint and the 288 captions of `shapes`,
/// each asked with and without its video, the error at the best threshold is 3.1 % with 1, 2.4 % with 2 and 1.7 % with 4
/// (3.8 % by the log-odds alone, 11.1 % by the cosine alone).
const PER_DEVIATION: f32 = 4.0;

/// The usual thresholds: the best ones of the same captions.
const BOTH: f32 = 4.7;
const VECTORS: f32 = 3.9;

/// What tells scores in one index that fit from those that do not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Hash of the model's weights, configuration, vocabulary and sparsity.
    model: String,
    /// What neutral texts find.
    pub neutral: NeutralStatistics,
    /// What they find among the words of the index, where it holds any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<NeutralStatistics>,
    /// Least evidence of vectors alone.
    pub vectors: f32,
    /// Least evidence of both encoders.
    pub both: f32,
    /// What was measured with these thresholds, where they were measured.
    pub figures: Option<CalibrationFigures>,
}

/// How often a calibrated threshold is wrong, on texts that it was not chosen by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationFigures {
    /// Texts the thresholds were chosen by.
    pub chosen_by: usize,
    /// Other texts they were measured on, each with and without its own videos in the index.
    pub measured_on: usize,
    /// Of both encoders.
    pub both: ErrorRates,
    /// Of vectors alone.
    pub vectors: ErrorRates,
}

/// Wrong answers of a threshold, percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorRates {
    /// Queries for what is not there that got an answer.
    pub false_answers: f64,
    /// Queries for what is there that got none.
    pub misses: f64,
}

/// Whether the best result fits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Whether its evidence reaches the threshold.
    pub fits: bool,
    /// Its evidence; none where nothing was found.
    pub evidence: Option<f32>,
    /// The least that fits.
    pub threshold: f32,
    /// Whether the threshold was measured for this index's model on a manifest, or is the usual one.
    pub calibrated: bool,
}

impl Calibration {
    /// The usual thresholds over `neutral`.
    fn usual(id: &ModelId, neutral: NeutralStatistics) -> Result<Self> {
        Ok(Self { model: key(id)?, neutral, words: None, vectors: VECTORS, both: BOTH, figures: None })
    }

    /// The calibration kept in the index directory `dir`, if it is of model `id`. One that cannot be read counts as none:
    /// it is made again.
    fn read(dir: &Path, id: &ModelId) -> Option<Self> {
        let kept: Self = files::read_json(&dir.join(NAME), "delete it").ok()?;
        (key(id).is_ok_and(|key| key == kept.model)).then_some(kept)
    }

    /// Keeps it in the index directory `dir`.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self, dir: &Path) -> Result<()> {
        files::write_json(&dir.join(NAME), self)
    }

    /// Evidence of a result that both encoders, or the vectors alone, have scored.
    pub(super) fn evidence(&self, clip: &SearchResult) -> f32 {
        PER_DEVIATION * self.neutral.above(clip.cosine) + clip.log_odds.unwrap_or(0.0)
    }

    /// Gives each of `results` its evidence, and says whether the first one fits.
    pub(super) fn judge(&self, results: &mut [SearchResult]) -> Fit {
        results.iter_mut().for_each(|clip| clip.evidence = Some(self.evidence(clip)));
        let best = results.first();
        let both = best.is_some_and(|clip| clip.log_odds.is_some());
        let threshold = if both { self.both } else { self.vectors };
        let evidence = best.and_then(|clip| clip.evidence);
        let fits = evidence.is_some_and(|evidence| evidence >= threshold);
        Fit { fits, evidence, threshold, calibrated: self.figures.is_some() }
    }
}

/// One hash for everything that makes scores comparable.
fn key(id: &ModelId) -> Result<String> {
    let named = ModelId { model: String::new(), ..id.clone() };
    let text = serde_json::to_string(&named).map_err(|problem| crate::Error::Fault(problem.to_string()))?;
    Ok(crate::digest::sha256_hex(text))
}

impl<B: SvittBackend> Embedder<B> {
    /// The calibration of `index`: the kept one, its neutral statistics made anew where the index has grown out of
    /// them; or the usual thresholds. None for an index without clips.
    ///
    /// # Errors
    /// Another model made the index.
    pub fn calibration(&self, index: &Index) -> Result<Option<Calibration>> {
        let kept = Calibration::read(index.dir(), self.id());
        let words = match kept.as_ref().and_then(|kept| kept.words) {
            Some(words) if index.words() > 0 && words.describes(index.words()) => Some(words),
            _ => self.neutral_words(index)?,
        };
        if let Some(kept) = kept.as_ref().filter(|kept| kept.neutral.describes(index.clips())) {
            return Ok(Some(Calibration { words, ..kept.clone() }));
        }
        let Some(neutral) = self.neutral_statistics(index)? else { return Ok(None) };
        let usual = || Calibration::usual(self.id(), neutral);
        let calibration = kept.map_or_else(usual, |kept| Ok(Calibration { neutral, ..kept }))?;
        Ok(Some(Calibration { words, ..calibration }))
    }

    /// Makes the calibration of the index in `dir` and keeps it there, so that queries need not make it.
    ///
    /// # Errors
    /// The index cannot be read, or the disk refuses.
    pub fn keep_calibration(&self, dir: &Path) -> Result<()> {
        let index = Index::open(dir)?;
        let kept = Calibration::read(dir, self.id());
        match self.calibration(&index)? {
            Some(calibration) if kept.as_ref() != Some(&calibration) => calibration.write(dir),
            _ => Ok(()),
        }
    }
}

/// The threshold that errs least on `wanted`, evidence of queries for what is there, and `unwanted`, of queries for what
/// is not: where the worse of both rates is lowest, in the middle of the values that are equally good.
pub(super) fn best_threshold(wanted: &[f32], unwanted: &[f32]) -> f32 {
    let mut values: Vec<f32> = wanted.iter().chain(unwanted).copied().filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f32::total_cmp);
    values.dedup();
    let middles = values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
    let worse = |threshold: f32| {
        let ErrorRates { false_answers, misses } = ErrorRates::of(wanted, unwanted, threshold);
        false_answers.max(misses)
    };
    let scored: Vec<(f32, f64)> = middles.map(|threshold| (threshold, worse(threshold))).collect();
    let least = scored.iter().map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min);
    let best: Vec<f32> = scored.iter().filter(|(_, rate)| *rate <= least).map(|(threshold, _)| *threshold).collect();
    best.get(best.len() / 2).copied().unwrap_or(0.0)
}

impl ErrorRates {
    /// The rates of `threshold`.
    pub(super) fn of(wanted: &[f32], unwanted: &[f32], threshold: f32) -> Self {
        let share = |count: usize, all: usize| 100.0 * count as f64 / all.max(1) as f64;
        let answered = |values: &[f32]| values.iter().filter(|value| **value >= threshold).count();
        Self {
            false_answers: share(answered(unwanted), unwanted.len()),
            misses: share(wanted.len() - answered(wanted), wanted.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_lies_where_the_worse_rate_is_lowest() {
        let (wanted, unwanted) = ([1.0, 3.0, 4.0, 5.0], [0.0, 0.5, 1.5, 2.0]);
        let threshold = best_threshold(&wanted, &unwanted);
        assert!((2.0..3.0).contains(&threshold), "{threshold}");
        assert_eq!(ErrorRates::of(&wanted, &unwanted, threshold), ErrorRates { false_answers: 0.0, misses: 25.0 });
        assert_eq!(ErrorRates::of(&wanted, &unwanted, 0.2).false_answers, 75.0);
    }
}
