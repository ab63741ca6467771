use super::*;
use crate::config::ClipEnsemble;
use crate::data::Benchmark;
use crate::model::Svitt;
use crate::testing::tiny_checkpoint;
use std::path::Path;

type B = burn_flex::Flex;

fn checkpoint(folder: &Path) -> EvalOptions {
    changed_checkpoint(folder, |_| ())
}

fn changed_checkpoint(folder: &Path, change: impl Fn(&mut Svitt<B>)) -> EvalOptions {
    tiny_checkpoint(folder, change);
    EvalOptions::new(Benchmark::Shapes, folder.to_path_buf())
}

fn run(options: &EvalOptions) -> Result<(Value, Vec<Value>)> {
    let Evaluation { report, queries } = evaluate::<B>(options, &Default::default())?;
    assert!(report.to_string().contains("not available"));
    Ok((serde_json::to_value(report).unwrap(), queries))
}

#[test]
fn shapes_reports_every_field_scripts_read() {
    let folder = tempfile::tempdir().unwrap();
    let options = EvalOptions { limit: Some(20), k: Some(7), ..checkpoint(folder.path()) };
    let (report, queries) = run(&options).unwrap();
    for direction in ["t2v", "v2t"] {
        for field in ["r1", "r5", "r10", "mean", "median_rank", "mean_rank"] {
            assert!(report["metrics"][direction][field].is_number(), "{direction}.{field}: {report:#}");
        }
    }
    let protocol = &report["protocol"];
    assert_eq!((&protocol["rerank_k"], &protocol["frames"], &protocol["clips"]), (&json!(7), &json!(8), &json!(1)));
    assert_eq!((&protocol["ensemble"], &protocol["dual_softmax"]), (&json!("lse"), &json!(false)));
    assert_eq!(protocol["weights_sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&report["paper"], report["metrics"]["t2v"]["queries"].as_u64()), (&Value::Null, Some(20)));
    assert!((0.0..=1.0).contains(&report["data_wait_share"].as_f64().unwrap()));
    assert_eq!(report["metrics"]["probes"].as_object().unwrap().len(), 3);
    assert_eq!((queries.len(), queries[0]["top"].as_array().unwrap().len()), (40, 10));
    assert_eq!(run(&options).unwrap().0["metrics"], report["metrics"], "a second run gives the same numbers");
}

#[test]
fn questions_rank_the_whole_list_and_say_that_k_was_lowered() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        EvalOptions { benchmark: Benchmark::ShapesQa, limit: Some(16), probes: false, ..checkpoint(folder.path()) };
    let (report, queries) = run(&options).unwrap();
    assert_eq!((&report["protocol"]["answer_k"], &report["protocol"]["answers"]), (&json!(19), &json!(19)));
    assert!(report["warnings"][0].as_str().unwrap().contains("19 answers: k is lowered from 128"));
    let metrics = &report["metrics"];
    assert_eq!((&metrics["questions"], &metrics["unanswerable"]), (&json!(16), &json!(0)));
    assert_eq!(
        (&metrics["chance_by_type"]["turns"], metrics["by_type"].as_object().unwrap().len()),
        (&json!(25.0), 10)
    );
    let right = queries.iter().filter(|query| query["correct"] == json!(true)).count();
    assert_eq!(metrics["accuracy"].as_f64().unwrap(), right as f64 * 6.25);
    let sum: f64 = queries[3]["top"].as_array().unwrap().iter().map(|t| t["probability"].as_f64().unwrap()).sum();
    assert!(sum > 0.5 && sum < 1.0 + 1e-5, "{sum}");
}

#[test]
fn video_files_are_encoded_once_whatever_k_and_ensemble_are() {
    let folder = tempfile::tempdir().unwrap();
    let annotations = folder.path().join("clips_test.json");
    let list = ["h264.mkv", "vfr.mp4", "vp9.webm"].map(|name| json!({"video": name, "caption": "the red square"}));
    std::fs::write(&annotations, json!(list).to_string()).unwrap();
    let options = EvalOptions {
        benchmark: Benchmark::Msrvtt,
        annotations: Some(annotations),
        media: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures")),
        features: Some(folder.path().join("features")),
        clips: Some(2),
        probes: false,
        ..checkpoint(&folder.path().join("weights"))
    };
    let (first, _) = run(&options).unwrap();
    assert_eq!((&first["videos_encoded"], &first["videos_recalled"]), (&json!(3), &json!(0)));
    assert_eq!(first["protocol"]["frames"], json!(16));
    let (second, _) = run(&EvalOptions { k: Some(2), ensemble: Some(ClipEnsemble::Max), ..options.clone() }).unwrap();
    assert_eq!((&second["videos_encoded"], &second["videos_recalled"]), (&json!(0), &json!(3)));
    assert_eq!(second["metrics"]["dual"], first["metrics"]["dual"]);
    let reversed = EvalOptions { order: FrameOrder::Reverse, ..options };
    assert_eq!(run(&reversed).unwrap().0["videos_encoded"], json!(3), "another protocol sees nothing of it");
}

/// An evaluation of five video files, one of them no video, with its features below `folder`.
fn file_options(folder: &Path) -> EvalOptions {
    let media = folder.join("media");
    std::fs::create_dir_all(&media).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures");
    let names = ["h264.mkv", "vfr.mp4", "vp9.webm", "bframes.mp4"];
    for name in names {
        std::fs::copy(fixtures.join(name), media.join(name)).unwrap();
    }
    std::fs::write(media.join("junk.mp4"), "not a video").unwrap();
    let annotations = folder.join("clips_test.json");
    let list: Vec<Value> = names
        .iter()
        .chain(&["junk.mp4"])
        .enumerate()
        .map(|(n, name)| {
            let caption = ["the red square", "the circle"][n % 2];
            json!({"video": name, "caption": caption})
        })
        .collect();
    std::fs::write(&annotations, json!(list).to_string()).unwrap();
    EvalOptions {
        benchmark: Benchmark::Msrvtt,
        annotations: Some(annotations),
        media: Some(media),
        features: Some(folder.join("features")),
        clips: Some(2),
        probes: true,
        allow_missing: true,
        ..checkpoint(&folder.join("weights"))
    }
}

#[test]
fn shards_are_encoded_in_any_order_and_joined_into_the_report_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let options = file_options(folder.path());
    let single = EvalOptions { features: Some(folder.path().join("alone")), ..options.clone() };
    let (expected, lines) = run(&single).unwrap();
    let join = EvalOptions { join: true, ..options.clone() };
    let refusal = |options: &EvalOptions| run(options).unwrap_err().to_string();
    assert!(refusal(&join).contains("features: holds no shard of these videos"), "{}", refusal(&join));
    let encode = |shard: &str| encode_shard::<B>(&options, shard.parse().unwrap(), &Default::default()).unwrap();
    let (third, first) = (encode("3/3"), encode("1/3"));
    let lacking = refusal(&join);
    assert!(lacking.contains("lacks shard 2/3") && lacking.contains("option `shard`"), "{lacking}");
    let second = encode("2/3");
    let count = |report: &ShardReport| report.encoded + 4 * report.missing.len();
    assert_eq!((count(&first) + count(&second) + count(&third), first.videos), (20, 5), "four orders of five videos");
    assert!([&first, &second, &third].iter().all(|report| report.encoded < 16), "no job has them all");
    let again = encode("1/3");
    assert_eq!((again.encoded, again.recalled), (0, first.encoded));

    let (joined, queries) = run(&join).unwrap();
    for field in ["benchmark", "protocol", "metrics", "missing", "warnings"] {
        assert_eq!(joined[field], expected[field], "{field}");
    }
    assert_eq!((queries, &joined["videos_encoded"], &joined["videos_recalled"]), (lines, &json!(0), &json!(4)));

    // Nobody encoded for these.
    assert!(refusal(&EvalOptions { seed: 3, ..join.clone() }).contains("holds no shard"));
    assert!(refusal(&EvalOptions { limit: Some(3), ..join.clone() }).contains("holds no shard"));
    assert!(refusal(&EvalOptions { features: None, ..join }).contains("setting `join`: needs features on disk"));
    let rendered = EvalOptions { benchmark: Benchmark::Shapes, annotations: None, media: None, ..options };
    let refused = encode_shard::<B>(&rendered, "1/2".parse().unwrap(), &Default::default()).unwrap_err().to_string();
    assert!(refused.contains("setting `shard`: shapes is rendered"), "{refused}");
}

