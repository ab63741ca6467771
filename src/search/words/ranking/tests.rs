use super::*;
use crate::index::{ClipEmbedding, IndexWriter, ModelId, Stamp, Words};

/// A text and its vector.
type Said = (&'static str, [f32; 3]);

/// An index of the subtitles of `videos`, a text per second each, with vectors of three numbers.
fn index(dir: &Path, videos: &[(&str, &[Said])]) -> Index {
    let id = ModelId::of_no_model("m", 3);
    let mut writer = IndexWriter::open(dir, &id).unwrap();
    let stamp = || Stamp { size: 1, modified_ns: 2, clip_windows: "x".into() };
    for (subtitles, said) in videos {
        let clips = said.iter().enumerate().map(|(second, (_, vector))| {
            let start = second as f64;
            ClipEmbedding { start, end: start + 1.0, vector: vector.to_vec() }
        });
        let texts = said.iter().map(|(text, _)| (*text).to_owned()).collect();
        let video = Path::new(subtitles).with_extension("mp4");
        writer.add_words(Path::new(subtitles), stamp(), Words { video, texts }, clips.collect()).unwrap();
    }
    writer.finish().unwrap();
    Index::open(dir).unwrap()
}

fn found(index: &Index, text: &str, vector: [f32; 3], neutral: Option<NeutralStatistics>) -> Vec<(String, f32)> {
    let query = WordQuery { texts: vec![text], vector: &vector, neutral, top: 10 };
    let results = query.rank(index, &|_| true).unwrap();
    assert!(results.iter().enumerate().all(|(place, result)| result.rank == place + 1 && result.kind == "words"));
    results.into_iter().map(|result| (result.text, result.literal)).collect()
}

const NEUTRAL: NeutralStatistics = NeutralStatistics { texts: 64, clips: 4, mean: 0.5, deviation: 0.1 };

#[test]
fn what_holds_the_words_comes_before_what_means_them() {
    let dir = tempfile::tempdir().unwrap();
    let said: &[Said] = &[
        ("The budget is the problem.", [0.0, 1.0, 0.0]),
        ("We have no money left for that", [1.0, 0.1, 0.0]),
        ("the the the", [0.5, 0.5, 0.5]),
        ("Let us talk about THE BUDGET of the year", [0.0, 0.0, 1.0]),
    ];
    let index = index(dir.path(), &[("/v/a.srt", said), ("/v/b.srt", &[("the weather", [0.0, 1.0, 0.2])])]);
    let texts = |found: Vec<(String, f32)>| found.into_iter().map(|(text, _)| text).collect::<Vec<_>>();
    let budget = found(&index, "the budget of the year", [1.0, 0.0, 0.0], Some(NEUTRAL));
    assert_eq!(budget[0], ("Let us talk about THE BUDGET of the year".to_owned(), 1.0));
    // Only its vector is near: cosine .995 is 4.95 deviations above what neutral texts find.
    assert_eq!(budget.last().unwrap(), &("We have no money left for that".to_owned(), 0.0));
    assert!(budget.iter().all(|(text, _)| text != "the the the" && text != "the weather"), "{budget:?}");
    assert_eq!(texts(found(&index, "budget", [0.0, 1.0, 0.0], None)), [said[0].0, said[3].0], "the nearer one first");
    assert!(found(&index, "budgets", [0.0, 0.0, -1.0], Some(NEUTRAL)).is_empty(), "whole words only");
    assert_eq!(texts(found(&index, "Money!", [0.0, 0.0, 1.0], None)), [said[1].0]);
    let near = WordQuery { texts: vec!["x"], vector: &[0.0, 1.0, 0.0], neutral: Some(NEUTRAL), top: 1 };
    assert_eq!(near.rank(&index, &|video| video.ends_with("b.mp4")).unwrap()[0].text, "the weather");
    assert!(near.rank(&index, &|_| false).unwrap().is_empty());
}

#[test]
fn words_without_spaces_are_found_and_two_formats_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let said: &[Said] = &[("今日は天気がいい", [1.0, 0.0, 0.0]), ("a\tb\u{1b}", [0.0, 1.0, 0.0])];
    let index = index(dir.path(), &[("/v/a.srt", said), ("/v/a.vtt", said)]);
    assert_eq!(found(&index, "天気", [1.0, 0.0, 0.0], None), [("今日は天気がいい".to_owned(), 1.0)]);
    let query = WordQuery { texts: vec!["b"], vector: &[1.0, 0.0, 0.0], neutral: None, top: 10 };
    let results = query.rank(&index, &|_| true).unwrap();
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].line(), "w1\tsaid 1.00\t/v/a.mp4\t1.00-2.00\ta\\tb\\u{1b}");
}
