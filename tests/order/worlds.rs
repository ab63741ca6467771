//! Annotations in the format of each benchmark, and the videos they speak of.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use svitt::data::Benchmark;
use svitt_video::encode::write_rgb;

/// Records of each benchmark.
pub const COUNT: usize = 40;

/// A folder of annotations and `videos`, and what it holds.
pub struct World {
    pub benchmark: Benchmark,
    pub folder: tempfile::TempDir,
    /// The file to score.
    pub annotations: PathBuf,
    /// Candidates of a choice that differ in order: what a guess among them is worth.
    pub blind: f64,
}

impl World {
    pub fn media(&self) -> PathBuf {
        self.folder.path().join("videos")
    }

    fn new(benchmark: Benchmark, file: &str, text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let annotations = folder.path().join(file);
        fs::write(&annotations, text).unwrap();
        fs::create_dir(folder.path().join("videos")).unwrap();
        Self { benchmark, folder, annotations, blind: 50.0 }
    }

    /// Puts a video at `name` below the media folder.
    fn video(&self, name: &str, rising: bool) {
        let path = self.media().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !path.exists() {
            fs::copy(&clips()[usize::from(rising)], path).unwrap();
        }
    }

    /// Puts `text` beside the annotations.
    fn beside(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }
}

/// RTime with a video in which nothing changes.
pub fn still() -> World {
    let clip = |number| {
        let [right, wrong] = pair(number);
        (format!("{}", 3000 + number), json!({"forward_captions": [right], "reverse_captions": [wrong]}))
    };
    let world = World::new(Benchmark::Rtime, "test.json", object((0..6).map(clip)));
    let grey = |number: usize| vec![40 + 30 * number as u8; 16 * 32 * 32 * 3];
    (0..6).for_each(|number| {
        write_rgb(&world.media().join(format!("{}.mp4", 3000 + number)), &grey(number), [32, 32], 16.0).unwrap();
    });
    world
}

/// A second of 16 frames that fall, and one of frames that rise, from grey level 40 to 200.
fn clips() -> &'static [PathBuf; 2] {
    static CLIPS: OnceLock<[PathBuf; 2]> = OnceLock::new();
    CLIPS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("order-clips");
        fs::create_dir_all(&folder).unwrap();
        ["falling.mp4", "rising.mp4"].map(|name| {
            let level = |frame: usize| 40 + 160 * if name == "rising.mp4" { frame } else { 15 - frame } / 15;
            let rgb: Vec<u8> = (0..16).flat_map(|frame| vec![level(frame) as u8; 32 * 32 * 3]).collect();
            let path = folder.join(name);
            write_rgb(&path, &rgb, [32, 32], 16.0).unwrap();
            path
        })
    })
}

/// Whether record `number` goes from dark to bright: half of them, in no pattern that anything else has.
fn rises(number: usize) -> bool {
    (number * 7 + number / 8).is_multiple_of(2)
}

/// A sentence about record `number`.
fn says(number: usize, rising: bool) -> String {
    let [from, to] = if rising { ["dark", "bright"] } else { ["bright", "dark"] };
    format!("hall {number} goes from {from} to {to}")
}

/// The right and the wrong sentence about record `number`.
fn pair(number: usize) -> [String; 2] {
    [rises(number), !rises(number)].map(|rising| says(number, rising))
}

fn numbers() -> std::ops::Range<usize> {
    0..COUNT
}

fn object(records: impl Iterator<Item = (String, Value)>) -> String {
    Value::Object(records.collect()).to_string()
}

fn lines(header: &str, rows: impl Iterator<Item = String>) -> String {
    std::iter::once(header.to_owned()).chain(rows).map(|row| row + "\n").collect()
}

/// Every choice benchmark.
pub fn choices() -> Vec<World> {
    vec![
        rtime(),
        vitatecs(),
        tempcompass(),
        testoftime_didemo(),
        testoftime_charades(),
        vilma(),
        nextqa(),
        ssv2(Benchmark::Ssv2Chiral, ["Opening [something]", "Closing [something]"]),
        ssv2(Benchmark::Ssv2Temporal, ["Uncovering [something]", "Covering [something] with [something]"]),
        msrvtt_mc(),
    ]
}

pub fn rtime() -> World {
    let clip = |number| {
        let [right, wrong] = pair(number);
        (format!("{}", 3000 + number), json!({"forward_captions": [right + "\n"], "reverse_captions": [wrong]}))
    };
    let world = World::new(Benchmark::Rtime, "test.json", object(numbers().map(clip)));
    numbers().for_each(|number| world.video(&format!("{}.mp4", 3000 + number), rises(number)));
    world
}

