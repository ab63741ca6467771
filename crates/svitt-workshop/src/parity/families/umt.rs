//! UMT: every stage of the encoders, under every case of `cases.json`; what is measured with them is in
//! [`super::umt_measured`].

use super::answers::Exam;
use super::clips::{self, Texts};
use super::{FamilySet, bad_case, umt_measured};
use crate::parity::fixture::host_int;
use crate::parity::report::FileCheck;
use crate::parity::tolerance::TensorKind;
use burn::tensor::{DType, Int, Tensor, TensorData};
use serde_json::Value as Json;
use svitt::Result;
use svitt::config::{ClipEnsemble, ModelConfig, NodeSparsity, Pooling, Positions, Selection, Sparsity, VideoConfig};
use svitt::model::layers::{Mode, additive_mask, linear};
use svitt::model::{AttentionSource, Svitt, Trace, VideoDraws, VideoTokens, positions};
use svitt_ops::SvittBackend;

/// The pretraining checkpoint, which most outputs are of.
pub(super) const PRETRAINED: &str = "umt.pth";
/// The layer after which the cases `middle_*` prune.
const MIDDLE: usize = 0;
/// Outputs of the training of stage 2 alone.
const TRAINING: [&str; 4] = ["teacher.", "masked.student", "masked.target", "masked.uta_loss"];

/// Compares every tensor of the outputs.
///
/// # Errors
/// Settings, checkpoints or inputs that do not fit.
pub fn check<B: SvittBackend>(set: &FamilySet<B>, check: &mut FileCheck) -> Result<()> {
    for name in set.outputs.names() {
        if TRAINING.iter().any(|beginning| name.starts_with(beginning)) {
            set.outputs.find(&name);
            check.set_aside(name);
        }
    }
    let model = set.model(PRETRAINED, |_| ())?;
    let texts = Texts::read(set, &model, "input_ids", "attention_mask")?;
    check_texts(set, &model, &texts, check);
    for tag in set.tags("pooled") {
        clip_case(set, &tag, &texts, check)?;
    }
    check_fusion(set, &model, &texts, check)?;
    for tag in set.tags("topk_ids") {
        answers(set, &tag, check)?;
    }
    umt_measured::check(set, &model, &texts, check)
}

fn check_texts<B: SvittBackend>(set: &FamilySet<B>, model: &Svitt<B>, texts: &Texts<B>, check: &mut FileCheck) {
    let mut trace = Vec::new();
    model.text.text(texts.ids.clone(), texts.mask.clone(), Mode::Eval, Some(&mut trace));
    for (place, hidden) in trace.into_iter().enumerate() {
        let name = place.checked_sub(1).map_or("text.embedded".to_string(), |layer| format!("text.layer.{layer}"));
        set.outputs.check(&name, TensorKind::Hidden, hidden, check);
    }
    let encoded = texts.encoded(model);
    let [count, _, width] = encoded.embeds.dims();
    let first = encoded.embeds.clone().slice([0..count, 0..1]).reshape([count, width]);
    set.outputs.check("text.embeds", TensorKind::Hidden, encoded.embeds, check);
    set.outputs.check("text.projected", TensorKind::Hidden, linear(&model.text_proj, first), check);
    set.outputs.check("text.feature", TensorKind::Probability, encoded.feature, check);
}

/// The settings of a clip case.
struct Case<'a> {
    tag: &'a str,
    json: &'a Json,
    /// Places that stay of every part that is ranked, and of how many, where the case prunes after a layer.
    kept: Option<[usize; 2]>,
    pooling: Pooling,
}

impl<'a> Case<'a> {
    fn read<B: SvittBackend>(set: &'a FamilySet<B>, tag: &'a str) -> Result<Self> {
        let json = set.setting(&format!("/cases/{tag}")).unwrap_or(&Json::Null);
        let [_, vectors, _] = set.outputs.shape::<3>(&format!("{tag}.pooled"))?;
        let pooling = if vectors == 1 { Pooling::Normalised } else { Pooling::NormalisedPerFrame };
        let name = format!("{tag}.kept");
        let kept = match set.outputs.find(&name) {
            None => None,
            Some(kept) => {
                let [_, all, _] = set.outputs.shape::<3>("trained.embedded")?;
                let count = kept.shape.last().copied().unwrap_or(0);
                Some([count / vectors, all / vectors])
            }
        };
        Ok(Self { tag, json, kept, pooling })
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.json.get(name)?.as_u64().and_then(|number| usize::try_from(number).ok())
    }

