use super::*;
use crate::index::{ClipEmbedding, IndexPart, IndexWriter, Stamp, test_model};
use crate::search::{clip_id, clips_with_ids, read_ids};
use serde_json::Value;

fn id() -> ModelId {
    ModelId { weights: "abcdef".into(), ..test_model(4) }
}

/// An index of 12 files of two clips each; the name of the first is no plain text.
fn index(dir: &Path) -> IndexWriter {
    let mut writer = IndexWriter::open(dir, &id()).unwrap();
    for n in 0..12u8 {
        let clip = |at: u8| {
            let vector = vec![f32::from(n) / 16.0, f32::from(at) / 4.0, 0.5, -0.125];
            ClipEmbedding { start: f64::from(at) * 2.5, end: f64::from(at) * 2.5 + 0.1 + 5.0, vector }
        };
        let name = if n == 0 { "/v/0\n#t=1,2.mp4".to_owned() } else { format!("/v/{n}.mp4") };
        let stamp = Stamp { size: 1, modified_ns: i64::from(n) * 1_000, clip_windows: "4 frames".into() };
        writer.add(Path::new(&name), stamp, vec![clip(0), clip(1)]).unwrap();
    }
    writer
}

#[test]
fn a_matrix_and_its_list_hold_every_clip_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (home, out) = (dir.path().join("index"), dir.path().join("all.npy"));
    let writer = index(&home);
    let refused = export(&home, &out).unwrap_err().to_string();
    assert!(refused.contains("index: is still being written") && !out.exists(), "{refused}");
    writer.finish().unwrap();
    let report = export(&home, &out).unwrap();
    assert_eq!((report.clips, report.dim, report.warnings.len()), (24, 4, 0));
    let bytes = std::fs::read(&out).unwrap();
    assert!(String::from_utf8_lossy(&bytes[..128]).contains("'shape': (24, 4)"));
    let numbers: Vec<f32> = bytes[128..].as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
    let list: Value = serde_json::from_slice(&std::fs::read(dir.path().join("all.json")).unwrap()).unwrap();
    assert_eq!((&list["shape"], &list["model"]["weights"]), (&json!([24, 4]), &json!("abcdef")));
    let index = Index::open(&home).unwrap();
    let mut row = 0;
    for path in index.files() {
        for clip in index.clips_of(path) {
            let listed = &list["clips"][row];
            assert_eq!(numbers[4 * row..4 * row + 4], clip.vector);
            assert_eq!(
                (listed["id"].as_str(), listed["end"].as_f64()),
                (Some(&*clip_id(path, &clip.span())), Some(clip.end))
            );
            row += 1;
        }
    }
    assert_eq!((row, &list["clips"][0]["file"], &list["clips"][24]), (24, &json!("/v/0\\n#t=1,2.mp4"), &Value::Null));
    for (name, said) in [("a.csv", "ends in neither"), ("a", "ends in neither")] {
        assert!(export(&home, &dir.path().join(name)).unwrap_err().to_string().contains(said));
    }
    assert!(export(&dir.path().join("nowhere"), &out).unwrap_err().to_string().contains("there is no index here"));
}

#[test]
fn a_shard_is_exported_once_its_job_has_finished() {
    let dir = tempfile::tempdir().unwrap();
    let (home, out) = (dir.path().join("index"), dir.path().join("part.npy"));
    let shard = "2/4".parse().unwrap();
    let part =
        IndexPart { shard, folder: "/v".into(), clip_windows: "4 frames".into(), subtitles: true, complete: false };
    drop(IndexWriter::open_part(&home, &id(), Some(&part)).unwrap());
    let refused = export(&home, &out).unwrap_err().to_string();
    assert!(refused.contains("index: shard 2/4 was not finished; run job 2/4 again"), "{refused}");
    assert!(!out.exists() && !out.with_extension("json").exists());
    IndexWriter::open_part(&home, &id(), Some(&part)).unwrap().finish().unwrap();
    assert_eq!(export(&home, &out).unwrap().clips, 0);
}

#[test]
fn ids_lead_back_to_their_clips() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("index");
    index(&home).finish().unwrap();
    let index = Index::open(&home).unwrap();
    let all: Vec<String> = exported(&index).map(|clip| clip.id).collect();
    assert_eq!(all[0], "/v/0\\n#t=1,2.mp4#t=0,5.1");
    let chosen = [all[5].clone(), all[0].clone(), all[23].clone()];
    let file = dir.path().join("ids");
    for text in [
        chosen.join("\n") + "\n\n",
        json!(chosen).to_string(),
        json!(chosen.clone().map(|id| json!({"id": id, "score": 1}))).to_string(),
    ] {
        std::fs::write(&file, text).unwrap();
        let ids = read_ids(&file).unwrap();
        let hits = clips_with_ids(&index, &[&ids[..], &ids[..1]].concat()).unwrap();
        let named: Vec<String> = hits.iter().map(|hit| clip_id(hit.path, &hit.clip)).collect();
        assert_eq!(named, chosen, "each once");
    }
    for unknown in ["/v/1.mp4#t=0,5", "/v/99.mp4#t=0,5.1", "7", "/v/1.mp4"] {
        let message = clips_with_ids(&index, &[unknown.to_owned()]).unwrap_err().to_string();
        assert!(message.contains(&format!("holds no clip `{unknown}`")), "{message}");
    }
    for (text, said) in
        [("", "holds no id"), ("[1, 2]", "entry 1 has no id"), ("[\"a\"", "is no JSON list"), ("[]", "holds no id")]
    {
        std::fs::write(&file, text).unwrap();
        assert!(read_ids(&file).unwrap_err().to_string().contains(said), "{text}");
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_every_clip_with_its_vector_as_a_list_of_fixed_size() {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, Float64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let dir = tempfile::tempdir().unwrap();
    let (home, out) = (dir.path().join("index"), dir.path().join("all.parquet"));
    index(&home).finish().unwrap();
    assert_eq!(export(&home, &out).unwrap().clips, 24);
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&out).unwrap()).unwrap();
    let facts = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let model = facts.iter().find(|fact| fact.key == "svitt.model").and_then(|fact| fact.value.as_deref()).unwrap();
    assert!(model.contains("\"vocabulary\":\"words\""), "{model}");
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    let vectors = batch["vector"].as_fixed_size_list();
    assert_eq!((batch.num_rows(), vectors.value_length()), (24, 4));
    let expected: Vec<_> = exported(&Index::open(&home).unwrap()).collect();
    for (row, clip) in expected.iter().enumerate() {
        assert_eq!(vectors.value(row).as_primitive::<Float32Type>().values(), &clip.vector[..]);
        assert_eq!(batch["end"].as_primitive::<Float64Type>().value(row), clip.end);
        assert_eq!(
            (batch["id"].as_string::<i32>().value(row), batch["model"].as_string::<i32>().value(row)),
            (&*clip.id, "abcdef")
        );
    }
}
