//! Lenient JSON: records are streamed out of a list, an object of records or one record per line, and texts may be
//! written as numbers.

use std::{cell::RefCell, fmt, marker::PhantomData, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{Error, Result};

/// Reads a whole file, without the byte order mark that spreadsheets put in front.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = std::fs::read(path).map_err(|e| Error::io(path, &e))?;
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// Parses a whole file as one value.
pub fn whole<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&bytes(path)?).map_err(|e| parse_error(path, &e))
}

/// Calls `take` with each record of a list `[{…}, …]` (no key), an object `{"key": {…}, …}` or lines of objects.
///
/// # Errors
/// The file cannot be read or parsed, or `take` refuses a record.
pub fn each<T: DeserializeOwned>(
    path: &Path,
    lines: bool,
    take: impl FnMut(Option<&str>, T) -> Result<()>,
) -> Result<()> {
    let bytes = bytes(path)?;
    let refused = RefCell::new(None);
    let visitor = Each { take: RefCell::new(take), refused: &refused, record: PhantomData };
    let outcome = if lines { each_line(&bytes, &visitor) } else { each_element(&bytes, &visitor) };
    match (refused.into_inner(), outcome) {
        (Some(refused), _) => Err(refused),
        (None, outcome) => outcome.map_err(|e| parse_error(path, &e)),
    }
}

fn each_line<T, F>(bytes: &[u8], visitor: &Each<'_, T, F>) -> serde_json::Result<()>
where
    T: DeserializeOwned,
    F: FnMut(Option<&str>, T) -> Result<()>,
{
    serde_json::Deserializer::from_slice(bytes).into_iter().try_for_each(|record| visitor.hand(None, record?))
}

fn each_element<T, F>(bytes: &[u8], visitor: &Each<'_, T, F>) -> serde_json::Result<()>
where
    T: DeserializeOwned,
    F: FnMut(Option<&str>, T) -> Result<()>,
{
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer.deserialize_any(visitor)?;
    deserializer.end()
}

fn parse_error(path: &Path, error: &serde_json::Error) -> Error {
    Error::file(path, format!("cannot be parsed as JSON: {error}"), "repair that place or obtain the file again")
}

struct Each<'a, T, F> {
    take: RefCell<F>,
    refused: &'a RefCell<Option<Error>>,
    record: PhantomData<T>,
}

impl<T, F: FnMut(Option<&str>, T) -> Result<()>> Each<'_, T, F> {
    fn hand<E: serde::de::Error>(&self, key: Option<&str>, record: T) -> std::result::Result<(), E> {
        (self.take.borrow_mut())(key, record).map_err(|refused| {
            *self.refused.borrow_mut() = Some(refused);
            E::custom("refused")
        })
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(Option<&str>, T) -> Result<()>> Visitor<'de> for &Each<'_, T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        while let Some(record) = list.next_element()? {
            self.hand(None, record)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> std::result::Result<(), A::Error> {
        while let Some((key, record)) = object.next_entry::<String, T>()? {
            self.hand(Some(&key), record)?;
        }
        Ok(())
    }
}

/// A text, or a number or truth value that some release wrote in its place; null is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text(pub String);

/// One text or a list of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let Texts(mut texts) = deserializer.deserialize_any(TextVisitor { lists: false })?;
        Ok(Self(texts.pop().unwrap_or_default()))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor { lists: true })
    }
}

struct TextVisitor {
    lists: bool,
}

macro_rules! scalar {
    ($($visit:ident: $kind:ty),*) => {$(
        fn $visit<E: serde::de::Error>(self, value: $kind) -> std::result::Result<Texts, E> {
            Ok(Texts(vec![value.to_string()]))
        }
    )*};
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.lists { "a text or a list of texts" } else { "a text" })
    }

    scalar!(visit_str: &str, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_bool: bool);

    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<Texts, E> {
        Ok(Texts::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Texts, A::Error> {
        if !self.lists {
            return Err(A::Error::custom("found a list where one text belongs"));
        }
        let mut texts = Vec::new();
        while let Some(Text(text)) = list.next_element()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> std::result::Result<Texts, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(A::Error::custom("found an object where a text belongs"))
    }
}
