use crate::index::{ClipEmbedding, Index, IndexWriter, ModelId, Stamp, VectorPrecision, Words, test_model};
use std::path::Path;

fn id() -> ModelId {
    test_model(3)
}

fn stamp() -> Stamp {
    Stamp { size: 1, modified_ns: 7, clip_windows: "4 frames".into() }
}

fn clip(start: f64, vector: [f32; 3]) -> ClipEmbedding {
    ClipEmbedding { start, end: start + 1.0, vector: vector.to_vec() }
}

fn format_of(dir: &Path) -> u64 {
    let text = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["format"].as_u64().unwrap()
}

/// `a.mp4` with a clip, and what is said in it twice.
fn write(dir: &Path, precision: VectorPrecision) {
    let mut writer = IndexWriter::open(dir, &id()).unwrap();
    writer.set_precision(precision);
    writer.add(Path::new("a.mp4"), stamp(), vec![clip(0.0, [1.0, 0.0, 0.0])]).unwrap();
    let words = Words { video: "a.mp4".into(), texts: vec!["hello".into(), "good bye".into()] };
    let vectors = vec![clip(0.5, [0.0, 1.0, 0.0]), clip(4.0, [0.6, 0.8, 0.0])];
    writer.add_words(Path::new("a.srt"), stamp(), words, vectors).unwrap();
    writer.finish().unwrap();
}

fn texts(index: &Index, query: [f32; 3], top: usize) -> Vec<&str> {
    index.search_words(&query, top, &|_| true).unwrap().iter().map(|hit| hit.text).collect()
}

#[test]
fn words_are_found_by_themselves_in_records_and_in_tables() {
    for precision in [VectorPrecision::F32, VectorPrecision::F16, VectorPrecision::Int8] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), precision);
        let index = Index::open(dir.path()).unwrap();
        assert_eq!((index.clips(), index.words(), index.damage().len()), (1, 2, 0), "{precision}");
        assert_eq!(index.files().collect::<Vec<_>>(), [Path::new("a.mp4")]);
        assert_eq!(index.word_files().collect::<Vec<_>>(), [(Path::new("a.srt"), Path::new("a.mp4"))]);
        let clips = index.search(&[0.0, 1.0, 0.0], 9).unwrap();
        assert_eq!(clips.iter().map(|hit| hit.path).collect::<Vec<_>>(), [Path::new("a.mp4")], "no words among clips");
        assert_eq!(texts(&index, [0.0, 1.0, 0.0], 9), ["hello", "good bye"]);
        assert_eq!(texts(&index, [1.0, 0.1, 0.0], 1), ["good bye"]);
        let hit = index.search_words(&[0.0, 1.0, 0.0], 1, &|video| video == Path::new("a.mp4")).unwrap()[0];
        assert!((hit.cosine - 1.0).abs() < 1e-2 && hit.span.start == 0.5 && hit.subtitles == Path::new("a.srt"));
        assert!(index.search_words(&[0.0, 1.0, 0.0], 9, &|_| false).unwrap().is_empty());
        let long = |text: &str| Some(text.len() as f32).filter(|length| *length > 5.0);
        let found = index.words_by(&[0.0, 1.0, 0.0], &|_| true, &long, 9).unwrap();
        assert!(found.len() == 1 && found[0].0 == 8.0 && (found[0].1.cosine - 0.8).abs() < 1e-2, "{found:?}");
    }
}

#[test]
fn an_index_without_words_keeps_its_format_and_words_go_with_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::open(dir.path(), &id()).unwrap();
    writer.add(Path::new("a.mp4"), stamp(), vec![clip(0.0, [1.0, 0.0, 0.0])]).unwrap();
    writer.finish().unwrap();
    assert_eq!(format_of(dir.path()), 5);
    write(dir.path(), VectorPrecision::F32);
    assert_eq!(format_of(dir.path()), 6);
    let mut writer = IndexWriter::open(dir.path(), &id()).unwrap();
    assert!(writer.index().is_current(Path::new("a.srt"), &stamp()));
    let words = Words { video: "b.mp4".into(), texts: vec!["changed".into()] };
    writer.add_words(Path::new("a.srt"), stamp(), words, vec![clip(0.0, [0.0, 0.0, 1.0])]).unwrap();
    assert_eq!(writer.index().video_of(Path::new("a.srt")), Some(&"b.mp4".into()));
    let summary = writer.finish().unwrap();
    assert_eq!((summary.files, summary.clips), (1, 1));
    let index = Index::open(dir.path()).unwrap();
    assert_eq!((index.words(), texts(&index, [0.0, 0.0, 1.0], 9)), (1, vec!["changed"]));
    let mut writer = IndexWriter::open(dir.path(), &id()).unwrap();
    assert_eq!(writer.retain(|path| path != Path::new("a.srt")).unwrap(), 1);
    writer.finish().unwrap();
    let index = Index::open(dir.path()).unwrap();
    assert!(index.words() == 0 && texts(&index, [0.0, 0.0, 1.0], 9).is_empty() && index.clips() == 1);
}

#[test]
fn words_that_do_not_fit_the_model_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::open(dir.path(), &id()).unwrap();
    let words = Words { video: "a.mp4".into(), texts: vec!["hello".into()] };
    let flat = vec![clip(0.0, [0.0; 3])];
    let message = writer.add_words(Path::new("a.srt"), stamp(), words, flat).unwrap_err().to_string();
    assert!(message.contains("a.srt") && message.contains("zero or not finite"), "{message}");
}
