use super::*;
use crate::config::{EdgeSparsity, NodeSparsity, Sparsity};
use crate::index::{ClipSpan, SearchScope, test_model};
use svitt_ops::rng::Rng;

fn id() -> ModelId {
    test_model(5)
}

fn stamp(size: u64) -> Stamp {
    Stamp { size, modified_ns: 7, clip_windows: "4 frames".into() }
}

fn clip(start: f64, vector: &[f32]) -> ClipEmbedding {
    ClipEmbedding { start, end: start + 1.0, vector: vector.to_vec() }
}

fn unit(axis: usize) -> Vec<f32> {
    (0..5).map(|i| if i == axis { 3.0 } else { 0.0 }).collect()
}

#[test]
fn only_new_and_changed_files_need_embedding() {
    let dir = tempfile::tempdir().unwrap();
    let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
    indexer.add(Path::new("a.mp4"), stamp(1), vec![clip(0.0, &unit(0)), clip(1.0, &unit(1))]).unwrap();
    indexer.add(Path::new("b.mp4"), stamp(2), vec![clip(0.0, &unit(2))]).unwrap();
    indexer.add_broken(Path::new("c.mp4"), stamp(3), "not a video").unwrap();
    assert_eq!(indexer.finish().unwrap(), IndexSummary { files: 3, clips: 3, broken: 1 });

    let mut again = IndexWriter::open(dir.path(), &id()).unwrap();
    assert!(again.index().is_current(Path::new("c.mp4"), &stamp(3)));
    assert!(!again.index().is_current(Path::new("b.mp4"), &stamp(9)));
    assert!(!again.index().is_current(Path::new("b.mp4"), &Stamp { clip_windows: "8 frames".into(), ..stamp(2) }));
    again.add(Path::new("b.mp4"), stamp(9), vec![clip(0.5, &unit(3))]).unwrap();
    assert_eq!(again.retain(|path| path != Path::new("a.mp4")).unwrap(), 1);
    drop(again);

    let index = Index::open(dir.path()).unwrap();
    assert_eq!(index.files().collect::<Vec<_>>(), [Path::new("b.mp4"), Path::new("c.mp4")]);
    assert_eq!(index.broken().collect::<Vec<_>>(), [(Path::new("c.mp4"), "not a video")]);
    assert_eq!(index.clips_of(Path::new("b.mp4")), [clip(0.5, &[0.0, 0.0, 0.0, 1.0, 0.0])]);
}

#[test]
fn segments_without_their_manifest_are_not_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
    indexer.add(Path::new("a.mp4"), stamp(1), vec![clip(0.0, &unit(0))]).unwrap();
    indexer.finish().unwrap();
    std::fs::rename(dir.path().join("manifest.json"), dir.path().join("kept")).unwrap();
    let refused = IndexWriter::open(dir.path(), &id()).unwrap_err().to_string();
    assert!(refused.contains("1 segment(s) of an index and no manifest.json"), "{refused}");
    std::fs::rename(dir.path().join("kept"), dir.path().join("manifest.json")).unwrap();
    assert_eq!(IndexWriter::open(dir.path(), &id()).unwrap().index().clips(), 1);
}

#[test]
fn another_model_and_a_second_indexer_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = IndexWriter::open(dir.path(), &id()).unwrap();
    let second = IndexWriter::open(dir.path(), &id()).unwrap_err().to_string();
    assert!(second.contains("another process is indexing"), "{second}");
    Index::open(dir.path()).unwrap().require(&id()).unwrap();
    drop(first);
    let edge = EdgeSparsity::new(1, 3, 56);
    let edges = Sparsity { edge: Some(edge), node: None };
    let node = Sparsity { edge: None, node: Some(NodeSparsity::by_class(0.5, &[3, 6])) };
    let others = [
        (ModelId { weights: "def".into(), ..id() }, "weights abc", "weights def"),
        (ModelId { configuration: "two".into(), ..id() }, "configuration one", "configuration two"),
        (ModelId { vocabulary: "names".into(), ..id() }, "vocabulary words", "vocabulary names"),
        (ModelId { sparsity: edges, ..id() }, "made with [dense]", "not with [--edges 1,3,56]"),
        (ModelId { sparsity: node, ..id() }, "[dense]", "[--keep 0.5 --rank class-attention, after layers 4, 7]"),
        (ModelId { dim: 6, ..id() }, "5 numbers", "of 6"),
    ];
    for (other, ours, theirs) in others {
        let message = Index::open(dir.path()).unwrap().require(&other).unwrap_err().to_string();
        assert!(message.contains(ours) && message.contains(theirs), "{message}");
        assert!(IndexWriter::open(dir.path(), &other).is_err());
    }
    Index::open(dir.path()).unwrap().require(&ModelId { model: "renamed".into(), ..id() }).unwrap();
    let nothing = Index::open(dir.path().join("nowhere")).unwrap_err().to_string();
    assert!(nothing.contains("there is no index here"), "{nothing}");
}