/// Every comparison with NaN is false, so that all candidates tie and R@10 would be 100.
#[test]
fn scores_that_are_not_finite_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    // Weights that are not finite are refused when they are read; finite ones can make scores that are not.
    for value in [f32::NAN, f32::INFINITY] {
        let options = changed_checkpoint(folder.path(), |model| {
            let gamma = model.video_norm.gamma.val();
            model.video_norm.gamma = burn::module::Param::from_tensor(gamma.full_like(value));
        });
        let message = run(&options).unwrap_err().to_string();
        assert!(message.contains(&format!("`vision_layernorm.weight` holds {value}")), "{message}");
    }
    for value in [3e38f32, -3e38] {
        let options = changed_checkpoint(folder.path(), |model| {
            let gamma = model.video_norm.gamma.val();
            model.video_norm.gamma = burn::module::Param::from_tensor(gamma.full_like(value));
        });
        let retrieval = EvalOptions { limit: Some(8), probes: false, ..options };
        let message = run(&retrieval).unwrap_err().to_string();
        assert!(message.contains("not finite"), "{message}");
        let message = run(&EvalOptions { benchmark: Benchmark::ShapesQa, ..retrieval }).unwrap_err().to_string();
        assert!(message.contains("answer probabilities are not finite"), "{message}");
    }
    let options = changed_checkpoint(folder.path(), |model| {
        let weight = model.itm_head.weight.val();
        model.itm_head.weight = burn::module::Param::from_tensor(weight.full_like(3e38));
    });
    let retrieval = EvalOptions { limit: Some(8), probes: false, ..options };
    let message = run(&retrieval).unwrap_err().to_string();
    assert!(message.contains("matching scores are not finite"), "{message}");
    run(&EvalOptions { k: Some(0), ..retrieval }).unwrap();
}

