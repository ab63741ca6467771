//! Interprets pickle values: dictionaries, tensors, configurations.

use super::pickle_value::{Pickle, RecordedCall, Value, ValueId};
use super::tensor::StoredDType;
use crate::input::shown;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;

/// Configurations nest a handful of levels; a pickle may be cyclic.
const MAX_DEPTH: usize = 32;
/// Values and bytes of text that a configuration may have: a hundred times the official one.
const MAX_CONFIG: usize = 1 << 20;
/// Sizes of one tensor: more than any reader of it accepts.
const MAX_SIZES: usize = 16;
/// Bytes of a storage's or class's name; one text may be the name of a million.
const LONGEST_NAME: usize = 256;

/// A tensor as its pickle describes it; its values lie in a storage outside the pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickledTensor {
    /// Name of its storage.
    pub storage: String,
    /// Element type.
    pub dtype: StoredDType,
    /// Its first element, counted in elements from the beginning of the storage.
    pub offset: usize,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    /// Elements from one index of a dimension to the next.
    pub strides: Vec<usize>,
}

impl Pickle {
    /// The value that was pickled.
    pub fn root(&self) -> ValueId {
        self.root
    }

    fn value(&self, id: ValueId) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    /// A string's text.
    pub fn text(&self, id: ValueId) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a dictionary, or of an object that acts as one (`OrderedDict`).
    pub fn entries(&self, id: ValueId) -> &[(ValueId, ValueId)] {
        match self.value(id) {
            Value::Dict(entries) => entries,
            Value::Object(call) => &call.entries,
            _ => &[],
        }
    }

