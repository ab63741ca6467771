//! Choices: both scorers, controls of frame order and of texts, and rankings.

use super::{EvalRun, Evaluation, Measurement};
use crate::Result;
use crate::eval::choice::{ChoiceMetrics, ChoiceSet, Measured, ModelScorer, ScorerFigures, measure, ranking};
use crate::eval::report::Metrics;
use crate::eval::{ClipPlan, EvalModel, FrameOrder, dump, protocol};
use crate::weights::open_svitt;
use std::time::Instant;
use svitt_ops::SvittBackend;

impl EvalRun<'_> {
    pub(super) fn choices<B: SvittBackend>(mut self, device: &B::Device) -> Result<Evaluation> {
        let benchmark = self.options.benchmark;
        let set = ChoiceSet::new(benchmark, &self.benchmark_data.records, self.options.limit);
        let videos = self.videos(&set.videos)?;
        let texts = self.ids(set.texts.iter().map(String::as_str));
        let mut opened = open_svitt::<B>(&self.options.checkpoint, None, device)?;
        opened.model.video = self.options.budget.apply(opened.model.video, device)?;
        opened.model = opened.model.with_precision(self.options.precision);
        self.config.video.clone_from(opened.model.video.config());
        let started = Instant::now();
        let encoding = self.options.encoding();
        let cache = |plan: &ClipPlan| {
            let store = self.store(plan, set.videos.len())?;
            Ok(store.folder().is_some().then_some(store))
        };
        let mut scorer = ModelScorer {
            model: EvalModel { model: &opened.model, config: &self.config, device },
            texts: &texts,
            videos: &*videos,
            plan: &self.plan,
            encoding: &encoding,
            score: &self.score,
            cache: &cache,
        };
        let measured = measure(&set, &mut scorer, self.plan.order)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut probes = Vec::new();
        for order in self.controls() {
            let control = measure(&set, &mut scorer, order)?;
            let accuracy = |outcomes| ScorerFigures::of(&set, outcomes).accuracy.overall.accuracy;
            probes.push((order, [&control.itc, &control.itm].map(accuracy)));
        }
        let metrics = choice_metrics(&set, &measured, &probes, ranking(benchmark, &set, &measured.scored));
        let counts = [set.videos.len(), set.questions.len()];
        let coverage = &measured.scored.coverage;
        let task = protocol::choices(&set, &texts, self.cut(&set));
        let report = self.report(&Measurement { counts, coverage, seconds }, task, metrics, None);
        Ok(Evaluation { report, queries: dump::choices(&set, &measured) })
    }

    /// The orders of frames that a score is held against: always all three.
    fn controls(&self) -> impl Iterator<Item = FrameOrder> + use<> {
        let wanted = self.plan.order == FrameOrder::None;
        FrameOrder::ALL.into_iter().filter(move |order| wanted && *order != FrameOrder::None)
    }

    /// Texts that are longer than the limit and lose their ends.
    fn cut(&self, set: &ChoiceSet) -> usize {
        let most = self.protocol.max_text.min(self.config.text.max_positions);
        set.texts.iter().filter(|text| self.tokenizer.encode(text, most).too_long).count()
    }
}

fn choice_metrics(
    set: &ChoiceSet,
    measured: &Measured,
    probes: &[(FrameOrder, [f64; 2])],
    ranking: Option<serde_json::Value>,
) -> Metrics {
    Metrics {
        choice: Some(ChoiceMetrics::of(set, measured, probes)),
        pairs: measured.itc.twins,
        pairs_itm: measured.itm.twins,
        ranking,
        ..Metrics::default()
    }
}
