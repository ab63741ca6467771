//! `losses_*`: one pretraining forward and backward with the recorded negatives, masks and block graphs.

use super::cases::Case;
use super::context::ParityContext;
use super::fixture::Fixture;
use super::gradients;
use super::graphs::recorded_draws;
use super::report::FileCheck;
use super::tolerance::TensorKind;
use burn::tensor::{Int, Tensor, backend::Backend};
use svitt::Result;
use svitt::loss::{IGNORED, NegativeDraws, Negatives, negative_weights};
use svitt::model::{MaskedText, Objective, Pairs, PretrainDraws, PretrainOutput};
use svitt::weights::SourceKind;
use svitt_ops::TrainBackend;

/// Compares every tensor of `stem.safetensors`.
///
/// # Errors
/// Settings, inputs or draws that do not fit.
pub fn check<B: TrainBackend>(
    context: &ParityContext<B>,
    stem: &str,
    case: &Case,
    check: &mut FileCheck,
) -> Result<()> {
    let model = context.model(case)?;
    let (fixture, inputs, device) = (context.fixture(stem)?, context.fixture("inputs")?, &context.device);
    let (video, words) = (context.clips(case, inputs)?, context.config()?.text.vocab_size);
    let pairs = Pairs::<B> {
        token_ids: context.captions(inputs, "input_ids")?,
        token_mask: inputs.float("attention_mask", device)?,
        identity: fixture.int("idx", device)?,
        video,
    };
    let [clips, texts] = [pairs.video.dims()[0], pairs.token_ids.dims()[0]];
    if clips != texts {
        return Err(fixture.invalid(format!("has {clips} clips for {texts} captions")));
    }
    ["idx", "img_neg_indices", "txt_neg_indices"].iter().try_for_each(|name| fixture.expect(name, &[clips]))?;
    let shape = pairs.token_ids.dims();
    ["mlm_input_ids", "mlm_labels"].iter().try_for_each(|name| fixture.expect(name, &shape))?;
    inputs.expect("attention_mask", &shape)?;
    let draws = PretrainDraws {
        video: recorded_draws(fixture, model.video.config(), check)?,
        negatives: NegativeDraws::Injected(Negatives {
            video: fixture.ids("img_neg_indices", clips, None, device)?,
            text: fixture.ids("txt_neg_indices", clips, None, device)?,
        }),
        masked: Some(MaskedText {
            ids: fixture.ids("mlm_input_ids", words, None, device)?,
            labels: fixture.ids("mlm_labels", words, Some(IGNORED), device)?,
        }),
        dropout_seed: None,
        selection_seed: 0,
    };
    recorded_negatives(fixture, check)?;
    recorded_masks(fixture, inputs, check)?;
    let output = model.losses(&pairs, &draws, &Objective::default())?;
    outputs(fixture, &output, &pairs.identity, check);
    gradients::check(&model, output.losses.total, SourceKind::Svitt, fixture, check)
}

fn outputs<B: Backend>(
    fixture: &Fixture,
    output: &PretrainOutput<B>,
    identity: &Tensor<B, 1, Int>,
    check: &mut FileCheck,
) {
    let similarity = output.similarity.clone();
    fixture.check("sim_i2t", TensorKind::Hidden, similarity.clone(), check);
    let weights = negative_weights(similarity.clone().transpose(), identity);
    fixture.check("weights_t2i", TensorKind::Probability, weights, check);
    fixture.check("weights_i2t", TensorKind::Probability, negative_weights(similarity, identity), check);
    if let Some(matching) = &output.matching {
        fixture.check("itm_cls_embeds", TensorKind::Hidden, matching.states.clone(), check);
        fixture.check("itm_logits", TensorKind::Hidden, matching.logits.clone(), check);
    }
    let losses = &output.losses;
    let ensemble_named = [
        ("loss_ita", &losses.vtc),
        ("loss_itm", &losses.vtm),
        ("loss_mlm", &losses.mlm),
        ("loss_total", &losses.total),
    ];
    ensemble_named.into_iter().for_each(|(name, loss)| fixture.check(name, TensorKind::Loss, loss.clone(), check));
}

/// Recorded negatives must show another video than their row.
fn recorded_negatives(fixture: &Fixture, check: &mut FileCheck) -> Result<()> {
    let identity = fixture.integers("idx")?;
    for name in ["img_neg_indices", "txt_neg_indices"] {
        let drawn = fixture.integers(name)?;
        let other = |(row, &negative): (usize, &i64)| {
            usize::try_from(negative).ok().and_then(|n| identity.get(n)).is_some_and(|id| *id != identity[row])
        };
        check.violations(name, drawn.iter().enumerate().filter(|entry| !other(*entry)).count());
    }
    Ok(())
}

/// Labels must be the words that were masked, and inputs the words that were not.
fn recorded_masks(fixture: &Fixture, inputs: &Fixture, check: &mut FileCheck) -> Result<()> {
    let words = inputs.integers("input_ids")?;
    let (ids, labels) = (fixture.integers("mlm_input_ids")?, fixture.integers("mlm_labels")?);
    let count = |wrong: &dyn Fn(usize) -> bool| (0..words.len().min(labels.len())).filter(|&i| wrong(i)).count();
    check.violations("mlm_labels", count(&|i| labels[i] != IGNORED && labels[i] != words[i]));
    check.violations("mlm_input_ids", count(&|i| labels[i] == IGNORED && ids.get(i) != Some(&words[i])));
    Ok(())
}