    fn video(&self) -> String {
        self.json.get("video").and_then(Json::as_str).map_or(format!("{}.video", self.tag), str::to_string)
    }

    fn adapt(&self, config: &mut ModelConfig) {
        let video = &mut config.video;
        video.frames = self.number("frames").unwrap_or(video.frames);
        video.positions = Positions::Sinusoid { stretched_from: self.number("ckpt_num_frame") };
        video.pooling = self.pooling;
        video.sparsity.node = self.kept.map(|[kept, of]| NodeSparsity {
            keep_rate: (kept as f64 - 0.5) / of as f64,
            layers: vec![MIDDLE],
            selection: Selection::Received,
        });
    }
}

fn clip_case<B: SvittBackend>(set: &FamilySet<B>, tag: &str, texts: &Texts<B>, check: &mut FileCheck) -> Result<()> {
    let case = Case::read(set, tag)?;
    let model = set.model(PRETRAINED, |config| case.adapt(config))?;
    let video = clips::pixels(set, &model, &case.video())?;
    let visible = visible(set, tag)?;
    positions_and_patches(set, tag, &model, video.clone(), check);
    let (draws, mut trace) = (VideoDraws::evaluation(0), Trace::default());
    let output = model.video.forward_visible(video.clone(), visible.as_ref(), &draws, Some(&mut trace))?;
    stages(set, tag, &trace, check);
    if let (Some(pruned), Some(kept)) = (trace.pruned.first(), set.outputs.find(&format!("{tag}.kept"))) {
        check.compare(format!("{tag}.kept"), TensorKind::Exact, &host_int(pruned.token_ids.clone()), &kept.values);
    }
    clips::compare(&set.outputs, tag, &model, output, texts, check);
    let by_mean = Sparsity { node: Some(NodeSparsity { selection: Selection::MeanQuery, ..no_pruning() }), edge: None };
    let encoder = model.video.with_sparsity(by_mean)?;
    let mut trace = Trace::default();
    encoder.forward_visible(video, visible.as_ref(), &draws, Some(&mut trace))?;
    for (layer, attention) in trace.class_attention.into_iter().enumerate() {
        set.outputs.check(&format!("{tag}.mean_query.{layer}"), TensorKind::Probability, attention, check);
    }
    Ok(())
}

fn no_pruning() -> NodeSparsity {
    NodeSparsity { keep_rate: 1.0, layers: Vec::new(), selection: Selection::Received }
}

/// Places that `TAG.mask` does not hide, `[clips, visible]`.
fn visible<B: SvittBackend>(set: &FamilySet<B>, tag: &str) -> Result<Option<Tensor<B, 2, Int>>> {
    let name = format!("{tag}.mask");
    if set.outputs.find(&name).is_none() {
        return Ok(None);
    }
    let ([clips, tokens], mask) = (set.outputs.shape::<2>(&name)?, set.outputs.integers(&name)?);
    let shown = |row: &[i64]| (0..tokens as i64).filter(|&place| row[place as usize] == 0).collect::<Vec<i64>>();
    let rows: Vec<Vec<i64>> = mask.chunks(tokens.max(1)).map(shown).collect();
    let each = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != each) {
        return Err(set.outputs.invalid(format!("`{name}` hides another number of patches in every clip")));
    }
    Ok(Some(Tensor::from_data(TensorData::new(rows.concat(), [clips, each]), &set.device)))
}

fn positions_and_patches<B: SvittBackend>(
    set: &FamilySet<B>,
    tag: &str,
    model: &Svitt<B>,
    video: Tensor<B, 5>,
    check: &mut FileCheck,
) {
    let config: &VideoConfig = model.video.config();
    let frames = video.dims()[1];
    if let Some(table) = positions::table::<B>(config, frames, &set.device) {
        set.outputs.check(&format!("{tag}.positions"), TensorKind::Probability, table, check);
    }
    let patches = model.video.embeddings.patches(model.video.scaled(video), DType::F32);
    set.outputs.check(&format!("{tag}.patches"), TensorKind::Hidden, patches, check);
}

