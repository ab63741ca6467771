//! An evaluation in pieces: jobs that encode their share of the videos, and the check that all of them came to their end.
//!
//! What a job encodes goes to the folder of features that an evaluation in one process would keep, with a note once all
//! of the job's videos are there. Joining is that evaluation, which then finds every video encoded.

use super::EvalRun;
use crate::data::{BenchmarkTask, Unreadable};
use crate::digest::sha256_hex;
use crate::eval::question_answering::encode_asked_videos;
use crate::eval::retrieval_run::encode_gallery;
use crate::eval::{
    ClipPlan, EncodeOptions, EncodeStats, EvalInputs, EvalModel, EvalOptions, FeatureStore, FrameOrder, QuestionSet,
    RetrievalSet, VideoSet,
};
use crate::shard::Shard;
use crate::{Error, Result, files, input};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;
use svitt_ops::SvittBackend;

/// What a job encoded of a benchmark's videos.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShardReport {
    /// The benchmark's name.
    pub benchmark: String,
    /// Which job.
    pub shard: Shard,
    /// Videos of all jobs.
    pub videos: usize,
    /// Videos encoded now, once for every frame order that is measured.
    pub encoded: usize,
    /// Videos that an earlier run had encoded.
    pub recalled: usize,
    /// Videos that could not be read.
    pub missing: Vec<Unreadable>,
    /// Where the features are.
    pub features: PathBuf,
    /// Seconds it took.
    pub seconds: f64,
}

impl fmt::Display for ShardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { benchmark, shard, videos, encoded, recalled, missing, seconds, .. } = self;
        let counts = format!("{encoded} encoded, {recalled} recalled, {} missing", missing.len());
        writeln!(f, "{benchmark}: shard {shard} of {videos} videos: {counts}; {seconds:.1} s")
    }
}

/// Written beside the features once all videos of a shard are there.
#[derive(Serialize, Deserialize)]
struct ShardNote {
    shard: Shard,
    /// Hash of the names of all videos of the evaluation.
    videos: String,
}

/// Bytes of a note; it has less than two hundred.
const MOST_NOTE: u64 = 4 << 10;

/// Encodes the videos of `options` that fall to `shard`, for [`evaluate`](super::evaluate) with option `join`.
///
/// # Errors
/// As [`evaluate`](super::evaluate); a benchmark whose videos are rendered; no folder for the features.
pub fn encode_shard<B: SvittBackend>(options: &EvalOptions, shard: Shard, device: &B::Device) -> Result<ShardReport> {
    let mut run = EvalRun::prepare(options)?;
    run.features_folder("shard")?;
    match options.benchmark.task() {
        BenchmarkTask::Retrieval => {
            let paragraph = options.benchmark.protocol().paragraph;
            let ranked = RetrievalSet::new(&run.benchmark_data.records, paragraph, options.limit);
            let videos = run.videos(&ranked.videos)?;
            let model = run.open_retrieval_model::<B>(device)?;
            let model = EvalModel { model: &model, config: &run.config, device };
            let open = |plan: &ClipPlan| run.store(plan, videos.len());
            run.encode_share(shard, &*videos, open, |inputs, store| encode_gallery(&model, inputs, store))
        }
        BenchmarkTask::QuestionAnswering => {
            let asked = QuestionSet::new(&run.benchmark_data.records, options.limit);
            let videos = run.videos(&asked.videos)?;
            let model = run.open_question_model::<B>(device)?;
            let model = EvalModel { model: &model, config: &run.config, device };
            let open = |plan: &ClipPlan| run.store(plan, videos.len());
            run.encode_share(shard, &*videos, open, |inputs, store| encode_asked_videos(&model, inputs, store))
        }
        BenchmarkTask::Choice => run.choice_share::<B>(shard, device),
    }
}