#[test]
fn a_crash_at_any_byte_loses_one_record_at_most() {
    let record = 86;
    for cut in [0, 3, 8, 9, 8 + record - 1, 8 + record, 8 + 3 * record + 11, 8 + 4 * record] {
        let dir = tempfile::tempdir().unwrap();
        let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
        for n in 0..4u64 {
            indexer.add(Path::new(&format!("{n}.mp4")), stamp(n), vec![clip(0.0, &unit(n as usize))]).unwrap();
        }
        drop(indexer);
        let segment = dir.path().join("000001.seg");
        let whole = std::fs::read(&segment).unwrap();
        assert_eq!(whole.len(), 8 + 4 * record);
        std::fs::write(&segment, &whole[..cut]).unwrap();
        let complete = cut.saturating_sub(8) / record;
        let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
        assert_eq!(indexer.index().clips(), complete, "cut at {cut}");
        indexer.add(Path::new("new.mp4"), stamp(9), vec![clip(0.0, &unit(4))]).unwrap();
        drop(indexer);
        assert_eq!(Index::open(dir.path()).unwrap().clips(), complete + 1, "what is written after a crash is kept");
        IndexWriter::open(dir.path(), &id()).unwrap().retain(|path| path != Path::new("new.mp4")).unwrap();
    }
}

#[test]
fn many_small_runs_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..21u64 {
        let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
        indexer.add(Path::new(&format!("{}.mp4", n % 3)), stamp(n), vec![clip(0.0, &unit(n as usize % 5))]).unwrap();
        indexer.finish().unwrap();
    }
    let segments =
        std::fs::read_dir(dir.path()).unwrap().flatten().filter(|e| e.path().extension() == Some("seg".as_ref()));
    assert!(segments.count() <= MOST_SEGMENTS);
    let index = Index::open(dir.path()).unwrap();
    assert_eq!(index.clips(), 3);
    assert!(index.is_current(Path::new("2.mp4"), &stamp(20)));
}

#[test]
fn invalid_vectors_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
    for vector in [&[0.0; 5][..], &[f32::NAN; 5], &[1.0; 4]] {
        assert!(indexer.add(Path::new("a.mp4"), stamp(1), vec![clip(0.0, vector)]).is_err(), "{vector:?}");
    }
    indexer.add(Path::new("a.mp4"), stamp(1), vec![clip(0.0, &unit(1))]).unwrap();
    assert!(indexer.index().search(&[1.0; 4], 3).is_err());
    assert!(indexer.index().search(&[0.0; 5], 3).is_err());
}

#[test]
fn search_returns_the_best_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
    for axis in 0..5 {
        let clips = vec![clip(0.0, &unit(axis)), clip(1.0, &unit(axis))];
        indexer.add(Path::new(&format!("{axis}.mp4")), stamp(1), clips).unwrap();
    }
    let hits = indexer.index().search(&[0.0, 0.6, 0.0, 0.8, 0.0], 3).unwrap();
    let found: Vec<_> = hits.iter().map(|hit| (hit.path.to_str().unwrap(), hit.clip.start)).collect();
    assert_eq!(found, [("3.mp4", 0.0), ("3.mp4", 1.0), ("1.mp4", 0.0)]);
    assert!((hits[0].score - 0.8).abs() < 1e-6 && (hits[2].score - 0.6).abs() < 1e-6);
    assert!(indexer.index().search(&unit(0), 0).unwrap().is_empty());
    assert_eq!(indexer.index().search(&unit(0), 99).unwrap().len(), 10);
}

