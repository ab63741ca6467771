//! `examples/search.rs` from the outside: folders with everything folders have, crashes, second processes.

use crate::project::{checkpoint, example, fixture, project, refusal, stdout};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use svitt::index::{Index, IndexWriter, ModelId};

/// `search ARGUMENTS` in `folder` with the checkpoint of the test folder.
fn search(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(example("search"));
    command.args(&arguments[..1]).arg("--checkpoint").arg(checkpoint()).args(&arguments[1..]).current_dir(folder);
    command
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn counts(folder: &Path, arguments: &[&str]) -> [u64; 5] {
    let output = search(folder, &[&["index", "videos", "--json", "r.json"], arguments].concat());
    stdout(&output);
    let report = json(&folder.join("r.json"));
    ["new", "changed", "unchanged", "removed"]
        .map(|name| report[name].as_u64().unwrap())
        .into_iter()
        .chain([report["broken"].as_array().unwrap().len() as u64])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

#[test]
#[cfg(unix)]
fn only_what_changed_is_embedded_whatever_it_is_called() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let videos = dir.path().join("videos");
    fs::create_dir_all(videos.join("deep")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"deep/\xff it's \"odd\"\n.webm");
    for (from, to) in
        [("bframes.mp4", "-dash.mp4".as_ref()), ("vp9.webm", odd), ("audio-only.mp4", "sound.mp4".as_ref())]
    {
        fs::copy(fixture(from), videos.join(to)).unwrap();
    }
    fs::write(videos.join("junk.mp4"), b"not a video at all").unwrap();
    fs::write(videos.join("empty.mov"), b"").unwrap();
    std::os::unix::fs::symlink(&videos, videos.join("deep/loop")).unwrap();
    assert_eq!(counts(dir.path(), &[]), [2, 0, 0, 0, 3]);
    let output = stdout(&search(dir.path(), &["index", "videos"]));
    assert!(output.contains("broken: videos/sound.mp4: ") && output.contains("no video stream"), "{output}");
    assert!(output.contains("5 videos (0 new, 0 changed, 5 unchanged, 0 removed)"), "{output}");

    fs::copy(fixture("fragmented.mp4"), videos.join("-dash.mp4")).unwrap();
    fs::copy(fixture("rotated.mov"), videos.join("new.mov")).unwrap();
    fs::remove_file(videos.join("junk.mp4")).unwrap();
    assert_eq!(counts(dir.path(), &[]), [1, 1, 3, 1, 2]);
    assert_eq!(counts(dir.path(), &["--clip-seconds", "1"]), [0, 3, 0, 0, 2], "cut otherwise: embedded again");

    let lines = stdout(&search(dir.path(), &["query", "the red square moves left", "--rerank", "0"]));
    let rows: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == 4 && row[3].split('-').all(|s| s.parse::<f64>().is_ok())), "{lines}");
    let scores: Vec<f32> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(rows[0][0] == "1" && scores.is_sorted_by(|a, b| a >= b), "{lines}");
    assert!(lines.contains("\tvideos/deep/\\xFF it's \"odd\"\\n.webm\t"), "{lines}");
}

/// The first thing that a person types: nothing is indexed yet, and other folders are in the same index later.
#[test]
fn a_folder_and_a_text_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, name) in [("videos", "bframes.mp4"), ("videos", "vp9.webm"), ("others", "fragmented.mp4")] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
        fs::copy(fixture(name), dir.path().join(folder).join(name)).unwrap();
    }
    let find = |folder: &str, extra: &[&str]| {
        let mut process = Command::new(example("search"));
        process.args([folder, "the red square moves left", "--json", "f.json"]).args(extra);
        process.arg("--checkpoint").arg(checkpoint()).current_dir(dir.path()).output().unwrap()
    };
    let first = find("videos", &[]);
    assert_eq!(stdout(&first).lines().count(), 2);
    let told = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(told.contains("2 videos (2 new, 0 changed, 0 unchanged, 0 removed)"), "{told}");
    let others = stdout(&find("others", &["--rerank", "0"]));
    assert!(others.lines().count() == 1 && others.contains("others/fragmented.mp4"), "{others}");
    let again = find("videos", &["--top", "1"]);
    assert!(stdout(&again).contains("videos/"));
    assert!(String::from_utf8_lossy(&again.stderr).contains("0 new, 0 changed, 2 unchanged"));
    let answer = json(&dir.path().join("f.json"));
    assert_eq!((answer["query"].as_str(), answer["clips"].as_u64()), (Some("the red square moves left"), Some(3)));
    assert!(refusal(&find("nowhere", &[])).contains("nowhere"));
    let alone = Command::new(example("search")).arg("videos").current_dir(dir.path()).output().unwrap();
    assert!(refusal(&alone).contains("TEXT"));
}

