//! `svitt eval`: a checkpoint on a benchmark, from files to report.

use super::material::{Material, tokenizer};
use super::measure::{Examinee, RetrievalExam, RetrievalOutcome, measure_retrieval};
use super::paper::{Setting, paper_row};
use super::protocol::{self, Stated};
use super::report::{EvalReport, Metrics, ProbeFigures, percents};
use super::vqa::{Candidates, QuestionExam, QuestionOutcome, measure_answers};
use super::{
    ClipPlan, EvalOptions, FeatureStore, FrameOrder, QuestionSubject, RetrievalSubject, ScoreOptions, VideoSet,
};
use super::{dump, shapes};
use crate::Result;
use crate::backend::SvittBackend;
use crate::config::ModelConfig;
use crate::data::shapes::QuestionKind;
use crate::data::{Record, Task};
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, CheckpointInfo, open_qa, open_svitt};
use serde_json::{Value, json};
use std::time::Instant;

/// What `origin` of a checkpoint starts with once it is fine-tuned.
pub const FINE_TUNED: &str = "fine-tuned on ";

/// A report, and a line per query.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// The report.
    pub report: EvalReport,
    /// For `--dump`.
    pub queries: Vec<Value>,
}

/// Evaluates as `options` say.
///
/// # Errors
/// Files that are not there or belong elsewhere, a checkpoint for another task, a video that cannot be read.
pub fn evaluate<B: SvittBackend>(options: &EvalOptions, device: &B::Device) -> Result<Evaluation> {
    let job = Job::prepare(options)?;
    match options.benchmark.task() {
        Task::Retrieval => job.retrieval::<B>(device),
        Task::QuestionAnswering => job.answers::<B>(device),
    }
}

/// Everything on the host, checked.
struct Job<'a> {
    options: &'a EvalOptions,
    config: ModelConfig,
    info: CheckpointInfo,
    weights: String,
    plan: ClipPlan,
    score: ScoreOptions,
    material: Material,
    tokenizer: Tokenizer,
}

impl<'a> Job<'a> {
    fn prepare(options: &'a EvalOptions) -> Result<Self> {
        let checkpoint = Checkpoint::open(&options.checkpoint)?;
        let config = checkpoint.info.model.clone();
        let (plan, score) = (options.plan(&config)?, options.score()?);
        let material = Material::gather(options, &config, plan.test_frames())?;
        material.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        let sha256 = checkpoint.info.vocabulary.as_ref().map(|vocabulary| vocabulary.sha256.as_str());
        let vocab = options.vocab.as_deref();
        let tokenizer = tokenizer(options.benchmark, &options.checkpoint, vocab, config.text.vocab_size, sha256)?;
        let Checkpoint { info, weights_sha256: weights, .. } = checkpoint;
        Ok(Self { options, config, info, weights, plan, score, material, tokenizer })
    }

    fn ids<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Vec<Vec<i64>> {
        let most = self.options.benchmark.protocol().max_text.min(self.config.text.max_positions);
        texts.into_iter().map(|text| self.tokenizer.encode(text, most).tokens().to_vec()).collect()
    }

    fn videos(&self, records: &[Record]) -> Result<Box<dyn VideoSet>> {
        let (frames, size) = (self.plan.test_frames(), self.config.video.image_size);
        self.material.videos(self.options.benchmark, records, frames, size, self.options.allow_missing)
    }

    /// A store for features under `plan`; in a folder where one was named and videos are files.
    fn store(&self, plan: &ClipPlan, videos: usize) -> Result<FeatureStore> {
        let Some(root) = self.options.features.as_deref().filter(|_| self.material.shapes.is_none()) else {
            return Ok(FeatureStore::in_memory(videos));
        };
        let setting = json!({
            "version": 1,
            "weights": self.weights,
            "task": self.options.benchmark.task(),
            "video": self.config.video,
            "compat": self.config.compat,
            "plan": plan,
            "seed": self.score.seed,
        });
        FeatureStore::in_folder(root, &setting, videos)
    }

    /// The frame orders to be measured beside the one asked for.
    fn probes(&self) -> impl Iterator<Item = FrameOrder> {
        let wanted = self.options.probes && self.plan.order == FrameOrder::None;
        FrameOrder::ALL.into_iter().filter(move |order| wanted && *order != FrameOrder::None)
    }

