//! Every benchmark from its file to its figures, by scorers whose knowledge is known.

use super::scorers::{FRAMES, SIZE, Scripted};
use super::worlds::{COUNT, World, choices, rtime};
use crate::skipped::skipped;
use svitt::data::Benchmark;
use svitt::data::import::{AnnotationOptions, ImportPurpose, import};
use svitt::eval::choice::{ChoiceMetrics, ChoiceSet, Measured, ScorerFigures, measure, ranking};
use svitt::eval::{ClipPlan, ClipSampling, FileVideos, FrameOrder, VideoSet};
use svitt_video::ffmpeg_available;

struct Played {
    set: ChoiceSet,
    measured: Measured,
    metrics: ChoiceMetrics,
}

fn play(world: &World, knows_order: bool) -> Played {
    let asked = AnnotationOptions {
        benchmark: Some(world.benchmark),
        purpose: ImportPurpose::Evaluate,
        ..AnnotationOptions::default()
    };
    let records = import(&world.annotations, &asked).unwrap().records;
    let set = ChoiceSet::new(world.benchmark, &records, None);
    let videos = FileVideos::symmetric(set.videos.clone(), &world.media(), FRAMES, SIZE).unwrap();
    assert_eq!(videos.missing().unwrap(), Vec::<&str>::new(), "{}", world.benchmark);
    let mut scorer = Scripted { set: &set, videos: &videos, knows_order };
    let measured = measure(&set, &mut scorer, FrameOrder::None).unwrap();
    let probes: Vec<_> = FrameOrder::ALL[1..]
        .iter()
        .map(|&order| {
            let control = measure(&set, &mut scorer, order).unwrap();
            let accuracy = |outcomes| ScorerFigures::of(&set, outcomes).accuracy.overall.accuracy;
            (order, [&control.itc, &control.itm].map(accuracy))
        })
        .collect();
    let metrics = ChoiceMetrics::of(&set, &measured, &probes);
    Played { set, measured, metrics }
}

#[test]
fn a_scorer_that_knows_order_gets_everything_and_one_that_ignores_it_guesses() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    for world in choices() {
        let name = format!("{} {}", world.benchmark, world.annotations.file_name().unwrap().display());
        let Played { set, metrics, .. } = play(&world, true);
        let n = set.questions.len();
        let expected = match world.benchmark {
            Benchmark::Rtime => 2 * COUNT,
            Benchmark::Vilma => COUNT - 1,
            _ => COUNT,
        };
        assert_eq!(n, expected, "{name}");
        for figures in [&metrics.itc, &metrics.itm] {
            let overall = figures.accuracy.overall;
            assert_eq!((overall.accuracy, overall.strict, overall.n, overall.ties), (100.0, 100.0, n, 0), "{name}");
            assert!(overall.low > 90.0 && overall.high == 100.0, "{name}: {overall:?}");
        }
        // Backwards, everything is wrong; without a change to be seen, both that speak of one are equal.
        assert_eq!((metrics.controls.reverse, metrics.controls.freeze), (Some(0.0), Some(world.blind)), "{name}");
        assert!(metrics.verdict[0].contains("above every control"), "{name}: {:?}", metrics.verdict);

        let Played { metrics, .. } = play(&world, false);
        for figures in [&metrics.itc, &metrics.itm] {
            let overall = figures.accuracy.overall;
            assert!(overall.low < world.blind && world.blind < overall.high, "{name}: {overall:?}");
        }
        let Some(reversed) = metrics.controls.reverse else { panic!("{name}: no control") };
        assert_eq!(reversed, metrics.itc.accuracy.overall.accuracy, "{name}: order is ignored");
        assert!(metrics.verdict[0].contains("not distinguishable"), "{name}: {:?}", metrics.verdict);
    }
}

