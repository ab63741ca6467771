//! The video encoder with blocks that each clip and head chooses.

use super::{Svitt, Trace, VideoDraws};
use crate::config::{BlockChoice, Compat, EdgeSparsity, Selection, Sparsity};
use crate::testing::{assert_close, host, noise, on_cpu_backends, randomized, small_sparse_config};
use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use svitt_ops::SvittBackend;

/// 27 patches in 6 blocks in layer 0, 17 in 4 in layer 1; one block is local, two more are seen.
fn model<B: SvittBackend>(blocks: BlockChoice) -> Svitt<B> {
    let mut config = small_sparse_config(Compat::Corrected);
    config.video.sparsity.edge = Some(EdgeSparsity::new(1, 2, 5).with_blocks(blocks));
    randomized(Svitt::new(&config, 1, &Default::default()).unwrap(), 2)
}

fn clips<B: SvittBackend>() -> Tensor<B, 5> {
    noise(3, [2, 3, 3, 12, 12])
}

/// Clips do not depend on their neighbours in the batch, nor on the seed of drawn graphs.
fn every_clip_chooses_for_itself<B: SvittBackend>() {
    let video = model::<B>(BlockChoice::Top).video;
    let mut trace = Trace::default();
    let hidden = video.forward(clips(), &VideoDraws::evaluation(0), Some(&mut trace)).unwrap().hidden;
    let chosen = |layer: usize| trace.chosen[layer].clone().unwrap();
    assert_eq!([chosen(0).dims(), chosen(1).dims()], [[2, 3, 6, 2], [2, 3, 4, 2]]);
    let of_clip = |clip: usize| chosen(0).narrow(0, clip, 1).into_data().convert::<i64>().into_vec::<i64>().unwrap();
    assert_ne!(of_clip(0), of_clip(1));
    let heads: Vec<Vec<i64>> = of_clip(0).chunks(12).map(<[i64]>::to_vec).collect();
    assert!(heads[0] != heads[1] || heads[1] != heads[2], "heads choose, not the layer");
    for clip in 0..2 {
        let alone = video.forward(clips().narrow(0, clip, 1), &VideoDraws::evaluation(7), None).unwrap().hidden;
        assert_close(alone, hidden.clone().narrow(0, clip, 1), 1e-5);
    }
}

/// What a checkpoint trained with random blocks is switched to and from without training.
fn the_choice_is_a_setting_of_the_same_weights<B: SvittBackend>() {
    let features =
        |model: &Svitt<B>| host(model.encode_video_traced(clips(), &VideoDraws::evaluation(5), None).unwrap().feature);
    let random = model::<B>(BlockChoice::Random);
    let top = model::<B>(BlockChoice::Top);
    let switched = |model: &Svitt<B>, blocks| {
        let Sparsity { edge, node } = model.video.config().sparsity.clone();
        let sparsity = Sparsity { edge: edge.map(|edge| edge.with_blocks(blocks)), node };
        Svitt { video: model.video.clone().with_sparsity(sparsity).unwrap(), ..model.clone() }
    };
    assert_ne!(features(&random), features(&top));
    assert_eq!(features(&switched(&random, BlockChoice::Top)), features(&top));
    assert_eq!(features(&switched(&top, BlockChoice::Random)), features(&random));
}

/// Pruning by received attention counts the chosen blocks; gradients reach queries and keys through the attention.
fn it_prunes_and_learns<B: SvittBackend>()
where
    Autodiff<B>: SvittBackend + AutodiffBackend<InnerBackend = B>,
{
    let model = model::<Autodiff<B>>(BlockChoice::Top);
    let mut sparsity = model.video.config().sparsity.clone();
    sparsity.node.as_mut().unwrap().selection = Selection::Received;
    let video = model.video.with_sparsity(sparsity).unwrap();
    let mut trace = Trace::default();
    let output = video.forward(clips(), &VideoDraws::evaluation(0), Some(&mut trace)).unwrap();
    let received = host(trace.pruned[0].scores.clone().sum_dim(1));
    assert!(received.iter().all(|sum| (0.3..1.0).contains(sum)), "the class token gets the rest: {received:?}");
    let gradients = (output.hidden.clone() * noise(4, output.hidden.dims())).sum().backward();
    for layer in &video.layers {
        let gradient = host(layer.qkv.val().grad(&gradients).unwrap());
        let thirds: Vec<f32> = (0..3)
            .map(|part| gradient.chunks(15).skip(part).step_by(3).flatten().map(|g| g.abs()).sum::<f32>())
            .collect();
        assert!(thirds.iter().all(|sum| sum.is_finite() && *sum > 0.0), "{thirds:?}");
    }
}

on_cpu_backends!(every_clip_chooses_for_itself, the_choice_is_a_setting_of_the_same_weights, it_prunes_and_learns,);
