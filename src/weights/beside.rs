//! Configuration files beside a checkpoint: sizes that no tensor shows, head counts above all.

use crate::input;
use serde_json::Value as Json;
use std::path::Path;

/// A configuration takes a few kilobytes.
const LARGEST: u64 = 1 << 20;

/// UMT's configuration for question answering.
pub const UMT_QA: &str = "config_umt_qa.json";
/// UMT's configuration.
pub const UMT: &str = "config_umt.json";
/// BERT's sizes.
pub const BERT: &str = "config_bert.json";
/// BEiT's sizes.
pub const BEIT: &str = "config_beit.json";
/// The transformers library's name for either.
pub const PLAIN: &str = "config.json";

/// The first of `names` beside `checkpoint` that is a JSON object which `fits`, with its name.
pub fn beside(checkpoint: &Path, names: &[&'static str], fits: impl Fn(&Json) -> bool) -> Option<(&'static str, Json)> {
    names.iter().find_map(|name| {
        let text = input::read_text(&checkpoint.with_file_name(name), LARGEST).ok()?;
        let json: Json = serde_json::from_str(&text).ok()?;
        (json.is_object() && fits(&json)).then_some((*name, json))
    })
}

/// BERT's configuration, whichever file it is in; of a BERT of another width, or another model, it says nothing.
pub fn bert(checkpoint: &Path, hidden: usize) -> Option<(&'static str, Json)> {
    beside(checkpoint, &[BERT, PLAIN], |json| {
        let bert = json.get("model_type").and_then(Json::as_str).is_none_or(|kind| kind == "bert");
        bert && json["hidden_size"].as_u64() == Some(hidden as u64)
    })
}

/// BEiT's configuration, likewise.
pub fn beit(checkpoint: &Path, hidden: usize) -> Option<(&'static str, Json)> {
    beside(checkpoint, &[BEIT, PLAIN], |json| {
        let beit = json.get("model_type").and_then(Json::as_str).is_none_or(|kind| kind == "beit");
        beit && json.get("patch_size").is_some() && json["hidden_size"].as_u64() == Some(hidden as u64)
    })
}

/// A natural number of `json`, below a million.
pub fn number(json: &Json, pointer: &str) -> Option<usize> {
    json.pointer(pointer)?.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|&number| number < 1 << 20)
}
