//! File type of a video from its first bytes; cheap enough for every line of a manifest.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::error::{Result, VideoError};
use super::native;

/// Bytes that are searched for the first packet of a transport stream that was cut anywhere.
const SEARCHED: u64 = 64 << 10;

/// Boxes of an mp4 file that are walked to find one that is known.
const WALKED: usize = 16;

/// The family of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// mp4, mov, m4v, 3gp.
    Mp4,
    /// webm, mkv.
    Matroska,
    /// Anything else that is known by its first bytes.
    Other(Foreign),
    /// A format that no reader here decodes, for a person.
    Unreadable(&'static str),
}

/// A format that is left to the `ffmpeg` program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Name for a person: `AVI`.
    pub name: &'static str,
    /// The one demuxer of the program that may read it. Left to guess, the program would follow playlists to other
    /// files.
    pub demuxer: &'static str,
}

/// Where a signature lies, its bytes, the format's name and its demuxer.
type Signature = (usize, &'static [u8], &'static str, &'static str);

const SIGNATURES: [Signature; 27] = [
    (8, b"AVI ", "AVI", "avi"),
    (8, b"AVIX", "AVI", "avi"),
    (0, &[0, 0, 1, 0xba], "an MPEG program stream", "mpeg"),
    (0, &[0, 0, 1, 0xb3], "an MPEG video stream", "mpegvideo"),
    (0, &[0, 0, 1, 0xb0], "an MPEG-4 video stream", "m4v"),
    (0, &[0, 0, 1, 0xb6], "an MPEG-4 video stream", "m4v"),
    (0, &[0, 0, 0, 1, 0x67], "an H.264 stream", "h264"),
    (0, &[0, 0, 0, 1, 0x27], "an H.264 stream", "h264"),
    (0, &[0, 0, 0, 1, 0x09], "an H.264 stream", "h264"),
    (0, &[0, 0, 1, 0x67], "an H.264 stream", "h264"),
    (0, &[0, 0, 0, 1, 0x40, 1], "an HEVC stream", "hevc"),
    (0, &[0, 0, 0, 1, 0x46, 1], "an HEVC stream", "hevc"),
    (0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11], "WMV", "asf"),
    (0, b"FLV\x01", "FLV", "flv"),
    (0, b"OggS", "Ogg", "ogg"),
    (0, b"GIF8", "GIF", "gif"),
    (0, b".RMF", "RealMedia", "rm"),
    (0, b"YUV4MPEG2 ", "raw YUV", "yuv4mpegpipe"),
    (0, b"DKIF", "IVF", "ivf"),
    (0, &[6, 0x0e, 0x2b, 0x34, 2, 5, 1, 1, 0x0d, 1, 2, 1, 1, 2], "MXF", "mxf"),
    (0, b"nut/multimedia container\0", "NUT", "nut"),
    (0, &[0xb7, 0xd8, 0x00, 0x20, 0x37, 0x49, 0xda, 0x11], "WTV", "wtv"),
    // Of 525 lines, and of 625.
    (0, &[0x1f, 7, 0, 0x3f], "DV", "dv"),
    (0, &[0x1f, 7, 0, 0xbf], "DV", "dv"),
    (0, &[0xff, 0xd8, 0xff], "JPEG", "jpeg_pipe"),
    (0, b"BM", "BMP", "bmp_pipe"),
    (8, b"WEBPVP8", "WebP", "webp_pipe"),
];

/// Kinds of boxes that mp4 and mov files consist of.
const BOXES: [&[u8; 4]; 13] = [
    b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof", b"styp", b"sidx", b"uuid", b"mfra", b"pdin",
];

/// Whether mp4 and mov files consist of boxes of this kind.
pub(super) fn is_known_box(kind: &[u8]) -> bool {
    BOXES.iter().any(|known| kind == *known)
}

