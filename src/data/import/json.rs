//! Lenient JSON: records are streamed out of a list, an object of records or one record per line, and texts may be
//! written as numbers. One record stands in memory at a time, however large the file is.

use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{BufRead, BufReader, Read},
    marker::PhantomData,
    path::Path,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{MOST_RECORDS, encoding, too_many};
use crate::{Error, Result, input};

/// Bytes that one record may have: 64 captions of the greatest length.
pub const LONGEST_RECORD: u64 = 4 << 20;
/// Bytes of a file that is parsed as one value: MSR-VTT's data file has 40 MB, a list of answers 0.1 MB.
const LARGEST_WHOLE: u64 = 256 << 20;

/// Parses a whole file as one value.
pub fn whole<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let place = Position::new(LARGEST_WHOLE);
    serde_json::from_reader(Lenient::open(path, &place)?).map_err(|e| parse_error(path, &e))
}

/// Parses `text`, as lenient as the readers of files.
pub fn text<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    let place = Position::new(u64::MAX);
    serde_json::from_reader(Lenient {
        inner: text.as_bytes(),
        place: &place,
        ready: Vec::new(),
        inside: Inside::Nothing,
    })
}

/// Where a record stands in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its number, from 1.
    pub number: u64,
    /// The line it begins in; 0 where that is not known.
    pub line: u64,
    /// Its key, where records are the values of an object.
    pub key: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "record {}", self.number),
            line => write!(f, "record {} (line {line})", self.number),
        }
    }
}

/// Calls `take` with each record of a list `[{…}, …]` or of an object `{"key": {…}, …}`.
///
/// # Errors
/// The file cannot be read or parsed, a record is too long, or `take` refuses one.
pub fn each<T: DeserializeOwned>(path: &Path, take: impl FnMut(Place, T) -> Result<()>) -> Result<()> {
    let position = Position::new(LONGEST_RECORD);
    let refused = RefCell::new(None);
    let number = Cell::new(0);
    let take = RefCell::new(take);
    let visitor = Each { path, take, refused: &refused, position: &position, number, record: PhantomData };
    let mut deserializer = serde_json::Deserializer::from_reader(Lenient::open(path, &position)?);
    let outcome = deserializer.deserialize_any(&visitor).and_then(|()| deserializer.end());
    match (refused.into_inner(), outcome) {
        (Some(refused), _) => Err(refused),
        (None, outcome) => outcome.map_err(|e| parse_error(path, &e)),
    }
}

/// Lines that one record of [`each_line`] may have.
const MOST_LINES: usize = 1_000;

/// Calls `take` with each record of a file of objects one after the other, or with what is wrong with it. A record ends
/// with its line, or goes on in the next ones; a line that begins with a brace begins another.
///
/// # Errors
/// The file cannot be read or is not UTF-8, or a record is too long.
pub fn each_line(path: &Path, mut take: impl FnMut(Place, std::result::Result<Value, String>)) -> Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, input::open(path)?);
    encoding::check_start(path, &mut reader)?;
    let mut pending = Pending::default();
    let mut line = 0;
    loop {
        let mut bytes = Vec::new();
        let left = (LONGEST_RECORD as usize).saturating_sub(pending.text.len()) as u64;
        if reader.by_ref().take(left + 1).read_until(b'\n', &mut bytes).map_err(|e| Error::io(path, &e))? == 0 {
            pending.give_up(&mut take);
            return Ok(());
        }
        line += 1;
        if pending.number > MOST_RECORDS {
            return Err(too_many(path));
        }
        if bytes.len() as u64 > left || pending.lines >= MOST_LINES {
            let problem =
                format!("line {line}: a record is longer than {} MiB or {MOST_LINES} lines", LONGEST_RECORD >> 20);
            return Err(Error::file(path, problem, "check that it is the right file"));
        }
        let text = String::from_utf8(bytes).map_err(|_| encoding::not_utf8(path, line))?;
        if text.starts_with('{') {
            pending.give_up(&mut take);
        }
        pending.add(&text, line, &mut take);
    }
}

/// Lines that may be the beginning of a record.
#[derive(Default)]
struct Pending {
    text: String,
    lines: usize,
    /// The line it begins in.
    line: u64,
    /// Records so far.
    number: u64,
    /// Why it is no record yet.
    problem: String,
}

impl Pending {
    fn add(&mut self, text: &str, line: u64, take: &mut impl FnMut(Place, std::result::Result<Value, String>)) {
        if self.text.is_empty() {
            if text.trim().is_empty() {
                return;
            }
            self.line = line;
        }
        self.text.push_str(text);
        self.lines += 1;
        let whole = std::mem::take(&mut self.text);
        let position = Position::new(u64::MAX);
        let lenient = Lenient { inner: whole.as_bytes(), place: &position, ready: Vec::new(), inside: Inside::Nothing };
        for record in serde_json::Deserializer::from_reader(lenient).into_iter::<Value>() {
            match record {
                Ok(record) => take(self.next_place(), Ok(record)),
                Err(unfinished) if unfinished.is_eof() => {
                    (self.text, self.problem) = (whole, input::shown(&unfinished.to_string()));
                    return;
                }
                Err(broken) => {
                    take(self.next_place(), Err(format!("is not JSON: {}", input::shown(&broken.to_string()))))
                }
            }
        }
        self.lines = 0;
    }

