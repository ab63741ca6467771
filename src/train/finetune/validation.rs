//! Validation that selects the best weights.

use crate::Result;
use crate::config::{ClipEnsemble, ModelConfig};
use crate::eval::{
    Candidates, ClipPlan, ClipSampling, EncodeOptions, EvalInputs, EvalModel, FeatureStore, FrameOrder, Metrics,
    QuestionSet, RetrievalSet, ScoreOptions, VideoSet, evaluate_questions, evaluate_retrieval,
};
use crate::model::{Svitt, SvittQa};
use crate::progress::ProgressSink;
use serde_json::Value;
use svitt_ops::SvittBackend;

/// Seed of the block graphs in validation: the same in every run.
const SEED: u64 = 2023;

/// Retrieval or question answering.
pub enum ValidationKind {
    /// Captions and videos.
    Retrieval(RetrievalSet),
    /// Questions and the answers to choose from.
    Answers(QuestionSet, Candidates),
}

/// A validation split, prepared.
pub struct ValidationTask {
    /// Which texts belong to which videos.
    pub kind: ValidationKind,
    /// Its texts as ids, without padding.
    pub texts: Vec<Vec<i64>>,
    /// Its videos.
    pub videos: Box<dyn VideoSet>,
    /// T.
    pub frames: usize,
    /// Candidates re-ranked, or answers scored in full.
    pub k: usize,
    /// Where its records came from, in words.
    pub source: String,
    /// Who is told how far it is.
    pub progress: ProgressSink,
}

/// The outcome of a validation.
#[derive(Clone, Debug, Default)]
pub struct ValidationScore {
    /// What decides: the mean of R@1, 5 and 10 over both directions, or accuracy; to six decimals.
    pub score: f64,
    /// All figures.
    pub figures: Value,
}

impl ValidationScore {
    /// Rounded to six decimals: a fraction may change its last bit in a JSON round trip, and a resumed run then took an
    /// equal score for a better one (18 of 50 killed runs).
    fn new(percent: f64, metrics: &Metrics) -> Self {
        let figures = serde_json::to_value(metrics).unwrap_or_default();
        Self { score: (percent * 1e6).round() / 1e6, figures }
    }
}

impl ValidationTask {
    /// One clip per video, whatever the test will use: validation only compares checkpoints with each other.
    fn plan(&self) -> ClipPlan {
        ClipPlan { frames: self.frames, clips: 1, sampling: ClipSampling::Contiguous, order: FrameOrder::None }
    }

    fn options(&self) -> (EncodeOptions, ScoreOptions) {
        let progress = self.progress.clone();
        let encoding = EncodeOptions { allow_missing: true, batch: 16, progress, ..EncodeOptions::default() };
        (encoding, ScoreOptions { k: self.k, ensemble: ClipEnsemble::Lse, seed: SEED, batch: 96 })
    }

    fn inputs<'a>(
        &'a self,
        plan: &'a ClipPlan,
        encoding: &'a EncodeOptions,
        score: &'a ScoreOptions,
    ) -> EvalInputs<'a> {
        EvalInputs { texts: &self.texts, videos: &*self.videos, plan, encoding, score }
    }

    /// What is compared, for reports.
    pub fn criterion(&self) -> &'static str {
        match self.kind {
            ValidationKind::Retrieval(_) => "mean of R@1, R@5 and R@10 over both directions, re-ranked",
            ValidationKind::Answers(..) => "accuracy",
        }
    }

    /// Texts and videos that are asked about.
    pub fn counts(&self) -> [usize; 2] {
        [self.texts.len(), self.videos.len()]
    }

    /// Asks a retrieval model.
    ///
    /// # Errors
    /// Clips of another size than the model's.
    pub fn retrieval<B: SvittBackend>(
        &self,
        model: &Svitt<B>,
        config: &ModelConfig,
        device: &B::Device,
    ) -> Result<ValidationScore> {
        let ValidationKind::Retrieval(ranked) = &self.kind else { return Ok(ValidationScore::default()) };
        let (plan, (encoding, score)) = (self.plan(), self.options());
        let inputs = self.inputs(&plan, &encoding, &score);
        let mut store = FeatureStore::in_memory(self.videos.len());
        let outcome = evaluate_retrieval(&EvalModel { model, config, device }, ranked, &inputs, &mut store)?;
        outcome.coverage.warn_missing();
        let (headline, dual) = (outcome.metrics(), outcome.dual_metrics());
        let score = (headline.t2v.mean + headline.v2t.mean) / 2.0;
        Ok(ValidationScore::new(score, &Metrics::retrieval(headline, dual)))
    }

    /// Asks a question answering model.
    ///
    /// # Errors
    /// As [`ValidationTask::retrieval`].
    pub fn answers<B: SvittBackend>(
        &self,
        model: &SvittQa<B>,
        config: &ModelConfig,
        device: &B::Device,
    ) -> Result<ValidationScore> {
        let ValidationKind::Answers(asked, answers) = &self.kind else { return Ok(ValidationScore::default()) };
        let (plan, (encoding, score)) = (self.plan(), self.options());
        let inputs = self.inputs(&plan, &encoding, &score);
        let mut store = FeatureStore::in_memory(self.videos.len());
        let outcome = evaluate_questions(&EvalModel { model, config, device }, asked, answers, &inputs, &mut store)?;
        outcome.coverage.warn_missing();
        Ok(ValidationScore::new(outcome.accuracy.overall().percent, &Metrics::answers(&outcome)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_survives_a_round_trip_through_json() {
        for queries in 1..500 {
            let percent = 100.0 * f64::from(queries / 3) / f64::from(queries);
            let score = ValidationScore::new(percent, &Metrics::default()).score;
            let text = serde_json::to_string(&score).unwrap();
            assert_eq!(serde_json::from_str::<f64>(&text).unwrap(), score, "{text}");
        }
    }
}
