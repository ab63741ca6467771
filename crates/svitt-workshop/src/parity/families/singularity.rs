//! Singularity: `MODEL_Nf.…` for its retrieval models on N frames, `vqa_MODEL.…` for its question-answering ones.

use super::answers::Exam;
use super::clips::{self, Texts};
use super::{FamilySet, SINGULARITY};
use crate::parity::report::FileCheck;
use crate::parity::retrieval::ensemble_named;
use crate::parity::tolerance::TensorKind;
use burn::tensor::Tensor;
use svitt::Result;
use svitt::config::ClipEnsemble;
use svitt::eval::{MatchScorer, TextBank, VideoBank, encode_clips};
use svitt::model::{Svitt, VideoDraws};
use svitt_ops::SvittBackend;

/// The checkpoint of the model called `name` in the outputs.
fn file(name: &str) -> Option<&'static str> {
    Some(match name {
        "single" => SINGULARITY,
        "temporal" => "singularity_temporal.pth",
        "vqa_single" => "singularity_vqa.pth",
        "vqa_temporal" => "singularity_temporal_vqa.pth",
        _ => return None,
    })
}

/// Compares every tensor of the outputs.
///
/// # Errors
/// Checkpoints or inputs that do not fit.
pub fn check<B: SvittBackend>(set: &FamilySet<B>, check: &mut FileCheck) -> Result<()> {
    for tag in set.tags("video") {
        let model = tag.rsplit_once('_').filter(|(_, frames)| frames.ends_with('f')).map_or(&*tag, |(model, _)| model);
        match file(model) {
            Some(file) if tag.starts_with("vqa_") => answers(set, &tag, file, check)?,
            Some(file) => retrieval(set, &tag, model, &set.model(file, |_| ())?, check)?,
            None => check.uncovered(format!("{tag}.video")),
        }
    }
    Ok(())
}

fn retrieval<B: SvittBackend>(
    set: &FamilySet<B>,
    tag: &str,
    name: &str,
    model: &Svitt<B>,
    check: &mut FileCheck,
) -> Result<()> {
    let texts = Texts::read(set, model, "input_ids", "attention_mask")?;
    let text_embeds = format!("{name}.text_embeds");
    set.outputs.check(&text_embeds, TensorKind::Hidden, texts.encoded(model).embeds, check);
    let video = clips::pixels(set, model, &format!("{tag}.video"))?;
    let output = model.video.forward(video.clone(), &VideoDraws::evaluation(0), None)?;
    clips::compare(&set.outputs, tag, model, output, &texts, check);
    for name in set.outputs.names() {
        let Some(ensemble) = name.strip_prefix(&format!("{tag}.ensemble_")).and_then(ensemble_named) else { continue };
        let ours = ensemble_scores(set, model, video.clone(), &texts, ensemble)?;
        check.compare(&name, TensorKind::Hidden, &ours, &set.outputs.get(&name)?.values);
    }
    Ok(())
}

/// The matching score of every clip and text, `[clips, texts]`, from each frame's tokens alone, joined over frames: by
/// the code that evaluates benchmarks, to which a frame is a clip.
fn ensemble_scores<B: SvittBackend>(
    set: &FamilySet<B>,
    model: &Svitt<B>,
    video: Tensor<B, 5>,
    texts: &Texts<B>,
    ensemble: ClipEnsemble,
) -> Result<Vec<f32>> {
    let [clips, frames, channels, height, width] = video.dims();
    let video = video.reshape([clips * frames, 1, channels, height, width]);
    let videos = VideoBank { videos: encode_clips(model, video, frames, &VideoDraws::evaluation(0))? };
    let bank = TextBank::encode(model, &texts.lists(), 4, &set.device);
    let all: Vec<usize> = (0..bank.len()).collect();
    let (device, texts) = (&set.device, &bank);
    let scorer = MatchScorer { model, device, videos: &videos, texts, clips: frames, ensemble, batch: 3 };
    let mut scores = Vec::with_capacity(clips * all.len());
    for clip in 0..clips {
        scores.extend(scorer.scores(clip, &all)?);
    }
    Ok(scores)
}

fn answers<B: SvittBackend>(set: &FamilySet<B>, tag: &str, file: &str, check: &mut FileCheck) -> Result<()> {
    let model = set.question_model(file)?;
    let exam = Exam::read(set, &model)?;
    let video = set.outputs.float::<B, 5>(&format!("{tag}.video"), &set.device)?;
    model.video.check_input(video.dims())?;
    let states = exam.ask(set, &model, tag, video.clone(), check)?;
    exam.compare_best(set, &model, tag, &[states], ClipEnsemble::Lse, check)?;
    for ensemble in [ClipEnsemble::Mean, ClipEnsemble::Max, ClipEnsemble::Lse] {
        let tag = format!("{tag}.{}", ensemble.name());
        if set.outputs.names().iter().any(|name| *name == format!("{tag}.topk_ids")) {
            let frames = video.dims()[1];
            let frame = |frame: usize| video.clone().narrow(1, frame, 1);
            let states =
                (0..frames).map(|at| exam.ask(set, &model, &tag, frame(at), check)).collect::<Result<Vec<_>>>()?;
            exam.compare_best(set, &model, &tag, &states, ensemble, check)?;
        }
    }
    Ok(())
}
