//! Where the files of the benchmarks that need order are looked for, and those of the classic retrieval sets that came
//! with them: rows of [`BenchmarkFiles`].

use super::{
    Benchmark,
    benchmark_files::{BenchmarkFiles, NOTHING, SSV2},
};

pub const RTIME: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Rtime,
    folder: "rtime",
    test: &["test.json"],
    validation: &["valid.json"],
    media: "<id>.mp4, the forward ones alone: the same frames are read backwards",
    source: "github.com/qyr0403/Reversed-in-Time; videos: at the shutterstock.com pages that the file names",
    ..NOTHING
};

pub const VITATECS: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Vitatecs,
    folder: "vitatecs",
    test: &[
        "Direction.jsonl",
        "Intensity.jsonl",
        "Sequence.jsonl",
        "Localization.jsonl",
        "Compositionality.jsonl",
        "Type.jsonl",
    ],
    media: "MSRVTT/video<number>.mp4 and VATEX/<id>_<start>_<end>.mp4",
    source: "github.com/lscpku/VITATECS; videos: MSR-VTT's test split, all of it, and VATEX",
    ..NOTHING
};

pub const TEMPCOMPASS: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Tempcompass,
    folder: "tempcompass",
    test: &["caption_matching.json"],
    media: "<id>.mp4, <id>_concat_<n>.mp4 and <a>_<b>_<n>.mp4: the release's own, or made of the plain ones by `cargo \
            xtask data tempcompass`; reversed ones are not needed, the plain ones are read backwards",
    source: "github.com/llyx97/TempCompass, which links the videos",
    ..NOTHING
};

pub const TESTOFTIME: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Testoftime,
    folder: "testoftime",
    test: &["tempotl_didemo_test.csv", "charades_testoftime.csv"],
    media: "as DiDeMo or Charades names them, any extension",
    source: "github.com/bpiyush/TestOfTime, or testoftime_eval of github.com/bpiyush/CaReBench; videos: DiDeMo and \
             Charades",
    ..NOTHING
};

pub const VILMA: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Vilma,
    folder: "vilma",
    test: &[
        "change-state-inverse.json",
        "change-state-action.json",
        "change-state-prestate.json",
        "change-state-poststate.json",
        "relations.json",
    ],
    media: "<id of YouTube, SSv2 or Charades>, any extension",
    source: "github.com/ilkerkesen/ViLMA; videos: COIN, YouCook2, RareAct, SSv2 and STAR (Charades)",
    ..NOTHING
};

pub const NEXTQA: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Nextqa,
    folder: "nextqa",
    test: &["test.csv", "val.csv", "atp-hard.csv", "atp-hard-statements.csv"],
    beside: &["map_vid_vidorID.json", "atp-hard-ct4.indices.txt"],
    media: "<folder>/<video>.mp4, as VidOR has them",
    source: "github.com/doc-doc/NExT-QA; ATP-hard: its row numbers in val.csv; videos: VidOR",
    ..NOTHING
};

pub const SSV2_CHIRAL: BenchmarkFiles =
    BenchmarkFiles { benchmark: Benchmark::Ssv2Chiral, train: &[], beside: &[], ..SSV2 };

pub const SSV2_TEMPORAL: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Ssv2Temporal,
    train: &[],
    beside: &["videocon_ssv2_temporal216.csv"],
    source: "Qualcomm's site for developers, after registration; list of 216 clips: datasets/eval_ssv2_temporal.csv of \
             github.com/Hritikbansal/videocon, as columns id and template",
    ..SSV2
};

pub const MSRVTT_MC: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::MsrvttMc,
    folder: "msrvtt_mc",
    test: &["msrvtt_mc_test.json", "msrvtt_mc_test.jsonl"],
    media: "video<number>.mp4",
    source: "Singularity's annotations, or ALPRO's lines; videos: Microsoft's MSR-VTT release",
    ..NOTHING
};

pub const ANET: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Anet,
    folder: "anet",
    test: &["val_1.json", "anet_ret_val_1.json"],
    train: &["train.json", "anet_ret_train.json"],
    media: "v_<name>.mp4 or .mkv",
    source: "ActivityNet Captions, cs.stanford.edu/people/ranjaykrishna/densevid; videos: activity-net.org",
    ..NOTHING
};

pub const MSVD: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Msvd,
    folder: "msvd",
    test: &["raw-captions.json", "msvd_ret_test.json"],
    train: &["raw-captions.json", "msvd_ret_train.json"],
    beside: &["test_list.txt", "train_list.txt"],
    media: "<id>_<start>_<end>.avi, any extension",
    source: "CLIP4Clip's MSVD package, whose raw-captions.pkl is to be written as JSON: \
             python3 -c \"import json, pickle; print(json.dumps(pickle.load(open('raw-captions.pkl', 'rb'))))\"",
    ..NOTHING
};

pub const VATEX: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Vatex,
    folder: "vatex",
    test: &["vatex_validation_v1.0.json"],
    train: &["vatex_training_v1.0.json"],
    beside: &["test_list.txt"],
    media: "<id>_<start>_<end>.mp4",
    source: "eric-xw.github.io/vatex-website; list: the half of validation that others test on, a video per line",
    ..NOTHING
};

pub const LSMDC: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Lsmdc,
    folder: "lsmdc",
    test: &["LSMDC16_challenge_1000_publictect.csv"],
    train: &["LSMDC16_annos_training.csv"],
    media: "<movie>/<clip>.avi",
    source: "sites.google.com/site/describingmovies, after registration",
    ..NOTHING
};