    /// What was begun is no record.
    fn give_up(&mut self, take: &mut impl FnMut(Place, std::result::Result<Value, String>)) {
        if !self.text.is_empty() {
            let problem = format!("is not JSON: {}", self.problem);
            take(self.next_place(), Err(problem));
            (self.text, self.lines) = (String::new(), 0);
        }
    }

    fn next_place(&mut self) -> Place {
        self.number += 1;
        Place { number: self.number, line: self.line, key: None }
    }
}

/// A file's bytes, checked for their encoding, for a parser of one's own.
pub fn open<'a>(path: &Path, position: &'a Position) -> Result<impl Read + use<'a>> {
    Lenient::open(path, position)
}

pub fn parse_error(path: &Path, error: &serde_json::Error) -> Error {
    let problem = input::shown(&error.to_string());
    Error::file(path, format!("cannot be parsed as JSON: {problem}"), "repair that place or obtain the file again")
}

struct Each<'a, T, F> {
    path: &'a Path,
    take: RefCell<F>,
    refused: &'a RefCell<Option<Error>>,
    position: &'a Position,
    number: Cell<u64>,
    record: PhantomData<T>,
}

impl<T, F: FnMut(Place, T) -> Result<()>> Each<'_, T, F> {
    fn hand<E: serde::de::Error>(&self, key: Option<String>, record: T) -> std::result::Result<(), E> {
        self.number.set(self.number.get() + 1);
        if self.number.get() > MOST_RECORDS {
            *self.refused.borrow_mut() = Some(too_many(self.path));
            return Err(E::custom("refused"));
        }
        let place = Place { number: self.number.get(), line: self.position.next_record(), key };
        (self.take.borrow_mut())(place, record).map_err(|refused| {
            *self.refused.borrow_mut() = Some(refused);
            E::custom("refused")
        })
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(Place, T) -> Result<()>> Visitor<'de> for &Each<'_, T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        self.position.next_record();
        while let Some(record) = list.next_element()? {
            self.hand(None, record)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> std::result::Result<(), A::Error> {
        self.position.next_record();
        while let Some((key, record)) = object.next_entry::<String, T>()? {
            self.hand(Some(key), record)?;
        }
        Ok(())
    }
}

/// Where the parser is, which serde_json tells nobody before it fails; and what one record may still read.
pub struct Position {
    line: Cell<u64>,
    /// The line of the first `{` since the last record ended.
    begun: Cell<Option<u64>>,
    left: Cell<u64>,
    most: u64,
}

impl Position {
    /// The start of a file whose records may have `most` bytes.
    pub fn new(most: u64) -> Self {
        Self { line: Cell::new(1), begun: Cell::new(None), left: Cell::new(most), most }
    }

    /// A record has ended: the line it began in.
    fn next_record(&self) -> u64 {
        self.left.set(self.most);
        self.begun.take().unwrap_or(self.line.get())
    }

    fn pass(&self, byte: u8, in_string: bool) -> std::io::Result<()> {
        match byte {
            b'\n' => self.line.set(self.line.get() + 1),
            b'{' if !in_string && self.begun.get().is_none() => self.begun.set(Some(self.line.get())),
            _ => {}
        }
        let left = self.left.get().checked_sub(1).ok_or_else(|| {
            let problem = format!("line {}: a record is longer than {} MiB", self.line.get(), self.most >> 20);
            std::io::Error::new(std::io::ErrorKind::InvalidData, problem)
        })?;
        self.left.set(left);
        Ok(())
    }
}

/// What the next byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    Text,
    Escape,
}

/// JSON as Python writes it becomes JSON: `NaN`, `Infinity` and `-Infinity` outside of strings are read as null.
struct Lenient<'a, R> {
    inner: R,
    place: &'a Position,
    /// Bytes to be handed out before any others, the last one first.
    ready: Vec<u8>,
    inside: Inside,
}

impl<'a> Lenient<'a, BufReader<std::fs::File>> {
    fn open(path: &Path, place: &'a Position) -> Result<Self> {
        let mut inner = BufReader::with_capacity(1 << 16, input::open(path)?);
        encoding::check_start(path, &mut inner)?;
        Ok(Self { inner, place, ready: Vec::new(), inside: Inside::Nothing })
    }
}

