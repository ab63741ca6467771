//! Work shared out among independent jobs: which job a file belongs to, without any job knowing of the others.

use crate::limits;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Job `number` of `count`, counted from 1 and written `2/4`. Files are dealt out by a hash of their names, so that the
/// same file falls to the same job on every machine and in every run, whatever else lies beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    number: usize,
    count: usize,
}

impl Shard {
    /// Which job it is, from 1 to [`Shard::count`].
    pub fn number(&self) -> usize {
        self.number
    }

    /// How many jobs there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// All shards of `count`, in order.
    pub fn all(count: usize) -> impl Iterator<Item = Self> {
        (1..=count).map(move |number| Self { number, count })
    }

    /// Whether what is called `name` falls to this job.
    pub fn holds(&self, name: &str) -> bool {
        self.holds_bytes(name.as_bytes())
    }

    /// Whether the file at `relative`, its path below the folder that is shared out, falls to this job.
    pub fn holds_path(&self, relative: &Path) -> bool {
        let parts: Vec<&[u8]> = relative.iter().map(|part| part.as_encoded_bytes()).collect();
        self.holds_bytes(&parts.join(&b'/'))
    }

    fn holds_bytes(&self, name: &[u8]) -> bool {
        let digest = Sha256::digest(name);
        let hash = u64::from_le_bytes(std::array::from_fn(|byte| digest[byte]));
        hash % self.count as u64 == self.number as u64 - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "give the job and how many there are, counted from 1: 2/4 is the second of four".to_owned();
        let (number, count) = text.split_once('/').ok_or_else(wrong)?;
        let count = limits::count(1, limits::SHARDS)(count).map_err(|bound| format!("{}; {bound} jobs", wrong()))?;
        let number = limits::count(1, count)(number).map_err(|_| wrong())?;
        Ok(Self { number, count })
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_falls_to_one_job_and_to_the_same_one_everywhere() {
        let names: Vec<String> = (0..4000).map(|n| format!("a/{n}.mp4")).collect();
        let held = |shard: Shard| names.iter().filter(|name| shard.holds(name)).count();
        let counts: Vec<usize> = Shard::all(4).map(held).collect();
        assert_eq!(counts.iter().sum::<usize>(), 4000);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert!(names.iter().all(|name| Shard::all(1).all(|one| one.holds(name))));
        // Written down: jobs of different machines and releases must agree.
        let of = |name: &str| Shard::all(8).find(|shard| shard.holds(name)).unwrap().number();
        assert_eq!(["a.mp4", "b.mp4", "deep/c.webm"].map(of), [7, 4, 1]);
        assert!(Shard::all(8).all(|shard| shard.holds("deep/c.webm") == shard.holds_path(Path::new("deep//c.webm"))));
    }

    #[test]
    fn only_a_job_among_its_number_is_read() {
        let shard: Shard = "2/4".parse().unwrap();
        assert_eq!((shard.number(), shard.count(), shard.to_string().as_str()), (2, 4, "2/4"));
        assert_eq!(serde_json::to_string(&shard).unwrap(), "\"2/4\"");
        assert_eq!(serde_json::from_str::<Shard>("\"2/4\"").unwrap(), shard);
        for wrong in ["0/4", "5/4", "2", "2/0", "/", "a/b", "-1/4", "1/100000000", "1/4/2"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("2/4 is the second of four"), "{wrong}");
            assert!(serde_json::from_str::<Shard>(&format!("\"{wrong}\"")).is_err());
        }
    }
}
