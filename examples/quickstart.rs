#![doc = "A clip and two captions, and how close they are, with a sparse model of fresh weights."]
use burn::tensor::{Tensor, TensorData};
use svitt::config::{ModelConfig, NodeSparsity};
use svitt::eval::shapes_tokenizer;
use svitt::model::{Svitt, VideoDraws};

fn main() -> svitt::Result<()> {
    let (mut config, device) = (ModelConfig::tiny(8), Default::default());
    config.video.sparsity.node = Some(NodeSparsity::by_class(0.7, &[1, 2]));
    // Or the weights of a run: svitt::weights::open_svitt("runs/pretrain/stage-3", None, &device)?.model
    let model = Svitt::<svitt::backend::Cpu>::new(&config, 0, &device)?;
    let video = model.encode_video(Tensor::zeros([1, 8, 3, 32, 32], &device), &VideoDraws::evaluation(0))?;
    for text in ["the red square moves left", "the red square moves right"] {
        let tokens = shapes_tokenizer()?.encode(text, 9);
        let ids = Tensor::from_data(TensorData::new(tokens.ids, [1, 9]), &device);
        let mask = Tensor::from_data(TensorData::new(tokens.mask, [1, 9]), &device);
        let cosine = (model.encode_text(ids, mask).feature * video.feature.clone()).sum();
        println!("{text}: cosine {:.3}", cosine.into_scalar());
    }
    Ok(())
}