/// One byte of a finished segment costs one file; it is said, and indexing again repairs it.
#[test]
fn a_damaged_index_is_searched_said_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    for n in 0..6 {
        fs::copy(fixture("vp9.webm"), dir.path().join(format!("videos/{n}.webm"))).unwrap();
    }
    stdout(&search(dir.path(), &["index", "videos"]));
    let segment = dir.path().join("svitt-index/000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let third = 8 + (bytes.len() - 8) / 6 * 2 + 40;
    bytes[third] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let query = ["query", "the red square moves left", "--rerank", "0"];
    let output = search(dir.path(), &query);
    assert_eq!(stdout(&output).lines().count(), 5);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("000001.seg is damaged: the clips of 1 file are lost"), "{told}");
    assert_eq!(counts(dir.path(), &[]), [1, 0, 5, 0, 0], "what was lost is embedded again");
    let told = json(&dir.path().join("r.json"))["damaged"][0].as_str().unwrap().to_owned();
    assert!(told.contains("000001.seg is damaged"), "{told}");
    let output = search(dir.path(), &query);
    assert_eq!(stdout(&output).lines().count(), 6);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("damaged"));
}

#[test]
fn queries_are_ranked_shown_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    for name in ["bframes.mp4", "edit-list.mp4", "fragmented.mp4", "vp9.webm"] {
        fs::copy(fixture(name), dir.path().join("videos").join(name)).unwrap();
    }
    stdout(&search(dir.path(), &["index", "videos"]));
    let query =
        |extra: &[&str]| search(dir.path(), &[&["query", "a red square walks", "--json", "q.json"], extra].concat());
    let output = query(&["--top", "2", "--html", "found.html"]);
    assert_eq!(stdout(&output).lines().count(), 2);
    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warnings.contains("not trained on these words: walks"), "{warnings}");
    let found = json(&dir.path().join("q.json"));
    assert_eq!(found["results"].as_array().unwrap().len(), 2);
    let [first, second] = [0, 1].map(|n| &found["results"][n]);
    assert!(first["score"].as_f64() >= second["score"].as_f64() && first["match"].as_f64() <= Some(1.0));
    let page = fs::read_to_string(dir.path().join("found.html")).unwrap();
    assert_eq!(page.matches("<img ").count(), 8, "four moments of two clips");

    fs::remove_file(dir.path().join("videos/vp9.webm")).unwrap();
    let output = query(&["--top", "4"]);
    assert!(stdout(&output).lines().last().unwrap().contains("vp9.webm"), "what cannot be looked at goes last");
    assert!(String::from_utf8_lossy(&output.stderr).contains("vp9.webm: it is gone"));

    // Two of the fixtures show the same test picture: one is most like the other, and never like itself.
    let same = |arguments: &[&str]| stdout(&search(dir.path(), arguments));
    let lines = same(&["similar", "videos/bframes.mp4", "--top", "1"]);
    assert!(!lines.contains("bframes") && lines.starts_with("1\t"), "{lines}");
    let copy = dir.path().join("elsewhere.mp4");
    fs::copy(dir.path().join("videos/bframes.mp4"), &copy).unwrap();
    let lines = same(&["similar", "elsewhere.mp4", "--top", "1"]);
    assert!(lines.starts_with("1\t1.0000\tvideos/bframes.mp4\t"), "a copy is the same: {lines}");
}

