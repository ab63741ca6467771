//! PyTorch's `.pth` and `.bin` files: a pickle that describes tensors, and the storages they lie in.
//!
//! Two layouts are read: the zip archives of PyTorch 1.6 and later, and the plain streams before it (the `.bin` of
//! `bert-base-uncased` is one). Values stay in the file until they are asked for.

use super::archive;
use super::pickle;
use super::pickle_objects::PickledTensor;
use super::pickle_value::{Pickle, ValueId};
use super::tensor::{StoredDType, TensorView};
use crate::input::shown;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::ops::Range;

/// What a PyTorch file holds.
#[derive(Debug)]
pub struct PthFile {
    /// Its state dictionary in its order: names and where the values lie.
    pub tensors: Vec<(String, TensorView)>,
    /// Its training configuration, if it has one, as plain values.
    pub config: Option<Json>,
    /// Classes and functions it names that are neither PyTorch's nor a configuration's. Nothing of them was run.
    pub foreign: Vec<String>,
}

/// The first bytes of the layout before PyTorch 1.6: a pickle of a magic number.
const STREAM_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// Tensors a checkpoint may have: a hundred times the base model with its optimizer.
const MAX_TENSORS: usize = 1 << 16;
/// Bytes of a tensor's name; one text may be the name of many.
const LONGEST_NAME: usize = 1024;
/// Entries a state dictionary is found under; none of them: the dictionary is the file's own.
const STATE_KEYS: [&str; 3] = ["model", "state_dict", "module"];

/// Reads the structure of the PyTorch file `file`.
///
/// # Errors
/// What is wrong with it: foreign, truncated, without tensors, or with tensors that do not fit their storage.
pub fn read(file: &[u8]) -> Result<PthFile, String> {
    let (pickle, storages) = if archive::is_zip(file) {
        zipped(file)?
    } else if file.starts_with(STREAM_MAGIC) {
        stream(file)?
    } else {
        return Err("it is not a PyTorch checkpoint".to_string());
    };
    let state =
        STATE_KEYS.iter().find_map(|key| pickle.get(pickle.root(), key).filter(|&id| !pickle.entries(id).is_empty()));
    let tensors = tensors(&pickle, state.unwrap_or(pickle.root()), &storages)?;
    if tensors.is_empty() {
        return Err("it holds no tensors".to_string());
    }
    let config = pickle.get(pickle.root(), "config").map(|id| pickle.plain(id)).filter(Json::is_object);
    let known = ["torch", "collections", "omegaconf", "__builtin__", "builtins", "typing", "argparse"];
    let mut foreign = pickle.globals();
    foreign.retain(|name| !known.contains(&name.split('.').next().unwrap_or_default()));
    Ok(PthFile { tensors, config, foreign })
}

type Storages = HashMap<String, Range<usize>>;

fn tensors(pickle: &Pickle, state: ValueId, storages: &Storages) -> Result<Vec<(String, TensorView)>, String> {
    let mut found = Vec::new();
    for &(name, value) in pickle.entries(state) {
        if let (Some(name), Some(tensor)) = (pickle.text(name), pickle.tensor(value)) {
            if name.len() > LONGEST_NAME || found.len() >= MAX_TENSORS {
                return Err(format!("it has more than {MAX_TENSORS} tensors, or one of a very long name"));
            }
            let view = tensor.and_then(|tensor| view(tensor, storages));
            found.push((name.to_string(), view.map_err(|problem| format!("its tensor `{}` {problem}", shown(name)))?));
        }
    }
    Ok(found)
}

fn view(tensor: PickledTensor, storages: &Storages) -> Result<TensorView, String> {
    let storage = storages.get(&tensor.storage).ok_or("lies in a storage that the file lacks")?;
    TensorView::new(tensor.dtype, tensor.shape, tensor.strides, tensor.offset, storage.clone())
}

/// The layout since 1.6: `NAME/data.pkl` and one member `NAME/data/KEY` for every storage.
fn zipped(file: &[u8]) -> Result<(Pickle, Storages), String> {
    let members = archive::members(file)?;
    let described = members.iter().find(|member| member.name == "data.pkl" || member.name.ends_with("/data.pkl"));
    let described = described.ok_or("it is a zip archive without the `data.pkl` of a PyTorch checkpoint")?;
    let prefix = described.name.trim_end_matches("data.pkl");
    let order = members.iter().find(|member| member.name.strip_prefix(prefix) == Some("byteorder"));
    if order.is_some_and(|member| file.get(member.range.clone()) == Some(b"big")) {
        return Err("it was written on a big-endian machine, which is not supported".to_string());
    }
    let pickle = pickle::parse(file.get(described.range.clone()).unwrap_or_default())?;
    let storages = members.iter().filter_map(|member| {
        let key = member.name.strip_prefix(prefix)?.strip_prefix("data/")?;
        Some((key.to_string(), member.range.clone()))
    });
    Ok((pickle, storages.collect()))
}