#[test]
fn swapped_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["a", "b"].map(|name| folder.path().join(name));
    let options = EvalOptions { limit: Some(8), probes: false, ..checkpoint(&ours) };
    changed_checkpoint(&theirs, |model| model.temp = burn::module::Param::from_tensor(model.temp.val() * 2.0));
    std::fs::copy(theirs.join("model.safetensors"), ours.join("model.safetensors")).unwrap();
    let message = run(&options).unwrap_err().to_string();
    assert!(message.contains("damaged or belongs elsewhere"), "{message}");
}

#[test]
fn a_missing_video_stops_the_evaluation_or_is_a_miss() {
    let folder = tempfile::tempdir().unwrap();
    let annotations = folder.path().join("clips_test.json");
    std::fs::write(
        &annotations,
        r#"[{"video":"a.mp4","caption":"a red square"},{"video":"b.mp4","caption":"the circle"}]"#,
    )
    .unwrap();
    let options = EvalOptions {
        benchmark: Benchmark::Msrvtt,
        annotations: Some(annotations),
        media: Some(folder.path().to_path_buf()),
        probes: false,
        ..checkpoint(&folder.path().join("weights"))
    };
    let lenient = EvalOptions { allow_missing: true, ..options.clone() };
    for options in [&options, &lenient] {
        let message = run(options).unwrap_err().to_string();
        assert!(message.contains("2 of 2 videos are not there, first a.mp4"), "{message}");
        assert!(!message.contains("allow_missing"), "it does not help: {message}");
    }
    std::fs::write(folder.path().join("b.mp4"), "not a video").unwrap();
    let message = run(&options).unwrap_err().to_string();
    assert!(message.contains("1 of 2 videos") && message.contains("option `allow_missing`"), "{message}");
    let message = run(&lenient).unwrap_err().to_string();
    assert!(message.contains("none of the 2 video files could be read, first a.mp4"), "{message}");

    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures");
    std::fs::copy(fixtures.join("bframes.mp4"), folder.path().join("b.mp4")).unwrap();
    let (report, queries) = run(&lenient).unwrap();
    assert_eq!((queries.len(), &queries[3]["query"], &queries[3]["rank"]), (4, &json!("a.mp4"), &Value::Null));
    assert_eq!(queries[0]["right"], json!(["a.mp4"]));
    assert_eq!((&report["metrics"]["t2v"]["r10"], &report["protocol"]["missing_videos"]), (&json!(50.0), &json!(1)));
    assert_eq!((&report["missing"][0]["media"], &report["metrics"]["v2t"]["queries"]), (&json!("a.mp4"), &json!(2)));
}
