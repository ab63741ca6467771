//! BERT's WordPiece with this model's framing: `[CLS] text`, no `[SEP]`, padded to a fixed length
//! (docs/model.md, "Tokenisation").

use super::{SPECIAL_TOKENS, Vocabulary, clean};
use crate::{Error, Result, files};
use std::path::{Path, PathBuf};
use tokenizers::{
    AddedToken, models::wordpiece::WordPiece, normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

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
        let json = std::fs::read_to_string(path).map_err(|e| Error::io(path, &e))?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(json.as_bytes()).map_err(|e| foreign(path, &e.to_string()))?;
        inner.with_padding(None).with_truncation(None).map_err(|e| foreign(path, &e.to_string()))?;
        let count = inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1);
        let token = |id| inner.id_to_token(id as u32).unwrap_or_else(|| format!("[id {id} has no token]"));
        let vocabulary = Vocabulary::from_tokens((0..count).map(token).collect(), path)?;
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
        self.encode_raw(&clean(text), max_length)
    }

    /// Encodes `answer [SEP]` behind `[CLS]`, exactly `max_length` ids; answers are not cleaned
    /// (docs/model.md, "Tokenisation").
    pub fn encode_answer(&self, answer: &str, max_length: usize) -> Encoding {
        self.encode_raw(&format!("{answer} [SEP]"), max_length)
    }

    /// Encodes `text` as it is, behind `[CLS]`, exactly `max_length` ids.
    pub fn encode_raw(&self, text: &str, max_length: usize) -> Encoding {
        let mut ids = vec![self.special.cls];
        ids.extend(self.pieces(text));
        let too_long = ids.len() > max_length;
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

/// The vocabulary in `folder`.
fn find_in(folder: &Path) -> Result<PathBuf> {
    let candidates = ["tokenizer.json", "vocab.txt"].map(|name| folder.join(name));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::file(folder, "holds neither tokenizer.json nor vocab.txt", "give the model's vocabulary with --vocab")
    })
}

fn foreign(path: &Path, problem: &str) -> Error {
    let problem = format!("is no vocabulary this model can use: {problem}");
    Error::file(path, problem, "give the vocab.txt or tokenizer.json the model was trained with")
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
