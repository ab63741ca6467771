//! BERT's WordPiece with this model's framing: `[CLS] text`, no `[SEP]`, padded to a fixed length
//! (docs/model.md, "Tokenisation").

use super::{
    SPECIAL_TOKENS, Vocabulary, clean,
    vocabulary::{LARGEST_FILE, MOST_TOKENS},
};
use crate::{
    Error, Result, files,
    input::{self, shown},
};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokenizers::{
    AddedToken, models::wordpiece::WordPiece, normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

/// Bytes of a text that are tokenised; what comes after them is cut off. The longest caption of the published data sets
/// has 500.
pub const LONGEST_TEXT: usize = 1 << 16;
/// The greatest length that texts are padded or cut to.
pub const LONGEST_ENCODING: usize = 1 << 16;

/// Ids of the special tokens, found by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialIds {
    /// `[PAD]`.
    pub pad: i64,
    /// `[UNK]`.
    pub unk: i64,
    /// `[CLS]`.
    pub cls: i64,
    /// `[SEP]`.
    pub sep: i64,
    /// `[MASK]`.
    pub mask: i64,
}

/// One encoded text.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    /// `[tokens]`: `[CLS]`, the text, padding up to the maximal length.
    pub ids: Vec<i64>,
    /// `[tokens]`: 1 where a token stands, 0 where padding does.
    pub mask: Vec<f32>,
    /// Whether tokens had to be cut off.
    pub too_long: bool,
}

impl Encoding {
    /// The ids without padding.
    pub fn tokens(&self) -> &[i64] {
        &self.ids[..self.mask.iter().filter(|m| **m > 0.0).count()]
    }
}

/// Text to ids.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    vocabulary: Vocabulary,
    special: SpecialIds,
    /// A `tokenizer.json` is kept as it was, so that a saved model has the same one beside it.
    json: Option<String>,
}

impl Tokenizer {
    /// WordPiece with BERT's uncased normaliser over `vocabulary`.
    ///
    /// # Errors
    /// A special token that is missing.
    pub fn new(vocabulary: Vocabulary) -> Result<Self> {
        let path = Path::new("vocab.txt");
        let ids = WordPiece::read_bytes(vocabulary.lines().as_bytes()).map_err(|e| foreign(path, &e.to_string()))?;
        let model = WordPiece::builder().vocab(ids).build().map_err(|e| foreign(path, &e.to_string()))?;
        let mut inner = tokenizers::Tokenizer::new(model);
        inner
            .with_normalizer(Some(BertNormalizer::new(true, true, None, true)))
            .map_err(|e| foreign(path, &e.to_string()))?
            .with_pre_tokenizer(Some(BertPreTokenizer))
            .add_special_tokens(SPECIAL_TOKENS.map(|token| AddedToken::from(token, true)))
            .map_err(|e| foreign(path, &e.to_string()))?;
        Self::assemble(inner, vocabulary, None, path)
    }

