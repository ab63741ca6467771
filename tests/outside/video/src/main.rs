//! Reads the middle frames of four equal parts of each video named on the command line.

use std::path::Path;
use svitt_video::{ClipRequest, FrameSampling, ReaderOptions, read_clip};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    assert!(!files.is_empty(), "name a video");
    for file in files {
        let request = ClipRequest::new(4, FrameSampling::Middle);
        let clip = read_clip(Path::new(&file), &request, || 0.5, &ReaderOptions::default())?;
        let frames = clip.frames;
        assert_eq!(frames.data.len(), 4 * frames.width * frames.height * 3);
        let spread = frames.data.iter().max().unwrap() - frames.data.iter().min().unwrap();
        assert!(spread > 50, "{file}: pictures have light and dark");
        println!(
            "{file}: frames {:?} of {} x {}, by {}",
            clip.indices,
            frames.width,
            frames.height,
            clip.reader.decoder()
        );
    }
    Ok(())
}
