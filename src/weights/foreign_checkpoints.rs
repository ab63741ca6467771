//! Test fixtures: checkpoints in the layouts of other programs, made from the micro checkpoint by renaming keys.

use super::WeightSource;
use super::position_tables::TableShape;
use super::safetensors::{TensorContent, TensorSpec, write};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

fn micro() -> WeightSource {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/checkpoint_micro_full.pth");
    WeightSource::open(path).unwrap()
}

/// Writes what `rename` keeps of the micro checkpoint, under the names it gives, plus a tensor under each of `more`.
fn write_renamed(path: PathBuf, rename: impl Fn(&str) -> Option<String>, more: &[(&str, &[usize])]) -> PathBuf {
    let source = micro();
    let flat = TableShape { frames: 1, grid: 2 }.rows();
    let (mut outlines, mut values) = (Vec::new(), HashMap::new());
    for name in source.names() {
        let Some(renamed) = rename(name) else { continue };
        let mut tensor = source.read(name).unwrap();
        if name.ends_with("bias_table") {
            tensor.values.truncate(flat * tensor.shape[1]);
            tensor.shape[0] = flat;
        }
        outlines.push(TensorSpec { name: renamed.clone(), shape: tensor.shape, kind: TensorContent::Learned });
        values.insert(renamed, tensor.values);
    }
    for (name, shape) in more {
        outlines.push(TensorSpec { name: name.to_string(), shape: shape.to_vec(), kind: TensorContent::Learned });
        values.insert(name.to_string(), vec![0.5; shape.iter().product()]);
    }
    write(&path, &outlines, &BTreeMap::new(), |name| Ok(values[name].clone())).unwrap();
    path
}

/// BEiT as the transformers library saves it, with its classifier and 2-D tables.
pub fn beit(folder: &Path) -> PathBuf {
    let rename = |name: &str| Some(format!("beit.{}", name.strip_prefix("vision_encoder.")?));
    write_renamed(folder.join("beit.safetensors"), rename, &[("classifier.bias", &[2])])
}

/// BERT as the transformers library once saved it: `gamma` and `beta`, a pooler, no cross-attention.
pub fn bert(folder: &Path) -> PathBuf {
    let rename = |name: &str| {
        let rest = name.strip_prefix("text_encoder.").filter(|rest| !rest.contains("crossattention"))?;
        Some(rest.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"))
    };
    write_renamed(
        folder.join("bert.safetensors"),
        rename,
        &[("bert.pooler.dense.bias", &[2]), ("cls.seq_relationship.bias", &[2])],
    )
}

/// Singularity for one frame: 2-D tables, a vector per frame that is not added, text keys of the retrieval variant.
pub fn singularity(folder: &Path) -> PathBuf {
    let rename = |name: &str| (!name.contains(".cls.")).then(|| name.replace("text_encoder.bert.", "text_encoder."));
    write_renamed(folder.join("singularity.safetensors"), rename, &[("temporal_embeddings", &[1, 1, 1, 16])])
}
