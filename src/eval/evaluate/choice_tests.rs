//! A choice benchmark shared out among jobs.

use super::{Evaluation, ShardReport, encode_shard, evaluate};
use crate::Result;
use crate::data::Benchmark;
use crate::eval::{EvalOptions, FrameOrder};
use crate::model::Svitt;
use crate::testing::tiny_checkpoint;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

type B = burn_flex::Flex;

const CLIPS: [&str; 7] =
    ["h264.mkv", "vfr.mp4", "vp9.webm", "bframes.mp4", "fragmented.mp4", "odd-width.webm", "rotated.mov"];

/// Clips of RTime's layout, forwards and backwards, and one that is no video; the model is that of `change`.
fn options(folder: &Path, change: impl Fn(&mut Svitt<B>)) -> EvalOptions {
    let media = folder.join("media");
    fs::create_dir_all(&media).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures");
    for (number, name) in CLIPS.iter().enumerate() {
        let extension = Path::new(name).extension().unwrap().to_str().unwrap();
        fs::copy(fixtures.join(name), media.join(format!("{number}.{extension}"))).unwrap();
    }
    fs::write(media.join("7.mp4"), "not a video").unwrap();
    let colours = ["red", "blue", "green", "yellow"];
    let clip = |number: usize| {
        let caption = |way: &str| json!([format!("the {} square moves {way}", colours[number % 4])]);
        (number.to_string(), json!({"forward_captions": caption("left"), "reverse_captions": caption("right")}))
    };
    let annotations = folder.join("test.json");
    fs::write(&annotations, Value::Object((0..=CLIPS.len()).map(clip).collect::<Map<_, _>>()).to_string()).unwrap();
    let weights = folder.join("weights");
    tiny_checkpoint(&weights, change);
    EvalOptions {
        annotations: Some(annotations),
        media: Some(media),
        features: Some(folder.join("features")),
        allow_missing: true,
        ..EvalOptions::new(Benchmark::Rtime, weights)
    }
}

fn share(options: &EvalOptions, shard: &str) -> ShardReport {
    encode_shard::<B>(options, shard.parse().unwrap(), &Default::default()).unwrap()
}

/// What does not depend on when and where it was computed, as text, and a line per query.
fn figures(options: &EvalOptions) -> Result<String> {
    let Evaluation { report, queries } = evaluate::<B>(options, &Default::default())?;
    let report = serde_json::to_value(report).unwrap();
    let fields = ["benchmark", "protocol", "metrics", "missing", "warnings"].map(|field| report[field].to_string());
    Ok(fields.into_iter().chain(queries.iter().map(Value::to_string)).collect::<Vec<_>>().join("\n"))
}

fn refusal(options: &EvalOptions) -> String {
    figures(options).unwrap_err().to_string()
}

/// Every file below `folder` whose name ends in `end`.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let mut found: Vec<PathBuf> = all.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    found.sort();
    found
}

#[test]
fn four_jobs_score_choices_as_one_process_does() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), |_| ());
    let expected = figures(&EvalOptions { features: None, ..options.clone() }).unwrap();
    let controls =
        serde_json::from_str::<Value>(expected.lines().nth(2).unwrap()).unwrap()["choice"]["controls"].clone();
    assert!(["freeze", "shuffle", "reverse"].iter().all(|order| controls[order].is_number()), "{controls}");
    let join = EvalOptions { join: true, ..options.clone() };
    assert!(refusal(&join).contains("holds no shard of these videos"));

    let [first, third, fourth] = ["1/4", "3/4", "4/4"].map(|shard| share(&options, shard));
    let root = folder.path().join("features");
    let others = files(&root, ".features");
    let second = share(&options, "2/4");
    let reports = [&first, &second, &third, &fourth];
    assert_eq!(first.videos, 16, "forwards and backwards");
    assert_eq!(reports.iter().map(|report| report.encoded).sum::<usize>(), 4 * 2 * CLIPS.len(), "in four orders");
    assert!(second.encoded > 0 && reports.iter().all(|report| report.encoded < 56), "{reports:?}");

    // What a job that was killed in the middle leaves: some of its clips, and no note of its end.
    files(&root, "-2-of-4.json").iter().for_each(|note| fs::remove_file(note).unwrap());
    let own: Vec<PathBuf> = files(&root, ".features").into_iter().filter(|file| !others.contains(file)).collect();
    assert_eq!(own.len(), second.encoded);
    let lost = own.len() / 2;
    own[..lost].iter().for_each(|file| fs::remove_file(file).unwrap());
    let lacking = refusal(&join);
    assert!(lacking.contains("lacks shard 2/4") && lacking.contains("option `shard`"), "{lacking}");
    let again = share(&options, "2/4");
    assert_eq!((again.encoded, again.recalled), (lost, second.encoded - lost));

    assert_eq!(figures(&join).unwrap(), expected);
    let Evaluation { report, .. } = evaluate::<B>(&join, &Default::default()).unwrap();
    assert_eq!((report.videos_encoded, report.videos_recalled), (0, 2 * CLIPS.len()), "nothing is encoded once more");
}

