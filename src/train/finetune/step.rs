//! A training step of question answering: forward, weighted next-word loss of the answers, backward
//! (docs/model.md, "Answer loss").

use crate::model::layers::Mode;
use crate::model::{FusionOptions, GraphSource, SvittQa, VideoDraws, VideoTokens};
use crate::train::{StepInput, StepOutput};
use burn_train::{TrainOutput, TrainStep};
use svitt_ops::TrainBackend;

impl<B: TrainBackend> TrainStep for SvittQa<B> {
    type Input = StepInput<B>;
    type Output = StepOutput<B::InnerBackend>;

    fn step(&self, StepInput { batch, key, step_config, .. }: StepInput<B>) -> TrainOutput<Self::Output> {
        let device = batch.video.device();
        let draws = VideoDraws {
            graph: GraphSource::Seeded(key.seed("graph")),
            drop_path_seed: Some(key.seed("drop path")),
            selection_seed: key.seed("selection"),
            keep_rate: None,
        };
        let video = match self.encode_video(batch.video, &draws) {
            Ok(video) => video,
            // The loader was built for this model's clips: nothing a person can cause.
            Err(error) => unreachable!("the loader gave a clip of another size: {error}"),
        };
        let run = FusionOptions { mode: Mode::Train, selection_seed: key.seed("cross selection") };
        let clip_questions = step_config.clip_questions.batch::<B>(&batch.host.indices, &device);
        let questions =
            self.ask(clip_questions.questions, VideoTokens { embeds: video, rows: clip_questions.clip }, run);
        let (loss, _) = self.loss(&questions, &clip_questions.answers, clip_questions.count, Mode::Train);
        let total = loss.clone().inner();
        let output = StepOutput { losses: total.clone(), total, line: Default::default() };
        TrainOutput::new(self, loss.backward(), output)
    }
}

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use super::*;
    use crate::config::Compat;
    use crate::data::{HostBatch, Record};
    use crate::testing::{assert_close, host, randomized, small_config};
    use crate::text::{Tokenizer, Vocabulary};
    use crate::train::{StepConfig, StepKey, TokenizedQuestions};
    use burn::backend::Autodiff;
    use burn::tensor::Tensor;
    use std::sync::Arc;
    use svitt_ops::rng::Rng;

    type Inner = burn_ndarray::NdArray;
    type B = Autodiff<Inner>;

    /// Loss, and gradients of a video, a fusion and a decoder weight, for questions about clips `clips` of two.
    fn step(asked: &[&[&str]], clips: &[usize]) -> (f32, Vec<Tensor<Inner, 2>>) {
        let mut config = small_config(Compat::Corrected);
        (config.video.hidden, config.video.heads) = (20, 5);
        let device = Default::default();
        let model: SvittQa<B> = randomized(SvittQa::new(&config, 1, &device).unwrap(), 2);
        let words = Vocabulary::from_words(["yes", "no", "which", "moves", "first", "last"]);
        let record = |question: &&str| Record {
            question: Some((*question).into()),
            answers: vec![if question.ends_with("first") { "yes".into() } else { "no".into() }],
            ..Record::default()
        };
        let asked: Vec<Vec<Record>> = asked.iter().map(|asked| asked.iter().map(record).collect()).collect();
        let clip_questions = TokenizedQuestions::new(&asked, &Tokenizer::new(words).unwrap(), [5, 4]);
        let clip = |clip: usize| {
            let mut rng = Rng::new(7, &[clip as u64]);
            (0..3 * 3 * 12 * 12).map(move |_| rng.between(-1.0, 1.0) as f32)
        };
        let batch = HostBatch {
            video: clips.iter().flat_map(|&number| clip(number)).collect(),
            video_shape: [clips.len(), 3, 3, 12, 12],
            token_ids: vec![1; clips.len()],
            token_mask: vec![1.0; clips.len()],
            tokens: 1,
            identity: vec![0; clips.len()],
            identity_keys: vec![0; clips.len()],
            indices: (0..clips.len()).collect(),
            ..HostBatch::default()
        };
        let step_config = Arc::new(StepConfig { clip_questions: Arc::new(clip_questions), ..StepConfig::default() });
        let input = StepInput { batch: batch.upload(&device), key: StepKey::default(), step_config, peers: None };
        let TrainOutput { grads, item } = TrainStep::step(&model, input);
        let weights = [
            &model.video.layers[0].down.weight,
            &model.text.layers[3].output.weight,
            &model.decoder.layers[0].output.weight,
        ];
        let gradients = weights.map(|weight| grads.get::<Inner, 2>(weight.id).unwrap());
        (host(item.total)[0], gradients.to_vec())
    }

    #[test]
    fn questions_about_one_clip_are_those_of_copies_of_it() {
        let (together, shared) = step(&[&["which moves first", "moves last"], &["last moves"]], &[0, 1]);
        let (apart, copied) = step(&[&["which moves first"], &["moves last"], &["last moves"]], &[0, 0, 1]);
        assert!((together - apart).abs() < 1e-5 * apart, "{together} is not {apart}");
        for (shared, copied) in shared.into_iter().zip(copied) {
            let scale = host(copied.clone().abs().max())[0];
            assert!(scale > 1e-4, "there is a gradient");
            assert_close(shared, copied, 1e-4 * scale);
        }
    }
}