/// Texts, pictures and videos, wanted and unwanted; files by folder, date and length; whether anything fits.
#[test]
fn queries_have_parts_filters_and_a_verdict() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("videos/deep")).unwrap();
    for (from, to) in [("bframes.mp4", "a.mp4"), ("vp9.webm", "deep/b.webm"), ("rotated.mov", "deep/c.mov")] {
        fs::copy(fixture(from), dir.path().join("videos").join(to)).unwrap();
    }
    stdout(&search(dir.path(), &["index", "videos"]));
    let ask = |words: &[&str]| {
        let lines = stdout(&search(dir.path(), &[&["query"], words, &["--json", "q.json", "--rerank", "0"]].concat()));
        (lines, json(&dir.path().join("q.json")))
    };
    let (lines, answer) = ask(&["a red square"]);
    assert_eq!(lines.lines().count(), 3);
    assert!(
        answer["fits"].is_boolean() && answer["threshold"].is_number() && answer["calibrated"] == false,
        "{answer}"
    );
    let evidence = |n: usize| answer["results"][n]["evidence"].as_f64().unwrap();
    assert_eq!(answer["fits"].as_bool().unwrap(), evidence(0) >= answer["threshold"].as_f64().unwrap());
    assert!(evidence(0) >= evidence(2));
    // A video is most like itself, and least where it is not wanted.
    let first = |lines: &str| lines.lines().next().unwrap().split('\t').nth(2).unwrap().to_owned();
    let (lines, answer) = ask(&["videos/deep/c.mov"]);
    assert_eq!((first(&lines).as_str(), answer["fits"].is_null()), ("videos/deep/c.mov", true));
    let (lines, _) = ask(&["+a red square -100*videos/deep/c.mov"]);
    assert!(lines.lines().last().unwrap().contains("c.mov"), "{lines}");
    svitt::viz::Canvas::new(40, 30, [200, 0, 0]).write_png(dir.path().join("red.png")).unwrap();
    assert_eq!(ask(&["red.png"]).0.lines().count(), 3);
    assert_eq!(ask(&["+red.png +0.5*a red square"]).0.lines().count(), 3);
    for (filter, count) in [
        (&["--in", "videos/deep"][..], 2),
        (&["--in", "videos/a.mp4"], 1),
        (&["--after", "2090-01-01"], 0),
        (&["--after", "2001-01-01", "--longer", "0.1"], 3),
        (&["--longer", "1000"], 0),
    ] {
        let (lines, answer) = ask(&[&["a red square"], filter].concat());
        assert_eq!(lines.lines().count(), count, "{filter:?}");
        assert!(count > 0 || answer["fits"] == false);
    }
    for (words, told) in [
        (&["-red"][..], "only what is unwanted"),
        (&["x", "--after", "soon"], "--after"),
        (&["x", "--longer", "-1"], "--longer"),
    ] {
        let sentence = refusal(&search(dir.path(), &[&["query"], words].concat()));
        assert!(sentence.contains(told), "{sentence}");
    }
}

/// Thresholds are chosen by a manifest and then hide what does not fit, unless it is asked for.
#[test]
fn a_calibrated_index_says_that_nothing_fits() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    let words = ["red", "blue", "green", "yellow"];
    let mut records = Vec::new();
    for n in 0..24 {
        fs::copy(
            fixture(["bframes.mp4", "vp9.webm", "rotated.mov"][n % 3]),
            dir.path().join(format!("videos/{n}.mp4")),
        )
        .unwrap();
        let caption = format!(
            "the {} {} moves {}",
            words[n % 4],
            ["square", "circle", "triangle"][n / 4 % 3],
            ["left", "right"][n / 12]
        );
        records.push(serde_json::json!({"video": format!("{n}.mp4"), "caption": caption}));
    }
    fs::write(dir.path().join("videos/captions.json"), Value::from(records).to_string()).unwrap();
    stdout(&search(dir.path(), &["index", "videos"]));
    let calibrate = ["calibrate", "videos/captions.json", "--rerank", "2", "--json", "c.json"];
    let lines = stdout(&search(dir.path(), &calibrate));
    assert!(lines.lines().count() == 2 && lines.contains("on 12 other texts"), "{lines}");
    let report = json(&dir.path().join("c.json"));
    let kept = dir.path().join("svitt-index/calibration.json");
    assert_eq!(report, json(&kept));
    assert!((0.0..=100.0).contains(&report["figures"]["both"]["misses"].as_f64().unwrap()), "{report}");
    // Indexing again leaves it; a threshold that nothing reaches shows what happens below it.
    stdout(&search(dir.path(), &["index", "videos"]));
    assert_eq!(report, json(&kept));
    let mut strict = report.clone();
    (strict["both"], strict["vectors"]) = (serde_json::json!(1e6), serde_json::json!(1e6));
    fs::write(&kept, strict.to_string()).unwrap();
    let output = search(dir.path(), &["query", "the red square", "--rerank", "2", "--json", "q.json"]);
    assert_eq!(stdout(&output), "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing in here fits"));
    let answer = json(&dir.path().join("q.json"));
    assert_eq!(
        (&answer["fits"], answer["threshold"].as_f64(), answer["results"].as_array().unwrap().len()),
        (&Value::from(false), Some(1e6), 10)
    );
    assert_eq!(
        stdout(&search(dir.path(), &["query", "the red square", "--rerank", "2", "--nearest"])).lines().count(),
        10
    );
    fs::write(dir.path().join("videos/few.json"), r#"[{"video": "1.mp4", "caption": "the red square"}]"#).unwrap();
    assert!(refusal(&search(dir.path(), &["calibrate", "videos/few.json"])).contains("20 are needed"));
}