/// A mean over frames scores as the mean of their cosines; clips are compared with clips by direction alone.
#[test]
fn short_vectors_keep_their_length() {
    let dir = tempfile::tempdir().unwrap();
    let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
    let frames = [[0.6, 0.8, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]];
    indexer.add(Path::new("moving.mp4"), stamp(1), vec![clip(0.0, &[0.8, 0.4, 0.0, 0.0, 0.0])]).unwrap();
    indexer.add(Path::new("still.mp4"), stamp(1), vec![clip(0.0, &frames[0])]).unwrap();
    drop(indexer);
    let index = Index::open(dir.path()).unwrap();
    let scores = |hits: Vec<crate::index::Hit<'_>>| hits.iter().map(|hit| hit.score).collect::<Vec<_>>();
    let text = [0.28, 0.96, 0.0, 0.0, 0.0];
    let cosine = |frame: &[f32; 5]| frame.iter().zip(&text).map(|(a, b)| a * b).sum::<f32>();
    let mean = (cosine(&frames[0]) + cosine(&frames[1])) / 2.0;
    let close = |a: &[f32], b: [f32; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    let found = scores(index.search(&text, 9).unwrap());
    assert!(close(&found, [cosine(&frames[0]), mean]), "{found:?}");
    let like = scores(index.nearest(&[[0.4, 0.2, 0.0, 0.0, 0.0]], 9).unwrap());
    assert!(close(&like, [1.0, 0.4 / 0.2f32.sqrt()]), "{like:?}");
}

#[test]
fn ten_thousand_clips_are_searched_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let wide = ModelId { dim: 256, ..id() };
    let mut indexer = IndexWriter::open(dir.path(), &wide).unwrap();
    let mut rng = Rng::new(2, &[]);
    let mut vector = || (0..256).map(|_| rng.between(-1.0, 1.0) as f32).collect::<Vec<_>>();
    for file in 0..100 {
        let clips = (0..100).map(|n| clip(f64::from(n), &vector())).collect();
        indexer.add(Path::new(&format!("{file}.mp4")), stamp(1), clips).unwrap();
    }
    let query = vector();
    let fastest = (0..5)
        .map(|_| {
            let start = std::time::Instant::now();
            assert_eq!(indexer.index().search(&query, 10).unwrap().len(), 10);
            start.elapsed()
        })
        .min()
        .unwrap();
    // Optimised it takes a few milliseconds; tests are built without and share their cores.
    let limit = if cfg!(debug_assertions) { 1000 } else { 50 };
    assert!(fastest.as_millis() < limit, "{fastest:?}");
}