    /// The entry of a dictionary under a string key; the last one if there are several.
    pub fn get(&self, id: ValueId, key: &str) -> Option<ValueId> {
        self.entries(id).iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|&(_, value)| value)
    }

    /// The items of a tuple, list or set.
    pub fn items(&self, id: ValueId) -> &[ValueId] {
        match self.value(id) {
            Value::Items(items) => items,
            Value::Object(call) => &call.items,
            _ => &[],
        }
    }

    /// The class `module.name` of an object.
    fn class(&self, id: ValueId) -> Option<(&str, &str, &RecordedCall)> {
        let Value::Object(call) = self.value(id) else { return None };
        match self.value(call.callee) {
            Value::Global(module, name) => Some((module, name, call)),
            _ => None,
        }
    }

    /// Names of the classes and functions it mentions, sorted: data here, but code to Python.
    pub fn globals(&self) -> Vec<String> {
        let cut = |text: &str| text[..text.floor_char_boundary(LONGEST_NAME)].to_owned();
        let names = self.values.iter().filter_map(|value| match value {
            Value::Global(module, name) => Some(shown(&format!("{}.{}", cut(module), cut(name)))),
            _ => None,
        });
        names.collect::<BTreeSet<String>>().into_iter().collect()
    }

    /// The tensor that `id` is, or none if it is something else.
    pub fn tensor(&self, id: ValueId) -> Option<Result<PickledTensor, String>> {
        let (module, name, call) = self.class(id)?;
        match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => {
                Some(self.rebuild(self.items(call.arguments)))
            }
            ("torch._utils", "_rebuild_parameter") => {
                let inner = *self.items(call.arguments).first()?;
                let (module, name, call) = self.class(inner)?;
                let known = module == "torch._utils" && name.starts_with("_rebuild_tensor");
                known.then(|| self.rebuild(self.items(call.arguments)))
            }
            _ => None,
        }
    }

    fn rebuild(&self, arguments: &[ValueId]) -> Result<PickledTensor, String> {
        let [storage, offset, shape, strides, ..] = arguments else {
            return Err("is described by too few numbers".to_string());
        };
        let (dtype, storage) = self.storage(*storage).ok_or("has no storage")??;
        let sizes = |id| {
            let sizes = self.items(id).iter().take(MAX_SIZES).map(|&id| self.size(id));
            sizes.collect::<Option<Vec<usize>>>()
        };
        match (self.size(*offset), sizes(*shape), sizes(*strides)) {
            (Some(offset), Some(shape), Some(strides)) => Ok(PickledTensor { storage, dtype, offset, shape, strides }),
            _ => Err("has a size that is no natural number".to_string()),
        }
    }

    /// The element type and name of a storage reference `("storage", class, name, location, elements)`.
    pub(super) fn storage(&self, id: ValueId) -> Option<Result<(StoredDType, String), String>> {
        let Value::Persistent(reference) = self.value(id) else { return None };
        let [_, class, name, ..] = self.items(*reference) else { return None };
        let (Value::Global(_, class), Some(name)) = (self.value(*class), self.text(*name)) else { return None };
        if name.len() > LONGEST_NAME {
            return Some(Err(format!("has a storage whose name has {} bytes", name.len())));
        }
        let dtype =
            storage_type(class).ok_or_else(|| format!("has elements of type {}, which is not supported", shown(class)));
        Some(dtype.map(|dtype| (dtype, name.to_string())))
    }

    /// Every storage reference of the pickle.
    pub(super) fn storages(&self) -> impl Iterator<Item = (StoredDType, String)> + '_ {
        let ids = (0..self.values.len() as ValueId).filter(|&id| matches!(self.value(id), Value::Persistent(_)));
        ids.filter_map(|id| self.storage(id)?.ok())
    }

    fn size(&self, id: ValueId) -> Option<usize> {
        match self.value(id) {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        }
    }

    /// A configuration as JSON: OmegaConf containers and nodes become what they hold, unknown objects become null.
    pub fn plain(&self, id: ValueId) -> Json {
        // Shared values are written out each time they occur; the budget, in bytes of text plus one for each value,
        // keeps a small pickle from growing without end.
        let mut budget = (2 * self.length).min(MAX_CONFIG);
        self.plain_within(id, MAX_DEPTH, &mut budget)
    }

    fn plain_within(&self, id: ValueId, depth: usize, budget: &mut usize) -> Json {
        let text = self.text(id).map_or(0, str::len);
        if depth == 0 || *budget <= text {
            return Json::Null;
        }
        *budget -= 1 + text;
        match self.value(id) {
            Value::Bool(flag) => Json::from(*flag),
            Value::Int(number) => Json::from(*number),
            Value::Float(number) => Json::from(*number),
            Value::Text(text) => Json::from(&**text),
            Value::Items(items) => items.iter().map(|&item| self.plain_within(item, depth - 1, budget)).collect(),
            Value::Dict(entries) => self.plain_entries(entries, depth, budget),
            Value::Object(call) => match self.held(call) {
                Some(inner) => self.plain_within(inner, depth - 1, budget),
                None if self.is_easydict(call) => self.plain_entries(&call.entries, depth, budget),
                None => Json::Null,
            },
            _ => Json::Null,
        }
    }

    fn plain_entries(&self, entries: &[(ValueId, ValueId)], depth: usize, budget: &mut usize) -> Json {
        let mut object = Map::new();
        for &(key, value) in entries {
            if let Json::String(key) = self.plain_within(key, 1, budget) {
                object.insert(key, self.plain_within(value, depth - 1, budget));
            }
        }
        Json::Object(object)
    }

    /// Whether it is a dictionary of UMT's configuration, which has its entries as attributes, too.
    fn is_easydict(&self, call: &RecordedCall) -> bool {
        matches!(self.value(call.callee), Value::Global(_, name) if &**name == "EasyDict")
    }

    /// What an OmegaConf container, an OmegaConf node or an `argparse.Namespace` holds.
    fn held(&self, call: &RecordedCall) -> Option<ValueId> {
        let state = call.state?;
        let Value::Global(module, name) = self.value(call.callee) else { return None };
        match (module.split('.').next(), &**name) {
            (Some("omegaconf"), "DictConfig" | "ListConfig") => self.get(state, "_content"),
            (Some("omegaconf"), _) => self.get(state, "_val"),
            (Some("argparse"), "Namespace") => Some(state),
            _ => None,
        }
    }
}

fn storage_type(class: &str) -> Option<StoredDType> {
    Some(match class {
        "DoubleStorage" => StoredDType::F64,
        "FloatStorage" => StoredDType::F32,
        "HalfStorage" => StoredDType::F16,
        "BFloat16Storage" => StoredDType::Bf16,
        "LongStorage" => StoredDType::I64,
        "IntStorage" => StoredDType::I32,
        "ShortStorage" => StoredDType::I16,
        "CharStorage" => StoredDType::I8,
        "ByteStorage" => StoredDType::U8,
        "BoolStorage" => StoredDType::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::pickle::parse;
    use super::*;

    #[test]
    fn cycles_end() {
        let list = parse(b"\x80\x02]q\x00h\x00a.").unwrap();
        assert!(list.plain(list.root()).to_string().len() < 2 * MAX_DEPTH + 6);
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let dict = parse(b"\x80\x02}(X\x01\0\0\0aK\x01X\x01\0\0\0aK\x02u.").unwrap();
        assert_eq!(dict.plain(dict.get(dict.root(), "a").unwrap()), 2);
        assert!(dict.get(dict.root(), "b").is_none());
    }
}
