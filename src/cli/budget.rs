//! Flags that make a checkpoint run sparser than it was trained.

use crate::Result;
use crate::config::{Selection, parse_edges};
use crate::eval::Budget;

/// How sparse the model shall run
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Keep rate q_v in place of the checkpoint's; a model that prunes nothing is pruned after a quarter, a half and
    /// three quarters of its layers
    #[arg(long, value_name = "Q")]
    keep: Option<f64>,
    /// Take the highest keep rate that encodes a clip within MS milliseconds
    #[arg(long, value_name = "MS")]
    budget_ms: Option<f64>,
    /// Sparse edges in place of the checkpoint's: local blocks, random blocks and tokens per block, as 1,3,56
    #[arg(long, value_name = "KL,KR,G")]
    edges: Option<String>,
    /// class-attention, received, mean-query or random: what ranks patches
    #[arg(long, value_name = "NAME")]
    rank: Option<String>,
}

impl Args {
    /// What they ask for.
    ///
    /// # Errors
    /// Edges or a ranking that cannot be understood.
    pub fn read(&self) -> Result<Budget> {
        Ok(Budget {
            keep: self.keep,
            budget_ms: self.budget_ms,
            edges: self.edges.as_deref().map(parse_edges).transpose()?,
            selection: self.rank.as_deref().map(str::parse::<Selection>).transpose()?,
        })
    }
}
