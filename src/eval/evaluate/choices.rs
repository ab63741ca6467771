//! Choices: both scorers, controls of frame order and of texts, and rankings.

use super::{EvalRun, Evaluation, Measurement, ShardReport};
use crate::Result;
use crate::digest::sha256_hex;
use crate::eval::choice::{
    ChoiceMetrics, ChoiceScorer, ChoiceSet, Measured, ModelScorer, ScorerFigures, measure, ranking,
};
use crate::eval::report::Metrics;
use crate::eval::{ClipPlan, EncodeOptions, EvalModel, FeatureStore, FrameOrder, VideoSet, dump, protocol};
use crate::model::Svitt;
use crate::shard::Shard;
use crate::weights::open_svitt;
use serde_json::json;
use std::time::Instant;
use svitt_ops::SvittBackend;

/// A choice benchmark and the model that answers it, ready to be scored.
struct ChoiceRun<B: SvittBackend> {
    set: ChoiceSet,
    videos: Box<dyn VideoSet>,
    texts: Vec<Vec<i64>>,
    model: Svitt<B>,
}

impl EvalRun<'_> {
    pub(super) fn choices<B: SvittBackend>(mut self, device: &B::Device) -> Result<Evaluation> {
        let benchmark = self.options.benchmark;
        let run = self.open_choices::<B>(device)?;
        let ChoiceRun { set, videos, texts, .. } = &run;
        let equal = protocol::equal_as_tokens(set, texts);
        self.warn_equal(equal);
        self.require_shards(&**videos, |plan| self.score_store(&run, plan))?;
        let started = Instant::now();
        let encoding = self.options.encoding();
        let score = |order| self.with_scorer(&run, &encoding, device, |scorer| measure(set, scorer, order));
        let measured = score(self.plan.order)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut probes = Vec::new();
        for order in self.controls() {
            let control = score(order)?;
            let accuracy = |outcomes| ScorerFigures::of(set, outcomes).accuracy.overall.accuracy;
            probes.push((order, [&control.itc, &control.itm].map(accuracy)));
        }
        let metrics = choice_metrics(set, &measured, &probes, ranking(benchmark, set, &measured.scored));
        let counts = [set.videos.len(), set.questions.len()];
        let coverage = &measured.scored.coverage;
        let task = protocol::choices(self.cut(set), equal);
        let report = self.report(&Measurement { counts, coverage, seconds }, task, metrics, None)?;
        Ok(Evaluation { report, queries: dump::choices(set, &measured) })
    }

    /// Scores the clips that fall to `shard`, in every order of frames.
    pub(super) fn choice_share<B: SvittBackend>(mut self, shard: Shard, device: &B::Device) -> Result<ShardReport> {
        let run = self.open_choices::<B>(device)?;
        let wanted = run.set.texts_by_video();
        let folder = |plan: &ClipPlan| self.score_store(&run, plan);
        self.encode_share(shard, &*run.videos, folder, |inputs, _| {
            let order = inputs.plan.order;
            let scored = self.with_scorer(&run, inputs.encoding, device, |scorer| scorer.score(order, &wanted))?;
            Ok(scored.coverage)
        })
    }

    fn open_choices<B: SvittBackend>(&mut self, device: &B::Device) -> Result<ChoiceRun<B>> {
        let set = ChoiceSet::new(self.options.benchmark, &self.benchmark_data.records, self.options.limit);
        let videos = self.videos(&set.videos)?;
        let texts = self.ids(set.texts.iter().map(String::as_str));
        let mut model = open_svitt::<B>(&self.options.checkpoint, None, device)?.model;
        model.video = self.options.budget.apply(model.video, device)?;
        let model = model.with_precision(self.options.precision);
        self.config.video.clone_from(model.video.config());
        Ok(ChoiceRun { set, videos, texts, model })
    }

    /// What `work` makes of the scorer of `run`. Jobs that share the clips out keep scores, which are small, of every
    /// order; one process keeps what the model makes of the clips as they are.
    fn with_scorer<B: SvittBackend, T>(
        &self,
        run: &ChoiceRun<B>,
        encoding: &EncodeOptions,
        device: &B::Device,
        work: impl FnOnce(&mut ModelScorer<'_, B>) -> Result<T>,
    ) -> Result<T> {
        let shared = encoding.shard.is_some() || self.options.join;
        let kept = |store: FeatureStore| store.folder().is_some().then_some(store);
        work(&mut ModelScorer {
            model: EvalModel { model: &run.model, config: &self.config, device },
            texts: &run.texts,
            videos: &*run.videos,
            plan: &self.plan,
            encoding,
            score: &self.score,
            cache: &|plan| if shared { Ok(None) } else { self.store(plan, run.set.videos.len()).map(kept) },
            scores: &|plan| if shared { self.score_store(run, plan).map(Some) } else { Ok(None) },
        })
    }

    /// Where jobs keep the scores of `run` under `plan`: a folder for this list of clips and texts alone.
    fn score_store<B: SvittBackend>(&self, run: &ChoiceRun<B>, plan: &ClipPlan) -> Result<FeatureStore> {
        let mut setting = self.setting(plan);
        setting["ensemble"] = json!(self.score.ensemble.name());
        setting["asked"] = json!(sha256_hex(format!("{:?} {:?}", run.texts, run.set.texts_by_video())));
        FeatureStore::in_folder(self.features_folder("shard")?, &setting, run.set.videos.len())
    }

    /// The orders of frames that a score is held against: always all three.
    pub(super) fn controls(&self) -> impl Iterator<Item = FrameOrder> + use<> {
        let wanted = self.plan.order == FrameOrder::None;
        FrameOrder::ALL.into_iter().filter(move |order| wanted && *order != FrameOrder::None)
    }

    /// Says how many choices the model cannot make, because it reads the same tokens twice.
    fn warn_equal(&mut self, equal: usize) {
        if equal > 0 {
            self.benchmark_data.warnings.push(format!(
                "in {equal} choices the right text and another are the same tokens (equal in the file, cut, or different \
                 only in words that the vocabulary does not have): they count as ties"
            ));
        }
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
