//! `vqa` and `vqa_meta`: loss, gradients and answer ranking, token ids, and what became of the pretrained keys.

use super::cases::{Case, read_json};
use super::context::{ParityContext, pixels};
use super::fixture::Fixture;
use super::gradients;
use super::report::FileCheck;
use super::retrieval::{clips, ensemble_named};
use super::tokenization::{TextsWithIds, check_ids};
use super::tolerance::TensorKind;
use burn::module::AutodiffModule;
use burn::tensor::{Tensor, TensorData};
use svitt::Result;
use svitt::config::ClipEnsemble;
use svitt::model::layers::Mode;
use svitt::model::{
    AnswerList, FusionOptions, QuestionStates, RankedAnswers, SvittQa, TokenBatch, VideoDraws, WeightedAnswers,
};
use svitt::text::Tokenizer;
use svitt::weights::SourceKind;
use svitt_ops::{SvittBackend, TrainBackend};

/// The name of the file beside the tensors.
pub const FILE: &str = "vqa_meta.json";
/// The settings most tensors were made with.
const MAIN: &str = "main";

/// Compares every tensor of `vqa.safetensors`.
///
/// # Errors
/// Settings or inputs that do not fit.
pub fn check<B: TrainBackend>(context: &ParityContext<B>, check: &mut FileCheck) -> Result<()> {
    let fixture = context.fixture("vqa")?;
    let Some(case) = context.cases.case("vqa", Some(MAIN))? else {
        check.uncovered("its settings in cases.json");
        return Ok(());
    };
    let (model, _) = context.question_model(&case)?;
    let (loss, each) = training::<B, B>(context, &model, &case, fixture, Some(check))?;
    fixture.check("loss", TensorKind::Loss, loss.clone(), check);
    fixture.check("per_answer_loss", TensorKind::Loss, each, check);
    gradients::check(&model, loss, SourceKind::SvittQa, fixture, check)?;
    for part in fixture.names().iter().filter(|name| name.starts_with("loss_")) {
        let Some(case) = context.cases.case("vqa", Some(part))? else { continue };
        let model = context.question_model(&case)?.0.valid();
        let (loss, _) = training::<B, _>(context, &model, &case, fixture, None)?;
        fixture.check(part, TensorKind::Loss, loss, check);
    }
    rankings(context, &model.valid(), &case, fixture, check)
}

/// Loss `[1]` and loss of each answer on the first clip of every video; `stages` are compared where asked for.
fn training<B: TrainBackend, I: SvittBackend<Device = B::Device>>(
    context: &ParityContext<B>,
    model: &SvittQa<I>,
    case: &Case,
    fixture: &Fixture,
    stages: Option<&mut FileCheck>,
) -> Result<(Tensor<I, 1>, Tensor<I, 1>)> {
    let first = asked(context, model, case, fixture)?.swap_remove(0);
    let answers = answers::<B, I>(context, fixture)?;
    if let Some(check) = stages {
        fixture.check("question_states", TensorKind::Hidden, first.states.clone(), check);
        let (tokens, question) = (answers.tokens.clone(), Some(answers.question.clone()));
        let logits = model.answer_logits(tokens, &first, question, Mode::Eval);
        fixture.check("decoder_logits", TensorKind::Hidden, logits, check);
    }
    let videos = first.mask.dims()[0];
    Ok(model.loss(&first, &answers, videos, Mode::Eval))
}

/// The questions after seeing each clip of their videos; at least one clip.
fn asked<B: TrainBackend, I: SvittBackend<Device = B::Device>>(
    context: &ParityContext<B>,
    model: &SvittQa<I>,
    case: &Case,
    fixture: &Fixture,
) -> Result<Vec<QuestionStates<I>>> {
    let device = &context.device;
    let ids = context.captions::<I>(fixture, "question_ids")?;
    fixture.expect("question_mask", &ids.dims())?;
    let questions = TokenBatch { ids, mask: fixture.float::<I, 2>("question_mask", device)? };
    let videos = 0..questions.ids.dims()[0];
    let (source, frames) = (context.fixture("retrieval")?, model.video.config().frames);
    let name = case.input().map(|(name, _)| name).filter(|name| source.names().iter().any(|known| known == name));
    let pixels = pixels(source, name.unwrap_or("video_u8"), Some(videos.clone()), device)?;
    let (clips, count) = clips(pixels, frames, source)?;
    let seen = model.encode_video(clips, &VideoDraws::evaluation(0))?;
    let [_, tokens, width] = seen.dims();
    let seen = seen.reshape([videos.len(), count, tokens, width]);
    let of_clip = |clip| {
        let states = seen.clone().slice([videos.clone(), clip..clip + 1]).reshape([videos.len(), tokens, width]);
        model.ask(questions.clone(), states, FusionOptions::default())
    };
    Ok((0..count).map(of_clip).collect())
}

