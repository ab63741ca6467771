//! safetensors files: read lazily out of their bytes, written atomically one tensor at a time.

use super::tensor::{StoredDType, TensorView};
use crate::{Error, Result, files, input::shown};
use ::safetensors::tensor::{Dtype as FileType, SafeTensors};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of a header: the base model's has 60 KB, and each byte may cost ten of memory.
const MAX_HEADER: u64 = 16 << 20;

/// What a safetensors file holds.
#[derive(Debug)]
pub struct SafetensorsFile {
    /// Names and where the values lie, in the order of the data.
    pub tensors: Vec<(String, TensorView)>,
    /// The texts of its `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// Reads the header of the safetensors file `file`; sizes that contradict each other or the file are refused.
///
/// # Errors
/// What is wrong with it.
pub fn read(file: &[u8]) -> Result<SafetensorsFile, String> {
    let stated = file.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if stated > MAX_HEADER {
        return Err(format!("its safetensors header claims {stated} bytes, of {MAX_HEADER} that are possible"));
    }
    let (header, metadata) = SafeTensors::read_metadata(file)
        .map_err(|problem| format!("its safetensors header does not describe it ({})", shown(&problem.to_string())))?;
    let start = 8 + header;
    let mut tensors: Vec<(String, TensorView)> = Vec::new();
    for (name, info) in metadata.tensors() {
        let dtype = element_type(info.dtype).ok_or_else(|| {
            format!("its tensor `{}` has elements of type {:?}, which is not supported", shown(&name), info.dtype)
        })?;
        let range = start + info.data_offsets.0..start + info.data_offsets.1;
        let view = TensorView::contiguous(dtype, info.shape.clone(), range);
        tensors.push((name.clone(), view.map_err(|problem| format!("its tensor `{}` {problem}", shown(&name)))?));
    }
    tensors.sort_by(|(a, x), (b, y)| (x.start(), a).cmp(&(y.start(), b)));
    let metadata = metadata.metadata().iter().flatten().map(|(key, text)| (key.clone(), text.clone())).collect();
    Ok(SafetensorsFile { tensors, metadata })
}

fn element_type(dtype: FileType) -> Option<StoredDType> {
    Some(match dtype {
        FileType::F64 => StoredDType::F64,
        FileType::F32 => StoredDType::F32,
        FileType::F16 => StoredDType::F16,
        FileType::BF16 => StoredDType::Bf16,
        FileType::I64 => StoredDType::I64,
        FileType::I32 => StoredDType::I32,
        FileType::I16 => StoredDType::I16,
        FileType::I8 => StoredDType::I8,
        FileType::U8 => StoredDType::U8,
        FileType::BOOL => StoredDType::Bool,
        _ => return None,
    })
}

/// One tensor to be written, before its values are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    /// What its values are.
    pub kind: TensorContent,
}

/// What a written tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorContent {
    /// `f32` values, asked for when their turn comes.
    Learned,
    /// The `int64` numbers 0, 1, 2, …: BERT's `position_ids`.
    Counting,
}

impl TensorSpec {
    /// The same tensor under another name.
    pub fn renamed(&self, name: String) -> Self {
        Self { name, ..self.clone() }
    }

    fn bytes(&self) -> usize {
        let size = if self.kind == TensorContent::Learned { 4 } else { 8 };
        self.shape.iter().product::<usize>() * size
    }
}

