use super::*;
use crate::config::Sparsity;
use crate::index::{ClipEmbedding, ModelId, Stamp, test_model};
use svitt_ops::rng::Rng;

const FILES: u64 = 40;

fn id() -> ModelId {
    test_model(5)
}

fn part(shard: Shard) -> IndexPart {
    IndexPart { shard, folder: "/videos".into(), clip_windows: "4 frames".into(), subtitles: true, complete: false }
}

/// What is known of file `n`; every seventh is broken.
fn add(writer: &mut IndexWriter, n: u64) {
    let (path, stamp) = (name(n), Stamp { size: n, modified_ns: 7, clip_windows: "4 frames".into() });
    if n % 7 == 3 {
        return writer.add_broken(&path, stamp, "no video").unwrap();
    }
    let mut rng = Rng::new(n, &[]);
    let mut vector = || (0..5).map(|_| rng.between(-1.0, 1.0) as f32).collect();
    let clips = (0..1 + n % 3).map(|at| ClipEmbedding { start: at as f64, end: at as f64 + 2.0, vector: vector() });
    writer.add(&path, stamp, clips.collect()).unwrap();
}

fn name(n: u64) -> PathBuf {
    format!("/videos/{n}.mp4").into()
}

fn held(shard: Shard) -> Vec<u64> {
    (0..FILES).filter(|n| shard.holds(&format!("{n}.mp4"))).collect()
}

/// The index of `shard` in a folder named after it.
fn indexed(root: &Path, shard: Shard) -> PathBuf {
    let dir = root.join(format!("part-{}", shard.number()));
    let mut writer = IndexWriter::open_part(&dir, &id(), Some(&part(shard))).unwrap();
    held(shard).into_iter().for_each(|n| add(&mut writer, n));
    writer.finish().unwrap();
    dir
}

fn all(root: &Path) -> Vec<PathBuf> {
    Shard::all(4).map(|shard| indexed(root, shard)).collect()
}

#[test]
fn four_jobs_one_of_them_killed_and_run_again_make_the_index_of_one() {
    let root = tempfile::tempdir().unwrap();
    let mut parts = all(root.path());
    let shard: Shard = "2/4".parse().unwrap();
    std::fs::remove_dir_all(&parts[1]).unwrap();
    let mut killed = IndexWriter::open_part(&parts[1], &id(), Some(&part(shard))).unwrap();
    let names = held(shard);
    names[..3].iter().for_each(|&n| add(&mut killed, n));
    let out = root.path().join("whole");
    let refused = merge_parts(&out, &parts).unwrap_err().to_string();
    assert!(refused.contains("part-2: is still being written; merge again when"), "{refused}");
    drop(killed);
    let refused = merge_parts(&out, &parts).unwrap_err().to_string();
    assert!(refused.contains("part-2: shard 2/4 was not finished; run job 2/4 again"), "{refused}");
    assert!(!out.exists(), "nothing half-written is left");
    let mut again = IndexWriter::open_part(&parts[1], &id(), Some(&part(shard))).unwrap();
    names[3..].iter().for_each(|&n| add(&mut again, n));
    again.finish().unwrap();
    parts.reverse();
    let summary = merge_parts(&out, &parts).unwrap();

    let single = root.path().join("single");
    let mut writer = IndexWriter::open(&single, &id()).unwrap();
    (0..FILES).for_each(|n| add(&mut writer, n));
    assert_eq!(writer.finish().unwrap(), summary);
    let (merged, single) = (Index::open(&out).unwrap(), Index::open(&single).unwrap());
    assert!(merged.files().eq(single.files()) && merged.broken().eq(single.broken()));
    for path in single.files() {
        assert_eq!(merged.clips_of(path), single.clips_of(path));
        assert_eq!(merged.stamp(path), single.stamp(path));
    }
    assert_eq!((merged.part(), merged.damage()), (None, &[][..]));
    let listed = std::fs::read_dir(root.path()).unwrap().flatten();
    assert!(listed.into_iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(files::PARTIAL)));
    assert!(merge_parts(&out, &parts).unwrap_err().to_string().contains("is there already"));
}