#[test]
fn a_second_indexer_stops_while_readers_go_on_and_other_weights_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    fs::copy(fixture("bframes.mp4"), dir.path().join("videos/a.mp4")).unwrap();
    stdout(&search(dir.path(), &["index", "videos"]));
    let index = dir.path().join("svitt-index");
    let id: ModelId = Index::open(&index).unwrap().id().clone();
    let first = IndexWriter::open(&index, &id).unwrap();
    let sentence = refusal(&search(dir.path(), &["index", "videos"]));
    assert!(sentence.contains("another process is indexing"), "{sentence}");
    assert_eq!(stdout(&search(dir.path(), &["query", "red square"])).lines().count(), 1);
    drop(first);
    let other = project().join("runs/pretrain/stage-1");
    for command in ["index", "query"] {
        let subject = if command == "index" { "videos" } else { "red" };
        let mut process = Command::new(example("search"));
        process.arg(command).arg(subject).arg("--checkpoint").arg(&other).current_dir(dir.path());
        let sentence = refusal(&process.output().unwrap());
        assert!(sentence.contains(&id.weights[..12]) && sentence.contains("was made by"), "{sentence}");
    }
}

/// An index says how sparse its model was; queries follow it, and another sparsity is refused.
#[test]
fn an_index_names_its_sparsity() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    for name in ["bframes.mp4", "vp9.webm"] {
        fs::copy(fixture(name), dir.path().join("videos").join(name)).unwrap();
    }
    let index = |name: &str, options: &[&str]| {
        stdout(&search(dir.path(), &[&["index", "videos", "--index", name], options].concat()));
        Index::open(dir.path().join(name)).unwrap()
    };
    let (own, half) = (index("own", &[]), index("half", &["--keep", "0.5", "--edges", "1,1,8"]));
    let node = half.id().sparsity.node.clone().unwrap();
    assert_eq!((node.keep_rate, half.id().sparsity.edge.unwrap().block), (0.5, 8));
    assert_eq!(own.id().configuration, half.id().configuration);
    for file in own.files() {
        assert_ne!(own.clips_of(file)[0].vector, half.clips_of(file)[0].vector, "{}", file.display());
    }
    assert_eq!(index("half", &[]).id(), half.id(), "again, without options");
    let query = |options: &[&str]| {
        search(dir.path(), &[&["query", "a red square", "--index", "half", "--top", "2"], options].concat())
    };
    let lines = stdout(&query(&[]));
    assert_eq!((lines.lines().count(), stdout(&query(&["--keep", "0.5", "--edges", "1,1,8"]))), (2, lines));
    let message = refusal(&query(&["--keep", "0.9"]));
    assert!(message.contains("[--edges 1,1,8 --keep 0.5 ") && message.contains("--keep 0.9 "), "{message}");
    let message = refusal(&search(dir.path(), &["index", "videos", "--index", "half", "--edges", "1,2,8"]));
    assert!(message.contains("[--edges 1,1,8 ") && message.contains("another directory"), "{message}");
    fs::copy(fixture("bframes.mp4"), dir.path().join("elsewhere.mp4")).unwrap();
    let lines = stdout(&search(dir.path(), &["similar", "elsewhere.mp4", "--index", "half", "--top", "1"]));
    assert!(lines.starts_with("1\t1.0000\tvideos/bframes.mp4\t"), "embedded as sparsely as the index: {lines}");
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bare = |arguments: &[&str]| {
        refusal(&Command::new(example("search")).args(arguments).current_dir(dir.path()).output().unwrap())
    };
    assert!(bare(&["index", "nowhere"]).contains("nowhere"));
    assert!(bare(&["index", "."]).contains("no checkpoint under ./runs"));
    assert!(bare(&["query", "x"]).contains("there is no index here"));
    assert!(!dir.path().join("svitt-index").exists(), "nothing half-made is left");
    stdout(&search(dir.path(), &["index", "."]));
    assert!(refusal(&search(dir.path(), &["query", " .,! "])).contains("holds no word"));
    assert_eq!(stdout(&search(dir.path(), &["query", "red square"])), "", "an empty index answers with nothing");
    assert!(refusal(&search(dir.path(), &["similar", "nowhere.mp4"])).contains("nowhere.mp4"));
    assert!(refusal(&search(dir.path(), &["index", ".", "--overlap", "1"])).contains("--overlap"));
}

