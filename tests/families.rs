//! Singularity's and UMT's video sides against numbers of their official code, and sparse without training.
//!
//! `fixtures/singularity_temporal.safetensors` and `fixtures/umt.safetensors` hold the video encoders of random models of
//! the official classes, a clip, and what the official code made of it. Whole sets, text and question answering
//! included, are compared by `cargo xtask parity`.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use svitt::config::{
    EdgeSparsity, ModelConfig, NodeSparsity, Pooling, Positions, Selection, Sparsity, TemporalConfig, TextConfig,
    VideoConfig,
};
use svitt::index::{ClipEmbedding, Index, IndexWriter, ModelId, Stamp};
use svitt::model::{EncodedVideo, Svitt, Trace, VideoDraws};
use svitt::weights::{CheckpointPart, MatchOptions, WeightSource, load, safetensors};
use svitt_ops::SvittBackend;

/// Parts that the fixtures leave out.
const ABSENT: [&str; 3] = ["text_encoder", "text_proj", "itm_head"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The sizes of both models: 48 px in patches of 16, three layers of 48.
fn sizes(frames: usize, heads: usize, ffn: usize) -> ModelConfig {
    let base = ModelConfig::tiny(frames);
    let video = VideoConfig {
        image_size: 48,
        patch_size: 16,
        hidden: 48,
        layers: 3,
        heads,
        ffn,
        layer_scale: Some(0.1),
        ..base.video
    };
    let text = TextConfig { hidden: 48, heads: 3, ffn: 80, layers: 3, ..base.text };
    ModelConfig { video, text, embed_dim: 20, ..base }
}

fn singularity() -> ModelConfig {
    let mut config = sizes(2, 4, 96);
    config.video = config.video.singularity(Some(TemporalConfig { frames: 2, layers: 2, heads: 3, ffn: 80 }));
    config
}

fn umt() -> ModelConfig {
    let mut config = sizes(4, 4, 192);
    config.video = config.video.umt();
    config
}

/// A file of weights, inputs and outputs.
struct Numbers {
    path: PathBuf,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Numbers {
    fn open(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).unwrap();
        let tensors = safetensors::read(&bytes).unwrap().tensors;
        let tensors = tensors.into_iter().map(|(name, view)| {
            let tensor = view.read(&bytes);
            (name, (tensor.shape, tensor.values))
        });
        Self { tensors: tensors.collect(), path }
    }

    fn tensor<B: Backend, const D: usize>(&self, name: &str) -> Tensor<B, D> {
        let (shape, values) = &self.tensors[name];
        Tensor::from_data(TensorData::new(values.clone(), shape.clone()), &Default::default())
    }

    /// The pixels `name`, in −1 to 1 as models take them here.
    fn video<B: Backend>(&self, name: &str, config: &ModelConfig) -> Tensor<B, 5> {
        let video = self.tensor::<B, 5>(name);
        let Some(scale) = config.video.pixels.from_symmetric() else { return video };
        let [factor, summand] =
            scale.map(|row| Tensor::<B, 1>::from_floats(row, &video.device()).reshape([1, 1, 3, 1, 1]));
        (video - summand) / factor
    }

    fn model<B: SvittBackend>(&self, config: &ModelConfig) -> Svitt<B> {
        let source = WeightSource::open(&self.path).unwrap();
        let fresh = Svitt::<B>::new(config, 3, &Default::default()).unwrap();
        let allow_missing = ABSENT.map(str::to_string).to_vec();
        let options = MatchOptions { allow_missing, ..MatchOptions::default() };
        load(fresh, &source, config, CheckpointPart::Pretraining, &options).unwrap().0
    }

    /// The largest difference of `ours` from the tensor `name`.
    fn apart<B: Backend, const D: usize>(&self, name: &str, ours: Tensor<B, D>) -> f32 {
        let (shape, values) = &self.tensors[name];
        assert_eq!(shape.iter().product::<usize>(), ours.shape().num_elements(), "{name}");
        let ours: Vec<f32> = ours.into_data().to_vec().unwrap();
        ours.iter().zip(values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    /// Places that the mask `name` `[clips, patches]` does not hide.
    fn visible<B: Backend>(&self, name: &str) -> Tensor<B, 2, Int> {
        let (shape, mask) = &self.tensors[name];
        let places: Vec<i64> = (0..shape[1] as i64).filter(|&place| mask[place as usize] == 0.0).collect();
        Tensor::<B, 1, Int>::from_data(places.as_slice(), &Default::default()).unsqueeze()
    }
}

/// The mean over frames of their unit vectors: what the official features `[1, frames, e]` become here.
fn mean_over_frames<B: Backend>(features: Tensor<B, 3>) -> Tensor<B, 2> {
    features.mean_dim(1).squeeze_dim(1)
}

fn host<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
    x.into_data().to_vec().unwrap()
}

fn singularity_apart<B: SvittBackend>(numbers: &Numbers) -> f32 {
    let model = numbers.model::<B>(&singularity());
    let mut worst = 0f32;
    for tag in ["temporal_1f", "temporal_2f", "temporal_4f"] {
        let output = model.video.forward(numbers.tensor(&format!("{tag}.video")), &draws(), None).unwrap();
        let pooled = model.video.pool(output.hidden.clone(), output.frames);
        let encoded = model.read_out(output, &draws());
        let feature = mean_over_frames::<B>(numbers.tensor(&format!("{tag}.feature")));
        worst = worst.max(numbers.apart(&format!("{tag}.embeds"), encoded.embeds));
        worst = worst.max(numbers.apart(&format!("{tag}.pooled"), pooled));
        worst = worst.max(10.0 * host((encoded.feature - feature).abs().max())[0]);
    }
    worst
}

fn draws() -> VideoDraws {
    VideoDraws::evaluation(5)
}

fn singularity_is_exact<B: SvittBackend>() {
    let numbers = Numbers::open(fixture("singularity_temporal.safetensors"));
    let worst = singularity_apart::<B>(&numbers);
    assert!(worst < 2e-5, "{worst}");
}

/// What UMT makes of the clip of `tag`, or of `video`.
fn umt_encoded<B: SvittBackend>(
    numbers: &Numbers,
    config: &ModelConfig,
    video: &str,
    visible: Option<Tensor<B, 2, Int>>,
) -> (EncodedVideo<B>, Trace<B>) {
    let (model, mut trace) = (numbers.model::<B>(config), Trace::default());
    let video = numbers.video(video, config);
    let output = model.video.forward_visible(video, visible.as_ref(), &draws(), Some(&mut trace)).unwrap();
    (model.read_out(output, &draws()), trace)
}

fn umt_apart<B: SvittBackend>(numbers: &Numbers) -> f32 {
    let mut worst = 0f32;
    let mut note = |apart: f32| worst = worst.max(apart);
    let feature = |tag: &str| mean_over_frames::<B>(numbers.tensor(&format!("{tag}.feature")));
    let unit = |ours: Tensor<B, 2>, tag: &str| 10.0 * host((ours - feature(tag)).abs().max())[0];
    let (encoded, trace) = umt_encoded::<B>(numbers, &umt(), "trained.video", None);
    note(numbers.apart("trained.embeds", encoded.embeds));
    note(numbers.apart("trained.layer.2", trace.layers[2].clone().narrow(1, 1, 36)));
    note(10.0 * numbers.apart("trained.received.1", trace.class_attention[1].clone()));
    note(unit(encoded.feature, "trained"));
    let visible = numbers.visible::<B>("pruned.mask");
    let (encoded, _) = umt_encoded(numbers, &umt(), "trained.video", Some(visible));
    note(numbers.apart("pruned.embeds", encoded.embeds));
    note(unit(encoded.feature, "pruned"));
    let mut whole = umt();
    whole.video.pooling = Pooling::Normalised;
    let (encoded, _) = umt_encoded(numbers, &whole, "trained.video", Some(numbers.visible::<B>("masked.mask")));
    note(unit(encoded.feature, "masked"));
    let mut stretched = umt();
    stretched.video.positions = Positions::Sinusoid { stretched_from: Some(4) };
    stretched.video.frames = 3;
    let (encoded, _) = umt_encoded::<B>(numbers, &stretched, "shorter_interpolated.video", None);
    note(unit(encoded.feature, "shorter_interpolated"));
    worst
}

fn umt_is_exact<B: SvittBackend>() {
    let worst = umt_apart::<B>(&Numbers::open(fixture("umt.safetensors")));
    assert!(worst < 2e-5, "{worst}");
}

/// Five of nine patches of every frame, or twenty of all, by what they received in layer 0.
fn umt_pruned_in_the_middle_is_exact<B: SvittBackend>() {
    let numbers = Numbers::open(fixture("umt.safetensors"));
    for (tag, pooling, keep_rate) in
        [("middle_per_frame", Pooling::NormalisedPerFrame, 0.5), ("middle_whole_clip", Pooling::Normalised, 0.55)]
    {
        let mut config = umt();
        config.video.pooling = pooling;
        config.video.sparsity.node = Some(NodeSparsity::by_class(keep_rate, &[0]));
        let (encoded, _) = umt_encoded::<B>(&numbers, &config, "trained.video", None);
        assert_eq!(numbers.apart(&format!("{tag}.kept"), encoded.token_ids.float()), 0.0, "{tag}");
        let feature = mean_over_frames::<B>(numbers.tensor(&format!("{tag}.feature")));
        let apart = host((encoded.feature - feature).abs().max())[0];
        assert!(apart < 2e-6, "{tag}: {apart}");
    }
    let mut config = umt();
    config.video.sparsity.node = Some(NodeSparsity { keep_rate: 1.0, layers: vec![], selection: Selection::MeanQuery });
    let (_, trace) = umt_encoded::<B>(&numbers, &config, "trained.video", None);
    assert!(numbers.apart("trained.mean_query.1", trace.class_attention[1].clone()) < 2e-6);
}

/// One weight of each file moved by a hundredth, and both tests see it.
fn a_moved_weight_is_seen<B: SvittBackend>() {
    let folder = tempfile::tempdir().unwrap();
    for (file, weight, apart) in [
        (
            "singularity_temporal.safetensors",
            "temporal_vision_encoder.layer.1.attention.self.key.weight",
            singularity_apart::<B> as fn(&Numbers) -> f32,
        ),
        ("umt.safetensors", "vision_encoder.encoder.blocks.2.attn.qkv.weight", umt_apart::<B>),
    ] {
        let mut bytes = std::fs::read(fixture(file)).unwrap();
        let (header, metadata) = ::safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let at = 8 + header + metadata.info(weight).unwrap().data_offsets.0;
        let moved = f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) + 0.1;
        bytes[at..at + 4].copy_from_slice(&moved.to_le_bytes());
        let path = folder.path().join(file);
        std::fs::write(&path, bytes).unwrap();
        let worst = apart(&Numbers::open(path));
        assert!(worst > 2e-4, "{file}: {worst}");
    }
}

/// What a search by `text` finds an indexed clip to be worth, whose vector is `feature`.
fn index_score(feature: Vec<f32>, text: &[f32]) -> f32 {
    let (folder, path) = (tempfile::tempdir().unwrap(), Path::new("clip.mp4"));
    let [model, weights, configuration, vocabulary] = ["m", "w", "c", "v"].map(str::to_owned);
    let (sparsity, precision, dim) = (Sparsity::default(), Default::default(), text.len());
    let id = ModelId { model, weights, configuration, vocabulary, sparsity, dim, precision };
    let mut indexer = IndexWriter::open(folder.path(), &id).unwrap();
    let stamp = Stamp { size: 1, modified_ns: 2, clip_windows: "whole".into() };
    indexer.add(path, stamp, vec![ClipEmbedding { start: 0.0, end: 1.0, vector: feature }]).unwrap();
    indexer.finish().unwrap();
    Index::open(folder.path()).unwrap().search(text, 1).unwrap()[0].score
}

/// A search scores as evaluation does, and as the official code: by the mean of the frames' cosines.
fn searched_as_evaluated<B: SvittBackend>() {
    for (file, tag, config) in [("singularity_temporal", "temporal_4f", singularity()), ("umt", "trained", umt())] {
        let numbers = Numbers::open(fixture(&format!("{file}.safetensors")));
        let (feature, _) = features::<B>(&numbers, &config, &format!("{tag}.video"));
        let (shape, frames) = &numbers.tensors[&format!("{tag}.feature")];
        assert_eq!(shape[1..], [4, 20], "a vector per frame");
        let length = feature.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!(length < 0.999, "{file}: the mean of {} different unit vectors has length {length}", shape[1]);
        // One text along the first frame's vector, one along a number of it.
        for text in [frames[..20].to_vec(), (0..20).map(|at| f32::from(at == 3)).collect()] {
            let cosine = |frame: &[f32]| frame.iter().zip(&text).map(|(a, b)| a * b).sum::<f32>();
            let official = frames.chunks(20).map(cosine).sum::<f32>() / 4.0;
            let evaluated = svitt::eval::dual_scores(&text, &feature, 20)[0];
            let searched = index_score(feature.clone(), &text);
            assert!((searched - evaluated).abs() < 1e-6, "{file}: {searched} and {evaluated}");
            assert!((searched - official).abs() < 1e-5, "{file}: {searched} and {official}");
        }
    }
}

fn features<B: SvittBackend>(numbers: &Numbers, config: &ModelConfig, video: &str) -> (Vec<f32>, Vec<f32>) {
    let model = numbers.model::<B>(config);
    let encoded = model.encode_video(numbers.video(video, config), &draws()).unwrap();
    (host(encoded.feature), host(encoded.embeds))
}

/// Keep rate 1 is the dense model bit for bit; below it, every frame keeps as many, and edges and nodes go together.
fn sparse_without_training<B: SvittBackend>() {
    for (file, video, config) in
        [("singularity_temporal", "temporal_4f.video", singularity()), ("umt", "trained.video", umt())]
    {
        let numbers = Numbers::open(fixture(&format!("{file}.safetensors")));
        let dense = features::<B>(&numbers, &config, video);
        for selection in [Selection::ClassAttention, Selection::Received, Selection::MeanQuery, Selection::Random] {
            let mut sparse = config.clone();
            sparse.video.sparsity.node = Some(NodeSparsity { keep_rate: 1.0, layers: vec![0, 1], selection });
            assert_eq!(features::<B>(&numbers, &sparse, video), dense, "{file}, {selection:?}");
            sparse.video.sparsity = Sparsity {
                edge: Some(EdgeSparsity::new(1, 1, 4)),
                node: Some(NodeSparsity { keep_rate: 0.5, layers: vec![0, 1], selection }),
            };
            let (feature, embeds) = features::<B>(&numbers, &sparse, video);
            // Of 9 patches of 4 frames 5 stay, then 3; class tokens stay.
            let tokens = 4 * (3 + usize::from(config.video.class_token));
            assert_eq!(embeds.len(), tokens * 48, "{file}, {selection:?}");
            assert!(feature != dense.0 && feature.iter().chain(&embeds).all(|x| x.is_finite()));
            assert_eq!(features::<B>(&numbers, &sparse, video).0, feature, "the same draws");
        }
    }
}

macro_rules! on_cpu_backends {
    ($($test:ident),+ $(,)?) => {
        #[cfg(feature = "ndarray")]
        mod ndarray { $(#[test] fn $test() { super::$test::<burn_ndarray::NdArray>() })+ }
        #[cfg(feature = "flex")]
        mod flex { $(#[test] fn $test() { super::$test::<burn_flex::Flex>() })+ }
    };
}
on_cpu_backends!(
    singularity_is_exact,
    umt_is_exact,
    umt_pruned_in_the_middle_is_exact,
    a_moved_weight_is_seen,
    sparse_without_training,
    searched_as_evaluated,
);
