//! Webdataset tar shards, read in place: an index of headers says where each video lies, nothing is unpacked.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::import::{CaptionPart, Further, ShardCaption, json_text};
use crate::{
    Error, Result,
    input::{self, shown},
};
use svitt_video::is_video_name;

/// Shards one brace expression may stand for; WebVid-10M has 10,728.
const MOST_SHARDS: usize = 100_000;
/// Bytes of a caption or JSON member beyond which the shard is not what it claims to be.
const MOST_TEXT: u64 = 1 << 20;
/// Bytes of a member's name; file systems allow 4,096.
const LONGEST_NAME: u64 = 1 << 16;
/// Members of one shard: a thousand times what video2dataset writes.
const MOST_MEMBERS: usize = 5_000_000;
/// Extensions of members that hold a caption.
const TEXT: [&str; 4] = ["txt", "caption", "cap", "text"];

/// A file inside a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMember {
    /// The tar file.
    pub shard: PathBuf,
    /// First byte of the member's content.
    pub offset: u64,
    /// Bytes of content.
    pub length: u64,
    /// Name inside the tar file.
    pub name: String,
}

/// The members that share a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The members' common name, without the extension of a video, a text or a JSON file.
    pub key: String,
    /// The video, if there is one.
    pub video: Option<ShardMember>,
    /// The caption of the text member; empty without one.
    pub caption: String,
    /// What the JSON member says.
    pub said: ShardCaption,
    /// Why the caption cannot be read.
    pub problem: Option<String>,
    /// What is wrong with a member that is not needed.
    pub warning: Option<String>,
    /// What is wrong with the span of the JSON member: the whole video is not meant then, whoever says the caption.
    span_problem: Option<String>,
    /// Name of the member that holds the caption.
    text: Option<String>,
    /// Name of the JSON member.
    json: Option<String>,
}

impl ShardMember {
    /// The member as the `media` of a record: `shard.tar#offset+length#name`.
    pub fn address(&self) -> String {
        format!("{}#{}+{}#{}", self.shard.display(), self.offset, self.length, self.name)
    }

    /// The member that `media` addresses, if it is such an address.
    pub fn from_address(media: &str) -> Option<Self> {
        let (shard, rest) = media.split_once(".tar#")?;
        let (range, name) = rest.split_once('#')?;
        let (offset, length) = range.split_once('+')?;
        let (offset, length) = (offset.parse().ok()?, length.parse().ok()?);
        Some(Self { shard: format!("{shard}.tar").into(), offset, length, name: name.to_owned() })
    }

    fn fault(&self, problem: &str) -> String {
        format!("member {} of {} {problem}", shown(&self.name), self.shard.display())
    }

    /// Copies the member's content to `output`, a piece at a time.
    ///
    /// # Errors
    /// The shard cannot be read, or is shorter than it was when it was indexed; what `output` says, as it is.
    pub fn copy(&self, output: &mut impl Write) -> Result<io::Result<()>> {
        let mut file = input::open(&self.shard)?;
        file.seek(SeekFrom::Start(self.offset)).map_err(|e| Error::io(&self.shard, &e))?;
        let (mut piece, mut left) = (vec![0; 1 << 16], self.length);
        while left > 0 {
            let wanted = left.min(piece.len() as u64) as usize;
            let count = file.read(&mut piece[..wanted]).map_err(|e| Error::io(&self.shard, &e))?;
            if count == 0 {
                return Err(truncated(&self.shard, &self.name));
            }
            if let Err(error) = output.write_all(&piece[..count]) {
                return Ok(Err(error));
            }
            left -= count as u64;
        }
        Ok(output.flush())
    }
}

/// Whether `path` names tar shards: one, several, a brace range, or a folder that holds some.
pub fn is_shards(path: &Path) -> bool {
    if path.is_dir() {
        return !shards_in(path).is_empty();
    }
    let Some(list) = path.to_str() else { return false };
    list.split("::").all(|part| part.ends_with(".tar") || part.ends_with(".tar.gz"))
}

fn shards_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut shards: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "tar")).collect();
    shards.sort();
    shards
}

/// The shards that `path` stands for: a folder's, or those of a list such as `a/{00000..00123}.tar::b/{x,y}.tar`.
///
/// # Errors
/// A brace range is malformed or stands for too many shards.
pub fn expand(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        return Ok(shards_in(path));
    }
    let list = path.to_string_lossy();
    let mut shards = Vec::new();
    for part in list.split("::") {
        expand_braces(part, &mut shards)?;
    }
    Ok(shards.into_iter().map(PathBuf::from).collect())
}