/// Killed at moments spread over its run and started again, an indexer ends where one that was left alone ends, and
/// nothing it had written is embedded twice.
#[test]
fn killed_indexers_go_on_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    for n in 0..24 {
        fs::copy(fixture("fragmented.mp4"), dir.path().join(format!("videos/{n}.mp4"))).unwrap();
    }
    let arguments = ["index", "videos", "--batch", "1", "--clip-seconds", "0.5"];
    let straight = [&arguments[..], &["--index", "straight"]].concat();
    stdout(&search(dir.path(), &straight));
    let mut known = 0;
    for kill in 0..8 {
        let mut process = command(dir.path(), &arguments);
        let mut process = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + 45 * kill));
        process.kill().unwrap();
        process.wait().unwrap();
        if let Ok(index) = Index::open(dir.path().join("svitt-index")) {
            let files = index.files().count();
            assert!(files >= known, "{files} files after {known}");
            known = files;
        }
    }
    stdout(&search(dir.path(), &[&arguments[..], &["--json", "r.json"]].concat()));
    assert_eq!(json(&dir.path().join("r.json"))["unchanged"].as_u64(), Some(known as u64));
    let [straight, killed] = ["straight", "svitt-index"].map(|name| Index::open(dir.path().join(name)).unwrap());
    assert_eq!(killed.files().collect::<Vec<_>>(), straight.files().collect::<Vec<_>>());
    for file in straight.files() {
        assert_eq!(killed.clips_of(file), straight.clips_of(file), "{}", file.display());
    }
}

