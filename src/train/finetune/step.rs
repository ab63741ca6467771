//! A training step of question answering: forward, weighted next-word loss of the answers, backward (SPEC §5).

use crate::backend::{SvittBackend, TrainBackend};
use crate::model::layers::Mode;
use crate::model::{FusionRun, GraphSource, SvittQa, VideoDraws, VideoTokens};
use crate::train::{StepInput, StepOutput};
use burn_train::{InferenceStep, TrainOutput, TrainStep};

impl<B: TrainBackend> TrainStep for SvittQa<B> {
    type Input = StepInput<B>;
    type Output = StepOutput<B::InnerBackend>;

    fn step(&self, StepInput { batch, key, recipe, .. }: StepInput<B>) -> TrainOutput<Self::Output> {
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
        let run = FusionRun { mode: Mode::Train, selection_seed: key.seed("cross selection") };
        let quiz = recipe.quiz.batch::<B>(&batch.host.indices, &device);
        let questions = self.ask(quiz.questions, VideoTokens { embeds: video, rows: quiz.clip }, run);
        let (loss, _) = self.loss(&questions, &quiz.answers, quiz.count, Mode::Train);
        let total = loss.clone().inner();
        let output = StepOutput { losses: total.clone(), total, line: Default::default() };
        TrainOutput::new(self, loss.backward(), output)
    }
}

/// Validation is of whole splits ([`super::Trial`]); burn-train's per-batch hook has nothing to do.
impl<B: SvittBackend> InferenceStep for SvittQa<B> {
    type Input = ();
    type Output = ();

    fn step(&self, (): ()) {}
}