impl Container {
    /// The family of the file, `None` if its first bytes are those of no video.
    pub fn of(file: &mut File) -> Option<Self> {
        let head = head(file, SEARCHED);
        let at = |offset: usize, text: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(text));
        let foreign = |name, demuxer| Some(Self::Other(Foreign { name, demuxer }));
        if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
            return Some(Self::Matroska);
        }
        if at(4, b"moov") || at(4, b"ftyp") {
            return Some(Self::Mp4);
        }
        if at(0, b"RIFF") && at(8, b"WEBPVP8X") {
            // Bit 1 of the feature byte says that there is more than one picture.
            let animated = head.get(20).is_some_and(|flags| flags & 2 != 0);
            return if animated { Some(Self::Unreadable("animated WebP")) } else { foreign("WebP", "webp_pipe") };
        }
        if at(0, b"\x89PNG\r\n\x1a\n") {
            let animated = head.windows(4).take(4096).any(|window| window == b"acTL");
            return foreign("PNG", if animated { "apng" } else { "png_pipe" });
        }
        let known =
            SIGNATURES.iter().find(|(offset, bytes, ..)| at(*offset, bytes) && (*offset == 0 || at(0, b"RIFF")));
        if let Some((_, _, name, demuxer)) = known {
            return foreign(name, demuxer);
        }
        if is_transport_stream(&head) {
            return foreign("an MPEG transport stream", "mpegts");
        }
        if let Some((name, demuxer)) = cut_stream(&head) {
            return foreign(name, demuxer);
        }
        holds_a_known_box(file).then_some(Self::Mp4)
    }

    /// The demuxer of the `ffmpeg` program for this family; `None` if there is none.
    pub fn demuxer(self) -> Option<&'static str> {
        match self {
            Self::Mp4 => Some("mov"),
            Self::Matroska => Some("matroska"),
            Self::Other(foreign) => Some(foreign.demuxer),
            Self::Unreadable(_) => None,
        }
    }

    /// Codec and container for a person, such as `MPEG-4 in AVI`.
    pub fn format(self, file: &mut File) -> String {
        match self {
            Self::Other(Foreign { name: "AVI", .. }) => format!("{} in AVI", avi_codec(&head(file, 4096))),
            Self::Other(Foreign { name: "an MPEG program stream", .. }) => {
                "MPEG video in an MPEG program stream".to_owned()
            }
            Self::Other(Foreign { name, .. }) => format!("video in {name}"),
            Self::Unreadable(name) => name.to_owned(),
            known => native::foreign_format(known, file).unwrap_or_else(|| "this profile of its codec".to_owned()),
        }
    }
}

/// The program's demuxer for the file at `path`.
///
/// # Errors
/// It cannot be opened, or is in no container of videos.
pub(super) fn demuxer_of(path: &Path) -> Result<&'static str> {
    let demuxer = Container::of(&mut open_regular(path)?).and_then(Container::demuxer);
    demuxer.ok_or_else(|| VideoError::corrupt(path, "its first bytes are those of no video format"))
}

/// Opens a regular file. A named pipe or a device would block or never end, whatever its name.
///
/// # Errors
/// [`VideoError::NotFound`] if there is none.
pub(super) fn open_regular(path: &Path) -> Result<File> {
    let facts = std::fs::metadata(path).map_err(|error| VideoError::io(path, error))?;
    if facts.is_dir() {
        return Err(VideoError::no_file(path, "it is a folder"));
    }
    if !facts.is_file() {
        return Err(VideoError::no_file(path, "it is a pipe or a device, not a file"));
    }
    open_without_waiting(path).map_err(|error| VideoError::io(path, error))
}

/// Opens `path` for reading so that what has nothing to say now (`/proc/kmsg`, which calls itself a regular file) fails
/// to be read instead of waiting for more. Reading a file on a disk is as always.
///
/// # Errors
/// The system's.
pub fn open_without_waiting(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.read(true).open(path)
}

fn head(file: &mut File, most: u64) -> Vec<u8> {
    let mut head = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.by_ref().take(most).read_to_end(&mut head));
    if read.is_err() {
        head.clear();
    }
    head
}

/// Five packets in a row somewhere in `head`: of 188 bytes, of 192 with a time before each (m2ts), or of 204.
fn is_transport_stream(head: &[u8]) -> bool {
    let starts = head.len().min(SEARCHED as usize / 2);
    let packets = |start: usize, size: usize| (0..5).all(|n| head.get(start + n * size) == Some(&0x47));
    (0..starts).any(|start| head[start] == 0x47 && [188, 192, 204].iter().any(|size| packets(start, *size)))
}

