//! `svitt eval`: a checkpoint on a benchmark, from files to report.

use super::benchmark_data::{BenchmarkData, tokenizer};
use super::protocol::ProtocolInputs;
use super::report::{EvalReport, Metrics};
use super::{ClipPlan, EncodeStats, EvalOptions, FeatureStore, FrameOrder, ScoreOptions, VideoSet};
use crate::config::ModelConfig;
use crate::data::{BenchmarkTask, Protocol, Record};
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, CheckpointInfo};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::path::Path;
use svitt_ops::SvittBackend;

#[cfg(all(test, feature = "flex"))]
mod choice_tests;
mod choices;
mod questions;
mod retrieval;
mod shards;
#[cfg(all(test, feature = "flex"))]
mod tests;

pub use shards::{ShardReport, encode_shard};

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
    let run = EvalRun::prepare(options)?;
    match options.benchmark.task() {
        BenchmarkTask::Retrieval => run.retrieval::<B>(device),
        BenchmarkTask::QuestionAnswering => run.answers::<B>(device),
        BenchmarkTask::Choice => run.choices::<B>(device),
    }
}

/// The inputs of an evaluation, loaded and checked.
struct EvalRun<'a> {
    options: &'a EvalOptions,
    config: ModelConfig,
    info: CheckpointInfo,
    weights: String,
    plan: ClipPlan,
    score: ScoreOptions,
    protocol: Protocol,
    benchmark_data: BenchmarkData,
    tokenizer: Tokenizer,
}

impl<'a> EvalRun<'a> {
    fn prepare(options: &'a EvalOptions) -> Result<Self> {
        options.refuse_unused()?;
        let checkpoint = Checkpoint::open(&options.checkpoint)?;
        let config = checkpoint.info.model.clone();
        let protocol = options.protocol(&config, is_fine_tuned(&checkpoint.info));
        let (plan, score) = (options.plan(&config, &protocol)?, options.score(&protocol)?);
        let benchmark_data = BenchmarkData::load(options, &config, plan.test_frames())?;
        let sha256 = checkpoint.info.vocabulary.as_ref().map(|vocabulary| vocabulary.sha256.as_str());
        let vocab = options.vocab.as_deref();
        let tokenizer = tokenizer(options.benchmark, &options.checkpoint, vocab, config.text.vocab_size, sha256)?;
        let Checkpoint { info, weights_sha256: weights, .. } = checkpoint;
        Ok(Self { options, config, info, weights, plan, score, protocol, benchmark_data, tokenizer })
    }

    fn ids<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Vec<Vec<i64>> {
        let most = self.protocol.max_text.min(self.config.text.max_positions);
        texts.into_iter().map(|text| self.tokenizer.encode(text, most).tokens().to_vec()).collect()
    }

    fn videos(&self, records: &[Record]) -> Result<Box<dyn VideoSet>> {
        let (frames, size) = (self.plan.test_frames(), self.config.video.image_size);
        self.benchmark_data.videos(self.options.benchmark, records, frames, size, self.options.allow_missing)
    }

    /// A store for features under `plan`; in a folder where one was named and videos are files.
    fn store(&self, plan: &ClipPlan, videos: usize) -> Result<FeatureStore> {
        let Some(root) = self.options.features.as_deref().filter(|_| self.benchmark_data.shapes.is_none()) else {
            return Ok(FeatureStore::in_memory(videos));
        };
        FeatureStore::in_folder(root, &self.setting(plan), videos)
    }

    /// Everything that features under `plan` depend on besides the videos.
    fn setting(&self, plan: &ClipPlan) -> Value {
        let mut setting = json!({
            "version": 2,
            "weights": self.weights,
            "task": self.options.benchmark.task(),
            "model": self.config,
            "vocabulary": self.tokenizer.sha256(),
            "plan": plan,
            "seed": self.score.seed,
        });
        if plan.order == FrameOrder::Freeze && self.options.benchmark.task() == BenchmarkTask::Choice {
            // Earlier builds froze clips at their first frame.
            setting["frozen_at"] = json!("the middle");
        }
        if !self.options.precision.is_f32() {
            setting["precision"] = json!(self.options.arithmetic);
        }
        setting
    }

    /// The other frame orders to be measured.
    fn probes(&self) -> impl Iterator<Item = FrameOrder> {
        let wanted = self.options.probes && self.plan.order == FrameOrder::None;
        FrameOrder::ALL.into_iter().filter(move |order| wanted && *order != FrameOrder::None)
    }

    fn protocol_inputs(&self, counts: [usize; 2], missing: usize) -> ProtocolInputs<'_> {
        ProtocolInputs {
            options: self.options,
            benchmark_data: &self.benchmark_data,
            plan: &self.plan,
            score: &self.score,
            config: &self.config,
            protocol: &self.protocol,
            info: &self.info,
            weights: &self.weights,
            vocabulary: self.tokenizer.sha256(),
            counts,
            missing,
        }
    }

    /// The report of a measurement, with what only its task says.
    ///
    /// # Errors
    /// None of the videos could be read.
    fn report(
        &self,
        measured: &Measurement<'_>,
        task: Value,
        metrics: Metrics,
        paper: Option<Value>,
    ) -> Result<EvalReport> {
        let Measurement { counts, coverage, seconds } = *measured;
        coverage.warn_missing();
        if !coverage.has_any() {
            let media = self.benchmark_data.media.as_deref().unwrap_or(Path::new(""));
            let first = coverage.missing.first().map_or("", |missing| missing.media.as_str());
            let problem = format!("none of the {} video files could be read, first {first}", coverage.missing.len());
            return Err(Error::file(media, problem, "obtain them again: there is nothing to score"));
        }
        Ok(EvalReport {
            benchmark: self.options.benchmark.name().into(),
            protocol: self.protocol_inputs(counts, coverage.missing.len()).json(task),
            metrics,
            paper,
            seconds,
            data_wait_share: (coverage.wait_seconds / seconds.max(1e-9)).clamp(0.0, 1.0),
            videos_encoded: coverage.encoded,
            videos_recalled: coverage.from_cache,
            missing: coverage.missing.clone(),
            warnings: self.benchmark_data.warnings.clone(),
        })
    }
}

/// Whether the weights were fine-tuned, here or, as a model without word head shows, by others.
fn is_fine_tuned(info: &CheckpointInfo) -> bool {
    info.origin.starts_with(FINE_TUNED) || info.absent.iter().any(|absent| absent.starts_with("text_encoder.cls"))
}

/// What was measured, apart from the figures.
struct Measurement<'a> {
    /// Videos and texts.
    counts: [usize; 2],
    coverage: &'a EncodeStats,
    seconds: f64,
}
