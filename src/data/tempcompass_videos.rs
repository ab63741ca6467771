//! The edited videos of TempCompass, made of the plain ones by the recipe that its release gives: some are cut, one is
//! sped up; pairs follow each other or stand above each other; a video stands above itself at another speed. Reversed
//! ones are read backwards and need no file.

use super::{MediaFolder, MediaMatch, Unreadable, import::whole_json};
use crate::{Error, Result, input};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use svitt_video::edit::{Arrangement, Piece, arrange};
use svitt_video::encode::require_ffmpeg;
use svitt_video::{ReaderOptions, VideoReader};

/// Files of the recipe.
const CUTS: &str = "clip_info.json";
const SPEEDS: &str = "speed_concat_info.json";
const PAIRS: &str = "event_order_concat_info.txt";
const LARGEST_LIST: u64 = 1 << 20;
/// The video that is sped up, how much, and the seconds above which it is not yet.
const FAST: (&str, f64, f64) = ("15695290", 4.0, 30.0);
/// A video this much longer than its cut is not cut yet, seconds.
const SLACK: f64 = 0.5;

/// What [`make_tempcompass`] has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TempcompassReport {
    /// Videos written by this run.
    pub made: usize,
    /// Videos that were there already.
    pub skipped: usize,
    /// Videos that could not be made, and why.
    pub failed: Vec<Unreadable>,
}

/// The recipe.
struct Recipe {
    cuts: BTreeMap<String, Cut>,
    speeds: BTreeMap<String, f64>,
    pairs: Vec<[String; 2]>,
}

#[derive(Clone, Copy, Deserialize)]
struct Cut {
    start: f64,
    end: f64,
}

/// Makes the videos of the recipe in the folder `recipe` from the plain ones below `media`, in `target`. The plain
/// ones go there, too, cut where the recipe cuts them. `progress` is told how many of how many are done.
///
/// # Errors
/// A recipe that cannot be read, a folder without any of the videos, or no `ffmpeg` program. A video that fails is
/// listed in the report instead.
pub fn make_tempcompass(
    recipe: &Path,
    media: &Path,
    target: &Path,
    progress: &dyn Fn(usize, usize),
) -> Result<TempcompassReport> {
    let recipe = Recipe::read(recipe)?;
    let folder = MediaFolder::open(media)?;
    require_ffmpeg()?;
    std::fs::create_dir_all(target).map_err(|e| Error::io(target, &e))?;
    if std::fs::canonicalize(target).ok() == std::fs::canonicalize(media).ok() {
        return Err(Error::file(target, "is the folder of the videos themselves", "give another one as option `out`"));
    }
    let plain = recipe.plain(&folder);
    let jobs = recipe.made(target);
    let all = plain.len() + jobs.len();
    let mut report = TempcompassReport::default();
    let mut finish = |path: &Path, make: &dyn Fn() -> Result<()>| {
        match path.is_file() {
            true => report.skipped += 1,
            false => match make() {
                Ok(()) => report.made += 1,
                Err(e) => {
                    let media = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    report.failed.push(Unreadable { media, reason: e.to_string() });
                }
            },
        }
        progress(report.made + report.skipped + report.failed.len(), all);
    };
    for (id, source) in &plain {
        let path = target.join(format!("{id}.mp4"));
        finish(&path, &|| recipe.cut(id, source, &path));
    }
    for (name, arrangement) in &jobs {
        let path = target.join(name);
        finish(&path, &|| Ok(arrange(arrangement, &path)?));
    }
    Ok(report)
}

impl Recipe {
    fn read(folder: &Path) -> Result<Self> {
        let pairs = folder.join(PAIRS);
        let text = input::read_text(&pairs, LARGEST_LIST)?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let pair = |line: &str| {
            let (one, other) = line.trim().split_once(',')?;
            Some([one.trim().to_owned(), other.trim().to_owned()])
        };
        let unknown = || Error::file(&pairs, "is no list of pairs of videos", "obtain it again");
        let pairs = lines.map(pair).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
        let speeds: BTreeMap<String, f64> = whole_json(&folder.join(SPEEDS))?;
        if let Some((id, speed)) = speeds.iter().find(|(_, speed)| !(0.01..=100.0).contains(*speed)) {
            let problem = format!("says that {id} is shown {speed} times as fast");
            return Err(Error::file(folder.join(SPEEDS), problem, "obtain it again"));
        }
        let cuts: BTreeMap<String, Cut> = whole_json(&folder.join(CUTS))?;
        let bare = |name: String| name.strip_suffix(".mp4").map(str::to_owned).unwrap_or(name);
        Ok(Self { cuts: cuts.into_iter().map(|(name, cut)| (bare(name), cut)).collect(), speeds, pairs })
    }

