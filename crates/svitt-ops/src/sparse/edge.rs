//! Edge sparsity as numbers: K_l, K_r and G, which blocks the K_r are, and whose rules the graph follows.

use crate::{Error, Result};
use burn::serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which K_r blocks a query block sees beside its local ones (docs/model.md, "Edge sparsity").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "lowercase")]
pub enum BlockChoice {
    /// Drawn at random, the same for all samples and heads, as published.
    #[default]
    Random,
    /// In every sample and head those whose mean key has the largest product with the mean query of the block.
    Top,
}

impl BlockChoice {
    /// Whether blocks are drawn: what settings leave unsaid.
    pub fn is_random(&self) -> bool {
        *self == Self::Random
    }
}

/// As configurations have it: `random`, `top`.
impl fmt::Display for BlockChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random",
            Self::Top => "top",
        })
    }
}

impl FromStr for BlockChoice {
    type Err = Error;

    /// As in configurations: `random`, `top`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "random" => Ok(Self::Random),
            "top" => Ok(Self::Top),
            _ => Err(Error::setting("blocks", format!("`{name}` is not a choice of blocks"), "use random or top")),
        }
    }
}

/// Patch queries see the class token, `local` neighbouring blocks and `random` further blocks of `block` tokens
/// (docs/model.md, "Edge sparsity").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", deny_unknown_fields)]
pub struct EdgeSparsity {
    /// K_l: zero or odd; 1 is the query's own block.
    pub local: usize,
    /// K_r: blocks per query block, layer and forward beside the local ones; 0 is local attention alone.
    pub random: usize,
    /// G: tokens in a block.
    pub block: usize,
    /// Which blocks the K_r are: drawn, unless it says otherwise.
    #[serde(default, skip_serializing_if = "BlockChoice::is_random")]
    pub blocks: BlockChoice,
}

/// Which rules the model follows where the official code deviates from the paper (docs/model.md, "Official rules").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "lowercase")]
pub enum Compat {
    /// Padded keys get no attention, random blocks are distinct and never local, windows are not mirrored,
    /// cross-modal pruning works in question answering too.
    #[default]
    Corrected,
    /// The published code to the digit, for weights that were trained with it.
    Official,
}

impl EdgeSparsity {
    /// K_l local blocks and K_r random ones of G tokens, as published.
    pub const fn new(local: usize, random: usize, block: usize) -> Self {
        Self { local, random, block, blocks: BlockChoice::Random }
    }

    /// The same numbers with the K_r blocks chosen otherwise.
    #[must_use]
    pub const fn with_blocks(self, blocks: BlockChoice) -> Self {
        Self { blocks, ..self }
    }

    /// Checks K_l, K_r and G against `patches` tokens.
    ///
    /// # Errors
    /// An even K_l, a block of no token or of more than `patches`, or more blocks than there are.
    pub fn validate(&self, patches: usize) -> Result<()> {
        if self.local != 0 && self.local.is_multiple_of(2) {
            let problem = format!("K_l is {}, but local blocks lie symmetrically around the query's own", self.local);
            return Err(Error::setting("edge.local", problem, "use 0 or an odd number"));
        }
        if self.local + self.random == 0 {
            return Err(Error::setting(
                "edge.random",
                "K_l and K_r are both 0, so patches would see the class token alone",
                "set K_l to 1 or K_r above 0",
            ));
        }
        if self.block == 0 || self.block > patches {
            let problem = format!("blocks of {} tokens do not fit a sequence of {patches}", self.block);
            return Err(Error::setting("edge.block", problem, format!("use 1 to {patches}")));
        }
        let blocks = patches.div_ceil(self.block);
        if self.local > blocks {
            let problem =
                format!("K_l = {} is more than the {blocks} blocks of {} tokens there are", self.local, self.block);
            return Err(Error::setting("edge.local", problem, format!("use at most {blocks}, or smaller blocks")));
        }
        if self.random > blocks {
            let problem =
                format!("K_r = {} is more than the {blocks} blocks of {} tokens there are", self.random, self.block);
            return Err(Error::setting("edge.random", problem, format!("use at most {blocks}, or smaller blocks")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_are_named() {
        let bad = |local, random, block| EdgeSparsity::new(local, random, block).validate(30).unwrap_err().to_string();
        assert!(bad(2, 1, 5).contains("edge.local"), "{}", bad(2, 1, 5));
        assert!(bad(1, 1, 31).contains("edge.block"));
        assert!(bad(1, 7, 5).contains("edge.random"));
        assert!(bad(0, 0, 5).contains("edge.random"));
        assert!(EdgeSparsity::new(1, 3, 5).validate(30).is_ok());
    }
}
