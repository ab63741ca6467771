//! What is measured with UMT: losses, retrieval, multiple choice, pixels, positions of full size, texts and frames.

use super::clips::{self, Texts};
use super::{FamilySet, bad_case};
use crate::parity::fixture::host;
use crate::parity::metrics::official_figures;
use crate::parity::report::FileCheck;
use crate::parity::retrieval::{EncodedSet, ensemble_named};
use crate::parity::tolerance::TensorKind;
use crate::parity::transforms::interleaved;
use burn::tensor::{Int, Tensor, TensorData, activation::softmax};
use serde_json::Value as Json;
use svitt::Result;
use svitt::config::{ClipEnsemble, PixelScale};
use svitt::eval::GroundTruth;
use svitt::loss::{NegativeDraws, Negatives, negative_weights};
use svitt::model::positions::{sinusoid, stretched};
use svitt::model::{MaskedText, Objective, Pairs, PretrainDraws, Svitt, VideoDraws};
use svitt::text::{Tokenizer, clean};
use svitt_ops::SvittBackend;
use svitt_video::{FrameSampling, Frames, Transform};

/// The label of words that are not predicted.
const IGNORED: i64 = -100;
/// Patches of a frame of the published models.
const AREA: usize = 196;

/// Compares everything that is no stage of an encoder.
///
/// # Errors
/// Inputs or settings that do not fit.
pub(super) fn check<B: SvittBackend>(
    set: &FamilySet<B>,
    model: &Svitt<B>,
    texts: &Texts<B>,
    check: &mut FileCheck,
) -> Result<()> {
    losses(set, model, texts, check)?;
    retrieval(set, model, check)?;
    clip_ensembles(set, model, check)?;
    choice(set, model, check)?;
    pixels(set, model, check)?;
    positions(set, check)?;
    texts_and_frames(set, check)
}

/// `losses.*` and `mlm.*`: of the clips of `trained` with as many of the first texts.
fn losses<B: SvittBackend>(
    set: &FamilySet<B>,
    model: &Svitt<B>,
    texts: &Texts<B>,
    check: &mut FileCheck,
) -> Result<()> {
    let (outputs, device) = (&set.outputs, &set.device);
    if outputs.find("losses.idx").is_none() {
        return Ok(());
    }
    let video = clips::pixels(set, model, "trained.video")?;
    let (batch, words) = (video.dims()[0], model.text.embeddings.word.weight.dims()[0]);
    let identity: Tensor<B, 1, Int> = outputs.int("losses.idx", device)?;
    let Texts { ids: token_ids, mask: token_mask } = texts.first(batch);
    let draws = PretrainDraws {
        video: VideoDraws::evaluation(0),
        negatives: NegativeDraws::Injected(Negatives {
            video: outputs.ids("losses.negative_video", batch, None, device)?,
            text: outputs.ids("losses.negative_text", batch, None, device)?,
        }),
        masked: Some(MaskedText {
            ids: outputs.ids("mlm.ids", words, None, device)?,
            labels: outputs.ids("mlm.labels", words, Some(IGNORED), device)?,
        }),
        dropout_seed: None,
        selection_seed: 0,
    };
    let mask = token_mask.clone();
    let pairs = Pairs { video: video.clone(), token_ids, token_mask, identity: identity.clone() };
    let output = model.losses(&pairs, &draws, &Objective::default())?;
    let similarity = output.similarity;
    let weights = negative_weights(similarity.clone().transpose(), &identity);
    outputs.check("losses.weights_t2v", TensorKind::Probability, weights, check);
    outputs.check("losses.weights_v2t", TensorKind::Probability, negative_weights(similarity, &identity), check);
    outputs.check("losses.vtc", TensorKind::Loss, output.losses.vtc, check);
    outputs.check("losses.vtm", TensorKind::Loss, output.losses.vtm, check);
    outputs.check("mlm.loss", TensorKind::Loss, output.losses.mlm, check);
    let embeds = model.encode_video(video, &VideoDraws::evaluation(0))?.embeds;
    let ids = outputs.ids("mlm.ids", words, None, device)?;
    if let Some(logits) = model.mlm_logits(ids, mask, embeds) {
        outputs.check("mlm.logits", TensorKind::Hidden, logits, check);
    }
    Ok(())
}

