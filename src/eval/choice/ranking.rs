//! Rankings that some of these benchmarks report as well, by the two encoders.

use super::{Candidate, ChoiceSet, Scored};
use crate::data::Benchmark;
use crate::eval::metrics::{ChoiceOutcome, RankCounter, RetrievalMetrics, average_precision};
use crate::eval::report::rounded;
use serde_json::{Map, Value, json};

/// The rankings of `benchmark`, where it has any.
pub fn ranking(benchmark: Benchmark, set: &ChoiceSet, scored: &Scored) -> Option<Value> {
    match benchmark {
        Benchmark::Rtime => Some(both_ways(set, scored)),
        Benchmark::Ssv2Chiral => Some(opposite_templates(set, scored)),
        Benchmark::Ssv2Temporal if !set.captioned.is_empty() => {
            Some(json!({"retrieval": by_text(&set.captioned, scored)}))
        }
        _ => None,
    }
}

/// RTime: forward clips and texts alone (`origin`), and with the reversed ones (`hard`).
fn both_ways(set: &ChoiceSet, scored: &Scored) -> Value {
    let forward = set.twins.iter().map(|twins| (twins.videos[0], twins.texts[0])).collect::<Vec<_>>();
    // Side by side, so that the rule for equal scores favours neither direction.
    let all = set.twins.iter().flat_map(|twins| [0, 1].map(|side| (twins.videos[side], twins.texts[side]))).collect();
    json!({"origin": directions(forward, scored), "hard": directions(all, scored)})
}

/// Every text ranks every clip and the other way round; equal texts are right for each other's clips.
fn directions(mut pairs: Vec<(usize, usize)>, scored: &Scored) -> Value {
    let asked = pairs.len();
    pairs.retain(|&(video, _)| scored.is_present(video));
    let (mut t2v, mut v2t) = (RankCounter::new(), RankCounter::new());
    for &(video, text) in &pairs {
        let right: Vec<usize> = (0..pairs.len()).filter(|&other| pairs[other].1 == text).collect();
        let of_text: Vec<f32> = pairs.iter().map(|&(other, _)| scored.dual(other, text)).collect();
        let of_video: Vec<f32> = pairs.iter().map(|&(_, other)| scored.dual(video, other)).collect();
        t2v.push(&of_text, &right);
        v2t.push(&of_video, &right);
    }
    for _missing in pairs.len()..asked {
        t2v.push_miss();
        v2t.push_miss();
    }
    let [t2v, v2t] = [t2v, v2t].map(|counter: RankCounter| RetrievalMetrics::rounded(counter.metrics()));
    json!({"t2v": t2v, "v2t": v2t})
}

/// A clip of a pair of opposite templates: the pair, the side, its texts.
struct Sided {
    video: usize,
    pair: usize,
    side: usize,
}

/// What a template or clip is ranked among.
#[derive(Clone, Copy)]
enum Distractors {
    /// The opposite template.
    Chiral,
    /// The same side of other pairs.
    Static,
    /// Everything.
    All,
}

impl Distractors {
    const ALL: [Self; 3] = [Self::Chiral, Self::Static, Self::All];

    fn name(self) -> &'static str {
        match self {
            Self::Chiral => "chiral",
            Self::Static => "static",
            Self::All => "all",
        }
    }

    /// Whether `clip` and the template of `pair` and `side` are ranked among each other.
    fn has(self, clip: &Sided, pair: usize, side: usize) -> bool {
        match self {
            Self::Chiral => clip.pair == pair,
            Self::Static => clip.side == side,
            Self::All => true,
        }
    }
}