/// A stream of start codes that was cut anywhere: the first one that only one kind of stream has.
fn cut_stream(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let codes = head.windows(5).filter(|window| window.starts_with(&[0, 0, 1]));
    let mut set = None;
    for code in codes {
        match (code[3], code[4]) {
            // A pack header of MPEG-2 or MPEG-1, by the bits before its clock.
            (0xba, clock) if clock >> 6 == 1 || clock >> 4 == 2 => return Some(("an MPEG program stream", "mpeg")),
            (0xb3, _) => return Some(("an MPEG video stream", "mpegvideo")),
            // Two kinds of parameter sets, one after the other.
            (0x67 | 0x27, _) => set = Some(("an H.264 stream", "h264")),
            (0x68 | 0x28, _) if set.is_some_and(|(_, demuxer)| demuxer == "h264") => return set,
            (0x42, 1) => set = Some(("an HEVC stream", "hevc")),
            (0x44, 1) if set.is_some_and(|(_, demuxer)| demuxer == "hevc") => return set,
            _ => {}
        }
    }
    None
}

/// Whether one of the first boxes is of a known kind and says so within the file.
fn holds_a_known_box(file: &mut File) -> bool {
    let Ok(length) = file.metadata().map(|facts| facts.len()) else { return false };
    let mut start = 0u64;
    for _ in 0..WALKED {
        let mut header = [0u8; 16];
        if start + 16 > length || file.seek(SeekFrom::Start(start)).is_err() || file.read_exact(&mut header).is_err() {
            return false;
        }
        let kind = &header[4..8];
        if is_known_box(kind) {
            return true;
        }
        let [short, _, long @ ..] = [&header[..4], &header[4..8], &header[8..]];
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let size = match number(short) {
            1 => number(long[0]),
            size => size,
        };
        let plausible = kind.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') && size >= 8;
        let Some(next) = start.checked_add(size).filter(|_| plausible) else { return false };
        start = next;
    }
    false
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
/// [`VideoError::NotFound`] if it is no file that can be opened.
pub fn needs_ffmpeg(path: &Path) -> Result<Option<String>> {
    let mut file = open_regular(path)?;
    Ok(match Container::of(&mut file) {
        Some(other @ Container::Other(_)) => Some(other.format(&mut file)),
        Some(known) => native::foreign_format(known, &mut file),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<Container> {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        Container::of(&mut file)
    }

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

    #[test]
    fn cut_starts_are_known_and_lists_of_other_files_are_not() {
        let demuxer = |bytes: &[u8]| of(bytes).and_then(Container::demuxer);
        let packet = |size: usize| [vec![0x47], vec![7; size - 1]].concat();
        let stream = |junk: usize, size: usize| [vec![7; junk], packet(size).repeat(8)].concat();
        for (junk, size) in [(0, 188), (101, 188), (4, 192), (0, 204), (5000, 188)] {
            assert_eq!(demuxer(&stream(junk, size)), Some("mpegts"), "{junk} bytes, then packets of {size}");
        }
        assert_eq!(demuxer(&[&[0; 40][..], &[1, 0xba, 0x44]].concat()), Some("mpeg"));
        assert_eq!(
            demuxer(b"\0\0\0\x10abcd12345678\0\0\0\x14mdat1234567890123456"),
            Some("mov"),
            "an unknown first box"
        );
        for list in ["#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "ffconcat version 1.0\nfile '../a.mp4'\n", "<?xml ?><MPD/>"]
        {
            assert_eq!(demuxer(list.as_bytes()), None, "{list}");
        }
        let webp = |flags: u8| [&b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0"[..], &[flags; 12]].concat();
        assert_eq!(of(&webp(2)), Some(Container::Unreadable("animated WebP")));
        assert_eq!(demuxer(&webp(16)), Some("webp_pipe"));
        assert_eq!([0x3f, 0xbf].map(|lines| demuxer(&[0x1f, 7, 0, lines, 0x3f])), [Some("dv"); 2]);
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_folders_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("a.mp4");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(needs_ffmpeg(&pipe).unwrap_err().to_string().contains("a pipe or a device"));
        assert!(needs_ffmpeg(folder.path()).unwrap_err().to_string().contains("a folder"));
    }
}
