//! Retrieval: the two encoders, re-ranking, frame-order probes, and what only a generated gallery tells.

use super::{EvalRun, Evaluation, Measurement, is_fine_tuned};
use crate::Result;
use crate::eval::paper::{PaperSetting, paper_row};
use crate::eval::report::{Metrics, ProbeFigures};
use crate::eval::{
    ClipPlan, EvalInputs, EvalModel, FrameOrder, RetrievalOutcome, RetrievalSet, ScoreOptions, dump,
    evaluate_retrieval, protocol, shapes,
};
use crate::model::Svitt;
use crate::weights::open_svitt;
use serde_json::Value;
use std::time::Instant;
use svitt_ops::SvittBackend;

impl EvalRun<'_> {
    pub(super) fn retrieval<B: SvittBackend>(mut self, device: &B::Device) -> Result<Evaluation> {
        let paragraph = self.options.benchmark.protocol().paragraph;
        let ranked = RetrievalSet::new(&self.benchmark_data.records, paragraph, self.options.limit);
        let videos = self.videos(&ranked.videos)?;
        let texts = self.ids(ranked.texts.iter().map(String::as_str));
        let svitt = self.open_retrieval_model::<B>(device)?;
        self.require_shards(&*videos, |plan| self.store(plan, videos.len()))?;
        let model = EvalModel { model: &svitt, config: &self.config, device };
        let started = Instant::now();
        let measure = |order: FrameOrder, k: usize| -> Result<RetrievalOutcome> {
            let (plan, score) = (ClipPlan { order, ..self.plan }, ScoreOptions { k, ..self.score });
            let encoding = self.options.encoding();
            let inputs =
                EvalInputs { texts: &texts, videos: &*videos, plan: &plan, encoding: &encoding, score: &score };
            evaluate_retrieval(&model, &ranked, &inputs, &mut self.store(&plan, ranked.videos.len())?)
        };
        let outcome = measure(self.plan.order, self.score.k)?;
        let seconds = started.elapsed().as_secs_f64();
        let probes = self.probes().map(|order| measure(order, 0).map(|probe| (order, probe)));
        let metrics = self.retrieval_metrics(&outcome, &probes.collect::<Result<Vec<_>>>()?, &svitt, device)?;
        let k = [outcome.scores.k_texts, outcome.scores.k_videos];
        let counts = [ranked.videos.len(), ranked.texts.len()];
        let measured = Measurement { counts, coverage: &outcome.coverage, seconds };
        let paper = self.paper(&measured);
        let protocol = protocol::retrieval(k, ranked.captions_per_video(), paragraph);
        let report = self.report(&measured, protocol, metrics, paper)?;
        Ok(Evaluation { report, queries: dump::retrieval(&ranked, &outcome) })
    }

    /// The model, as sparse and as precise as it is to be evaluated.
    pub(super) fn open_retrieval_model<B: SvittBackend>(&mut self, device: &B::Device) -> Result<Svitt<B>> {
        let mut model = open_svitt::<B>(&self.options.checkpoint, None, device)?.model;
        model.video = self.options.budget.apply(model.video, device)?;
        self.config.video.clone_from(model.video.config());
        Ok(model.with_precision(self.options.precision))
    }

    fn retrieval_metrics<B: SvittBackend>(
        &self,
        outcome: &RetrievalOutcome,
        probes: &[(FrameOrder, RetrievalOutcome)],
        model: &Svitt<B>,
        device: &B::Device,
    ) -> Result<Metrics> {
        let mut metrics = Metrics::retrieval(outcome.metrics(), outcome.dual_metrics());
        for (order, probe) in probes {
            let r1 = Some(probe.dual_metrics().t2v.rounded().r1);
            metrics.probes.insert(order.name().into(), ProbeFigures { r1, ..ProbeFigures::default() });
        }
        if let Some(config) = &self.benchmark_data.shapes {
            let encode = |captions: &[&str]| shapes::features(model, &self.ids(captions.iter().copied()), device);
            let reversed = probes.iter().find(|(order, _)| *order == FrameOrder::Reverse).map(|(_, probe)| probe);
            metrics.shapes = Some(shapes::figures(config, self.plan.test_frames(), outcome, reversed, &encode)?);
        }
        Ok(metrics)
    }

    /// The paper's row, where it was made in this setting.
    fn paper(&self, measured: &Measurement<'_>) -> Option<Value> {
        paper_row(&PaperSetting {
            benchmark: self.options.benchmark,
            model: &self.config,
            fine_tuned: is_fine_tuned(&self.info),
            counts: measured.counts,
            published_protocol: self.options.is_published_protocol() && measured.coverage.missing.is_empty(),
        })
    }
}