#[test]
fn damaged_directories_are_errors_or_smaller_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
    for n in 0..3 {
        indexer.add(Path::new(&format!("{n}.mp4")), stamp(n), vec![clip(0.0, &unit(1))]).unwrap();
    }
    drop(indexer);
    let mut rng = Rng::new(6, &[]);
    for (name, rounds) in [("000001.seg", 300), ("manifest.json", 300)] {
        let path = dir.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for _ in 0..rounds {
            let mut bytes = whole.clone();
            let at = rng.below(bytes.len());
            bytes[at] = rng.bits() as u8;
            std::fs::write(&path, bytes).unwrap();
            assert!(Index::open(dir.path()).map_or(0, |index| index.clips()) <= 3);
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(Index::open(dir.path()).unwrap().clips(), 3);
}

/// An index of `count` files, finished.
fn finished(dir: &Path, count: u64) -> Vec<u8> {
    let mut indexer = IndexWriter::open(dir, &id()).unwrap();
    for n in 0..count {
        let name = format!("{n:03}.mp4");
        indexer.add(Path::new(&name), stamp(n), vec![clip(0.0, &unit(n as usize % 5))]).unwrap();
    }
    indexer.finish().unwrap();
    std::fs::read(dir.join("000001.seg")).unwrap()
}

#[test]
fn damage_is_counted_the_rest_is_searched_and_indexing_again_repairs_it() {
    let dir = tempfile::tempdir().unwrap();
    let whole = finished(dir.path(), 60);
    assert!(Index::open(dir.path()).unwrap().damage().is_empty());
    let record = (whole.len() - 8) / 60;
    let segment = dir.path().join("000001.seg");
    let mut rng = Rng::new(3, &[]);
    for _ in 0..200 {
        let (mut bytes, at) = (whole.clone(), rng.below(whole.len()));
        bytes[at] ^= 1 << rng.below(8);
        std::fs::write(&segment, bytes).unwrap();
        let index = Index::open(dir.path()).unwrap();
        let lost = u64::from(at >= 8);
        assert_eq!((index.clips() as u64, index.damage().len()), (60 - lost, 1), "byte {at}");
        assert_eq!(index.damage()[0].records, Some(lost));
    }
    let mut bytes = whole.clone();
    bytes[8 + 5 * record + 40] ^= 1;
    std::fs::write(&segment, &bytes[..bytes.len() - record - 7]).unwrap();
    let message = Index::open(dir.path()).unwrap().damage()[0].to_string();
    assert_eq!(message, format!("000001.seg is damaged: the clips of 3 files are lost ({} bytes)", 3 * record));

    let mut again = IndexWriter::open(dir.path(), &id()).unwrap();
    for n in 0..60 {
        let known = again.index().is_current(Path::new(&format!("{n:03}.mp4")), &stamp(n));
        assert_eq!(known, ![5, 58, 59].contains(&n), "{n}");
    }
    again.add(Path::new("005.mp4"), stamp(5), vec![clip(0.0, &unit(0))]).unwrap();
    again.finish().unwrap();
    let index = Index::open(dir.path()).unwrap();
    assert_eq!((index.files().count(), index.damage().len()), (58, 0));
    assert!(!segment.exists(), "the damaged segment is replaced");
}

#[test]
fn a_segment_that_is_missing_or_no_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 4);
    let mut second = IndexWriter::open(dir.path(), &id()).unwrap();
    second.add(Path::new("b.mp4"), stamp(1), vec![clip(0.0, &unit(1))]).unwrap();
    second.finish().unwrap();
    std::fs::remove_file(dir.path().join("000001.seg")).unwrap();
    let index = Index::open(dir.path()).unwrap();
    assert_eq!(
        (index.clips(), index.damage()[0].to_string()),
        (1, "000001.seg is missing: the clips of 4 files are lost".into())
    );
    std::fs::create_dir(dir.path().join("000001.seg")).unwrap();
    assert!(Index::open(dir.path()).unwrap().damage()[0].to_string().contains("not a regular file"));
}

#[test]
fn a_killed_writers_unfinished_record_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut indexer = IndexWriter::open(dir.path(), &id()).unwrap();
    for n in 0..3 {
        indexer.add(Path::new(&format!("{n}.mp4")), stamp(n), vec![clip(0.0, &unit(1))]).unwrap();
    }
    drop(indexer);
    let segment = dir.path().join("000001.seg");
    let whole = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &whole[..whole.len() - 9]).unwrap();
    let index = Index::open(dir.path()).unwrap();
    assert_eq!((index.clips(), index.damage().len()), (2, 0));
    let mut second = IndexWriter::open(dir.path(), &id()).unwrap();
    second.add(Path::new("b.mp4"), stamp(1), vec![clip(0.0, &unit(1))]).unwrap();
    second.finish().unwrap();
    assert_eq!(Index::open(dir.path()).unwrap().damage(), []);
    // From now on its two records are counted.
    std::fs::write(&segment, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(Index::open(dir.path()).unwrap().damage()[0].records, Some(1));
}

#[test]
fn an_index_that_disappears_while_it_is_written_is_an_error() {
    type Removal = fn(&Path);
    let removals: [Removal; 3] = [
        |dir| std::fs::remove_dir_all(dir).unwrap(),
        |dir| {
            std::fs::rename(dir, dir.with_extension("old")).unwrap();
            IndexWriter::open(dir, &id()).unwrap();
        },
        |dir| std::fs::remove_file(dir.join("000001.seg")).unwrap(),
    ];
    for remove in removals {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("index");
        let mut indexer = IndexWriter::open(&dir, &id()).unwrap();
        indexer.add(Path::new("a.mp4"), stamp(1), vec![clip(0.0, &unit(1))]).unwrap();
        remove(&dir);
        // The system still takes what is written to a deleted file.
        indexer.add(Path::new("b.mp4"), stamp(1), vec![clip(0.0, &unit(1))]).unwrap();
        let message = indexer.finish().unwrap_err().to_string();
        assert!(message.contains("deleted or replaced"), "{message}");
    }
}

