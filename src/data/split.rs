//! Training, validation, test: what a file's name says it is, and how large the published split is.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

use super::{Benchmark, Record};
use svitt_ops::rng::{Rng, text_key};

/// The role of a file of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For learning.
    Train,
    /// For choosing a checkpoint.
    Validation,
    /// For the number that is reported.
    Test,
}

/// Size of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitSize {
    /// Distinct videos.
    pub videos: usize,
    /// Captions, paragraphs or questions.
    pub texts: usize,
}

impl Split {
    /// The split a file's name speaks of: its first word that starts with train, val or test.
    pub fn from_name(path: &Path) -> Option<Self> {
        let name = path.file_stem()?.to_string_lossy().to_lowercase();
        name.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| match word {
            _ if word.starts_with("train") => Some(Self::Train),
            _ if word.starts_with("val") => Some(Self::Validation),
            // The benchmark Test of Time, whose files are parts of other splits.
            "testoftime" => None,
            _ if word.starts_with("test") => Some(Self::Test),
            _ => None,
        })
    }

    /// `train`, `val` or `test`, as file names spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "val",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Validation => "validation",
            other => other.name(),
        })
    }
}

/// The published size of a split, where its authors state one. AGQA's do not state it per split: only 3.9 M balanced
/// questions in 1.0 and 2.27 M in 2.0, training and test together.
pub fn published(benchmark: Benchmark, split: Split) -> Option<SplitSize> {
    use Benchmark::{
        Anet, AnetQa, Charades, Didemo, Lsmdc, Msrvtt, MsrvttMc, MsrvttQa, Nextqa, Rtime, Ssv2Label, Ssv2Template,
    };
    use Split::{Test, Train, Validation};
    let (videos, texts) = match (benchmark, split) {
        (Msrvtt, Test) => (1_000, 1_000),
        (Msrvtt, Train) => (9_000, 180_000),
        (Didemo, Train) => (8_392, 8_392),
        (Didemo, Validation) => (1_065, 1_065),
        (Didemo, Test) => (1_004, 1_004),
        (Charades, Train) => (7_985, 7_985),
        (Charades, Test) => (1_863, 1_863),
        (Ssv2Label | Ssv2Template, Train) => (168_913, 168_913),
        (Ssv2Label | Ssv2Template, Validation) => (24_777, 24_777),
        (MsrvttQa, Train) => (6_513, 158_581),
        (MsrvttQa, Validation) => (497, 12_278),
        (MsrvttQa, Test) => (2_990, 72_821),
        (AnetQa, Train) => (3_200, 32_000),
        (AnetQa, Validation) => (1_800, 18_000),
        (AnetQa, Test) => (800, 8_000),
        (Anet, Test) => (4_917, 4_917),
        (Lsmdc, Test) => (1_000, 1_000),
        (MsrvttMc, Test) => (2_990, 2_990),
        (Rtime, Validation) => (500, 500),
        (Rtime, Test) => (1_000, 1_000),
        (Nextqa, Validation) => (570, 4_996),
        (Nextqa, Test) => (1_000, 8_564),
        _ => return None,
    };
    Some(SplitSize { videos, texts })
}

/// The size of a file that is a part of a split, or whose name does not tell its split; counted in the released files,
/// choices by what is scored of them.
pub fn published_file(benchmark: Benchmark, path: &Path) -> Option<SplitSize> {
    use Benchmark::{Anet, Lsmdc, Nextqa, Ssv2Chiral, Ssv2Temporal, Tempcompass, Testoftime, Vilma, Vitatecs};
    let name = path.file_stem()?.to_string_lossy().to_lowercase();
    let (videos, texts) = match (benchmark, name.as_str()) {
        (Anet, "val_1" | "anet_ret_val_1") => (4_917, 4_917),
        (Lsmdc, "lsmdc16_challenge_1000_publictect") => (1_000, 1_000),
        (Vitatecs, "direction") => (2_646, 3_800),
        (Vitatecs, "intensity") => (692, 779),
        (Vitatecs, "sequence") => (150, 151),
        (Vitatecs, "localization") => (915, 1_053),
        (Vitatecs, "compositionality") => (1_110, 1_450),
        (Vitatecs, "type") => (4_287, 6_605),
        (Tempcompass, "caption_matching") => (410, 1_503),
        (Testoftime, "tempotl_didemo_test") => (387, 987),
        (Testoftime, "charades_testoftime") => (500, 1_000),
        (Vilma, "change-state-inverse") => (232, 236),
        (Vilma, "change-state-action") => (308, 314),
        (Vilma, "change-state-prestate") => (193, 194),
        (Vilma, "change-state-poststate") => (247, 254),
        (Vilma, "relations") => (393, 393),
        (Nextqa, "atp-hard") => (559, 2_269),
        (Nextqa, "atp-hard-statements") => (553, 1_846),
        (Ssv2Chiral, "something-something-v2-validation" | "validation") => (4_457, 4_457),
        (Ssv2Temporal, "something-something-v2-validation" | "validation") => (3_371, 3_371),
        _ => return None,
    };
    Some(SplitSize { videos, texts })
}

/// Splits about `share` of the videos off for validation, where a data set has no validation split: a video is drawn
/// by its name and `seed`, so all its records go the same way and a longer file keeps the draw.
pub fn hold_out(records: Vec<Record>, share: f64, seed: u64) -> (Vec<Record>, Vec<Record>) {
    records.into_iter().partition(|record| !Rng::new(seed, &[text_key(&record.media)]).chance(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_is_held_out_with_all_its_records() {
        let record = |n: usize| Record { media: format!("{}.mp4", n / 3), ..Record::default() };
        let (train, validation) = hold_out((0..3_000).map(record).collect(), 0.1, 5);
        assert_eq!((train.len() + validation.len(), validation.len() % 3), (3_000, 0));
        assert!((240..360).contains(&validation.len()), "{}", validation.len());
        assert!(validation.iter().all(|held| train.iter().all(|kept| kept.media != held.media)));
    }

    #[test]
    fn files_have_the_size_of_what_is_scored_of_them() {
        let size = |benchmark, name: &str| published_file(benchmark, Path::new(name)).map(|n| [n.videos, n.texts]);
        assert_eq!(size(Benchmark::Anet, "a/val_1.json"), Some([4_917, 4_917]));
        assert_eq!(size(Benchmark::Vitatecs, "Direction.jsonl"), Some([2_646, 3_800]));
        assert_eq!(size(Benchmark::Ssv2Label, "something-something-v2-validation.json"), None);
        assert_eq!(size(Benchmark::Vilma, "mine.json"), None);
    }

    #[test]
    fn a_file_name_tells_the_split() {
        let split = |name: &str| Split::from_name(Path::new(name));
        assert_eq!(split("a/MSRVTT_train.9k.csv"), Some(Split::Train));
        assert_eq!(split("something-something-v2-validation.json"), Some(Split::Validation));
        assert_eq!(split("msrvtt_ret_test1k.json"), Some(Split::Test));
        assert_eq!(split("MSRVTT_data.json"), None);
        assert_eq!((split("charades_testoftime.csv"), split("tempotl_didemo_test.csv")), (None, Some(Split::Test)));
        assert_eq!(split("contest/interval.json"), None);
    }
}