    /// Reads a `vocab.txt`, a `tokenizer.json`, or the folder that holds one of them.
    ///
    /// # Errors
    /// A file that is missing or no vocabulary of this kind; the error names it.
    pub fn read(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { find_in(path)? } else { path.to_path_buf() };
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            return Self::read_json(&path);
        }
        Self::new(Vocabulary::read(&path)?)
    }

    /// Reads a `tokenizer.json`; its post-processor, padding and truncation are replaced by this model's: stock BERT
    /// files append a `[SEP]`.
    fn read_json(path: &Path) -> Result<Self> {
        let json = input::read_text(path, LARGEST_FILE)?;
        Description::check(&json).map_err(|problem| foreign(path, &problem))?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(json.as_bytes()).map_err(|e| foreign(path, &e.to_string()))?;
        inner.with_padding(None).with_truncation(None).map_err(|e| foreign(path, &e.to_string()))?;
        let count = inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1);
        if count > MOST_TOKENS {
            return Err(foreign(path, &format!("its largest id is {}, of {MOST_TOKENS} that are possible", count - 1)));
        }
        let token = |id| inner.id_to_token(id as u32).unwrap_or_else(|| format!("[id {id} has no token]"));
        let vocabulary = Vocabulary::from_tokens((0..count).map(token).collect(), path)?;
        refuse_ambiguous(&inner, &json).map_err(|problem| foreign(path, &problem))?;
        Self::assemble(inner, vocabulary, Some(json), path)
    }

    fn assemble(
        mut inner: tokenizers::Tokenizer,
        vocabulary: Vocabulary,
        json: Option<String>,
        path: &Path,
    ) -> Result<Self> {
        inner.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        let id = |token: &str| match inner.token_to_id(token) {
            Some(id) => Ok(i64::from(id)),
            None => Err(foreign(path, &format!("it has no {token} token"))),
        };
        let [pad, unk, cls, sep, mask] = SPECIAL_TOKENS;
        let special = SpecialIds { pad: id(pad)?, unk: id(unk)?, cls: id(cls)?, sep: id(sep)?, mask: id(mask)? };
        Ok(Self { inner, vocabulary, special, json })
    }

    /// Cleans `text` and encodes it as `[CLS] text`, exactly `max_length` ids.
    pub fn encode(&self, text: &str, max_length: usize) -> Encoding {
        let kept = beginning(text);
        let encoding = self.encode_raw(&clean(kept), max_length);
        Encoding { too_long: encoding.too_long || kept.len() < text.len(), ..encoding }
    }

    /// Tokens of `text`, cleaned, `[CLS]` included.
    pub fn count(&self, text: &str) -> usize {
        1 + self.pieces(&clean(beginning(text))).len()
    }

    /// Encodes `answer [SEP]` behind `[CLS]`, exactly `max_length` ids; answers are not cleaned
    /// (docs/model.md, "Tokenisation").
    pub fn encode_answer(&self, answer: &str, max_length: usize) -> Encoding {
        self.encode_raw(&format!("{answer} [SEP]"), max_length)
    }

    /// Encodes `text` as it is, behind `[CLS]`, exactly `max_length` ids.
    pub fn encode_raw(&self, text: &str, max_length: usize) -> Encoding {
        let mut ids = vec![self.special.cls];
        ids.extend(self.pieces(beginning(text)));
        let too_long = ids.len() > max_length || text.len() > LONGEST_TEXT;
        ids.truncate(max_length);
        let mut mask = vec![1.0; ids.len()];
        mask.resize(max_length, 0.0);
        ids.resize(max_length, self.special.pad);
        Encoding { ids, mask, too_long }
    }

    /// The WordPiece ids of `text`; one unknown token if the tokenizer fails on it.
    fn pieces(&self, text: &str) -> Vec<i64> {
        match self.inner.encode_fast(text, false) {
            Ok(encoding) => encoding.get_ids().iter().copied().map(i64::from).collect(),
            Err(_) => vec![self.special.unk],
        }
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// Tokens in id order.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Entries of the vocabulary: the rows a word embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// SHA-256 of the vocabulary written as `vocab.txt`.
    pub fn sha256(&self) -> String {
        self.vocabulary.sha256()
    }

    /// Refuses a vocabulary that is not the one a model was trained with: another number of entries or, where the
    /// model's hash is known, other entries.
    ///
    /// # Errors
    /// Names both sizes, or both hashes.
    pub fn check(&self, vocab_size: usize, sha256: Option<&str>) -> Result<()> {
        let own = self.sha256();
        let problem = match sha256 {
            _ if vocab_size != self.vocab_size() => {
                format!("the vocabulary has {} tokens, the model was trained with {vocab_size}", self.vocab_size())
            }
            Some(hash) if hash != own => {
                format!("the vocabulary's hash is {own}, the model was trained with {hash}")
            }
            _ => return Ok(()),
        };
        Err(Error::setting("vocab", problem, "give the vocab.txt or tokenizer.json saved beside the model"))
    }

    /// The name of the file that [`Tokenizer::save`] writes.
    pub fn file_name(&self) -> &'static str {
        if self.json.is_some() { "tokenizer.json" } else { "vocab.txt" }
    }

    /// Writes `vocab.txt`, or the `tokenizer.json` it was read from, into `folder`; [`Tokenizer::read`] finds it there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        let Some(json) = &self.json else {
            let path = folder.join("vocab.txt");
            return self.vocabulary.write(&path).map(|()| path);
        };
        let path = folder.join("tokenizer.json");
        files::write(&path, json).map(|()| path)
    }
}

