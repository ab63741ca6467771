//! `svitt eval`: a checkpoint on a benchmark, from files to report.

use super::benchmark_data::{BenchmarkData, tokenizer};
use super::paper::{PaperSetting, paper_row};
use super::protocol::{self, ProtocolInputs};
use super::question_answering::{Candidates, QaTask, QuestionOutcome, evaluate_questions};
use super::report::{EvalReport, Metrics, ProbeFigures, percents};
use super::retrieval_run::{EvalModel, RetrievalOutcome, RetrievalTask, evaluate_retrieval};
use super::{ClipPlan, EvalOptions, FeatureStore, FrameOrder, QuestionSet, RetrievalSet, ScoreOptions, VideoSet};
use super::{dump, shapes};
use crate::Result;
use crate::config::ModelConfig;
use crate::data::shapes::QuestionKind;
use crate::data::{BenchmarkTask, Protocol, Record};
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, CheckpointInfo, open_qa, open_svitt};
use serde_json::{Value, json};
use std::time::Instant;
use svitt_ops::SvittBackend;

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
    let job = EvalRun::prepare(options)?;
    match options.benchmark.task() {
        BenchmarkTask::Retrieval => job.retrieval::<B>(device),
        BenchmarkTask::QuestionAnswering => job.answers::<B>(device),
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
    material: BenchmarkData,
    tokenizer: Tokenizer,
}

impl<'a> EvalRun<'a> {
    fn prepare(options: &'a EvalOptions) -> Result<Self> {
        let checkpoint = Checkpoint::open(&options.checkpoint)?;
        let config = checkpoint.info.model.clone();
        let protocol = options.protocol(&config, is_fine_tuned(&checkpoint.info));
        let (plan, score) = (options.plan(&config, &protocol)?, options.score(&protocol)?);
        let material = BenchmarkData::gather(options, &config, plan.test_frames())?;
        material.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let sha256 = checkpoint.info.vocabulary.as_ref().map(|vocabulary| vocabulary.sha256.as_str());
        let vocab = options.vocab.as_deref();
        let tokenizer = tokenizer(options.benchmark, &options.checkpoint, vocab, config.text.vocab_size, sha256)?;
        let Checkpoint { info, weights_sha256: weights, .. } = checkpoint;
        Ok(Self { options, config, info, weights, plan, score, protocol, material, tokenizer })
    }

