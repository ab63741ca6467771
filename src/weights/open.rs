//! A checkpoint folder becomes a model, ready to run.

use super::beside;
use super::checkpoint::{Checkpoint, CheckpointInfo, is_checkpoint};
use super::key_matching::MatchOptions;
use super::load::load;
use super::report::LoadReport;
use super::schema::CheckpointPart;
use super::source::WeightSource;
use crate::config::ModelConfig;
use crate::model::{Svitt, SvittQa};
use crate::{Error, Result};
use burn::module::Module;
use burn::tensor::backend::Backend;
use serde_json::Value as Json;
use std::path::Path;
use svitt_ops::SvittBackend;

/// A model and where it came from.
#[derive(Debug)]
pub struct LoadedModel<M> {
    /// The model with its weights.
    pub model: M,
    /// Its configuration: the checkpoint's, with other frames where they were asked for.
    pub config: ModelConfig,
    /// The checkpoint's description.
    pub info: CheckpointInfo,
    /// The hash of the checkpoint's weights.
    pub weights_sha256: String,
    /// What became of every key.
    pub report: LoadReport,
}

/// Opens the pretraining and retrieval model in `folder`, for clips of `frames` frames or the checkpoint's own. Other
/// frames mean converted position tables.
///
/// # Errors
/// A folder that cannot be read or holds another kind of model, or frames that do not fit its sparsity.
pub fn open_svitt<B: SvittBackend>(
    folder: impl AsRef<Path>,
    frames: Option<usize>,
    device: &B::Device,
) -> Result<LoadedModel<Svitt<B>>> {
    let checkpoint = Checkpoint::open(folder)?;
    if checkpoint.info.part != CheckpointPart::Pretraining {
        return Err(wrong_part(&checkpoint, "retrieval"));
    }
    let (config, options) = wanted(&checkpoint, frames);
    checkpoint.check_sizes(&config, &options)?;
    let (model, report) = checkpoint.load(Svitt::new(&config, 0, device)?, &config, &options)?;
    Ok(opened(checkpoint, model, config, report))
}

/// Opens the question answering model in `folder`, or makes one of the pretrained model there; see [`open_svitt`].
///
/// # Errors
/// A folder that cannot be read or holds one encoder alone, or frames that do not fit its sparsity.
pub fn open_qa<B: SvittBackend>(
    folder: impl AsRef<Path>,
    frames: Option<usize>,
    device: &B::Device,
) -> Result<LoadedModel<SvittQa<B>>> {
    let mut checkpoint = Checkpoint::open(folder)?;
    if !matches!(checkpoint.info.part, CheckpointPart::Pretraining | CheckpointPart::QuestionAnswering) {
        return Err(wrong_part(&checkpoint, "question answering"));
    }
    let (config, options) = wanted(&checkpoint, frames);
    checkpoint.weights.add_decoder(config.text.fusion_layer);
    checkpoint.info.part = CheckpointPart::QuestionAnswering;
    checkpoint.check_sizes(&config, &options)?;
    let (model, report) = checkpoint.load(SvittQa::new(&config, 0, device)?, &config, &options)?;
    Ok(opened(checkpoint, model, config, report))
}

/// Starts `part` of `model`, whose sizes are `config`, from the checkpoint file or folder `path`: BEiT for the video
/// encoder, BERT for the text encoder, or any SViTT. Position tables are converted; what the checkpoint's kind never
/// has stays fresh.
///
/// # Errors
/// A checkpoint that cannot be read, lacks something else or has other sizes.
pub fn initialise<B: Backend, M: Module<B>>(
    model: M,
    config: &ModelConfig,
    path: impl AsRef<Path>,
    part: CheckpointPart,
) -> Result<(M, LoadReport)> {
    let path = path.as_ref();
    check_beside(path, config, part)?;
    let mut options = MatchOptions { convert_tables: true, ..MatchOptions::default() };
    let weights = if is_checkpoint(path) {
        let checkpoint = Checkpoint::open(path)?;
        options.allow_missing = checkpoint.info.absent;
        checkpoint.weights
    } else {
        WeightSource::open(path)?
    };
    load(model, &weights, config, part, &options)
}