/// What of `text` is tokenised.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// What a `tokenizer.json` says of itself, as far as it decides whether it may be used.
#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    max_input_chars_per_word: Option<u64>,
}

impl Description {
    /// Refuses steps that BERT's tokenizers do not have: `Replace` turns one letter into thousands, and a pattern of
    /// `Split` can take for ever.
    fn check(json: &str) -> std::result::Result<(), String> {
        const NORMALIZERS: [&str; 9] =
            ["BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Strip", "StripAccents", "Nmt"];
        const PRE_TOKENIZERS: [&str; 5] =
            ["BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits"];
        /// WordPiece tries every part of a word; BERT's own limit is 100.
        const LONGEST_WORD: u64 = 1_000;
        let description: Self = serde_json::from_str(json).map_err(|e| shown(&e.to_string()))?;
        steps(&description.normalizer, "normalizers", &NORMALIZERS)?;
        steps(&description.pre_tokenizer, "pretokenizers", &PRE_TOKENIZERS)?;
        match description.model {
            Model { kind: Some(kind), .. } if !matches!(kind.as_str(), "WordPiece" | "WordLevel") => {
                Err(format!("its model is `{}`, not WordPiece", shown(&kind)))
            }
            Model { max_input_chars_per_word: Some(most), .. } if most > LONGEST_WORD => {
                Err(format!("its words may have {most} letters, of {LONGEST_WORD} that are possible"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether `step` is one of `known`, or a sequence (under the key `several`) of such.
fn steps(step: &Value, several: &str, known: &[&str]) -> std::result::Result<(), String> {
    let kind = step.get("type").and_then(Value::as_str);
    match kind {
        None if step.is_null() => Ok(()),
        Some("Sequence") => {
            let list = step.get(several).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            list.iter().try_for_each(|step| steps(step, several, known))
        }
        Some(kind) if known.contains(&kind) => Ok(()),
        other => Err(format!("its step `{}` is none of BERT's", shown(other.unwrap_or("without a type")))),
    }
}

/// The vocabulary in `folder`.
fn find_in(folder: &Path) -> Result<PathBuf> {
    let candidates = ["tokenizer.json", "vocab.txt"].map(|name| folder.join(name));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::file(
            folder,
            "holds neither tokenizer.json nor vocab.txt",
            "give the model's vocabulary with option `vocab`",
        )
    })
}

fn foreign(path: &Path, problem: &str) -> Error {
    let problem = format!("is no vocabulary this model can use: {}", shown(problem));
    Error::file(path, problem, "give the vocab.txt or tokenizer.json the model was trained with")
}

/// Fails if two tokens share an id, one of which would be taken at random, or if the token for unknown words is none,
/// without which one such word loses the whole text.
fn refuse_ambiguous(inner: &tokenizers::Tokenizer, json: &str) -> std::result::Result<(), String> {
    let mut taken = std::collections::HashMap::new();
    for (token, id) in inner.get_vocab(true) {
        if let Some(other) = taken.insert(id, token.clone()) {
            let [first, second] = if token < other { [token, other] } else { [other, token] };
            return Err(format!(
                "the tokens {} and {} have the same id {id}",
                input::shown(&first),
                input::shown(&second)
            ));
        }
    }
    let file: serde_json::Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    match file["model"]["unk_token"].as_str() {
        Some(token) if inner.token_to_id(token).is_none() => {
            Err(format!("its token for unknown words, {}, is not in its vocabulary", input::shown(token)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Tokenizer {
        let words = ["a", "man", "##s", "dog", "un", "##known", "running", "yes", "中", "cafe"];
        Tokenizer::new(Vocabulary::from_words(words)).unwrap()
    }

    #[test]
    fn a_text_is_framed_by_cls_alone_and_padded() {
        let encoding = small().encode("A man's dog isn't unknown, running!", 12);
        assert_eq!(encoding.ids, [2, 5, 6, 7, 8, 1, 9, 10, 11, 0, 0, 0]);
        assert_eq!(encoding.mask, [1., 1., 1., 1., 1., 1., 1., 1., 1., 0., 0., 0.]);
        assert_eq!((encoding.tokens().len(), encoding.too_long), (9, false));
        assert_eq!(small().encode("", 3).ids, [2, 0, 0]);
        assert_eq!(small().encode("中CAFÉ", 4).ids, [2, 13, 14, 0]);
    }

    #[test]
    fn a_long_text_is_cut_and_reported() {
        let exact = small().encode("a dog a dog", 5);
        assert_eq!((exact.ids.as_slice(), exact.too_long), ([2, 5, 8, 5, 8].as_slice(), false));
        let long = small().encode("a dog a dog a", 5);
        assert_eq!((long.ids, long.too_long), (exact.ids, true));
    }

    #[test]
    fn an_answer_ends_with_sep_and_keeps_its_marks() {
        assert_eq!(small().encode_answer("yes", 5).ids, [2, 12, 3, 0, 0]);
        assert_eq!(small().encode_answer("yes!", 5).ids, [2, 12, 1, 3, 0], "answers are not cleaned");
        assert_eq!(small().encode("[SEP]", 5).ids, [2, 1, 1, 1, 0], "a caption cannot smuggle in special tokens");
    }

    #[test]
    fn a_stock_tokenizer_json_loses_its_sep() {
        let dir = tempfile::tempdir().unwrap();
        let stock = small();
        let mut inner = stock.inner.clone();
        let bert = tokenizers::processors::bert::BertProcessing::new(("[SEP]".into(), 3), ("[CLS]".into(), 2));
        inner.with_post_processor(Some(bert));
        assert_eq!(inner.encode("yes", true).unwrap().get_ids(), [2, 12, 3]);
        let path = dir.path().join("tokenizer.json");
        inner.save(&path, false).unwrap();
        let ours = Tokenizer::read(dir.path()).unwrap();
        assert_eq!(ours.encode("yes", 4).ids, [2, 12, 0, 0]);
        assert_eq!((ours.sha256(), ours.vocab_size(), ours.special()), (stock.sha256(), 15, stock.special()));
        let copy = tempfile::tempdir().unwrap();
        assert_eq!(std::fs::read(ours.save(copy.path()).unwrap()).unwrap(), std::fs::read(path).unwrap());
    }

    /// What reading a `tokenizer.json` of these parts says.
    fn read_json(normalizer: &str, pre_tokenizer: &str, model: &str) -> Result<Tokenizer> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        let words = r#""[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "red": 5"#;
        let text = format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {normalizer},
            "pre_tokenizer": {pre_tokenizer}, "post_processor": null, "decoder": null, "model": {{"unk_token": "[UNK]",
            "type": "WordPiece", "continuing_subword_prefix": "\u0023#", {model}, "vocab": {{{words}{}}}}}}}"#,
            if model.contains("1001") { "" } else { r#", "blue": 6"# }
        );
        let text = if model.contains("\"big\"") { text.replace(": 6", ": 4294967295") } else { text };
        std::fs::write(&path, text).unwrap();
        Tokenizer::read(&path)
    }

    #[test]
    fn a_tokenizer_json_that_means_two_things_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        small().inner.save(dir.path().join("tokenizer.json"), false).unwrap();
        let whole = std::fs::read_to_string(dir.path().join("tokenizer.json")).unwrap();
        let said = |from: &str, to: &str| {
            assert!(whole.contains(from), "{whole}");
            std::fs::write(dir.path().join("tokenizer.json"), whole.replacen(from, to, 1)).unwrap();
            Tokenizer::read(dir.path()).unwrap_err().to_string()
        };
        let unknown = said(r#""unk_token":"[UNK]""#, r#""unk_token":"<unk>""#);
        assert!(unknown.contains("token for unknown words, <unk>, is not in its vocabulary"), "{unknown}");
        let twice = said(r#""yes":12"#, r#""yes":11"#);
        assert!(twice.contains("have the same id 11") && twice.contains("yes"), "{twice}");
    }

    #[test]
    fn a_tokenizer_json_that_costs_more_than_it_holds_is_refused() {
        let chars = r#""max_input_chars_per_word": 100"#;
        let bert = r#"{"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]}"#;
        assert_eq!(read_json(bert, r#"{"type": "Whitespace"}"#, chars).unwrap().encode("red", 3).ids, [2, 5, 0]);
        let replace = r#"{"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}]}"#;
        let split = r#"{"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Removed", "invert": false}"#;
        for (normalizer, pre_tokenizer, model, says) in [
            (replace, "null", chars, "`Replace`"),
            ("null", split, chars, "`Split`"),
            ("null", "null", r#""max_input_chars_per_word": 1001"#, "1001 letters"),
            ("null", "null", r#""max_input_chars_per_word": 100, "big": "big""#, "largest id is 4294967295"),
        ] {
            let message = read_json(normalizer, pre_tokenizer, model).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn of_a_text_of_megabytes_the_beginning_is_read() {
        let long = "a ".repeat(6 << 20);
        let encoding = small().encode(&long, 7);
        assert_eq!((encoding.tokens().len(), encoding.too_long), (7, true));
        assert_eq!(small().count(&long), 1 + LONGEST_TEXT / 2);
        assert!(small().encode_raw(&"é".repeat(LONGEST_TEXT), 9).too_long, "cut between characters");
        assert_eq!((small().count(""), small().count("a man's dog")), (1, 5));
    }

    #[test]
    fn special_ids_are_found_by_name() {
        let tokens = ["[MASK]", "a", "[SEP]", "[UNK]", "[PAD]", "[CLS]"].map(str::to_owned).to_vec();
        let tokenizer = Tokenizer::new(Vocabulary::from_tokens(tokens, Path::new("v")).unwrap()).unwrap();
        assert_eq!(tokenizer.special(), SpecialIds { pad: 4, unk: 3, cls: 5, sep: 2, mask: 0 });
        assert_eq!(tokenizer.encode("a b", 4).ids, [5, 1, 3, 4]);
        assert_eq!(tokenizer.vocab_size(), 6, "no id is added for tokens already there");
    }

    #[test]
    fn another_vocabulary_than_the_models_is_refused() {
        let tokenizer = small();
        tokenizer.check(15, Some(&tokenizer.sha256())).unwrap();
        assert!(tokenizer.check(30_522, None).unwrap_err().to_string().contains("has 15 tokens"));
        assert!(tokenizer.check(15, Some("00ff")).unwrap_err().to_string().contains("trained with 00ff"));
        let dir = tempfile::tempdir().unwrap();
        assert!(Tokenizer::read(dir.path()).unwrap_err().to_string().contains("neither tokenizer.json nor vocab.txt"));
        let path = dir.path().join("tokenizer.json");
        std::fs::write(&path, "{\"vocab\": 3}").unwrap();
        assert!(Tokenizer::read(&path).unwrap_err().to_string().contains("no vocabulary this model can use"));
    }
}