fn vitatecs() -> World {
    let name = |number: usize| match number % 2 {
        0 => ("MSRVTT", format!("video{number}.mp4")),
        _ => ("VATEX", format!("-x_{number:08}_000001_000011.mp4")),
    };
    let row = |number| {
        let ((set, video), [right, wrong]) = (name(number), pair(number));
        json!({"src_dataset": set, "video_name": video, "caption": right, "counterfactual": wrong, "aspect": "Direction"})
            .to_string()
    };
    let text: String = numbers().map(|number| row(number) + "\n").collect();
    let world = World::new(Benchmark::Vitatecs, "Direction.jsonl", text);
    numbers().for_each(|number| {
        let (set, video) = name(number);
        world.video(&format!("{set}/{video}"), rises(number));
    });
    world
}

/// Half of the videos, with their reversals, which are not files.
fn tempcompass() -> World {
    let item = |number: usize, rising: bool| {
        let mut texts = [says(number, true), says(number, false)];
        if number.is_multiple_of(3) {
            texts.reverse();
        }
        let lines = [format!("Caption A: {}", texts[0]), format!("Caption B: {}", texts[1])];
        let right = usize::from(texts[1] == says(number, rising));
        json!({"direction": [{"question": format!("Which?\n{}", lines.join("\n")), "answer": lines[right]}]})
    };
    let videos = (0..COUNT / 2).flat_map(|number| {
        let forward = (format!("{number}"), item(number, rises(number)));
        [forward, (format!("{number}_reverse"), item(number, !rises(number)))]
    });
    let world = World::new(Benchmark::Tempcompass, "caption_matching.json", object(videos));
    (0..COUNT / 2).for_each(|number| world.video(&format!("{number}.mp4"), rises(number)));
    world
}

/// The caption of two events that follow each other, and the distractor.
fn events(number: usize, conjugate: &str) -> [String; 2] {
    let [first, second] = if rises(number) { ["dark", "bright"] } else { ["bright", "dark"] };
    let said = |one, other| format!("hall {number} is {one} {conjugate} it is {other}");
    let [right, wrong] = [said(first, second), said(second, first)];
    if conjugate == "before" { [right, wrong] } else { [wrong, right] }
}

const EVENTS: &str = "video_id,conjugate,event1_description,event2_description,caption,distractor_caption";

fn testoftime_didemo() -> World {
    let row = |number: usize| {
        let conjugate = if number.is_multiple_of(3) { "after" } else { "before" };
        let [right, wrong] = events(number, conjugate);
        format!("{number}@N01_7_ab.mp4,{conjugate},one,other,{right},{wrong},0,0.5,0.5,1")
    };
    let header = format!("{EVENTS},event1_start,event1_end,event2_start,event2_end");
    let world = World::new(Benchmark::Testoftime, "tempotl_didemo_test.csv", lines(&header, numbers().map(row)));
    // DiDeMo's files have other extensions than the annotations.
    numbers().for_each(|number| world.video(&format!("{number}@N01_7_ab.mov"), rises(number)));
    world
}

fn testoftime_charades() -> World {
    let row = |number: usize| {
        let (video, conjugate) = (number / 2, ["before", "after"][number % 2]);
        let [right, wrong] = events(video, conjugate);
        format!("V{video},{conjugate},one,other,{right},{wrong},V_0_0.5.mp4,V_0.5_1.mp4,0.0,0.5,0.5,1.0")
    };
    let header = format!("{EVENTS},event1_clip,event2_clip,event1_start,event1_end,event2_start,event2_end");
    let world = World::new(Benchmark::Testoftime, "charades_testoftime.csv", lines(&header, numbers().map(row)));
    (0..COUNT / 2).for_each(|number| world.video(&format!("V{number}.mp4"), rises(number)));
    world
}

fn vilma() -> World {
    let state = |number: usize, rising: bool| {
        let [from, to] = if rising { ["dark", "bright"] } else { ["bright", "dark"] };
        format!("Initially, hall {number} is {from}. Then, it changes. At the end, hall {number} is {to}.")
    };
    let item = |number: usize| {
        let ssv2 = number.is_multiple_of(4);
        let video = if ssv2 {
            json!({"dataset": "something-something-v2", "original_split": "val", "video_file": number.to_string()})
        } else {
            json!({"dataset": "coin", "youtube_id": format!("yt_{number}"), "start_time": 0.0, "end_time": 1.0})
        };
        let mut item = json!({
            "caption": state(number, rises(number)), "foils": [state(number, !rises(number))],
            "proficiency": {"caption": says(number, rises(number)), "foils": ["a cat"], "human": {"caption": 1}},
            "mturk": {"caption": if number == 5 { 1 } else { 3 }},
        });
        item.as_object_mut().unwrap().extend(video.as_object().unwrap().clone());
        (format!("change-state-inverse-{number}"), item)
    };
    let world = World::new(Benchmark::Vilma, "change-state-inverse.json", object(numbers().map(item)));
    numbers().for_each(|number| match number % 4 {
        0 => world.video(&format!("ssv2/{number}.webm"), rises(number)),
        _ => world.video(&format!("coin/yt_{number}.mkv"), rises(number)),
    });
    world
}

