//! The results of a search as one page with pictures.

use super::FrameChoice;
use super::clips::read_span;
use super::results::{SearchResult, clock};
use super::words::WordResult;
use crate::Result;
use crate::printable::file_name;
use crate::viz::{Canvas, Page};
use rayon::prelude::*;
use std::path::Path;
use svitt_video::{ReaderOptions, VideoReader};

/// Pictures of a clip, and the box each is fitted into.
const PICTURES: usize = 4;
const BOX: [usize; 2] = [228, 160];

/// A page of `results`: for each clip its file, time span and score, and four moments of it, read from the file now; then
/// the same of `words`, with what is said.
///
/// # Errors
/// A picture that cannot be encoded.
pub fn results_page(title: &str, note: &str, results: &[SearchResult], words: &[WordResult]) -> Result<Page> {
    let mut page = Page::new(title);
    page.paragraph(note);
    if results.is_empty() {
        page.paragraph("Nothing was found: the index holds no clips.");
    }
    let pictures: Vec<Vec<Canvas>> =
        results.par_iter().map(|clip| moments(&clip.path, [clip.start, clip.end])).collect();
    for (clip, pictures) in results.iter().zip(&pictures) {
        let heading = format!("{}. {}", clip.rank, file_name(&clip.path));
        page.card(&heading, &describe(clip), Some(f64::from(clip.score)), pictures)?;
    }
    if !words.is_empty() {
        page.heading("Said in the videos");
    }
    let pictures: Vec<Vec<Canvas>> = words.par_iter().map(|said| moments(&said.path, [said.start, said.end])).collect();
    for (said, pictures) in words.iter().zip(&pictures) {
        let heading = format!("{}. {}", said.label(), file_name(&said.path));
        let share = (said.literal > 0.0).then_some(f64::from(said.literal));
        let note = format!("“{}” · {} to {} · {}", said.shown_text(), clock(said.start), clock(said.end), said.file);
        page.card(&heading, &note, share, pictures)?;
    }
    Ok(page)
}

fn describe(clip: &SearchResult) -> String {
    let score = match clip.matched {
        Some(matched) => format!("score {:.4} (match {matched:.4}, cosine {:.4})", clip.score, clip.cosine),
        None => format!("cosine {:.4}", clip.cosine),
    };
    format!("{} to {} · {score} · {}", clock(clip.start), clock(clip.end), clip.file)
}

/// Four moments of a clip; none if its file cannot be read any more.
fn moments(path: &Path, span: [f64; 2]) -> Vec<Canvas> {
    let read = VideoReader::open(path, &ReaderOptions::default())
        .and_then(|mut reader| read_span(&mut reader, span, PICTURES, FrameChoice::default()));
    let Ok(Some(frames)) = read else { return Vec::new() };
    let picture = |index| {
        let whole = Canvas::from_rgb(frames.width, frames.height, frames.frame(index).to_vec()).ok()?;
        Some(whole.fitted(BOX[0], BOX[1]))
    };
    (0..frames.count).filter_map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::printable;
    use std::path::PathBuf;

    #[test]
    fn names_are_text_and_missing_files_have_no_pictures() {
        let name = "/nowhere/<img src=x onerror=alert(1)>'\"&\n.mp4";
        let results = SearchResult {
            rank: 1,
            score: 0.75,
            cosine: 0.5,
            matched: Some(0.75),
            log_odds: None,
            evidence: None,
            file: printable(Path::new(name)),
            start: 3601.25,
            end: 3661.0,
            best: None,
            path: PathBuf::from(name),
        };
        let html = results_page("a <b> walks", "1 of 1", &[results], &[]).unwrap().html();
        assert!(
            !html.contains("<img") && html.contains("&lt;img src=x onerror=alert(1)&gt;&#39;&quot;&amp;\\n"),
            "{html}"
        );
        assert!(html.contains("a &lt;b&gt; walks") && html.contains("1:00:01.3 to 1:01:01.0"), "{html}");
    }
}
