//! Scorers whose knowledge is known.

use std::collections::HashMap;
use svitt::Result;
use svitt::eval::choice::{ChoiceScorer, ChoiceSet, Scored};
use svitt::eval::{ClipPlan, ClipSampling, EncodeStats, FileVideos, FrameOrder};

/// Frames of a clip.
pub const FRAMES: usize = 8;
/// Pixels of a side.
pub const SIZE: usize = 4;

/// Reads whether a clip gets brighter or darker, if it `knows_order`; else only how bright it is all in all. Prefers a
/// text that speaks of a change of brightness, and has its own taste among texts, which has nothing to do with the clip.
pub struct Scripted<'a> {
    pub set: &'a ChoiceSet,
    pub videos: &'a FileVideos,
    pub knows_order: bool,
}

impl ChoiceScorer for Scripted<'_> {
    fn score(&mut self, order: FrameOrder, wanted: &[Vec<usize>]) -> Result<Scored> {
        let plan = ClipPlan { frames: FRAMES, clips: 1, sampling: ClipSampling::Contiguous, order };
        let look = |video: usize| -> Result<Vec<f32>> {
            let pixels = plan.read(self.videos, video)?;
            let levels: Vec<f32> = pixels.chunks(pixels.len() / FRAMES).map(|f| f.iter().sum::<f32>()).collect();
            let size = (pixels.len() / FRAMES) as f32;
            let mean = levels.iter().sum::<f32>() / (size * FRAMES as f32);
            let change = (levels[FRAMES - 1] - levels[0]) / size;
            let change = if change.abs() > 0.1 { change.signum() } else { 0.0 };
            Ok(vec![if self.knows_order { change } else { 0.0 }, 1.0, 1.0 + 0.01 * mean])
        };
        let videos = (0..wanted.len()).map(look).collect::<Result<Vec<_>>>()?;
        let taste = |place: usize| ((place * 7_919 + 13) % 101) as f32 / 1_000.0;
        let read = |(place, text): (usize, &String)| {
            let change = change_said(text);
            vec![2.0 * change, change.abs(), if self.knows_order { 0.0 } else { taste(place) }]
        };
        let texts: Vec<Vec<f32>> = self.set.texts.iter().enumerate().map(read).collect();
        let mut scored = Scored { videos, texts, matching: HashMap::new(), coverage: EncodeStats::default() };
        for (video, texts) in wanted.iter().enumerate() {
            // Any growing function of the same.
            texts.iter().for_each(|&text| {
                scored.matching.insert((video, text), 3.0 * scored.dual(video, text) - 1.0);
            });
        }
        Ok(scored)
    }
}

/// 1 for a text that speaks of dark before bright, -1 for the other way round, 0 for any other.
fn change_said(text: &str) -> f32 {
    match text {
        "Opening something" | "Uncovering something" => return 1.0,
        "Closing something" | "Covering something with something" => return -1.0,
        _ => {}
    }
    let (Some(dark), Some(bright)) = (text.find("dark"), text.find("bright")) else { return 0.0 };
    let said = if dark < bright { 1.0 } else { -1.0 };
    if text.contains(" after ") { -said } else { said }
}