/// A finished index of `files` files of three clips each, stored as `precision` says.
fn stored(dir: &Path, precision: VectorPrecision, files: u64) -> Index {
    let (mut indexer, mut rng) = (IndexWriter::open(dir, &id()).unwrap(), Rng::new(8, &[]));
    indexer.set_precision(precision);
    for n in 0..files {
        let mut vector = || (0..5).map(|_| rng.normal() as f32).collect::<Vec<_>>();
        let clips = (0..3).map(|at| clip(f64::from(at), &vector())).collect();
        indexer
            .add(Path::new(&format!("{}/{n:03}.mp4", n % 2)), Stamp { modified_ns: n as i64, ..stamp(n) }, clips)
            .unwrap();
    }
    indexer.finish().unwrap();
    Index::open(dir).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let listed = std::fs::read_dir(dir).unwrap().flatten();
    let mut names: Vec<String> = listed.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn vectors_move_to_a_table_where_they_are_many_or_asked_for_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let single = stored(&dir.path().join("f32"), VectorPrecision::F32, 40);
    assert!(names(single.dir()).iter().all(|name| !name.ends_with(".vec")), "few vectors stay in their records");
    for (precision, most) in [(VectorPrecision::F16, 5e-4), (VectorPrecision::Int8, 5e-3)] {
        let index = stored(&dir.path().join(precision.name()), precision, 40);
        assert_eq!(names(index.dir()), ["000002.seg", "000002.vec", "lock", "manifest.json"]);
        assert_eq!((index.clips(), index.precision(), index.damage().len()), (120, precision, 0));
        for path in single.files() {
            for (a, b) in index.clips_of(path).iter().zip(single.clips_of(path)) {
                assert_eq!(a.span(), b.span());
                assert!(a.vector.iter().zip(&b.vector).all(|(a, b)| (a - b).abs() < most));
            }
        }
        let query = [0.1, -0.4, 0.3, 0.5, 0.2];
        let [ours, theirs] = [&index, &single].map(|index| index.search(&query, 5).unwrap());
        assert!(ours.iter().zip(&theirs).all(|(a, b)| (a.score - b.score).abs() < most && a.path == b.path));

        // A file more does not rewrite the table; files without end do, and another precision does at once.
        let mut more = IndexWriter::open(index.dir(), &id()).unwrap();
        more.add(Path::new("new.mp4"), stamp(1), vec![clip(0.0, &unit(2))]).unwrap();
        more.retain(|path| path != Path::new("0/000.mp4")).unwrap();
        more.finish().unwrap();
        assert!(names(index.dir()).contains(&"000002.vec".to_owned()));
        let grown = Index::open(index.dir()).unwrap();
        assert_eq!((grown.clips(), grown.search(&unit(2), 1).unwrap()[0].path), (118, Path::new("new.mp4")));
        let mut back = IndexWriter::open(index.dir(), &id()).unwrap();
        back.set_precision(VectorPrecision::F32);
        back.finish().unwrap();
        assert_eq!(Index::open(index.dir()).unwrap().clips(), 118);
    }
}