impl<R: BufRead> Lenient<'_, R> {
    fn next(&mut self) -> std::io::Result<Option<u8>> {
        let byte = match self.ready.pop() {
            Some(byte) => return Ok(Some(byte)),
            None => self.take()?,
        };
        let Some(byte) = byte else { return Ok(None) };
        self.place.pass(byte, self.inside != Inside::Nothing)?;
        self.inside = match (self.inside, byte) {
            (Inside::Nothing, b'"') | (Inside::Escape, _) => Inside::Text,
            (Inside::Text, b'\\') => Inside::Escape,
            (Inside::Text, b'"') => Inside::Nothing,
            (state, _) => state,
        };
        if self.inside != Inside::Nothing {
            return Ok(Some(byte));
        }
        match byte {
            b'N' => self.null(byte, b"aN"),
            b'I' => self.null(byte, b"nfinity"),
            b'-' if self.inner.fill_buf()?.first() == Some(&b'I') => self.null(byte, b"Infinity"),
            _ => Ok(Some(byte)),
        }
    }

    fn take(&mut self) -> std::io::Result<Option<u8>> {
        let byte = self.inner.fill_buf()?.first().copied();
        self.inner.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    /// Reads `rest` behind `first` and hands out null, or else what stands there.
    fn null(&mut self, first: u8, rest: &[u8]) -> std::io::Result<Option<u8>> {
        let mut seen = Vec::new();
        while seen.len() < rest.len() && self.inner.fill_buf()?.first() == rest.get(seen.len()) {
            seen.extend(self.take()?);
        }
        let whole = seen.len() == rest.len();
        let (byte, then) = if whole { (b'n', b"ull".to_vec()) } else { (first, seen) };
        self.ready = then;
        self.ready.reverse();
        Ok(Some(byte))
    }
}

impl<R: BufRead> Read for Lenient<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            let Some(byte) = self.next()? else { break };
            buffer[count] = byte;
            count += 1;
        }
        Ok(count)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(content: &str, lines: bool) -> Result<Vec<(u64, Value)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, content).unwrap();
        let mut found = Vec::new();
        match lines {
            true => each_line(&path, |place, value| found.push((place.line, value.unwrap_or_else(Value::String))))?,
            false => each(&path, |place, value| {
                found.push((place.line, value));
                Ok(())
            })?,
        }
        Ok(found)
    }

    #[test]
    fn a_broken_line_is_one_record_and_the_next_is_read() {
        let kinds = |content: &str| {
            let values = values(content, true).unwrap();
            values.iter().map(|(line, value)| (*line, value.is_object())).collect::<Vec<_>>()
        };
        assert_eq!(kinds("{\"a\": 1}\n{\"a\": \n{\"a\": 3}\n"), [(1, true), (2, false), (3, true)]);
        assert_eq!(kinds("{\"a\": x}\n{\"a\": 3}"), [(1, false), (2, true)]);
        assert_eq!(kinds("{\n  \"a\": 1\n}\n{\"a\": \"b\nc\"}\n{}"), [(1, true), (4, false), (5, false), (6, true)]);
        assert_eq!(kinds("{} {\"a\": 2}\n{\"a\""), [(1, true), (1, true), (2, false)]);
        assert_eq!(kinds("{\"a\": NaN}\n\n"), [(1, true)]);
    }

    #[test]
    fn pythons_numbers_are_null_but_texts_keep_them() {
        let list = values(r#"[{"a": NaN, "b": -Infinity, "NaN": "\"NaN"}, Infinity, -1, "Name"]"#, false).unwrap();
        assert_eq!(list[0].1, json!({"a": null, "b": null, "NaN": "\"NaN"}));
        assert_eq!(
            list[1..].iter().map(|(_, v)| v.clone()).collect::<Vec<_>>(),
            [json!(null), json!(-1), json!("Name")]
        );
        for broken in ["[Na]", "[Nan]", "[Infinite]", "[-Inf]", "[NaNaN]"] {
            assert!(values(broken, false).is_err(), "{broken}");
        }
        assert_eq!(text::<Value>("{\"a\": NaN}").unwrap(), json!({"a": null}));
    }

    #[test]
    fn records_know_the_line_they_begin_in() {
        let lines = |content, lines| values(content, lines).unwrap().iter().map(|(line, _)| *line).collect::<Vec<_>>();
        assert_eq!(lines("[\n{\"a\":\n1},\n\n{\"{\": 2}, {}]", false), [2, 5, 5]);
        assert_eq!(lines("{}\n\n{\"a\": {}}\r\n{}", true), [1, 3, 4]);
        assert_eq!(lines("{\n\"k\": {},\n\"l\": {}}", false), [2, 3]);
    }

    #[test]
    fn a_record_without_end_is_refused_before_it_fills_the_memory() {
        let long = format!("[{{}},\n{{\"a\": \"{}\"}}]", "x".repeat(LONGEST_RECORD as usize + 9));
        let message = values(&long, false).unwrap_err().to_string();
        assert!(message.contains("line 2: a record is longer than 4 MiB"), "{message}");
        let many = format!("[{}{{}}]", "{},".repeat(1_500_000));
        assert_eq!(values(&many, false).unwrap().len(), 1_500_001);
    }
}