/// Writes `outlines` to `path` in their order, asking `values` for one tensor at a time. The file appears under its
/// name only when it is complete and on disk.
///
/// # Errors
/// What `values` returns, a wrong number of values, or a failed write.
pub fn write(
    path: &Path,
    outlines: &[TensorSpec],
    metadata: &BTreeMap<String, String>,
    mut values: impl FnMut(&str) -> Result<Vec<f32>>,
) -> Result<()> {
    files::write_with(path, |file| {
        let io = |problem| Error::io(path, &problem);
        file.write_all(&header(outlines, metadata)).map_err(io)?;
        for outline in outlines {
            let elements: usize = outline.shape.iter().product();
            if outline.kind == TensorContent::Counting {
                (0..elements as i64).try_for_each(|i| file.write_all(&i.to_le_bytes())).map_err(io)?;
                continue;
            }
            let values = values(&outline.name)?;
            if values.len() != elements {
                let problem =
                    format!("tensor `{}` has {} values for shape {:?}", outline.name, values.len(), outline.shape);
                return Err(Error::file(path, problem, "report this: the model and its description disagree"));
            }
            values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes())).map_err(io)?;
        }
        Ok(())
    })
}

/// Length and JSON of the header, padded to a multiple of 8 bytes.
fn header(outlines: &[TensorSpec], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut entries = Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".to_string(), json!(metadata));
    }
    let mut at = 0;
    for outline in outlines {
        let dtype = if outline.kind == TensorContent::Learned { "F32" } else { "I64" };
        let end = at + outline.bytes();
        let entry = json!({"dtype": dtype, "shape": outline.shape, "data_offsets": [at, end]});
        entries.insert(outline.name.clone(), entry);
        at = end;
    }
    let mut text = Json::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use svitt_ops::rng::Rng;

    const MICRO: &[u8] = include_bytes!("../../tests/fixtures/parity/checkpoint_micro_model.safetensors");

    fn outline(name: &str, shape: &[usize], kind: TensorContent) -> TensorSpec {
        TensorSpec { name: name.to_string(), shape: shape.to_vec(), kind }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let outlines = [
            outline("ids", &[1, 3], TensorContent::Counting),
            outline("a", &[2, 3], TensorContent::Learned),
            outline("t", &[], TensorContent::Learned),
        ];
        let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        write(&path, &outlines, &metadata, |name| {
            Ok(if name == "a" { vec![1.5, -0.0, 3.0, 4.0, 5.0, f32::MIN_POSITIVE] } else { vec![7.0] })
        })
        .unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = read(&bytes).unwrap();
        assert_eq!(file.metadata, metadata);
        assert_eq!(file.tensors[0].1.dtype(), StoredDType::I64);
        assert_eq!(file.tensors[0].1.read(&bytes).values, [0.0, 1.0, 2.0]);
        let values = file.tensors[1].1.read(&bytes).values;
        assert_eq!((values[1].to_bits(), values[5]), ((-0.0f32).to_bits(), f32::MIN_POSITIVE));
        assert_eq!(file.tensors[2].1.shape(), [0usize; 0]);
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let outlines = [outline("a", &[2], TensorContent::Learned)];
        assert!(write(&path, &outlines, &BTreeMap::new(), |_| Ok(vec![1.0])).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let nowhere = folder.path().join("missing/w.safetensors");
        assert!(write(&nowhere, &outlines, &BTreeMap::new(), |_| Ok(vec![1.0; 2])).is_err());
    }

    #[test]
    fn an_inconsistent_header_is_refused() {
        assert!(read(b"").is_err() && read(&[0xff; 64]).is_err());
        assert!(read(&MICRO[..MICRO.len() - 4]).unwrap_err().contains("header does not describe it"));
        let text = br#"{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,8]}}"#;
        let file = [&(text.len() as u64).to_le_bytes()[..], text, &[0; 8]].concat();
        assert!(read(&file).is_err());
    }

    #[test]
    fn mutated_files_never_panic() {
        let rounds = std::env::var("SVITT_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
        for round in 0..rounds {
            let mut rng = Rng::new(round, &[8]);
            let mut file = MICRO.to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(file.len().clamp(1, 30_000));
                match rng.below(4) {
                    0 => file.truncate(at),
                    _ if at < file.len() => file[at] = rng.bits() as u8,
                    _ => {}
                }
            }
            if let Ok(read) = read(&file) {
                read.tensors.iter().for_each(|(_, view)| assert_eq!(view.read(&file).values.len(), view.elements()));
            }
        }
    }
}