/// Compares the sizes that a configuration beside a BERT's weights states to those of the model it shall start: another
/// head count fits every tensor and is another model.
fn check_beside(path: &Path, config: &ModelConfig, part: CheckpointPart) -> Result<()> {
    if part != CheckpointPart::Text || is_checkpoint(path) {
        return Ok(());
    }
    let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_path_buf() };
    let bert = |json: &Json| json.get("model_type").and_then(Json::as_str) == Some("bert");
    let Some((name, stated)) = beside::beside(&file, &[beside::BERT, beside::PLAIN], bert) else { return Ok(()) };
    let text = &config.text;
    let sizes = [
        ("/hidden_size", text.hidden),
        ("/num_attention_heads", text.heads),
        ("/num_hidden_layers", text.layers),
        ("/intermediate_size", text.ffn),
        ("/vocab_size", text.vocab_size),
    ];
    for (pointer, ours) in sizes {
        if let Some(theirs) = beside::number(&stated, pointer).filter(|theirs| *theirs != ours) {
            let problem = format!("says `{}` is {theirs}, but the model has {ours}", &pointer[1..]);
            let remedy = "set text_hidden, text_heads, text_layers and fusion_layer of the preset's model to match";
            return Err(Error::file(file.with_file_name(name), problem, remedy));
        }
    }
    Ok(())
}

fn wanted(checkpoint: &Checkpoint, frames: Option<usize>) -> (ModelConfig, MatchOptions) {
    let mut config = checkpoint.info.model.clone();
    config.video.frames = frames.unwrap_or(config.video.frames);
    (config, MatchOptions { convert_tables: frames.is_some(), ..MatchOptions::default() })
}

fn opened<M>(checkpoint: Checkpoint, model: M, config: ModelConfig, report: LoadReport) -> LoadedModel<M> {
    let Checkpoint { info, weights_sha256, .. } = checkpoint;
    LoadedModel { model, config, info, weights_sha256, report }
}

fn wrong_part(checkpoint: &Checkpoint, task: &str) -> Error {
    let holds = match checkpoint.info.part {
        CheckpointPart::Pretraining => "a pretrained model",
        CheckpointPart::QuestionAnswering => "a model for question answering",
        CheckpointPart::Video => "a video encoder alone",
        CheckpointPart::Text => "a text encoder alone",
    };
    Error::file(
        &checkpoint.path,
        format!("it holds {holds}, which cannot do {task}"),
        format!("give a {task} checkpoint"),
    )
}

#[cfg(test)]
#[cfg(feature = "ndarray")]
mod tests {
    use super::super::{ExportedTensors, ImportOptions, foreign_checkpoints, import, model_hash};
    use super::*;

    type B = burn_ndarray::NdArray;