/// `eval.*`: re-ranked scores both ways, cosines, and the figures of `cases.json`.
fn retrieval<B: SvittBackend>(set: &FamilySet<B>, model: &Svitt<B>, check: &mut FileCheck) -> Result<()> {
    if set.outputs.find("eval.video").is_none() {
        return Ok(());
    }
    let texts = Texts::read(set, model, "eval.input_ids", "eval.attention_mask")?;
    let video = clips::pixels(set, model, "eval.video")?;
    let k = set.setting("/cases/eval/k_test").and_then(Json::as_u64);
    let k = k.ok_or_else(|| bad_case(set, "does not say `k_test` of `eval`"))? as usize;
    let bank = EncodedSet::of(model.clone(), video, 1, &texts.lists(), &set.device)?;
    let scored = bank.score(ClipEnsemble::Lse, k, &set.device)?;
    scores(set, "eval", [scored.video_rows(), scored.text_rows(), scored.dual_rows()], check);
    let Some(of_video) = set.setting("/cases/eval/img2txt").and_then(Json::as_object) else { return Ok(()) };
    let pairs = of_video.iter().flat_map(|(video, texts)| {
        let texts = texts.as_array().into_iter().flatten().filter_map(Json::as_u64);
        texts.filter_map(move |text| Some((text as usize, video.parse::<usize>().ok()?)))
    });
    let truths = GroundTruth::new(scored.texts, scored.videos, pairs);
    let dual = svitt::eval::rank_dual(&scored.means, &scored.features, scored.width, &truths);
    for (name, ranks) in [("metrics", scored.reranked.ranks(&truths)), ("metrics_emb", dual)] {
        let stated = set.setting(&format!("/cases/eval/{name}")).and_then(Json::as_object);
        let ours = official_figures(&ranks);
        for (figure, value) in stated.into_iter().flatten() {
            let value = value.as_f64().unwrap_or(f64::NAN);
            match ours.get(figure.as_str()) {
                Some(ours) => check.compare(format!("eval.{name}.{figure}"), TensorKind::Exact, &[*ours], &[value]),
                None => check.uncovered(format!("eval.{name}.{figure}")),
            }
        }
    }
    Ok(())
}

/// `clips.ENSEMBLE.*`: several clips of every video, with the first texts of `eval`.
fn clip_ensembles<B: SvittBackend>(set: &FamilySet<B>, model: &Svitt<B>, check: &mut FileCheck) -> Result<()> {
    if set.outputs.find("clips.video").is_none() {
        return Ok(());
    }
    let [videos, clips, frames, channels, height, width] = set.outputs.shape::<6>("clips.video")?;
    let video = set.outputs.float::<B, 6>("clips.video", &set.device)?;
    let video = video.reshape([videos * clips, frames, channels, height, width]);
    model.video.check_input(video.dims())?;
    let video = clips::symmetric(video, model.video.config());
    for tag in set.tags("scores_v2t") {
        let Some(ensemble) = tag.strip_prefix("clips.").and_then(ensemble_named) else { continue };
        let [_, count] = set.outputs.shape::<2>(&format!("{tag}.scores_v2t"))?;
        let k = set.setting(&format!("/cases/clips/ensembles/{}/k_test", ensemble.name())).and_then(Json::as_u64);
        let texts = Texts::read(set, model, "eval.input_ids", "eval.attention_mask")?;
        if count > texts.ids.dims()[0] {
            return Err(set.outputs.invalid(format!("`{tag}` has more texts than `eval`")));
        }
        let bank = EncodedSet::of(model.clone(), video.clone(), clips, &texts.first(count).lists(), &set.device)?;
        let scored = bank.score(ensemble, k.unwrap_or(count as u64) as usize, &set.device)?;
        scores(set, &tag, [scored.video_rows(), scored.text_rows(), scored.dual_rows()], check);
    }
    Ok(())
}

