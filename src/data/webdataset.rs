//! Webdataset tar shards, read in place: an index of headers says where each video lies, nothing is unpacked.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::import::starts_with;
use crate::{Error, Result};

/// Shards one brace expression may stand for; WebVid-10M has 10,728.
const MOST_SHARDS: usize = 100_000;
/// Bytes of a caption or JSON member beyond which the shard is not what it claims to be.
const MOST_TEXT: u64 = 1 << 20;
/// Extensions of members that are videos.
const VIDEO: [&str; 10] = ["mp4", "webm", "mov", "mkv", "avi", "mpg", "mpeg", "m4v", "ts", "gif"];

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
    /// The members' common name up to its first dot.
    pub key: String,
    /// The video, if there is one.
    pub video: Option<ShardMember>,
    /// The caption: the `.txt` member, or `caption` in the `.json` member.
    pub caption: Option<String>,
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

    /// Reads the member's content.
    ///
    /// # Errors
    /// The shard cannot be read, or is shorter than it was when it was indexed.
    pub fn read(&self) -> Result<Vec<u8>> {
        let mut file = File::open(&self.shard).map_err(|e| Error::io(&self.shard, &e))?;
        file.seek(SeekFrom::Start(self.offset)).map_err(|e| Error::io(&self.shard, &e))?;
        let mut content = Vec::new();
        file.take(self.length).read_to_end(&mut content).map_err(|e| Error::io(&self.shard, &e))?;
        if (content.len() as u64) < self.length {
            return Err(truncated(&self.shard, &self.name));
        }
        Ok(content)
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
        Error::setting("--annotations", format!("`{pattern}` {problem}"), "write {00000..00123} or {a,b,c}")
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
    Some((first..=end).map(|number| format!("{number:0width$}")).collect())
}

/// The samples of a shard, in file order; only headers, captions and JSON members are read.
///
/// # Errors
/// The shard cannot be read, is compressed, truncated, or no tar file.
pub fn index(shard: &Path) -> Result<Vec<Sample>> {
    if starts_with(shard, &[0x1f, 0x8b]) {
        return Err(Error::file(shard, "is compressed, so its videos cannot be read in place", "run gunzip on it"));
    }
    let file = File::open(shard).map_err(|e| Error::io(shard, &e))?;
    let size = file.metadata().map_err(|e| Error::io(shard, &e))?.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let broken = |e: std::io::Error| Error::file(shard, format!("is not a readable tar file: {e}"), "obtain it again");
    let mut samples: Vec<Sample> = Vec::new();
    for entry in archive.entries_with_seek().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let member = ShardMember { shard: shard.into(), offset: entry.raw_file_position(), length: entry.size(), name };
        if member.offset.saturating_add(member.length) > size {
            return Err(truncated(shard, &member.name));
        }
        let Some((key, extension)) = key_and_extension(&member.name) else { continue };
        if samples.last().is_none_or(|sample| sample.key != key) {
            samples.push(Sample { key, ..Sample::default() });
        }
        if let Some(sample) = samples.last_mut() {
            add(sample, member, &extension, &mut entry)?;
        }
    }
    Ok(samples)
}

fn add(sample: &mut Sample, member: ShardMember, extension: &str, content: &mut impl Read) -> Result<()> {
    match extension {
        "txt" | "caption" => sample.caption = Some(text(&member, content)?.trim().to_owned()),
        "json" if sample.caption.is_none() => {
            let fields: Value = serde_json::from_str(&text(&member, content)?).map_err(|e| {
                Error::file(&member.shard, format!("member {} is not JSON: {e}", member.name), "write the shard again")
            })?;
            sample.caption = fields.get("caption").and_then(Value::as_str).map(|caption| caption.trim().to_owned());
        }
        _ if VIDEO.contains(&extension) => sample.video = Some(member),
        _ => {}
    }
    Ok(())
}

fn text(member: &ShardMember, content: &mut impl Read) -> Result<String> {
    let wrong = |problem: String| {
        Error::file(&member.shard, format!("member {} {problem}", member.name), "write the shard again")
    };
    if member.length > MOST_TEXT {
        return Err(wrong(format!("holds {} bytes, too many for a caption", member.length)));
    }
    let mut text = String::new();
    content.read_to_string(&mut text).map_err(|e| wrong(format!("is no text: {e}")))?;
    Ok(text)
}

/// `dir/000.seg.mp4` has the key `dir/000` and the extension `mp4`: keys end at the first dot of the file name.
fn key_and_extension(name: &str) -> Option<(String, String)> {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = start + name.get(start..)?.find('.')?;
    let extension = name.rsplit('.').next()?.to_lowercase();
    (dot > start).then(|| (name[..dot].to_owned(), extension))
}

fn truncated(shard: &Path, name: &str) -> Error {
    Error::file(shard, format!("ends before its member {name} does"), "obtain the shard again")
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
        let samples = index(&shard(folder.path(), "00000.tar", &members)).unwrap();
        assert_eq!(samples.len(), 3);
        assert_eq!(samples[0].caption.as_deref(), Some("a dog digs in the sand"));
        assert_eq!(samples[1].caption.as_deref(), Some("rain on a window"));
        assert!(samples[2].video.is_none());
        let member = ShardMember::from_address(&samples[0].video.as_ref().unwrap().address()).unwrap();
        assert_eq!((member.offset, member.length), (512, 1386));
        assert_eq!(member.read().unwrap(), video);
        assert_eq!(samples[1].video.as_ref().unwrap().read().unwrap(), b"1234567");
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
        for wrong in ["{0..99999999999}.tar", "{1..x}.tar", "{1..2.tar", "{1..999}{1..999}.tar"] {
            assert!(super::expand(Path::new(wrong)).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_truncated_or_compressed_shard_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = shard(folder.path(), "00000.tar", &[("a.mp4", &[7; 5000])]);
        File::options().write(true).open(&path).unwrap().set_len(2000).unwrap();
        assert!(index(&path).unwrap_err().to_string().contains("ends before its member a.mp4 does"));
        std::fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(index(&path).unwrap_err().to_string().contains("compressed"));
    }
}
