//! A run's place in its job: agreements before the first step, orders of process 0, and what is counted.

use super::exchange::{ExchangeFormat, Traffic};
use super::process_group::{ProcessGroup, SingleProcess};
use crate::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;
use std::time::Instant;

/// The job that this process is one of. By default it is the only one.
#[derive(Clone, Debug)]
pub struct Job {
    group: Arc<dyn ProcessGroup>,
    traffic: Arc<Traffic>,
    format: ExchangeFormat,
}

impl Default for Job {
    fn default() -> Self {
        Self::new(Arc::new(SingleProcess))
    }
}

/// What one process says before the first step.
#[derive(Serialize, Deserialize)]
enum Said {
    /// It can go on, and these are its facts: names and values.
    Ready(Vec<(String, String)>),
    /// It cannot.
    Failed(String),
}

impl Job {
    /// The job of `group`, whose gradients are exchanged as f32.
    pub fn new(group: Arc<dyn ProcessGroup>) -> Self {
        Self { group, traffic: Arc::default(), format: ExchangeFormat::F32 }
    }

    /// The same, exchanging gradients in `format`.
    #[must_use]
    pub fn with_format(self, format: ExchangeFormat) -> Self {
        Self { format, ..self }
    }

    /// Number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.group.rank()
    }

    /// Processes in the job.
    pub fn size(&self) -> usize {
        self.group.size()
    }

    /// Whether this is process 0, which writes, logs and measures.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Number of this process among those on its machine, and how many these are.
    pub fn on_machine(&self) -> (usize, usize) {
        self.group.on_machine()
    }

    /// The processes.
    pub fn group(&self) -> &Arc<dyn ProcessGroup> {
        &self.group
    }

    /// What was exchanged so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// How gradients are exchanged.
    pub fn format(&self) -> ExchangeFormat {
        self.format
    }

    /// What every process gives, by rank.
    pub fn all_gather(&self, own: Vec<u8>) -> Vec<Vec<u8>> {
        let (started, size) = (Instant::now(), self.size());
        let length = (own.len() as u64).to_le_bytes().to_vec();
        let lengths = self.group.all_gather_sized(length, &vec![8; size]);
        let length = |bytes: &Vec<u8>| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let lengths: Vec<usize> = lengths.iter().map(length).collect();
        let sent = (own.len() + 8) * (size - 1);
        let everyone = self.group.all_gather_sized(own, &lengths);
        self.traffic.add(sent, started.elapsed());
        everyone
    }

    /// `local` where it is no error on any process and `facts` are the same on all of them. Otherwise process 0 returns
    /// the error, naming the process that has it, and the others [`Error::Elsewhere`].
    ///
    /// # Errors
    /// As said.
    pub fn agree<T>(&self, local: Result<T>, facts: &[(&str, String)]) -> Result<T> {
        if self.size() == 1 {
            return local;
        }
        let own = match &local {
            Ok(_) => Said::Ready(facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()),
            Err(error) => Said::Failed(error.to_string()),
        };
        let everyone = self.all_gather(to_json(&own)?);
        let everyone = everyone.iter().map(|bytes| from_json(bytes)).collect::<Result<Vec<Said>>>()?;
        match (problem(&everyone), local) {
            (None, local) => local,
            (Some((process, said)), _) if self.is_first() => Err(Error::Process { process, said }),
            _ => Err(Error::Elsewhere { interrupted: false }),
        }
    }

    /// Gives `value` of process 0 to all.
    ///
    /// # Errors
    /// What process 0 sent is not one, which is a bug.
    pub fn share<T: Serialize + DeserializeOwned>(&self, value: Option<&T>) -> Result<T> {
        from_json(&self.group.broadcast(value.map(to_json).transpose()?))
    }
}

/// The first process that failed, or that differs from process 0, and what is to be said of it.
fn problem(everyone: &[Said]) -> Option<(usize, String)> {
    let failed = everyone.iter().enumerate().find_map(|(process, said)| match said {
        Said::Failed(error) => Some((process, error.clone())),
        Said::Ready(_) => None,
    });
    failed.or_else(|| {
        let Some(Said::Ready(first)) = everyone.first() else { return None };
        everyone.iter().enumerate().find_map(|(process, said)| {
            let Said::Ready(facts) = said else { return None };
            let ((name, own), (_, other)) = facts.iter().zip(first).find(|(own, other)| own != other)?;
            let said = format!(
                "has another {name} than process 0 ({own} and {other}); \
                 start every process with the same program, the same options and the same data"
            );
            Some((process, said))
        })
    })
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Fault(error.to_string()))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Fault(format!("another process sent no message: {error}")))
}