/// `TAG.scores_v2t`, `TAG.scores_t2v`, whose places outside the short list must be the same, and `TAG.cosine`.
fn scores<B: SvittBackend>(set: &FamilySet<B>, tag: &str, ours: [Vec<f32>; 3], check: &mut FileCheck) {
    for (part, ours) in ["scores_v2t", "scores_t2v", "cosine"].into_iter().zip(ours) {
        let name = format!("{tag}.{part}");
        let Some(reference) = set.outputs.find(&name) else { continue };
        let out = |score: &f32| *score == svitt::eval::NOT_RERANKED;
        let moved = ours.iter().zip(&reference.values).filter(|(a, b)| out(a) != out(b)).count();
        check.violations(format!("{name} outside the short list"), moved);
        let kind = if part == "cosine" { TensorKind::Probability } else { TensorKind::Hidden };
        check.compare(name, kind, &ours, &reference.values);
    }
}

/// `choice.scores`: 0.7 · softmax of a pair's matching logits + 0.3 · softmax of the similarities over the options.
fn choice<B: SvittBackend>(set: &FamilySet<B>, model: &Svitt<B>, check: &mut FileCheck) -> Result<()> {
    if set.outputs.find("choice.scores").is_none() {
        return Ok(());
    }
    let [videos, options] = set.outputs.shape::<2>("choice.scores")?;
    let texts = Texts::read(set, model, "choice.input_ids", "choice.attention_mask")?;
    let video = model.encode_video(clips::pixels(set, model, "choice.video")?, &VideoDraws::evaluation(0))?;
    let text = texts.encoded(model);
    let row = |row: usize| {
        let own = row * options..(row + 1) * options;
        let (states, mask) = (text.embeds.clone().slice([own.clone()]), texts.mask.clone().slice([own.clone()]));
        let logits = model.match_logits(states, mask, video.embeds.clone().slice([row..row + 1]));
        let matched = softmax(logits, 1).slice([0..options, 1..2]).reshape([1, options]);
        let feature = text.feature.clone().slice([own]).transpose();
        let cosine = video.feature.clone().slice([row..row + 1]).matmul(feature);
        let similar = softmax(cosine / model.temp.val().reshape([1, 1]), 1);
        matched.mul_scalar(0.7) + similar.mul_scalar(0.3)
    };
    let all = Tensor::cat((0..videos).map(row).collect(), 0);
    set.outputs.check("choice.scores", TensorKind::Probability, all, check);
    Ok(())
}

/// `pixels.N.raw` to `pixels.N.input`, in levels of 8 bits: resized as for every model, and in the scale of this one.
fn pixels<B: SvittBackend>(set: &FamilySet<B>, model: &Svitt<B>, check: &mut FileCheck) -> Result<()> {
    let [mean, deviation] = PixelScale::Imagenet.mean_and_deviation();
    for tag in set.tags("raw") {
        let [count, channels, height, width] = set.outputs.shape::<4>(&format!("{tag}.raw"))?;
        let [_, _, size, _] = set.outputs.shape::<4>(&format!("{tag}.input"))?;
        if channels != 3 || count * height * width * size == 0 {
            return Err(set.outputs.invalid(format!("`{tag}.raw` is no sequence of RGB pictures")));
        }
        let data = interleaved(&set.outputs.get(&format!("{tag}.raw"))?.values, height * width);
        let frames = Frames { count, height, width, data };
        let transform = Transform::new(size);
        let ours = TensorData::new(transform.apply(&frames, &transform.whole(&frames)), [1, count, 3, size, size]);
        let ours = host(model.video.scaled(Tensor::from_data(ours, &set.device)));
        let levels = |values: &[f32]| -> Vec<f32> {
            let channel = |place: usize| place / (size * size) % 3;
            let level =
                |(place, value): (usize, &f32)| (value * deviation[channel(place)] + mean[channel(place)]) * 255.0;
            values.iter().enumerate().map(level).collect()
        };
        let name = format!("{tag}.input");
        let reference = levels(&set.outputs.get(&name)?.values);
        check.compare(name, TensorKind::Pixels(1.0), &levels(&ours), &reference);
    }
    Ok(())
}

