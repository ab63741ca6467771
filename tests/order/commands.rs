//! The commands on every benchmark: a model with next to no training, whose score is chance, and the JSON scripts read.

use super::worlds::{World, choices, retrievals, rtime, still};
use crate::project::{checkpoint, project, refusal, stdout, svitt};
use crate::skipped::skipped;
use serde_json::Value;
use std::process::{Command, Output};
use svitt::data::Benchmark;
use svitt_video::ffmpeg_available;

fn eval(world: &World, arguments: &[&str]) -> Output {
    let mut program = Command::new(svitt());
    program.args(["eval", world.benchmark.name(), "--checkpoint"]).arg(checkpoint());
    program.arg("--annotations").arg(&world.annotations).arg("--media").arg(world.media());
    program.args(arguments).current_dir(world.folder.path()).output().unwrap()
}

fn json(world: &World, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(world.folder.path().join(name)).unwrap()).unwrap()
}

/// The fields that scripts read of every choice benchmark.
fn check_figures(world: &World, report: &Value) {
    assert_eq!(report["benchmark"], world.benchmark.name());
    let choice = &report["metrics"]["choice"];
    for scorer in ["itc", "itm"] {
        let figures = &choice[scorer];
        for field in ["accuracy", "strict", "low", "high"] {
            assert!((0.0..=100.0).contains(&figures[field].as_f64().unwrap()), "{scorer}.{field}: {report:#}");
        }
        assert!(figures["n"].as_u64().unwrap() >= 9 && figures["ties"].is_u64(), "{figures}");
        let by_type = figures["by_type"].as_object().unwrap();
        assert!(by_type.values().all(|kind| kind["n"].is_u64() && kind["high"].is_number()), "{figures}");
        assert!(!by_type.is_empty() || world.benchmark == Benchmark::MsrvttMc, "{figures}");
    }
    for control in ["freeze", "shuffle", "reverse", "text_longer", "text_shorter"] {
        assert!(choice["controls"][control].is_number(), "{control}: {choice:#}");
    }
}

#[test]
fn every_choice_benchmark_is_evaluated_with_its_controls() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    for world in choices() {
        let printed =
            stdout(&eval(&world, &["--no-cache", "--limit", "10", "--json", "out.json", "--dump", "lines.jsonl"]));
        assert!(printed.contains("matching head") && printed.contains("shuffled frames"), "{printed}");
        let report = json(&world, "out.json");
        check_figures(&world, &report);
        let metrics = &report["metrics"];
        match world.benchmark {
            Benchmark::Rtime => {
                assert!(metrics["ranking"]["hard"]["t2v"]["r1"].is_number(), "{metrics:#}");
                assert!(["text", "video", "group"].iter().all(|score| metrics["pairs"][score].is_number()));
            }
            Benchmark::Ssv2Chiral => {
                for mode in ["chiral", "static", "all"] {
                    assert!(metrics["ranking"][mode]["map"].is_number() && metrics["ranking"][mode]["r1"].is_number());
                }
            }
            _ => {}
        }
        assert_eq!((&report["protocol"]["clips"], &report["protocol"]["frames"]), (&1.into(), &8.into()));
        let lines = std::fs::read_to_string(world.folder.path().join("lines.jsonl")).unwrap();
        assert_eq!(lines.lines().count() as u64, metrics["choice"]["itc"]["n"].as_u64().unwrap());
    }
}

/// The checkpoint has random edges and pruning: were they drawn anew for the reversal, the two would differ.
#[test]
fn a_clip_without_change_and_its_reversal_tie_exactly() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let world = still();
    stdout(&eval(&world, &["--no-cache", "--json", "out.json"]));
    let metrics = json(&world, "out.json")["metrics"].clone();
    for scorer in ["itc", "itm"] {
        let of_clips = &metrics["choice"][scorer]["by_type"]["t2v"];
        let figures = ["accuracy", "strict", "n", "ties"].map(|name| of_clips[name].as_f64().unwrap());
        assert_eq!(figures, [50.0, 0.0, 6.0, 6.0], "{scorer}: {of_clips}");
    }
    assert_eq!((metrics["pairs"]["group"].as_f64(), metrics["pairs_itm"]["video"].as_f64()), (Some(0.0), Some(0.0)));
}

#[test]
fn encoded_clips_are_kept_by_direction() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let world = rtime();
    let run = || {
        stdout(&eval(&world, &["--features", "kept", "--limit", "3", "--json", "out.json"]));
        json(&world, "out.json")
    };
    let (first, second) = (run(), run());
    assert_eq!((&first["videos_encoded"], &first["videos_recalled"]), (&6.into(), &0.into()));
    assert_eq!((&second["videos_encoded"], &second["videos_recalled"]), (&0.into(), &6.into()));
    assert_eq!(first["metrics"], second["metrics"]);
}

#[test]
fn the_classic_sets_are_retrieved() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    for world in retrievals() {
        stdout(&eval(&world, &["--no-cache", "--json", "out.json"]));
        let report = json(&world, "out.json");
        let (texts, each) = match world.benchmark {
            Benchmark::Anet | Benchmark::Lsmdc => (4, 1),
            _ => (8, 2),
        };
        assert_eq!(report["metrics"]["t2v"]["queries"], texts, "{}", world.benchmark);
        assert_eq!(report["metrics"]["v2t"]["queries"], 4, "{}", world.benchmark);
        assert_eq!(report["protocol"]["captions_per_video"], each, "{}", world.benchmark);
    }
}

#[test]
fn what_is_missing_is_said_for_each_benchmark() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| Command::new(svitt()).args(arguments).current_dir(folder.path()).output().unwrap();
    for benchmark in Benchmark::ALL.into_iter().filter(|benchmark| !benchmark.is_generated()) {
        let output = run(&["eval", benchmark.name(), "--checkpoint", project().to_str().unwrap()]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains(&format!("{benchmark}: not all of its files are in data/")), "{told}");
        assert!(refusal(&output).contains(&format!("the files of {benchmark} are not there")));
        if !benchmark.is_trainable() {
            let message = refusal(&run(&["finetune", benchmark.name(), "--checkpoint", "none"]));
            assert!(message.contains(&format!("{benchmark} is for scoring alone")), "{message}");
        }
    }
}
