//! Training from webdataset shards: which process reads which videos of them.

use super::{Place, succeed};
use crate::project::{fixture, svitt};
use crate::skipped::skipped;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// Four steps of three clips per worker: with what is read ahead, two workers do not come to the end of a pass.
const STAGE: &str = r#"
[[stages]]
name = "only"
frames = 2
length = { steps = 4 }
warmup = { steps = 1 }
learning_rate = 1e-3
batch = 3
"#;

/// Samples of a shard.
const SAMPLES: usize = 24;

/// Clips that a worker takes in four steps, and at most three batches ahead of them.
const READ: std::ops::RangeInclusive<usize> = 12..=21;

/// Videos of the shards `a.tar` and `b.tar`: their lengths, by shard and first byte.
type Videos = BTreeMap<(String, u64), u64>;

/// Writes the preset and two shards.
fn prepare(place: &Place) -> Videos {
    fs::write(place.at("test.toml"), [include_str!("../fixtures/tiny-preset.toml"), STAGE].concat()).unwrap();
    let content = fs::read(fixture("full-range-709.mp4")).unwrap();
    let mut videos = Videos::new();
    for (number, shard) in ["a.tar", "b.tar"].into_iter().enumerate() {
        let path = place.at(shard);
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        for sample in 0..SAMPLES {
            let caption = format!("caption {} of shard {number}", sample * sample);
            for (kind, bytes) in [("mp4", &content[..]), ("txt", caption.as_bytes())] {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                header.set_cksum();
                tar.append_data(&mut header, format!("{sample:04}.{kind}"), bytes).unwrap();
            }
        }
        tar.finish().unwrap();
        for entry in tar::Archive::new(File::open(&path).unwrap()).entries().unwrap() {
            let entry = entry.unwrap();
            if entry.path().unwrap().extension().unwrap() == "mp4" {
                videos.insert((shard.to_owned(), entry.raw_file_position()), entry.size());
            }
        }
    }
    videos
}

/// The shard that the first argument of a traced call names, and the call's other arguments and result.
fn of_shard<'a>(line: &'a str, call: &str) -> Option<(&'a str, &'a str)> {
    let (path, rest) = line.strip_prefix(call)?.split_once('<')?.1.split_once('>')?;
    Some((Path::new(path).file_name()?.to_str().filter(|name| name.ends_with(".tar"))?, rest))
}

/// What the loader's threads of a process read of the shards, by its trace: places, each once, and bytes.
fn read(traces: &Path) -> (Vec<(String, u64)>, u64) {
    let (mut places, mut bytes) = (Vec::new(), 0);
    for entry in fs::read_dir(traces).unwrap().flatten() {
        let trace = fs::read_to_string(entry.path()).unwrap();
        if !trace.contains("PR_SET_NAME, \"svitt-reader\"") {
            continue;
        }
        let result = |rest: &str| rest.rsplit_once("= ").unwrap().1.trim().parse::<u64>().unwrap();
        for line in trace.lines() {
            if let Some((shard, rest)) = of_shard(line, "lseek(") {
                places.push((shard.to_owned(), result(rest)));
            }
            bytes += of_shard(line, "read(").map_or(0, |(_, rest)| result(rest));
        }
    }
    places.sort();
    (places, bytes)
}

#[test]
fn each_process_reads_the_videos_of_its_own_share() {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    match traced.is_ok_and(|status| status.success()) {
        true => shares_are_read_once(),
        false => skipped("strace"),
    }
}

fn shares_are_read_once() {
    let place = Place::new();
    let videos = prepare(&place);
    let data = ["--annotations", "{a,b}.tar", "--media", "."];
    succeed(&place.alone("workers", &[&["--devices", "2"], &data[..]].concat()));

    let (program, folders) = (svitt(), ["0", "1"].map(|rank| place.at(&format!("trace-{rank}"))));
    let outputs = folders.clone().map(|folder| folder.join("of").to_str().unwrap().to_owned());
    let tracing = ["-ff", "-qq", "-y", "-s", "64", "--seccomp-bpf", "-e", "trace=lseek,read,prctl", "-o"];
    let training = ["pretrain", "--preset", "test.toml", "--seed", "7", "--out", "processes"];
    folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
    let words = |output| [&tracing[..], &[output, program.to_str().unwrap()], &training, &data].concat();
    let job: Vec<_> = outputs.iter().map(|output| (Path::new("strace"), words(output.as_str()))).collect();
    succeed(&place.job(&job).output().unwrap());
    let weights = |out: &str| fs::read(place.at(out).join("stage-1/model.safetensors")).unwrap();
    assert!(weights("processes") == weights("workers"), "other weights");

    let read = folders.each_ref().map(|folder| read(folder));
    for (places, bytes) in &read {
        assert!(READ.contains(&places.len()), "{} of {} videos", places.len(), videos.len());
        let lengths: Option<u64> = places.iter().map(|place| videos.get(place)).sum();
        assert_eq!(Some(*bytes), lengths, "whole videos, and nothing else: {places:?}");
    }
    let mut all = read.map(|(places, _)| places).concat();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "no video is read twice, nor by both");
}