/// Expands the braces of `pattern` from left to right.
fn expand_braces(pattern: &str, shards: &mut Vec<String>) -> Result<()> {
    let malformed = |problem: &str| {
        Error::setting("annotations", format!("`{pattern}` {problem}"), "write {00000..00123} or {a,b,c}")
    };
    let Some((before, rest)) = pattern.split_once('{') else {
        shards.push(pattern.to_owned());
        return Ok(());
    };
    let (inside, after) = rest.split_once('}').ok_or_else(|| malformed("has a brace that is not closed"))?;
    for choice in choices(inside).ok_or_else(|| malformed("has a range that is not two numbers"))? {
        expand_braces(&format!("{before}{choice}{after}"), shards)?;
        if shards.len() > MOST_SHARDS {
            return Err(malformed(&format!("stands for more than {MOST_SHARDS} shards")));
        }
    }
    Ok(())
}

/// `00..12` counts with the width of its first number; `a,b` lists.
fn choices(inside: &str) -> Option<Vec<String>> {
    let Some((first, last)) = inside.split_once("..") else {
        return Some(inside.split(',').map(str::to_owned).collect());
    };
    let width = first.len().min(20);
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let end = last.min(first.saturating_add(MOST_SHARDS));
    (first <= end).then(|| (first..=end).map(|number| format!("{number:0width$}")).collect())
}

/// What a shard holds.
#[derive(Clone, Debug, Default)]
pub struct ShardIndex {
    /// The samples, in the order of their first members.
    pub samples: Vec<Sample>,
    /// Members that macOS adds to archives for its own use (`._NAME`, `__MACOSX`, `.DS_Store`).
    pub foreign: usize,
}

/// The samples of a shard; only headers, captions and JSON members are read. Keys of JSON members without a meaning are
/// counted in `further`.
///
/// # Errors
/// The shard cannot be read, is compressed, truncated, or no tar file; two members of one sample hold the same.
pub fn index(shard: &Path, further: &mut Further) -> Result<ShardIndex> {
    let mut file = input::open(shard)?;
    let size = file.metadata().map_err(|e| Error::io(shard, &e))?.len();
    let mut magic = [0; 2];
    if file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b] {
        return Err(Error::file(shard, "is compressed, so its videos cannot be read in place", "run gunzip on it"));
    }
    file.rewind().map_err(|e| Error::io(shard, &e))?;
    let mut samples = Samples::default();
    for (count, member) in (Members { shard, file: BufReader::new(file), at: 0, size }).enumerate() {
        let (member, content) = member?;
        if count >= MOST_MEMBERS {
            let problem = format!("has more than {MOST_MEMBERS} members");
            return Err(Error::file(shard, problem, "split it; a shard usually has some thousands"));
        }
        if is_of_macos(&member.name) {
            samples.index.foreign += 1;
        } else {
            samples.add(member, content, further)?;
        }
    }
    Ok(samples.index)
}

/// Whether the member `name` is one that macOS adds to archives: resource forks of files and folders, looks of windows.
fn is_of_macos(name: &str) -> bool {
    let mut parts = name.split('/');
    let last = parts.next_back().unwrap_or(name);
    last.starts_with("._") || last == ".DS_Store" || parts.any(|part| part == "__MACOSX")
}

/// `name` without `./` and doubled slashes, which other members of its sample may lack.
fn plain(name: &str) -> String {
    name.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

/// What a member is, by its extension.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Video,
    Text,
    Json,
}

/// The key and the kind of the member `name`; nothing for a member of another kind. Keys end before the extension
/// alone: `ID.0.mp4` and `ID.10.5.mp4` are clips of one video.
fn key_and_kind(name: &str) -> Option<(&str, Kind)> {
    let (key, extension) = name.rsplit_once('.')?;
    let kind = match extension.to_lowercase().as_str() {
        "json" => Kind::Json,
        text if TEXT.contains(&text) => Kind::Text,
        _ if is_video_name(name) => Kind::Video,
        _ => return None,
    };
    (!key.is_empty() && !key.ends_with('/')).then_some((key, kind))
}

#[derive(Default)]
struct Samples {
    index: ShardIndex,
    by_key: HashMap<String, usize>,
}