/// Files come, go and are written over while an indexer runs; the next run puts everything right.
#[test]
fn a_folder_may_change_while_it_is_indexed() {
    let dir = tempfile::tempdir().unwrap();
    let videos = dir.path().join("videos");
    fs::create_dir(&videos).unwrap();
    let whole = fs::read(fixture("fragmented.mp4")).unwrap();
    (0..24).for_each(|n| fs::write(videos.join(format!("{n}.mp4")), &whole).unwrap());
    let arguments = ["index", "videos", "--batch", "1", "--clip-seconds", "0.5"];
    let mut indexer = command(dir.path(), &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for n in 0..8 {
        std::thread::sleep(Duration::from_millis(20));
        fs::remove_file(videos.join(format!("{n}.mp4"))).unwrap();
        fs::write(videos.join(format!("{}.mp4", n + 8)), &whole[..whole.len() / 2]).unwrap();
        fs::copy(fixture("vp9.webm"), videos.join(format!("{n}.webm"))).unwrap();
    }
    assert!(indexer.wait().unwrap().success());
    stdout(&search(dir.path(), &arguments));
    stdout(&search(dir.path(), &[&arguments[..], &["--index", "straight"]].concat()));
    let [straight, lively] = ["straight", "svitt-index"].map(|name| Index::open(dir.path().join(name)).unwrap());
    assert_eq!(lively.files().collect::<Vec<_>>(), straight.files().collect::<Vec<_>>());
    assert_eq!(lively.files().count(), 24);
    for file in straight.files() {
        assert_eq!(lively.clips_of(file), straight.clips_of(file), "{}", file.display());
    }
}

/// Four jobs at once, one of them killed and run again: merged, they are what one process makes.
#[test]
fn shards_of_a_folder_merge_into_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let videos = dir.path().join("videos");
    fs::create_dir_all(videos.join("deep")).unwrap();
    for n in 0..12 {
        let (name, folder) = (["fragmented.mp4", "vp9.webm"][n % 2], ["", "deep/"][n / 6]);
        fs::copy(fixture(name), videos.join(format!("{folder}{n}-{name}"))).unwrap();
    }
    fs::write(videos.join("junk.mp4"), b"not a video at all").unwrap();
    let arguments = ["index", "videos", "--batch", "2", "--clip-seconds", "0.5"];
    stdout(&search(dir.path(), &[&arguments[..], &["--index", "single"]].concat()));
    let start = |shard: &str| {
        let mut job = command(dir.path(), &[&arguments[..], &["--shard", shard, "--index", &shard[..1]]].concat());
        job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut jobs = ["1/4", "2/4", "3/4", "4/4"].map(start);
    std::thread::sleep(Duration::from_millis(60));
    jobs[2].kill().unwrap();
    for mut job in jobs {
        job.wait().unwrap();
    }
    let merge = |arguments: &[&str]| {
        let mut process = Command::new(example("search"));
        process.arg("merge").args(arguments).current_dir(dir.path()).output().unwrap()
    };
    let lacking = refusal(&merge(&["merged", "1", "2", "4"]));
    assert!(lacking.contains("lack shard 3/4") && lacking.contains("--shard"), "{lacking}");
    stdout(&start("3/4").wait_with_output().unwrap());
    let told = stdout(&merge(&["merged", "4", "3", "2", "1", "--json", "m.json"]));
    assert!(told.starts_with("merged: 4 shards, 13 videos, ") && told.contains("1 broken"), "{told}");
    let [single, merged] = ["single", "merged"].map(|name| Index::open(dir.path().join(name)).unwrap());
    assert!(merged.files().eq(single.files()) && merged.broken().eq(single.broken()));
    for file in single.files() {
        assert_eq!(merged.clips_of(file), single.clips_of(file), "{}", file.display());
    }
    assert_eq!(json(&dir.path().join("m.json"))["clips"].as_u64(), Some(single.clips() as u64));
    let again = stdout(&search(dir.path(), &[&arguments[..], &["--index", "merged"]].concat()));
    assert!(again.contains("(0 new, 0 changed, 13 unchanged, 0 removed)"), "{again}");
    assert!(refusal(&search(dir.path(), &["index", "videos", "--shard", "5/4"])).contains("2/4 is the second of four"));
    assert!(
        refusal(&search(dir.path(), &["index", "videos", "--shard", "2/3", "--index", "2"]))
            .contains("holds shard 2/4")
    );
}

/// Out into files for a database, and back as a list of ids that the fusion encoder ranks.
#[test]
fn an_index_is_exported_and_what_a_database_returns_is_ranked() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    for name in ["bframes.mp4", "edit-list.mp4", "fragmented.mp4", "vp9.webm"] {
        fs::copy(fixture(name), dir.path().join("videos").join(name)).unwrap();
    }
    let index = ["index", "videos", "--vectors", "int8", "--json", "r.json"];
    stdout(&search(dir.path(), &index));
    let clips = json(&dir.path().join("r.json"))["clips"].as_u64().unwrap();
    let bare =
        |arguments: &[&str]| Command::new(example("search")).args(arguments).current_dir(dir.path()).output().unwrap();
    assert!(stdout(&bare(&["export", "clips.npy"])).starts_with(&format!("clips.npy: {clips} clips of ")));
    let list = json(&dir.path().join("clips.json"));
    let ids: Vec<&str> = list["clips"].as_array().unwrap().iter().map(|clip| clip["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len() as u64, clips);

    let text = "a red square moves left";
    let query = ["query", text, "--rerank", "4", "--top", "4", "--json", "q.json"];
    stdout(&search(dir.path(), &query));
    fs::write(dir.path().join("found.json"), serde_json::json!(ids).to_string()).unwrap();
    stdout(&search(dir.path(), &["import-ids", "found.json", text, "--json", "i.json"]));
    let [asked, listed] = ["q.json", "i.json"].map(|name| json(&dir.path().join(name))["results"].clone());
    for (a, b) in asked.as_array().unwrap().iter().zip(listed.as_array().unwrap()) {
        // A scan rounds the query, too.
        assert_eq!((&a["file"], &a["log_odds"]), (&b["file"], &b["log_odds"]));
        assert!((a["cosine"].as_f64().unwrap() - b["cosine"].as_f64().unwrap()).abs() < 1e-3, "{a} {b}");
    }
    fs::write(dir.path().join("found.txt"), format!("{}\nnowhere.mp4#t=0,1\n", ids[0])).unwrap();
    let unknown = refusal(&search(dir.path(), &["import-ids", "found.txt", text]));
    assert!(unknown.contains("holds no clip `nowhere.mp4#t=0,1`"), "{unknown}");
    assert!(refusal(&bare(&["export", "clips.csv"])).contains("ends in neither"));
    let writer =
        IndexWriter::open(dir.path().join("svitt-index"), Index::open(dir.path().join("svitt-index")).unwrap().id());
    let busy = refusal(&bare(&["export", "again.npy"]));
    assert!(busy.contains("is still being written") && !dir.path().join("again.npy").exists(), "{busy}");
    drop(writer);
    assert!(refusal(&search(dir.path(), &["index", "videos", "--vectors", "f64"])).contains("use f32, f16 or int8"));
}

#[test]
fn ten_thousand_clips_are_searched_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Command::new(example("search"));
    let output = process.args(["speed", "--json", "s.json"]).current_dir(dir.path()).output().unwrap();
    assert!(stdout(&output).contains("10000 clips of 256 numbers"));
    let milliseconds = json(&dir.path().join("s.json"))["search_ms"].as_f64().unwrap();
    // 50 ms is the promise of an optimised build; tests are built without and share their cores.
    let limit = if cfg!(debug_assertions) { 1000.0 } else { 50.0 };
    assert!(milliseconds < limit, "{milliseconds}");
}

/// Clips are shots where that was asked for once; the other commands follow the index.
#[test]
fn shots_are_indexed_followed_and_narrowed() {
    if !svitt_video::ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin"]);
    for source in ["testsrc2", "mandelbrot", "smptebars"] {
        ffmpeg.args(["-f", "lavfi", "-i", &format!("{source}=size=96x64:rate=25")]);
    }
    let trim = |n: usize, frames: usize| format!("[{n}]format=yuv420p,trim=end_frame={frames}[v{n}];");
    let graph = format!("{}{}{}[v0][v1][v2]concat=n=3[v]", trim(0, 40), trim(1, 75), trim(2, 50));
    let made = ffmpeg.args(["-filter_complex", &graph, "-map", "[v]", "videos/a.mp4"]).current_dir(dir.path()).output();
    if !made.unwrap().status.success() {
        return crate::skipped::skipped("libx264");
    }
    assert_eq!(counts(dir.path(), &["--spans", "shots"]), [1, 0, 0, 0, 0]);
    let report = json(&dir.path().join("r.json"));
    assert_eq!((report["spans"].as_str(), report["clips"].as_u64()), (Some("shots"), Some(3)));
    assert_eq!(report["decoded_by"], serde_json::json!({"native": 1, "ffmpeg": 0}), "too short to start a program for");
    assert_eq!(counts(dir.path(), &[]), [0, 0, 1, 0, 0], "cut as it is");

    let lines = stdout(&search(dir.path(), &["query", "the red square moves left", "--narrow", "--json", "q.json"]));
    let found = json(&dir.path().join("q.json"));
    let mut spans: Vec<[f64; 2]> = Vec::new();
    for (line, result) in lines.lines().zip(found["results"].as_array().unwrap()) {
        let [start, end] = ["start", "end"].map(|name| result[name].as_f64().unwrap());
        assert_eq!(line.split('\t').count(), if result["best"].is_null() { 4 } else { 5 });
        if let Some(best) = result["best"].as_object() {
            let [from, to] = ["start", "end"].map(|name| best[name].as_f64().unwrap());
            assert!(start <= from && from < to && to <= end && to - from < 0.51 * (end - start), "{result}");
            assert!(best["cosine"].as_f64() > result["cosine"].as_f64(), "{result}");
        }
        spans.push([start, end]);
    }
    spans.sort_by(|a, b| a[0].total_cmp(&b[0]));
    assert_eq!(spans, [[0.0, 1.6], [1.6, 4.6], [4.6, 6.6]]);

    assert_eq!(counts(dir.path(), &["--spans", "windows"]), [0, 1, 0, 0, 0]);
    assert_eq!(json(&dir.path().join("r.json"))["clips"].as_u64(), Some(1));
    for (shard, spans) in [("1/2", "shots"), ("2/2", "windows")] {
        let part = format!("part-{spans}");
        stdout(&search(dir.path(), &["index", "videos", "--shard", shard, "--spans", spans, "--index", &part]));
    }
    let mut merge = Command::new(example("search"));
    merge.args(["merge", "whole", "part-shots", "part-windows"]).current_dir(dir.path());
    let refused = refusal(&merge.output().unwrap());
    assert!(refused.contains("by shots") && !dir.path().join("whole").exists(), "{refused}");
}