impl EvalRun<'_> {
    /// The folder of features that jobs share; `setting` is what needs it.
    pub(super) fn features_folder(&self, setting: &str) -> Result<&Path> {
        if self.benchmark_data.shapes.is_some() {
            let problem = format!("{} is rendered, not read from files", self.options.benchmark);
            return Err(Error::setting(setting, problem, "evaluate it in one process"));
        }
        let remedy = "give the folder of features that all jobs use with option `features`";
        self.options.features.as_deref().ok_or_else(|| Error::setting(setting, "needs features on disk", remedy))
    }

    /// Every order of frames that is measured.
    fn plans(&self) -> Vec<ClipPlan> {
        let others: Vec<FrameOrder> = match self.options.benchmark.task() {
            BenchmarkTask::Choice => self.controls().collect(),
            _ => self.probes().collect(),
        };
        let orders = std::iter::once(self.plan.order).chain(others);
        orders.map(|order| ClipPlan { order, ..self.plan }).collect()
    }

    /// Encodes the share of `shard` in every order of frames, each into the folder that `open` opens for it.
    pub(super) fn encode_share(
        &self,
        shard: Shard,
        videos: &dyn VideoSet,
        open: impl Fn(&ClipPlan) -> Result<FeatureStore>,
        encode: impl Fn(&EvalInputs<'_>, &mut FeatureStore) -> Result<EncodeStats>,
    ) -> Result<ShardReport> {
        let started = Instant::now();
        let encoding = EncodeOptions { shard: Some(shard), ..self.options.encoding() };
        let mut report = ShardReport {
            benchmark: self.options.benchmark.name().into(),
            shard,
            videos: videos.len(),
            encoded: 0,
            recalled: 0,
            missing: Vec::new(),
            features: self.features_folder("shard")?.to_path_buf(),
            seconds: 0.0,
        };
        for plan in self.plans() {
            let mut store = open(&plan)?;
            let inputs = EvalInputs { texts: &[], videos, plan: &plan, encoding: &encoding, score: &self.score };
            let stats = encode(&inputs, &mut store)?;
            report.encoded += stats.encoded;
            report.recalled += stats.from_cache;
            report.missing = stats.missing.clone();
            if plan.order == self.plan.order {
                stats.warn_missing();
            }
            let note = ShardNote { shard, videos: digest(videos) };
            let name = format!("{:.16}-{}-of-{}.json", note.videos, shard.number(), shard.count());
            store.folder().map_or(Ok(()), |folder| files::write_json(&folder.join(name), &note))?;
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Where shards are to be joined: checks that every one of them has encoded its share of `videos` into the folders
    /// that `open` opens.
    ///
    /// # Errors
    /// One has not; the message names it.
    pub(super) fn require_shards(
        &self,
        videos: &dyn VideoSet,
        open: impl Fn(&ClipPlan) -> Result<FeatureStore>,
    ) -> Result<()> {
        if !self.options.join {
            return Ok(());
        }
        let root = self.features_folder("join")?;
        let digest = digest(videos);
        for plan in self.plans() {
            let store = open(&plan)?;
            require_all(root, &finished(store.folder().unwrap_or(root), &digest)?)?;
        }
        Ok(())
    }
}

/// Hash of the names of `videos`.
fn digest(videos: &dyn VideoSet) -> String {
    sha256_hex((0..videos.len()).map(|video| videos.name(video) + "\n").collect::<String>())
}

/// The shards of the videos with hash `digest` that are noted in `folder` as finished, by the number of jobs.
fn finished(folder: &Path, digest: &str) -> Result<BTreeMap<usize, BTreeSet<Shard>>> {
    let mut found: BTreeMap<usize, BTreeSet<Shard>> = BTreeMap::new();
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, &e))?;
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(&digest[..16]) {
            continue;
        }
        let path = entry.path();
        let text = input::read_text(&path, MOST_NOTE)?;
        let damaged = |e| Error::file(&path, format!("is no note of a shard: {e}"), "delete it and run its job again");
        let note: ShardNote = serde_json::from_str(&text).map_err(damaged)?;
        if note.videos == digest {
            found.entry(note.shard.count()).or_default().insert(note.shard);
        }
    }
    Ok(found)
}

/// Checks that all jobs of one number of jobs have finished; jobs of another number do no harm.
fn require_all(root: &Path, found: &BTreeMap<usize, BTreeSet<Shard>>) -> Result<()> {
    if found.iter().any(|(count, shards)| shards.len() == *count) {
        return Ok(());
    }
    let Some((count, shards)) = found.iter().max_by_key(|(_, shards)| shards.len()) else {
        let problem = "holds no shard of these videos for these weights and settings";
        return Err(Error::file(root, problem, "run every job with option `shard` and the same other options"));
    };
    let missing: Vec<String> =
        Shard::all(*count).filter(|shard| !shards.contains(shard)).map(|shard| shard.to_string()).collect();
    let problem = format!("lacks shard {}: a job that runs, was stopped, or has other settings", missing.join(", "));
    Err(Error::file(root, problem, "run those jobs with option `shard`, then join again"))
}
