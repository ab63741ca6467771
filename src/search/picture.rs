//! Picture files and bytes as single frames.

use crate::{Error, Result, input};
use image::{ImageReader, Limits};
use std::io::Cursor;
use std::path::Path;
use svitt_video::Frames;

/// Extensions that are taken for pictures, in any case.
const EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

/// Bytes of a picture file: the largest that cameras write are below this.
pub const MOST_BYTES: u64 = 64 << 20;

/// Pixels along a side, and bytes that decoding may take.
const MOST_SIDE: u32 = 16_384;
const MOST_MEMORY: u64 = 512 << 20;

/// Whether `name` ends like a picture's.
pub(super) fn is_picture_name(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// The picture file at `path` as one frame.
///
/// # Errors
/// It cannot be read, or is no PNG, JPEG, WebP or BMP picture.
pub(super) fn read(path: &Path) -> Result<Frames> {
    decode_picture(&input::read(path, MOST_BYTES)?).map_err(|problem| {
        Error::file(path, format!("is no picture that can be read: {problem}"), "give a PNG, JPEG, WebP or BMP file")
    })
}

/// The picture in `bytes` as one frame, whatever it is called.
///
/// # Errors
/// What is wrong with it.
pub fn decode_picture(bytes: &[u8]) -> std::result::Result<Frames, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MOST_SIDE), Some(MOST_SIDE));
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    let picture = reader.decode().map_err(|e| e.to_string())?.into_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Ok(Frames { count: 1, height, width, data: picture.into_raw() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_become_frames_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let mut canvas = crate::viz::Canvas::new(3, 2, [10, 20, 30]);
        canvas.set(2, 1, [200, 0, 0]);
        canvas.write_png(&path).unwrap();
        let frame = read(&path).unwrap();
        assert_eq!((frame.count, frame.width, frame.height), (1, 3, 2));
        assert_eq!((&frame.data[..3], &frame.data[15..]), (&[10, 20, 30][..], &[200, 0, 0][..]));
        std::fs::write(&path, b"\x89PNG\r\n\x1a\nno").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("a.png: is no picture that can be read"), "{message}");
        assert!(is_picture_name("x/A.JPG") && !is_picture_name("a.mp4") && !is_picture_name("png"));
    }
}
