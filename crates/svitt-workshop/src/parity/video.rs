//! `video_*`: every stage of the video encoder, with the recorded block graphs put in.

use super::cases::Case;
use super::context::ParityContext;
use super::fixture::{Fixture, host, host_int};
use super::graphs::recorded_draws;
use super::report::FileCheck;
use super::tolerance::TensorKind;
use burn::module::AutodiffModule;
use burn::tensor::{Tensor, backend::Backend};
use svitt::Result;
use svitt::config::TokenOrder;
use svitt::model::layers::linear;
use svitt::model::{Svitt, Trace, VideoOutput, unit_rows};
use svitt_ops::{SvittBackend, TrainBackend};

/// Compares every tensor of `stem.safetensors`.
///
/// # Errors
/// Settings, inputs or graphs that do not fit.
pub fn check<B: TrainBackend>(
    context: &ParityContext<B>,
    stem: &str,
    case: &Case,
    check: &mut FileCheck,
) -> Result<()> {
    let model = context.model(case)?.valid();
    let fixture = context.fixture(stem)?;
    let clips = context.clips::<B::InnerBackend>(case, context.fixture("inputs")?)?;
    let draws = recorded_draws(fixture, model.video.config(), check)?;
    let mut trace = Trace::default();
    let output = model.video.forward(clips, &draws, Some(&mut trace))?;
    embeddings(fixture, case, &trace, check);
    for (layer, hidden) in trace.layers.iter().enumerate() {
        fixture.check(&format!("layer_{layer:02}"), TensorKind::Hidden, hidden.clone(), check);
    }
    pruning(context, stem, fixture, &trace, check);
    if let Some(order) = fixture.find("token_order") {
        let ours: Vec<f64> = trace.token_order.iter().map(|&place| place as f64).collect();
        check.compare("token_order", TensorKind::Exact, &ours, &order.values);
    }
    heads(&model, output, fixture, check);
    Ok(())
}

/// The embeddings; the files do not say on which side of the permutation they were recorded.
fn embeddings<B: Backend>(fixture: &Fixture, case: &Case, trace: &Trace<B>, check: &mut FileCheck) {
    let Some(ours) = trace.embeddings.clone() else { return };
    if case.order == TokenOrder::Raster {
        return fixture.check("embeddings", TensorKind::Hidden, ours, check);
    }
    let Some(reference) = fixture.find("embeddings") else { return };
    let mut natural = vec![0i64; trace.token_order.len() + 1];
    for (place, &patch) in trace.token_order.iter().enumerate() {
        natural[patch + 1] = place as i64 + 1;
    }
    let index = Tensor::from_data(natural.as_slice(), &ours.device());
    let (permuted, natural) = (host(ours.clone()), host(ours.select(1, index)));
    let distance = |ours: &[f32]| ours.iter().zip(&reference.values).map(|(a, b)| (a - b).abs()).sum::<f32>();
    let nearer = if distance(&permuted) < distance(&natural) { permuted } else { natural };
    check.compare("embeddings", TensorKind::Hidden, &nearer, &reference.values);
}

/// Scores and decisions of the pruning layers.
fn pruning<B: TrainBackend>(
    context: &ParityContext<B>,
    stem: &str,
    fixture: &Fixture,
    trace: &Trace<B::InnerBackend>,
    check: &mut FileCheck,
) {
    for pruned in &trace.pruned {
        let layer = pruned.layer;
        fixture.check(&format!("cls_attn_{layer:02}"), TensorKind::Probability, pruned.scores.clone(), check);
        let name = format!("token_idx_{layer:02}");
        if let Some(reference) = fixture.find(&name) {
            check.compare(name, TensorKind::Exact, &host_int(pruned.token_ids.clone()), &reference.values);
        }
        let ([_, tokens], [_, kept]) = (pruned.scores.dims(), pruned.token_ids.dims());
        let case = stem.trim_start_matches("video_");
        context.note_margin(&format!("{case}/layer{layer}"), &host(pruned.scores.clone()), tokens, kept);
    }
}

fn heads<B: SvittBackend>(model: &Svitt<B>, output: VideoOutput<B>, fixture: &Fixture, check: &mut FileCheck) {
    let VideoOutput { hidden, frames, .. } = output;
    let pooled = model.video.pool(hidden.clone(), frames);
    fixture.check("last_hidden", TensorKind::Hidden, hidden.clone(), check);
    fixture.check("pooler_output", TensorKind::Hidden, pooled.clone(), check);
    fixture.check("video_embeds", TensorKind::Hidden, model.video_norm.forward(hidden), check);
    fixture.check("vision_feat", TensorKind::Probability, unit_rows(linear(&model.video_proj, pooled)), check);
}