/// Something-Something, opposite templates, with three kinds of distractors: those of the opposite template, those of
/// the same side of other pairs, and all.
fn opposite_templates(set: &ChoiceSet, scored: &Scored) -> Value {
    let mut pairs: Vec<(&str, [usize; 2])> = Vec::new();
    let mut clips = Vec::new();
    for question in &set.questions {
        let ([one, other], Some(name)) = (&question.candidates[..], question.types.first()) else { continue };
        let known = pairs.iter().position(|(pair, _)| pair == name);
        let pair = known.unwrap_or_else(|| {
            pairs.push((name, [one.text, other.text]));
            pairs.len() - 1
        });
        clips.push(Sided { video: one.video, pair, side: question.right });
    }
    clips.retain(|clip| scored.is_present(clip.video));
    let mut report = Map::new();
    for mode in Distractors::ALL {
        let (maps, positives): (Vec<f64>, Vec<f64>) =
            sides(&pairs).filter_map(|(pair, side, text)| precision(&clips, scored, text, [pair, side], mode)).unzip();
        let r1 = clips.iter().map(|clip| first_text(clip, &pairs, scored, mode)).collect::<Vec<_>>();
        report.insert(
            mode.name().into(),
            json!({"map": mean(&maps), "r1": mean(&r1), "positives": mean(&positives), "queries": maps.len()}),
        );
    }
    let by_pair = pairs.iter().enumerate().map(|(number, (name, texts))| {
        let opposite = Distractors::Chiral;
        let found = (0..2).filter_map(|side| precision(&clips, scored, texts[side], [number, side], opposite));
        let (maps, positives): (Vec<f64>, Vec<f64>) = found.unzip();
        ((*name).to_owned(), json!({"map": mean(&maps), "positives": mean(&positives)}))
    });
    report.insert("by_pair".into(), Value::Object(by_pair.collect()));
    Value::Object(report)
}

/// Pair, side and text of every template.
fn sides<'a>(pairs: &'a [(&str, [usize; 2])]) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
    let numbered = pairs.iter().enumerate();
    numbered.flat_map(|(pair, (_, texts))| (0..2).map(move |side| (pair, side, texts[side])))
}

/// Average precision of `text` among the candidate clips, and what a blind ranking has; none without a right one.
fn precision(
    clips: &[Sided],
    scored: &Scored,
    text: usize,
    [pair, side]: [usize; 2],
    mode: Distractors,
) -> Option<(f64, f64)> {
    let among: Vec<&Sided> = clips.iter().filter(|clip| mode.has(clip, pair, side)).collect();
    let right: Vec<bool> = among.iter().map(|clip| clip.pair == pair && clip.side == side).collect();
    let scores: Vec<f32> = among.iter().map(|clip| scored.dual(clip.video, text)).collect();
    let share = right.iter().filter(|right| **right).count() as f64 / right.len().max(1) as f64;
    (share > 0.0).then(|| (average_precision(&scores, &right), share))
}

/// Whether the own text of `clip` stands first among the candidate texts; shared among equal ones.
fn first_text(clip: &Sided, pairs: &[(&str, [usize; 2])], scored: &Scored, mode: Distractors) -> f64 {
    let among: Vec<_> = sides(pairs).filter(|&(pair, side, _)| mode.has(clip, pair, side)).collect();
    let right = among.iter().position(|&(pair, side, _)| pair == clip.pair && side == clip.side);
    let scores: Vec<f32> = among.iter().map(|&(_, _, text)| scored.dual(clip.video, text)).collect();
    right.map_or(0.0, |right| ChoiceOutcome::of(&scores, right).credit)
}

/// Texts that rank clips, each text once: average precision, and whether any of its clips is among the first.
fn by_text(captioned: &[Candidate], scored: &Scored) -> Value {
    let present: Vec<&Candidate> = captioned.iter().filter(|pair| scored.is_present(pair.video)).collect();
    let mut texts: Vec<usize> = captioned.iter().map(|pair| pair.text).collect();
    texts.sort_unstable();
    texts.dedup();
    let (mut ranks, mut maps) = (RankCounter::new(), Vec::new());
    for &text in &texts {
        let scores: Vec<f32> = present.iter().map(|pair| scored.dual(pair.video, text)).collect();
        let right: Vec<bool> = present.iter().map(|pair| pair.text == text).collect();
        maps.push(average_precision(&scores, &right));
        ranks.push(&scores, &(0..right.len()).filter(|&at| right[at]).collect::<Vec<_>>());
    }
    let metrics = ranks.metrics().rounded();
    json!({
        "map": mean(&maps), "r1": metrics.r1, "r5": metrics.r5, "r10": metrics.r10,
        "texts": texts.len(), "videos": captioned.len(), "tied_queries": metrics.tied_queries,
    })
}

/// The mean of shares, in percent to two decimals.
fn mean(shares: &[f64]) -> f64 {
    rounded(100.0 * shares.iter().sum::<f64>() / shares.len().max(1) as f64)
}
