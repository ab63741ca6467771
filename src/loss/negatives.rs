//! Hard negatives for matching, drawn on the device (docs/model.md, "Matching loss").

use super::contrastive::same_identity;
use burn::tensor::{Int, Tensor, TensorData, activation::softmax, backend::Backend};
use svitt_ops::rng::Rng;

/// Far below every similarity (|sim| ≤ 1 / 0.001) plus Gumbel noise, and finite.
const EXCLUDED: f64 = -1e9;

/// Where the draws come from.
#[derive(Clone, Debug)]
pub enum NegativeDraws<B: Backend> {
    /// Gumbel noise `[2, batch, batch]` (see [`gumbel_noise`]): first for the videos, then for the texts.
    Gumbel(Tensor<B, 3>),
    /// The negatives themselves.
    Injected(Negatives<B>),
}

/// One negative per row and direction.
#[derive(Clone, Debug)]
pub struct Negatives<B: Backend> {
    /// For each text a video of another identity, `[batch]`.
    pub video: Tensor<B, 1, Int>,
    /// For each video a text of another identity, `[batch]`.
    pub text: Tensor<B, 1, Int>,
}

/// Standard Gumbel noise `[2, batch, batch]` from `rng`, for [`NegativeDraws::Gumbel`].
pub fn gumbel_noise<B: Backend>(batch: usize, rng: &mut Rng, device: &B::Device) -> Tensor<B, 3> {
    let noise: Vec<f32> = (0..2 * batch * batch).map(|_| rng.gumbel() as f32).collect();
    Tensor::from_data(TensorData::new(noise, [2, batch, batch]), device)
}

/// The weights of the official multinomial draw: softmax of the rows of `similarity` `[batch, batch]` (+ 1e-4, which a
/// softmax does not see), same identities zeroed afterwards. [`hard_negatives`] draws from them without forming them.
pub fn negative_weights<B: Backend>(similarity: Tensor<B, 2>, identity: &Tensor<B, 1, Int>) -> Tensor<B, 2> {
    softmax(similarity.add_scalar(1e-4), 1) * (same_identity(identity) * -1.0 + 1.0)
}

/// Draws one negative per row and direction from the rows of `similarity` `[batch, batch]` (videos in rows) and of its
/// transpose, with probabilities in proportion to exp(`sharpness` · similarity):
/// [`crate::config::PUBLISHED_SHARPNESS`], or 0 for any other identity, equally likely. What a head learns from them is
/// by how much a pair is likelier than its draw, so at 1 it completes the similarity, and at 0 it has to know it as well.
///
/// Gumbel-max: the argmax of logit plus noise is a draw from the softmax, and leaving out the same identities before is
/// zeroing their weights. No gradient, nothing read back.
///
/// A batch of one identity has no negatives: row 0 is returned for every row then, and [`super::matching`] gives 0.
pub fn hard_negatives<B: Backend>(
    similarity: Tensor<B, 2>,
    identity: &Tensor<B, 1, Int>,
    draws: &NegativeDraws<B>,
    sharpness: f64,
) -> Negatives<B> {
    let noise = match draws {
        NegativeDraws::Injected(negatives) => return negatives.clone(),
        NegativeDraws::Gumbel(noise) => noise,
    };
    let batch = identity.dims()[0];
    let same = same_identity(identity).bool();
    let logits = similarity.detach().mul_scalar(sharpness);
    let draw = |logits: Tensor<B, 2>, direction: usize| {
        let noise = noise.clone().slice([direction..direction + 1]).reshape([batch, batch]);
        (logits + noise).mask_fill(same.clone(), EXCLUDED).argmax(1).reshape([batch])
    };
    Negatives { video: draw(logits.clone().transpose(), 0), text: draw(logits, 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PUBLISHED_SHARPNESS;
    use crate::testing::{host, on_cpu_backends};

    fn ints<B: Backend>(x: Tensor<B, 1, Int>) -> Vec<i64> {
        x.into_data().convert::<i64>().into_vec().unwrap()
    }

    fn identity<B: Backend>() -> Tensor<B, 1, Int> {
        Tensor::from_data([7, 3, 3, 5], &Default::default())
    }

    fn similarity<B: Backend>() -> Tensor<B, 2> {
        let rows = [[9.0, 0.5, -1.0, 1.2], [0.0, 8.0, 3.0, 1.0], [-0.5, 0.25, 9.5, 0.0], [1.0, 0.0, 0.5, 2.0]];
        Tensor::from_data(rows, &Default::default())
    }

    fn draws<B: Backend>(sharpness: f64) -> [[[f64; 4]; 4]; 2] {
        const DRAWS: usize = 3000;
        let mut shares = [[[0.0; 4]; 4]; 2];
        let mut rng = Rng::new(9, &[]);
        for _ in 0..DRAWS {
            let noise = NegativeDraws::Gumbel(gumbel_noise::<B>(4, &mut rng, &Default::default()));
            let drawn = hard_negatives(similarity(), &identity(), &noise, sharpness);
            for (direction, drawn) in [drawn.video, drawn.text].into_iter().enumerate() {
                ints(drawn).iter().enumerate().for_each(|(row, &j)| shares[direction][row][j as usize] += 1.0);
            }
        }
        shares.map(|rows| rows.map(|row| row.map(|count: f64| count / DRAWS as f64)))
    }

    fn hard_negatives_follow_the_official_weights<B: Backend>() {
        follows::<B>(PUBLISHED_SHARPNESS);
    }

    fn softer_negatives_follow_a_flatter_similarity<B: Backend>() {
        follows::<B>(0.3);
    }

    fn follows<B: Backend>(sharpness: f64) {
        let shares = draws::<B>(sharpness);
        let similarity = similarity::<B>().mul_scalar(sharpness);
        let weights = [similarity.clone().transpose(), similarity];
        let weights = weights.map(|s| host(negative_weights(s, &identity())));
        for (shares, weights) in shares.iter().zip(weights) {
            for (row, weights) in shares.iter().zip(weights.chunks(4)) {
                let sum: f32 = weights.iter().sum();
                for (share, weight) in row.iter().zip(weights) {
                    assert!((share - f64::from(weight / sum)).abs() < 0.035, "{row:?} {weights:?}");
                    assert!(*weight > 0.0 || *share == 0.0, "a positive was drawn");
                }
            }
        }
    }

    fn uniform_negatives_do_not_look_at_the_similarity<B: Backend>() {
        let shares = draws::<B>(0.0);
        for (found, expected) in shares[1][0].iter().zip([0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]) {
            assert!((found - expected).abs() < 0.035, "{:?}", shares[1][0]);
        }
        assert_eq!((shares[0][1][1], shares[0][1][2], shares[0][2][1]), (0.0, 0.0, 0.0));
    }

    fn injected_negatives_pass_through<B: Backend>() {
        let given = Negatives {
            video: Tensor::<B, 1, Int>::from_data([3, 0, 0, 1], &Default::default()),
            text: Tensor::from_data([1, 3, 0, 2], &Default::default()),
        };
        let found = hard_negatives(similarity(), &identity(), &NegativeDraws::Injected(given), PUBLISHED_SHARPNESS);
        assert_eq!((ints(found.video), ints(found.text)), (vec![3, 0, 0, 1], vec![1, 3, 0, 2]));
    }

    on_cpu_backends!(
        hard_negatives_follow_the_official_weights,
        softer_negatives_follow_a_flatter_similarity,
        uniform_negatives_do_not_look_at_the_similarity,
        injected_negatives_pass_through,
    );
}