#[test]
fn a_damaged_table_costs_the_files_of_a_block_which_are_embedded_again() {
    let dir = tempfile::tempdir().unwrap();
    stored(dir.path(), VectorPrecision::Int8, 40);
    let table = dir.path().join("000002.vec");
    let whole = std::fs::read(&table).unwrap();
    let mut bytes = whole.clone();
    // Row 64 begins the second of two blocks: files 21 (of which one clip is in the first) to 39.
    let at = bytes.len() - 3;
    bytes[at] ^= 4;
    std::fs::write(&table, &bytes).unwrap();
    let index = Index::open(dir.path()).unwrap();
    let lost = (120usize - 64).div_ceil(3);
    assert_eq!(
        index.damage()[0].to_string(),
        format!("000002.vec is damaged: the clips of {lost} files are lost (504 bytes)")
    );
    assert_eq!((index.files().count(), index.clips()), (40 - lost, 3 * (40 - lost)));
    assert!(index.search(&unit(1), 200).unwrap().iter().all(|hit| index.stamp(hit.path).is_some()));
    let mut again = IndexWriter::open(dir.path(), &id()).unwrap();
    assert!(!again.index().is_current(Path::new("1/039.mp4"), &Stamp { modified_ns: 39, ..stamp(39) }));
    again.add(Path::new("1/039.mp4"), stamp(39), vec![clip(0.0, &unit(0))]).unwrap();
    again.finish().unwrap();
    let mended = Index::open(dir.path()).unwrap();
    assert_eq!((mended.damage().len(), mended.files().count(), table.exists()), (0, 41 - lost, false));

    let other = tempfile::tempdir().unwrap();
    stored(other.path(), VectorPrecision::F16, 10);
    std::fs::remove_file(other.path().join("000002.vec")).unwrap();
    let index = Index::open(other.path()).unwrap();
    assert_eq!(index.damage()[0].to_string(), "000002.vec is missing: the clips of 10 files are lost");
    assert_eq!((index.damage().len(), index.clips()), (1, 0));
}

#[test]
fn what_a_killed_writer_left_of_a_table_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    stored(dir.path(), VectorPrecision::Int8, 4);
    std::fs::write(dir.path().join("000003.vec"), [0; 100]).unwrap();
    drop(IndexWriter::open(dir.path(), &id()).unwrap());
    assert_eq!(names(dir.path()), ["000002.seg", "000002.vec", "lock", "manifest.json"]);
    let settled = Index::open_settled(dir.path()).unwrap();
    assert!(IndexWriter::open(dir.path(), &id()).is_err(), "nobody writes while all of it is read");
    drop(settled);
    let writer = IndexWriter::open(dir.path(), &id()).unwrap();
    let message = Index::open_settled(dir.path()).unwrap_err().to_string();
    assert!(message.contains("is still being written"), "{message}");
    drop(writer);
}

#[test]
fn a_search_keeps_to_its_scope_and_lists_one_of_overlapping_clips() {
    let dir = tempfile::tempdir().unwrap();
    let index = stored(dir.path(), VectorPrecision::F32, 40);
    let query = [0.3, 0.1, -0.7, 0.2, 0.4];
    let all = index.search(&query, 200).unwrap();
    let in_folder: Vec<_> = all.iter().filter(|hit| hit.path.starts_with("1")).copied().collect();
    let folder = SearchScope { within: Some(Path::new("1")), admits: None };
    assert_eq!(index.search_in(&query, 200, &folder).unwrap(), in_folder);
    let late = |_: &Path, stamp: &Stamp, spans: &[ClipSpan]| stamp.modified_ns >= 30 && spans[2].end >= 3.0;
    let scope = SearchScope { within: Some(Path::new("1")), admits: Some(&late) };
    let found = index.search_in(&query, 200, &scope).unwrap();
    assert_eq!((found.len(), found.iter().all(|hit| index.stamp(hit.path).unwrap().modified_ns >= 30)), (15, true));
    let nowhere = SearchScope { within: Some(Path::new("2")), admits: None };
    assert!(index.search_in(&query, 5, &nowhere).unwrap().is_empty());

    // Clips of a second that follow one another do not overlap; of clips of three seconds one a file is left.
    assert_eq!(index.search_distinct(&query, 200, &SearchScope::default()).unwrap(), all);
    let long = tempfile::tempdir().unwrap();
    let mut indexer = IndexWriter::open(long.path(), &id()).unwrap();
    for n in 0..30 {
        let clips = (0..5).map(|at| ClipEmbedding {
            end: 9.0,
            ..clip(f64::from(at), &[1.0, f32::from(n as u8), 0.0, f32::from(at as u8), 0.0])
        });
        indexer.add(Path::new(&format!("{n}.mp4")), stamp(n), clips.collect()).unwrap();
    }
    indexer.finish().unwrap();
    let index = Index::open(long.path()).unwrap();
    for wanted in [1, 7, 30, 50] {
        let found = index.search_distinct(&query, wanted, &SearchScope::default()).unwrap();
        let files: std::collections::HashSet<_> = found.iter().map(|hit| hit.path).collect();
        assert_eq!((found.len(), files.len()), (wanted.min(30), wanted.min(30)));
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
    }
}