    fn ids<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Vec<Vec<i64>> {
        let most = self.protocol.max_text.min(self.config.text.max_positions);
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

    /// The other frame orders to be measured.
    fn probes(&self) -> impl Iterator<Item = FrameOrder> {
        let wanted = self.options.probes && self.plan.order == FrameOrder::None;
        FrameOrder::ALL.into_iter().filter(move |order| wanted && *order != FrameOrder::None)
    }

    fn protocol_inputs(&self, counts: [usize; 2], missing: usize) -> ProtocolInputs<'_> {
        ProtocolInputs {
            options: self.options,
            material: &self.material,
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

    fn retrieval<B: SvittBackend>(mut self, device: &B::Device) -> Result<Evaluation> {
        let paragraph = self.options.benchmark.protocol().paragraph;
        let ranked = RetrievalSet::new(&self.material.records, paragraph, self.options.limit);
        let videos = self.videos(&ranked.videos)?;
        let texts = self.ids(ranked.texts.iter().map(String::as_str));
        let mut opened = open_svitt::<B>(&self.options.checkpoint, None, device)?;
        opened.model.video = self.options.budget.apply(opened.model.video, device)?;
        self.config.video.clone_from(opened.model.video.config());
        let examinee = EvalModel { model: &opened.model, config: &self.config, device };
        let started = Instant::now();
        let measure = |order: FrameOrder, k: usize| -> Result<RetrievalOutcome> {
            let plan = ClipPlan { order, ..self.plan };
            let (encoding, score) = (self.options.encoding(), ScoreOptions { k, ..self.score });
            let exam = RetrievalTask {
                ranked: &ranked,
                texts: &texts,
                videos: &*videos,
                plan: &plan,
                encoding: &encoding,
                score: &score,
            };
            evaluate_retrieval(&examinee, &exam, &mut self.store(&plan, ranked.videos.len())?)
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
        ranked: &RetrievalSet,
        outcome: &RetrievalOutcome,
        metrics: Metrics,
        seconds: f64,
        paragraph: bool,
    ) -> EvalReport {
        let (counts, missing) = ([ranked.videos.len(), ranked.texts.len()], &outcome.coverage.missing);
        let k = [outcome.scores.k_texts, outcome.scores.k_videos];
        let paper = paper_row(&PaperSetting {
            benchmark: self.options.benchmark,
            model: &self.config,
            fine_tuned: is_fine_tuned(&self.info),
            counts,
            published_protocol: self.options.is_published_protocol() && missing.is_empty(),
        });
        EvalReport {
            benchmark: self.options.benchmark.name().into(),
            protocol: self.protocol_inputs(counts, missing.len()).json(protocol::retrieval(
                k,
                ranked.captions_per_video(),
                paragraph,
            )),
            metrics,
            paper,
            seconds,
            data_wait_share: share(outcome.coverage.wait_seconds, seconds),
            videos_encoded: outcome.coverage.encoded,
            videos_recalled: outcome.coverage.recalled,
            missing: missing.clone(),
            warnings: self.material.warnings.clone(),
        }
    }

    fn answers<B: SvittBackend>(mut self, device: &B::Device) -> Result<Evaluation> {
        let asked = QuestionSet::new(&self.material.records, self.options.limit);
        let videos = self.videos(&asked.videos)?;
        let texts = self.ids(asked.questions.iter().map(|question| question.text.as_str()));
        let (list, source) = self.material.answer_list(self.options)?;
        let mut warnings = self.material.warnings.clone();
        if self.score.k > list.len() {
            let warning = format!("the answer list has {} answers: k is lowered from {}", list.len(), self.score.k);
            log::warn!("{warning}");
            warnings.push(warning);
        }
        let max_answer = self.options.benchmark.protocol().max_answer;
        let candidates = Candidates::new(list, &self.tokenizer, max_answer);
        let mut opened = open_qa::<B>(&self.options.checkpoint, None, device)?;
        opened.model.video = self.options.budget.apply(opened.model.video, device)?;
        self.config.video.clone_from(opened.model.video.config());
        let examinee = EvalModel { model: &opened.model, config: &self.config, device };
        let started = Instant::now();
        let measure = |order: FrameOrder| -> Result<QuestionOutcome> {
            let plan = ClipPlan { order, ..self.plan };
            let exam = QaTask {
                asked: &asked,
                texts: &texts,
                videos: &*videos,
                answers: &candidates,
                plan: &plan,
                encoding: &self.options.encoding(),
                score: &self.score,
            };
            evaluate_questions(&examinee, &exam, &mut self.store(&plan, asked.videos.len())?)
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
            protocol: self.protocol_inputs(counts, missing.len()).json(more),
            metrics,
            paper: None,
            seconds,
            data_wait_share: share(outcome.coverage.wait_seconds, seconds),
            videos_encoded: outcome.coverage.encoded,
            videos_recalled: outcome.coverage.recalled,
            missing: missing.clone(),
            warnings,
        };
        Ok(Evaluation { report, queries: dump::answers(&asked, &candidates, &outcome) })
    }
}

/// Whether the weights were fine-tuned, here or, as a model without word head shows, by others.
fn is_fine_tuned(info: &CheckpointInfo) -> bool {
    info.origin.starts_with(FINE_TUNED) || info.absent.iter().any(|absent| absent.starts_with("text_encoder.cls"))
}

fn share(part: f64, whole: f64) -> f64 {
    (part / whole.max(1e-9)).clamp(0.0, 1.0)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::config::ClipEnsemble;
    use crate::data::Benchmark;
    use crate::eval::shapes_tokenizer;
    use crate::model::Svitt;
    use crate::weights::{CheckpointPart, VocabularyRef, save};
    use std::path::Path;

    type B = burn_flex::Flex;

    /// A folder with random weights for eight 32-px frames and the generator's words.
    fn checkpoint(folder: &Path) -> EvalOptions {
        let tokenizer = shapes_tokenizer().unwrap();
        let mut model = ModelConfig::tiny(8);
        model.video.layers = 2;
        model.text.vocab_size = tokenizer.vocab_size();
        let info = CheckpointInfo {
            model,
            part: CheckpointPart::Pretraining,
            absent: Vec::new(),
            vocabulary: Some(VocabularyRef { file: "vocab.txt".into(), sha256: tokenizer.sha256() }),
            curriculum: None,
            origin: "a test".into(),
        };
        save(&Svitt::<B>::new(&info.model, 3, &Default::default()).unwrap(), folder, &info).unwrap();
        tokenizer.save(folder).unwrap();
        EvalOptions::new(Benchmark::Shapes, folder.to_path_buf())
    }

    fn run(options: &EvalOptions) -> Result<(Value, Vec<Value>)> {
        let Evaluation { report, queries } = evaluate::<B>(options, &Default::default())?;
        assert!(report.to_string().contains("not available"));
        Ok((serde_json::to_value(report).unwrap(), queries))
    }

    #[test]
    fn shapes_reports_every_field_scripts_read() {
        let folder = tempfile::tempdir().unwrap();
        let options = EvalOptions { limit: Some(20), k: Some(7), ..checkpoint(folder.path()) };
        let (report, queries) = run(&options).unwrap();
        for direction in ["t2v", "v2t"] {
            for field in ["r1", "r5", "r10", "mean", "median_rank", "mean_rank"] {
                assert!(report["metrics"][direction][field].is_number(), "{direction}.{field}: {report:#}");
            }
        }
        let protocol = &report["protocol"];
        assert_eq!((&protocol["rerank_k"], &protocol["frames"], &protocol["clips"]), (&json!(7), &json!(8), &json!(1)));
        assert_eq!((&protocol["ensemble"], &protocol["dual_softmax"]), (&json!("lse"), &json!(false)));
        assert_eq!(protocol["weights_sha256"].as_str().unwrap().len(), 64);
        assert_eq!((&report["paper"], report["metrics"]["t2v"]["queries"].as_u64()), (&Value::Null, Some(20)));
        assert!((0.0..=1.0).contains(&report["data_wait_share"].as_f64().unwrap()));
        assert_eq!(report["metrics"]["probes"].as_object().unwrap().len(), 3);
        assert_eq!((queries.len(), queries[0]["top"].as_array().unwrap().len()), (40, 10));
        assert_eq!(run(&options).unwrap().0["metrics"], report["metrics"], "a second run gives the same numbers");
    }

    #[test]
    fn questions_rank_the_whole_list_and_say_that_k_was_lowered() {
        let folder = tempfile::tempdir().unwrap();
        let options =
            EvalOptions { benchmark: Benchmark::ShapesQa, limit: Some(16), probes: false, ..checkpoint(folder.path()) };
        let (report, queries) = run(&options).unwrap();
        assert_eq!((&report["protocol"]["answer_k"], &report["protocol"]["answers"]), (&json!(19), &json!(19)));
        assert!(report["warnings"][0].as_str().unwrap().contains("19 answers: k is lowered from 128"));
        let metrics = &report["metrics"];
        assert_eq!((&metrics["questions"], &metrics["unanswerable"]), (&json!(16), &json!(0)));
        assert_eq!(
            (&metrics["chance_by_type"]["turns"], metrics["by_type"].as_object().unwrap().len()),
            (&json!(25.0), 10)
        );
        let right = queries.iter().filter(|query| query["correct"] == json!(true)).count();
        assert_eq!(metrics["accuracy"].as_f64().unwrap(), right as f64 * 6.25);
        let sum: f64 = queries[3]["top"].as_array().unwrap().iter().map(|t| t["probability"].as_f64().unwrap()).sum();
        assert!(sum > 0.5 && sum < 1.0 + 1e-5, "{sum}");
    }

    #[test]
    fn video_files_are_encoded_once_whatever_k_and_ensemble_are() {
        let folder = tempfile::tempdir().unwrap();
        let annotations = folder.path().join("clips_test.json");
        let list = ["h264.mkv", "vfr.mp4", "vp9.webm"].map(|name| json!({"video": name, "caption": "the red square"}));
        std::fs::write(&annotations, json!(list).to_string()).unwrap();
        let options = EvalOptions {
            benchmark: Benchmark::Msrvtt,
            annotations: Some(annotations),
            media: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures")),
            features: Some(folder.path().join("features")),
            clips: Some(2),
            probes: false,
            ..checkpoint(&folder.path().join("weights"))
        };
        let (first, _) = run(&options).unwrap();
        assert_eq!((&first["videos_encoded"], &first["videos_recalled"]), (&json!(3), &json!(0)));
        assert_eq!(first["protocol"]["frames"], json!(16));
        let (second, _) =
            run(&EvalOptions { k: Some(2), ensemble: Some(ClipEnsemble::Max), ..options.clone() }).unwrap();
        assert_eq!((&second["videos_encoded"], &second["videos_recalled"]), (&json!(0), &json!(3)));
        assert_eq!(second["metrics"]["dual"], first["metrics"]["dual"]);
        let reversed = EvalOptions { order: FrameOrder::Reverse, ..options };
        assert_eq!(run(&reversed).unwrap().0["videos_encoded"], json!(3), "another protocol sees nothing of it");
    }

    #[test]
    fn a_missing_video_stops_the_evaluation_or_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        let annotations = folder.path().join("clips_test.json");
        std::fs::write(
            &annotations,
            r#"[{"video":"a.mp4","caption":"a red square"},{"video":"b.mp4","caption":"the circle"}]"#,
        )
        .unwrap();
        let options = EvalOptions {
            benchmark: Benchmark::Msrvtt,
            annotations: Some(annotations),
            media: Some(folder.path().to_path_buf()),
            probes: false,
            ..checkpoint(&folder.path().join("weights"))
        };
        let message = run(&options).unwrap_err().to_string();
        assert!(message.contains("2 of 2 videos") && message.contains("a.mp4") && message.contains("--allow-missing"));
        let (report, queries) = run(&EvalOptions { allow_missing: true, ..options }).unwrap();
        assert_eq!((queries.len(), &queries[3]["query"], &queries[3]["rank"]), (4, &json!("b.mp4"), &Value::Null));
        assert_eq!(queries[0]["right"], json!(["a.mp4"]));
        assert_eq!((&report["metrics"]["t2v"]["r10"], &report["protocol"]["missing_videos"]), (&json!(0.0), &json!(2)));
        assert_eq!(
            (&report["missing"][1]["media"], &report["metrics"]["v2t"]["queries"]),
            (&json!("b.mp4"), &json!(2))
        );
    }
}
