//! Question answering: every question ranks the answer list; frame-order probes.

use super::{EvalRun, Evaluation, Measurement};
use crate::Result;
use crate::data::shapes::QuestionKind;
use crate::eval::report::{Metrics, ProbeFigures, percents, rounded};
use crate::eval::{
    Candidates, ClipPlan, EvalInputs, EvalModel, FrameOrder, QuestionOutcome, QuestionSet, dump, evaluate_questions,
    protocol,
};
use crate::model::SvittQa;
use crate::weights::open_qa;
use std::time::Instant;
use svitt_ops::SvittBackend;

impl EvalRun<'_> {
    pub(super) fn answers<B: SvittBackend>(mut self, device: &B::Device) -> Result<Evaluation> {
        let asked = QuestionSet::new(&self.benchmark_data.records, self.options.limit);
        let videos = self.videos(&asked.videos)?;
        let texts = self.ids(asked.questions.iter().map(|question| question.text.as_str()));
        let (candidates, source) = self.candidates()?;
        let qa = self.open_question_model::<B>(device)?;
        self.require_shards(&*videos, |plan| self.store(plan, videos.len()))?;
        let model = EvalModel { model: &qa, config: &self.config, device };
        let started = Instant::now();
        let measure = |order: FrameOrder| -> Result<QuestionOutcome> {
            let (plan, encoding) = (ClipPlan { order, ..self.plan }, self.options.encoding());
            let inputs =
                EvalInputs { texts: &texts, videos: &*videos, plan: &plan, encoding: &encoding, score: &self.score };
            let mut store = self.store(&plan, asked.videos.len())?;
            evaluate_questions(&model, &asked, &candidates, &inputs, &mut store)
        };
        let outcome = measure(self.plan.order)?;
        let seconds = started.elapsed().as_secs_f64();
        let probes = self.probes().map(|order| measure(order).map(|probe| (order, probe)));
        let metrics = self.answer_metrics(&outcome, &probes.collect::<Result<Vec<_>>>()?);
        let counts = [asked.videos.len(), asked.questions.len()];
        let protocol = protocol::answers(outcome.k, candidates.texts.len(), &source, candidates.tokens);
        let measured = Measurement { counts, coverage: &outcome.coverage, seconds };
        let report = self.report(&measured, protocol, metrics, None)?;
        Ok(Evaluation { report, queries: dump::answers(&asked, &candidates, &outcome) })
    }

    /// The model, as sparse and as precise as it is to be evaluated.
    pub(super) fn open_question_model<B: SvittBackend>(&mut self, device: &B::Device) -> Result<SvittQa<B>> {
        let mut model = open_qa::<B>(&self.options.checkpoint, None, device)?.model;
        model.video = self.options.budget.apply(model.video, device)?;
        self.config.video.clone_from(model.video.config());
        Ok(model.with_precision(self.options.precision))
    }

    /// The answers to choose from, and where they came from; warns where they are fewer than k.
    fn candidates(&mut self) -> Result<(Candidates, String)> {
        let (list, source) = self.benchmark_data.answer_list(self.options)?;
        if self.score.k > list.len() {
            let warning = format!("the answer list has {} answers: k is lowered from {}", list.len(), self.score.k);
            log::warn!("{warning}");
            self.benchmark_data.warnings.push(warning);
        }
        let max_answer = self.options.benchmark.protocol().max_answer;
        Ok((Candidates::new(list, &self.tokenizer, max_answer), source))
    }

    fn answer_metrics(&self, outcome: &QuestionOutcome, probes: &[(FrameOrder, QuestionOutcome)]) -> Metrics {
        let mut metrics = Metrics::answers(outcome);
        if self.benchmark_data.shapes.is_some() {
            let chance = QuestionKind::ALL.map(|kind| (kind.name().to_owned(), rounded(kind.chance())));
            metrics.chance_by_type = Some(chance.into_iter().collect());
        }
        for (order, probe) in probes {
            let accuracy = Metrics::answers(probe).accuracy;
            let figures = ProbeFigures { accuracy, by_type: Some(percents(probe)), ..ProbeFigures::default() };
            metrics.probes.insert(order.name().into(), figures);
        }
        metrics
    }
}
