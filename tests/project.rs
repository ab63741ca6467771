//! A project folder with a checkpoint and some videos, made once per test run, shared by the tests of commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Two stages of a few steps, the second sparse in edges and nodes: enough for every command, good for no ranking.
const PRESET: &str = r#"
description = "test"
command = "test"
text_tokens = 11
rerank_k = 3
gallery_programs = 2

[model]
size = "tiny"
hidden = 32
text_layers = 3
fusion_layer = 2

[[stages]]
name = "first"
frames = 4
segments = [1]
length = { steps = 11 }
warmup = { steps = 2 }
learning_rate = 2e-3
batch = 4

[[stages]]
name = "second"
frames = 8
segments = [1, 2]
edge = { local = 1, random = 1, block = 16 }
node = { keep_rate = 0.7, layers = [1, 2] }
length = { steps = 3 }
learning_rate = 1e-3
batch = 4
"#;

const CAPTIONS: &str = r#"[
    {"video": "a.mp4", "caption": "the red square moves left"},
    {"video": "b.mp4", "caption": "the blue circle moves up"},
    {"video": "c.webm", "caption": "the green triangle moves down"}
]"#;

/// An example, which `cargo test` builds beside the tests.
pub fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The program behind `cargo xtask`.
pub fn svitt() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_svitt"))
}

/// A video of the fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures").join(name)
}

/// A file of the official implementation's numbers.
pub fn official(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(name)
}

/// A folder with `runs/pretrain` and `my-videos/{a,b}.mp4, c.webm, captions.json`; tests write elsewhere.
pub fn project() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("test-folder");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("my-videos")).unwrap();
        for (from, to) in [("bframes.mp4", "a.mp4"), ("fragmented.mp4", "b.mp4"), ("vp9.webm", "c.webm")] {
            fs::copy(fixture(from), folder.join("my-videos").join(to)).unwrap();
        }
        fs::write(folder.join("my-videos/captions.json"), CAPTIONS).unwrap();
        fs::write(folder.join("preset.toml"), PRESET).unwrap();
        let mut pretrain = Command::new(example("pretrain"));
        let trained = pretrain.args(["--preset", "preset.toml"]).current_dir(&folder).output().unwrap();
        assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
        folder
    })
}

/// The newest checkpoint of [`project`].
pub fn checkpoint() -> PathBuf {
    project().join("runs/pretrain/stage-2")
}

/// Standard output of a command that succeeds.
#[track_caller]
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{:?}: {}", output.status.code(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error of a command that refuses: exit 2.
#[track_caller]
pub fn refusal(output: &Output) -> String {
    let sentence = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{sentence}");
    sentence
}
