//! `svitt search`, what leaves it: lists for other programs, and clips as files.

use crate::project::{checkpoint, example, fixture, refusal, stdout};
use crate::skipped::skipped;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use svitt_video::{ReaderOptions, VideoReader, ffmpeg_available};

const QUERY: &str = "the red square moves left";

fn run(folder: &Path, words: &[&str]) -> Output {
    command(folder, words).output().unwrap()
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(example("search"));
    command.args(words).current_dir(folder);
    command
}

/// A folder `videos` of two videos, one with an odd name, searched by a text.
fn searched() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    fs::copy(fixture("bframes.mp4"), dir.path().join("videos/a, \"b\".mp4")).unwrap();
    fs::copy(fixture("vp9.webm"), dir.path().join("videos/c.webm")).unwrap();
    stdout(&find(dir.path(), &[]));
    dir
}

fn find(folder: &Path, extra: &[&str]) -> Output {
    let checkpoint = checkpoint();
    let words = ["videos", QUERY, "--rerank", "0", "--checkpoint", checkpoint.to_str().unwrap()];
    run(folder, &[&words, extra].concat())
}

#[test]
fn results_are_written_in_the_format_that_is_asked_for() {
    let dir = searched();
    let list = |format: &str| stdout(&find(dir.path(), &["--format", format, "--json", "found.json"]));
    let json: Value = serde_json::from_str(&list("json")).unwrap();
    let kept: Value = serde_json::from_slice(&fs::read(dir.path().join("found.json")).unwrap()).unwrap();
    assert_eq!((json["results"].as_array().unwrap().len(), &json), (2, &kept));
    let videos = dir.path().canonicalize().unwrap().join("videos");
    let quoted = format!("{}/a, \"\"b\"\".mp4\"", videos.display());
    let csv = list("csv");
    assert!(
        csv.starts_with("kind,rank,score,cosine,match,evidence,start,end,file,text\r\n") && csv.contains(&quoted),
        "{csv}"
    );
    let playlist = list("m3u");
    assert!(playlist.starts_with("#EXTM3U\n") && playlist.contains(&format!("\n{}/c.webm\n", videos.display())));
    assert!(playlist.contains("#PLAYLIST:“the red square moves left”\n"), "{playlist}");
    let edl = list("edl");
    assert!(edl.contains("FCM: NON-DROP FRAME") && edl.contains("* FROM CLIP NAME: a, \"b\".mp4"), "{edl}");
    assert_eq!(list("table").lines().count(), 2);
    assert!(refusal(&find(dir.path(), &["--format", "xml"])).contains("xml"));
}

#[test]
fn a_result_becomes_a_file_by_its_rank() {
    let dir = searched();
    assert!(refusal(&run(dir.path(), &["clip", "3"])).contains("listed 1 to 2"));
    assert!(refusal(&run(dir.path(), &["clip", "1", "--index", "other"])).contains("nothing was searched"));
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let table = stdout(&find(dir.path(), &[]));
    let rank = if table.lines().next().unwrap().contains("c.webm") { "2" } else { "1" };
    let told = stdout(&run(dir.path(), &["clip", rank, "--json", "clip.json"]));
    let report: Value = serde_json::from_slice(&fs::read(dir.path().join("clip.json")).unwrap()).unwrap();
    let name = report["file"].as_str().unwrap();
    assert!(told.starts_with(&format!("{name}: 0.00-")) && name.starts_with("a, \"b\"_0s-"), "{told}");
    let read = |path: &Path| VideoReader::open(path, &ReaderOptions::default()).unwrap();
    let [whole, part] = [fixture("bframes.mp4"), dir.path().join(name)].map(|path| read(&path));
    assert_eq!((report["copied"].as_bool(), part.len()), (Some(true), whole.len()));
    let again = run(dir.path(), &["clip", rank]);
    assert!(refusal(&again).contains("is there already") && refusal(&again).contains("--overwrite"));
    let exact = stdout(&run(dir.path(), &["clip", rank, "--exact", "--overwrite"]));
    assert!(exact.contains("encoded anew"), "{exact}");
    stdout(&run(dir.path(), &["clip", rank, "--out", "videos"]));
    let source = refusal(&run(dir.path(), &["clip", rank, "--out", "videos/a, \"b\".mp4", "--overwrite"]));
    assert!(source.contains("is the video itself"), "{source}");
    assert!(refusal(&run(dir.path(), &["clip", rank, "--out", "x.txt"])).contains(".mp4, .m4v, .mov, .mkv or .webm"));
}

/// A program that is missing, fails or hangs is one error, and nothing is left.
#[test]
#[cfg(unix)]
fn a_clip_that_cannot_be_cut_leaves_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let dir = searched();
    let before = fs::read_dir(dir.path()).unwrap().count();
    let with = |program: &Path| command(dir.path(), &["clip", "1"]).env("SVITT_FFMPEG", program).output().unwrap();
    let missing = refusal(&with(Path::new("/nowhere/ffmpeg")));
    assert!(
        missing.contains("cutting a clip needs the `ffmpeg` program") && missing.contains("install it"),
        "{missing}"
    );
    let failing = dir.path().join("videos/ffmpeg");
    fs::write(&failing, "#!/bin/sh\necho 'ffmpeg version 6.1'\necho '[x] [error] no luck today' >&2\nexit 1\n")
        .unwrap();
    fs::set_permissions(&failing, fs::Permissions::from_mode(0o755)).unwrap();
    let failed = refusal(&with(&failing));
    assert!(failed.contains("no luck today") && failed.contains("videos/"), "{failed}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
    let changed = dir.path().join("videos/c.webm");
    fs::write(&changed, "x").unwrap();
    fs::write(dir.path().join("videos/a, \"b\".mp4"), "x").unwrap();
    assert!(refusal(&run(dir.path(), &["clip", "1"])).contains("is changed since it was listed"));
}

