//! Training by the processes of an MPI job, as `mpirun` starts them: the same bits as one process with as many workers,
//! one error for all, and no work lost when a process dies.

mod shards;

use crate::project::{fixture, svitt};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Two stages of ten steps, the second sparse and accumulating with a tail.
const PRESET: &str = concat!(
    include_str!("fixtures/tiny-preset.toml"),
    r#"
[[stages]]
name = "first"
frames = 3
segments = [1]
length = { steps = 10 }
warmup = { steps = 2 }
learning_rate = 2e-3
batch = 5

[[stages]]
name = "second"
frames = 5
segments = [1, 2]
edge = { local = 1, random = 1, block = 16 }
node = { keep_rate = 0.7, layers = [0] }
length = { steps = 10 }
learning_rate = 1e-3
batch = 4
accumulate = 2
max_norm = 1.0
"#
);

/// Words of one process's command.
type Words<'a> = Vec<&'a str>;

/// A folder with the preset.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("test.toml"), PRESET).unwrap();
        Self(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn in_folder(&self, mut command: Command) -> Command {
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// `svitt pretrain … --out OUT WORDS` by one process.
    fn alone(&self, out: &str, words: &[&str]) -> Output {
        let mut command = Command::new(svitt());
        command.args(["pretrain", "--preset", "test.toml", "--seed", "7", "--out", out]).args(words);
        self.in_folder(command).output().unwrap()
    }

    /// A job with a process for each of `processes`, which are programs and their words.
    fn job(&self, processes: &[(&Path, Words<'_>)]) -> Command {
        let mut command = Command::new("mpirun");
        for (index, (program, words)) in processes.iter().enumerate() {
            command.args(if index > 0 { &[":", "-n", "1"][..] } else { &["-n", "1"] }).arg(program).args(words);
        }
        // As root in a container, and with more processes than cores.
        for (name, value) in [
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
            ("OMPI_MCA_hwloc_base_binding_policy", "none"),
        ] {
            command.env(name, value);
        }
        self.in_folder(command)
    }

    /// A job of `count` processes of `svitt pretrain … --out OUT WORDS`.
    fn processes(&self, count: usize, out: &str, words: &[&str]) -> Command {
        let program = svitt();
        let own = [&["pretrain", "--preset", "test.toml", "--seed", "7", "--out", out], words].concat();
        self.job(&vec![(program.as_path(), own); count])
    }

    /// Losses of the logged steps, and the weights after the last stage.
    fn end(&self, out: &str) -> (Vec<(u64, Value)>, Vec<u8>) {
        let text = fs::read_to_string(self.at(out).join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let losses = lines.map(|line| (line["step"].as_u64().unwrap(), line["losses"].clone())).collect();
        (losses, fs::read(self.at(out).join("stage-2/model.safetensors")).unwrap())
    }
}

#[track_caller]
fn succeed(output: &Output) {
    assert!(output.status.success(), "{:?}: {}", output.status.code(), String::from_utf8_lossy(&output.stderr));
}

/// Standard error of a job that an error ends: the lines that are svitt's, not the launcher's.
#[track_caller]
fn said(output: &Output) -> Vec<String> {
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect()
}

/// The number of the operating system for process `rank` of the job that works in `folder`.
fn process(rank: usize, folder: &Path) -> Option<u32> {
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let own = environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes());
        let here = fs::read_link(entry.path().join("cwd")).ok()? == fs::canonicalize(folder).ok()?;
        let program = fs::read_link(entry.path().join("exe")).ok()? == fs::canonicalize(svitt()).ok()?;
        (own && here && program).then_some(number)
    })
}

/// Sends `signal` to process `rank` as soon as `moment` has come, and waits for the end of the job.
fn signal_when(place: &Place, job: &mut Command, rank: usize, signal: &str, moment: impl Fn() -> bool) -> Output {
    let mut child: Child = job.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !moment() {
        assert!(child.try_wait().unwrap().is_none(), "the job ended before the moment");
        assert!(start.elapsed() < Duration::from_secs(300), "the moment did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
    let number = process(rank, place.0.path()).expect("the process is there");
    assert!(Command::new("kill").args([signal, &number.to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

fn trains_as_workers(count: usize) {
    let place = Place::new();
    let devices = count.to_string();
    for (name, words) in [("own", &[][..]), ("global", &["--global-negatives"])] {
        let (workers, processes) = (format!("{name}-workers"), format!("{name}-processes"));
        succeed(&place.alone(&workers, &[&["--devices", &devices], words].concat()));
        succeed(&place.processes(count, &processes, words).output().unwrap());
        let (expected, found) = (place.end(&workers), place.end(&processes));
        assert_eq!(found.0, expected.0, "{name} negatives");
        assert_eq!(found.0.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 10, 11, 20]);
        assert!(found.1 == expected.1, "{name} negatives: other weights");
    }
}

#[test]
fn two_processes_train_as_two_workers_bit_for_bit() {
    trains_as_workers(2);
}

/// Longer than a check of every change should take: by name, with `--ignored`.
#[test]
#[ignore = "four processes"]
fn four_processes_train_as_four_workers_bit_for_bit() {
    trains_as_workers(4);
}

/// Losses of the logged steps of a baseline, and its report without what depends on the clock.
fn baseline(place: &Place, out: &str, name: &str) -> (Vec<Value>, Value) {
    let folder = place.at(out).join("baselines").join(name);
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let losses = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["losses"].clone()).collect();
    let mut report: Value = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    report.as_object_mut().unwrap().remove("seconds").unwrap();
    (losses, report)
}

#[test]
fn baselines_of_two_processes_are_those_of_two_workers() {
    let place = Place::new();
    // Baselines get up to four times the steps of the last stage.
    fs::write(place.at("test.toml"), PRESET.replace("{ steps = 10 }", "{ steps = 3 }")).unwrap();
    let all = ["single-stage", "dense", "order-blind"];
    let words = ["--baselines", "--global-negatives"];
    succeed(&place.alone("workers", &[&["--devices", "2"], &words[..]].concat()));
    succeed(&place.processes(2, "processes", &words).output().unwrap());
    for model in all {
        let (expected, found) = (baseline(&place, "workers", model), baseline(&place, "processes", model));
        assert!(expected.0.len() > 1, "{model}: {expected:?}");
        assert_eq!(found, expected, "{model}");
    }
    let report: Value = serde_json::from_slice(&fs::read(place.at("processes/report.json")).unwrap()).unwrap();
    assert_eq!(report["baselines"].as_array().unwrap().len(), all.len());
    // Stopped after the first one, and resumed: it is not trained again.
    let first = place.at("run/baselines/single-stage/report.json");
    let ended = signal_when(&place, &mut place.processes(2, "run", &words), 1, "-TERM", || first.exists());
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    let whole = fs::read(&first).unwrap();
    succeed(&place.processes(2, "run", &[&words[..], &["--resume"]].concat()).output().unwrap());
    assert!(fs::read(&first).unwrap() == whole);
    for model in &all[1..] {
        assert_eq!(baseline(&place, "run", model), baseline(&place, "workers", model), "{model}");
    }
}

/// In bf16 half the bytes are sent, and the losses stay near those of f32.
#[test]
fn gradients_may_travel_as_bf16() {
    let place = Place::new();
    succeed(&place.processes(2, "f32", &["--max-steps", "10"]).output().unwrap());
    succeed(&place.processes(2, "bf16", &["--max-steps", "10", "--exchange", "bf16"]).output().unwrap());
    let last = |out: &str| -> Value {
        let text = fs::read_to_string(place.at(out).join("metrics.jsonl")).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    };
    let (whole, half) = (last("f32"), last("bf16"));
    let bytes = |line: &Value| line["exchange"]["mb_per_step"].as_f64().unwrap();
    let share = bytes(&half) / bytes(&whole);
    assert!((0.45..0.6).contains(&share), "{share} of {}", bytes(&whole));
    for loss in ["vtc", "vtm", "mlm"] {
        let [a, b] = [&whole, &half].map(|line| line["losses"][loss].as_f64().unwrap());
        assert!(a != b && (a - b).abs() < 0.02 * a, "{loss}: {a} and {b}");
    }
    let alone = place.alone("none", &["--exchange", "bf16"]);
    assert!(said(&alone)[0].contains("setting `--exchange`: one process exchanges nothing"));
}

#[test]
fn a_killed_process_ends_the_job_and_the_run_resumes() {
    let place = Place::new();
    let words = ["--checkpoint-every", "2"];
    succeed(&place.processes(2, "straight", &words).output().unwrap());
    let moments =
        [("first", 1, "step-000000004-000"), ("second", 0, "step-000000014-001"), ("third", 1, "step-000000016-001")];
    for (out, rank, name) in moments {
        let checkpoint = place.at(out).join("checkpoint").join(name);
        let ended = signal_when(&place, &mut place.processes(2, out, &words), rank, "-KILL", || checkpoint.exists());
        assert!(!ended.status.success());
        assert!(place.at(out).join("checkpoint").read_dir().unwrap().next().is_some(), "{out}: a checkpoint is left");
        let other = said(&place.processes(3, out, &["--checkpoint-every", "2", "--resume"]).output().unwrap());
        assert_eq!(other.len(), 1, "{other:?}");
        assert!(other[0].contains("was made by 2 process(es) with 1 device(s) each"), "{other:?}");
        let resume = [&words[..], &["--resume"]].concat();
        succeed(&place.processes(2, out, &resume).output().unwrap());
        assert!(place.end(out) == place.end("straight"), "{out}");
    }
}

#[test]
fn a_signal_to_any_process_saves_and_ends_all() {
    let place = Place::new();
    succeed(&place.processes(2, "straight", &[]).output().unwrap());
    // Its first checkpoint is that of the signal: none is due before the end of the stage.
    let logged = || place.at("run").join("metrics.jsonl").metadata().is_ok_and(|file| file.len() > 0);
    let ended = signal_when(&place, &mut place.processes(2, "run", &[]), 1, "-TERM", logged);
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(text.matches("interrupted: saved after step").count(), 1, "{text}");
    succeed(&place.processes(2, "run", &["--resume"]).output().unwrap());
    assert!(place.end("run") == place.end("straight"));
}

#[test]
fn processes_that_do_not_fit_together_are_refused_once() {
    let place = Place::new();
    fs::write(place.at("other.toml"), PRESET.replace("learning_rate = 2e-3", "learning_rate = 3e-3")).unwrap();
    let program = svitt();
    let rebuilt = place.at("rebuilt");
    fs::write(&rebuilt, [fs::read(&program).unwrap().as_slice(), b"\0"].concat()).unwrap();
    fs::set_permissions(&rebuilt, fs::metadata(&program).unwrap().permissions()).unwrap();
    let common = ["pretrain", "--preset", "test.toml", "--seed", "7", "--out", "run"];
    let with = |from: &'static str, to: &'static str| common.map(|word| if word == from { to } else { word }).to_vec();
    let missing = [&common[..], &["--annotations", "captions.json", "--media", "videos"]].concat();
    for (other, words, sentence) in [
        (&program, with("7", "8"), "process 1: has another seed than process 0 (8 and 7)"),
        (&program, with("test.toml", "other.toml"), "process 1: has another preset than process 0"),
        (&program, with("test.toml", "none.toml"), "process 1: none.toml"),
        (
            &program,
            [&common[..], &["--global-negatives"]].concat(),
            "process 1: has another setting of global negatives",
        ),
        (&program, missing, "process 1: captions.json"),
        (&rebuilt, common.to_vec(), "process 1: has another build than process 0"),
    ] {
        let output = place.job(&[(&program, common.to_vec()), (other, words.clone())]).output().unwrap();
        let lines = said(&output);
        assert!(lines.len() == 1 && lines[0].contains(sentence), "{words:?}: {lines:?}");
        assert!(!place.at("run").exists(), "{words:?}: nothing is written");
    }
    // What only process 0 can find, and what it finds in the middle of the run.
    fs::write(place.at("file"), "x").unwrap();
    let lines = said(&place.processes(2, "file", &[]).output().unwrap());
    assert!(lines.len() == 1 && lines[0].contains("process 0: file: is no folder"), "{lines:?}");
}

/// Captions, and clips that one process lacks: found before the first step, by every process on its own disk.
#[test]
fn other_data_on_one_machine_is_refused_once() {
    let place = Place::new();
    let captions = |last: &str| {
        let record = |(name, text)| serde_json::json!({"video": name, "caption": text});
        Value::from_iter([("a.mp4", "one"), ("b.mp4", "two"), ("c.mp4", "three"), ("d.mp4", last)].map(record))
    };
    fs::write(place.at("captions.json"), captions("four").to_string()).unwrap();
    fs::write(place.at("others.json"), captions("five").to_string()).unwrap();
    for (folder, names) in [("all", &["a", "b", "c", "d"][..]), ("fewer", &["a", "b", "d"])] {
        fs::create_dir(place.at(folder)).unwrap();
        for name in names {
            fs::copy(fixture("vfr.mp4"), place.at(folder).join(format!("{name}.mp4"))).unwrap();
        }
    }
    let program = svitt();
    let words = |annotations, media| {
        let common = ["pretrain", "--preset", "test.toml", "--out", "run"];
        [&common[..], &["--annotations", annotations, "--media", media]].concat()
    };
    for (annotations, media, sentence) in [
        ("others.json", "all", "process 1: has another list of annotations than process 0"),
        (
            "captions.json",
            "fewer",
            "process 1: has another data set than process 0 (2 clips, 1 files missing: c.mp4 and",
        ),
        ("captions.json", "none", "process 1: none: "),
    ] {
        let processes = [(program.as_path(), words("captions.json", "all")), (&program, words(annotations, media))];
        let lines = said(&place.job(&processes).output().unwrap());
        assert!(lines.len() == 1 && lines[0].contains(sentence), "{annotations} {media}: {lines:?}");
        assert!(!place.at("run").join("metrics.jsonl").exists(), "before the first step");
    }
}

/// Process 0 finds in the middle of the run that its folder is gone, and the other waits for its next step.
#[test]
fn a_failure_in_the_middle_ends_all_with_one_error() {
    let place = Place::new();
    let mut job = place.processes(2, "run", &["--checkpoint-every", "3"]);
    let child = job.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !place.at("run/checkpoint/step-000000003-000").exists() {
        assert!(start.elapsed() < Duration::from_secs(300), "no checkpoint came");
        std::thread::sleep(Duration::from_millis(1));
    }
    fs::remove_dir_all(place.at("run")).unwrap();
    let lines = said(&child.wait_with_output().unwrap());
    assert!(lines.len() == 1 && lines[0].starts_with("error: process 0 of 2: "), "{lines:?}");
}

#[test]
fn fine_tuning_by_two_processes_resumes_where_it_was() {
    let place = Place::new();
    succeed(&place.alone("model", &["--max-steps", "1"]));
    let program = svitt();
    let tune = |out: &'static str, count: usize, words: &[&'static str]| {
        let own = ["finetune", "shapes", "--checkpoint", "model/stage-1", "--batch", "3", "--out", out];
        let words = [&own, words].concat();
        place.job(&vec![(program.as_path(), words); count]).output().unwrap()
    };
    succeed(&tune("straight", 2, &["--max-steps", "4"]));
    succeed(&tune("parts", 2, &["--max-steps", "2"]));
    let lines = said(&tune("parts", 3, &["--max-steps", "4", "--resume"]));
    assert!(lines.len() == 1 && lines[0].contains("was made by 2 process(es)"), "{lines:?}");
    succeed(&tune("parts", 2, &["--max-steps", "4", "--resume"]));
    let weights = |out: &str| fs::read(place.at(out).join("checkpoint/step-000000004-000/model.safetensors")).unwrap();
    assert!(weights("straight") == weights("parts"));
}