/// Outputs of the layers, and the attention that patches receive, up to the first pruning.
fn stages<B: SvittBackend>(set: &FamilySet<B>, tag: &str, trace: &Trace<B>, check: &mut FileCheck) {
    // Place 0 stands for a class token, which these models do not have.
    let patches = |hidden: &Tensor<B, 3>| hidden.clone().slice_dim(1, 1..hidden.dims()[1] as i64);
    if let Some(embedded) = &trace.embeddings {
        set.outputs.check(&format!("{tag}.embedded"), TensorKind::Hidden, patches(embedded), check);
    }
    for (layer, hidden) in trace.layers.iter().enumerate() {
        set.outputs.check(&format!("{tag}.layer.{layer}"), TensorKind::Hidden, patches(hidden), check);
    }
    for (layer, attention) in trace.class_attention.iter().enumerate() {
        set.outputs.check(&format!("{tag}.received.{layer}"), TensorKind::Probability, attention.clone(), check);
    }
}

/// `trained.fusion.N` and `trained.cross.N`: the fusion layers for clip 0 with every text, and the attention of text
/// position 0 over its tokens.
fn check_fusion<B: SvittBackend>(
    set: &FamilySet<B>,
    model: &Svitt<B>,
    texts: &Texts<B>,
    check: &mut FileCheck,
) -> Result<()> {
    let video = clips::pixels(set, model, "trained.video")?.slice([0..1]);
    let embeds = model.encode_video(video, &VideoDraws::evaluation(0))?.embeds;
    let VideoTokens { embeds: states, rows } = embeds.into();
    let [count, tokens] = texts.mask.dims();
    let mask = additive_mask(texts.mask.clone().reshape([count, 1, 1, tokens]), 1e4);
    let mut hidden = texts.encoded(model).embeds;
    let source = AttentionSource { states, rows, mask: None };
    for (place, layer) in model.text.layers.iter().filter(|layer| layer.cross_attention.is_some()).enumerate() {
        let (next, attention) = layer.forward(hidden, &mask, Some(&source), Mode::Eval);
        hidden = next;
        set.outputs.check(&format!("trained.fusion.{place}"), TensorKind::Hidden, hidden.clone(), check);
        if let Some(attention) = attention {
            let [texts, heads, _, keys] = attention.dims();
            let first = attention.slice([0..texts, 0..heads, 0..1]).mean_dim(1).reshape([texts, keys]);
            set.outputs.check(&format!("trained.cross.{place}"), TensorKind::Probability, first, check);
        }
    }
    Ok(())
}

fn answers<B: SvittBackend>(set: &FamilySet<B>, tag: &str, check: &mut FileCheck) -> Result<()> {
    let text = |name: &str| set.setting(&format!("/cases/{tag}/{name}")).and_then(Json::as_str);
    let file =
        text("checkpoint").ok_or_else(|| bad_case(set, format!("does not say of which checkpoint `{tag}` is")))?;
    let model = set.question_model(file)?;
    let exam = Exam::read(set, &model)?;
    let name = text("video").map_or(format!("{tag}.video"), str::to_string);
    let video = set.outputs.float::<B, 5>(&name, &set.device)?;
    model.video.check_input(video.dims())?;
    let video = clips::symmetric(video, model.video.config());
    let states = exam.ask(set, &model, tag, video, check)?;
    exam.compare_decoder(set, &model, tag, &states, check);
    exam.compare_best(set, &model, tag, std::slice::from_ref(&states), ClipEnsemble::Lse, check)?;
    let counts = set.setting(&format!("/cases/{tag}/loss_answers_per_question")).and_then(Json::as_array);
    if let (Some(counts), Some(_)) = (counts, set.outputs.find(&format!("{tag}.loss"))) {
        let counts: Vec<usize> = counts.iter().filter_map(Json::as_u64).map(|count| count as usize).collect();
        exam.compare_loss(set, &model, tag, &states, &counts, check)?;
    }
    Ok(())
}