#[test]
fn the_reversed_clip_is_the_same_frames_backwards() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let world = rtime();
    let records = import(&world.annotations, &AnnotationOptions::default()).unwrap().records;
    let set = ChoiceSet::new(Benchmark::Rtime, &records, Some(3));
    let videos = FileVideos::symmetric(set.videos.clone(), &world.media(), FRAMES, SIZE).unwrap();
    for twins in &set.twins {
        let [forward, reversed] = twins.videos.map(|video| videos.pixels(video).unwrap());
        let frame = forward.len() / FRAMES;
        let backwards: Vec<f32> = reversed.chunks(frame).rev().flatten().copied().collect();
        assert_eq!(forward, backwards);
        let [one, other] = twins.videos.map(|video| videos.stamp(video).unwrap());
        assert_ne!(one, other, "a cache must not take one for the other");
        for frames in [FRAMES, FRAMES - 1] {
            let videos = FileVideos::symmetric(set.videos.clone(), &world.media(), frames, SIZE).unwrap();
            let (order, sampling) = (FrameOrder::Freeze, ClipSampling::Contiguous);
            let plan = ClipPlan { frames, clips: 1, sampling, order };
            let [one, other] = twins.videos.map(|video| plan.read(&videos, video).unwrap());
            assert_eq!(one, other, "a frozen clip knows no order");
        }
    }
}

#[test]
fn rankings_and_pairs_know_what_the_scorer_knows() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let of = |benchmark: Benchmark, knows_order: bool| {
        let world = choices().into_iter().find(|world| world.benchmark == benchmark).unwrap();
        let played = play(&world, knows_order);
        let ranking = ranking(benchmark, &played.set, &played.measured.scored);
        (played, ranking)
    };
    let (knowing, _) = of(Benchmark::Rtime, true);
    let twins = knowing.measured.itc.twins.unwrap();
    assert_eq!((twins.text, twins.video, twins.group, twins.pairs), (100.0, 100.0, 100.0, COUNT));
    let twins = of(Benchmark::Tempcompass, true).0.measured.itm.twins.unwrap();
    assert_eq!((twins.group, twins.pairs), (100.0, COUNT / 2));
    let (blind, ranked) = of(Benchmark::Rtime, false);
    let twins = blind.measured.itm.twins.unwrap();
    assert_eq!((twins.text, twins.group), (0.0, 0.0), "whatever text it likes, it likes for both clips");
    let ranked = ranked.unwrap();
    for (kind, queries) in [("origin", COUNT), ("hard", 2 * COUNT)] {
        for direction in ["t2v", "v2t"] {
            assert_eq!(ranked[kind][direction]["queries"], queries, "{kind} {direction}");
        }
    }

    let (_, ranked) = of(Benchmark::Ssv2Chiral, true);
    let chiral = ranked.unwrap()["chiral"].clone();
    assert_eq!((chiral["map"].as_f64(), chiral["r1"].as_f64()), (Some(100.0), Some(100.0)));
    assert_eq!((chiral["positives"].as_f64(), chiral["queries"].as_u64()), (Some(50.0), Some(2)));
    let (_, ranked) = of(Benchmark::Ssv2Chiral, false);
    let chiral = ranked.unwrap()["chiral"].clone();
    assert!((35.0..75.0).contains(&chiral["map"].as_f64().unwrap()), "{chiral}");

    let (_, ranked) = of(Benchmark::Ssv2Temporal, true);
    let listed = ranked.unwrap()["retrieval"].clone();
    assert_eq!((listed["map"].as_f64(), listed["videos"].as_u64()), (Some(100.0), Some(24)));
}

#[test]
fn vilma_reports_both_pairs_together() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let world = choices().into_iter().find(|world| world.benchmark == Benchmark::Vilma).unwrap();
    let figures = play(&world, true).metrics.itc;
    assert_eq!(figures.proficiency.unwrap().accuracy, 100.0);
    assert_eq!(figures.combined.unwrap().n, COUNT - 1);
    let blind = play(&world, false).metrics.itc;
    assert_eq!(blind.proficiency.unwrap().accuracy, 100.0, "the words alone are easy");
    assert_eq!(blind.combined.unwrap().accuracy, blind.accuracy.overall.accuracy);
}