/// The training answers with the questions they belong to: `k` of them for each question.
fn answers<B: TrainBackend, I: SvittBackend<Device = B::Device>>(
    context: &ParityContext<B>,
    fixture: &Fixture,
) -> Result<WeightedAnswers<I>> {
    let device = &context.device;
    let counts = fixture.integers("k")?;
    let question: Vec<i64> =
        counts.iter().enumerate().flat_map(|(place, &k)| vec![place as i64; k.clamp(0, 1 << 16) as usize]).collect();
    let count = question.len();
    let ids = context.captions::<I>(fixture, "answer_ids")?;
    let [answers, tokens] = ids.dims();
    if answers != count || counts.len() != fixture.shape::<2>("question_ids")?[0] {
        return Err(
            fixture.invalid(format!("`k` counts {count} answers of {} questions, there are {answers}", counts.len()))
        );
    }
    fixture.expect("answer_mask", &[answers, tokens])?;
    fixture.expect("weights", &[answers])?;
    Ok(WeightedAnswers {
        tokens: TokenBatch { ids, mask: fixture.float("answer_mask", device)? },
        question: Tensor::from_data(TensorData::new(question, [count]), device),
        weight: fixture.float("weights", device)?,
    })
}

/// `rank_<ensemble>_k<k>_ids` and `…_probs`; `concat` is one clip, others join all clips.
fn rankings<B: TrainBackend>(
    context: &ParityContext<B>,
    model: &SvittQa<B::InnerBackend>,
    case: &Case,
    fixture: &Fixture,
    check: &mut FileCheck,
) -> Result<()> {
    let states = asked(context, model, case, fixture)?;
    let [listed, length] = context.captions::<B::InnerBackend>(fixture, "answer_list_ids")?.dims();
    fixture.expect("answer_list_mask", &[listed, length])?;
    let mask = &fixture.get("answer_list_mask")?.values;
    let list = AnswerList::new(&fixture.integers("answer_list_ids")?, mask, length, &context.device);
    for name in fixture.names() {
        let Some((ensemble, k)) = name.strip_prefix("rank_").and_then(|rest| ranking(rest.strip_suffix("_ids")?))
        else {
            continue;
        };
        let ranked = match ensemble {
            None => model.rank_answers(&states[..1], &list, k, ClipEnsemble::Lse),
            Some(ensemble) => model.rank_answers(&states, &list, k, ensemble),
        };
        let ids: Vec<f64> = ranked.iter().flat_map(|row| row.answers.iter().map(|&answer| answer as f64)).collect();
        check.compare(&name, TensorKind::Exact, &ids, &fixture.get(&name)?.values);
        let probabilities = |row: &RankedAnswers| row.probabilities.clone();
        let ours: Vec<f32> = ranked.iter().flat_map(probabilities).collect();
        let name = name.replace("_ids", "_probs");
        if let Some(reference) = fixture.find(&name) {
            check.compare(name, TensorKind::Probability, &ours, &reference.values);
        }
    }
    Ok(())
}

/// `<ensemble>_k<k>`; no ensemble for `concat`.
fn ranking(name: &str) -> Option<(Option<ClipEnsemble>, usize)> {
    let (ensemble, k) = name.split_once("_k")?;
    let known = ensemble_named(ensemble);
    (known.is_some() || ensemble == "concat").then_some((known, k.parse().ok()?))
}

/// `vqa_meta.json`.
#[derive(serde::Deserialize)]
struct Meta {
    #[serde(default)]
    questions: Vec<String>,
    /// Closed by [SEP].
    #[serde(default)]
    train_answers: Vec<String>,
    /// Not closed.
    #[serde(default)]
    answer_list: Vec<String>,
    load_messages: Messages,
    #[serde(default)]
    vqa_state_dict_keys: Vec<String>,
}

/// What PyTorch said when it loaded the pretrained weights.
#[derive(serde::Deserialize)]
struct Messages {
    missing: Vec<String>,
    unexpected: Vec<String>,
}

/// Compares `vqa_meta.json`, and the token ids in `tensors` to its texts where that file is there.
///
/// # Errors
/// The file or the weights cannot be read.
pub fn check_meta<B: TrainBackend>(
    context: &ParityContext<B>,
    tensors: &mut FileCheck,
    check: &mut FileCheck,
) -> Result<()> {
    let meta: Meta = read_json(&context.folder.join(FILE))?;
    let (questions, answers) = (context.cases.question_length, context.cases.answer_length);
    let texts: [([&str; 2], TextsWithIds<'_>); 3] = [
        (["question_ids", "question_mask"], spelled(&meta.questions, questions, Tokenizer::encode)),
        (["answer_ids", "answer_mask"], spelled(&meta.train_answers, answers, Tokenizer::encode_raw)),
        (["answer_list_ids", "answer_list_mask"], spelled(&meta.answer_list, answers, Tokenizer::encode_answer)),
    ];
    for (names, spelled) in texts {
        check_ids(context, "vqa", names, &spelled, tensors)?;
    }
    let case = context.cases.case("vqa", Some(MAIN))?.unwrap_or_else(|| Case::plain(None));
    let (_, report) = context.question_model(&case)?;
    let buffer = |name: &&String| name.ends_with(".relative_position_index");
    let missing = report.missing.iter().chain(report.rebuilt.iter().filter(buffer));
    check.names("load_messages.missing", missing, &meta.load_messages.missing);
    // The official question model has the pooler's norm and loads it, but never uses it.
    let unused = report.unused.iter().filter(|name| !name.starts_with("vision_encoder.pooler."));
    check.names("load_messages.unexpected", unused, &meta.load_messages.unexpected);
    if !meta.vqa_state_dict_keys.is_empty() {
        check.uncovered("vqa_state_dict_keys");
    }
    Ok(())
}

fn spelled<'a>(
    texts: &'a [String],
    length: usize,
    encode: fn(&Tokenizer, &str, usize) -> svitt::text::Encoding,
) -> TextsWithIds<'a> {
    TextsWithIds { texts, length, encode }
}