    /// The plain videos of the recipe, and where each lies; one that is not there has no path.
    fn plain(&self, folder: &MediaFolder) -> Vec<(String, Option<PathBuf>)> {
        let paired = self.pairs.iter().flatten().cloned();
        let named = self.cuts.keys().chain(self.speeds.keys()).cloned().chain(paired);
        let names: BTreeSet<String> = named.chain([FAST.0.to_owned()]).collect();
        let found = |id: &String| match folder.find(&format!("{id}.mp4")) {
            MediaMatch::File(path) => Some(path),
            _ => None,
        };
        names.into_iter().map(|id| (id.clone(), found(&id))).collect()
    }

    /// Writes the plain video `id`, cut or sped up if it has not been yet.
    fn cut(&self, id: &str, source: &Option<PathBuf>, path: &Path) -> Result<()> {
        let Some(source) = source else {
            return Err(Error::file(format!("{id}.mp4"), "is not in the media folder", "obtain it"));
        };
        let seconds = VideoReader::open(source, &ReaderOptions::default())?.duration();
        let mut piece = Piece::whole(source);
        if let Some(cut) = self.cuts.get(id).filter(|cut| seconds > cut.end - cut.start + SLACK) {
            piece.span = Some([cut.start, cut.end]);
        } else if id == FAST.0 && seconds > FAST.2 {
            piece.speed = FAST.1;
        }
        Ok(arrange(&Arrangement::Alone(piece), path)?)
    }

    /// The made videos, of plain ones in `target`.
    fn made(&self, target: &Path) -> Vec<(String, Arrangement)> {
        let piece = |id: &str, speed: f64| Piece { speed, ..Piece::whole(&target.join(format!("{id}.mp4"))) };
        let mut jobs = Vec::new();
        for [a, b] in &self.pairs {
            let [one, other] = [piece(a, 1.0), piece(b, 1.0)];
            jobs.push((format!("{a}_{b}_0.mp4"), Arrangement::Stacked([one.clone(), other.clone()])));
            jobs.push((format!("{a}_{b}_1.mp4"), Arrangement::InTurn([one.clone(), other.clone()])));
            jobs.push((format!("{a}_{b}_2.mp4"), Arrangement::InTurn([other, one])));
        }
        for (id, speed) in &self.speeds {
            let [plain, fast] = [piece(id, 1.0), piece(id, *speed)];
            let stacks = [[&fast, &fast], [&plain, &fast], [&fast, &plain]];
            let stacked = stacks.into_iter().enumerate();
            jobs.extend(stacked.map(|(number, pair)| {
                (format!("{id}_concat_{number}.mp4"), Arrangement::Stacked(pair.map(Piece::clone)))
            }));
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use svitt_video::encode::write_rgb;

    #[test]
    fn the_recipe_makes_cuts_pairs_and_stacks_and_says_what_is_missing() {
        if !svitt_video::ffmpeg_available() {
            return crate::skipped::skipped("ffmpeg");
        }
        let dir = tempfile::tempdir().unwrap();
        let [recipe, media, out] = ["recipe", "media", "out"].map(|name| dir.path().join(name));
        [&recipe, &media].iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
        std::fs::write(recipe.join(CUTS), r#"{"11.mp4": {"start": 0.5, "end": 1.0}}"#).unwrap();
        std::fs::write(recipe.join(SPEEDS), r#"{"12": 2.0}"#).unwrap();
        std::fs::write(recipe.join(PAIRS), "11,12\n").unwrap();
        for name in ["11.mp4", "12.mp4"] {
            write_rgb(&media.join(name), &vec![90; 24 * 16 * 16 * 3], [16, 16], 12.0).unwrap();
        }
        let report = make_tempcompass(&recipe, &media, &out, &|_, _| ()).unwrap();
        assert_eq!((report.made, report.skipped, report.failed.len()), (8, 0, 1), "{:?}", report.failed);
        assert_eq!(report.failed[0].media, "15695290.mp4");
        let frames = |name: &str| VideoReader::open(&out.join(name), &ReaderOptions::default()).unwrap().len();
        let names = ["11.mp4", "12.mp4", "11_12_0.mp4", "11_12_1.mp4", "12_concat_0.mp4", "12_concat_2.mp4"];
        assert_eq!(names.map(frames), [6, 24, 6, 30, 12, 12]);
        let again = make_tempcompass(&recipe, &media, &out, &|_, _| ()).unwrap();
        assert_eq!((again.made, again.skipped), (0, 8));
        assert!(make_tempcompass(&recipe, &media, &media, &|_, _| ()).is_err(), "the plain ones stay as they are");
    }
}
