//! `text`: every stage of the text encoder. `fusion_*`: every stage of the fusion encoder.

use super::cases::Case;
use super::context::ParityContext;
use super::fixture::{Fixture, host, host_int};
use super::report::FileCheck;
use super::tolerance::TensorKind;
use burn::module::AutodiffModule;
use burn::tensor::{Int, Tensor, backend::Backend};
use svitt::Result;
use svitt::config::kept_tokens;
use svitt::model::layers::{Mode, linear};
use svitt::model::{FusionOptions, FusionOutput, VideoTokens};
use svitt_ops::TrainBackend;

/// Compares every tensor of `text.safetensors`.
///
/// # Errors
/// Inputs are missing.
pub fn check_text<B: TrainBackend>(context: &ParityContext<B>, check: &mut FileCheck) -> Result<()> {
    let model = context.model(&Case::plain(None))?.valid();
    let (fixture, inputs) = (context.fixture("text")?, context.fixture("inputs")?);
    let ids: Tensor<B::InnerBackend, 2, Int> = context.captions(inputs, "input_ids")?;
    inputs.expect("attention_mask", &ids.dims())?;
    let mask = inputs.float("attention_mask", &context.device)?;
    let mut trace = Vec::new();
    model.text.text(Tensor::clone(&ids), Tensor::clone(&mask), Mode::Eval, Some(&mut trace));
    let encoded = model.encode_text(ids, mask);
    layers(fixture, &trace, "embeddings", 0, check);
    fixture.check("text_embeds", TensorKind::Hidden, encoded.embeds.clone(), check);
    fixture.check("pooled", TensorKind::Hidden, position_0(encoded.embeds), check);
    fixture.check("text_feat", TensorKind::Probability, encoded.feature, check);
    Ok(())
}

/// Compares every tensor of `stem.safetensors`, a fusion case.
///
/// # Errors
/// Settings or inputs that do not fit.
pub fn check_fusion<B: TrainBackend>(
    context: &ParityContext<B>,
    stem: &str,
    case: &Case,
    check: &mut FileCheck,
) -> Result<()> {
    let model = context.model(case)?.valid();
    let (fixture, inputs, device) = (context.fixture(stem)?, context.fixture("fusion_inputs")?, &context.device);
    let mask: Tensor<B::InnerBackend, 2> = inputs.float("attention_mask", device)?;
    let [texts, tokens] = mask.dims();
    let [clips, patches, _] = inputs.shape::<3>("video_embeds")?;
    inputs.expect("text_embeds", &[texts, tokens, context.config()?.text.hidden])?;
    inputs.expect("video_embeds", &[texts, patches, context.config()?.video.hidden])?;
    if clips * tokens * patches == 0 {
        return Err(inputs.invalid("holds empty texts or clips"));
    }
    let video = VideoTokens::from(inputs.float("video_embeds", device)?);
    let (run, mut trace) = (FusionOptions::default(), Vec::new());
    let output = if case.mode == "multi_modal" {
        context.fixture("inputs")?.expect("input_ids", &[texts, tokens])?;
        let ids = context.captions(context.fixture("inputs")?, "input_ids")?;
        let output = model.text.multi_modal(ids, mask, video, run, Some(&mut trace));
        layers(fixture, &trace, "embeddings", 0, check);
        output
    } else {
        let text = inputs.float("text_embeds", device)?;
        let output = model.text.fuse(text, mask, video, run, Some(&mut trace));
        layers(fixture, &trace, "", context.cases.fusion_layer, check);
        output
    };
    pruning(context, stem, case, fixture, &output, check);
    let hidden = output.hidden;
    fixture.check("last_hidden", TensorKind::Hidden, hidden.clone(), check);
    fixture.check("itm_logits", TensorKind::Hidden, linear(&model.itm_head, position_0(hidden.clone())), check);
    if let Some(words) = model.text.words(hidden) {
        fixture.check("mlm_logits", TensorKind::Hidden, words, check);
    }
    Ok(())
}

/// Compares `fusion_inputs.safetensors` to what the text encoder and the plain video encoder make of the inputs.
///
/// # Errors
/// Inputs are missing.
pub fn check_fusion_inputs<B: TrainBackend>(context: &ParityContext<B>, check: &mut FileCheck) -> Result<()> {
    let (fixture, inputs, device) = (context.fixture("fusion_inputs")?, context.fixture("inputs")?, &context.device);
    let model = context.model(&Case::plain(None))?.valid();
    let ids: Tensor<B::InnerBackend, 2, Int> = context.captions(inputs, "input_ids")?;
    inputs.expect("attention_mask", &ids.dims())?;
    let mask = inputs.float::<_, 2>("attention_mask", device)?;
    fixture.check("attention_mask", TensorKind::Exact, mask.clone(), check);
    fixture.check("text_embeds", TensorKind::Hidden, model.encode_text(ids, mask).embeds, check);
    if let Some(case) = context.cases.plain_video() {
        let clips = context.all_clips(&case, inputs)?;
        let draws = svitt::model::VideoDraws::evaluation(0);
        fixture.check("video_embeds", TensorKind::Hidden, model.encode_video(clips, &draws)?.embeds, check);
    }
    Ok(())
}

/// Outputs of layers: `trace[0]` is called `first` where that has a name, the next ones are layers from `from` on.
fn layers<B: Backend>(fixture: &Fixture, trace: &[Tensor<B, 3>], first: &str, from: usize, check: &mut FileCheck) {
    let ensemble_named = usize::from(!first.is_empty());
    trace.iter().take(ensemble_named).for_each(|x| fixture.check(first, TensorKind::Hidden, x.clone(), check));
    for (layer, hidden) in trace.iter().skip(ensemble_named).enumerate() {
        fixture.check(&format!("layer_{:02}", from + layer), TensorKind::Hidden, hidden.clone(), check);
    }
}

/// Rankings and decisions of the pruning layers.
fn pruning<B: TrainBackend>(
    context: &ParityContext<B>,
    stem: &str,
    case: &Case,
    fixture: &Fixture,
    output: &FusionOutput<B::InnerBackend>,
    check: &mut FileCheck,
) {
    for (place, (layer, ranking)) in case.cross_layers().into_iter().zip(&output.probabilities).enumerate() {
        let name = format!("cross_probs_{layer:02}");
        fixture.check(&name, TensorKind::Probability, ranking.clone(), check);
        let [texts, keys] = ranking.dims();
        let patches = host(ranking.clone().slice([0..texts, 1..keys]));
        for rate in context.cases.cross_rates() {
            context.note_margin(&format!("{stem}/{name}"), &patches, keys - 1, kept_tokens(rate, keys - 1));
        }
        let name = format!("token_idx_drop{place}");
        if let (Some(kept), Some(reference)) = (output.kept.get(place), fixture.find(&name)) {
            check.compare(name, TensorKind::Exact, &host_int(kept.clone()), &reference.values);
        }
    }
}

/// Position 0 of `x` `[batch, tokens, width]`: `[batch, width]`.
fn position_0<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 2> {
    let [batch, _, width] = x.dims();
    x.slice([0..batch, 0..1, 0..width]).reshape([batch, width])
}