/// `positions.WIDTH.FRAMES`: the rows that `position_rows` lists of the tables of the published sizes, `12f` as they
/// are, `4to12f` stretched.
fn positions<B: SvittBackend>(set: &FamilySet<B>, check: &mut FileCheck) -> Result<()> {
    let rows = set.setting("/cases/position_rows").and_then(Json::as_array);
    let rows: Vec<usize> = rows.into_iter().flatten().filter_map(Json::as_u64).map(|row| row as usize).collect();
    for name in set.outputs.names() {
        let Some((width, frames)) = name.strip_prefix("positions.").and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let span = frames.strip_suffix('f').map(|span| span.split_once("to").unwrap_or((span, span)));
        let numbers = span.and_then(|(from, to)| Some((width.parse().ok()?, from.parse().ok()?, to.parse().ok()?)));
        let Some((width, from, to)): Option<(usize, usize, usize)> = numbers else { continue };
        let table = sinusoid(from * AREA, width);
        let table = if from == to { table } else { stretched(&table, from, to) };
        let known = rows.iter().filter(|&&row| row < to * AREA);
        let ours: Vec<f32> = known.flat_map(|row| table[row * width..(row + 1) * width].to_vec()).collect();
        check.compare(&name, TensorKind::Probability, &ours, &set.outputs.get(&name)?.values);
    }
    Ok(())
}

/// What `cases.json` says of cleaning, tokenising and frame sampling.
fn texts_and_frames<B: SvittBackend>(set: &FamilySet<B>, check: &mut FileCheck) -> Result<()> {
    let list =
        |name: &str| set.setting(&format!("/cases/{name}")).and_then(Json::as_array).cloned().unwrap_or_default();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in list("pre_text") {
        let text = |at: usize| pair.get(at).and_then(Json::as_str).unwrap_or_default().to_string();
        ours.push(clean(&text(0)));
        theirs.push(text(1));
    }
    check.words("cases.pre_text", &ours, &theirs);
    let numbers = |json: &Json| crate::parity::tokenization::numbers(json);
    let mut wrong = 0;
    for entry in list("sample_middle") {
        let number = |name: &str| entry[name].as_u64().unwrap_or(0) as usize;
        let taken = FrameSampling::Middle.indices(number("frames"), number("length"), 1.0, &mut || 0.0);
        let taken: Vec<f64> = taken.into_iter().map(|frame| frame as f64).collect();
        wrong += usize::from(taken != numbers(&entry["indices"]));
    }
    check.violations("cases.sample_middle", wrong);
    let vocabulary = set.folder.join("vocab.txt");
    let entries = list("tokenize");
    if entries.is_empty() || !vocabulary.exists() {
        return Ok(());
    }
    let tokenizer = Tokenizer::read(&vocabulary)?;
    let mut wrong = 0;
    for entry in entries {
        let length = entry["max_length"].as_u64().unwrap_or(0) as usize;
        let encoded = tokenizer.encode_raw(entry["text"].as_str().unwrap_or_default(), length);
        let ids: Vec<f64> = encoded.ids.iter().map(|&id| id as f64).collect();
        wrong += usize::from(ids != numbers(&entry["ids"]));
    }
    check.violations("cases.tokenize", wrong);
    Ok(())
}