fn nextqa() -> World {
    let row = |number: usize| {
        let mut options = ["it burns".to_owned(), says(number, true), "a cat".into(), says(number, false), "no".into()];
        options.rotate_left(number % 5);
        let right = options.iter().position(|option| *option == says(number, rises(number))).unwrap();
        let kind = ["TN", "CH"][number % 2];
        format!("{number},16,32,32,what happens,{right},7,{kind},{}", options.join(","))
    };
    let header = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4";
    let world = World::new(Benchmark::Nextqa, "val.csv", lines(header, numbers().map(row)));
    let folders = numbers().map(|number| (number.to_string(), json!(format!("11{:02}/{number}", number % 3))));
    world.beside("map_vid_vidorID.json", &object(folders));
    world.beside("atp-hard-ct4.indices.txt", "1\n4\n5\n");
    numbers().for_each(|number| world.video(&format!("11{:02}/{number}.mp4", number % 3), rises(number)));
    world
}

/// Clips of two opposite templates, the first of which goes from dark to bright.
fn ssv2(benchmark: Benchmark, templates: [&str; 2]) -> World {
    let template = |number| templates[usize::from(!rises(number))];
    let clip = |number: usize| json!({"id": number.to_string(), "label": "a cup", "template": template(number)});
    let other = json!({"id": "900", "label": "a cup", "template": "Holding [something]"});
    let list = numbers().map(clip).chain([other]).collect::<Vec<_>>();
    let world = World::new(benchmark, "something-something-v2-validation.json", json!(list).to_string());
    if benchmark == Benchmark::Ssv2Temporal {
        let rows = numbers().take(24).map(|number| format!("{number},{}", template(number)));
        world.beside("videocon_ssv2_temporal216.csv", &lines("id,template", rows));
    }
    numbers().for_each(|number| world.video(&format!("{number}.webm"), rises(number)));
    world
}

fn msrvtt_mc() -> World {
    let record = |number: usize| {
        let [right, wrong] = pair(number);
        let mut captions = vec!["a cat".to_owned(), right.clone(), "a dog".into(), wrong, "a car".into()];
        captions.rotate_left(number % 5);
        let answer = captions.iter().position(|caption| *caption == right).unwrap();
        json!({"video": format!("video{number}.mp4"), "caption": captions, "answer": answer})
    };
    let list = numbers().map(record).collect::<Vec<_>>();
    let world = World::new(Benchmark::MsrvttMc, "msrvtt_mc_test.json", json!(list).to_string());
    numbers().for_each(|number| world.video(&format!("all/video{number}.mp4"), rises(number)));
    world
}

/// The classic retrieval sets: a caption or several for each of four videos.
pub fn retrievals() -> Vec<World> {
    let said = |number: usize| json!([pair(number)[0], format!("a hall, number {number}")]);
    let anet = object((0..4).map(|number| {
        let spans = json!({"duration": 1.0, "timestamps": [[0, 0.5], [0.5, 1]], "sentences": said(number)});
        (format!("v_{number:011}"), spans)
    }));
    let words = |number: usize| -> Value {
        let split = |text: &Value| text.as_str().unwrap().split(' ').map(Value::from).collect::<Vec<_>>();
        said(number).as_array().unwrap().iter().map(|text| Value::from(split(text))).collect()
    };
    let msvd = object((0..5).map(|number| (format!("{number}ab_1_9"), words(number))));
    let vatex =
        json!((0..4).map(|n| json!({"videoID": format!("{n}ab_000001_000011"), "enCap": said(n)})).collect::<Vec<_>>());
    let lsmdc: String = (0..4)
        .map(|number| {
            let time = format!("00.00.0{number}.000-00.00.09.500");
            format!("900{number}_A_Film_{time}\t0\t9\t0\t9\t{}\n", pair(number)[0])
        })
        .collect();
    let worlds = vec![
        (World::new(Benchmark::Anet, "val_1.json", anet), "v_0000000000N.mkv"),
        (World::new(Benchmark::Msvd, "raw-captions.json", msvd), "Nab_1_9.avi"),
        (World::new(Benchmark::Vatex, "vatex_validation_v1.0.json", vatex.to_string()), "Nab_000001_000011.mp4"),
        (
            World::new(Benchmark::Lsmdc, "LSMDC16_challenge_1000_publictect.csv", lsmdc),
            "900N_A_Film/900N_A_Film_00.00.0N.000-00.00.09.500.avi",
        ),
    ];
    let list: String = (0..4).map(|number| format!("{number}ab_1_9\n")).collect();
    worlds[1].0.beside("test_list.txt", &list);
    let named = worlds.into_iter().map(|(world, name)| {
        (0..4).for_each(|number| world.video(&name.replace('N', &number.to_string()), rises(number)));
        world
    });
    named.collect()
}
