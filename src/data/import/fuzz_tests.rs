//! Damaged annotation files: an importer must return records or an error with a remedy.

use std::{fs::File, path::Path, time::Instant};

use super::{AnnotationOptions, ImportPurpose, import, sample};
use crate::data::{InspectOptions, inspect};
use svitt_ops::rng::Rng;

/// What is put into a file: structure, numbers out of range, broken text.
const PIECES: [&[u8]; 14] = [
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b",",
    b":",
    b"\n",
    b"\0",
    b"null",
    b"-1e999",
    b"18446744073709551616",
    b"\xff\xfe",
    b"\\u",
];
const SAMPLES: [&str; 30] = [
    "webvid/results_2M_train.csv",
    "msrvtt/MSRVTT_JSFUSION_test.csv",
    "msrvtt/MSRVTT_train.9k.csv",
    "msrvtt/MSRVTT_data.json",
    "didemo/test_data.json",
    "charades/Charades_v1_test.csv",
    "ssv2/something-something-v2-validation.json",
    "msrvtt_qa/test_qa.json",
    "anet_qa/test_q.json",
    "anet_qa/test_a.json",
    "agqa/test_balanced.txt",
    "singularity/clips_train.json",
    "singularity/didemo_ret_test.json",
    "singularity/clips_qa.json",
    "singularity/clips.jsonl",
    "singularity/clips.tsv",
    "rtime/test.json",
    "vitatecs/Direction.jsonl",
    "tempcompass/caption_matching.json",
    "testoftime/tempotl_didemo_test.csv",
    "testoftime/charades_testoftime.csv",
    "vilma/change-state-inverse.json",
    "nextqa/val.csv",
    "nextqa/atp-hard-statements.csv",
    "anet/val_1.json",
    "msvd/raw-captions.json",
    "vatex/vatex_validation_v1.0.json",
    "lsmdc/LSMDC16_challenge_1000_publictect.csv",
    "msrvtt_mc/msrvtt_mc_test.json",
    "msrvtt_mc/msrvtt_mc_test.jsonl",
];

/// Rounds over all samples: 40 in the suite, more on request (640 rounds are 10,880 files).
fn rounds() -> u64 {
    std::env::var("SVITT_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(40)
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        let until = (at + rng.below(40)).min(bytes.len());
        match rng.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..until)),
            2 => drop(bytes.splice(at..at, PIECES[rng.below(PIECES.len())].iter().copied())),
            3 => {
                let copy = bytes[at..until].to_vec();
                let to = rng.below(bytes.len() + 1);
                drop(bytes.splice(to..to, copy));
            }
            4 => drop(bytes.splice(at..at, std::iter::repeat_n(b"[{"[rng.below(2)], 3_000))),
            _ => bytes[at..until].iter_mut().for_each(|byte| *byte ^= 1 << rng.below(8)),
        }
    }
}

fn try_all(path: &Path) {
    let begun = Instant::now();
    for purpose in [ImportPurpose::Inspect, ImportPurpose::Train, ImportPurpose::Evaluate] {
        if let Err(error) = import(path, &AnnotationOptions { purpose, ..AnnotationOptions::default() }) {
            assert!(error.to_string().contains("; "), "no remedy in: {error}");
        }
    }
    let length = |text: &str| text.len() / 4;
    let _ = inspect(path, &InspectOptions { tokens: Some(&length), media: path.parent(), ..InspectOptions::default() });
    assert!(begun.elapsed().as_secs() < 5, "{} took {:?}", path.display(), begun.elapsed());
}

#[test]
fn damaged_annotations_neither_panic_nor_hang() {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in SAMPLES.iter().enumerate() {
        let whole = std::fs::read(sample(name)).unwrap();
        let path = folder.path().join(Path::new(name).file_name().unwrap());
        for round in 0..rounds() {
            let mut bytes = whole.clone();
            damage(&mut bytes, &mut Rng::new(round, &[number as u64]));
            std::fs::write(&path, bytes).unwrap();
            try_all(&path);
        }
    }
}

#[test]
fn damaged_shards_neither_panic_nor_hang() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000.tar");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    let long = format!("{}.mp4", "n".repeat(150));
    for (name, content) in [("1.mp4", "1234567"), ("1.txt", "a"), ("2.json", r#"{"caption": "b"}"#), (&long, "89")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.finish().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for round in 0..rounds() {
        let (mut bytes, mut rng) = (whole.clone(), Rng::new(round, &[99]));
        if round % 2 == 0 {
            // A header with a valid checksum and a wrong size reaches the code behind the checksum.
            let size = format!("{:011o}\0", rng.bits() >> (31 + rng.below(30)));
            bytes[124..136].copy_from_slice(size.as_bytes());
            bytes[148..156].fill(b' ');
            let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        } else {
            damage(&mut bytes, &mut rng);
        }
        std::fs::write(&path, bytes).unwrap();
        try_all(&path);
    }
}