/// What the index says of its words after `index videos` with `extra` words.
fn indexed(folder: &Path, extra: &[&str]) -> Value {
    let checkpoint = checkpoint();
    let words = ["index", "videos", "--checkpoint", checkpoint.to_str().unwrap(), "--json", "indexed.json"];
    stdout(&run(folder, &[&words, extra].concat()));
    serde_json::from_slice(&fs::read(folder.join("indexed.json")).unwrap()).unwrap()
}

fn lines_of_words(folder: &Path, query: &str) -> Vec<String> {
    let checkpoint = checkpoint();
    let words = ["query", query, "--rerank", "0", "--json", "found.json", "--checkpoint", checkpoint.to_str().unwrap()];
    let table = stdout(&run(folder, &words));
    table.lines().filter(|line| line.starts_with('w')).map(str::to_owned).collect()
}

#[test]
fn subtitles_are_found_as_words_and_follow_their_files() {
    let dir = searched();
    let said = |name: &str, text: &str| {
        let cue = format!("1\n00:00:00,200 --> 00:00:00,600\n<i>{text}</i>\n");
        fs::write(dir.path().join("videos").join(name), cue).unwrap();
    };
    let counts = |report: &Value| ["subtitles", "words", "unchanged"].map(|name| report[name].as_u64().unwrap_or(0));
    let manifest = || fs::read(dir.path().join("svitt-index/manifest.json")).unwrap();
    let before = manifest();
    assert_eq!(counts(&indexed(dir.path(), &[])), [0, 0, 2]);
    assert_eq!(manifest(), before, "an index without subtitles is as it was");
    said("c.en.srt", "Good morning, everybody!");
    said("a, \"b\".srt", "Who is there?");
    fs::write(dir.path().join("videos/c.vtt"), b"WEBVTT\n\n00:00.100 --> 00:00.200\ncaf\xe9\n").unwrap();
    let report = indexed(dir.path(), &[]);
    assert_eq!(counts(&report), [2, 2, 2]);
    let skipped = report["skipped"].as_array().unwrap();
    assert!(skipped.len() == 1 && skipped[0]["reason"].as_str().unwrap().contains("iconv"), "{skipped:?}");
    assert_eq!(
        lines_of_words(dir.path(), "the good MORNING"),
        ["w1\tsaid 0.67\tvideos/c.webm\t0.20-0.60\tGood morning, everybody!"]
    );
    let found: Value = serde_json::from_slice(&fs::read(dir.path().join("found.json")).unwrap()).unwrap();
    let words = &found["words"][0];
    assert_eq!((words["kind"].as_str(), words["text"].as_str()), (Some("words"), Some("Good morning, everybody!")));
    assert!(words["subtitles"].as_str() == Some("videos/c.en.srt") && words["cosine"].is_number());
    assert!(found["results"].as_array().unwrap().iter().all(|clip| clip["kind"].is_null()));
    let exported = run(dir.path(), &["export", "clips.npy"]);
    stdout(&exported);
    assert!(String::from_utf8_lossy(&exported.stderr).contains("the 2 texts of subtitles are left out"));
    said("c.en.srt", "Good evening.");
    fs::remove_file(dir.path().join("videos/a, \"b\".srt")).unwrap();
    assert_eq!(counts(&indexed(dir.path(), &[])), [1, 1, 2]);
    assert!(lines_of_words(dir.path(), "morning").is_empty());
    assert_eq!(lines_of_words(dir.path(), "evening").len(), 1);
    if ffmpeg_available() {
        assert!(stdout(&run(dir.path(), &["clip", "w1"])).starts_with("c_0.2s-0.6s.webm: "));
    }
    assert_eq!(counts(&indexed(dir.path(), &["--no-subtitles"])), [0, 0, 2]);
    assert!(lines_of_words(dir.path(), "evening").is_empty());
}

#[test]
fn words_are_shared_out_and_merged_with_their_videos() {
    let dir = searched();
    for name in ["a, \"b\".srt", "c.srt"] {
        let cue = format!("1\n00:00:00,200 --> 00:00:00,600\nsaid in {name}\n");
        fs::write(dir.path().join("videos").join(name), cue).unwrap();
    }
    for shard in ["1/2", "2/2"] {
        indexed(dir.path(), &["--shard", shard, "--index", &format!("part-{}", &shard[..1])]);
    }
    stdout(&run(dir.path(), &["merge", "whole", "part-1", "part-2"]));
    let index = svitt::index::Index::open(dir.path().join("whole")).unwrap();
    assert_eq!((index.words(), index.files().count(), index.damage().len()), (2, 2, 0));
}