/// The layout before 1.6: magic number, protocol, machine, the object and its storage names as five pickles, then
/// each storage's element count (64 bits) and bytes.
fn stream(file: &[u8]) -> Result<(Pickle, Storages), String> {
    let mut at = 0;
    let mut next = || -> Result<(Pickle, usize), String> {
        let pickle = pickle::parse(file.get(at..).unwrap_or_default())?;
        at += pickle.length;
        Ok((pickle, at))
    };
    for _ in 0..3 {
        next()?;
    }
    let (object, _) = next()?;
    let (names, mut at) = next()?;
    let types: HashMap<String, StoredDType> = object.storages().map(|(dtype, name)| (name, dtype)).collect();
    let mut storages = Storages::new();
    for name in names.items(names.root()).iter().filter_map(|&id| names.text(id)) {
        let count = at.checked_add(8).and_then(|end| file.get(at..end)).ok_or("it is truncated")?;
        let count = count.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let size = types.get(name).ok_or_else(|| format!("its storage `{}` has no known type", shown(name)))?.size();
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(size));
        let start = at + 8;
        let end = length.and_then(|length| start.checked_add(length)).filter(|&end| end <= file.len());
        at = end.ok_or("it is truncated")?;
        storages.insert(name.to_string(), start..at);
    }
    Ok((object, storages))
}

#[cfg(test)]
mod tests {
    use super::*;
    use svitt_ops::rng::Rng;

    const MICRO: &[u8] = include_bytes!("../../tests/fixtures/parity/checkpoint_micro_full.pth");

    /// A stream file with one 2 by 3 tensor `w`, transposed in its storage, and one shared view of it.
    fn stream_file() -> Vec<u8> {
        let mut file = STREAM_MAGIC.to_vec();
        file.extend(b"\x80\x02M\xe9\x03.\x80\x02}.");
        let tensor = |offset: u8, shape: &[u8], strides: &[u8]| {
            let tuple =
                |items: &[u8]| [&b"("[..], &items.iter().flat_map(|&i| [b'K', i]).collect::<Vec<_>>(), b"t"].concat();
            let storage = b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0sX\x03\0\0\0cpuK\x06NtQK";
            [
                &b"ctorch._utils\n_rebuild_tensor_v2\n"[..],
                storage,
                &[offset],
                &tuple(shape),
                &tuple(strides),
                b"\x89}tR",
            ]
            .concat()
        };
        file.extend(b"\x80\x02}(X\x01\0\0\0w");
        file.extend(tensor(0, &[2, 3], &[1, 2]));
        file.extend(b"X\x01\0\0\0v");
        file.extend(tensor(4, &[2], &[1]));
        file.extend(b"u.\x80\x02]X\x01\0\0\0sa.");
        file.extend(6u64.to_le_bytes());
        file.extend((0..6).flat_map(|i| (i as f32).to_le_bytes()));
        file
    }

    #[test]
    fn a_trainers_file_is_read_without_its_optimizer() {
        let pth = read(MICRO).unwrap();
        assert!(pth.tensors.iter().all(|(name, _)| !name.contains("exp_avg")));
        assert_eq!(pth.foreign, Vec::<String>::new());
        let config = pth.config.unwrap();
        assert_eq!(config["video_input"]["num_frames"], 4);
        assert_eq!(config["vision_encoder_args"]["token_drop_loc"], serde_json::json!([1]));
        assert_eq!(config["vision_encoder_args"]["sparse_random_attn"], Json::Null);
        let (_, table) = pth.tensors.iter().find(|(name, _)| name.ends_with("relative_position_bias_table")).unwrap();
        assert_eq!(table.shape(), [7 * 9 + 3, 2]);
    }

    #[test]
    fn the_stream_layout_shares_storages_and_keeps_strides() {
        let file = stream_file();
        let pth = read(&file).unwrap();
        assert_eq!(pth.tensors[0].1.read(&file).values, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!((pth.tensors[1].0.as_str(), pth.tensors[1].1.read(&file).values), ("v", vec![4.0, 5.0]));
        assert!(read(&file[..file.len() - 1]).unwrap_err().contains("truncated"));
    }

    #[test]
    fn foreign_files_are_named() {
        assert!(read(b"GGUF....").unwrap_err().contains("not a PyTorch checkpoint"));
        assert!(read(b"").is_err());
        assert!(read(&MICRO[..200_000]).unwrap_err().contains("truncated"));
    }

    /// Every mutated file must be read or refused with an error; `SVITT_FUZZ` sets how many are tried.
    #[test]
    fn mutated_files_never_panic() {
        let rounds = std::env::var("SVITT_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
        let seeds = [MICRO.to_vec(), stream_file()];
        for round in 0..rounds {
            let mut rng = Rng::new(round, &[7]);
            let mut file = seeds[usize::from(rng.chance(0.3))].clone();
            mutate(&mut file, &mut rng);
            if let Ok(pth) = read(&file) {
                pth.tensors.iter().for_each(|(_, view)| assert_eq!(view.read(&file).values.len(), view.elements()));
            }
        }
    }

    /// Changes, cuts, repeats or swaps bytes, mostly in the pickle and the zip directory, where they do harm.
    pub(crate) fn mutate(file: &mut Vec<u8>, rng: &mut Rng) {
        for _ in 0..=rng.below(8) {
            let n = file.len().max(1);
            let at = match rng.below(3) {
                0 => rng.below(n),
                1 => rng.below(n.min(72_000)),
                _ => n - 1 - rng.below(n.min(40_000)),
            };
            match rng.below(6) {
                0 => file.truncate(at),
                1 => file.extend_from_within(at..(at + rng.below(64)).min(n).min(file.len()).max(at)),
                2 => drop(file.drain(at..(at + rng.below(64)).min(file.len()).max(at))),
                3 if at + 8 <= file.len() => file[at..at + 8].copy_from_slice(&[0xff; 8]),
                _ if at < file.len() => file[at] = rng.bits() as u8,
                _ => {}
            }
            if file.is_empty() {
                return;
            }
        }
    }
}