/// A model of images looks at one frame of either, and cannot prefer one of them.
#[test]
fn a_frozen_clip_and_its_frozen_reversal_tie() {
    let folder = tempfile::tempdir().unwrap();
    let frozen = EvalOptions { order: FrameOrder::Freeze, ..options(folder.path(), |_| ()) };
    let Evaluation { report, .. } = evaluate::<B>(&frozen, &Default::default()).unwrap();
    let choice = report.metrics.choice.as_ref().unwrap();
    for scorer in [&choice.itc, &choice.itm] {
        let of_clips = scorer.accuracy.by_type["t2v"];
        assert_eq!((of_clips.n, of_clips.ties, of_clips.accuracy), (8, 7, 43.75), "one is no video");
    }
    assert_eq!((report.missing.len(), &report.protocol["missing_videos"]), (1, &json!(1)), "forwards and backwards");
    assert!(report.to_string().contains("1 video files could not be read"), "{report}");
    assert_eq!(report.protocol["split"], "test");
}

/// The words that differ are not in the vocabulary.
#[test]
fn choices_whose_texts_are_the_same_tokens_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), |_| ());
    let annotations = options.annotations.clone().unwrap();
    let text = fs::read_to_string(&annotations).unwrap().replace("moves left", "xyzzy").replace("moves right", "plugh");
    fs::write(&annotations, text).unwrap();
    let Evaluation { report, .. } = evaluate::<B>(&options, &Default::default()).unwrap();
    assert_eq!(report.protocol["equal_as_tokens"], 8);
    let told = report.to_string();
    assert!(told.contains("note: in 8 choices the right text and another are the same tokens"), "{told}");
}

#[test]
fn shards_that_do_not_make_a_whole_are_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), |_| ());
    ["1/2", "2/4", "3/4"].iter().for_each(|shard| drop(share(&options, shard)));
    let join = EvalOptions { join: true, ..options.clone() };
    // Shards of two divisions overlap, and are never counted together.
    let message = refusal(&join);
    assert!(message.contains("lacks shard 1/4, 4/4"), "{message}");
    ["1/4", "4/4"].iter().for_each(|shard| drop(share(&options, shard)));
    figures(&join).unwrap();

    for other in [
        EvalOptions { seed: 3, ..join.clone() },
        EvalOptions { limit: Some(3), ..join.clone() },
        EvalOptions { checkpoint: other_weights(folder.path()), ..join.clone() },
    ] {
        let message = refusal(&other);
        assert!(message.contains("holds no shard of these videos for these weights and settings"), "{message}");
    }
    let annotations = join.annotations.clone().unwrap();
    let text = fs::read_to_string(&annotations).unwrap().replace("red", "green");
    fs::write(&annotations, text).unwrap();
    assert!(refusal(&join).contains("holds no shard of these videos"), "other texts");
    assert!(refusal(&EvalOptions { features: None, ..join }).contains("setting `join`: needs features on disk"));
}

/// A checkpoint of the same model with another temperature.
fn other_weights(folder: &Path) -> PathBuf {
    let weights = folder.join("other");
    tiny_checkpoint(&weights, |model| model.temp = burn::module::Param::from_tensor(model.temp.val() * 2.0));
    weights
}
