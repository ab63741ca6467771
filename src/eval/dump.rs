//! One JSON line per query (`--dump`).

use super::choice::{ChoiceSet, Measured};
use super::dual_scores;
use super::metrics::top_k;
use super::question_answering::{Candidates, QuestionOutcome};
use super::{QuestionSet, RetrievalOutcome, RetrievalSet};
use serde_json::{Value, json};

/// Candidates that are named per query.
const NAMED: usize = 10;

/// Both directions of a retrieval; ranks count from 1, none for a miss.
pub fn retrieval(ranked: &RetrievalSet, outcome: &RetrievalOutcome) -> Vec<Value> {
    let media = |video: usize| ranked.videos[video].media.as_str();
    let names: Vec<&str> = outcome.present.iter().map(|&video| media(video)).collect();
    let (truths, _) = ranked.truths(|_| true);
    let width = outcome.text_features.len() / ranked.texts.len().max(1);
    let rows = |features: &'_ [f32], i: usize| features[i * width..(i + 1) * width].to_vec();
    let is_reranked = outcome.reranked.is_some();
    let texts = ranked.texts.iter().enumerate().map(|(text, caption)| {
        let scores = match is_reranked {
            true => outcome.scores.text_row(text),
            false => dual_scores(&rows(&outcome.text_features, text), &outcome.video_features, width),
        };
        let right: Vec<&str> = truths.videos_of_text[text].iter().map(|&video| media(video)).collect();
        line("t2v", caption, right, &best(&scores, &names), ranks(outcome, 0, text))
    });
    let captions: Vec<&str> = ranked.texts.iter().map(String::as_str).collect();
    let texts_of = |video: usize| -> Vec<&str> { truths.texts_of_video[video].iter().map(|&t| captions[t]).collect() };
    let videos = names.iter().enumerate().map(|(video, name)| {
        let scores = match is_reranked {
            true => outcome.scores.video_row(video),
            false => dual_scores(&rows(&outcome.video_features, video), &outcome.text_features, width),
        };
        let right = texts_of(outcome.present[video]);
        line("v2t", name, right, &best(&scores, &captions), ranks(outcome, 1, video))
    });
    let missing = (0..ranked.videos.len()).filter(|video| outcome.present.binary_search(video).is_err());
    let missing = missing.map(|video| line("v2t", media(video), texts_of(video), &[], [None, None]));
    texts.chain(videos).chain(missing).collect()
}

/// Rank after re-ranking (or by the two encoders) and rank by the two encoders.
fn ranks(outcome: &RetrievalOutcome, direction: usize, query: usize) -> [Option<usize>; 2] {
    let place = |ranks: &[super::metrics::RankCounter; 2]| {
        ranks[direction].best_ranks().get(query).copied().flatten().map(|place| place + 1)
    };
    [place(outcome.reranked.as_ref().unwrap_or(&outcome.dual)), place(&outcome.dual)]
}

fn best(scores: &[f32], names: &[&str]) -> Vec<Value> {
    top_k(scores, NAMED).into_iter().map(|i| json!({"candidate": names[i], "score": scores[i]})).collect()
}

fn line(direction: &str, query: &str, right: Vec<&str>, top: &[Value], [rank, dual]: [Option<usize>; 2]) -> Value {
    json!({"direction": direction, "query": query, "right": right, "rank": rank, "rank_dual": dual, "top": top})
}

/// One line per question.
pub fn answers(asked: &QuestionSet, candidates: &Candidates, outcome: &QuestionOutcome) -> Vec<Value> {
    let line = |(question, prediction): (&super::Question, &super::question_answering::Prediction)| {
        let named = prediction.ranked.answers.iter().zip(&prediction.ranked.probabilities).take(NAMED);
        let top: Vec<Value> =
            named.map(|(&answer, p)| json!({"answer": candidates.texts[answer], "probability": p})).collect();
        json!({
            "id": question.id,
            "video": asked.videos[question.video].media,
            "question": question.text,
            "types": question.types,
            "answers": question.answers,
            "prediction": prediction.ranked.answers.first().map(|&answer| &candidates.texts[answer]),
            "correct": prediction.correct,
            "top": top,
        })
    };
    asked.questions.iter().zip(&outcome.predictions).map(line).collect()
}

/// One line per choice.
pub fn choices(set: &ChoiceSet, measured: &Measured) -> Vec<Value> {
    let line = |(number, question): (usize, &super::choice::ChoiceQuestion)| {
        let candidates = question.candidates.iter().enumerate().map(|(at, candidate)| {
            let score = |scores: &[Vec<f32>]| scores[number].get(at).copied();
            json!({
                "video": set.videos[candidate.video].clip_name(),
                "text": set.texts[candidate.text],
                "itc": score(&measured.itc.scores),
                "itm": score(&measured.itm.scores),
            })
        });
        json!({
            "id": question.id,
            "types": question.types,
            "right": question.right,
            "candidates": candidates.collect::<Vec<_>>(),
            "itc": measured.itc.questions[number].credit,
            "itm": measured.itm.questions[number].credit,
        })
    };
    set.questions.iter().enumerate().map(line).collect()
}