impl Samples {
    fn add(&mut self, member: ShardMember, content: Option<Vec<u8>>, further: &mut Further) -> Result<()> {
        let name = plain(&member.name);
        let Some((key, kind)) = key_and_kind(&name) else { return Ok(()) };
        let list = &mut self.index.samples;
        let place = *self.by_key.entry(key.to_owned()).or_insert(list.len());
        if place == list.len() {
            list.push(Sample { key: key.to_owned(), ..Sample::default() });
        }
        let sample = &mut list[place];
        let other = match kind {
            Kind::Video => sample.video.as_ref().map(|video| &video.name),
            Kind::Text => sample.text.as_ref(),
            Kind::Json => sample.json.as_ref(),
        };
        if let Some(other) = other {
            let problem = format!("has two members for one sample: {} and {}", shown(other), shown(&member.name));
            return Err(Error::file(&member.shard, problem, "give each sample a name of its own"));
        }
        match kind {
            Kind::Video => sample.video = Some(member),
            Kind::Text => sample.caption_text(member, text(content)),
            Kind::Json => sample.caption_json(member, text(content), further),
        }
        Ok(())
    }
}

impl Sample {
    /// A text member's caption; it has precedence over the one in a JSON member, whose faults then do not matter.
    fn caption_text(&mut self, member: ShardMember, text: std::result::Result<String, String>) {
        match text {
            Ok(text) if !text.trim().is_empty() => {
                text.trim().clone_into(&mut self.caption);
                self.warning = self.problem.take();
            }
            Ok(_) => {}
            Err(problem) => self.problem = Some(member.fault(&problem)),
        }
        self.text = Some(member.name);
    }

    fn caption_json(&mut self, member: ShardMember, text: std::result::Result<String, String>, further: &mut Further) {
        match text.and_then(|text| said(&text, further)) {
            Err(problem) if self.caption.is_empty() => self.problem = Some(member.fault(&problem)),
            Err(problem) => self.warning = Some(member.fault(&problem)),
            Ok(said) => {
                if let Some(problem) = &said.span_problem {
                    self.span_problem = Some(member.fault(&format!("cannot be used: {problem}")));
                }
                self.said = said;
            }
        }
        self.json = Some(member.name);
    }

    /// The captions with the parts of the video that they belong to: those of the JSON member, or the text member's with
    /// the JSON member's span.
    ///
    /// # Errors
    /// Several spans for one text.
    pub fn parts(&self) -> std::result::Result<Vec<CaptionPart>, String> {
        if let Some(problem) = &self.span_problem {
            return Err(problem.clone());
        }
        match (&self.said.parts[..], self.caption.is_empty()) {
            ([], true) => Ok(vec![(Vec::new(), None, None)]),
            ([], false) => Ok(vec![(vec![self.caption.clone()], None, None)]),
            (parts, true) => Ok(parts.to_vec()),
            ([(_, start, end)], false) => Ok(vec![(vec![self.caption.clone()], *start, *end)]),
            (parts, false) => Err(format!("has {} spans in its .json and one text in its text member", parts.len())),
        }
    }
}

/// What a sample's JSON member says.
fn said(text: &str, further: &mut Further) -> std::result::Result<ShardCaption, String> {
    let fields: Value = json_text(text).map_err(|e| format!("is not JSON: {}", shown(&e.to_string())))?;
    let Value::Object(fields) = fields else { return Err("holds no object of keys".into()) };
    ShardCaption::of(fields, further).map_err(|problem| format!("cannot be used: {problem}"))
}

/// A member's content as text.
fn text(content: Option<Vec<u8>>) -> std::result::Result<String, String> {
    let bytes = content.ok_or_else(|| format!("has more than {MOST_TEXT} bytes, too many for a caption"))?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".into())
}

/// A member, and its content where that is a text; the content is absent where it is too long for one.
type Entry = (ShardMember, Option<Vec<u8>>);

/// The members of a tar file that are files. The `tar` crate reads their headers; walking from one to the next is done
/// here because the crate would read a long name of 8 GB into memory.
struct Members<'a> {
    shard: &'a Path,
    file: BufReader<File>,
    /// Where the next header begins.
    at: u64,
    size: u64,
}