#[test]
fn parts_that_do_not_make_one_index_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let parts = all(root.path());
    let out = root.path().join("whole");
    let refusal = |parts: &[PathBuf]| merge_parts(&out, parts).unwrap_err().to_string();
    let missing = refusal(&[parts[3].clone(), parts[0].clone()]);
    assert!(missing.contains("lack shard 2/4, 3/4; give the index of every shard"), "{missing}");
    let copy = root.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(&parts[2]).unwrap().flatten() {
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let twice = refusal(&[&parts[..], &[copy]].concat());
    assert!(twice.contains("copy: holds shard 3/4, as ") && twice.contains("part-3 does"), "{twice}");

    let other = |name: &str, id: &ModelId, part: IndexPart| {
        let dir = root.path().join(name);
        IndexWriter::open_part(&dir, id, Some(&part)).unwrap().finish().unwrap();
        refusal(&[&parts[..3], &[dir]].concat())
    };
    let last = part("4/4".parse().unwrap());
    let weights = other("weights", &ModelId { weights: "def".into(), ..id() }, last.clone());
    assert!(weights.contains("with weights def, not by"), "{weights}");
    let edge = crate::config::EdgeSparsity::new(1, 3, 56);
    let sparse = ModelId { sparsity: Sparsity { edge: Some(edge), node: None }, ..id() };
    assert!(other("sparse", &sparse, last.clone()).contains("not with [dense]"));
    let clips = other("clips", &id(), IndexPart { clip_windows: "8 frames".into(), ..last.clone() });
    assert!(clips.contains("clips 8 frames, not 4 frames"), "{clips}");
    let silent = other("silent", &id(), IndexPart { subtitles: false, ..last.clone() });
    assert!(silent.contains("subtitles left out, not indexed"), "{silent}");
    let folder = other("folder", &id(), IndexPart { folder: "/others".into(), ..last });
    assert!(folder.contains("folder /others, not /videos"), "{folder}");
    let counts = other("counts", &id(), part("4/5".parse().unwrap()));
    assert!(counts.contains("shards of 5, not 4"), "{counts}");

    let whole = root.path().join("plain");
    IndexWriter::open(&whole, &id()).unwrap().finish().unwrap();
    assert!(refusal(std::slice::from_ref(&whole)).contains("is a whole index, not a shard"));
    assert!(refusal(&[root.path().join("nowhere")]).contains("there is no index here"));
    let segment = parts[0].join("000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let damaged = refusal(&parts);
    assert!(damaged.contains("000001.seg is damaged") && damaged.contains("run job 1/4 again"), "{damaged}");
    assert!(!out.exists());
}

/// As by a program that dealt files out in another way.
#[test]
fn a_file_in_two_parts_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let shard: Shard = "4/4".parse().unwrap();
    let mut parts = all(root.path());
    std::fs::remove_dir_all(&parts[3]).unwrap();
    let mut writer = IndexWriter::open_part(&parts[3], &id(), Some(&part(shard))).unwrap();
    let foreign = held("2/4".parse().unwrap())[0];
    held(shard).into_iter().chain([foreign]).for_each(|n| add(&mut writer, n));
    writer.finish().unwrap();
    parts.rotate_left(1);
    let refused = merge_parts(&root.path().join("whole"), &parts).unwrap_err().to_string();
    let both = format!("part-4: holds {}, as ", name(foreign).display());
    assert!(refused.contains(&both) && refused.contains("part-2 does; index both again"), "{refused}");
    assert!(!root.path().join("whole").exists());
}

#[test]
fn an_index_takes_one_part_only() {
    let root = tempfile::tempdir().unwrap();
    let dir = indexed(root.path(), "1/4".parse().unwrap());
    let refusal = |wanted: Option<&IndexPart>| IndexWriter::open_part(&dir, &id(), wanted).unwrap_err().to_string();
    let second = refusal(Some(&part("2/4".parse().unwrap())));
    let held = "this index holds shard 1/4 of /videos cut into 4 frames, not ";
    assert!(second.contains(&format!("{held}shard 2/4 of /videos")), "{second}");
    assert!(refusal(None).contains(&format!("{held}all of a folder")));
    let whole = root.path().join("plain");
    IndexWriter::open(&whole, &id()).unwrap().finish().unwrap();
    let none = IndexWriter::open_part(&whole, &id(), Some(&part("1/4".parse().unwrap()))).unwrap_err().to_string();
    assert!(none.contains("cannot take shard 1/4"), "{none}");
}