    #[test]
    fn a_pretrained_folder_opens_for_both_tasks_and_any_clip_length() {
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/checkpoint_micro_full.pth");
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("x");
        import(fixture.as_ref(), &out, &ImportOptions::default()).unwrap();
        let retrieval = open_svitt::<B>(&out, None, &Default::default()).unwrap();
        assert_eq!(model_hash(&retrieval.model, &retrieval.info).unwrap(), retrieval.weights_sha256);
        let longer = open_svitt::<B>(&out, Some(6), &Default::default()).unwrap();
        assert_eq!((longer.config.video.frames, longer.report.converted.len()), (6, 2));
        let qa = open_qa::<B>(&out, None, &Default::default()).unwrap();
        let (pretrained, answering) = (ExportedTensors::of(&retrieval.model), ExportedTensors::of(&qa.model));
        let decoder = answering.read("text_decoder.bert.encoder.layer.0.crossattention.self.value.weight").unwrap();
        let fusion = pretrained.read("text_encoder.bert.encoder.layer.2.crossattention.self.value.weight").unwrap();
        assert_eq!(decoder, fusion);
        let qa_folder = folder.path().join("qa");
        let imported =
            import(&out, &qa_folder, &ImportOptions { question_answering: true, ..ImportOptions::default() });
        assert_eq!(model_hash(&qa.model, &qa.info).unwrap(), imported.unwrap().weights_sha256);
        super::super::save(&qa.model, &qa_folder, &qa.info).unwrap();
        let again = open_qa::<B>(&qa_folder, None, &Default::default()).unwrap();
        assert_eq!(model_hash(&again.model, &again.info).unwrap(), model_hash(&qa.model, &qa.info).unwrap());
        let refused = open_svitt::<B>(&qa_folder, None, &Default::default()).unwrap_err().to_string();
        assert!(refused.contains("question answering, which cannot do retrieval"), "{refused}");
    }

    /// The claims below are models of more than a gigabyte; their weights have 0.1 MB.
    #[test]
    fn a_description_cannot_claim_more_than_the_weights_hold() {
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/checkpoint_micro_full.pth");
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("x");
        import(fixture.as_ref(), &out, &ImportOptions::default()).unwrap();
        let file = out.join("config.json");
        let mut json: Json = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        json.as_object_mut().unwrap().remove("description_sha256");
        json["model"]["text"]["vocab_size"] = 10_000_000.into();
        std::fs::write(&file, json.to_string()).unwrap();
        let refusal = |folder: &Path| open_svitt::<B>(folder, None, &Default::default()).unwrap_err().to_string();
        let message = refusal(&out);
        assert!(message.contains("word_embeddings.weight"), "{message}");

        let source = WeightSource::open(fixture).unwrap();
        let model = super::super::infer::model_config(&source, None).unwrap();
        let mut info = Checkpoint::open(&out).unwrap().info;
        (info.model, info.absent) = (model, vec!["text_encoder.bert.encoder".into()]);
        (info.model.text.layers, info.model.text.ffn) = (10, 1 << 20);
        let all = super::super::schema::keys(&info.model, info.part);
        let present: Vec<_> = all.into_iter().filter(|key| key.is_present(&info.absent)).collect();
        let partial = folder.path().join("partial");
        super::super::write_checkpoint(&partial, &info, &present, |name| Ok(source.read(name).unwrap().values))
            .unwrap();
        let message = refusal(&partial);
        assert!(message.contains("of 268435456 that may be left out"), "{message}");
    }

    #[test]
    fn a_model_starts_from_two_encoders() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/checkpoint_micro_full.pth");
        let mut config = super::super::infer::model_config(&WeightSource::open(fixture).unwrap(), None).unwrap();
        config.video.frames = 3;
        let fresh = Svitt::<B>::new(&config, 0, &Default::default()).unwrap();
        let before = ExportedTensors::of(&fresh);
        let (model, _) =
            initialise(fresh.clone(), &config, foreign_checkpoints::beit(folder.path()), CheckpointPart::Video)
                .unwrap();
        let (model, report) =
            initialise(model, &config, foreign_checkpoints::bert(folder.path()), CheckpointPart::Text).unwrap();
        assert_eq!((report.fresh.len(), report.missing.len()), (10, 0));
        let (after, source) = (ExportedTensors::of(&model), WeightSource::open(fixture).unwrap());
        for name in source.names().filter(|name| !name.ends_with("bias_table")) {
            let taken = name.starts_with("text_encoder.") && !name.contains("crossattention")
                || name.starts_with("vision_encoder.");
            let expected = if taken { source.read(name).unwrap().values } else { before.read(name).unwrap() };
            assert_eq!(after.read(name).unwrap(), expected, "{name}");
        }
    }
}
