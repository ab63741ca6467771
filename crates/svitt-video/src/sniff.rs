//! File type of a video from its first bytes; cheap enough for every line of a manifest.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::error::{Result, VideoError};
use super::native;

/// The family of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// mp4, mov, m4v, 3gp.
    Mp4,
    /// webm, mkv.
    Matroska,
    /// Anything else that is known by its first bytes, for a person: `AVI`.
    Other(&'static str),
}

impl Container {
    /// The family of the file, `None` if its first bytes are those of no video.
    pub fn of(file: &mut File) -> Option<Self> {
        let head = head(file, 600);
        let at = |offset: usize, text: &[u8]| head.get(offset..offset + text.len()) == Some(text);
        let mp4 = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"];
        Some(match () {
            () if mp4.iter().any(|kind| at(4, *kind)) => Self::Mp4,
            () if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) => Self::Matroska,
            () if at(0, b"RIFF") && at(8, b"AVI ") => Self::Other("AVI"),
            () if at(0, &[0, 0, 1, 0xba]) => Self::Other("an MPEG program stream"),
            () if at(0, &[0, 0, 1, 0xb3]) => Self::Other("an MPEG video stream"),
            () if at(0, &[0x47]) && at(188, &[0x47]) && at(376, &[0x47]) => Self::Other("an MPEG transport stream"),
            () if at(0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11]) => Self::Other("WMV"),
            () if at(0, b"FLV") => Self::Other("FLV"),
            () if at(0, b"OggS") => Self::Other("Ogg"),
            () if at(0, b"GIF8") => Self::Other("GIF"),
            () => return None,
        })
    }

    /// Codec and container for a person, such as `MPEG-4 in AVI`.
    pub fn format(self, file: &mut File) -> String {
        match self {
            Self::Other("AVI") => format!("{} in AVI", avi_codec(&head(file, 4096))),
            Self::Other("an MPEG program stream") => "MPEG video in an MPEG program stream".to_owned(),
            Self::Other(name) => format!("video in {name}"),
            known => native::foreign_format(known, file).unwrap_or_else(|| "this profile of its codec".to_owned()),
        }
    }
}

fn head(file: &mut File, most: u64) -> Vec<u8> {
    let mut head = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.by_ref().take(most).read_to_end(&mut head));
    if read.is_err() {
        head.clear();
    }
    head
}

/// The codec that the first stream header of an AVI names.
fn avi_codec(head: &[u8]) -> String {
    let Some(place) = head.windows(4).position(|window| window == b"strh") else {
        return "video".to_owned();
    };
    let handler = head.get(place + 12..place + 16).unwrap_or(b"").to_ascii_uppercase();
    match handler.as_slice() {
        b"XVID" | b"DIVX" | b"FMP4" | b"MP4V" | b"DX50" | b"M4S2" => "MPEG-4".to_owned(),
        b"DIV3" | b"MP43" | b"MP42" => "MS MPEG-4".to_owned(),
        b"H264" | b"X264" | b"AVC1" => "H.264".to_owned(),
        b"MJPG" => "Motion JPEG".to_owned(),
        other if other.iter().all(u8::is_ascii_alphanumeric) && !other.is_empty() => {
            format!("`{}` video", String::from_utf8_lossy(other))
        }
        _ => "video".to_owned(),
    }
}

/// The format of a file that only the `ffmpeg` program can read, such as `VP8 in WebM`; `None` if the built-in reader
/// knows it, or if it is no video at all. Reads the headers alone.
///
/// # Errors
/// [`VideoError::NotFound`] if the file cannot be opened.
pub fn needs_ffmpeg(path: &Path) -> Result<Option<String>> {
    let mut file = File::open(path).map_err(|error| VideoError::io(path, &error))?;
    Ok(match Container::of(&mut file) {
        Some(other @ Container::Other(_)) => Some(other.format(&mut file)),
        Some(known) => native::foreign_format(known, &mut file),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_named_from_their_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut avi = b"RIFF\x10\0\0\0AVI LIST\x10\0\0\0hdrlstrh\x38\0\0\0vidsxvid".to_vec();
        avi.resize(400, 0);
        let cases: [(&str, &[u8], Option<&str>); 4] = [
            ("x.avi", &avi, Some("MPEG-4 in AVI")),
            ("x.mpg", &[0, 0, 1, 0xba, 0x44], Some("MPEG video in an MPEG program stream")),
            ("x.html", b"<html>404</html>", None),
            ("empty.mp4", b"", None),
        ];
        for (name, bytes, expected) in cases {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(needs_ffmpeg(&path).unwrap().as_deref(), expected, "{name}");
        }
        assert!(matches!(needs_ffmpeg(&folder.path().join("none")), Err(VideoError::NotFound { .. })));
    }
}