    fn stated(&self, counts: [usize; 2], missing: usize) -> Stated<'_> {
        Stated {
            options: self.options,
            material: &self.material,
            plan: &self.plan,
            score: &self.score,
            config: &self.config,
            info: &self.info,
            weights: &self.weights,
            vocabulary: self.tokenizer.sha256(),
            counts,
            missing,
        }
    }

    fn retrieval<B: SvittBackend>(&self, device: &B::Device) -> Result<Evaluation> {
        let paragraph = self.options.benchmark.protocol().paragraph;
        let ranked = RetrievalSubject::new(&self.material.records, paragraph, self.options.limit);
        let videos = self.videos(&ranked.videos)?;
        let texts = self.ids(ranked.texts.iter().map(String::as_str));
        let opened = open_svitt::<B>(&self.options.checkpoint, None, device)?;
        let examinee = Examinee { model: &opened.model, config: &self.config, device };
        let started = Instant::now();
        let measure = |order: FrameOrder, k: usize| -> Result<RetrievalOutcome> {
            let plan = ClipPlan { order, ..self.plan };
            let (encoding, score) = (self.options.encoding(), ScoreOptions { k, ..self.score });
            let exam = RetrievalExam {
                ranked: &ranked,
                texts: &texts,
                videos: &*videos,
                plan: &plan,
                encoding: &encoding,
                score: &score,
            };
            measure_retrieval(&examinee, &exam, &mut self.store(&plan, ranked.videos.len())?)
        };
        let outcome = measure(self.plan.order, self.score.k)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut metrics = Metrics::retrieval(outcome.metrics(), outcome.dual_metrics());
        let mut reversed = None;
        for order in self.probes() {
            let probe = measure(order, 0)?;
            let r1 = Some(probe.dual_metrics().t2v.rounded().r1);
            metrics.probes.insert(order.name().into(), ProbeFigures { r1, ..ProbeFigures::default() });
            reversed = if order == FrameOrder::Reverse { Some(probe) } else { reversed };
        }
        if let Some(config) = &self.material.shapes {
            let model = &opened.model;
            let encode = |captions: &[&str]| shapes::features(model, &self.ids(captions.iter().copied()), device);
            let frames = self.plan.test_frames();
            metrics.shapes = Some(shapes::figures(config, frames, &outcome, reversed.as_ref(), &encode)?);
        }
        let queries = dump::retrieval(&ranked, &outcome);
        Ok(Evaluation { report: self.retrieval_report(&ranked, &outcome, metrics, seconds, paragraph), queries })
    }

    fn retrieval_report(
        &self,
        ranked: &RetrievalSubject,
        outcome: &RetrievalOutcome,
        metrics: Metrics,
        seconds: f64,
        paragraph: bool,
    ) -> EvalReport {
        let (counts, missing) = ([ranked.videos.len(), ranked.texts.len()], &outcome.coverage.missing);
        let k = [outcome.scores.k_texts, outcome.scores.k_videos];
        let paper = paper_row(&Setting {
            benchmark: self.options.benchmark,
            model: &self.config,
            fine_tuned: self.info.origin.starts_with(FINE_TUNED),
            counts,
            published_protocol: self.options.is_published_protocol() && missing.is_empty(),
        });
        EvalReport {
            benchmark: self.options.benchmark.name().into(),
            protocol: self.stated(counts, missing.len()).json(protocol::retrieval(
                k,
                ranked.captions_per_video(),
                paragraph,
            )),
            metrics,
            paper,
            seconds,
            data_wait_share: share(outcome.coverage.wait_seconds, seconds),
            missing: missing.clone(),
            warnings: self.material.warnings.clone(),
        }
    }

    fn answers<B: SvittBackend>(&self, device: &B::Device) -> Result<Evaluation> {
        let asked = QuestionSubject::new(&self.material.records, self.options.limit);
        let videos = self.videos(&asked.videos)?;
        let texts = self.ids(asked.questions.iter().map(|question| question.text.as_str()));
        let (list, source) = self.material.answer_list(self.options)?;
        let mut warnings = self.material.warnings.clone();
        if self.score.k > list.len() {
            let warning = format!("the answer list has {} answers: k is lowered from {}", list.len(), self.score.k);
            eprintln!("warning: {warning}");
            warnings.push(warning);
        }
        let max_answer = self.options.benchmark.protocol().max_answer;
        let candidates = Candidates::new(list, &self.tokenizer, max_answer);
        let opened = open_qa::<B>(&self.options.checkpoint, None, device)?;
        let examinee = Examinee { model: &opened.model, config: &self.config, device };
        let started = Instant::now();
        let measure = |order: FrameOrder| -> Result<QuestionOutcome> {
            let plan = ClipPlan { order, ..self.plan };
            let exam = QuestionExam {
                asked: &asked,
                texts: &texts,
                videos: &*videos,
                answers: &candidates,
                plan: &plan,
                encoding: &self.options.encoding(),
                score: &self.score,
            };
            measure_answers(&examinee, &exam, &mut self.store(&plan, asked.videos.len())?)
        };
        let outcome = measure(self.plan.order)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut metrics = Metrics::answers(&outcome);
        if self.material.shapes.is_some() {
            let chance = QuestionKind::ALL.map(|kind| (kind.name().to_owned(), super::report::rounded(kind.chance())));
            metrics.chance_by_type = Some(chance.into_iter().collect());
        }
        for order in self.probes() {
            let probe = measure(order)?;
            let accuracy = Metrics::answers(&probe).accuracy;
            let figures = ProbeFigures { accuracy, by_type: Some(percents(&probe)), ..ProbeFigures::default() };
            metrics.probes.insert(order.name().into(), figures);
        }
        let counts = [asked.videos.len(), asked.questions.len()];
        let missing = &outcome.coverage.missing;
        let more = protocol::answers(outcome.k, candidates.texts.len(), &source, max_answer);
        let report = EvalReport {
            benchmark: self.options.benchmark.name().into(),
            protocol: self.stated(counts, missing.len()).json(more),
            metrics,
            paper: None,
            seconds,
            data_wait_share: share(outcome.coverage.wait_seconds, seconds),
            missing: missing.clone(),
            warnings,
        };
        Ok(Evaluation { report, queries: dump::answers(&asked, &candidates, &outcome) })
    }
}

fn share(part: f64, whole: f64) -> f64 {
    (part / whole.max(1e-9)).clamp(0.0, 1.0)
}