impl Iterator for Members<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl Members<'_> {
    fn advance(&mut self) -> Result<Option<Entry>> {
        const BLOCK: u64 = 512;
        let (mut name, mut length) = (None, None);
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let header = tar::Header::from_byte_slice(&header);
            let broken = |e: io::Error| self.broken(&e.to_string());
            let own = header.entry_size().map_err(broken)?;
            let kind = header.entry_type();
            let describes = kind.is_gnu_longname() || kind.is_pax_local_extensions();
            let size = if describes { own } else { length.take().unwrap_or(own) };
            let start = self.at + BLOCK;
            let next = size.checked_next_multiple_of(BLOCK).and_then(|size| start.checked_add(size));
            self.at = next.ok_or_else(|| self.broken("a member of impossible size"))?;
            if kind.is_gnu_longname() {
                name = Some(self.bytes(start, size, LONGEST_NAME)?);
            } else if kind.is_pax_local_extensions() {
                let extensions = self.bytes(start, size, LONGEST_NAME)?;
                for extension in tar::PaxExtensions::new(&extensions).flatten() {
                    match extension.key_bytes() {
                        b"path" => name = Some(extension.value_bytes().to_vec()),
                        b"size" => length = extension.value().ok().and_then(|value| value.parse().ok()),
                        _ => {}
                    }
                }
            } else if !kind.is_gnu_longlink() && !kind.is_pax_global_extensions() {
                let bytes = name.take().unwrap_or_else(|| header.path_bytes().into_owned());
                if kind.is_file() || kind.is_contiguous() {
                    let name = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
                    return self
                        .entry(ShardMember { shard: self.shard.into(), offset: start, length: size, name })
                        .map(Some);
                }
            }
        }
    }

    /// The next header; none at the end of the archive.
    fn header(&mut self) -> Result<Option<[u8; 512]>> {
        let mut header = [0; 512];
        if self.at >= self.size {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(self.at)).map_err(|e| Error::io(self.shard, &e))?;
        self.file.read_exact(&mut header).map_err(|_| self.broken("it ends within a header"))?;
        if header.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let sum: u32 = header[..148].iter().chain(&header[156..]).map(|&byte| u32::from(byte)).sum::<u32>() + 8 * 32;
        match tar::Header::from_byte_slice(&header).cksum() {
            Ok(stated) if stated == sum => Ok(Some(header)),
            _ => Err(self.broken("a header with a wrong checksum")),
        }
    }

    fn entry(&mut self, member: ShardMember) -> Result<Entry> {
        if member.offset.saturating_add(member.length) > self.size {
            return Err(truncated(self.shard, &member.name));
        }
        let is_text = key_and_kind(&member.name).is_some_and(|(_, kind)| kind != Kind::Video);
        let content = (is_text && member.length <= MOST_TEXT)
            .then(|| self.bytes(member.offset, member.length, MOST_TEXT))
            .transpose()?;
        Ok((member, content))
    }

    fn bytes(&mut self, start: u64, length: u64, most: u64) -> Result<Vec<u8>> {
        if length > most {
            return Err(self.broken(&format!("a name of {length} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        self.file.seek(SeekFrom::Start(start)).map_err(|e| Error::io(self.shard, &e))?;
        self.file.read_exact(&mut bytes).map_err(|_| self.broken("it ends within a member"))?;
        Ok(bytes)
    }

    fn broken(&self, problem: &str) -> Error {
        Error::file(self.shard, format!("is not a readable tar file: {}", shown(problem)), "obtain it again")
    }
}

fn truncated(shard: &Path, name: &str) -> Error {
    Error::file(shard, format!("ends before its member {} does", shown(name)), "obtain the shard again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(folder: &Path, name: &str, members: &[(&str, &[u8])]) -> PathBuf {
        let path = folder.join(name);
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.finish().unwrap();
        path
    }

    fn read(path: &Path) -> Result<Vec<Sample>> {
        Ok(index(path, &mut Further::default())?.samples)
    }

    fn caption(sample: &Sample) -> String {
        sample.parts().unwrap()[0].0.join("|")
    }

    fn content(member: &ShardMember) -> Vec<u8> {
        let mut bytes = Vec::new();
        member.copy(&mut bytes).unwrap().unwrap();
        bytes
    }

    /// Keys and captions of a shard of `members`.
    fn keys(members: &[(&str, &[u8])]) -> Result<Vec<(String, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let samples = read(&shard(folder.path(), "0.tar", members))?;
        Ok(samples.into_iter().map(|sample| (sample.key.clone(), caption(&sample))).collect())
    }

    #[test]
    fn keys_end_before_the_extension_and_not_at_the_first_dot() {
        let clips = ["ID.0", "ID.1", "ID.10.5", "ID.10.5.20", "a.b/c.mp4.2", "./v.1"];
        let names: Vec<[String; 3]> =
            clips.iter().map(|key| ["mp4", "TXT", "json"].map(|end| format!("{key}.{end}"))).collect();
        let members: Vec<(&str, &[u8])> = names
            .iter()
            .flat_map(|[video, text, json]| {
                [(video.as_str(), &b"v"[..]), (text.as_str(), video.as_bytes()), (json.as_str(), b"{}")]
            })
            .collect();
        let found = keys(&members).unwrap();
        assert_eq!(found.len(), clips.len());
        for ((key, caption), clip) in found.iter().zip(clips) {
            assert_eq!(
                (key.trim_start_matches("./"), caption.as_str()),
                (clip.trim_start_matches("./"), &*format!("{clip}.mp4"))
            );
        }
    }

    #[test]
    fn what_macos_adds_is_counted_and_dots_and_slashes_before_a_name_make_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let members: [(&str, &[u8]); 7] = [
            ("./a.1.mp4", b"v"),
            ("a.1.txt", b"one"),
            ("._a.1.mp4", b"fork"),
            ("__MACOSX/._b.mp4", b"fork"),
            ("x/.DS_Store", b"looks"),
            ("x//b.mp4", b"v"),
            ("x/b.txt", b"two"),
        ];
        let index = index(&shard(folder.path(), "0.tar", &members), &mut Further::default()).unwrap();
        let found: Vec<_> = index.samples.iter().map(|sample| (sample.key.as_str(), caption(sample))).collect();
        assert_eq!(found, [("a.1", "one".to_owned()), ("x/b", "two".to_owned())]);
        assert!(index.samples.iter().all(|sample| sample.video.is_some()) && index.foreign == 3);
    }

    #[test]
    fn spans_of_a_json_member_are_those_of_its_captions_or_of_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let members: [(&str, &[u8]); 8] = [
            ("0.json", br#"{"caption": "c", "start": "0:01", "end_time": 2.5, "fps": 30}"#),
            ("0.txt", b"t"),
            ("1.json", br#"{"captions": ["a", "b"], "timestamps": [[0, 1], [1, "2"]], "fps": 25}"#),
            ("2.json", br#"{"captions": ["a", "b"], "timestamps": [[0, 1], [1, 2]]}"#),
            ("2.txt", b"t"),
            ("3.json", br#"{"caption": "c", "start": "soon"}"#),
            ("4.json", br#"{"start": "soon"}"#),
            ("4.txt", b"t"),
        ];
        let mut further = Further::default();
        let samples = index(&shard(folder.path(), "0.tar", &members), &mut further).unwrap().samples;
        let own = |text: &str| vec![text.to_owned()];
        assert_eq!(samples[0].parts().unwrap(), [(own("t"), Some(1.0), Some(2.5))]);
        assert_eq!(samples[1].parts().unwrap(), [(own("a"), Some(0.0), Some(1.0)), (own("b"), Some(1.0), Some(2.0))]);
        assert!(samples[2].parts().unwrap_err().contains("2 spans"));
        for sample in &samples[3..] {
            assert!(sample.parts().unwrap_err().contains("its start is `soon`"), "with a text member, too");
        }
        assert_eq!(further.into_counts()["fps"], 2);
    }

    #[test]
    fn members_of_a_sample_need_not_stand_together_but_must_not_clash() {
        let apart =
            keys(&[("a.mp4", b"1"), ("b.mp4", b"2"), ("a.txt", b"A"), ("a.jpg", b"x"), ("b.txt", b"B")]).unwrap();
        assert_eq!(apart, [("a", "A"), ("b", "B")].map(|(k, c)| (k.to_owned(), c.to_owned())));
        for clash in [
            [("a.mp4", &b"1"[..]), ("a.webm", b"2")],
            [("a.txt", b"1"), ("a.caption", b"2")],
            [("a.json", b"{}"), ("a.JSON", b"{}")],
        ] {
            let message = keys(&clash).unwrap_err().to_string();
            assert!(clash.iter().all(|(name, _)| message.contains(name)), "{message}");
        }
    }

    #[test]
    fn a_faulty_caption_is_the_samples_own_fault() {
        let folder = tempfile::tempdir().unwrap();
        let members: [(&str, &[u8]); 14] = [
            ("0.json", b"{\"caption\": \"of json\", \"score\": NaN}"),
            ("0.txt", b"of text"),
            ("1.txt", b"of text"),
            ("1.json", b"{\"caption\": "),
            ("2.json", b"{\"caption\": "),
            ("2.txt", b"of text"),
            ("3.txt", b" \n"),
            ("4.txt", b"\xff"),
            ("5.json", b"[1]"),
            ("6.json", b"{\"Caption\": [\"one\", \"\", \"two\"]}"),
            ("7.json", b"{\"caption\": null, \"text\": \"x\"}"),
            ("8.json", b"{\"caption\": {\"a\": 1}}"),
            ("9.json", b"{\"url\": \"u\"}"),
            ("9.mp4", b"v"),
        ];
        let samples = read(&shard(folder.path(), "0.tar", &members)).unwrap();
        let captions = samples.iter().map(caption);
        assert_eq!(captions.collect::<Vec<_>>(), ["of text", "of text", "of text", "", "", "", "one|two", "x", "", ""]);
        let problems = samples.iter().map(|sample| (sample.problem.is_some(), sample.warning.is_some()));
        let (fine, odd, bad) = ((false, false), (false, true), (true, false));
        assert_eq!(problems.collect::<Vec<_>>(), [fine, odd, odd, fine, bad, bad, fine, fine, bad, fine]);
        assert!(samples[4].problem.as_ref().unwrap().contains("member 4.txt of"));
    }

    #[test]
    fn long_names_and_sizes_of_gigabytes_take_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("{}.mp4", "n".repeat(300));
        let path = shard(folder.path(), "0.tar", &[(&long, b"video")]);
        assert_eq!(read(&path).unwrap()[0].video.as_ref().unwrap().name, long);
        for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader, tar::EntryType::Regular] {
            let mut header = tar::Header::new_gnu();
            header.set_path("a.txt").unwrap();
            header.set_entry_type(kind);
            header.set_size(8 << 30);
            header.set_cksum();
            std::fs::write(&path, header.as_bytes()).unwrap();
            File::options().write(true).open(&path).unwrap().set_len((8 << 30) + 1024).unwrap();
            match read(&path) {
                Err(error) => assert!(error.to_string().contains("a name of 8589934592 bytes"), "{error}"),
                Ok(samples) => assert!(samples[0].problem.as_ref().unwrap().contains("too many for a caption")),
            }
        }
    }

    #[test]
    fn members_are_found_without_unpacking() {
        let folder = tempfile::tempdir().unwrap();
        let video = b"not really a video".repeat(77);
        let members: [(&str, &[u8]); 6] = [
            ("000000000.mp4", &video),
            ("000000000.txt", b"a dog digs in the sand\n"),
            ("000000000.json", br#"{"caption": "ignored", "status": "success"}"#),
            ("000000001.json", br#"{"caption": "rain on a window"}"#),
            ("000000001.webm", b"1234567"),
            ("000000002.txt", b"its video failed"),
        ];
        let samples = read(&shard(folder.path(), "00000.tar", &members)).unwrap();
        assert_eq!(samples.len(), 3);
        assert_eq!(caption(&samples[0]), "a dog digs in the sand");
        assert_eq!(caption(&samples[1]), "rain on a window");
        assert!(samples[2].video.is_none());
        let member = ShardMember::from_address(&samples[0].video.as_ref().unwrap().address()).unwrap();
        assert_eq!((member.offset, member.length), (512, 1386));
        assert_eq!(content(&member), video);
        assert_eq!(content(samples[1].video.as_ref().unwrap()), b"1234567");
    }

    #[test]
    fn ranges_and_lists_expand_in_order() {
        let expand = |list: &str| expand(Path::new(list)).unwrap();
        let names = expand("a/{00098..00101}.tar::b/{x,y}{1..2}.tar");
        let names: Vec<_> = names.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "a/00098.tar",
                "a/00099.tar",
                "a/00100.tar",
                "a/00101.tar",
                "b/x1.tar",
                "b/x2.tar",
                "b/y1.tar",
                "b/y2.tar"
            ]
        );
        for wrong in ["{0..99999999999}.tar", "{5..1}.tar", "{1..x}.tar", "{1..2.tar", "{1..999}{1..999}.tar"] {
            assert!(super::expand(Path::new(wrong)).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_truncated_or_compressed_shard_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = shard(folder.path(), "00000.tar", &[("a.mp4", &[7; 5000])]);
        File::options().write(true).open(&path).unwrap().set_len(2000).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("ends before its member a.mp4 does"));
        std::fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("compressed"));
    }
}
