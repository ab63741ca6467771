//! `tokenization`: raw text to cleaned text, tokens and ids; also the ids of texts that other files spell out.

use super::cases::read_json;
use super::context::ParityContext;
use super::report::FileCheck;
use super::tolerance::TensorKind;
use serde_json::{Map, Value as Json};
use svitt::Result;
use svitt::text::{Encoding, Tokenizer, clean};
use svitt_ops::TrainBackend;

/// The name of the file.
pub const FILE: &str = "tokenization.json";
/// The vocabulary beside it.
const VOCABULARY: &str = "vocab.txt";
/// Longer than any text here: tokens are listed before they are cut.
const UNCUT: usize = 4096;

/// Compares every entry of `tokenization.json`.
///
/// # Errors
/// The file or the vocabulary cannot be read.
pub fn check<B: TrainBackend>(context: &ParityContext<B>, check: &mut FileCheck) -> Result<()> {
    let entries: Vec<Map<String, Json>> = read_json(&context.folder.join(FILE))?;
    let tokenizer = Tokenizer::read(&context.folder.join(VOCABULARY))?;
    for (place, entry) in entries.iter().enumerate() {
        check_entry(&tokenizer, context.cases.tokenization_length, &format!("{place}"), entry, check);
    }
    Ok(())
}

fn check_entry(tokenizer: &Tokenizer, length: usize, place: &str, entry: &Map<String, Json>, check: &mut FileCheck) {
    let raw = entry.get("raw").and_then(Json::as_str).unwrap_or_default();
    let (cleaned, encoded) = (tokenizer.encode(raw, length), tokenizer.encode_raw(raw, length));
    for (key, value) in entry {
        let name = format!("{place}.{key}");
        match key.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "raw" => {}
            "pre_text" => check.words(name, &[clean(raw)], &[value.as_str().unwrap_or_default()]),
            "tokens" => check.words(name, &tokens(tokenizer, &clean(raw)), &words(value)),
            "raw_tokens" => check.words(name, &tokens(tokenizer, raw), &words(value)),
            "ids" => check.compare(name, TensorKind::Exact, &floats(&cleaned.ids), &numbers(value)),
            "mask" => check.compare(name, TensorKind::Exact, &cleaned.mask, &numbers(value)),
            "ids_raw" => check.compare(name, TensorKind::Exact, &floats(&encoded.ids), &numbers(value)),
            _ => check.uncovered(name),
        }
    }
}

/// Texts that a file gives beside their ids.
pub struct TextsWithIds<'a> {
    /// The texts.
    pub texts: &'a [String],
    /// Ids of every text.
    pub length: usize,
    /// How they were encoded.
    pub encode: fn(&Tokenizer, &str, usize) -> Encoding,
}

/// Compares tensors `ids` and `mask` of fixture `stem` to what the tokenizer makes of `spelled`.
///
/// # Errors
/// The vocabulary or the fixture cannot be read.
pub fn check_ids<B: TrainBackend>(
    context: &ParityContext<B>,
    stem: &str,
    [ids, mask]: [&str; 2],
    spelled: &TextsWithIds<'_>,
    check: &mut FileCheck,
) -> Result<()> {
    if spelled.texts.is_empty() {
        return Ok(());
    }
    let fixture = context.fixture(stem)?;
    let tokenizer = Tokenizer::read(&context.folder.join(VOCABULARY))?;
    let encode = |text: &String| (spelled.encode)(&tokenizer, text, spelled.length);
    let encoded: Vec<Encoding> = spelled.texts.iter().map(encode).collect();
    let ours: Vec<f64> = encoded.iter().flat_map(|text| floats(&text.ids)).collect();
    check.compare(ids, TensorKind::Exact, &ours, &fixture.get(ids)?.values);
    let ours: Vec<f32> = encoded.iter().flat_map(|text| text.mask.clone()).collect();
    check.compare(mask, TensorKind::Exact, &ours, &fixture.get(mask)?.values);
    Ok(())
}

/// The tokens of `text`, uncut.
fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let encoding = tokenizer.encode_raw(text, UNCUT);
    let token = |&id: &i64| usize::try_from(id).ok().and_then(|id| tokenizer.vocabulary().tokens().get(id)).cloned();
    encoding.tokens().iter().skip(1).map(|id| token(id).unwrap_or_default()).collect()
}

fn floats(ids: &[i64]) -> Vec<f64> {
    ids.iter().map(|&id| id as f64).collect()
}

/// The numbers of a JSON list.
pub fn numbers(list: &Json) -> Vec<f64> {
    list.as_array().into_iter().flatten().map(|number| number.as_f64().unwrap_or(f64::NAN)).collect()
}

/// The texts of a JSON list.
pub fn words(list: &Json) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap_or_default()).collect()
}
