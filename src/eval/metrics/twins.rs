//! Twins: a clip and its reversal, each with its own caption. A model without temporal order cannot tell them apart.

use serde::{Deserialize, Serialize};

/// Percentages over pairs of twins. Equal scores count half in `pair` and not at all in the strict three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TwinScores {
    /// The right assignment of captions to clips has the higher sum; chance is 50, and a model that ignores order,
    /// whose four scores are equal, has exactly 50.
    pub pair: f64,
    /// For both clips, the right caption scores higher; chance is 25.
    pub text: f64,
    /// For both captions, the right clip scores higher; chance is 25.
    pub video: f64,
    /// Text and video both right; chance is 16.7.
    pub group: f64,
    /// Pairs counted.
    pub pairs: usize,
}

/// The figures over `scores[clip][caption]` of each pair, the right captions on the diagonal.
pub fn twin_scores(scores: impl IntoIterator<Item = [[f32; 2]; 2]>) -> TwinScores {
    let (mut pairs, [mut pair, mut text, mut video, mut group]) = (0usize, [0.0; 4]);
    for [[right_0, wrong_0], [wrong_1, right_1]] in scores {
        let margin = (right_0 + right_1) - (wrong_0 + wrong_1);
        let texts = right_0 > wrong_0 && right_1 > wrong_1;
        let videos = right_0 > wrong_1 && right_1 > wrong_0;
        pairs += 1;
        pair += if margin == 0.0 { 0.5 } else { f64::from(margin > 0.0) };
        text += f64::from(texts);
        video += f64::from(videos);
        group += f64::from(texts && videos);
    }
    let [pair, text, video, group] = [pair, text, video, group].map(|sum: f64| 100.0 * sum / pairs.max(1) as f64);
    TwinScores { pair, text, video, group, pairs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use svitt_ops::rng::Rng;

    #[test]
    fn text_video_and_group_scores_are_distinct() {
        let all_right = [[0.9, 0.1], [0.2, 0.8]];
        let text_only = [[0.9, 0.8], [0.1, 0.2]];
        let video_only = [[0.3, 0.4], [0.1, 0.9]];
        let blind = [[0.5, 0.5], [0.5, 0.5]];
        let scores = twin_scores([all_right, text_only, video_only, blind]);
        assert_eq!(scores, TwinScores { pair: 87.5, text: 50.0, video: 50.0, group: 25.0, pairs: 4 });
        assert_eq!(twin_scores([blind]).pair, 50.0);
    }

    #[test]
    fn chance_is_as_documented() {
        let mut rng = Rng::new(1, &[]);
        let mut draw = || rng.uniform() as f32;
        let scores = twin_scores((0..60_000).map(|_| [[draw(), draw()], [draw(), draw()]]));
        for (value, chance) in [(scores.pair, 50.0), (scores.text, 25.0), (scores.video, 25.0), (scores.group, 16.67)] {
            assert!((value - chance).abs() < 1.0, "{scores:?}");
        }
    }
}
